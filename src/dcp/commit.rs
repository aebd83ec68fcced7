use super::Malformed;
use super::Negotiated;
use super::check;
use super::members::Members;
use super::members::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// DCP_COMMIT: a prepared write took place (dcp-protocol.md §4.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Commit {
    /// Seqno of its prepare.
    pub prepared_seqno: u64,
    /// Its own seqno.
    pub commit_seqno: u64,
}

impl Commit {
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
        Ok(Self { prepared_seqno: fields.u64(), commit_seqno: check::seqno(frame, fields.u64())? })
    }

    /// The request; its stream's opaque and vbucket are the caller's, as is the key.
    pub fn request(&self, vbucket: u16, opaque: Opaque) -> FrameBuilder {
        let mut extras = Vec::with_capacity(16);
        extras.extend(self.prepared_seqno.to_be_bytes());
        extras.extend(self.commit_seqno.to_be_bytes());
        FrameBuilder::request(Opcode::DCP_COMMIT).vbucket(vbucket).opaque(opaque).extras(extras)
    }

    pub(super) fn members(&self, to: &mut Members) {
        put!(to, self, prepared_seqno, commit_seqno);
    }
}
