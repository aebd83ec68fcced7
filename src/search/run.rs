use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::Failure;
use super::Ground;
use super::Shrinker;
use super::Trial;
use super::schedule;
use crate::report::Connection;
use crate::scenario::Scenario;

/// A search: draws schedules until one fails, and shrinks that.
///
/// Schedules may run beside each other; those that were begun are waited for, and of several that failed the one with the
/// lowest number is taken, so that the outcome is the seed's. Candidates of the shrinker run one after the other.
#[derive(Debug)]
pub struct Search {
    seed: u64,
    ground: Ground,
    schedules: u64,
    /// These in the place of drawn ones; they are not shrunk.
    fixed: Vec<Scenario>,
    begun: u64,
    running: BTreeSet<u64>,
    failed: BTreeMap<u64, (Scenario, Failure, Connection)>,
    shrinking: Option<Shrinking>,
    tally: Tally,
}

/// How many schedules came to what.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Nothing was found.
    pub passed: u64,
    /// Something was found.
    pub failed: u64,
    /// There was too little evidence; why, and how often.
    pub unknown: BTreeMap<String, u64>,
}

impl Tally {
    /// How many schedules have run.
    pub fn run(&self) -> u64 {
        self.passed + self.failed + self.unknown.values().sum::<u64>()
    }
}

/// What is to be tried next.
#[derive(Clone, PartialEq, Debug)]
pub struct Job {
    /// The number of the schedule, or that which is being shrunk.
    pub number: u64,
    /// Whether it is a smaller form of that schedule.
    pub is_candidate: bool,
    /// What is to be done.
    pub scenario: Scenario,
}

/// A failure, as small as it could be made.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    /// The number of the schedule that failed.
    pub number: u64,
    /// What was found.
    pub failure: Failure,
    /// The schedule as it was drawn.
    pub drawn: Scenario,
    /// The smallest form that fails with the same finding.
    pub minimal: Scenario,
    /// How many smaller forms were tried.
    pub tries: usize,
    /// Whether all of them were.
    pub is_complete: bool,
    /// The smallest form was run once more: whether it failed so again; `None` where there was no time for it.
    pub again: Option<bool>,
    /// The connection of the failure.
    pub connection: Connection,
}

#[derive(Debug)]
struct Shrinking {
    number: u64,
    drawn: Scenario,
    failure: Failure,
    connection: Connection,
    shrinker: Shrinker,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Ready,
    Trying,
    Again,
    Done(bool),
}

impl Search {
    /// A search of at most so many schedules.
    pub fn new(seed: u64, ground: Ground, schedules: u64) -> Self {
        Self {
            seed,
            ground,
            schedules,
            fixed: Vec::new(),
            begun: 0,
            running: BTreeSet::new(),
            failed: BTreeMap::new(),
            shrinking: None,
            tally: Tally::default(),
        }
    }

    /// Scenarios that are tried once more, each as it is.
    pub fn again(seed: u64, ground: Ground, scenarios: Vec<Scenario>) -> Self {
        let count = scenarios.len() as u64;
        Self { fixed: scenarios, ..Self::new(seed, ground, count) }
    }

    /// Where it is played.
    pub const fn ground(&self) -> &Ground {
        &self.ground
    }

    /// What is to be begun now; `None` while others have to end first, or where all is done.
    pub fn next_job(&mut self) -> Option<Job> {
        let draws = self.fixed.is_empty();
        if self.shrinking.is_none() && (self.failed.is_empty() || !draws) {
            if self.begun >= self.schedules {
                return None;
            }
            self.begun += 1;
            self.running.insert(self.begun);
            let fixed = usize::try_from(self.begun - 1).ok().and_then(|index| self.fixed.get(index));
            let scenario = fixed.cloned().unwrap_or_else(|| schedule(self.seed, self.begun, &self.ground));
            return Some(Job { number: self.begun, is_candidate: false, scenario });
        }
        if self.shrinking.is_none() && self.running.is_empty() {
            let (number, (drawn, failure, connection)) = self.failed.pop_first()?;
            let shrinker = Shrinker::new(drawn.clone(), failure.id.clone(), self.ground.clone());
            self.shrinking = Some(Shrinking { number, drawn, failure, connection, shrinker, phase: Phase::Ready });
        }
        let shrinking = self.shrinking.as_mut().filter(|it| it.phase == Phase::Ready)?;
        let scenario = if let Some(candidate) = shrinking.shrinker.next_candidate() {
            shrinking.phase = Phase::Trying;
            candidate
        } else {
            shrinking.phase = Phase::Again;
            shrinking.shrinker.best().clone()
        };
        Some(Job { number: shrinking.number, is_candidate: true, scenario })
    }

    /// Whether there is nothing more to do.
    pub fn is_over(&self) -> bool {
        match &self.shrinking {
            Some(shrinking) => matches!(shrinking.phase, Phase::Done(_)),
            None => {
                let drawn = self.running.is_empty() && self.begun >= self.schedules;
                drawn && (self.failed.is_empty() || !self.fixed.is_empty())
            }
        }
    }

    /// A job is done.
    pub fn done(&mut self, job: Job, trial: Trial, connection: Connection) {
        if !job.is_candidate {
            self.running.remove(&job.number);
            match trial {
                Trial::Passed => self.tally.passed += 1,
                Trial::Unknown(why) => *self.tally.unknown.entry(why).or_default() += 1,
                Trial::Failed(failure) => {
                    self.tally.failed += 1;
                    self.failed.insert(job.number, (job.scenario, failure, connection));
                }
            }
            return;
        }
        let Some(shrinking) = &mut self.shrinking else { return };
        let same = matches!(&trial, Trial::Failed(failure) if failure.id == shrinking.failure.id);
        if shrinking.phase == Phase::Again {
            shrinking.phase = Phase::Done(same);
        } else {
            shrinking.phase = Phase::Ready;
            shrinking.shrinker.tried(job.scenario, &trial);
        }
        if let Trial::Failed(failure) = trial
            && same
        {
            (shrinking.failure, shrinking.connection) = (failure, connection);
        }
    }

    /// A job came to nothing, for no fault of the schedule's: the connection could not be had.
    pub fn gave_up(&mut self, job: &Job, why: &str) {
        if !job.is_candidate {
            self.running.remove(&job.number);
            *self.tally.unknown.entry(why.to_owned()).or_default() += 1;
        } else if let Some(shrinking) = &mut self.shrinking {
            shrinking.phase = if shrinking.phase == Phase::Again { Phase::Done(false) } else { Phase::Ready };
        }
    }

    /// What the schedules came to so far.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What was found, as small as it has become until now.
    pub fn found(&self) -> Option<Found> {
        if let Some(shrinking) = &self.shrinking {
            let again = match shrinking.phase {
                Phase::Done(again) => Some(again),
                Phase::Ready | Phase::Trying | Phase::Again => None,
            };
            return Some(Found {
                number: shrinking.number,
                failure: shrinking.failure.clone(),
                minimal: self.told(shrinking.shrinker.best(), shrinking.number, &shrinking.failure),
                drawn: shrinking.drawn.clone(),
                tries: shrinking.shrinker.tries(),
                is_complete: matches!(shrinking.phase, Phase::Again | Phase::Done(_)),
                again,
                connection: shrinking.connection.clone(),
            });
        }
        let (&number, (drawn, failure, connection)) = self.failed.first_key_value()?;
        Some(Found {
            number,
            failure: failure.clone(),
            minimal: self.told(drawn, number, failure),
            drawn: drawn.clone(),
            tries: 0,
            is_complete: false,
            again: None,
            connection: connection.clone(),
        })
    }

    /// A scenario that says where it comes from.
    fn told(&self, scenario: &Scenario, number: u64, failure: &Failure) -> Scenario {
        let about = format!(
            "Found by `dcproxy fuzz --seed {}`, schedule {number}, era {}: {}.\nExpected {}; found {}.\n",
            self.seed, self.ground.era, failure.id, failure.expected, failure.actual
        );
        Scenario { about, ..scenario.clone() }
    }
}
