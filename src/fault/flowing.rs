//! What faults that last have in common: a direction, and a time at which they end.

use std::time::Duration;

use super::Scene;
use super::Shot;
use crate::Timestamp;
use crate::journal::Role;
use crate::journal::Side;
use crate::units::Span;

/// The end whose words a fault is about: the one that is named, or the one that it fired at, or the producer.
pub(super) fn speaker(named: Option<Role>, shot: &Shot, scene: &Scene<'_>) -> Side {
    match named {
        Some(Role::Producer) => scene.producer,
        Some(Role::Consumer) => scene.producer.other(),
        None => shot.from.unwrap_or(scene.producer),
    }
}

/// When a fault that lasts is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lasts(Option<Timestamp>);

impl Lasts {
    pub(super) fn from(now: Timestamp, span: Option<Span>) -> Self {
        Self(span.map(|Span(span)| now + span))
    }

    pub(super) fn is_over(self, now: Timestamp) -> bool {
        self.0.is_some_and(|until| until <= now)
    }

    pub(super) const fn until(self) -> Option<Timestamp> {
        self.0
    }
}

/// A duration below `most`, by chance.
pub(super) fn some_of(most: Duration, chance: &mut fastrand::Rng) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(if nanos == 0 { 0 } else { chance.u64(0..nanos) })
}
