//! Captures: what two ends said to each other, read back from a pcap or pcapng file.
//!
//! Sans-IO but for the reading: bytes come from an `impl Read`, or from [`Files`], which are mapped into memory where that can be;
//! [`Event`]s go to a closure, in the order of the packets, and lend it the bytes where they are. Memory is bounded by the number of
//! open connections: each holds back what came out of order, up to 8 MiB a direction.
//!
//! Source of the formats: the pcap and pcapng drafts of the IETF's opsawg; of reassembly: RFC 9293.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod comments;
mod connection;
mod dialled;
mod file;
mod files;
mod fragments;
mod half;
mod link;
mod map;
mod packet;
mod pcapng;
mod reading;
mod recorded;
mod remark;
mod source;
mod table;
#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod testing;
#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests;
pub mod write;
mod zstd;

use std::io::Read;
use std::net::SocketAddr;
use std::ops::ControlFlow;

use crate::Timestamp;
use crate::journal::How;
use crate::journal::Side;

pub use files::Files;
pub use files::FilesRead;
pub use recorded::Happened;
pub use recorded::Recorded;
pub use recorded::Sink;
pub use remark::Identity;
pub use remark::NoRemark;
pub use remark::Remark;
pub use remark::unword;
pub use remark::word;

use file::PacketFile;
use reading::Group;
use reading::Reading;
use source::Input;

/// One thing that a capture tells of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event<'a> {
    /// The time of the packet that made it known.
    pub at: Timestamp,
    /// The connection, counted from 1 in the order of their first packets that say something (a SYN, data, an end).
    pub conn: u32,
    /// What.
    pub what: What<'a>,
}

/// What an event tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What<'a> {
    /// The connection is there: always its first event. Where the capture began in the middle of it, each direction
    /// begins with a gap of unknown size, and who dialled is a guess (by ports, by what is said).
    Opened {
        /// The end that dialled.
        dialler: SocketAddr,
        /// The end that was dialled.
        upstream: SocketAddr,
    },
    /// The next bytes that one end sent, each byte once and in order.
    Data {
        /// Who sent them.
        from: Side,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// What the one who captured says of a packet; it comes before what the packet holds.
    Comment {
        /// Who sent the packet.
        from: Side,
        /// One comment.
        text: &'a str,
    },
    /// Bytes that were sent but are not in the capture: an acknowledgement, a FIN, a later byte, or a packet that was
    /// captured in part proves it.
    Gap {
        /// Who sent them.
        from: Side,
        /// Bytes of this direction before the gap, delivered or missing.
        offset: u64,
        /// How many are missing; `None` where that is unknown.
        bytes: Option<u64>,
    },
    /// One end closed. A FIN comes when all before it was delivered, a RST at once; a RST may follow an end's FIN.
    Closed {
        /// Who closed.
        from: Side,
        /// How.
        how: How,
    },
    /// Nothing more will be told of the connection: it is over, was replaced by a new one between the same two
    /// addresses, or the capture ends. Always its last event.
    Ended,
}

/// What was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Packets of all kinds.
    pub packets: u64,
    /// TCP connections.
    pub connections: u32,
    /// Gaps told.
    pub gaps: u64,
    /// Bytes that are missing in gaps of known size.
    pub missing_bytes: u64,
    /// Packets that hold no TCP segment, or of which too little was captured to read it.
    pub other_packets: u64,
    /// Fragments of IP packets that hold TCP.
    pub fragments: u64,
    /// Of these, those whose packets could not be put together: what they held is missing.
    pub lost_fragments: u64,
    /// Packets of interfaces whose link type is not read.
    pub unknown_links: u64,
}

/// Why a capture could not be read, or not to its end. What was readable has been delivered before.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be opened.
    #[error("opening the capture")]
    Open(#[source] std::io::Error),
    /// Reading failed.
    #[error("reading the capture")]
    Read(#[from] std::io::Error),
    /// The file is in no format that is known here.
    #[error("expected a pcap or pcapng file, plain, gzip or zstd, found {}", first_bytes(found))]
    NotACapture {
        /// The first bytes of it, at most four.
        found: Vec<u8>,
    },
    /// The file ends too early.
    #[error("the capture is cut off at byte {offset}: expected {expected} bytes of {what}, found {found}")]
    Cut {
        /// What is cut.
        what: &'static str,
        /// Where it begins (of a gzip file: counted after inflating).
        offset: u64,
        /// Bytes that it has.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// The gzip stream ends too early.
    #[error(
        "the capture is cut off: expected the end of its gzip stream, found the end of the file, {offset} inflated bytes on"
    )]
    CutGzip {
        /// Bytes that could be inflated.
        offset: u64,
    },
    /// The zstd stream ends too early.
    #[error(
        "the capture is cut off: expected the end of its zstd stream, found the end of the file, {offset} inflated bytes on"
    )]
    CutZstd {
        /// Bytes that could be inflated.
        offset: u64,
    },
    /// Something in the file contradicts its format.
    #[error("the capture is damaged at byte {offset}: expected {expected}, found {found}")]
    Damaged {
        /// Where.
        offset: u64,
        /// What would have been right.
        expected: String,
        /// What is there.
        found: String,
    },
    /// No packet could be read, as all are of link types that are not known here.
    #[error(
        "expected packets of Ethernet, Linux cooked, loopback or raw IP (link types 0 1 12 14 101 108 113 228 229 276), \
         found link type {0}"
    )]
    UnknownLink(u16),
}

/// Reads a capture to its end and hands on what it tells. Several, and files by their paths: [`Files`].
///
/// # Errors
/// See [`CaptureError`]; all that was readable has been handed on before, up to [`What::Ended`] of each connection.
pub fn read(reader: impl Read, out: &mut dyn FnMut(Event<'_>)) -> Result<Summary, CaptureError> {
    read_while(reader, &mut |event| {
        out(event);
        ControlFlow::Continue(())
    })
}

/// As [`read`], and stops early when `out` breaks.
///
/// # Errors
/// As [`read`].
pub fn read_while(
    reader: impl Read,
    out: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<Summary, CaptureError> {
    let mut out = |_: &str, event: Event<'_>| out(event);
    let mut reading = Reading::new(&mut out);
    let mut group = Group::default();
    let result = reading.file("", PacketFile::open(Input::Reader(Box::new(reader)))?, &mut group);
    reading.finish(group);
    result.map(|()| reading.summary())
}

fn first_bytes(found: &[u8]) -> String {
    if found.is_empty() { "an empty file".into() } else { format!("the bytes {}", hex::encode(found)) }
}
