use super::Malformed;
use super::MemberSink;
use super::check;
use super::malformed::malformed;
use super::member::put;
use super::system_event_body;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

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

impl SystemEvent {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// An event or a version that is not known, or a value that is not theirs.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::raw(frame)?;
        check::no_cas(frame)?;
        let mut fields = check::extras(frame, 13)?;
        let (by_seqno, event, version) = (check::seqno(frame, fields.u64())?, fields.u32(), fields.u8());
        match event {
            Self::BEGIN_COLLECTION | Self::CREATE_SCOPE | Self::MODIFY_COLLECTION => check::some_key(frame)?,
            Self::END_COLLECTION | Self::DROP_SCOPE => {}
            _ => return Err(malformed!("expected a system event of id 0, 1, 3, 4 or 5, found id {event}")),
        }
        let body = match version {
            0 | 1 => system_event_body::fixed(frame, event, version)?,
            2 => system_event_body::table(event, frame.value().unwrap_or_default())?,
            _ => return Err(malformed!("expected system event version 0, 1 or 2, found {version}")),
        };
        Ok(Self { by_seqno, event, version, body })
    }

    /// The request; `name` is the collection's or scope's, empty where it is dropped.
    pub fn request(&self, name: &[u8], vbucket: u16, opaque: Opaque) -> FrameBuilder {
        let mut extras = Vec::with_capacity(13);
        extras.extend(self.by_seqno.to_be_bytes());
        extras.extend(self.event.to_be_bytes());
        extras.push(self.version);
        FrameBuilder::request(Opcode::DCP_SYSTEM_EVENT)
            .vbucket(vbucket)
            .opaque(opaque)
            .extras(extras)
            .key(name)
            .value(system_event_body::bytes(&self.body, self.version, name))
    }

    pub(super) fn members(&self, frame: Option<&Frame<'_>>, to: &mut impl MemberSink) {
        put!(to, self, by_seqno, event, version);
        system_event_body::members(self, frame, to);
    }
}

impl SystemEventBody {
    /// The collection that the event is about.
    pub const fn collection_id(&self) -> Option<u32> {
        match self {
            Self::Collection(collection) => Some(collection.collection_id),
            Self::DroppedCollection { collection_id, .. } => Some(*collection_id),
            Self::Scope { .. } | Self::DroppedScope { .. } => None,
        }
    }

    /// The scope that the event is about, or in.
    pub const fn scope_id(&self) -> u32 {
        match self {
            Self::Collection(collection) => collection.scope_id,
            Self::DroppedCollection { scope_id, .. }
            | Self::Scope { scope_id, .. }
            | Self::DroppedScope { scope_id, .. } => *scope_id,
        }
    }

    /// The manifest's uid.
    pub const fn manifest_uid(&self) -> u64 {
        match self {
            Self::Collection(collection) => collection.manifest_uid,
            Self::DroppedCollection { manifest_uid, .. }
            | Self::Scope { manifest_uid, .. }
            | Self::DroppedScope { manifest_uid, .. } => *manifest_uid,
        }
    }
}
