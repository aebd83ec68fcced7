use super::Malformed;
use super::MemberSink;
use super::check;
use super::member::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// DCP_SEQNO_ACK: the consumer has prepared up to a seqno; answered only on failure (dcp-protocol.md §4.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SeqnoAck {
    /// Up to which seqno.
    pub prepared_seqno: u64,
}

impl SeqnoAck {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A frame that breaks a rule of dcp-protocol.md.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::raw(frame)?;
        check::no_key(frame)?;
        check::no_value(frame)?;
        let mut fields = check::extras(frame, 8)?;
        Ok(Self { prepared_seqno: fields.u64() })
    }

    /// The request; its stream's opaque and vbucket are the caller's.
    pub fn request(&self, vbucket: u16, opaque: Opaque) -> FrameBuilder {
        let mut extras = Vec::with_capacity(8);
        extras.extend(self.prepared_seqno.to_be_bytes());
        FrameBuilder::request(Opcode::DCP_SEQNO_ACK).vbucket(vbucket).opaque(opaque).extras(extras)
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put!(to, self, prepared_seqno);
    }
}
