use super::FailoverEntry;

/// DCP_STREAM_REQ: asks a producer for a vbucket's stream; its opaque names the stream (dcp-protocol.md §3.1).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StreamReq {
    /// A set of this type's flags.
    pub flags: u32,
    /// Sent as 0.
    pub reserved: u32,
    /// The last seqno that the consumer has.
    pub start_seqno: u64,
    /// Where the stream is to end; `u64::MAX` for never.
    pub end_seqno: u64,
    /// The vbucket's uuid as the consumer knows it, 0 for none.
    pub vb_uuid: u64,
    /// First seqno of the snapshot that the consumer is in.
    pub snap_start_seqno: u64,
    /// Last seqno of the snapshot that the consumer is in.
    pub snap_end_seqno: u64,
    /// The JSON of the value; `None` where the value is empty, which asks for everything.
    pub value: Option<Box<StreamReqValue>>,
}

/// What the JSON value of a stream request says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StreamReqValue {
    /// The manifest uid that the consumer knows (hex in the JSON).
    pub uid: Option<u64>,
    /// The stream id, 1 to 65535.
    pub sid: Option<u16>,
    /// The collections asked for (hex in the JSON).
    pub collections: Option<Vec<u32>>,
    /// The scope asked for (hex in the JSON); excludes `collections`.
    pub scope: Option<u32>,
    /// The purge seqno that the consumer knows (decimal in the JSON).
    pub purge_seqno: Option<u64>,
    /// How a cache transfer is to be done.
    pub cts: Option<CacheTransferRequest>,
}

/// The member `cts` of a stream request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheTransferRequest {
    /// Bytes that the consumer has room for.
    pub free_memory: Option<u64>,
    /// Whether keys without their values are wanted too.
    pub all_keys: Option<bool>,
}

/// The answer to a stream request where it is not an error, which is an [`super::ErrorResponse`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StreamReqResponse {
    /// Success: the stream is open. At least one entry, newest first.
    FailoverLog(Vec<FailoverEntry>),
    /// Rollback: the consumer is to go back first.
    Rollback {
        /// To which seqno.
        rollback_seqno: u64,
    },
}

impl StreamReq {
    /// The vbucket is to be taken over.
    pub const TAKEOVER: u32 = 0x01;
    /// Only what is on disk.
    pub const DISK_ONLY: u32 = 0x02;
    /// The end seqno is the highest one that there is.
    pub const TO_LATEST: u32 = 0x04;
    /// Without values; removed in 5.0.
    pub const NO_VALUE: u32 = 0x08;
    /// Only of an active vbucket.
    pub const ACTIVE_VB_ONLY: u32 = 0x10;
    /// The uuid is checked even at start 0.
    pub const STRICT_VB_UUID: u32 = 0x20;
    /// From the highest seqno on.
    pub const FROM_LATEST: u32 = 0x40;
    /// No rollback for purged deletions.
    pub const IGNORE_PURGED_TOMBSTONES: u32 = 0x80;
    /// The memory's documents first.
    pub const CACHE_TRANSFER: u32 = 0x100;
}
