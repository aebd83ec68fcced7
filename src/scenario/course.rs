use std::collections::BTreeSet;
use std::time::Duration;

use super::Expected;
use super::MESSAGES;
use super::Scenario;
use super::Step;
use crate::journal::Side;
use crate::wire::Opcode;

/// Steps that are armed together, and disarmed together, on connections that may be open already
/// ([`super::Runner::wanted`]).
#[derive(Clone, PartialEq, Debug)]
pub struct Course {
    /// What it is known by to whoever arms it; no two at a time have one name.
    pub name: String,
    /// Counts how often it was armed: with another number it is begun again.
    pub number: u64,
    /// What is done.
    pub steps: Vec<Step>,
    /// Whether its steps go on beside those of others, each time that their trigger fires: one that is done to a stream waits
    /// until nothing else is under way all the same. Else they are taken in order, as a scenario's.
    pub beside: bool,
    /// Whose frames count, where a step does not say.
    pub side: Option<Side>,
    /// The message types that are each to meet an orphaned response.
    pub messages: BTreeSet<Opcode>,
    /// Decides what is left to chance, where that is not the connection's own seed.
    pub seed: Option<u64>,
    /// How long the ends are watched after the last step, where that is longer than on the connection.
    pub settle: Option<Duration>,
    /// What is expected after its steps.
    pub expected: Vec<Expected>,
}

impl Course {
    /// A scenario's steps, armed for the `number`th time.
    pub fn of(scenario: &Scenario, number: u64) -> Self {
        let messages: BTreeSet<_> = scenario.messages.iter().copied().collect();
        let all = || if scenario.makes_orphans() { MESSAGES.into() } else { BTreeSet::new() };
        Self {
            name: format!("scenario {}", scenario.name),
            number,
            steps: scenario.steps.clone(),
            beside: false,
            side: None,
            messages: if messages.is_empty() { all() } else { messages },
            seed: scenario.seed,
            settle: scenario.settle.map(|settle| settle.0),
            expected: Expected::of([scenario]),
        }
    }
}
