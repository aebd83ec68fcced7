use std::time::Duration;

use super::Gate;
use super::Standing;
use crate::Timestamp;
use crate::journal::How;

/// A gate that stands somewhere, and what has become of it there.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) standing: Standing,
    /// Since when it stands there, or is as it is.
    since: Timestamp,
    /// It lets nothing more go before this.
    free: Timestamp,
    slice: Slice,
    /// Bytes that have passed.
    passed: u64,
}

/// The slice that has begun last.
#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    /// How many there were, with this one.
    number: u64,
    /// When that came which it is of.
    of: Timestamp,
    /// When it leaves, once that is known.
    leaves: Option<Timestamp>,
    /// Bytes that are missing of it.
    left: usize,
}

/// Bytes leave a bandwidth so often: not in bursts, and not each in a turn of its own.
const PIECES_A_SECOND: u64 = 50;

impl Stage {
    pub(super) fn new(standing: Standing, now: Timestamp) -> Self {
        Self { standing, since: now, free: now, slice: Slice::default(), passed: 0 }
    }

    /// It is this from now on, or still is, and begins anew with what waits.
    pub(super) fn changed(self, standing: &Standing, now: Timestamp) -> Self {
        let since = if self.standing.gate == standing.gate { self.since } else { now };
        let slice = Slice { left: 0, ..self.slice };
        Self { standing: standing.clone(), since, free: now, slice, ..self }
    }

    pub(super) const fn is_timeout(&self) -> bool {
        matches!(self.standing.gate, Gate::Timeout { .. })
    }

    /// When it ends the connection by itself, and how.
    pub(super) fn ends(&self) -> Option<(Timestamp, How)> {
        match self.standing.gate {
            Gate::Timeout { after } => Some((self.since + after?, How::Fin)),
            Gate::ResetPeer { after } => Some((self.since + after, How::Reset)),
            Gate::Latency { .. }
            | Gate::Bandwidth { .. }
            | Gate::SlowClose { .. }
            | Gate::Slicer { .. }
            | Gate::LimitData { .. } => None,
        }
    }

    /// How much of what came at a time may go on in one piece, and whether that begins a slice.
    pub(super) fn most(&mut self, came: Timestamp) -> (usize, bool) {
        let most = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        match self.standing.gate {
            Gate::Bandwidth { rate } => (most(rate / PIECES_A_SECOND).max(1), false),
            Gate::LimitData { bytes } => (most(bytes.saturating_sub(self.passed)), false),
            Gate::Slicer { average_size, size_variation, .. } => {
                let begins = self.slice.left == 0 || self.slice.of != came;
                if begins {
                    let number = self.slice.number.wrapping_add(1);
                    let sizes =
                        average_size.saturating_sub(size_variation)..=average_size.saturating_add(size_variation);
                    let left = most(self.dice(number).u64(sizes)).max(1);
                    self.slice = Slice { number, of: came, leaves: None, left };
                }
                (self.slice.left, begins)
            }
            Gate::Latency { .. } | Gate::SlowClose { .. } | Gate::Timeout { .. } | Gate::ResetPeer { .. } => {
                (usize::MAX, false)
            }
        }
    }

    /// When a piece, of what had come to the first gate at `came`, leaves this one, to which it comes at `at`; `None`: not
    /// before something changes.
    pub(super) fn passes(&mut self, came: Timestamp, at: Timestamp, len: usize) -> Option<Timestamp> {
        match self.standing.gate {
            Gate::Latency { latency, jitter } => {
                // What was read at once has one draw, and nothing overtakes.
                self.free = self.free.max(at + self.drawn(latency, jitter, came));
                Some(self.free)
            }
            Gate::Bandwidth { rate } => {
                let nanos = u128::from(len as u64).checked_mul(1_000_000_000)?.checked_div(u128::from(rate))?;
                self.free = self.free.max(at) + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
                Some(self.free)
            }
            Gate::Slicer { delay, .. } => {
                let leaves = self.slice.leaves.unwrap_or_else(|| self.free.max(at)).max(at);
                self.slice.leaves = Some(leaves);
                self.slice.left = self.slice.left.saturating_sub(len);
                self.free = leaves + delay;
                Some(leaves)
            }
            Gate::ResetPeer { .. } => None,
            Gate::SlowClose { .. } | Gate::Timeout { .. } | Gate::LimitData { .. } => Some(at),
        }
    }

    /// When the end of the direction leaves it.
    pub(super) fn closes(&self, came: Timestamp, at: Timestamp) -> Option<Timestamp> {
        match self.standing.gate {
            Gate::Latency { latency, jitter } => Some(self.free.max(at + self.drawn(latency, jitter, came))),
            Gate::SlowClose { delay } => Some(at + delay),
            Gate::ResetPeer { .. } => None,
            Gate::Bandwidth { .. } | Gate::Timeout { .. } | Gate::Slicer { .. } | Gate::LimitData { .. } => Some(at),
        }
    }

    /// So many bytes have left all gates; returns whether they are the last that this one lets through.
    pub(super) fn left(&mut self, len: usize) -> bool {
        self.passed = self.passed.saturating_add(len as u64);
        self.is_full()
    }

    /// Whether it lets no byte more through.
    pub(super) fn is_full(&self) -> bool {
        matches!(self.standing.gate, Gate::LimitData { bytes } if bytes <= self.passed)
    }

    fn drawn(&self, latency: Duration, jitter: Duration, came: Timestamp) -> Duration {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4);
        let (latency, jitter) = (nanos(latency), nanos(jitter));
        let more = if jitter == 0 { 0 } else { self.dice(came.0).u64(0..=2 * jitter) };
        Duration::from_nanos((latency + more).saturating_sub(jitter))
    }

    /// The dice for one draw.
    fn dice(&self, number: u64) -> fastrand::Rng {
        let mut dice = fastrand::Rng::with_seed(self.standing.seed);
        fastrand::Rng::with_seed(dice.u64(..) ^ number)
    }
}
