use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::dcp;
use crate::dcp::FailoverEntry;
use crate::dcp::SnapshotMarker;
use crate::wire::Datatype;
use crate::wire::Frame;
use crate::wire::MAX_FRAME_LEN;
use crate::wire::Opcode;

/// What a consumer has of each vbucket. It holds no keys and no documents, and its size does not grow with their number.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    vbuckets: BTreeMap<u16, VbucketLedger>,
}

/// What a consumer has of one vbucket.
#[derive(Clone, Debug, Default)]
pub struct VbucketLedger {
    last_seqno: u64,
    snapshot: Option<Snapshot>,
    failover_log: Vec<FailoverEntry>,
    counts: BTreeMap<Opcode, u64>,
    digest: u64,
    exact: bool,
    recent: VecDeque<Item>,
    forgotten: bool,
}

/// The snapshot that a vbucket is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Its first seqno.
    pub start: u64,
    /// Its last seqno.
    pub end: u64,
    /// The flags of its marker.
    pub flags: u32,
}

/// From where a stream is to be asked for, with the snapshot that this is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResumePoint {
    /// The last seqno that is there.
    pub start_seqno: u64,
    /// First seqno of the snapshot.
    pub snap_start_seqno: u64,
    /// Last seqno of the snapshot.
    pub snap_end_seqno: u64,
}

/// One item, as hashes: it tells two items apart, and nothing of what they hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Item {
    /// Its seqno.
    pub seqno: u64,
    /// [`item_hash`] of all of it.
    pub hash: u64,
    /// A hash of its key, with the collection where these were agreed on.
    pub key: u64,
    /// What it is.
    pub opcode: Opcode,
}

/// Items that a rollback can take back one by one.
const RECENT: usize = 65_536;

/// What one item adds to a digest. The key is as it is on the wire (with its collection id, where these were agreed on),
/// the value inflated.
pub fn item_hash(opcode: Opcode, seqno: u64, cas: u64, key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    hasher.write(&[opcode.0]);
    hasher.write(&seqno.to_be_bytes());
    hasher.write(&cas.to_be_bytes());
    hasher.write(&(key.len() as u64).to_be_bytes());
    hasher.write(key);
    hasher.write(value);
    hasher.finish()
}

/// A hash of a key.
pub(super) fn key_hash(key: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    hasher.write(key);
    hasher.finish()
}

/// As [`item_hash`], of a frame. `None` where its value is not what its datatype says.
pub(super) fn frame_hash(frame: &Frame<'_>, seqno: u64) -> Option<u64> {
    let header = frame.header();
    let value = frame.value()?;
    let inflated;
    let value = if header.datatype.contains(Datatype::SNAPPY) && !value.is_empty() {
        inflated = dcp::value::inflate(value, MAX_FRAME_LEN).ok()?;
        &inflated
    } else {
        value
    };
    Some(item_hash(header.opcode, seqno, header.cas, frame.key(), value))
}

impl Ledger {
    /// A ledger that begins behind these seqnos, by vbucket: what is up to them is not asked for.
    pub fn behind(seqnos: impl IntoIterator<Item = (u16, u64)>) -> Self {
        let mut ledger = Self::default();
        for (vbucket, seqno) in seqnos {
            ledger.entry(vbucket).last_seqno = seqno;
        }
        ledger
    }

    /// A ledger with these items, by vbucket, in the order of their seqnos.
    #[cfg(test)]
    pub(crate) fn with(items: impl IntoIterator<Item = (u16, Item)>) -> Self {
        let mut ledger = Self::default();
        for (vbucket, item) in items {
            ledger.entry(vbucket).item(item);
        }
        ledger
    }

    /// What there is of a vbucket, if anything was asked or told of it.
    pub fn vbucket(&self, vbucket: u16) -> Option<&VbucketLedger> {
        self.vbuckets.get(&vbucket)
    }

    /// Every vbucket, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &VbucketLedger)> {
        self.vbuckets.iter().map(|(&vbucket, ledger)| (vbucket, ledger))
    }

    /// All messages of a kind.
    pub fn count(&self, opcode: Opcode) -> u64 {
        self.vbuckets.values().map(|vbucket| vbucket.count(opcode)).sum()
    }

    /// All items: messages that have a seqno.
    pub fn items(&self) -> u64 {
        self.vbuckets.values().map(VbucketLedger::items).sum()
    }

    pub(super) fn entry(&mut self, vbucket: u16) -> &mut VbucketLedger {
        self.vbuckets.entry(vbucket).or_insert_with(|| VbucketLedger { exact: true, ..VbucketLedger::default() })
    }
}

impl VbucketLedger {
    /// The last seqno that is there, 0 for none.
    pub const fn last_seqno(&self) -> u64 {
        self.last_seqno
    }

    /// The snapshot that the last marker opened.
    pub const fn snapshot(&self) -> Option<Snapshot> {
        self.snapshot
    }

    /// Whether the last snapshot has come to its end.
    pub fn is_complete(&self) -> bool {
        self.snapshot.is_none_or(|snapshot| self.last_seqno >= snapshot.end)
    }

    /// The vbucket's history as the producer last told it, newest first.
    pub fn failover_log(&self) -> &[FailoverEntry] {
        &self.failover_log
    }

    /// How many messages of a kind it has had, markers and stream ends too. What a rollback took back is not counted.
    pub fn count(&self, opcode: Opcode) -> u64 {
        self.counts.get(&opcode).copied().unwrap_or_default()
    }

    /// How many items (messages with a seqno) it has.
    pub fn items(&self) -> u64 {
        ITEMS.iter().map(|&opcode| self.count(opcode)).sum()
    }

    /// The sum (modulo 2^64) of [`item_hash`] over all items that it has. `None` after a rollback further back than is
    /// remembered (65,536 items), unless it went back to 0.
    pub fn digest(&self) -> Option<u64> {
        self.exact.then_some(self.digest)
    }

    /// Its items with seqnos from `first` to `last`, in their order; `None` where it has had more items since than it
    /// remembers (65,536).
    pub fn items_of(&self, first: u64, last: u64) -> Option<impl Iterator<Item = &Item>> {
        let forgotten = self.forgotten && self.recent.front().is_none_or(|oldest| oldest.seqno > first);
        let from = self.recent.partition_point(|item| item.seqno < first);
        let to = self.recent.partition_point(|item| item.seqno <= last);
        (!forgotten).then(|| self.recent.range(from..to.max(from)))
    }

    /// From where its stream is to be asked for.
    pub fn resume_point(&self) -> ResumePoint {
        let last = self.last_seqno;
        // A marker whose first item has not come yet is not the snapshot that the last item is in.
        match self.snapshot {
            Some(snapshot) if snapshot.start <= last && last < snapshot.end => {
                ResumePoint { start_seqno: last, snap_start_seqno: snapshot.start, snap_end_seqno: snapshot.end }
            }
            _ => ResumePoint { start_seqno: last, snap_start_seqno: last, snap_end_seqno: last },
        }
    }

    pub(super) fn set_failover_log(&mut self, log: Vec<FailoverEntry>) {
        self.failover_log = log;
    }

    pub(super) fn marker(&mut self, marker: &SnapshotMarker) {
        self.snapshot = Some(Snapshot { start: marker.start_seqno, end: marker.end_seqno, flags: marker.flags });
        self.message(Opcode::DCP_SNAPSHOT_MARKER);
    }

    pub(super) fn message(&mut self, opcode: Opcode) {
        let count = self.counts.entry(opcode).or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn item(&mut self, item: Item) {
        self.last_seqno = item.seqno;
        self.message(item.opcode);
        self.digest = self.digest.wrapping_add(item.hash);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
            self.forgotten = true;
        }
        self.recent.push_back(item);
    }

    /// Begins behind what is there from before.
    pub(super) fn begin_at(&mut self, seqno: u64, snapshot: Option<Snapshot>, log: Vec<FailoverEntry>) {
        self.last_seqno = seqno;
        self.snapshot = snapshot;
        self.failover_log = log;
    }

    pub(super) const fn advance(&mut self, seqno: u64) {
        self.last_seqno = seqno;
    }

    /// Takes back everything after `seqno`.
    pub(super) fn roll_back(&mut self, seqno: u64) {
        while let Some(&item) = self.recent.back()
            && item.seqno > seqno
        {
            self.recent.pop_back();
            self.digest = self.digest.wrapping_sub(item.hash);
            let count = self.counts.entry(item.opcode).or_default();
            *count = count.saturating_sub(1);
        }
        if seqno == 0 {
            self.digest = 0;
            self.exact = true;
            self.forgotten = false;
            for opcode in ITEMS {
                self.counts.remove(&opcode);
            }
        } else if self.recent.is_empty() && self.forgotten {
            self.exact = false;
        }
        self.last_seqno = self.last_seqno.min(seqno);
        self.snapshot = None;
    }
}

/// The messages that have a seqno and a place in the vbucket's data.
pub(super) const ITEMS: [Opcode; 7] = [
    Opcode::DCP_MUTATION,
    Opcode::DCP_DELETION,
    Opcode::DCP_EXPIRATION,
    Opcode::DCP_PREPARE,
    Opcode::DCP_COMMIT,
    Opcode::DCP_ABORT,
    Opcode::DCP_SYSTEM_EVENT,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(seqnos: impl Iterator<Item = u64>) -> Ledger {
        let mut ledger = Ledger::default();
        for seqno in seqnos {
            let hash = item_hash(Opcode::DCP_MUTATION, seqno, 1, b"k", b"v");
            ledger.entry(3).item(Item { seqno, hash, key: key_hash(b"k"), opcode: Opcode::DCP_MUTATION });
        }
        ledger
    }

    const fn marker(start_seqno: u64, end_seqno: u64) -> SnapshotMarker {
        SnapshotMarker {
            version: dcp::MarkerVersion::V1,
            start_seqno,
            end_seqno,
            flags: 1,
            max_visible_seqno: None,
            high_completed_seqno: None,
            timestamp: None,
            purge_seqno: None,
            high_prepared_seqno: None,
        }
    }

    #[test]
    fn the_digest_tells_every_part_of_an_item() {
        let hash = item_hash(Opcode::DCP_MUTATION, 1, 2, b"key", b"value");
        for other in [
            item_hash(Opcode::DCP_PREPARE, 1, 2, b"key", b"value"),
            item_hash(Opcode::DCP_MUTATION, 2, 2, b"key", b"value"),
            item_hash(Opcode::DCP_MUTATION, 1, 3, b"key", b"value"),
            item_hash(Opcode::DCP_MUTATION, 1, 2, b"keyv", b"alue"),
            item_hash(Opcode::DCP_MUTATION, 1, 2, b"key", b"values"),
        ] {
            assert_ne!(hash, other);
        }
        assert_ne!(filled(1..10).vbucket(3).unwrap().digest(), filled(1..9).vbucket(3).unwrap().digest());
    }

    #[test]
    fn a_rollback_is_as_if_it_had_not_come() {
        let mut ledger = filled(1..100);
        ledger.entry(3).roll_back(40);
        let (rolled, short) = (ledger.vbucket(3).unwrap(), filled(1..41));
        assert_eq!((rolled.digest(), rolled.items()), (short.vbucket(3).unwrap().digest(), 40));
        assert_eq!(rolled.resume_point().start_seqno, 40);
        let mut long = filled(1..70_000);
        long.entry(3).roll_back(10);
        assert_eq!(long.vbucket(3).unwrap().digest(), None, "too far back to be exact");
        long.entry(3).roll_back(0);
        assert_eq!((long.vbucket(3).unwrap().digest(), long.items()), (Some(0), 0));
    }

    #[test]
    fn items_are_remembered_as_long_as_there_is_room() {
        let seqnos = |ledger: &Ledger, first, last| {
            ledger
                .vbucket(3)
                .unwrap()
                .items_of(first, last)
                .map(|items| items.map(|item| item.seqno).collect::<Vec<_>>())
        };
        assert_eq!(seqnos(&filled(1..10), 3, 5), Some(vec![3, 4, 5]));
        assert_eq!(seqnos(&filled(1..10), 8, 100), Some(vec![8, 9]));
        assert_eq!(seqnos(&filled(1..10), 50, 100), Some(Vec::new()));
        assert_eq!(seqnos(&filled(1..70_000), 3, 5), None);
        assert_eq!(seqnos(&filled(1..70_000), 69_998, 70_000), Some(vec![69_998, 69_999]));
    }

    #[test]
    fn a_stream_resumes_inside_its_snapshot() {
        let mut ledger = Ledger::default();
        let vbucket = ledger.entry(0);
        let point = |start, snap_start, snap_end| ResumePoint {
            start_seqno: start,
            snap_start_seqno: snap_start,
            snap_end_seqno: snap_end,
        };
        assert_eq!(vbucket.resume_point(), point(0, 0, 0));
        vbucket.marker(&marker(0, 10));
        assert_eq!(vbucket.resume_point(), point(0, 0, 10));
        let item = |seqno| Item { seqno, hash: 0, key: 0, opcode: Opcode::DCP_MUTATION };
        vbucket.item(item(4));
        assert_eq!((vbucket.resume_point(), vbucket.is_complete()), (point(4, 0, 10), false));
        vbucket.item(item(10));
        assert_eq!((vbucket.resume_point(), vbucket.is_complete()), (point(10, 10, 10), true));
        vbucket.marker(&marker(11, 20));
        assert_eq!(vbucket.resume_point(), point(10, 10, 10));
    }
}
