use crate::wire::Header;

/// What a frame says.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    /// Nothing beyond its header is known of it.
    Other,
}

/// Why a frame does not decode.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// What the journal keeps of a frame.
#[derive(Clone, PartialEq, Debug)]
pub struct FrameHead {
    /// Its header.
    pub header: Header,
    /// What it says, or why it does not decode.
    pub message: Result<Message, Malformed>,
    /// The stream id in its framing extras.
    pub stream_id: Option<u16>,
    /// The collection id that its key begins with.
    pub collection_id: Option<u32>,
    /// A seeded hash of the key, without its collection id.
    pub key_hash: u64,
}
