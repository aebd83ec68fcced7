/// DCP_MUTATION: a document was written (dcp-protocol.md §4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mutation {
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
    /// Bytes of extended metadata, always 0 since 7.0.
    pub nmeta: u16,
    /// Not-recently-used bits, or a frequency counter where `supports_hifi_MFU` was agreed.
    pub nru: u8,
}
