use std::collections::BTreeMap;

use crate::scenario::{Course, Scenario};
use crate::toxic::Toxic;

/// All that is wanted of every connection of a proxy. A connection that is behind sees the latest alone.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Orders {
    /// What is done to them, in this order.
    pub toxics: Vec<Toxic>,
    /// The scenarios whose steps are taken on them, each with the number of the time that it was armed: one that is armed
    /// again is begun again.
    pub scenarios: Vec<(u64, Scenario)>,
    /// The time at which each toxic was begun, by name: one that was removed and is there again is begun again.
    begun: BTreeMap<String, u64>,
    /// Counts those times.
    times: u64,
}

impl Orders {
    /// The steps that are to be taken on the connection of that number, of a run with that seed.
    pub(in crate::net) fn courses(&self, seed: u64, connection: u64) -> Vec<Course> {
        let toxics = self.toxics.iter().filter(|toxic| toxic.is_had_by(seed, connection));
        let toxics = toxics.filter_map(|toxic| toxic.course(self.begun.get(&toxic.name).copied().unwrap_or_default()));
        let scenarios = self.scenarios.iter().map(|(number, scenario)| Course::of(scenario, *number));
        toxics.chain(scenarios).collect()
    }

    /// Takes note of which toxics are new, or other than they were `before`.
    pub(super) fn number(&mut self, before: &Self) {
        if self.toxics == before.toxics {
            return;
        }
        let known: BTreeMap<&str, &Toxic> = before.toxics.iter().map(|toxic| (&*toxic.name, toxic)).collect();
        let mut begun = BTreeMap::new();
        for toxic in &self.toxics {
            let as_before = known.get(&*toxic.name).is_some_and(|before| *before == toxic);
            let number = match self.begun.get(&toxic.name) {
                Some(number) if as_before => *number,
                Some(_) | None => {
                    self.times += 1;
                    self.times
                }
            };
            begun.insert(toxic.name.clone(), number);
        }
        self.begun = begun;
    }
}
