//! What each message says, one file a message; which messages are answered, and how.

mod message;
mod negotiated;

pub use message::FrameHead;
pub use message::Malformed;
pub use message::Message;
pub use negotiated::Negotiated;
