use std::collections::BTreeSet;
use std::time::Duration;

use super::Expected;
use super::Scenario;
use super::judge::Source;
use super::judge::Terms;
use crate::era::Era;
use crate::verdict::About;
use crate::verdict::Judge;
use crate::wire::Opcode;

/// What is to be done to a connection, and how.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The scenarios whose steps are taken.
    pub scenarios: Vec<Scenario>,
    /// The message types that are to meet an orphaned response.
    pub messages: BTreeSet<Opcode>,
    /// The era to go by; `None` to find it out.
    pub era: Option<Era>,
    /// How long the producer is watched after the last orphaned response.
    pub settle: Duration,
    /// Whether answers at which the era's producer may or must close are given too.
    pub fatal_too: bool,
    /// Chooses where a stream is closed.
    pub seed: u64,
}

impl Plan {
    /// Whether anything is to be done.
    pub fn is_armed(&self) -> bool {
        !self.scenarios.is_empty()
    }

    /// How a live connection that it is carried out on is to be judged.
    pub fn terms(&self, judge: Judge) -> Terms {
        let source = if self.is_armed() {
            // Orphaned responses try the producer; where it is not judged, none is missed.
            let makes_orphans = judge.judges(About::PRODUCER) && self.scenarios.iter().any(Scenario::makes_orphans);
            Source::Acting { makes_orphans, fatal_too: self.fatal_too }
        } else {
            Source::Watching
        };
        Terms {
            era: self.era,
            messages: self.messages.clone(),
            settle: self.settle,
            judge,
            source,
            expected: Expected::of(&self.scenarios),
        }
    }
}
