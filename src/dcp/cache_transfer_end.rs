/// DCP_CACHE_TRANSFER_END: no more documents out of memory (dcp-protocol.md §4.12).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheTransferEnd;
