//! Memcached framing, bytes only: what a frame is, never what it means.
//!
//! The contract of this module: a [`Header`] is parsed from exactly 24 bytes and can hold any value; a [`Frame`] is
//! only made when the lengths that its header claims fit the bytes that are there, so after [`Frame::new`] no accessor
//! panics. Nothing here judges: a frame that nobody understands can still be printed in full and relayed.
//!
//! Source: `protocol/dcp-protocol.md` §1.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod builder;
mod datatype;
mod deframer;
mod frame;
mod frame_info;
mod header;
pub mod leb128;
mod magic;
mod opcode;
mod status;

pub use builder::FrameBuilder;
pub use datatype::Datatype;
pub use deframer::Deframer;
pub use deframer::MAX_FRAME_LEN;
pub use deframer::Piece;
pub use frame::Frame;
pub use frame_info::FrameInfo;
pub use frame_info::FrameInfoError;
pub use frame_info::FrameInfos;
pub use header::FramingError;
pub use header::HEADER_LEN;
pub use header::Header;
pub use header::Opaque;
pub use magic::Magic;
pub use opcode::Opcode;
pub use opcode::ServerOpcode;
pub use opcode::UnknownName;
pub use status::Status;
