use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::Timestamp;

/// Turns the monotonic clock into [`Timestamp`]s: never backwards, whatever is done to the wall clock meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Timestamp,
    start: Instant,
}

impl Clock {
    /// Reads the wall clock, once.
    pub fn start() -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { epoch: Timestamp::default() + epoch, start: Instant::now() }
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.epoch + self.start.elapsed()
    }

    /// A moment that is not before the start.
    pub(super) fn at(&self, moment: Instant) -> Timestamp {
        self.epoch + moment.saturating_duration_since(self.start)
    }

    /// When a moment is; one too far ahead for the clock becomes one in a year.
    pub fn instant(&self, at: Timestamp) -> Instant {
        const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
        self.start + at.since(self.epoch).min(FAR)
    }
}
