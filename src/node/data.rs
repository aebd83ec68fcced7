//! The node's data, made from (seed, vbucket, seqno) each time it is wanted and never kept.
//!
//! The vbucket's history is a row of rounds of [`ROUND`] seqnos, all of one pattern; the slot in the round says what a
//! seqno is. What happens to a document after it was written (its fate) is a function of its slot too, so that
//! snapshots can leave out what they supersede, as checkpoints and disks do, without looking anything up.

/// Seqnos in a round: every type of message occurs in each.
pub(super) const ROUND: u64 = 32;

/// Rounds that a collection lives.
pub(super) const LIFE: u64 = 64;

/// The scope that every second collection is in.
pub(super) const SCOPE: u32 = 8;

/// The first collection id that is not reserved.
const FIRST_COLLECTION: u64 = 8;

/// What a seqno is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Mutation,
    Deletion,
    Expiration,
    Prepare { level: u8, deleted: bool },
    Commit { prepared: u64, deleted: bool },
    Abort { prepared: u64 },
    CreateCollection { uid: u64, scope: u32, max_ttl: Option<u32> },
    DropCollection { uid: u64, scope: u32 },
    CreateScope { uid: u64, scope: u32 },
    DropScope { uid: u64, scope: u32 },
}

impl Kind {
    /// Whether a reader without sync writes sees it.
    pub(super) const fn is_visible(self) -> bool {
        !matches!(self, Self::Prepare { .. } | Self::Abort { .. })
    }

    /// Whether it leaves its document deleted.
    pub(super) const fn is_removal(self) -> bool {
        matches!(self, Self::Deletion | Self::Expiration | Self::Commit { deleted: true, .. })
    }

    /// Whether it is a system event.
    pub(super) const fn is_system_event(self) -> bool {
        matches!(self, Self::CreateCollection { .. } | Self::DropCollection { .. }) || self.is_of_a_scope()
    }

    /// Whether it is a system event about a scope.
    pub(super) const fn is_of_a_scope(self) -> bool {
        matches!(self, Self::CreateScope { .. } | Self::DropScope { .. })
    }

    /// The manifest's uid that a system event carries.
    pub(super) const fn uid(self) -> Option<u64> {
        match self {
            Self::CreateCollection { uid, .. }
            | Self::DropCollection { uid, .. }
            | Self::CreateScope { uid, .. }
            | Self::DropScope { uid, .. } => Some(uid),
            Self::Mutation
            | Self::Deletion
            | Self::Expiration
            | Self::Prepare { .. }
            | Self::Commit { .. }
            | Self::Abort { .. } => None,
        }
    }

    /// A system event with another uid; all else stays as it is.
    pub(super) const fn with_uid(self, uid: u64) -> Self {
        match self {
            Self::CreateCollection { scope, max_ttl, .. } => Self::CreateCollection { uid, scope, max_ttl },
            Self::DropCollection { scope, .. } => Self::DropCollection { uid, scope },
            Self::CreateScope { scope, .. } => Self::CreateScope { uid, scope },
            Self::DropScope { scope, .. } => Self::DropScope { uid, scope },
            Self::Mutation
            | Self::Deletion
            | Self::Expiration
            | Self::Prepare { .. }
            | Self::Commit { .. }
            | Self::Abort { .. } => self,
        }
    }
}

/// A seqno without its documents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Outline {
    pub(super) seqno: u64,
    pub(super) kind: Kind,
    /// Whose item it is, or which collection its event is about.
    pub(super) collection: u32,
    /// The scope of that collection, or that its event is about.
    pub(super) scope: u32,
    /// The seqno that first wrote its key.
    pub(super) birth: u64,
    /// The seqno that supersedes it in any snapshot that holds both.
    pub(super) superseded: Option<u64>,
    /// The seqno that supersedes it on disk only: a prepare's abort, the end of its collection.
    pub(super) superseded_on_disk: Option<u64>,
}

impl Outline {
    /// Whether a snapshot that ends at `end` leaves it out.
    pub(super) fn is_left_out(&self, end: u64, disk: bool) -> bool {
        let by = |seqno: Option<u64>| seqno.is_some_and(|seqno| seqno <= end);
        by(self.superseded) || (disk && by(self.superseded_on_disk))
    }
}

const ALIVE: [u64; 2] = [9, 24];
const EXPIRED: [u64; 2] = [13, 29];

/// What became of the generator's seqno `g` (from 1 on).
pub(super) fn outline(g: u64) -> Outline {
    let (round, slot) = split(g);
    let birth = match slot {
        7 => join(round, 3),
        15 => join(round, 11),
        26 => join(round, 23),
        30 => join(round, 28),
        21 => target(round, 17),
        9 | 13 | 17 | 19 | 24 | 29 => target(round, slot),
        _ => g,
    };
    let collection = collection_of(round, slot, birth);
    let kind = match slot {
        0 => Kind::CreateCollection { uid: uid_of_creation(round), scope: scope_of(round), max_ttl: ttl_of(round) },
        20 if round == 0 => Kind::CreateScope { uid: 2, scope: SCOPE },
        20 if round >= LIFE => Kind::DropCollection { uid: uid_of_creation(round) + 1, scope: scope_of(round - LIFE) },
        3 | 28 => Kind::Prepare { level: 1, deleted: false },
        23 => Kind::Prepare { level: 2, deleted: false },
        11 => Kind::Prepare { level: 3, deleted: false },
        17 => Kind::Prepare { level: 1, deleted: true },
        7 => Kind::Commit { prepared: join(round, 3), deleted: false },
        26 => Kind::Commit { prepared: join(round, 23), deleted: false },
        21 => Kind::Commit { prepared: join(round, 17), deleted: true },
        15 => Kind::Abort { prepared: join(round, 11) },
        30 => Kind::Abort { prepared: join(round, 28) },
        slot if ALIVE.contains(&slot) => Kind::Deletion,
        slot if EXPIRED.contains(&slot) => Kind::Expiration,
        _ => Kind::Mutation,
    };
    let abort = match slot {
        11 => Some(join(round, 15)),
        28 => Some(join(round, 30)),
        _ => None,
    };
    let outlives_it = matches!(kind, Kind::DropCollection { .. }) || kind.is_of_a_scope();
    let scope = if kind.is_of_a_scope() { SCOPE } else { scope_of_collection(collection) };
    let ended = (collection != 0 && !outlives_it).then(|| end_of(collection));
    Outline {
        seqno: g,
        kind,
        collection,
        scope,
        birth,
        superseded: fate(round, slot),
        superseded_on_disk: abort.or(ended),
    }
}

/// The document that a slot writes again, deletes or expires: one of the round before, which the first two rounds share.
fn target(round: u64, slot: u64) -> u64 {
    let (own, spare) = match slot {
        9 => (1, 12),
        13 => (2, 14),
        17 => (5, 18),
        19 => (10, 31),
        24 => (4, 16),
        _ => (25, 22),
    };
    match round {
        0 => join(0, own),
        1 => join(0, spare),
        _ => join(round - 1, own),
    }
}

/// The seqno that supersedes what a slot wrote: the inverse of [`target`].
fn fate(round: u64, slot: u64) -> Option<u64> {
    let by = match (slot, round) {
        (1, _) | (12, 0) => 9,
        (2, _) | (14, 0) => 13,
        (5, _) | (18, 0) => 21,
        (10, _) | (31, 0) => 19,
        (4, _) | (16, 0) => 24,
        (25, _) | (22, 0) => 29,
        _ => return None,
    };
    let own = matches!(slot, 1 | 2 | 5 | 10 | 4 | 25);
    Some(if round == 0 && own { join(0, by) } else { join(round + 1, by) })
}

fn collection_of(round: u64, slot: u64, birth: u64) -> u32 {
    match slot {
        0 | 4 | 11 | 15 | 16 => collection_id(round),
        8 => collection_id(round.saturating_sub(1)),
        24 => collection_id(split(birth).0),
        20 if round >= LIFE => collection_id(round - LIFE),
        _ => 0,
    }
}

const fn collection_id(round: u64) -> u32 {
    (FIRST_COLLECTION + round) as u32
}

const fn scope_of(round: u64) -> u32 {
    if round % 2 == 1 { SCOPE } else { 0 }
}

/// The scope that a collection is in.
const fn scope_of_collection(id: u32) -> u32 {
    if id == 0 { 0 } else { scope_of((id as u64).saturating_sub(FIRST_COLLECTION)) }
}

const fn ttl_of(round: u64) -> Option<u32> {
    if round % 4 == 2 { Some(86_400) } else { None }
}

/// The seqno at which a collection is dropped.
const fn end_of(collection: u32) -> u64 {
    join(collection as u64 - FIRST_COLLECTION + LIFE, 20)
}

const fn uid_of_creation(round: u64) -> u64 {
    if round == 0 { 1 } else { 2 + round + round.saturating_sub(LIFE) }
}

/// The round and slot of a seqno.
pub(super) const fn split(g: u64) -> (u64, u64) {
    let index = g.saturating_sub(1);
    (index / ROUND, index % ROUND)
}

const fn join(round: u64, slot: u64) -> u64 {
    round * ROUND + slot + 1
}

/// A collection that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Collection {
    pub(super) id: u32,
    pub(super) scope: u32,
    pub(super) max_ttl: Option<u32>,
}

/// The collections that are there once seqno `high` is reached, without the default one, by id.
pub(super) fn collections(high: u64) -> impl Iterator<Item = Collection> {
    let (round, _) = split(high);
    let first = if high == 0 { 1 } else { round.saturating_sub(LIFE) };
    let last = if high == 0 { 0 } else { round };
    (first..=last).filter(move |&round| end_of(collection_id(round)) > high).map(|round| Collection {
        id: collection_id(round),
        scope: scope_of(round),
        max_ttl: ttl_of(round),
    })
}

/// Whether the scope that is not the default one is there once seqno `high` is reached.
pub(super) const fn has_scope(high: u64) -> bool {
    high >= join(0, 20)
}

/// The uid of the manifest once seqno `high` is reached.
pub(super) fn manifest_uid(high: u64) -> u64 {
    (high.saturating_sub(ROUND)..=high).rev().filter(|&g| g > 0).find_map(|g| outline(g).kind.uid()).unwrap_or_default()
}

/// The name of a collection.
pub(super) fn collection_name(id: u32) -> String {
    format!("orders-{id}")
}

/// The name of the scope that is not the default one.
pub(super) const SCOPE_NAME: &str = "inventory";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_type_occurs_in_every_round_and_a_half() {
        for start in 1..400 {
            let kinds: BTreeSet<_> = (start..start + 40)
                .map(|g| match outline(g).kind {
                    Kind::Mutation => "mutation",
                    Kind::Deletion => "deletion",
                    Kind::Expiration => "expiration",
                    Kind::Prepare { .. } => "prepare",
                    Kind::Commit { .. } => "commit",
                    Kind::Abort { .. } => "abort",
                    Kind::CreateCollection { .. }
                    | Kind::DropCollection { .. }
                    | Kind::CreateScope { .. }
                    | Kind::DropScope { .. } => "event",
                })
                .collect();
            assert_eq!(kinds.len(), 7, "from {start}: {kinds:?}");
        }
    }

    #[test]
    fn a_document_is_removed_once_and_only_while_it_is_there() {
        let mut alive = BTreeMap::new();
        for g in 1..ROUND * (LIFE + 10) {
            let it = outline(g);
            let before = alive.get(&it.birth).copied();
            match it.kind {
                Kind::Mutation => {
                    assert!(before.is_none() == (it.birth == g), "{it:?}");
                    assert_ne!(before, Some(false), "{it:?}");
                    alive.insert(it.birth, true);
                }
                Kind::Deletion | Kind::Expiration => {
                    assert_eq!(before, Some(true), "{it:?}");
                    alive.insert(it.birth, false);
                }
                Kind::Commit { deleted, prepared } => {
                    assert_eq!(outline(prepared).birth, it.birth, "{it:?}");
                    assert!(matches!(outline(prepared).kind, Kind::Prepare { deleted: d, .. } if d == deleted));
                    assert_eq!(before, deleted.then_some(true), "{it:?}");
                    alive.insert(it.birth, !deleted);
                }
                Kind::Abort { prepared } => assert_eq!(outline(prepared).birth, it.birth, "{it:?}"),
                Kind::Prepare { deleted, .. } => assert_eq!(before, deleted.then_some(true), "{it:?}"),
                Kind::CreateCollection { .. }
                | Kind::DropCollection { .. }
                | Kind::CreateScope { .. }
                | Kind::DropScope { .. } => {}
            }
        }
    }

    #[test]
    fn the_fate_of_a_document_is_the_next_seqno_that_writes_its_key() {
        let last = ROUND * (LIFE + 10);
        let mut writes: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let of_documents = |kind: Kind| kind.is_visible() && !kind.is_system_event();
        for it in (1..last).map(outline).filter(|it| of_documents(it.kind)) {
            writes.entry(it.birth).or_default().push(it.seqno);
        }
        for it in (1..last - 2 * ROUND).map(outline).filter(|it| of_documents(it.kind)) {
            let next = writes[&it.birth].iter().copied().find(|&g| g > it.seqno);
            assert_eq!(it.superseded, next, "{it:?}");
        }
    }

    #[test]
    #[allow(clippy::wildcard_enum_match_arm)] // events are named, all else is items
    fn items_lie_within_the_life_of_their_collection_and_uids_only_grow() {
        let mut open = BTreeSet::new();
        let mut last_uid = 0;
        for g in 1..ROUND * (LIFE * 3) {
            let it = outline(g);
            match it.kind {
                Kind::CreateCollection { uid, .. } => {
                    assert!(open.insert(it.collection));
                    assert!(uid > last_uid);
                    last_uid = uid;
                }
                Kind::DropCollection { uid, .. } => {
                    assert!(open.remove(&it.collection));
                    assert!(uid > last_uid);
                    last_uid = uid;
                }
                Kind::CreateScope { uid, .. } => {
                    assert!(uid > last_uid);
                    last_uid = uid;
                }
                _ => assert!(it.collection == 0 || open.contains(&it.collection), "{it:?}"),
            }
            if g % 7 == 0 {
                assert_eq!(collections(g).map(|c| c.id).collect::<Vec<_>>(), open.iter().copied().collect::<Vec<_>>());
                assert_eq!(manifest_uid(g), last_uid);
            }
        }
        assert_eq!(collections(0).count(), 0);
        assert_eq!(manifest_uid(0), 0);
    }
}
