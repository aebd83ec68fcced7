use super::Malformed;
use super::Message;
use crate::wire::Header;

/// What the journal keeps of a frame: no key and no document bytes (law L9).
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
    /// A seeded hash of the key, without its collection id; 0 where the message has no document key.
    pub key_hash: u64,
}

impl FrameHead {
    /// Whether an answer follows when all goes well; never for a response.
    pub fn expects_answer(&self) -> bool {
        match &self.message {
            Ok(message) => message.expects_answer(&self.header),
            Err(_) => super::message::header_expects_answer(&self.header),
        }
    }
}
