use std::time::Duration;

use super::judging::By;
use super::judging::Judging;
use super::{output, values};
use crate::scenario::{MESSAGES, Plan, Scenario};
use crate::units;

/// The flags of every command that takes a scenario's steps. What is not asked for is as the scenario's file says.
#[derive(clap::Args, Debug)]
pub(super) struct Acting {
    /// A built-in scenario's name, or a file; repeatable
    #[arg(long, value_name = "NAME|FILE", env = "DCPROXY_SCENARIO", value_parser = values::scenario)]
    pub(super) scenario: Vec<Scenario>,

    #[command(flatten)]
    pub(super) how: How,
}

/// How steps are taken, whichever.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct How {
    /// How long the ends are watched after the last step and the last orphaned response [default: 2s]
    #[arg(long, value_name = "DUR", env = "DCPROXY_SETTLE", value_parser = units::duration)]
    settle: Option<Duration>,

    /// Give also those answers at which the era's producer may or must disconnect
    #[arg(long, env = "DCPROXY_FATAL_TOO")]
    fatal_too: bool,

    /// Decides all that is left to chance: a number, or random; any if not given. It is printed, and in the report
    #[arg(long, value_name = "N|random", env = "DCPROXY_SEED", value_parser = values::seed_or_random)]
    seed: Option<values::Seed>,
}

/// How long an end is watched where nobody says.
pub(super) const SETTLE: Duration = Duration::from_secs(2);

impl Acting {
    pub(super) fn is_armed(&self) -> bool {
        !self.scenario.is_empty()
    }

    /// What is to be done. The seed is printed, so that it can be done again.
    pub(super) fn plan(&self, judging: &Judging) -> Plan {
        self.plan_of("", judging)
    }

    /// The same, for one proxy of several: its name, unless that is empty, is printed with the seed.
    pub(super) fn plan_of(&self, name: &str, judging: &Judging) -> Plan {
        let plan = self.how.plan(&judging.by, &self.scenario);
        if self.is_armed() {
            output::remark(&format!("seed {}{}", plan.seed, output::of(name)));
        }
        plan
    }
}

impl How {
    /// How the steps of these are taken.
    pub(super) fn plan(&self, by: &By, scenarios: &[Scenario]) -> Plan {
        let first = |setting: fn(&Scenario) -> Option<u64>| scenarios.iter().find_map(setting);
        let seed = match self.seed {
            Some(values::Seed::Is(seed)) => seed,
            Some(values::Seed::Random) => values::any_seed(),
            None => first(|scenario| scenario.seed).unwrap_or_else(values::any_seed),
        };
        let messages = match &by.messages {
            Some(messages) => messages.0.iter().copied().collect(),
            None if !scenarios.is_empty() && scenarios.iter().all(|scenario| !scenario.messages.is_empty()) => {
                scenarios.iter().flat_map(|scenario| &scenario.messages).copied().collect()
            }
            None => MESSAGES.into(),
        };
        let settle = scenarios.iter().filter_map(|scenario| scenario.settle).map(|settle| settle.0).max();
        Plan {
            messages,
            era: by.era.0.or_else(|| scenarios.iter().find_map(|scenario| scenario.era)),
            settle: self.settle.or(settle).unwrap_or(SETTLE),
            fatal_too: self.fatal_too,
            seed,
            scenarios: scenarios.to_vec(),
        }
    }
}
