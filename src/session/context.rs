use super::Asked;
use super::Close;
use super::Owner;
use super::Request;
use super::Snapshot;
use super::State;
use super::StreamKey;
use crate::journal::Role;
use crate::wire::Status;

/// What an entry is in context: what it belongs to, and how that stood before it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Context {
    /// The role of the frame's sender; `None` before DCP_OPEN.
    pub sender: Option<Role>,
    /// The stream that a message belongs to, or that a response can be traced to.
    pub stream: Option<StreamContext>,
    /// The request that a response answers.
    pub answers: Option<Asked>,
    /// Whether it is a response that no request of its receiver awaits.
    pub unasked: bool,
    /// Where it is an orphaned response to the producer: to what.
    pub orphan: Option<Orphan>,
    /// Bytes that it takes of the producer's flow-control window.
    pub charge: u32,
}

/// The stream of a message, as it stood before the message.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct StreamContext {
    /// Which stream.
    pub key: StreamKey,
    /// Whether a generation of it has the message's opaque.
    pub owner: Owner,
    /// Of a STREAM_REQ or its answer: how the generation stood that a success replaces.
    pub older: Option<State>,
    /// How that generation stood; `None` where there is none that is not gone.
    pub before: Option<Before>,
}

/// How a stream stood before a message.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Before {
    /// Its number.
    pub generation: u64,
    /// Its state.
    pub state: State,
    /// What was asked for.
    pub request: Request,
    /// Its snapshot.
    pub snapshot: Option<Snapshot>,
    /// Its last seqno.
    pub last_seqno: u64,
    /// Messages with a seqno that had crossed.
    pub items: u64,
    /// Snapshots that had begun.
    pub snapshots: u64,
    /// CACHE_TRANSFERs that had crossed.
    pub cache_transfers: u64,
    /// CACHE_TRANSFER_ENDs that had crossed.
    pub cache_transfer_ends: u64,
    /// The CLOSE_STREAM for it.
    pub close: Option<Close>,
}

/// A response to the producer that it did not wait for, or that says that the stream is gone (design.md §1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Orphan {
    /// Its status.
    pub status: Status,
    /// What it is an answer to, as far as its opaque tells.
    pub to: OrphanOf,
    /// The stream, where its opaque names one and no other.
    pub stream: Option<StreamKey>,
}

/// What an orphaned response answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrphanOf {
    /// A message of a stream that is live at this edge.
    Live,
    /// A message of a stream whose close is under way or done.
    Closing,
    /// A message of a stream that has ended, was refused, or was replaced.
    Gone,
    /// A message of a stream, but none with its opaque is known.
    Unknown,
    /// A message that belongs to no stream.
    Connection,
}
