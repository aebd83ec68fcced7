use crate::wire::Datatype;

/// DCP_CACHE_TRANSFER: documents out of the producer's memory, in no order (dcp-protocol.md §4.11).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CacheTransfer {
    /// The records, at least one; their keys and values stay in the frame.
    pub items: Vec<CacheItem>,
}

/// One record of a cache transfer, without its key and value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheItem {
    /// CAS of the document.
    pub cas: u64,
    /// Seqno in the vbucket.
    pub by_seqno: u64,
    /// Revision of the document.
    pub rev_seqno: u64,
    /// Bytes of its value.
    pub value_len: u32,
    /// The user's flags.
    pub flags: u32,
    /// When the document expires, seconds since the epoch; 0 for never.
    pub expiration: u32,
    /// Bytes of its key, with the collection id.
    pub key_len: u16,
    /// How its value is to be read.
    pub datatype: Datatype,
    /// How hot it is in the producer's cache.
    pub cache_hint: u8,
    /// The collection id that its key begins with, where the connection has collections.
    pub collection_id: Option<u32>,
}
