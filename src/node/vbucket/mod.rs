use super::data;
use super::data::Kind;
use super::data::Outline;
use super::data::ROUND;
use super::document::Author;
use super::document::Item;
use super::document::mix;
use super::manifest::Made;
use super::written::Place;
use super::written::Written;
use crate::Timestamp;
use crate::dcp::FailoverEntry;
use copied::Copied;

mod copied;
mod manifest;
mod replica;

/// Sizes of the memory snapshots, one after the other: all but the smallest hold every type of message.
const SIZES: [u64; 8] = [96, 224, 64, 320, 128, 48, 256, 160];

/// One vbucket: what it holds, how it falls into snapshots, and its failover log.
#[derive(Clone, Debug)]
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
    /// What it holds instead of all that, once it has followed another node's.
    copy: Option<Box<Copied>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Active,
    /// It follows an active one.
    Replica,
    /// As [`Self::Replica`], and is about to become active.
    Pending,
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
            copy: None,
        }
    }

    /// Goes on to `snapshots` small snapshots since the start.
    pub(super) fn grow(&mut self, snapshots: u64) {
        if self.state == State::Active && self.copy.is_none() {
            self.generated = self.base.saturating_add(snapshots.saturating_mul(ROUND));
        }
    }

    /// It was handed over, or set dead.
    pub(super) fn die(&mut self) {
        if self.state != State::Deleted {
            self.state = State::Dead;
        }
    }

    /// It becomes active again, and so begins a new branch of its history.
    pub(super) fn revive(&mut self) {
        if matches!(self.state, State::Dead | State::Replica | State::Pending) {
            self.state = State::Active;
            let high = self.high();
            if let Some(copy) = &mut self.copy {
                let mut log = copy.log();
                let vb_uuid = self.author.uuid(high << 8 | 3);
                if log.first().is_none_or(|newest| newest.seqno != high || high == 0) {
                    log.insert(0, FailoverEntry { vb_uuid, seqno: high });
                    log.truncate(MAX_FAILOVERS);
                    copy.set_log(log);
                }
                return;
            }
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
        matches!(self.state, State::Dead | State::Deleted)
    }

    /// Whether it serves clients.
    pub(super) fn is_active(&self) -> bool {
        self.state == State::Active
    }

    /// Whether it was deleted.
    pub(super) fn is_deleted(&self) -> bool {
        self.state == State::Deleted
    }

    /// Its highest seqno.
    pub(super) fn high(&self) -> u64 {
        if let Some(copy) = &self.copy {
            return copy.high();
        }
        self.generated.saturating_add(self.written.len())
    }

    /// Its failover log, newest first: one failover at a third of the first items, and one for each time it came back.
    pub(super) fn failover_log(&self) -> Vec<FailoverEntry> {
        if let Some(copy) = &self.copy {
            return copy.log();
        }
        let uuid = |generation| self.author.uuid(generation);
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
        if let Some(copy) = &self.copy {
            return copy.snapshot_behind(seqno);
        }
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
        if let Some(copy) = &self.copy {
            return copy.find(seqno).map_or_else(|| gap(seqno), |item| item.outline);
        }
        match self.written.place(seqno) {
            Place::Written(at) => self.written.item(at).outline,
            Place::Generated(g) => self.shifted(g, seqno),
        }
    }

    /// Fills `item` with what `seqno` wrote.
    pub(super) fn read(&self, seqno: u64, item: &mut Item) {
        if let Some(copy) = &self.copy {
            match copy.find(seqno) {
                Some(found) => item.clone_from(found),
                None => item.outline = gap(seqno),
            }
            return;
        }
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
        if let Some(copy) = &self.copy {
            return copy.last_of(end, value);
        }
        (1..=end).rev().find_map(|seqno| value(&self.outline(seqno)))
    }

    /// The document under a key, if there is one that is not deleted.
    pub(super) fn document(&self, collection: u32, key: &[u8]) -> Option<Item> {
        self.newest(collection, key).filter(|it| !it.outline.kind.is_removal())
    }

    /// What was done last to the document under a key: it was written or deleted.
    pub(super) fn newest(&self, collection: u32, key: &[u8]) -> Option<Item> {
        if let Some(copy) = &self.copy {
            return copy.newest(collection, key);
        }
        if let Some(write) = self.written.last(collection, key) {
            return Some(write.clone());
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
        Some(item)
    }

    /// The CAS of the next write.
    pub(super) fn next_cas(&self, now: Timestamp) -> u64 {
        (now.0 & !0xffff).wrapping_add((self.high() + 1) & 0xffff).max(1)
    }

    /// The time of a document has come: it expires, unless it was written again, deleted, or its collection is gone.
    pub(super) fn expire(&mut self, collection: u32, key: &[u8], due: u32, now: Timestamp) {
        if !self.is_active() || !self.has_collection(collection) {
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
            if let Some(copy) = &mut self.copy {
                copy.append(item);
                continue;
            }
            self.written.push(item);
        }
        true
    }
}

/// A seqno that a copy does not have: it is left out of every snapshot.
fn gap(seqno: u64) -> Outline {
    Outline { seqno, superseded: Some(seqno), ..Item::empty().outline }
}

/// Seconds since the epoch.
pub(super) const fn seconds(now: Timestamp) -> u32 {
    (now.0 / 1_000_000_000) as u32
}

#[cfg(test)]
mod tests;
