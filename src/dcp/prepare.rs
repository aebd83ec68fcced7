/// DCP_PREPARE: a synchronous write is pending (dcp-protocol.md §4.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Prepare {
    /// Seqno in the vbucket, never 0.
    pub by_seqno: u64,
    /// Revision of the document.
    pub rev_seqno: u64,
    /// The user's flags, passed through.
    pub flags: u32,
    /// When the document expires, seconds since the epoch; 0 for never.
    pub expiration: u32,
    /// Lock time, seconds.
    pub lock_time: u32,
    /// Not-recently-used bits, or a frequency counter.
    pub nru: u8,
    /// 1 for a pending deletion.
    pub deleted: u8,
    /// 1 majority, 2 majority and persist on active, 3 persist to majority.
    pub durability_level: u8,
}
