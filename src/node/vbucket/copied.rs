//! What a vbucket holds that follows another node's: items as they were taken in, with their snapshots.

use std::collections::BTreeMap;

use super::Span;
use crate::dcp::FailoverEntry;
use crate::dcp::SnapshotMarker;
use crate::node::consumer::Snapshot;
use crate::node::data::Kind;
use crate::node::data::Outline;
use crate::node::document::Item;
use crate::node::manifest::Collection;
use crate::node::manifest::Scope;

/// The copy of a vbucket: kept, and so bounded by whoever adds to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Copied {
    items: Vec<Item>,
    /// The snapshots that these came in, in order.
    spans: Vec<Span>,
    /// The last marker that was taken in.
    snapshot: Option<Snapshot>,
    log: Vec<FailoverEntry>,
    /// The newest visible item of each key.
    last_of_key: BTreeMap<(u32, Vec<u8>), usize>,
    collections: Vec<Collection>,
    scopes: Vec<Scope>,
    uid: u64,
    bytes: usize,
}

/// What an item costs besides its key and its document.
const ITEM_LEN: usize = size_of::<Item>() + 64;

impl Copied {
    pub(super) const fn with_log(log: Vec<FailoverEntry>) -> Self {
        Self {
            items: Vec::new(),
            spans: Vec::new(),
            snapshot: None,
            log,
            last_of_key: BTreeMap::new(),
            collections: Vec::new(),
            scopes: Vec::new(),
            uid: 0,
            bytes: 0,
        }
    }

    /// The bytes that it keeps.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Its highest seqno, 0 for none.
    pub(super) fn high(&self) -> u64 {
        self.items.last().map_or(0, |item| item.outline.seqno)
    }

    pub(super) fn log(&self) -> Vec<FailoverEntry> {
        self.log.clone()
    }

    /// Its history goes on as this.
    pub(super) fn set_log(&mut self, log: Vec<FailoverEntry>) {
        self.log = log;
    }

    /// The snapshot that its end is in.
    pub(super) const fn snapshot(&self) -> Option<Snapshot> {
        self.snapshot
    }

    pub(super) fn marker(&mut self, marker: &SnapshotMarker) {
        let disk = marker.flags & SnapshotMarker::DISK != 0;
        self.snapshot = Some(Snapshot { start: marker.start_seqno, end: marker.end_seqno, flags: marker.flags });
        self.span(Span { end: marker.end_seqno, disk });
    }

    pub(super) fn span(&mut self, span: Span) {
        // A stream that goes on inside a snapshot is told of it again.
        if self.spans.last().is_none_or(|last| last.end < span.end) {
            self.spans.push(span);
        }
    }

    /// Takes in an item behind all others; one that is not behind them is passed over.
    pub(super) fn push(&mut self, mut item: Item) {
        if item.outline.seqno <= self.high() {
            return;
        }
        if let Kind::Commit { prepared, .. } = item.outline.kind
            && let Some(prepare) = self.find(prepared)
            && let Kind::Prepare { deleted, .. } = prepare.outline.kind
        {
            // A commit says which prepare it is of, and no more.
            let outline = Outline { kind: Kind::Commit { prepared, deleted }, ..item.outline };
            item = Item { outline, key: item.key, ..prepare.clone() };
        }
        // What is left out of it was left out on the way here.
        (item.outline.superseded, item.outline.superseded_on_disk) = (None, None);
        self.bytes += ITEM_LEN + item.key.len() + item.body.len() + item.xattrs.len();
        self.learn(&item);
        let is_document = item.outline.kind.is_visible() && !item.outline.kind.is_system_event();
        if is_document {
            self.last_of_key.insert((item.outline.collection, item.key.clone()), self.items.len());
        }
        self.items.push(item);
    }

    /// A write of its own: a snapshot by itself.
    pub(super) fn append(&mut self, item: Item) {
        self.span(Span { end: item.outline.seqno, disk: false });
        self.push(item);
    }

    fn learn(&mut self, item: &Item) {
        let (id, it) = (item.outline.collection, item.outline.kind);
        let name = || String::from_utf8_lossy(&item.key).into_owned();
        match it {
            Kind::CreateCollection { scope, max_ttl, .. } => {
                self.collections.retain(|it| it.id != id);
                self.collections.push(Collection { id, scope, name: name(), max_ttl });
            }
            Kind::DropCollection { .. } => self.collections.retain(|it| it.id != id),
            Kind::CreateScope { scope, .. } => {
                self.scopes.retain(|it| it.id != scope);
                self.scopes.push(Scope { id: scope, name: name() });
            }
            Kind::DropScope { scope, .. } => self.scopes.retain(|it| it.id != scope),
            Kind::Mutation
            | Kind::Deletion
            | Kind::Expiration
            | Kind::Prepare { .. }
            | Kind::Commit { .. }
            | Kind::Abort { .. } => {}
        }
        self.uid = it.uid().unwrap_or(self.uid);
    }

    /// Takes back everything after `seqno`.
    pub(super) fn roll_back(&mut self, seqno: u64) {
        let mut all = std::mem::take(self);
        all.items.truncate(all.items.partition_point(|item| item.outline.seqno <= seqno));
        let kept = all.spans.partition_point(|span| span.end < seqno);
        all.spans.truncate((kept + 1).min(all.spans.len()));
        all.log.retain(|entry| entry.seqno <= seqno || entry.seqno == 0);
        self.log = all.log;
        self.spans = all.spans;
        for item in all.items {
            self.push(item);
        }
    }

    pub(super) const fn items(&self) -> &[Item] {
        self.items.as_slice()
    }

    fn at(&self, seqno: u64) -> Result<usize, usize> {
        self.items.binary_search_by_key(&seqno, |item| item.outline.seqno)
    }

    /// The item with this seqno; snapshots leave many out.
    pub(super) fn find(&self, seqno: u64) -> Option<&Item> {
        self.at(seqno).ok().and_then(|at| self.items.get(at))
    }

    /// The last item up to `end` of which there is a value.
    pub(super) fn last_of(&self, end: u64, value: impl Fn(&Outline) -> Option<u64>) -> Option<u64> {
        let to = self.items.partition_point(|item| item.outline.seqno <= end);
        self.items.get(..to)?.iter().rev().find_map(|item| value(&item.outline))
    }

    /// The snapshot that goes on behind `seqno`, if there is one.
    pub(super) fn snapshot_behind(&self, seqno: u64) -> Option<Span> {
        let (Ok(next) | Err(next)) = self.at(seqno + 1);
        let next = self.items.get(next)?.outline.seqno;
        let at = self.spans.partition_point(|span| span.end < next);
        // What came without a marker is a snapshot by itself.
        let span = self.spans.get(at).copied().unwrap_or(Span { end: next, disk: false });
        Some(Span { end: span.end.min(self.high()), ..span })
    }

    /// What was done last to the document under a key.
    pub(super) fn newest(&self, collection: u32, key: &[u8]) -> Option<Item> {
        let at = self.last_of_key.get(&(collection, key.to_vec()))?;
        self.items.get(*at).cloned()
    }

    pub(super) const fn collections(&self) -> &[Collection] {
        self.collections.as_slice()
    }

    pub(super) const fn scopes(&self) -> &[Scope] {
        self.scopes.as_slice()
    }

    pub(super) const fn uid(&self) -> u64 {
        self.uid
    }
}
