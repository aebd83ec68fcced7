use std::collections::BTreeSet;
use std::fmt;

use crate::dcp::Feature;
use crate::dcp::Open;
use crate::era::Era;
use crate::node::Credentials;
use crate::node::Quirk;
use crate::wire::Opcode;

/// Where a client's streams are to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Never.
    Endless,
    /// At the highest seqno that there is when a stream is asked for.
    ToLatest,
    /// At a seqno.
    At(u64),
}

/// What a [`Client`](super::Client) asks a producer for.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// Whose names of controls it uses.
    pub era: Era,
    /// Who logs in; `None` does not.
    pub login: Option<Credentials>,
    /// What SCRAM is to be begun with: printable, without a comma, another for each connection. With it the client asks how
    /// one may log in and takes the best that both know; without, it logs in with PLAIN.
    pub nonce: Option<String>,
    /// The bucket to select; empty selects none.
    pub bucket: String,
    /// The connection's name.
    pub name: String,
    /// The vbuckets whose streams it asks for.
    pub vbuckets: Vec<u16>,
    /// HELLO Collections: collection ids in keys, and system events.
    pub collections: bool,
    /// HELLO Snappy.
    pub snappy: bool,
    /// Open flag 0x04.
    pub xattrs: bool,
    /// Open flag 0x20: deletions of version 2.
    pub delete_times: bool,
    /// Open flag 0x100 and its control, since 6.6.
    pub deleted_user_xattrs: bool,
    /// Control `enable_expiry_opcode`: EXPIRATION.
    pub expirations: bool,
    /// The control for sync writes under the era's name: PREPARE, COMMIT, ABORT.
    pub sync_writes: bool,
    /// Control `consumer_name`: with sync writes, prepares are acknowledged and markers are of version 2.
    pub consumer_name: Option<String>,
    /// Control `send_stream_end_on_client_close_stream`.
    pub stream_end_on_close: bool,
    /// Control `enable_noop`, and every how many seconds.
    pub noop: Option<u32>,
    /// Control `v7_dcp_status_codes`, since 7.0.
    pub v7: bool,
    /// Control `flatbuffers_system_events`, since 7.2.
    pub flatbuffers: bool,
    /// Control `enable_stream_id`, which excludes sync writes: the vbucket's number + 1 is its stream's id.
    pub stream_ids: bool,
    /// Other controls, sent last.
    pub more_controls: Vec<(String, String)>,
    /// The flow-control window, 0 for none.
    pub window: u32,
    /// More than this much of the window is collected before it is given back, in hundredths.
    pub ack_percent: u32,
    /// Where the streams end.
    pub end: End,
    /// Flags of the stream requests, beside what `end` needs.
    pub stream_flags: u32,
    /// Close the connection after this many items.
    pub max_items: Option<u64>,
    /// How often a vbucket's stream is asked for again without having brought anything.
    pub retries: u32,
    /// The historical bugs that it has.
    pub quirks: BTreeSet<Quirk>,
}

impl ClientConfig {
    /// A client that asks for all eight message types of the vbuckets, in the era's words.
    pub fn new(era: Era, vbuckets: impl IntoIterator<Item = u16>) -> Self {
        Self {
            era,
            login: None,
            nonce: None,
            bucket: "default".to_owned(),
            name: "dcproxy-client".to_owned(),
            vbuckets: vbuckets.into_iter().collect(),
            collections: true,
            snappy: false,
            xattrs: true,
            delete_times: true,
            deleted_user_xattrs: era >= Era::V6_6,
            expirations: true,
            sync_writes: true,
            consumer_name: Some("dcproxy-client".to_owned()),
            stream_end_on_close: true,
            noop: Some(1),
            v7: era >= Era::V7_0,
            flatbuffers: false,
            stream_ids: false,
            more_controls: Vec::new(),
            window: 64 * 1024,
            ack_percent: 20,
            end: End::Endless,
            stream_flags: 0,
            max_items: None,
            retries: 16,
            quirks: BTreeSet::new(),
        }
    }

    /// The same without what brings messages of a kind. COMMIT and ABORT go with PREPARE; a mutation or deletion cannot
    /// be left out.
    #[must_use]
    pub fn without(mut self, opcode: Opcode) -> Self {
        match opcode {
            Opcode::DCP_EXPIRATION => self.expirations = false,
            Opcode::DCP_PREPARE | Opcode::DCP_COMMIT | Opcode::DCP_ABORT => self.sync_writes = false,
            Opcode::DCP_SYSTEM_EVENT => self.collections = false,
            Opcode::DCP_STREAM_END => self.stream_end_on_close = false,
            Opcode::DCP_NOOP => self.noop = None,
            _ => {}
        }
        self
    }

    /// The same with stream ids, and without what they exclude.
    #[must_use]
    pub const fn with_stream_ids(mut self) -> Self {
        self.stream_ids = true;
        self.sync_writes = false;
        self
    }

    /// The id of a vbucket's stream, if it has one.
    pub const fn stream_id(&self, vbucket: u16) -> Option<u16> {
        if self.stream_ids { Some(vbucket.saturating_add(1)) } else { None }
    }

    pub(super) fn features(&self) -> Vec<u16> {
        let mut features = vec![Feature::XATTR, Feature::XERROR, Feature::SELECT_BUCKET, Feature::JSON];
        if self.snappy {
            features.push(Feature::SNAPPY);
        }
        if self.collections {
            features.push(Feature::COLLECTIONS);
        }
        features
    }

    pub(super) const fn open_flags(&self) -> u32 {
        let mut flags = Open::PRODUCER;
        if self.xattrs {
            flags |= Open::INCLUDE_XATTRS;
        }
        if self.delete_times {
            flags |= Open::INCLUDE_DELETE_TIMES;
        }
        if self.xattrs && self.deleted_user_xattrs {
            flags |= Open::INCLUDE_DELETED_USER_XATTRS;
        }
        flags
    }

    pub(super) fn controls(&self) -> Vec<(String, String)> {
        let mut controls = Vec::new();
        let mut control = |wanted: bool, key: &str, value: &str| {
            if wanted {
                controls.push((key.to_owned(), value.to_owned()));
            }
        };
        control(self.window != 0, "connection_buffer_size", &self.window.to_string());
        if let Some(seconds) = self.noop {
            control(true, "enable_noop", "true");
            control(true, "set_noop_interval", &seconds.to_string());
        }
        control(self.stream_end_on_close, "send_stream_end_on_client_close_stream", "true");
        control(self.expirations, "enable_expiry_opcode", "true");
        if self.sync_writes {
            // 6.0 knows no sync writes; it is asked all the same, and refuses.
            control(true, self.era.sync_writes_control().unwrap_or("enable_sync_writes"), "true");
            if let Some(name) = &self.consumer_name {
                control(true, "consumer_name", name);
            }
        }
        control(self.stream_ids, "enable_stream_id", "true");
        control(self.xattrs && self.deleted_user_xattrs, "include_deleted_user_xattrs", "true");
        control(self.v7, "v7_dcp_status_codes", "true");
        control(self.flatbuffers, "flatbuffers_system_events", "true");
        controls.extend(self.more_controls.iter().cloned());
        controls
    }
}

impl fmt::Debug for ClientConfig {
    /// The login is left out (law L9).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("era", &self.era)
            .field("bucket", &self.bucket)
            .field("name", &self.name)
            .field("vbuckets", &self.vbuckets)
            .field("controls", &self.controls())
            .field("end", &self.end)
            .field("max_items", &self.max_items)
            .finish_non_exhaustive()
    }
}
