/// DCP_EXPIRATION: a document's time has come (dcp-protocol.md §4.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Expiration {
    /// Seqno in the vbucket, never 0.
    pub by_seqno: u64,
    /// Revision of the document.
    pub rev_seqno: u64,
    /// When, seconds since the epoch.
    pub delete_time: u32,
}
