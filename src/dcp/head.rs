use super::Malformed;
use super::Message;
use super::Negotiated;
use super::decode;
use super::document_key;
use super::message;
use crate::wire::Frame;
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
    #[inline]
    pub fn expects_answer(&self) -> bool {
        match &self.message {
            Ok(message) => message.expects_answer(&self.header),
            Err(_) => message::header_expects_answer(&self.header),
        }
    }
}

/// The form that the journal keeps: what the frame says, and a hash of its key seeded with `key_seed`.
#[inline]
pub fn head(frame: &Frame<'_>, negotiated: &Negotiated, key_seed: u64) -> FrameHead {
    let key = document_key(frame, negotiated.collections);
    let stream_id = frame.header().is_request().then(|| frame.frame_infos().stream_id()).flatten();
    FrameHead {
        header: *frame.header(),
        message: decode(frame, negotiated),
        stream_id,
        collection_id: key.and_then(|key| key.collection_id),
        key_hash: key.map_or(0, |key| hash(key.logical, key_seed)),
    }
}

/// The seeded hash of a key without its collection id.
#[inline]
pub(super) fn hash(key: &[u8], seed: u64) -> u64 {
    siphasher::sip::SipHasher13::new_with_keys(seed, 0).hash(key)
}
