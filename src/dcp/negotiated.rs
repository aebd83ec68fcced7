/// What the two ends of a connection have agreed on, as far as it changes how frames are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Negotiated {
    /// Keys carry a collection id (HELLO 0x12).
    pub collections: bool,
    /// Values may be Snappy blocks (HELLO 0x0a or 0x13).
    pub snappy: bool,
    /// Values may have an xattr section (HELLO 0x06).
    pub xattr: bool,
    /// Stream frames carry a stream id (control `enable_stream_id`).
    pub stream_id: bool,
    /// System events are FlatBuffers (control `flatbuffers_system_events`).
    pub flatbuffers: bool,
    /// Deletions have delete times (open flag 0x20).
    pub include_delete_times: bool,
}
