//! What happened at each edge of a connection: the only thing that those who judge may look at (law L6).
//!
//! An entry holds headers, extras, collection ids, a seeded hash of the key and the validity found at decoding; never
//! keys or documents (law L9). Entries are handed on one by one and not kept, so a connection may last for ever.

use crate::Timestamp;
use crate::dcp::FrameHead;
use crate::dcp::Stretch;
use crate::wire::FramingError;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

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

/// As many entries as a stretch has frames, each a frame of the end that the one before was of, at the same time.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a> {
    /// When.
    pub at: Timestamp,
    /// At whose edge.
    pub edge: Side,
    /// Which way.
    pub direction: Direction,
    /// The frames.
    pub stretch: &'a Stretch<'a>,
}

/// What an entry tells of.
#[derive(Clone, PartialEq, Debug)]
pub enum What {
    /// A frame.
    Frame(FrameHead),
    /// The direction's framing is lost from here on.
    FramingLost(FramingError),
    /// Bytes are missing (in a recording); `None` where their number is unknown. Framing may be found again.
    Gap(Option<u64>),
    /// Nothing more is read from the end (true), or again (false), as the other end does not take what came before.
    Paused(bool),
    /// The tool did something on purpose.
    Acted(Act),
    /// The direction ended; `partial` bytes of an incomplete frame were pending.
    Closed {
        /// How.
        how: How,
        /// Bytes of an incomplete frame that were pending.
        partial: u64,
    },
}

/// What the tool did on purpose, besides the frames that it sent: the story that its evidence is read by.
#[derive(Clone, PartialEq, Debug)]
pub enum Act {
    /// A step fired that closes a stream, or tells that one is closed.
    Fired {
        /// The step's name.
        step: String,
        /// The stream's vbucket.
        vbucket: u16,
        /// The stream's id, where streams have one.
        stream_id: Option<u16>,
        /// The stream's opaque.
        opaque: Opaque,
        /// The last seqno that the consumer had got of it.
        seqno: u64,
        /// Whether the tool keeps the stream's messages from the consumer, and answers them itself, from here on.
        cut: bool,
    },
    /// A step fired that leaves streams open.
    Triggered {
        /// The step's name.
        step: String,
        /// The stream of the frame that it fired at: its vbucket, id and opaque, and the last seqno that the consumer had
        /// got of it.
        stream: Option<(u16, Option<u16>, Opaque, u64)>,
    },
    /// The tool requests the cut stream again, for itself.
    Resuming {
        /// The opaque of the cut stream.
        cut: Opaque,
        /// The opaque of its own request.
        opaque: Opaque,
        /// The seqno that it asks to go on from.
        start_seqno: u64,
    },
    /// The flow-control window is made small to see that all of it can be used; `None`: it has its old size again.
    Narrowed(Option<u32>),
    /// A message of the cut stream was left without an answer: at each that the era's consumer would give, or that is
    /// tried in its place, the era's producer may or must close.
    LeftOut {
        /// The message.
        message: Opcode,
        /// What a consumer of the era answers.
        status: Status,
    },
    /// Steps were armed on a connection that may have been open for long: from here on they are to fire.
    Armed {
        /// What armed them: a toxic, or a scenario.
        course: String,
        /// Whether they are there to make orphaned responses.
        orphans: bool,
        /// Whether answers at which the era's producer may or must close are given too.
        fatal_too: bool,
        /// The message types that are each to meet an orphaned response.
        messages: Vec<Opcode>,
    },
    /// A step found no place to fire.
    NeverFired {
        /// The step's name.
        step: String,
    },
    /// What the end at this edge said last, a frame or its close, goes no further.
    Swallowed,
    /// What the end at this edge said last goes on as other bytes.
    Replaced,
    /// Only so many bytes of the frame that the end at this edge sent last go on.
    Cut(u64),
    /// All steps have been taken; the settling time begins.
    Settling,
    /// The settling time is over.
    Settled,
}

/// Serde: an end by its role.
pub mod role {
    use serde::Deserialize;
    use serde::Deserializer;
    use serde::Serializer;

    use super::Role;

    /// Reads `producer` or `consumer`.
    ///
    /// # Errors
    /// Another text.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Role>, D::Error> {
        match String::deserialize(from)?.as_str() {
            "producer" => Ok(Some(Role::Producer)),
            "consumer" => Ok(Some(Role::Consumer)),
            found => Err(serde::de::Error::custom(format!("expected producer or consumer, found '{found}'"))),
        }
    }

    #[allow(clippy::ref_option, reason = "as serde calls it")]
    /// Writes it.
    ///
    /// # Errors
    /// What the serializer says.
    pub fn serialize<S: Serializer>(role: &Option<Role>, to: S) -> Result<S::Ok, S::Error> {
        match role {
            Some(Role::Producer) => to.serialize_str("producer"),
            Some(Role::Consumer) => to.serialize_str("consumer"),
            None => to.serialize_none(),
        }
    }
}
