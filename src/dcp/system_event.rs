/// DCP_SYSTEM_EVENT: a collection or scope was created, changed or dropped (dcp-protocol.md §4.8). Its name is the
/// frame's key, and is not kept here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SystemEvent {
    /// Seqno in the vbucket, never 0.
    pub by_seqno: u64,
    /// Which event: one of the constants of this type.
    pub event: u32,
    /// 0 and 1 are fixed layouts, 2 is a FlatBuffers table.
    pub version: u8,
    /// The value.
    pub body: SystemEventBody,
}

/// What the value of a system event says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SystemEventBody {
    /// A collection was created, flushed (a second begin) or modified.
    Collection(CollectionEvent),
    /// A collection was dropped.
    DroppedCollection {
        /// The manifest's uid.
        manifest_uid: u64,
        /// Its scope.
        scope_id: u32,
        /// Its id.
        collection_id: u32,
        /// Whether it was one of the system's (version 2 only).
        system_collection: bool,
    },
    /// A scope was created.
    Scope {
        /// The manifest's uid.
        manifest_uid: u64,
        /// Its id.
        scope_id: u32,
    },
    /// A scope was dropped.
    DroppedScope {
        /// The manifest's uid.
        manifest_uid: u64,
        /// Its id.
        scope_id: u32,
        /// Whether it was one of the system's (version 2 only).
        system_scope: bool,
    },
}

/// A collection as its event describes it; what the version does not tell is 0 or false.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CollectionEvent {
    /// The manifest's uid.
    pub manifest_uid: u64,
    /// Its scope.
    pub scope_id: u32,
    /// Its id.
    pub collection_id: u32,
    /// Whether `max_ttl` is set (version 1: always).
    pub ttl_valid: bool,
    /// Time to live of its documents, seconds.
    pub max_ttl: u32,
    /// Whether it keeps history (version 2, 7.2).
    pub history: bool,
    /// Max visible seqno of the default collection (version 2, 7.2.4).
    pub default_collection_mvs: u64,
    /// Whether it is metered (version 2, 7.6).
    pub metered: bool,
    /// The uid of the manifest that flushed it (version 2, 8.0).
    pub flush_uid: u64,
}

impl SystemEvent {
    /// A collection begins, or is flushed.
    pub const BEGIN_COLLECTION: u32 = 0;
    /// A collection is dropped.
    pub const END_COLLECTION: u32 = 1;
    /// A scope is created.
    pub const CREATE_SCOPE: u32 = 3;
    /// A scope is dropped.
    pub const DROP_SCOPE: u32 = 4;
    /// A collection is modified (version 2 only).
    pub const MODIFY_COLLECTION: u32 = 5;
}
