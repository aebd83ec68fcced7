use std::time::Duration;

use crate::Timestamp;

/// A consumer's side of flow control: what it was charged and has not given back yet (dcp-protocol.md §5).
///
/// Every charged byte is free at once, whatever became of its message (MB-28573). It is given back when more than a
/// share of the window is free, or when anything has been free for 5 s.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acks {
    window: u32,
    percent: u32,
    freed: u32,
    last: Timestamp,
}

/// How long free bytes are kept back at most.
const PATIENCE: Duration = Duration::from_secs(5);

impl Acks {
    /// For a window of `window` bytes, 0 for no flow control, of which more than `percent` hundredths are collected.
    pub(super) const fn new(window: u32, percent: u32, now: Timestamp) -> Self {
        Self { window, percent, freed: 0, last: now }
    }

    /// Bytes that were received and not given back.
    pub(super) const fn unacked(&self) -> u32 {
        self.freed
    }

    /// Whether the producer may not send, as far as this end has said.
    pub(super) const fn is_full(&self) -> bool {
        self.window != 0 && self.freed >= self.window
    }

    /// A charged message came.
    pub(super) const fn charge(&mut self, bytes: u32) {
        if self.window != 0 {
            self.freed = self.freed.saturating_add(bytes);
        }
    }

    /// What is to be given back now, if it is due.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<u32> {
        let enough = u64::from(self.freed) * 100 > u64::from(self.window) * u64::from(self.percent);
        if enough || self.deadline().is_some_and(|deadline| deadline <= now) { self.all(now) } else { None }
    }

    /// Everything there is to give back; never 0 bytes (MB-59474).
    pub(super) fn all(&mut self, now: Timestamp) -> Option<u32> {
        let freed = std::mem::take(&mut self.freed);
        if freed == 0 {
            return None;
        }
        self.last = now;
        Some(freed)
    }

    /// As [`Self::all`], where there is nothing: 0 bytes (MB-59474).
    pub(super) const fn nothing(&mut self, now: Timestamp) -> Option<u32> {
        self.last = now;
        Some(0)
    }

    /// Free bytes that are never to be given back.
    pub(super) const fn forget(&mut self, bytes: u32) {
        self.freed = self.freed.saturating_sub(bytes);
    }

    /// When five seconds have passed since something was given back.
    pub(super) fn next(&self) -> Option<Timestamp> {
        (self.window != 0).then(|| self.last + PATIENCE)
    }

    /// Whether they have.
    pub(super) fn is_time(&self, now: Timestamp) -> bool {
        self.next().is_some_and(|next| next <= now)
    }

    /// When something is due at the latest.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        (self.freed > 0).then(|| self.last + PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_share_is_given_back_at_once() {
        let mut acks = Acks::new(1000, 20, Timestamp(0));
        acks.charge(200);
        assert_eq!(acks.due(Timestamp(1)), None);
        acks.charge(1);
        assert_eq!(acks.due(Timestamp(1)), Some(201));
        assert_eq!((acks.due(Timestamp(1)), acks.unacked(), acks.deadline()), (None, 0, None));
    }

    #[test]
    fn little_is_given_back_after_five_seconds() {
        let mut acks = Acks::new(1000, 20, Timestamp(0));
        acks.charge(1);
        let deadline = acks.deadline().unwrap();
        assert_eq!(deadline, Timestamp(5_000_000_000));
        assert_eq!(acks.due(Timestamp(deadline.0 - 1)), None);
        assert_eq!(acks.due(deadline), Some(1));
    }

    #[test]
    fn without_a_window_nothing_is_counted() {
        let mut acks = Acks::new(0, 20, Timestamp(0));
        acks.charge(5000);
        assert_eq!((acks.due(Timestamp(u64::MAX)), acks.is_full()), (None, false));
    }

    #[test]
    fn the_window_is_full_at_its_size() {
        let mut acks = Acks::new(100, 100, Timestamp(0));
        acks.charge(99);
        assert!(!acks.is_full());
        acks.charge(1);
        assert!(acks.is_full());
        assert_eq!(acks.due(Timestamp(1)), None);
        assert_eq!(acks.all(Timestamp(1)), Some(100));
    }
}
