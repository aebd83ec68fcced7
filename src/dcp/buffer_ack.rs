use super::Malformed;
use super::MemberSink;
use super::check;
use super::member::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// DCP_BUFFER_ACK: gives bytes back to the producer's window (dcp-protocol.md §5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BufferAck {
    /// How many.
    pub bytes_to_ack: u32,
}

impl BufferAck {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A frame that breaks a rule of dcp-protocol.md.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::raw(frame)?;
        check::no_key(frame)?;
        check::no_value(frame)?;
        Ok(Self { bytes_to_ack: check::extras(frame, 4)?.u32() })
    }

    /// The request.
    pub fn request(&self, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::request(Opcode::DCP_BUFFER_ACK).opaque(opaque).extras(self.bytes_to_ack.to_be_bytes())
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put!(to, self, bytes_to_ack);
    }
}
