use std::collections::BTreeSet;

use super::super::prepares::Pending;
use super::super::prepares::Prepares;
use crate::dcp::Message;
use crate::dcp::SetVbucketState;
use crate::dcp::SnapshotMarker;
use crate::dcp::SystemEvent;
use crate::dcp::SystemEventBody;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// What a vbucket is at the consumer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum VbucketState {
    /// Serves clients.
    Active,
    /// Follows an active one.
    Replica,
    /// Is about to become active.
    Pending,
    /// Serves nobody, though its data is still here.
    Dead,
}

impl VbucketState {
    /// That of a number on the wire.
    pub(in crate::node) const fn of(number: u8) -> Option<Self> {
        Some(match number {
            SetVbucketState::ACTIVE => Self::Active,
            SetVbucketState::REPLICA => Self::Replica,
            SetVbucketState::PENDING => Self::Pending,
            SetVbucketState::DEAD => Self::Dead,
            _ => return None,
        })
    }

    /// Its number on the wire.
    pub(in crate::node) const fn number(self) -> u8 {
        match self {
            Self::Active => SetVbucketState::ACTIVE,
            Self::Replica => SetVbucketState::REPLICA,
            Self::Pending => SetVbucketState::PENDING,
            Self::Dead => SetVbucketState::DEAD,
        }
    }
}

/// The states of a consumer's stream:
///
/// ```text
///   ADD_STREAM        STREAM_REQ Success
///  ------------> Asked ------------------> Live
///                 | refused, CLOSE_STREAM   | CLOSE_STREAM
///                 +----------> Dead <-------+
/// ```
/// Up to 6.0 CLOSE_STREAM removes the stream at once. STREAM_END, a promotion and a deletion of the vbucket remove it
/// from every state; ADD_STREAM replaces a dead one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StreamState {
    /// The producer has not answered STREAM_REQ yet.
    Asked,
    /// It streams.
    Live,
    /// Closed or refused, and kept: its messages are swallowed.
    Dead,
}

/// A stream at the consumer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub(super) opaque: Opaque,
    pub(super) state: StreamState,
    /// The opaque of the ADD_STREAM that is to be answered.
    pub(super) add_opaque: Opaque,
    pub(super) flags: u32,
    pub(super) last_seqno: u64,
    pub(super) snapshot: Option<SnapshotMarker>,
}

/// A vbucket at the consumer.
#[derive(Clone, Debug)]
pub(super) struct Vbucket {
    pub(super) state: VbucketState,
    pub(super) stream: Option<Stream>,
    pub(super) prepares: Prepares,
    /// The prepare up to which the producer was told.
    pub(super) acked_prepare: u64,
    collections: BTreeSet<u32>,
    collections_overflowed: bool,
}

const COLLECTIONS_LIMIT: usize = 65_536;

impl Vbucket {
    pub(super) fn replica() -> Self {
        Self {
            state: VbucketState::Replica,
            stream: None,
            prepares: Prepares::default(),
            acked_prepare: 0,
            collections: BTreeSet::from([0]),
            collections_overflowed: false,
        }
    }

    /// Judges an item of the vbucket's live stream as kv_engine does (orphaned-responses.md §2, "With a live, matching
    /// stream"), and takes it in where it is good. `collection` is that of its key, if it has one.
    ///
    /// # Errors
    /// The status to answer with.
    #[allow(clippy::wildcard_enum_match_arm)] // every other item completes a prepare of its key
    pub(super) fn item(
        &mut self,
        message: &Message,
        opcode: Opcode,
        key: &[u8],
        collection: Option<u32>,
    ) -> Result<(), Status> {
        let (Some(stream), Some(seqno)) = (&mut self.stream, message.by_seqno()) else {
            return Err(Status::EINVAL);
        };
        if seqno <= stream.last_seqno {
            return Err(Status::ERANGE);
        }
        let document = matches!(
            opcode,
            Opcode::DCP_MUTATION | Opcode::DCP_DELETION | Opcode::DCP_EXPIRATION | Opcode::DCP_PREPARE
        );
        let within =
            stream.snapshot.is_some_and(|snapshot| (snapshot.start_seqno..=snapshot.end_seqno).contains(&seqno));
        stream.last_seqno = seqno;
        if document && !within {
            return Err(Status::ERANGE);
        }
        let from_disk = stream.snapshot.is_some_and(|snapshot| snapshot.flags & SnapshotMarker::DISK != 0);
        let writable = matches!(self.state, VbucketState::Replica | VbucketState::Pending);
        if document && !writable {
            return Err(Status::NOT_MY_VBUCKET);
        }
        if document && collection.is_some_and(|id| !self.knows(id)) {
            return Err(Status::UNKNOWN_COLLECTION);
        }
        match message {
            Message::Prepare(_) => self.prepares.prepare(key, seqno),
            Message::Commit(_) if self.prepares.look(key) == Pending::Missing => return Err(Status::KEY_ENOENT),
            Message::Abort(_) if self.prepares.look(key) == Pending::Missing && !from_disk => {
                return Err(Status::EINVAL);
            }
            Message::SystemEvent(event) => self.system_event(event),
            _ => self.prepares.complete(key),
        }
        Ok(())
    }

    /// Judges a marker of the vbucket's live stream.
    ///
    /// # Errors
    /// The status to answer with.
    pub(super) fn marker(&mut self, marker: &SnapshotMarker) -> Result<(), Status> {
        let Some(stream) = &mut self.stream else { return Err(Status::EINVAL) };
        if marker.start_seqno < stream.last_seqno && marker.end_seqno <= stream.last_seqno {
            return Err(Status::ERANGE);
        }
        stream.snapshot = Some(*marker);
        Ok(())
    }

    pub(super) fn roll_back(&mut self, seqno: u64) {
        self.prepares.roll_back(seqno);
        self.acked_prepare = self.acked_prepare.min(seqno);
        if seqno == 0 {
            self.collections = BTreeSet::from([0]);
            self.collections_overflowed = false;
            self.prepares = Prepares::default();
        }
    }

    /// A collection is there from before.
    pub(super) fn learn(&mut self, collection: u32) {
        self.collections.insert(collection);
    }

    fn knows(&self, collection: u32) -> bool {
        self.collections_overflowed || self.collections.contains(&collection)
    }

    fn system_event(&mut self, event: &SystemEvent) {
        match &event.body {
            SystemEventBody::Collection(collection) => {
                if self.collections.len() < COLLECTIONS_LIMIT {
                    self.collections.insert(collection.collection_id);
                } else {
                    self.collections_overflowed = true;
                }
            }
            SystemEventBody::DroppedCollection { collection_id, .. } => {
                self.collections.remove(collection_id);
            }
            SystemEventBody::Scope { .. } | SystemEventBody::DroppedScope { .. } => {}
        }
    }
}
