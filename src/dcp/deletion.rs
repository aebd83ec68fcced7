/// DCP_DELETION: a document was deleted. The length of the extras tells the version (dcp-protocol.md §4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Deletion {
    /// 1 or 2.
    pub version: u8,
    /// Seqno in the vbucket, never 0.
    pub by_seqno: u64,
    /// Revision of the document.
    pub rev_seqno: u64,
    /// Version 2: when, seconds since the epoch; 0 where it was not read from disk.
    pub delete_time: Option<u32>,
    /// Version 1: bytes of extended metadata, always 0 since 7.0.
    pub nmeta: Option<u16>,
    /// Version 2: the last byte of the extras.
    pub unused: Option<u8>,
}
