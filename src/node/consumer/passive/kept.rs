//! What a consumer's streams bring is kept by the node that it is a part of; what the node has is where they begin.

use super::PassiveStreams;
use super::vbucket::StreamState;
use super::vbucket::Vbucket;
use super::vbucket::VbucketState;
use crate::dcp;
use crate::dcp::FailoverEntry;
use crate::dcp::Message;
use crate::dcp::SnapshotMarker;
use crate::dcp::SystemEventBody;
use crate::node::consumer::Snapshot;
use crate::node::data::Kind;
use crate::node::data::Outline;
use crate::node::document::Item;
use crate::node::vbucket;
use crate::wire::Datatype;
use crate::wire::Frame;
use crate::wire::MAX_FRAME_LEN;
use crate::wire::leb128;

/// What a stream has brought to a vbucket, in its order.
#[derive(Clone, Debug)]
pub(in crate::node) enum Taken {
    /// Its history is the producer's.
    Log(Vec<FailoverEntry>),
    /// All behind this seqno is taken back.
    RolledBack(u64),
    /// A snapshot begins.
    Marker(SnapshotMarker),
    /// An item.
    Item(Box<Item>),
    /// It becomes this.
    State(VbucketState),
    /// It is gone.
    Deleted,
}

/// What is to be kept, where somebody keeps it.
#[derive(Debug, Default)]
pub(super) struct Keep(Option<Vec<(u16, Taken)>>);

impl Keep {
    pub(super) fn note(&mut self, vbucket: u16, taken: impl FnOnce() -> Option<Taken>) {
        if let Some(kept) = &mut self.0 {
            kept.extend(taken().map(|taken| (vbucket, taken)));
        }
    }
}

impl PassiveStreams {
    /// Hands over what comes from here on: [`Self::taken`] is to be called after every frame.
    #[must_use]
    pub(in crate::node) fn kept(mut self) -> Self {
        self.keep = Keep(Some(Vec::new()));
        self
    }

    /// What has come since this was asked last.
    pub(in crate::node) fn taken(&mut self) -> Vec<(u16, Taken)> {
        self.keep.0.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Sees what the node has made of a vbucket meanwhile.
    pub(in crate::node) fn see(&mut self, number: u16, state: Option<VbucketState>) {
        match (state, self.vbucket_state(number)) {
            (None, Some(_)) => self.delete_vbucket(number),
            (Some(state), before) if before != Some(state) => self.set_vbucket(number, state),
            (None, None) | (Some(_), _) => {}
        }
    }

    /// Begins where the node's vbucket ends, before its stream is added.
    pub(in crate::node) fn begin_at(&mut self, number: u16, from: &vbucket::Vbucket) {
        let Some(held) = self.vbuckets.get_mut(&number) else { return };
        if held.stream.is_some_and(|stream| stream.state != StreamState::Dead) {
            return;
        }
        let (state, stream, acked) = (held.state, held.stream, held.acked_prepare);
        *held = Vbucket::replica();
        (held.state, held.stream, held.acked_prepare) = (state, stream, acked.min(from.high()));
        for collection in from.collections() {
            held.learn(collection.id);
        }
        let mut key = Vec::new();
        from.recent(|outline, logical| {
            key.clear();
            if self.config.collections {
                leb128::write(outline.collection, &mut key);
            }
            key.extend_from_slice(logical);
            if let Kind::Prepare { .. } = outline.kind {
                held.prepares.prepare(&key, outline.seqno);
            } else if !outline.kind.is_system_event() {
                held.prepares.complete(&key);
            }
        });
        let snapshot: Option<Snapshot> = from.snapshot();
        self.ledger.entry(number).begin_at(from.high(), snapshot, from.failover_log());
    }
}

/// An item that was taken in, as the node keeps it; `None` where it holds nothing that can be kept.
pub(super) fn item(frame: &Frame<'_>, message: &Message, collections: bool) -> Option<Item> {
    let (mut item, seqno) = (Item::empty(), message.by_seqno()?);
    item.cas = frame.header().cas;
    let key = dcp::document_key(frame, collections);
    let collection = key.as_ref().and_then(|key| key.collection_id).unwrap_or_default();
    let mut outline = Outline { seqno, collection, birth: seqno, ..item.outline };
    item.key = key.map_or_else(|| frame.key().to_vec(), |key| key.logical.to_vec());
    #[allow(clippy::wildcard_enum_match_arm)] // no other message has a place in a vbucket
    match message {
        Message::Mutation(it) => {
            outline.kind = Kind::Mutation;
            (item.rev_seqno, item.flags, item.expiration) = (it.rev_seqno, it.flags, it.expiration);
        }
        Message::Deletion(it) => {
            outline.kind = Kind::Deletion;
            (item.rev_seqno, item.delete_time) = (it.rev_seqno, it.delete_time.unwrap_or_default());
        }
        Message::Expiration(it) => {
            outline.kind = Kind::Expiration;
            (item.rev_seqno, item.delete_time) = (it.rev_seqno, it.delete_time);
        }
        Message::Prepare(it) => {
            outline.kind = Kind::Prepare { level: it.durability_level, deleted: it.deleted != 0 };
            (item.rev_seqno, item.flags, item.expiration) = (it.rev_seqno, it.flags, it.expiration);
        }
        Message::Commit(it) => outline.kind = Kind::Commit { prepared: it.prepared_seqno, deleted: false },
        Message::Abort(it) => outline.kind = Kind::Abort { prepared: it.prepared_seqno },
        Message::SystemEvent(it) => event(&it.body, &mut outline),
        _ => return None,
    }
    item.outline = outline;
    document(frame, &mut item)?;
    Some(item)
}

fn event(body: &SystemEventBody, outline: &mut Outline) {
    match body {
        SystemEventBody::Collection(it) => {
            let (uid, scope) = (it.manifest_uid, it.scope_id);
            (outline.collection, outline.scope) = (it.collection_id, scope);
            outline.kind = Kind::CreateCollection { uid, scope, max_ttl: it.ttl_valid.then_some(it.max_ttl) };
        }
        SystemEventBody::DroppedCollection { manifest_uid, scope_id, collection_id, .. } => {
            (outline.collection, outline.scope) = (*collection_id, *scope_id);
            outline.kind = Kind::DropCollection { uid: *manifest_uid, scope: *scope_id };
        }
        SystemEventBody::Scope { manifest_uid, scope_id } => {
            outline.scope = *scope_id;
            outline.kind = Kind::CreateScope { uid: *manifest_uid, scope: *scope_id };
        }
        SystemEventBody::DroppedScope { manifest_uid, scope_id, .. } => {
            outline.scope = *scope_id;
            outline.kind = Kind::DropScope { uid: *manifest_uid, scope: *scope_id };
        }
    }
}

/// The document of a message, taken apart.
fn document(frame: &Frame<'_>, item: &mut Item) -> Option<()> {
    if !dcp::carries_document(frame.header().opcode) {
        return Some(());
    }
    let (value, datatype) = (frame.value()?, frame.header().datatype);
    item.json = datatype.contains(Datatype::JSON);
    item.compressed = datatype.contains(Datatype::SNAPPY);
    let inflated;
    let value = if item.compressed && !value.is_empty() {
        inflated = dcp::value::inflate(value, MAX_FRAME_LEN).ok()?;
        &inflated
    } else {
        value
    };
    if !datatype.contains(Datatype::XATTR) || value.is_empty() {
        item.body = value.to_vec();
        return Some(());
    }
    let body = dcp::value::xattr_section(value).ok()?.body;
    item.xattrs = value.get(4..value.len() - body.len())?.to_vec();
    item.body = body.to_vec();
    Some(())
}
