use std::time::Duration;

use super::{Controlled, Past, lock};
use crate::scenario::Plan;
use crate::verdict::Judge;

/// How a proxy was set up by whoever started it.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// What it does to each connection. Its seed is that of the connections to come.
    pub plan: Plan,
    /// Whose faults decide.
    pub judge: Judge,
    /// What it records to from its start, where it does.
    pub recorded_to: Option<String>,
}

impl Controlled {
    /// How it was set up.
    pub fn setup(&self) -> Setup {
        lock(&self.setup).clone()
    }

    /// The seed of the connections to come.
    pub fn seed(&self) -> u64 {
        lock(&self.setup).plan.seed
    }

    /// Connections to come have another seed.
    pub fn sow(&self, seed: u64) {
        lock(&self.setup).plan.seed = seed;
    }

    /// How long its ends are watched after the last step.
    pub fn settle(&self) -> Duration {
        lock(&self.setup).plan.settle
    }

    /// What its connections came to that have ended.
    pub fn past(&self) -> Past {
        lock(&self.past).clone()
    }

    /// How many of its connections have ended and are not forgotten.
    pub fn ended_count(&self) -> u64 {
        lock(&self.past).len()
    }

    /// Forgets what its connections came to that have ended: the answer is how many they were.
    pub fn forget(&self) -> u64 {
        std::mem::take(&mut *lock(&self.past)).len()
    }

    /// The right to find out a verdict; `None` while somebody else does.
    pub fn judge_alone(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        self.judging.try_lock().ok()
    }

    /// Sets down how it is set up.
    pub(in crate::net) fn set_up(&self, setup: Setup) {
        *lock(&self.setup) = setup;
    }

    /// Changes what is known of those that have ended.
    pub(in crate::net) fn add_past<R>(&self, add: impl FnOnce(&mut Past) -> R) -> R {
        add(&mut lock(&self.past))
    }
}
