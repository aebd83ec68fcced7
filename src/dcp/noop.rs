use super::Malformed;
use super::check;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// DCP_NOOP (0x5c): the producer asks whether its consumer lives (dcp-protocol.md §3.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DcpNoop;

/// NOOP (0x0a): either end asks the other whether it lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Noop;

impl DcpNoop {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A frame that has a body, beside framing extras.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::raw(frame)?;

        check::no_body(frame)?;
        Ok(Self)
    }

    /// The request.
    pub fn request(self, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::request(Opcode::DCP_NOOP).opaque(opaque)
    }
}

impl Noop {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A frame that has a body, beside framing extras.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::no_body(frame)?;
        Ok(Self)
    }

    /// The request.
    pub fn request(self, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::request(Opcode::NOOP).opaque(opaque)
    }
}
