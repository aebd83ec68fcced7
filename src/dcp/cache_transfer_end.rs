use super::Malformed;
use super::check;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// DCP_CACHE_TRANSFER_END: no more documents out of memory (dcp-protocol.md §4.12).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheTransferEnd;

impl CacheTransferEnd {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A frame that has a body, beside framing extras.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::raw(frame)?;
        check::no_cas(frame)?;
        check::no_body(frame)?;
        Ok(Self)
    }

    /// The request.
    pub fn request(self, vbucket: u16, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::request(Opcode::DCP_CACHE_TRANSFER_END).vbucket(vbucket).opaque(opaque)
    }
}
