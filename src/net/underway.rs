use std::collections::VecDeque;

use crate::Timestamp;

/// What was read for one end and has not all been written to it: where it ends in all that is ever written there, and when
/// it was read.
#[derive(Debug, Default)]
pub(super) struct Underway {
    chunks: VecDeque<(u64, Timestamp)>,
    /// Where the last chunk ended.
    last: u64,
}

/// Chunks that are told apart; while so many wait, those that follow are part of the last.
const MOST: usize = 64;

impl Underway {
    /// A chunk was read; what goes on of what was read so far ends at `until`. Nothing may have been added, where the core
    /// keeps it.
    pub(super) fn read(&mut self, until: u64, at: Timestamp) {
        if until <= self.last {
            return;
        }
        self.last = until;
        if self.chunks.len() < MOST {
            self.chunks.push_back((until, at));
        } else if let Some(last) = self.chunks.back_mut() {
            last.0 = until;
        }
    }

    /// When the next chunk was read, if it is written now that `written` bytes are: once.
    pub(super) fn written(&mut self, written: u64) -> Option<Timestamp> {
        let (until, at) = *self.chunks.front()?;
        if written < until {
            return None;
        }
        self.chunks.pop_front();
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_written_when_its_last_byte_is() {
        let mut underway = Underway::default();
        underway.read(10, Timestamp(1));
        underway.read(10, Timestamp(2));
        underway.read(15, Timestamp(3));
        assert_eq!(underway.written(9), None);
        assert_eq!((underway.written(14), underway.written(14)), (Some(Timestamp(1)), None));
        assert_eq!((underway.written(99), underway.written(99)), (Some(Timestamp(3)), None));
    }

    #[test]
    fn while_nothing_is_taken_no_more_is_remembered_than_a_few_chunks() {
        let mut underway = Underway::default();
        for chunk in 1..=1_000 {
            underway.read(chunk, Timestamp(chunk));
        }
        assert_eq!(underway.chunks.len(), MOST);
        assert_eq!((1..=MOST as u64).filter_map(|_| underway.written(999)).count(), MOST - 1);
        assert_eq!(underway.written(1_000), Some(Timestamp(MOST as u64)));
    }
}
