//! What ends read into. The blocks are the thread's: an end that has nothing to read holds none.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

/// How much may be read at once.
const SIZES: [usize; 4] = [16 * 1024, 64 * 1024, 256 * 1024, 1024 * 1024];
/// Of these, the most while what was read before waits to be written.
const MOST_BEHIND: usize = 2;
/// What is read goes on in its block where it fills at least one part of so many, else in a copy: however slowly it is
/// written, no more memory is held than so many times its length.
const PART: usize = 4;
/// The blocks of each size that a thread keeps, in use and not: as many as are on their way while a socket takes them with
/// delay.
const KEPT: usize = 3;

/// How much an end reads at once: it follows what its last reads have brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct ReadSize {
    /// Which of [`SIZES`].
    at: usize,
}

impl ReadSize {
    /// The size of the next read of `most` bytes, `behind` what waits to be written or not.
    pub(super) fn next(self, behind: bool, most: usize) -> Self {
        let largest = SIZES.iter().rposition(|&size| size <= most).unwrap_or_default();
        Self { at: self.at.min(largest).min(if behind { MOST_BEHIND } else { largest }) }
    }

    pub(super) const fn len(self) -> usize {
        SIZES[self.at]
    }

    /// A read of this size brought so many bytes, and may have been as large as could be.
    pub(super) const fn brought(&mut self, len: usize, is_full: bool) {
        if is_full {
            if self.at + 1 < SIZES.len() {
                self.at += 1;
            }
        } else if len < self.len() / PART {
            self.at = self.at.saturating_sub(1);
        }
    }
}

thread_local! {
    static KEPT_BLOCKS: RefCell<[Vec<BytesMut>; SIZES.len()]> = const { RefCell::new([const { Vec::new() }; SIZES.len()]) };
}

/// Where one read goes.
pub(super) struct Block {
    at: usize,
    bytes: BytesMut,
}

impl Block {
    /// An empty one with room for a read of that size.
    pub(super) fn take(size: ReadSize) -> Self {
        let len = size.len();
        let kept = KEPT_BLOCKS.with_borrow_mut(|blocks| {
            let blocks = &mut blocks[size.at];
            // Once all that was read into it is gone, it is as new.
            let free = blocks.iter_mut().position(|block| block.try_reclaim(len))?;
            Some(blocks.swap_remove(free))
        });
        Self { at: size.at, bytes: kept.unwrap_or_else(|| BytesMut::with_capacity(len)) }
    }

    /// What is read is appended here, up to [`ReadSize::len`] bytes.
    pub(super) const fn space(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// What was read; the thread gets its block back.
    pub(super) fn filled(mut self) -> Bytes {
        let bytes = if self.bytes.len() < SIZES[self.at] / PART {
            let copy = Bytes::copy_from_slice(&self.bytes);
            self.bytes.clear();
            copy
        } else {
            self.bytes.split().freeze()
        };
        self.keep();
        bytes
    }

    /// Nothing was read.
    pub(super) fn keep(self) {
        KEPT_BLOCKS.with_borrow_mut(|blocks| {
            let blocks = &mut blocks[self.at];
            if blocks.len() == KEPT {
                // Whoever holds what was read into it frees it.
                blocks.swap_remove(0);
            }
            blocks.push(self.bytes);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(size: ReadSize, len: usize) -> Bytes {
        let mut block = Block::take(size);
        block.space().resize(len, 7);
        block.filled()
    }

    fn kept(at: usize) -> usize {
        KEPT_BLOCKS.with_borrow(|blocks| blocks[at].len())
    }

    #[test]
    fn reads_grow_while_they_are_full_and_shrink_where_they_bring_little() {
        let mut size = ReadSize::default();
        let mut lens = vec![size.len()];
        for brought in [SIZES[0], SIZES[1], SIZES[2], SIZES[3], SIZES[3] / PART, SIZES[3] / PART - 1, 1, 1, 1] {
            size.brought(brought, brought >= size.len());
            lens.push(size.len());
        }
        assert_eq!(lens, [0, 1, 2, 3, 3, 3, 2, 1, 0, 0].map(|at| SIZES[at]));
        assert_eq!([0, 1, 2, 3].map(|at| ReadSize { at }.next(true, usize::MAX).at), [0, 1, 2, 2]);
        assert_eq!([0, 1, 2, 3].map(|at| ReadSize { at }.next(false, SIZES[2] - 1).at), [0, 1, 1, 1]);
        assert_eq!(ReadSize { at: 3 }.next(false, 1).at, 0, "no less than the smallest");
    }

    #[test]
    fn what_is_read_pins_four_times_its_length_at_most_and_its_block_is_used_again() {
        for (at, full) in SIZES.into_iter().enumerate() {
            let size = ReadSize { at };
            let block = Block::take(size);
            let place = block.bytes.as_ptr();
            block.keep();
            // A copy: the block is free while that is held.
            let little = read(size, full / PART - 1);
            let again = Block::take(size);
            assert_eq!(again.bytes.as_ptr(), place);
            again.keep();
            // The block itself: only once that is gone it is free.
            let much = read(size, full);
            assert_eq!((much.as_ptr(), much.len()), (place, full));
            assert_ne!(read(size, full).as_ptr(), place);
            drop(much);
            let again: Vec<_> = (0..2).map(|_| Block::take(size)).collect();
            assert!(again.iter().any(|block| block.bytes.as_ptr() == place));
            assert!(little.iter().all(|&byte| byte == 7));
        }
    }

    #[test]
    fn a_thread_keeps_few_blocks_however_much_waits() {
        let size = ReadSize { at: 1 };
        let waiting: Vec<_> = (0..100).map(|_| read(size, SIZES[1])).collect();
        assert_eq!(kept(1), KEPT);
        drop(waiting);
        drop(read(size, SIZES[1]));
        assert_eq!(kept(1), KEPT);
    }
}
