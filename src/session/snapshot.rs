use crate::dcp::MarkerVersion;

/// What a snapshot began with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SnapshotKind {
    /// A marker in this form.
    Marker(MarkerVersion),
    /// OSO_SNAPSHOT start: items come in the order of their keys; its bounds are not known.
    Oso,
}

/// A span of seqnos that makes a consistent state only when whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// What it began with.
    pub kind: SnapshotKind,
    /// Its first seqno; of an OSO snapshot the last seqno before it.
    pub start: u64,
    /// Its last seqno; of an OSO snapshot the highest seqno so far.
    pub end: u64,
    /// The marker's flags; of an OSO snapshot 0.
    pub flags: u32,
    /// The highest seqno that clients may see, where the marker gives it.
    pub max_visible_seqno: Option<u64>,
    /// Deletions up to here may be missing, where the marker gives it.
    pub purge_seqno: Option<u64>,
    /// Messages with a seqno that crossed in it.
    pub items: u64,
    /// Messages that crossed in it and do not decode: their seqnos are not known.
    pub undecoded: u64,
    /// Whether OSO_SNAPSHOT end has crossed.
    pub oso_ended: bool,
}

impl Snapshot {
    /// Whether this is an OSO snapshot that has not ended.
    pub const fn is_open_oso(&self) -> bool {
        matches!(self.kind, SnapshotKind::Oso) && !self.oso_ended
    }

    /// Whether all bits of `flags` are set.
    pub const fn has(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }

    /// Whether nothing of it is missing when `last_seqno` has crossed. A stream that is filtered, or cannot see
    /// collections, may never reach its end (invariants.md D12).
    pub const fn is_complete(&self, last_seqno: u64) -> bool {
        match self.kind {
            SnapshotKind::Marker(_) => last_seqno >= self.end,
            SnapshotKind::Oso => self.oso_ended,
        }
    }
}

/// What of a stream has crossed an edge.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Frames, whatever they say.
    pub frames: u64,
    /// Messages with a seqno of their own.
    pub items: u64,
    /// Markers and OSO starts.
    pub snapshots: u64,
    /// Bytes charged to the flow-control window.
    pub charged: u64,
    /// CACHE_TRANSFERs.
    pub cache_transfers: u64,
    /// CACHE_TRANSFER_ENDs.
    pub cache_transfer_ends: u64,
}

impl Counts {
    pub(super) const fn new() -> Self {
        Self { frames: 0, items: 0, snapshots: 0, charged: 0, cache_transfers: 0, cache_transfer_ends: 0 }
    }
}
