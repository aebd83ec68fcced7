use std::fmt;

/// DCP_SNAPSHOT_MARKER: the seqnos that follow belong together (dcp-protocol.md §4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SnapshotMarker {
    /// Its layout.
    pub version: MarkerVersion,
    /// First seqno of the snapshot.
    pub start_seqno: u64,
    /// Last seqno of the snapshot.
    pub end_seqno: u64,
    /// A set of this type's flags.
    pub flags: u32,
    /// Version 2.x: the highest seqno that a reader may see.
    pub max_visible_seqno: Option<u64>,
    /// Version 2.x with the Disk flag: the highest completed prepare. Without the flag its bytes mean nothing.
    pub high_completed_seqno: Option<u64>,
    /// Version 2.1: a time, ns since the epoch.
    pub timestamp: Option<u64>,
    /// Version 2.2: the purge seqno.
    pub purge_seqno: Option<u64>,
    /// Version 2.2 with the Disk flag: the highest prepare. Without the flag its bytes mean nothing.
    pub high_prepared_seqno: Option<u64>,
}

/// The layouts of a snapshot marker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum MarkerVersion {
    /// Everything in 20 bytes of extras.
    #[default]
    V1,
    /// 36 bytes of value: max visible and high completed seqno too.
    V2_0,
    /// 44 bytes of value: a timestamp too. In the code of 7.0 to 7.6, never used.
    V2_1,
    /// 52 bytes of value: purge and high prepared seqno too.
    V2_2,
}

impl MarkerVersion {
    /// As it is written: `1`, `2.0`, `2.1` or `2.2`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "1",
            Self::V2_0 => "2.0",
            Self::V2_1 => "2.1",
            Self::V2_2 => "2.2",
        }
    }
}

impl fmt::Display for MarkerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl SnapshotMarker {
    /// The snapshot comes from memory.
    pub const MEMORY: u32 = 0x01;
    /// The snapshot comes from disk.
    pub const DISK: u32 = 0x02;
    /// A checkpoint starts with it.
    pub const CHECKPOINT: u32 = 0x04;
    /// To be answered once the item at the end seqno was processed.
    pub const ACK: u32 = 0x08;
    /// It has the history of its range.
    pub const HISTORY: u32 = 0x10;
    /// A key may come more than once.
    pub const MAY_CONTAIN_DUPLICATE_KEYS: u32 = 0x20;
}
