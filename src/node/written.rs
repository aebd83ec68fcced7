use std::collections::BTreeMap;

use super::document::Item;

/// What clients wrote into a vbucket: kept, and so bounded.
///
/// A write takes the next seqno; what the generator makes goes on behind it. So a vbucket's seqnos are two rows merged:
/// this one, and the generator's, whose numbers shift by the writes that came before.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    items: Vec<Item>,
    last_of_key: BTreeMap<(u32, Vec<u8>), usize>,
    bytes: usize,
}

/// The most writes that a vbucket keeps.
const MAX_ITEMS: usize = 10_000;
/// The most bytes of documents that it keeps.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Where a seqno is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// In the writes, at this index.
    Written(usize),
    /// In the generator, under this number.
    Generated(u64),
}

impl Written {
    /// How many writes there are.
    pub(super) const fn len(&self) -> u64 {
        self.items.len() as u64
    }

    /// Whether `count` more writes of `len` bytes in all still fit.
    pub(super) const fn has_room(&self, count: usize, len: usize) -> bool {
        self.items.len() + count <= MAX_ITEMS && self.bytes + len <= MAX_BYTES
    }

    /// Appends a write; its seqno must be above all before.
    pub(super) fn push(&mut self, item: Item) {
        let at = self.items.len();
        self.bytes += item.key.len() + item.body.len();
        let key = (item.outline.collection, item.key.clone());
        if item.outline.kind.is_visible()
            && !item.outline.kind.is_system_event()
            && let Some(before) = self.last_of_key.insert(key, at)
        {
            self.items[before].outline.superseded = Some(item.outline.seqno);
        }
        self.items.push(item);
    }

    /// The newest visible write of a key.
    pub(super) fn last(&self, collection: u32, key: &[u8]) -> Option<&Item> {
        self.last_of_key.get(&(collection, key.to_vec())).map(|&at| &self.items[at])
    }

    /// Whether nobody wrote anything.
    pub(super) const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The write at an index that [`Written::place`] gave.
    pub(super) fn item(&self, at: usize) -> &Item {
        &self.items[at]
    }

    /// Where `seqno` is found.
    pub(super) fn place(&self, seqno: u64) -> Place {
        match self.items.binary_search_by_key(&seqno, |item| item.outline.seqno) {
            Ok(at) => Place::Written(at),
            Err(before) => Place::Generated(seqno - before as u64),
        }
    }

    /// The seqno that the generator's number has got.
    pub(super) fn seqno(&self, g: u64) -> u64 {
        let mut before = 0;
        let mut size = self.items.len();
        while size > 0 {
            let half = size / 2;
            let mid = before + half;
            if self.items[mid].outline.seqno - 1 - (mid as u64) < g {
                before = mid + 1;
                size -= half + 1;
            } else {
                size = half;
            }
        }
        g + before as u64
    }

    /// The first write above `seqno`.
    pub(super) fn next_above(&self, seqno: u64) -> Option<u64> {
        let at = self.items.partition_point(|item| item.outline.seqno <= seqno);
        self.items.get(at).map(|item| item.outline.seqno)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(seqno: u64, key: &[u8]) -> Item {
        let mut item = Item::empty();
        item.outline.seqno = seqno;
        item.key = key.to_vec();
        item
    }

    #[test]
    fn the_two_rows_merge_without_gap_or_overlap() {
        let mut written = Written::default();
        for seqno in [1, 5, 6, 20] {
            written.push(write(seqno, b"k"));
        }
        let mut g = 0;
        for seqno in 1..40 {
            match written.place(seqno) {
                Place::Written(at) => assert_eq!(written.item(at).outline.seqno, seqno),
                Place::Generated(number) => {
                    g += 1;
                    assert_eq!(number, g);
                    assert_eq!(written.seqno(number), seqno);
                }
            }
        }
        assert_eq!(written.next_above(6), Some(20));
        assert_eq!(written.next_above(20), None);
        assert_eq!(written.item(0).outline.superseded, Some(5));
        assert_eq!(written.last(0, b"k").unwrap().outline.seqno, 20);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut written = Written::default();
        let mut seqno = 0;
        while written.has_room(1, 1024 * 1024) {
            seqno += 1;
            let mut item = write(seqno, b"k");
            item.body = vec![0; 1024 * 1024];
            written.push(item);
        }
        assert_eq!(seqno, 15, "with the keys' bytes the sixteenth does not fit");
    }
}
