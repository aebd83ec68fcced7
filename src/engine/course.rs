use std::time::Duration;

use super::Standing;
use super::stage::Stage;
use crate::Timestamp;
use crate::journal::How;

/// The gates before an end, what each has counted, and when what comes to them leaves.
///
/// What passes goes through one after the other, in order: each takes it from the time at which the one before lets it go.
/// Only the next piece is ever looked at, so that a change finds all that waits as it came.
#[derive(Debug, Default)]
pub(super) struct Course {
    stages: Vec<Stage>,
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Next {
    /// When it leaves; `None`: not before something changes.
    pub(super) due: Option<Timestamp>,
    /// How many bytes of it.
    pub(super) len: usize,
    /// Whether it is to be written by itself, and begins here.
    pub(super) is_apart: bool,
}

impl Course {
    pub(super) const fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// These stand there from now on; returns what that leads to, or `None` where nothing is new.
    /// Gates that stay keep what they have counted, and begin anew with what waits.
    pub(super) fn change(&mut self, gates: &[Standing], now: Timestamp) -> Option<Changed> {
        if self.stages.iter().map(|stage| &stage.standing).eq(gates) {
            return None;
        }
        let mut before = std::mem::take(&mut self.stages);
        for standing in gates {
            let same = |stage: &Stage| {
                stage.standing.name == standing.name
                    && std::mem::discriminant(&stage.standing.gate) == std::mem::discriminant(&standing.gate)
            };
            let stage = match before.iter().position(same).map(|at| before.remove(at)) {
                None => Stage::new(standing.clone(), now),
                Some(stage) => stage.changed(standing, now),
            };
            self.stages.push(stage);
        }
        Some(if before.iter().any(Stage::is_timeout) { Changed::Over } else { Changed::Goes })
    }

    /// Whether what comes goes nowhere.
    pub(super) fn drops(&self) -> bool {
        self.stages.iter().any(Stage::is_timeout)
    }

    /// When a gate ends the connection by itself, and how.
    pub(super) fn ends(&self) -> Option<(Timestamp, How)> {
        let ends = self.stages.iter().filter_map(Stage::ends);
        ends.min_by_key(|(at, _)| *at)
    }

    /// When what came at a time leaves, and how much of its `len` bytes. It is asked once for each piece, or again behind a
    /// change.
    pub(super) fn next(&mut self, came: Timestamp, len: usize) -> Next {
        let mut next = Next { due: Some(came), len, is_apart: false };
        for stage in &mut self.stages {
            let (most, is_apart) = stage.most(came);
            next.len = next.len.min(most);
            next.is_apart |= is_apart;
        }
        for stage in &mut self.stages {
            let Some(due) = next.due else { break };
            next.due = stage.passes(came, due, next.len);
        }
        next
    }

    /// When the end of the direction leaves.
    pub(super) fn close(&self, came: Timestamp) -> Next {
        let due = self.stages.iter().try_fold(came, |at, stage| stage.closes(came, at));
        Next { due, len: 0, is_apart: false }
    }

    /// So many bytes have left; returns whether that is all that may.
    pub(super) fn left(&mut self, len: usize) -> bool {
        let mut is_over = false;
        for stage in &mut self.stages {
            is_over |= stage.left(len);
        }
        is_over
    }

    /// Whether no byte may leave any more.
    pub(super) fn is_full(&self) -> bool {
        self.stages.iter().any(Stage::is_full)
    }

    /// The bytes that may be on their way at once, besides those that wait: as on a line that long, at the pace that the
    /// gates leave it.
    pub(super) fn in_flight(&self, most: usize) -> usize {
        let delays = self.stages.iter().filter_map(|stage| stage.standing.gate.delay());
        let delay = delays.fold(Duration::ZERO, Duration::saturating_add);
        if delay.is_zero() {
            return 0;
        }
        let rates = self.stages.iter().filter_map(|stage| stage.standing.gate.rate());
        rates.map(|rate| (rate as f64 * delay.as_secs_f64()) as usize).fold(most, usize::min)
    }
}

/// What a change of the gates leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Changed {
    /// What waits is looked at again.
    Goes,
    /// The connection is closed.
    Over,
}
