use std::collections::BTreeSet;

use crate::era::Era;
use crate::node::Quirk;

/// What a consumer node is told to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PassiveConfig {
    /// Whose rules it follows.
    pub era: Era,
    /// How many vbuckets it has, numbered from 0, all replicas.
    pub vbuckets: u16,
    /// Whether collections were agreed on in HELLO.
    pub collections: bool,
    /// Whether Snappy was agreed on in HELLO.
    pub snappy: bool,
    /// Whether it was opened with flag 0x20, so that it takes deletions of version 2 only.
    pub delete_times: bool,
    /// The name that DCP_OPEN gave it; with it, it asks for synchronous replication.
    pub consumer_name: Option<String>,
    /// Whether it asks for `v7_dcp_status_codes`, from 7.0 on.
    pub v7: bool,
    /// Its flow-control window, 0 for none.
    pub window: u32,
    /// The historical bugs that it has.
    pub quirks: BTreeSet<Quirk>,
}

impl PassiveConfig {
    /// A consumer of the era as its own cluster opens it: with collections (from 6.5 on), a name and v7 status codes (from 7.0 on).
    pub fn new(era: Era, vbuckets: u16) -> Self {
        Self {
            era,
            vbuckets,
            collections: era > Era::V6_0,
            snappy: false,
            delete_times: true,
            consumer_name: Some("dcproxy-consumer".to_owned()),
            v7: era >= Era::V7_0,
            window: 1024 * 1024,
            quirks: BTreeSet::new(),
        }
    }

    /// The controls that it sends once it is open, in order (as recorded: real-servers.md §5 and the captures of 2019-07 and 6.5.0); `None` stands for GET_ERROR_MAP, by
    /// which consumers up to 7.2 found out whom they talk to.
    pub(super) fn controls(&self) -> Vec<Option<(&'static str, String)>> {
        let yes = || "true".to_owned();
        let mut controls = Vec::new();
        let mut control = |key, value| controls.push(Some((key, value)));
        if self.window != 0 {
            control("connection_buffer_size", self.window.to_string());
        }
        control("enable_noop", yes());
        control("set_noop_interval", "1".to_owned());
        control("set_priority", "high".to_owned());
        if self.era < Era::V7_0 {
            control("enable_ext_metadata", yes());
        }
        control("supports_cursor_dropping_vulcan", yes());
        control("supports_hifi_MFU", yes());
        control("send_stream_end_on_client_close_stream", yes());
        if self.era > Era::V6_0 {
            control("enable_expiry_opcode", yes());
        }
        if let (Some(key), Some(name)) = (self.era.sync_writes_control(), &self.consumer_name) {
            control(key, yes());
            control("consumer_name", name.clone());
        }
        if self.era >= Era::V6_6 {
            control("include_deleted_user_xattrs", yes());
        }
        if self.era >= Era::V7_0 && self.v7 {
            control("v7_dcp_status_codes", yes());
        }
        if self.era < Era::Master {
            controls.insert(controls.len().min(usize::from(self.window != 0)), None);
        }
        controls
    }
}
