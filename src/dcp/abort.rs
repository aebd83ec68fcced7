use super::Malformed;
use super::Negotiated;
use super::check;
use super::members::Members;
use super::members::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// DCP_ABORT: a prepared write did not take place (dcp-protocol.md §4.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Abort {
    /// Seqno of its prepare.
    pub prepared_seqno: u64,
    /// Its own seqno.
    pub abort_seqno: u64,
}

impl Abort {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A frame that breaks a rule of dcp-protocol.md.
    pub fn parse(frame: &Frame<'_>, negotiated: &Negotiated) -> Result<Self, Malformed> {
        check::raw(frame)?;
        check::key(frame, negotiated)?;
        check::no_value(frame)?;
        check::no_cas(frame)?;
        let mut fields = check::extras(frame, 16)?;
        Ok(Self { prepared_seqno: fields.u64(), abort_seqno: check::seqno(frame, fields.u64())? })
    }

    /// The request; its stream's opaque and vbucket are the caller's, as is the key.
    pub fn request(&self, vbucket: u16, opaque: Opaque) -> FrameBuilder {
        let mut extras = Vec::with_capacity(16);
        extras.extend(self.prepared_seqno.to_be_bytes());
        extras.extend(self.abort_seqno.to_be_bytes());
        FrameBuilder::request(Opcode::DCP_ABORT).vbucket(vbucket).opaque(opaque).extras(extras)
    }

    pub(super) fn members(&self, to: &mut Members) {
        put!(to, self, prepared_seqno, abort_seqno);
    }
}
