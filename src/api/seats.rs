use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::Notify;

/// The connections that have nothing to do: no request of theirs has come whole, or is being answered. Where somebody else
/// waits to be let in, the one that has been so for longest goes.
#[derive(Debug, Default)]
pub(super) struct Seats {
    idle: Mutex<Idle>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Idle {
    next: u64,
    waiting: BTreeMap<u64, Arc<Notify>>,
}

impl Seats {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the one up that has had nothing to do for longest, if there is any.
    pub(super) fn call_up(&self) {
        if let Some((_, called)) = self.idle().waiting.pop_first() {
            called.notify_one();
        }
    }

    /// Waits until another has nothing to do.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    called: Arc<Notify>,
    /// Its number among those that have nothing to do, if it has not.
    since: Mutex<Option<u64>>,
}

impl Seat {
    /// One that has nothing to do yet.
    pub(super) fn new(seats: &Arc<Seats>) -> Self {
        let seat = Self { seats: Arc::clone(seats), called: Arc::default(), since: Mutex::default() };
        seat.rest();
        seat
    }

    fn since(&self) -> MutexGuard<'_, Option<u64>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rest(&self) {
        let mut idle = self.seats.idle();
        idle.next += 1;
        let since = idle.next;
        idle.waiting.insert(since, Arc::clone(&self.called));
        *self.since() = Some(since);
        self.seats.freed.notify_one();
    }

    fn leave(&self) {
        let since = self.since().take();
        if let Some(since) = since {
            self.seats.idle().waiting.remove(&since);
        }
    }

    /// It has something to do until what is returned is dropped.
    pub(super) fn work(self: &Arc<Self>) -> Work {
        self.leave();
        Work { seat: Arc::clone(self) }
    }

    pub(super) fn is_at_work(&self) -> bool {
        self.since().is_none()
    }

    /// Waits until it is called up.
    pub(super) async fn called(&self) {
        self.called.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}

/// That a connection has something to do.
#[derive(Debug)]
pub(super) struct Work {
    seat: Arc<Seat>,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.seat.rest();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_one_that_has_rested_longest_is_called_and_none_that_is_at_work() {
        let seats = Arc::new(Seats::default());
        let [first, second, third] = [(); 3].map(|()| Arc::new(Seat::new(&seats)));
        let work = first.work();
        assert!(first.is_at_work() && !second.is_at_work());
        seats.call_up();
        let called = || [&first, &second, &third].map(|seat| seat.called().now_or_never().is_some());
        assert_eq!(called(), [false, true, false]);
        // That comes after the third.
        drop(work);
        seats.call_up();
        assert_eq!(called(), [false, false, true]);
        seats.call_up();
        assert_eq!(called(), [true, false, false]);
        // Nobody is left who has not been called.
        seats.call_up();
        assert_eq!(called(), [false; 3]);
    }

    #[test]
    fn whoever_has_gone_is_not_called() {
        let seats = Arc::new(Seats::default());
        let (gone, there) = (Seat::new(&seats), Seat::new(&seats));
        drop(gone);
        seats.call_up();
        assert!(there.called().now_or_never().is_some());
        assert!(seats.idle().waiting.is_empty());
    }
}
