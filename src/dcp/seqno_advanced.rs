use super::Malformed;
use super::MemberSink;
use super::check;
use super::member::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// DCP_SEQNO_ADVANCED: the consumer has everything up to this seqno (dcp-protocol.md §4.9).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SeqnoAdvanced {
    /// Up to which seqno.
    pub by_seqno: u64,
}

impl SeqnoAdvanced {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A frame that breaks a rule of dcp-protocol.md.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::raw(frame)?;
        check::no_key(frame)?;
        check::no_value(frame)?;
        check::no_cas(frame)?;
        let mut fields = check::extras(frame, 8)?;
        Ok(Self { by_seqno: fields.u64() })
    }

    /// The request; its stream's opaque and vbucket are the caller's.
    pub fn request(&self, vbucket: u16, opaque: Opaque) -> FrameBuilder {
        let mut extras = Vec::with_capacity(8);
        extras.extend(self.by_seqno.to_be_bytes());
        FrameBuilder::request(Opcode::DCP_SEQNO_ADVANCED).vbucket(vbucket).opaque(opaque).extras(extras)
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put!(to, self, by_seqno);
    }
}
