use std::io::IoSlice;

use bytes::Bytes;

use super::packet;

/// From this length on a payload is written from where it is; a shorter one is copied, which costs less than a slice more.
const LEND_FROM: usize = 4096;
/// How many of the last payloads may be met again: what crosses one edge has most often just crossed the other.
const MET_AGAIN: usize = 8;

/// Whole blocks on their way to a file: what was made for them, and the payloads that are not copied.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    own: Vec<u8>,
    lent: Vec<Lent>,
    lent_len: usize,
}

/// A payload where it is.
#[derive(Clone, Debug)]
struct Lent {
    /// It stands before this byte of what was made.
    place: usize,
    bytes: Bytes,
    /// As [`packet::sum`] has it.
    sum: u64,
}

impl Gathered {
    /// How many bytes there are.
    pub const fn len(&self) -> usize {
        self.own.len().saturating_add(self.lent_len)
    }

    /// Whether there is nothing.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes in their order, in pieces.
    pub fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(self.lent.len().saturating_mul(2).saturating_add(1));
        let mut from = 0;
        for lent in &self.lent {
            slices.push(IoSlice::new(self.own.get(from..lent.place).unwrap_or_default()));
            slices.push(IoSlice::new(&lent.bytes));
            from = lent.place;
        }
        slices.push(IoSlice::new(self.own.get(from..).unwrap_or_default()));
        slices
    }

    /// All bytes in their order.
    pub fn to_vec(&self) -> Vec<u8> {
        self.slices().iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    /// They have been written.
    pub fn clear(&mut self) {
        self.own.clear();
        self.lent.clear();
        self.lent_len = 0;
    }

    /// Where what is made is appended.
    pub(super) const fn own(&mut self) -> &mut Vec<u8> {
        &mut self.own
    }

    /// Appends a payload of this sum.
    pub(super) fn payload(&mut self, bytes: &Bytes, sum: u64) {
        if bytes.len() < LEND_FROM {
            return self.own.extend_from_slice(bytes);
        }
        self.lent_len = self.lent_len.saturating_add(bytes.len());
        self.lent.push(Lent { place: self.own.len(), bytes: bytes.clone(), sum });
    }

    /// The sum of a payload.
    pub(super) fn sum(&self, bytes: &Bytes) -> u64 {
        // What is lent is kept as it is till it is written: the same place is the same bytes.
        let met = self.lent.iter().rev().take(MET_AGAIN).find(|lent| {
            bytes.len() >= LEND_FROM && lent.bytes.as_ptr() == bytes.as_ptr() && lent.bytes.len() == bytes.len()
        });
        met.map_or_else(|| packet::sum(bytes), |lent| lent.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_keeps_its_place_and_is_not_copied() {
        let long = Bytes::from(vec![7; LEND_FROM]);
        let mut gathered = Gathered::default();
        gathered.payload(&long, packet::sum(&long));
        gathered.own().extend(*b"ab");
        gathered.payload(&Bytes::from_static(b"short"), 0);
        gathered.payload(&long, packet::sum(&long));
        gathered.payload(&long, packet::sum(&long));
        gathered.own().extend(*b"c");
        let all = gathered.to_vec();
        assert_eq!(all, [&long[..], b"abshort", &long, &long, b"c"].concat());
        assert_eq!(gathered.len(), all.len());
        let slices = gathered.slices();
        assert_eq!(slices.iter().filter(|slice| slice.as_ptr() == long.as_ptr()).count(), 3);
        drop(slices);
        gathered.clear();
        assert!(gathered.is_empty() && gathered.to_vec().is_empty());
    }

    #[test]
    fn a_payload_that_is_met_again_has_the_sum_that_it_had() {
        let long = Bytes::from((0..=255).cycle().take(3 * LEND_FROM).collect::<Vec<u8>>());
        let mut gathered = Gathered::default();
        for bytes in [long.clone(), long.slice(..LEND_FROM), long.slice(1..), long.slice(..9)] {
            let sum = gathered.sum(&bytes);
            assert_eq!(sum, packet::sum(&bytes));
            gathered.payload(&bytes, sum);
            assert_eq!(gathered.sum(&bytes), sum);
        }
    }
}
