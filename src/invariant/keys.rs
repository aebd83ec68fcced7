//! Section D, third part: keys, and out of order seqnos, that may occur only once.

use std::collections::BTreeSet;

use super::Concerns;
use super::Invariant;
use super::key_set::KeySet;
use super::per_stream::Entries;
use super::per_stream::PerStream;
use super::rule::Alike;
use super::rule::Rule;
use super::rule::Ruling;
use super::rule::Seen;
use super::rule::held;
use crate::dcp::SnapshotMarker;
use crate::dcp::Stretch;
use crate::session::Session;
use crate::session::Snapshot;
use crate::session::StreamKey;
use crate::wire::Opcode;

/// Keys that are remembered of one snapshot; a duplicate of a later one goes unseen.
const MAX_KEYS: usize = 4_096;
/// Snapshots whose keys are remembered at once; those of further streams go unjudged until one ends.
const MAX_SNAPSHOTS: usize = 64;

pub(super) fn add(all: &mut Vec<Box<dyn Invariant>>) {
    all.extend([held::<KeysOnce>(), held::<OsoKeysOnce>(), held::<OsoSeqnosDistinct>()]);
}

/// The keys of the snapshots that are open.
#[derive(Debug, Default)]
struct Keys {
    open: Vec<OpenSnapshot>,
}

#[derive(Debug)]
struct OpenSnapshot {
    /// The stream's generation and the number of the snapshot on it.
    id: (u64, u64),
    keys: KeySet,
}

impl Keys {
    /// Notes a message's key. Returns whether it is new; `None` where it could not be looked up.
    fn note(&mut self, seen: &Seen<'_>, judged: impl Fn(&Snapshot) -> bool) -> Option<bool> {
        let opcode = seen.header().opcode;
        if seen.header().key_len == 0 || opcode == Opcode::DCP_SYSTEM_EVENT {
            return None;
        }
        let (_, before) = seen.item()?;
        before.snapshot.filter(|snapshot| judged(snapshot))?;
        let hash = of_key(opcode, seen.head.collection_id, seen.head.key_hash);
        Some(self.at((before.generation, before.snapshots), seen.session)?.note(hash))
    }

    /// As [`Self::note`], of each mutation of a stretch.
    fn note_stretch(
        &mut self,
        stretch: &Stretch<'_>,
        session: &Session,
        judged: impl Fn(&Snapshot) -> bool,
        mut each: impl FnMut(u64, bool),
    ) {
        let header = stretch.header();
        let key = StreamKey { vbucket: header.vbucket_or_status, stream_id: None };
        let Some(stream) = session.streams().of(key, header.opaque) else { return };
        if !stream.snapshot.is_some_and(|snapshot| judged(&snapshot)) {
            return;
        }
        let Some(open) = self.at((stream.generation, stream.counts.snapshots), session) else { return };
        for (seqno, hash) in stretch.keys() {
            each(seqno, open.note(of_key(header.opcode, stretch.collection_id(), hash)));
        }
    }

    /// The keys of a snapshot, where there is room for them.
    fn at(&mut self, id: (u64, u64), session: &Session) -> Option<&mut OpenSnapshot> {
        let at = self.open.iter().position(|open| open.id.0 == id.0);
        if at.is_none() && self.open.len() >= MAX_SNAPSHOTS {
            let live: Vec<_> = session.streams().live().map(|stream| stream.generation).collect();
            self.open.retain(|open| live.contains(&open.id.0));
            if self.open.len() >= MAX_SNAPSHOTS {
                return None;
            }
        }
        let at = at.unwrap_or_else(|| {
            self.open.push(OpenSnapshot { id, keys: KeySet::default() });
            self.open.len() - 1
        });
        let open = self.open.get_mut(at)?;
        if open.id != id {
            open.id = id;
            open.keys.clear();
        }
        Some(open)
    }
}

impl OpenSnapshot {
    fn note(&mut self, hash: u64) -> bool {
        if self.keys.len() < MAX_KEYS { self.keys.insert(hash) } else { !self.keys.contains(hash) }
    }
}

/// One number for what a key is known by: its hash, its collection, and what may be done to it once. The hash is seeded, so
/// that two are the same only by an accident that is as rare for the hashes themselves.
const fn of_key(opcode: Opcode, collection_id: Option<u32>, hash: u64) -> u64 {
    let collection = match collection_id {
        Some(id) => id as u64,
        None => 0,
    };
    let apart = (collection << 8 | namespace(opcode) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ apart ^ apart >> 32
}

/// A PREPARE and what completes it are of one key, and so may a mutation be that precedes them.
const fn namespace(opcode: Opcode) -> u8 {
    match opcode {
        Opcode::DCP_DELETION | Opcode::DCP_EXPIRATION => Opcode::DCP_MUTATION.0,
        Opcode(other) => other,
    }
}

fn once(new: Option<bool>, opcode: Opcode, what: &str) -> Ruling {
    match new {
        None => Ruling::Silent,
        Some(new) => Ruling::of(new, || (format!("each key once in {what}"), format!("{opcode} again"))),
    }
}

fn has_keys_once(snapshot: &Snapshot) -> bool {
    snapshot.flags & (SnapshotMarker::DISK | SnapshotMarker::CHECKPOINT) != 0
        && !snapshot.has(SnapshotMarker::MAY_CONTAIN_DUPLICATE_KEYS)
        && !snapshot.has(SnapshotMarker::HISTORY)
}

/// D16. A memory snapshot without the flag Checkpoint goes on with an earlier one, so it is left out.
#[derive(Debug, Default)]
pub(super) struct KeysOnce(Keys);

impl Rule for KeysOnce {
    const ID: &'static str = "d16-keys-once";
    const REQUIREMENT: &'static str = "a key occurs once in a snapshot, unless its marker says that it may not";
    const EXCEPTIONS: &'static str = "the flag MayContainDuplicateKeys, history; memory snapshots without the flag Checkpoint; a PREPARE and \
         what completes it; more keys than there is room to remember";
    const CONCERNS: Concerns = Concerns::DOCUMENTS;
    const ALIKE: Alike = Alike::Judged;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        once(self.0.note(seen, has_keys_once), seen.header().opcode, "a snapshot")
    }

    fn stretch(&mut self, stretch: &Stretch<'_>, session: &Session, rule: &mut impl FnMut(u64, Ruling)) {
        let opcode = stretch.header().opcode;
        let each = |seqno, new| rule(seqno, once(Some(new), opcode, "a snapshot"));
        self.0.note_stretch(stretch, session, has_keys_once, each);
    }
}

/// D19.
#[derive(Debug, Default)]
pub(super) struct OsoKeysOnce(Keys);

impl Rule for OsoKeysOnce {
    const ID: &'static str = "d19-oso-keys-once";
    const REQUIREMENT: &'static str = "a key occurs once in an OSO snapshot";
    const EXCEPTIONS: &'static str = "a PREPARE and what completes it; more keys than there is room to remember";
    const CONCERNS: Concerns = Concerns::DOCUMENTS;
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        once(self.0.note(seen, Snapshot::is_open_oso), seen.header().opcode, "an OSO snapshot")
    }
}

/// D2, the part that is of OSO snapshots.
#[derive(Debug, Default)]
pub(super) struct OsoSeqnosDistinct(PerStream<Seqnos>);

#[derive(Debug, Default)]
struct Seqnos {
    /// The number of the snapshot on the stream.
    snapshot: u64,
    seqnos: BTreeSet<u64>,
}

impl Entries for Seqnos {
    fn entries(&self) -> usize {
        self.seqnos.len()
    }
}

impl Rule for OsoSeqnosDistinct {
    const ID: &'static str = "d2-oso-seqnos-distinct";
    const REQUIREMENT: &'static str = "the seqnos in an OSO snapshot are distinct";
    const EXCEPTIONS: &'static str = "SEQNO_ADVANCED; snapshots with more items than there is room to remember";
    const CONCERNS: Concerns = Concerns::ITEMS;
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if seen.header().opcode == Opcode::DCP_SEQNO_ADVANCED {
            return Ruling::Silent;
        }
        let Some((seqno, before)) = seen.item() else { return Ruling::Silent };
        if !before.snapshot.is_some_and(|snapshot| snapshot.is_open_oso()) {
            return Ruling::Silent;
        }
        let Some(stream) = self.0.at(before.generation, seen.session) else { return Ruling::Silent };
        if stream.snapshot != before.snapshots {
            *stream = Seqnos { snapshot: before.snapshots, seqnos: BTreeSet::new() };
        }
        let new = stream.seqnos.insert(seqno);
        if new && !self.0.grow(before.generation, seen.session) {
            return Ruling::Silent;
        }
        Ruling::of(new, || ("distinct seqnos".to_owned(), format!("{} with {seqno} again", seen.header().opcode)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::verdicts;
    use super::*;
    use crate::dcp;
    use crate::dcp::FrameHead;
    use crate::dcp::Message;
    use crate::session::script::*;
    use crate::verdict::Verdict;

    const PASS: Option<Verdict> = Some(Verdict::Pass);
    const FAIL: Option<Verdict> = Some(Verdict::Fail);
    const DISK: u32 = SnapshotMarker::DISK;

    fn m(seqno: u64, key_hash: u64) -> FrameHead {
        FrameHead { key_hash, ..mutation(1, 10, seqno) }
    }

    fn of<R: Rule>(heads: &[FrameHead]) -> Option<Verdict> {
        let mut script = Script::opened();
        script.stream(1, 10, 0);
        for head in heads {
            script.p(head.clone());
        }
        verdicts::<R>(&script).0
    }

    #[test]
    fn a_key_occurs_once_in_a_snapshot() {
        let disk = |start, end, flags| marker_with(1, 10, start, end, flags);
        assert_eq!(of::<KeysOnce>(&[disk(0, 2, DISK), m(1, 5), m(2, 6), disk(3, 4, DISK), m(3, 5)]), PASS);
        assert_eq!(of::<KeysOnce>(&[disk(0, 2, DISK), m(1, 5), m(2, 5)]), FAIL);
        let other_collection = FrameHead { collection_id: Some(9), ..m(2, 5) };
        assert_eq!(of::<KeysOnce>(&[disk(0, 2, DISK), m(1, 5), other_collection]), PASS);
        for flags in [DISK | SnapshotMarker::MAY_CONTAIN_DUPLICATE_KEYS, SnapshotMarker::MEMORY] {
            assert_eq!(of::<KeysOnce>(&[disk(0, 2, flags), m(1, 5), m(2, 5)]), None, "{flags}");
        }
        let memory = SnapshotMarker::MEMORY | SnapshotMarker::CHECKPOINT;
        assert_eq!(of::<KeysOnce>(&[disk(0, 2, memory), m(1, 5), m(2, 5)]), FAIL);
    }

    #[test]
    fn a_prepare_and_its_commit_share_a_key() {
        let prepare = Message::Prepare(dcp::Prepare { by_seqno: 1, durability_level: 1, ..dcp::Prepare::default() });
        let prepare = FrameHead { key_hash: 5, ..request(Opcode::DCP_PREPARE, 1, 10, prepare) };
        let commit = Message::Commit(dcp::Commit { prepared_seqno: 1, commit_seqno: 2 });
        let mut commit = FrameHead { key_hash: 5, ..request(Opcode::DCP_COMMIT, 1, 10, commit) };
        commit.header.key_len = 3;
        let marker = || marker_with(1, 10, 0, 4, SnapshotMarker::MEMORY | SnapshotMarker::CHECKPOINT);
        assert_eq!(of::<KeysOnce>(&[marker(), prepare.clone(), commit.clone()]), PASS);
        assert_eq!(of::<KeysOnce>(&[marker(), prepare.clone(), prepare]), FAIL);
        assert_eq!(of::<KeysOnce>(&[marker(), commit.clone(), commit]), FAIL);
    }

    #[test]
    fn a_key_occurs_once_in_an_oso_snapshot() {
        let oso = |flags| request(Opcode::DCP_OSO_SNAPSHOT, 1, 10, Message::OsoSnapshot(dcp::OsoSnapshot { flags }));
        assert_eq!(of::<OsoKeysOnce>(&[oso(1), m(2, 5), m(1, 6), oso(2)]), PASS);
        assert_eq!(of::<OsoKeysOnce>(&[oso(1), m(2, 5), m(1, 5), oso(2)]), FAIL);
        assert_eq!(of::<KeysOnce>(&[oso(1), m(2, 5), m(1, 5), oso(2)]), None);
        type Distinct = OsoSeqnosDistinct;
        assert_eq!(of::<Distinct>(&[oso(1), m(2, 5), m(1, 6), oso(2)]), PASS);
        assert_eq!(of::<Distinct>(&[oso(1), m(2, 5), m(1, 6), m(2, 7)]), FAIL);
        assert_eq!(of::<Distinct>(&[oso(1), m(2, 5), oso(2), oso(1), m(2, 5)]), PASS, "another snapshot");
        assert_eq!(of::<Distinct>(&[marker_with(1, 10, 0, 9, DISK), m(2, 5), m(2, 5)]), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut keys = Keys::default();
        let mut script = Script::opened();
        for vbucket in 0..200 {
            script.stream(vbucket, 10, 0);
            script.p(marker_with(vbucket, 10, 0, u64::MAX, DISK));
        }
        for vbucket in 0..200 {
            script.p(mutation(vbucket, 10, 1));
        }
        for seqno in 2..10_000 {
            script.p(mutation(0, 10, seqno));
        }
        let mut session = Session::new(crate::journal::Side::Upstream);
        for entry in script.log() {
            session.observe(entry);
            if let crate::journal::What::Frame(head) = &entry.what {
                let sender = session.role(entry.sender()).unwrap_or(crate::journal::Role::Consumer);
                let seen = Seen::new(entry.at, head, &session, sender);
                assert_ne!(keys.note(&seen, |_| true), Some(false));
            }
        }
        assert_eq!(keys.open.len(), MAX_SNAPSHOTS);
        assert!(keys.open.iter().all(|open| open.keys.len() <= MAX_KEYS));
    }
}
