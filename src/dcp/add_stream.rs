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
