use std::collections::BTreeSet;
use std::time::Duration;

use super::Scenario;
use crate::era::Era;
use crate::wire::Opcode;

/// What is to be done to a connection, and how.
#[derive(Clone, Debug)]
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
