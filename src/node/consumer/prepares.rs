use std::collections::BTreeMap;

/// The prepares of a vbucket that await their commit or abort, by key. It keeps a bounded number; beyond that it no
/// longer says that one is missing.
#[derive(Clone, Debug, Default)]
pub(super) struct Prepares {
    pending: BTreeMap<Box<[u8]>, u64>,
    high: u64,
    overflowed: bool,
}

/// What is known of the prepare that a commit or abort speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pending {
    /// It is there, with this seqno.
    Prepared(u64),
    /// There is none.
    Missing,
    /// There were too many to know.
    Unsure,
}

const LIMIT: usize = 65_536;

impl Prepares {
    /// The highest seqno of a prepare so far, 0 for none.
    pub(super) const fn high(&self) -> u64 {
        self.high
    }

    pub(super) fn prepare(&mut self, key: &[u8], seqno: u64) {
        self.high = self.high.max(seqno);
        if self.pending.len() < LIMIT || self.pending.contains_key(key) {
            self.pending.insert(key.into(), seqno);
        } else {
            self.overflowed = true;
        }
    }

    pub(super) fn look(&self, key: &[u8]) -> Pending {
        match self.pending.get(key) {
            Some(&seqno) => Pending::Prepared(seqno),
            None if self.overflowed => Pending::Unsure,
            None => Pending::Missing,
        }
    }

    /// The key has its value: by a commit, an abort, or from disk by a mutation or deletion.
    pub(super) fn complete(&mut self, key: &[u8]) {
        self.pending.remove(key);
    }

    /// Forgets what came after `seqno`.
    pub(super) fn roll_back(&mut self, seqno: u64) {
        self.pending.retain(|_, prepared| *prepared <= seqno);
        self.high = self.high.min(seqno);
        // What was completed after `seqno` is pending again, and nobody knows which keys these are.
        self.overflowed |= seqno > 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prepare_is_pending_until_it_is_completed() {
        let mut prepares = Prepares::default();
        assert_eq!(prepares.look(b"k"), Pending::Missing);
        prepares.prepare(b"k", 7);
        assert_eq!((prepares.look(b"k"), prepares.high()), (Pending::Prepared(7), 7));
        prepares.complete(b"k");
        assert_eq!((prepares.look(b"k"), prepares.high()), (Pending::Missing, 7));
    }

    #[test]
    fn its_memory_is_bounded() {
        let mut prepares = Prepares::default();
        for seqno in 0..=LIMIT as u64 {
            prepares.prepare(&seqno.to_be_bytes(), seqno);
        }
        assert_eq!(prepares.pending.len(), LIMIT);
        assert_eq!(prepares.look(b"other"), Pending::Unsure);
        prepares.prepare(&0_u64.to_be_bytes(), 70_000);
        assert_eq!(prepares.look(&0_u64.to_be_bytes()), Pending::Prepared(70_000));
    }

    #[test]
    fn a_rollback_to_the_middle_makes_it_unsure() {
        let mut prepares = Prepares::default();
        prepares.prepare(b"a", 3);
        prepares.prepare(b"b", 9);
        prepares.roll_back(5);
        assert_eq!((prepares.look(b"a"), prepares.look(b"b")), (Pending::Prepared(3), Pending::Unsure));
    }
}
