use std::collections::BTreeSet;
use std::time::Duration;

use super::Quirk;
use crate::era::Era;

/// What a producer connection has agreed on: HELLO, the flags of DCP_OPEN, and the controls so far.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) era: Era,
    pub(super) collections: bool,
    pub(super) snappy: bool,
    /// Xattrs are understood (HELLO) and wanted (DCP_OPEN).
    pub(super) xattrs: bool,
    pub(super) values: Values,
    pub(super) delete_times: bool,
    pub(super) deleted_user_xattrs: bool,
    pub(super) skip_deletes: bool,
    pub(super) noop: bool,
    pub(super) noop_interval: Duration,
    pub(super) window: u64,
    pub(super) force_compression: bool,
    pub(super) stream_end_on_close: bool,
    pub(super) expiry: bool,
    pub(super) stream_ids: bool,
    pub(super) sync_writes: bool,
    pub(super) consumer_name: bool,
    pub(super) v7: bool,
    pub(super) flatbuffers: bool,
    pub(super) marker_v2_2: bool,
    /// The historical bugs that the node has.
    pub(super) quirks: BTreeSet<Quirk>,
}

/// What becomes of documents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Values {
    /// They are sent.
    Whole,
    /// They are stripped; the datatype is that of what is left.
    None,
    /// They are stripped; the datatype stays.
    NoneButDatatype,
}

impl Terms {
    /// What holds before any control. Until it is told, no-ops go out every 20 s (dcp-protocol.md §6).
    pub(super) const fn new(era: Era) -> Self {
        Self {
            era,
            collections: false,
            snappy: false,
            xattrs: false,
            values: Values::Whole,
            delete_times: false,
            deleted_user_xattrs: false,
            skip_deletes: false,
            noop: false,
            noop_interval: Duration::from_secs(20),
            window: 0,
            force_compression: false,
            stream_end_on_close: false,
            expiry: false,
            stream_ids: false,
            sync_writes: false,
            consumer_name: false,
            v7: false,
            flatbuffers: false,
            marker_v2_2: false,
            quirks: BTreeSet::new(),
        }
    }

    /// Whether the node has a historical bug.
    pub(super) fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    /// Full sync replication: markers of version 2.0 at least, SEQNO_ACKs expected (dcp-protocol.md §2.2).
    pub(super) fn sync_replication(&self) -> bool {
        self.sync_writes && (self.consumer_name || self.has(Quirk::Mb35314))
    }

    /// Whether the end of a snapshot that the stream sees nothing of is told by SEQNO_ADVANCED (dcp-protocol.md §4.9).
    pub(super) fn seqno_advanced(&self) -> bool {
        let lacks = match self.era {
            Era::V6_0 | Era::V2019_07 | Era::V6_5 | Era::V6_6 => false,
            Era::V7_0 => !self.sync_replication(),
            Era::Master => !self.sync_replication() || !self.flatbuffers || self.skip_deletes,
        };
        self.collections && lacks
    }
}
