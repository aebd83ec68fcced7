use super::Malformed;
use super::MemberName;
use super::MemberSink;
use super::check;
use super::member::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// DCP_ADD_STREAM: a manager tells a consumer to ask for a stream (dcp-protocol.md §3.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AddStream {
    /// As those of [`super::StreamReq`].
    pub flags: u32,
}

/// The answer to [`AddStream`], once the producer has answered the stream request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AddStreamResponse {
    /// The stream's opaque as the extras give it, read big endian. On x86 its bytes are the reverse of the opaque in
    /// the headers of the stream's messages (dcp-protocol.md §1).
    pub stream_opaque: u32,
}

impl AddStream {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A frame that breaks a rule of dcp-protocol.md.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::raw(frame)?;
        check::no_key(frame)?;
        check::no_value(frame)?;
        Ok(Self { flags: check::extras(frame, 4)?.u32() })
    }

    /// The request.
    pub fn request(&self, vbucket: u16, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::request(Opcode::DCP_ADD_STREAM).vbucket(vbucket).opaque(opaque).extras(self.flags.to_be_bytes())
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put!(to, self, flags);
    }
}

impl AddStreamResponse {
    /// The answer of a consumer that opened a stream with this opaque, written as kv_engine on x86 does.
    pub const fn of(stream: Opaque) -> Self {
        Self { stream_opaque: u32::from_le_bytes(stream.0) }
    }

    /// Whether this can be the stream with this opaque: its bytes are the extras', as they are or reversed.
    pub const fn names(&self, stream: Opaque) -> bool {
        self.stream_opaque == u32::from_be_bytes(stream.0) || self.stream_opaque == u32::from_le_bytes(stream.0)
    }

    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// Extras of another length than 4.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        Ok(Self { stream_opaque: check::extras(frame, 4)?.u32() })
    }

    /// The response, with the status of the stream request's answer.
    pub fn response(&self, status: Status, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::response(Opcode::DCP_ADD_STREAM, status).opaque(opaque).extras(self.stream_opaque.to_be_bytes())
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put!(to, self, stream_opaque);
        to.member(MemberName::stream_opaque_be, self.stream_opaque.into());
    }
}
