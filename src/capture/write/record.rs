use std::net::SocketAddr;

use bytes::Bytes;

use crate::Timestamp;
use crate::capture::Remark;
use crate::journal::How;
use crate::journal::Side;
use crate::wire::Header;

/// The addresses of a connection's two sockets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    /// The end that dialled the tool.
    pub dialler: SocketAddr,
    /// Where it dialled: the tool's own end there.
    pub accepted_at: SocketAddr,
    /// The tool's own end towards the upstream.
    pub dialled_from: SocketAddr,
    /// The end that the tool dialled.
    pub upstream: SocketAddr,
}

impl Ends {
    /// Of the connection at an edge: the end that dialled, and the one that was dialled.
    pub const fn at(&self, edge: Side) -> (SocketAddr, SocketAddr) {
        match edge {
            Side::Dialler => (self.dialler, self.accepted_at),
            Side::Upstream => (self.dialled_from, self.upstream),
        }
    }
}

/// Something that crossed an edge, to be written.
#[derive(Clone, Debug)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// The connection's number.
    pub conn: u64,
    /// Its sockets.
    pub ends: Ends,
    /// At whose edge.
    pub edge: Side,
    /// Of the edge's own TCP connection: whether the end that dialled it sent this.
    pub by_dialler: bool,
    /// Bytes of this direction before it.
    pub offset: u64,
    /// Bytes of the other direction that are acknowledged with it; its FIN counts as one.
    pub ack: u64,
    /// The window that is told with it.
    pub window: u16,
    /// What.
    pub kind: Kind,
    /// What is said of it.
    pub remarks: Vec<Remark>,
    /// Bytes of memory that are kept because of it alone: what was read at once is kept as a whole, for the first that
    /// needs a part of it.
    pub pins: usize,
}

/// What a record tells of.
#[derive(Clone, Debug)]
pub enum Kind {
    /// The connection was opened: three packets.
    Opened,
    /// The connection was open before: no packet, but what is remarked stands on the next.
    Joined,
    /// Bytes: a frame, or a part of one; `None` where they are in no frame.
    Data(Bytes, Option<Part>),
    /// Whole frames side by side, of which nothing is to be said and none of which is a login.
    Run(Bytes, Run),
    /// The direction ended.
    Closed(How),
    /// Nothing but what is remarked, or an acknowledgement.
    Empty,
}

/// Where bytes are in their frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// The frame's header.
    pub header: Header,
    /// Bytes of the frame before these.
    pub start: u64,
    /// Whether its key begins with a collection id.
    pub collections: bool,
}

/// What is known of frames side by side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// How many there are.
    pub frames: u64,
    /// Whether their keys begin with a collection id.
    pub collections: bool,
}

/// What takes records in. It never waits.
pub trait Queue: Send {
    /// Takes a record in, or gives it back where there is no room.
    fn put(&mut self, record: Record) -> Option<Record>;
}

impl Record {
    /// Bytes that it takes while it waits, about.
    pub fn cost(&self) -> usize {
        self.pins
            .saturating_add(size_of::<Self>())
            .saturating_add(self.remarks.len().saturating_mul(size_of::<Remark>().saturating_add(64)))
    }

    /// Its bytes, where it has any.
    pub const fn bytes(&self) -> Option<&Bytes> {
        match &self.kind {
            Kind::Data(bytes, _) | Kind::Run(bytes, _) => Some(bytes),
            Kind::Opened | Kind::Joined | Kind::Closed(_) | Kind::Empty => None,
        }
    }

    /// The frames that begin in it, and its bytes.
    pub fn size(&self) -> (u64, u64) {
        match &self.kind {
            Kind::Data(bytes, part) => (u64::from(part.is_some_and(|part| part.start == 0)), bytes.len() as u64),
            Kind::Run(bytes, run) => (run.frames, bytes.len() as u64),
            Kind::Opened | Kind::Joined | Kind::Closed(_) | Kind::Empty => (0, 0),
        }
    }
}

/// The frames that bytes consist of, each with its header, as far as they are whole.
pub(super) fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (Header, &[u8])> {
    std::iter::from_fn(move || {
        let header = Header::parse(bytes.first_chunk()?);
        let (frame, rest) = bytes.split_at_checked(usize::try_from(header.frame_len()).ok()?)?;
        bytes = rest;
        Some((header, frame))
    })
}
