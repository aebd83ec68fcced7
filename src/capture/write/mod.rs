//! Recordings: what crossed the two edges of each connection, as pcapng.
//!
//! A [`Tape`] follows one connection: it pairs the bytes of each edge and direction with the journal's entries, so that a
//! frame of which there is something to say has a packet of its own, with remarks that say what the tool did. Its
//! [`Record`]s go through a [`Queue`], which may refuse them, to a [`Recording`], which makes packets of them, [`Gathered`]
//! for whoever writes. Nothing here waits, reads a clock or knows a file.
//!
//! Source of the format: the pcapng draft of the IETF's opsawg; of the packets: RFC 791, RFC 8200 and RFC 9293.

mod block;
mod file;
mod gathered;
mod packet;
mod pipe;
mod record;
mod redact;
mod tape;
#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests;

pub use file::About;
pub use file::Lost;
pub use file::Recording;
pub use gathered::Gathered;
pub use packet::MIN_SNAPLEN;
pub use record::Ends;
pub use record::Kind;
pub use record::Part;
pub use record::Queue;
pub use record::Record;
pub use record::Run;
pub use redact::Redaction;
pub use tape::Tape;
