/// DCP_STREAM_END: nothing more of this stream (dcp-protocol.md §3.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StreamEnd {
    /// One of this type's constants, or a newer one.
    pub end_reason: u32,
}

impl StreamEnd {
    /// The end seqno was reached.
    pub const OK: u32 = 0;
    /// The consumer closed it.
    pub const CLOSED: u32 = 1;
    /// The vbucket changed its state.
    pub const STATE_CHANGED: u32 = 2;
    /// The connection is going away (never sent today).
    pub const DISCONNECTED: u32 = 3;
    /// The consumer was too slow.
    pub const SLOW: u32 = 4;
    /// The backfill failed.
    pub const BACKFILL_FAIL: u32 = 5;
    /// The vbucket rolled back (mapped to [`StreamEnd::STATE_CHANGED`] before it is sent).
    pub const ROLLBACK: u32 = 6;
    /// What the stream filtered for was dropped.
    pub const FILTER_EMPTY: u32 = 7;
    /// The consumer may no longer read this.
    pub const LOST_PRIVILEGES: u32 = 8;
}
