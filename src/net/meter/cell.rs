use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A number that one task alone changes, and others read. So a change is a load and a store, waits for nobody, and costs what
/// a plain number does.
#[derive(Debug, Default)]
pub(super) struct Cell(AtomicU64);

impl Cell {
    /// For the task that owns it.
    #[inline]
    pub(super) fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    /// For the task that owns it.
    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long something has lasted in all, also while it lasts; as [`Cell`] is, one task's alone.
///
/// One number says both: twice the nanoseconds, and odd while it runs; then what the clock says is to be added.
#[derive(Debug, Default)]
pub(super) struct Stopwatch(Cell);

impl Stopwatch {
    pub(super) fn start(&self, now: Nanos) {
        if !self.is_running() {
            self.0.set(self.value().wrapping_sub(now.0) << 1 | 1);
        }
    }

    pub(super) fn stop(&self, now: Nanos) {
        if self.is_running() {
            self.0.set(self.value().wrapping_add(now.0) << 1);
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.0.get() & 1 == 1
    }

    /// In all, at a moment that is not earlier than the last start.
    pub(super) fn read(&self, now: Nanos) -> Duration {
        let word = self.0.get();
        let value = sign_extended(word);
        let nanos = if word & 1 == 1 { value.wrapping_add(now.0) } else { value };
        // Whoever looks at the clock right before it starts sees it run backwards.
        Duration::from_nanos(u64::try_from(nanos.cast_signed()).unwrap_or(0))
    }

    fn value(&self) -> u64 {
        sign_extended(self.0.get())
    }
}

const fn sign_extended(word: u64) -> u64 {
    (word.cast_signed() >> 1).cast_unsigned()
}

/// The monotonic clock of the process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Nanos(u64);

impl Nanos {
    pub(super) fn now() -> Self {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        Self(u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopwatch_tells_how_long_it_has_run_also_while_it_does() {
        let watch = Stopwatch::default();
        let at = |nanos| watch.read(Nanos(nanos)).as_nanos();
        assert_eq!(at(50), 0);
        watch.start(Nanos(100));
        assert_eq!((at(90), at(100), at(130)), (0, 0, 30));
        watch.start(Nanos(120));
        watch.stop(Nanos(150));
        assert_eq!((at(150), at(900), watch.is_running()), (50, 50, false));
        watch.stop(Nanos(1000));
        watch.start(Nanos(2000));
        assert_eq!((at(2005), watch.is_running()), (55, true));
    }
}
