//! What happened at each edge of a connection: the only thing that those who judge may look at (law L6).
//!
//! An entry holds headers, extras, collection ids, a seeded hash of the key and the validity found at decoding; never
//! keys or documents (law L9). Entries are handed on one by one and not kept, so a connection may last for ever.

use crate::Timestamp;
use crate::dcp::FrameHead;
use crate::wire::FramingError;

/// One of the two sockets of a connection, by who dialled. It says nothing of who produces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// The end that dialled the tool.
    Dialler,
    /// The end that the tool dialled; in a recording, the end that was dialled.
    Upstream,
}

impl Side {
    /// The end across.
    pub const fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Upstream,
            Self::Upstream => Self::Dialler,
        }
    }
}

/// What an end is, learnt from DCP_OPEN's producer flag.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// Sends mutations.
    Producer,
    /// Receives mutations.
    Consumer,
}

/// Which way something crossed an edge, seen from the end at that edge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Direction {
    /// The end said it.
    From,
    /// It was delivered to the end.
    To,
}

/// Who originated what crossed an edge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Origin {
    /// One of the two ends.
    Peer,
    /// The tool (to the end), or an answer to the tool that is withheld (from the end).
    Tool,
}

/// How one direction of a connection was closed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum How {
    /// No more bytes will come (FIN); the other direction may go on.
    Fin,
    /// The connection was torn down (RST).
    Reset,
}

/// One event at one edge.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// At whose edge. A recorded connection has one edge: that of the end that was dialled.
    pub edge: Side,
    /// Which way.
    pub direction: Direction,
    /// Whose it is.
    pub origin: Origin,
    /// What.
    pub what: What,
}

impl Entry {
    /// The end that sent it: the one at the edge, or the one across (for whom the tool may have spoken).
    pub const fn sender(&self) -> Side {
        match self.direction {
            Direction::From => self.edge,
            Direction::To => self.edge.other(),
        }
    }
}

/// What an entry tells of.
#[derive(Clone, PartialEq, Debug)]
pub enum What {
    /// A frame.
    Frame(Box<FrameHead>),
    /// The direction's framing is lost from here on.
    FramingLost(FramingError),
    /// Bytes are missing (in a recording); `None` where their number is unknown. Framing may be found again.
    Gap(Option<u64>),
    /// The direction ended; `partial` bytes of an incomplete frame were pending.
    Closed {
        /// How.
        how: How,
        /// Bytes of an incomplete frame that were pending.
        partial: u64,
    },
}
