use std::collections::BTreeMap;
use std::time::Duration;

use super::histogram::Distribution;
use super::message::{Message, OTHER};
use crate::journal::{Direction, Origin};
use crate::toxic::Stream;
use crate::wire::Status;

/// What was counted of the connections of a proxy, those that have ended among them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// Connections that were opened.
    pub opened: u64,
    /// Frames and their bytes.
    pub frames: BTreeMap<FrameKey, Frames>,
    /// Orphaned responses that were delivered.
    pub orphans: BTreeMap<OrphanKey, u64>,
    /// Towards the upstream, and towards the dialler.
    pub ways: [Way; 2],
    /// What those that are open have now.
    pub open: Open,
}

/// What frames are told apart by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FrameKey {
    /// Whether an end said it, or it was delivered to the other.
    pub way: Direction,
    /// Which way it goes.
    pub direction: Stream,
    /// What it is.
    pub message: Message,
    /// Whose it is; of what an end said, [`Origin::Tool`] is an answer to the tool, which goes no further.
    pub origin: Origin,
}

/// How many frames, and how long they are together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Frames {
    /// How many.
    pub frames: u64,
    /// Their bytes, headers included.
    pub bytes: u64,
}

impl Frames {
    pub(super) const fn add(&mut self, frames: u64, bytes: u64) {
        self.frames += frames;
        self.bytes += bytes;
    }
}

/// What orphaned responses are told apart by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct OrphanKey {
    /// What they answer.
    pub message: Message,
    status: Option<Status>,
    /// Whether the tool or the consumer said it.
    pub origin: Origin,
}

impl OrphanKey {
    pub(super) fn new(message: Message, status: Status, origin: Origin) -> Self {
        Self { message, status: status.name().map(|_| status), origin }
    }

    /// The status by its name; all that have none are one.
    pub fn status(&self) -> &'static str {
        self.status.and_then(Status::name).unwrap_or(OTHER)
    }
}

/// What was counted of one direction.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Way {
    /// Bytes read from the end that speaks.
    pub read: u64,
    /// Bytes of them, and of the tool's own, that the kernel took for the end that listens.
    pub written: u64,
    /// Frames of the end that speaks that do not decode.
    pub malformed: u64,
    /// How often the framing was lost.
    pub framing_lost: u64,
    /// FINs of the end that speaks.
    pub fins: u64,
    /// RSTs of the end that speaks.
    pub resets: u64,
    /// How often reading was paused, as the end that listens was slow.
    pub pauses: u64,
    /// For how long, in all.
    pub paused: Duration,
    /// Connections on which it is now.
    pub paused_now: u64,
    /// How long what was read took to be written.
    pub latency: Distribution,
    /// Bytes that are held back on purpose.
    pub held: u64,
    /// Bytes that wait until the end that listens takes them.
    pub queued: u64,
}

/// What the connections that are open have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Open {
    /// How many they are.
    pub connections: u64,
    /// Streams at the dialler's edge, and at the upstream's: requested, open, closing, closed.
    pub streams: [[u64; 4]; 2],
    /// Connections with flow control.
    pub with_flow_control: u64,
    /// The windows of these, in bytes.
    pub window: u64,
    /// What of that is outstanding at the producers' edges, in bytes.
    pub outstanding: u64,
    /// Connections whose window is full.
    pub full: u64,
}
