/// A set of keys, known by their hashes alone: open addressing with linear probing, as the hashes are spread already.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    /// As many as a power of two; 0 where nothing is.
    slots: Vec<u64>,
    len: usize,
    /// Whether a key with the hash 0 is in it.
    zero: bool,
}

const LEAST: usize = 16;

impl KeySet {
    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn clear(&mut self) {
        // What a large one took is given back.
        *self = Self::default();
    }

    pub(super) fn contains(&self, hash: u64) -> bool {
        if hash == 0 { self.zero } else { self.find(hash).is_some_and(|at| self.slots[at] == hash) }
    }

    /// Puts a key in; whether it is new.
    pub(super) fn insert(&mut self, hash: u64) -> bool {
        if hash == 0 {
            let new = !std::mem::replace(&mut self.zero, true);
            self.len += usize::from(new);
            return new;
        }
        // Half of it is empty at least.
        if (self.len + 1) * 2 > self.slots.len() {
            self.grow();
        }
        match self.find(hash) {
            Some(at) if self.slots[at] == 0 => {
                self.slots[at] = hash;
                self.len += 1;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Where a key is, or would be.
    fn find(&self, hash: u64) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        while self.slots[at] != 0 && self.slots[at] != hash {
            at = (at + 1) & mask;
        }
        Some(at)
    }

    fn grow(&mut self) {
        let slots = vec![0; (self.slots.len() * 2).max(LEAST)];
        for hash in std::mem::replace(&mut self.slots, slots).into_iter().filter(|hash| *hash != 0) {
            if let Some(at) = self.find(hash) {
                self.slots[at] = hash;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_has_what_was_put_in_and_nothing_else() {
        let mut dice = fastrand::Rng::with_seed(7);
        for most in [4, 60, 5_000] {
            let (mut set, mut model) = (KeySet::default(), BTreeSet::new());
            for _ in 0..most * 3 {
                // Many that meet in one slot, and 0.
                let hash = dice.u64(0..most) << if dice.bool() { 0 } else { 60 };
                assert_eq!(set.contains(hash), model.contains(&hash), "{hash}");
                assert_eq!(set.insert(hash), model.insert(hash), "{hash}");
                assert_eq!(set.len(), model.len());
            }
            set.clear();
            assert!(set.len() == 0 && !set.contains(0) && !set.contains(1));
        }
    }
}
