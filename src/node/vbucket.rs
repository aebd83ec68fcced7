use super::data;
use super::data::Kind;
use super::data::Outline;
use super::data::ROUND;
use super::document::Author;
use super::document::Item;
use super::document::mix;
use super::manifest::Collection;
use super::manifest::Made;
use super::manifest::Scope;
use super::written::Place;
use super::written::Written;
use crate::Timestamp;
use crate::dcp::FailoverEntry;

/// Sizes of the memory snapshots, one after the other: all but the smallest hold every type of message.
const SIZES: [u64; 8] = [96, 224, 64, 320, 128, 48, 256, 160];

/// One vbucket: what it holds, how it falls into snapshots, and its failover log.
#[derive(Debug)]
pub(super) struct Vbucket {
    author: Author,
    /// The generator's numbers up to here are on disk.
    disk: u64,
    /// The generator's numbers up to here are there at first.
    base: u64,
    /// The generator's highest number.
    generated: u64,
    written: Written,
    state: State,
    /// The seqnos at which it became active again, oldest first.
    revived: Vec<u64>,
    made: Made,
    /// The generator's number at which clients changed the manifest, and the uids that they had used up then.
    uid_shifts: Vec<(u64, u64)>,
}

/// The most manifests that clients may set.
const MAX_MANIFESTS: usize = 10_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Active,
    /// It was handed over or set dead, and has no more to give.
    Dead,
    /// It is gone for good; what streams it still has are to end.
    Deleted,
}

/// The most entries of a failover log (invariants.md C3).
const MAX_FAILOVERS: usize = 25;

/// Some seqnos that belong together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    pub(super) end: u64,
    pub(super) disk: bool,
}

impl Vbucket {
    pub(super) fn new(seed: u64, vbucket: u16, items: u64, disk: u64) -> Self {
        Self {
            author: Author { seed, vbucket },
            disk: disk.min(items),
            base: items,
            generated: items,
            written: Written::default(),
            state: State::Active,
            revived: Vec::new(),
            made: Made::default(),
            uid_shifts: Vec::new(),
        }
    }

    /// Goes on to `snapshots` small snapshots since the start.
    pub(super) fn grow(&mut self, snapshots: u64) {
        if self.state == State::Active {
            self.generated = self.base.saturating_add(snapshots.saturating_mul(ROUND));
        }
    }

    /// It was handed over, or set dead.
    pub(super) fn die(&mut self) {
        if self.state == State::Active {
            self.state = State::Dead;
        }
    }

    /// It becomes active again, and so begins a new branch of its history.
    pub(super) fn revive(&mut self) {
        if self.state == State::Dead {
            self.state = State::Active;
            if self.revived.last() != Some(&self.high()) {
                self.revived.push(self.high());
            }
            if self.revived.len() > MAX_FAILOVERS {
                self.revived.remove(0);
            }
        }
    }

    /// It is gone, and will not come back.
    pub(super) const fn delete(&mut self) {
        self.state = State::Deleted;
    }

    /// Whether nothing can be had of it: it was handed over, set dead, or deleted.
    pub(super) fn is_dead(&self) -> bool {
        self.state != State::Active
    }

    /// Whether it was deleted.
    pub(super) fn is_deleted(&self) -> bool {
        self.state == State::Deleted
    }

    /// Its highest seqno.
    pub(super) const fn high(&self) -> u64 {
        self.generated.saturating_add(self.written.len())
    }

    /// Its failover log, newest first: one failover at a third of the first items, and one for each time it came back.
    pub(super) fn failover_log(&self) -> Vec<FailoverEntry> {
        let uuid = |generation: u64| {
            mix(self.author.seed ^ 0xfa11_0e00 ^ u64::from(self.author.vbucket) << 8 ^ generation) >> 16 | 1 << 40
        };
        let mut log = vec![FailoverEntry { vb_uuid: uuid(0), seqno: 0 }];
        if self.base >= 3 {
            log.insert(0, FailoverEntry { vb_uuid: uuid(1), seqno: self.base / 3 });
        }
        for &seqno in &self.revived {
            log.insert(0, FailoverEntry { vb_uuid: uuid(seqno << 8 | 2), seqno });
        }
        log.truncate(MAX_FAILOVERS);
        log
    }

    /// The snapshot that goes on behind `seqno`, if there is one.
    pub(super) fn snapshot_behind(&self, seqno: u64) -> Option<Span> {
        let next = seqno + 1;
        if next > self.high() {
            return None;
        }
        Some(match self.written.place(next) {
            Place::Written(_) => Span { end: next, disk: false },
            Place::Generated(g) if g <= self.disk => Span { end: self.written.seqno(self.disk), disk: true },
            Place::Generated(g) => {
                let end = self.written.seqno(self.snapshot_end(g).min(self.generated));
                let before = self.written.next_above(next).map_or(u64::MAX, |write| write - 1);
                Span { end: end.min(before), disk: false }
            }
        })
    }

    fn snapshot_end(&self, g: u64) -> u64 {
        if g > self.base {
            return self.base + (g - self.base).div_ceil(ROUND) * ROUND;
        }
        let turn: u64 = SIZES.iter().sum();
        let shift = mix(self.author.seed ^ u64::from(self.author.vbucket)) as usize;
        let mut left = (g - self.disk - 1) % turn;
        let mut end = g;
        for size in SIZES.iter().cycle().skip(shift % SIZES.len()).take(SIZES.len()) {
            if left < *size {
                end = g + (size - 1 - left);
                break;
            }
            left -= size;
        }
        end.min(self.base)
    }

    /// What `seqno` is.
    pub(super) fn outline(&self, seqno: u64) -> Outline {
        match self.written.place(seqno) {
            Place::Written(at) => self.written.item(at).outline,
            Place::Generated(g) => self.shifted(g, seqno),
        }
    }

    /// Fills `item` with what `seqno` wrote.
    pub(super) fn read(&self, seqno: u64, item: &mut Item) {
        match self.written.place(seqno) {
            Place::Written(at) => item.clone_from(self.written.item(at)),
            Place::Generated(g) => {
                item.outline = self.shifted(g, seqno);
                self.author.write(g, &data::outline(g), item);
            }
        }
    }

    fn shifted(&self, g: u64, seqno: u64) -> Outline {
        let mut it = data::outline(g);
        if self.written.is_empty() {
            return it;
        }
        let real = |g: u64| self.written.seqno(g);
        it.kind = match it.kind {
            Kind::Commit { prepared, deleted } => Kind::Commit { prepared: real(prepared), deleted },
            Kind::Abort { prepared } => Kind::Abort { prepared: real(prepared) },
            other @ (Kind::Mutation | Kind::Deletion | Kind::Expiration | Kind::Prepare { .. }) => other,
            event @ (Kind::CreateCollection { uid, .. }
            | Kind::DropCollection { uid, .. }
            | Kind::CreateScope { uid, .. }
            | Kind::DropScope { uid, .. }) => event.with_uid(uid + self.uid_shift(g)),
        };
        it.superseded = it.superseded.map(real);
        it.superseded_on_disk = it.superseded_on_disk.map(real);
        if it.kind.is_visible() && !it.kind.is_system_event() {
            let mut key = Vec::new();
            self.author.key(it.birth, &mut key);
            let write = self.written.last(it.collection, &key).map(|write| write.outline.seqno);
            it.superseded_on_disk = it.superseded_on_disk.into_iter().chain(write.filter(|&write| write > seqno)).min();
        }
        it.seqno = seqno;
        it
    }

    /// The highest visible seqno up to `end`.
    pub(super) fn max_visible(&self, end: u64) -> u64 {
        self.last(end, |it| it.kind.is_visible()).unwrap_or_default()
    }

    /// The highest prepare that is complete by `end`.
    pub(super) fn high_completed(&self, end: u64) -> u64 {
        self.last_of(end, |it| match it.kind {
            Kind::Commit { prepared, .. } | Kind::Abort { prepared } => Some(prepared),
            Kind::Mutation
            | Kind::Deletion
            | Kind::Expiration
            | Kind::Prepare { .. }
            | Kind::CreateCollection { .. }
            | Kind::DropCollection { .. }
            | Kind::CreateScope { .. }
            | Kind::DropScope { .. } => None,
        })
        .unwrap_or_default()
    }

    /// The highest prepare up to `end`.
    pub(super) fn high_prepared(&self, end: u64) -> u64 {
        self.last(end, |it| matches!(it.kind, Kind::Prepare { .. })).unwrap_or_default()
    }

    /// The highest visible seqno of a collection's items.
    pub(super) fn high_of_collection(&self, id: u32) -> u64 {
        let holds =
            |it: &Outline| it.collection == id && it.kind.is_visible() && (id != 0 || !it.kind.is_system_event());
        self.last(self.high(), holds).unwrap_or_default()
    }

    fn last(&self, end: u64, holds: impl Fn(&Outline) -> bool) -> Option<u64> {
        self.last_of(end, |it| holds(it).then_some(it.seqno))
    }

    fn last_of(&self, end: u64, value: impl Fn(&Outline) -> Option<u64>) -> Option<u64> {
        (1..=end).rev().find_map(|seqno| value(&self.outline(seqno)))
    }

    /// The collections that are there, without the default one.
    pub(super) fn collections(&self) -> Vec<Collection> {
        let own = data::collections(self.generated).map(|it| Collection {
            id: it.id,
            scope: it.scope,
            name: data::collection_name(it.id),
            max_ttl: it.max_ttl,
        });
        own.chain(self.made.collections.iter().cloned()).collect()
    }

    /// The scopes that are there, without the default one.
    pub(super) fn scopes(&self) -> Vec<Scope> {
        let own = data::has_scope(self.generated).then(|| Scope { id: data::SCOPE, name: data::SCOPE_NAME.to_owned() });
        own.into_iter().chain(self.made.scopes.iter().cloned()).collect()
    }

    /// Whether the collection is there.
    pub(super) fn has_collection(&self, id: u32) -> bool {
        id == 0
            || data::collections(self.generated).any(|it| it.id == id)
            || self.made.collections.iter().any(|it| it.id == id)
    }

    /// Whether the scope is there.
    pub(super) fn has_scope(&self, id: u32) -> bool {
        id == 0
            || (id == data::SCOPE && data::has_scope(self.generated))
            || self.made.scopes.iter().any(|it| it.id == id)
    }

    /// The uid of its manifest.
    pub(super) fn manifest_uid(&self) -> u64 {
        data::manifest_uid(self.generated) + self.uid_shift(self.generated + 1)
    }

    /// What is added to the uid of the generator's event `g`: the uids that clients used up before it.
    fn uid_shift(&self, g: u64) -> u64 {
        let later = self.uid_shifts.partition_point(|&(from, _)| from < g);
        later.checked_sub(1).and_then(|at| self.uid_shifts.get(at)).map_or(0, |&(_, shift)| shift)
    }

    /// What clients made.
    pub(super) const fn made(&self) -> &Made {
        &self.made
    }

    /// A client's manifest: its events come next, and what is generated from here on has higher uids.
    pub(super) fn change_manifest(&mut self, uid: u64, events: &[(Kind, Item)], made: &Made) {
        for (kind, item) in events {
            let mut item = item.clone();
            item.outline.kind = *kind;
            item.outline.seqno = self.high() + 1;
            self.written.push(item);
        }
        self.uid_shifts.push((self.generated, uid.saturating_sub(data::manifest_uid(self.generated))));
        self.made.clone_from(made);
    }

    /// Whether so many more events of clients find room.
    pub(super) const fn has_room_for(&self, events: usize) -> bool {
        self.written.has_room(events, 0) && self.uid_shifts.len() < MAX_MANIFESTS
    }

    /// The document under a key, if there is one that is not deleted.
    pub(super) fn document(&self, collection: u32, key: &[u8]) -> Option<Item> {
        if let Some(write) = self.written.last(collection, key) {
            return (!write.outline.kind.is_removal()).then(|| write.clone());
        }
        let birth = self.author.birth(key).filter(|&birth| birth > 0 && birth <= self.generated)?;
        let mut g = birth;
        let mut it = data::outline(g);
        if let Kind::Prepare { .. } = it.kind {
            g = (g..=self.generated.min(g + ROUND)).find(|&g| {
                let it = data::outline(g);
                it.birth == birth && matches!(it.kind, Kind::Commit { .. })
            })?;
            it = data::outline(g);
        }
        while let Some(next) = it.superseded.filter(|&next| next <= self.generated) {
            g = next;
            it = data::outline(g);
        }
        if it.birth != birth || it.collection != collection || it.kind.is_system_event() {
            return None;
        }
        let mut item = Item::empty();
        self.read(self.written.seqno(g), &mut item);
        (!item.outline.kind.is_removal()).then_some(item)
    }

    /// The CAS of the next write.
    pub(super) fn next_cas(&self, now: Timestamp) -> u64 {
        (now.0 & !0xffff).wrapping_add((self.high() + 1) & 0xffff).max(1)
    }

    /// The time of a document has come: it expires, unless it was written again, deleted, or its collection is gone.
    pub(super) fn expire(&mut self, collection: u32, key: &[u8], due: u32, now: Timestamp) {
        if self.is_dead() || !self.has_collection(collection) {
            return;
        }
        let Some(found) = self.document(collection, key).filter(|found| found.expiration == due) else { return };
        let seqno = self.high() + 1;
        let outline = Outline { seqno, kind: Kind::Expiration, birth: seqno, superseded: None, ..found.outline };
        let cas = self.next_cas(now);
        let (rev_seqno, delete_time) = (found.rev_seqno + 1, seconds(now));
        self.append(vec![Item { outline, key: found.key, cas, rev_seqno, delete_time, ..Item::empty() }]);
    }

    /// Appends writes of a client, their seqnos in order from the next one on; false where there is no room.
    pub(super) fn append(&mut self, items: Vec<Item>) -> bool {
        let len = items.iter().map(|item| item.key.len() + item.body.len()).sum();
        if !self.written.has_room(items.len(), len) {
            return false;
        }
        for item in items {
            self.written.push(item);
        }
        true
    }
}

/// Seconds since the epoch.
pub(super) const fn seconds(now: Timestamp) -> u32 {
    (now.0 / 1_000_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(seqno: u64, key: &[u8]) -> Item {
        let mut item = Item::empty();
        item.outline.seqno = seqno;
        item.outline.birth = seqno;
        item.key = key.to_vec();
        item
    }

    #[test]
    fn snapshots_follow_each_other_without_gap_whereever_one_begins() {
        let vbucket = Vbucket::new(3, 1, 10_000, 96);
        let mut ends = Vec::new();
        let mut at = 0;
        while let Some(span) = vbucket.snapshot_behind(at) {
            assert_eq!(span.disk, at < 96);
            for inside in at..span.end {
                assert_eq!(vbucket.snapshot_behind(inside), Some(span), "{inside}");
            }
            ends.push(span.end - at);
            at = span.end;
        }
        assert_eq!(at, 10_000);
        assert!(ends.iter().skip(1).rev().skip(1).all(|size| SIZES.contains(size)), "{ends:?}");
        assert!(ends.len() > 40);
    }

    #[test]
    fn a_write_is_a_snapshot_of_its_own_and_shifts_what_comes_after() {
        let mut vbucket = Vbucket::new(0, 0, 100, 10);
        assert!(vbucket.append(vec![write(101, b"mine")]));
        vbucket.grow(1);
        assert_eq!(vbucket.high(), 133);
        assert_eq!(vbucket.snapshot_behind(100), Some(Span { end: 101, disk: false }));
        assert_eq!(vbucket.snapshot_behind(101), Some(Span { end: 133, disk: false }));
        for seqno in 102..=133 {
            let it = vbucket.outline(seqno);
            assert_eq!(it.seqno, seqno);
            if let Kind::Commit { prepared, .. } | Kind::Abort { prepared } = it.kind {
                let prepare = vbucket.outline(prepared);
                assert!(matches!(prepare.kind, Kind::Prepare { .. }), "{prepare:?}");
                assert_eq!(prepare.birth, it.birth);
            }
        }
        assert_eq!(vbucket.document(0, b"mine").unwrap().outline.seqno, 101);
    }

    #[test]
    fn the_seqnos_of_a_marker_are_right() {
        let vbucket = Vbucket::new(0, 0, 100, 10);
        assert_eq!(vbucket.high_prepared(32), 29);
        assert_eq!(vbucket.high_completed(32), 29, "the abort of the prepare at 29 is seqno 31");
        assert_eq!(vbucket.high_completed(30), 24);
        assert_eq!(vbucket.max_visible(31), 30, "31 is the abort");
        assert_eq!(vbucket.high_completed(2), 0);
    }

    #[test]
    fn documents_are_found_as_they_are_now() {
        let vbucket = Vbucket::new(0, 0, 100, 10);
        let key = |birth: u64| format!("order-0-{birth}").into_bytes();
        assert!(vbucket.document(0, &key(7)).is_some());
        assert!(vbucket.document(0, &key(2)).is_none(), "deleted at seqno 10");
        assert!(vbucket.document(0, &key(3)).is_none(), "expired at seqno 14");
        assert_eq!(vbucket.document(0, &key(11)).unwrap().outline.seqno, 20, "written again at seqno 20");
        assert_eq!(vbucket.document(0, &key(4)).unwrap().outline.seqno, 8, "committed at seqno 8");
        assert!(vbucket.document(8, &key(12)).is_none(), "aborted");
        assert!(vbucket.document(8, &key(7)).is_none(), "of another collection");
        assert!(vbucket.document(0, b"order-0-9999").is_none());
    }

    #[test]
    fn the_dead_do_not_grow() {
        let mut vbucket = Vbucket::new(0, 0, 100, 10);
        vbucket.grow(2);
        vbucket.die();
        vbucket.grow(9);
        assert_eq!(vbucket.high(), 164);
    }
}
