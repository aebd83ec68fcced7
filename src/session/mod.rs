//! State of one connection as seen at one edge: roles, what was agreed on, streams, outstanding requests, flow control,
//! no-ops. Fed with journal entries, sans-IO; whoever acts or judges asks it what a frame is in context.
//!
//! Everything is bounded, whatever the peers do. What crossed the edge counts, whoever originated it: a STREAM_END that
//! the tool forges ends the stream at the consumer's edge, and leaves it open at the producer's.

mod agreed;
mod census;
mod context;
mod flow;
mod noop;
mod observe;
mod open;
mod outstanding;
#[cfg(test)]
pub(crate) mod script;
mod snapshot;
mod stream;
mod streams;
mod stretch;
#[cfg(test)]
mod tests;

pub use agreed::Control;
pub use agreed::Controls;
pub use agreed::Features;
pub use census::Census;
pub use context::Before;
pub use context::Context;
pub use context::Orphan;
pub use context::OrphanOf;
pub use context::StreamContext;
pub use flow::Flow;
pub use noop::Noop;
pub use open::Open;
pub use outstanding::Asked;
pub use outstanding::Outstanding;
pub use snapshot::Counts;
pub use snapshot::Snapshot;
pub use snapshot::SnapshotKind;
pub use stream::Close;
pub use stream::End;
pub use stream::Request;
pub use stream::State;
pub use stream::Stream;
pub use stream::StreamKey;
pub use streams::Gone;
pub use streams::Owner;
pub use streams::Streams;

use crate::dcp::Negotiated;
use crate::journal::Direction;
use crate::journal::Entry;
use crate::journal::Origin;
use crate::journal::Role;
use crate::journal::Side;
use crate::journal::What;

/// Bytes of a VERSION answer or a connection name that are worth keeping.
const MAX_TEXT: usize = 1_024;
/// Entries of a failover log that are kept; kv_engine has at most 25.
const MAX_FAILOVER_LOG: usize = 64;

/// What is known of a connection at one edge.
#[derive(Clone, Debug)]
pub struct Session {
    edge: Side,
    open: Option<Open>,
    opening: Vec<(u64, Open)>,
    features: Features,
    controls: Controls,
    negotiated: Negotiated,
    v7: bool,
    sync_writes: bool,
    sync_replication: bool,
    version: Option<String>,
    streams: Streams,
    generation: u64,
    outstanding: Outstanding,
    flow: Flow,
    noop: Noop,
    frames: [u64; 2],
    lost: bool,
    garbled: bool,
    gap: bool,
    context: Context,
}

impl Session {
    /// A connection of which nothing was seen yet, at the edge of `edge`.
    pub fn new(edge: Side) -> Self {
        Self {
            edge,
            open: None,
            opening: Vec::new(),
            features: Features::default(),
            controls: Controls::default(),
            negotiated: Negotiated::default(),
            v7: false,
            sync_writes: false,
            sync_replication: false,
            version: None,
            streams: Streams::default(),
            generation: 0,
            outstanding: Outstanding::default(),
            flow: Flow::default(),
            noop: Noop::default(),
            frames: [0; 2],
            lost: false,
            garbled: false,
            gap: false,
            context: Context::default(),
        }
    }

    /// Takes in an entry of this edge and tells what it is in context. Entries of the other edge are passed over.
    pub fn observe(&mut self, entry: &Entry) -> &Context {
        self.context = Context::default();
        if entry.edge == self.edge {
            match &entry.what {
                What::Frame(head) => self.frame(entry, head),
                // What the tool garbled on purpose is no lack of evidence, but what the end makes of it is not known.
                What::FramingLost(_) if entry.origin == Origin::Tool => self.garbled = true,
                What::FramingLost(_) => self.lost = true,
                What::Gap(_) => self.gap = true,
                What::Closed { .. } | What::Paused(_) | What::Acted(_) => {}
            }
        }
        &self.context
    }

    /// What the last entry observed is in context.
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// At whose edge this is.
    pub const fn edge(&self) -> Side {
        self.edge
    }

    /// The side that sends mutations; `None` before DCP_OPEN, provisional till its answer.
    #[inline]
    pub fn producer(&self) -> Option<Side> {
        self.open_or_opening().map(Open::producer)
    }

    /// What the end at `side` is; `None` before DCP_OPEN.
    #[inline]
    pub fn role(&self, side: Side) -> Option<Role> {
        self.producer().map(|producer| if producer == side { Role::Producer } else { Role::Consumer })
    }

    /// The DCP_OPEN that was accepted, or the first that awaits its answer.
    pub fn open(&self) -> Option<&Open> {
        self.open_or_opening()
    }

    /// The features of the last HELLO.
    pub const fn features(&self) -> &Features {
        &self.features
    }

    /// The controls that were asked for, refused ones among them.
    pub const fn controls(&self) -> &Controls {
        &self.controls
    }

    /// What became of the control `key`; `None` where it was never asked for.
    pub fn control(&self, key: &str) -> Option<Control<'_>> {
        self.controls.control(key)
    }

    /// What the two ends have agreed on, as far as it changes how frames are read.
    pub const fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    /// Whether `v7_dcp_status_codes` was accepted.
    pub const fn v7(&self) -> bool {
        self.v7
    }

    /// Whether PREPARE, COMMIT and ABORT were agreed on. The control had another name in July 2019 (real-servers.md §4).
    pub const fn sync_writes(&self) -> bool {
        self.sync_writes
    }

    /// Whether the consumer replicates with acknowledgements: it has a name too (dcp-protocol.md §2.2). Not so in July
    /// 2019, which knew no markers of v2.0 yet.
    pub const fn sync_replication(&self) -> bool {
        self.sync_replication
    }

    /// The text of the last VERSION answer.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The streams.
    pub const fn streams(&self) -> &Streams {
        &self.streams
    }

    /// The stream of `key`.
    pub fn stream(&self, key: StreamKey) -> Option<&Stream> {
        self.streams.at(key)
    }

    /// The requests that await an answer.
    pub const fn outstanding(&self) -> &Outstanding {
        &self.outstanding
    }

    /// The producer's flow-control window.
    pub const fn flow(&self) -> &Flow {
        &self.flow
    }

    /// The producer's no-ops.
    pub const fn noop(&self) -> &Noop {
        &self.noop
    }

    /// Frames that crossed this edge in `direction`.
    pub const fn frames(&self, direction: Direction) -> u64 {
        match direction {
            Direction::From => self.frames[0],
            Direction::To => self.frames[1],
        }
    }

    /// Whether the framing of a direction was lost: from there on what it says is not seen.
    pub const fn framing_lost(&self) -> bool {
        self.lost
    }

    /// Whether bytes were missing: frames may have crossed that were not seen, so counts are too low.
    pub const fn gap(&self) -> bool {
        self.gap
    }

    /// Whether the tool has garbled on purpose what the end at this edge is sent: what it has heard since is not known.
    pub const fn garbled(&self) -> bool {
        self.garbled
    }

    /// Whether all that crossed this edge was seen and could be kept track of.
    pub const fn is_reliable(&self) -> bool {
        !self.lost && !self.garbled && !self.gap && !self.streams.overflowed() && !self.outstanding.overflowed()
    }

    #[inline]
    fn open_or_opening(&self) -> Option<&Open> {
        self.open.as_ref().or_else(|| self.opening.first().map(|(_, open)| open))
    }
}
