/// HELLO: what the client would like to use (dcp-protocol.md §2).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hello {
    /// The key: the client's name, or JSON with it.
    pub agent: String,
    /// The features asked for, as numbers: what is unknown survives. Constants at [`Feature`].
    pub features: Vec<u16>,
}

/// The answer to [`Hello`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HelloResponse {
    /// The features agreed.
    pub features: Vec<u16>,
}

/// The HELLO features that matter to DCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Feature;

#[allow(missing_docs)]
impl Feature {
    pub const XATTR: u16 = 0x06;
    pub const XERROR: u16 = 0x07;
    pub const SELECT_BUCKET: u16 = 0x08;
    pub const SNAPPY: u16 = 0x0a;
    pub const JSON: u16 = 0x0b;
    pub const DUPLEX: u16 = 0x0c;
    pub const UNORDERED_EXECUTION: u16 = 0x0e;
    pub const TRACING: u16 = 0x0f;
    pub const ALT_REQUESTS: u16 = 0x10;
    pub const SYNC_REPLICATION: u16 = 0x11;
    pub const COLLECTIONS: u16 = 0x12;
    pub const SNAPPY_EVERYWHERE: u16 = 0x13;
    pub const DEDUPE_NOT_MY_VBUCKET_CLUSTERMAP: u16 = 0x1e;
}
