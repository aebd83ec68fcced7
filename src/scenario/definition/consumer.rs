use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use crate::dcp::StreamReq;

/// What a consumer of the tool's own (`probe`, `fuzz`, the tests) is to ask for, where a scenario needs something else than
/// all message types of endless streams. A consumer that is somebody else's is taken as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsumerSettings {
    /// HELLO Collections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collections: Option<bool>,
    /// HELLO Snappy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snappy: Option<bool>,
    /// PREPARE, COMMIT, ABORT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_writes: Option<bool>,
    /// Control `consumer_name`: prepares are acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer_name: Option<bool>,
    /// EXPIRATION.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expirations: Option<bool>,
    /// Control `enable_stream_id`, which excludes sync writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_ids: Option<bool>,
    /// Control `send_stream_end_on_client_close_stream`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_end_on_close: Option<bool>,
    /// Control `enable_noop`, every so many seconds; 0 for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noop: Option<u32>,
    /// Control `v7_dcp_status_codes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v7: Option<bool>,
    /// Control `flatbuffers_system_events`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flatbuffers: Option<bool>,
    /// The flow-control window in bytes, 0 for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u32>,
    /// The vbuckets that it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vbuckets: Option<Vec<u16>>,
    /// The seqno at which its streams end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_seqno: Option<u64>,
    /// Flags of its STREAM_REQs: 1 is a takeover.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_flags: Option<u32>,
    /// Other controls, sent last.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub controls: BTreeMap<String, String>,
}

impl ConsumerSettings {
    /// Whether its streams are takeovers: each costs the producer its vbucket (dcp-protocol.md §3.6).
    pub fn takes_over(&self) -> bool {
        self.stream_flags.unwrap_or_default() & StreamReq::TAKEOVER != 0
    }
}
