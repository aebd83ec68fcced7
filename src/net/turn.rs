//! Connections that have much to move take turns, and the more of them there are the shorter is each turn.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::yield_now;

/// The longest turn, in bytes read: one large read.
const LONGEST: usize = 1024 * 1024;
/// The shortest. Shorter ones are fairer yet, and move less: see docs/PERFORMANCE.md.
const SHORTEST: usize = 256 * 1024;

/// Those of the process that have had their turn and have more to move.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// How many bytes a connection may move before it is others' turn.
pub(super) fn most() -> usize {
    share(WAITING.load(Ordering::Relaxed))
}

fn share(waiting: usize) -> usize {
    (LONGEST / waiting.saturating_add(1)).max(SHORTEST)
}

/// A connection's turn is over: it goes on once the others on its thread have had theirs.
pub(super) async fn over() {
    struct Waits;
    impl Drop for Waits {
        fn drop(&mut self) {
            WAITING.fetch_sub(1, Ordering::Relaxed);
        }
    }
    WAITING.fetch_add(1, Ordering::Relaxed);
    let _waits = Waits;
    yield_now().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_wait_the_shorter_is_a_turn() {
        assert_eq!([0, 1, 3, 15, 100, usize::MAX].map(share).map(|most| most / 1024), [1024, 512, 256, 256, 256, 256]);
    }
}
