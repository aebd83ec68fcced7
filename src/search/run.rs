use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::Failure;
use super::Ground;
use super::Shrinker;
use super::Trial;
use super::law::MOST_END;
use super::schedule;
use super::spares;
use super::spares::Spares;
use super::trial;
use crate::Timestamp;
use crate::journal::Side;
use crate::node::consumer::ClientConfig;
use crate::node::consumer::VbucketLedger;
use crate::probe;
use crate::probe::Consumer;
use crate::probe::Difference;
use crate::probe::Later;
use crate::probe::Range;
use crate::probe::Reference;
use crate::report::Connection;
use crate::scenario::ConsumerSettings;
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::verdict::Judge;

/// A search: draws schedules until one fails, and shrinks that.
///
/// Schedules may run beside each other; those that were begun are waited for, and of several that failed the one with the
/// lowest number is taken, so that the outcome is the seed's. Candidates of the shrinker run one after the other.
///
/// What came to the consumer is compared with what an untouched connection gets of the same range, the reference, which is
/// made before all else; what differs is held against a second one, made afterwards: the bucket may be written to meanwhile.
///
/// Where the ground has vbuckets to spare, some schedules take one over: a new one each time that one is tried. When they
/// come to an end, no more takeovers are drawn, or shrunk.
#[derive(Debug)]
pub struct Search {
    seed: u64,
    ground: Ground,
    schedules: u64,
    /// These in the place of drawn ones; they are not shrunk.
    fixed: Vec<Scenario>,
    spares: Spares,
    begun: u64,
    running: BTreeSet<u64>,
    failed: BTreeMap<u64, (Scenario, Failure, Connection)>,
    shrinking: Option<Shrinking>,
    tally: Tally,
    /// What is compared.
    range: Range,
    reference: Option<Reference>,
    /// Whether a reference is being made.
    is_referring: bool,
    /// Jobs whose streams differ from the reference, and those of them that the second one under way is to confirm.
    unconfirmed: Vec<Unconfirmed>,
    confirming: Vec<Unconfirmed>,
    errors: Vec<String>,
}

/// A job of which something came otherwise than to the reference.
#[derive(Debug)]
struct Unconfirmed {
    job: Job,
    connection: Connection,
    differences: Vec<Difference>,
}

/// Why a takeover was not tried.
const NONE_TO_SPARE: &str = "no vbucket is left that may be taken over";

/// Why one that did not come to its end proves nothing.
const GREW: &str = "the vbucket that was taken over was written to all the while";

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
    /// The number of the schedule, or that which is being shrunk; 0 of a reference.
    pub number: u64,
    /// What it is for.
    pub kind: Kind,
    /// What is to be done; nothing on the connection of a reference.
    pub scenario: Scenario,
}

/// What a job is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It tells what an untouched connection gets.
    Reference,
    /// It tries a schedule.
    Schedule,
    /// It tries a smaller form of the schedule that failed.
    Candidate,
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
    /// The vbucket that the smallest form was last tried with, if it takes one over.
    taken: Option<u16>,
    /// Whether there were vbuckets too few for all smaller forms.
    is_cut: bool,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Ready,
    Trying,
    Again,
    /// Whether the smallest form failed so again; `None` where it could not be tried.
    Done(Option<bool>),
}

/// Adds what the comparison of a connection with the references came to.
fn compared(
    connection: &mut Connection,
    reference: &Reference,
    again: Option<&Reference>,
    differences: Option<&[Difference]>,
) {
    let finding = probe::finding(reference, again, differences, &Later::default());
    connection.add_finding(finding, Judge::Producer, Some(Side::Upstream), Timestamp::default());
}

impl Search {
    /// A search of at most so many schedules. Of what comes, `range` is compared with a reference; nothing where it is empty.
    pub fn new(seed: u64, ground: Ground, range: Range, schedules: u64) -> Self {
        Self {
            seed,
            spares: Spares::new(&ground),
            ground,
            schedules,
            fixed: Vec::new(),
            begun: 0,
            running: BTreeSet::new(),
            failed: BTreeMap::new(),
            shrinking: None,
            tally: Tally::default(),
            range,
            reference: None,
            is_referring: false,
            unconfirmed: Vec::new(),
            confirming: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Scenarios that are tried once more, each as it is.
    pub fn again(seed: u64, ground: Ground, range: Range, scenarios: Vec<Scenario>) -> Self {
        let count = scenarios.len() as u64;
        Self { fixed: scenarios, ..Self::new(seed, ground, range, count) }
    }

    /// Where it is played.
    pub const fn ground(&self) -> &Ground {
        &self.ground
    }

    /// What is to be begun now; `None` while others have to end first, or where all is done.
    pub fn next_job(&mut self) -> Option<Job> {
        if self.is_referring && self.reference.is_none() {
            return None;
        }
        let compares = self.range.vbuckets().next().is_some();
        if !self.is_referring && compares && (self.reference.is_none() || !self.unconfirmed.is_empty()) {
            self.is_referring = true;
            self.confirming = std::mem::take(&mut self.unconfirmed);
            return Some(Job { number: 0, kind: Kind::Reference, scenario: self.untouched() });
        }
        let draws = self.fixed.is_empty();
        if self.shrinking.is_none() && (self.failed.is_empty() || !draws) {
            while self.begun < self.schedules {
                self.begun += 1;
                let fixed = usize::try_from(self.begun - 1).ok().and_then(|index| self.fixed.get(index));
                let scenario = fixed.cloned().unwrap_or_else(|| self.draw(self.begun));
                if let Some(scenario) = self.spares.place(&scenario, 0) {
                    self.running.insert(self.begun);
                    return Some(Job { number: self.begun, kind: Kind::Schedule, scenario });
                }
                *self.tally.unknown.entry(NONE_TO_SPARE.to_owned()).or_default() += 1;
            }
            return None;
        }
        if self.shrinking.is_none() && self.running.is_empty() {
            let (number, (drawn, failure, connection)) = self.failed.pop_first()?;
            let shrinker = Shrinker::new(self.spares.displaced(&drawn), failure.id.clone(), self.ground.clone());
            let taken = spares::taken(&drawn);
            let (is_cut, phase) = (false, Phase::Ready);
            self.shrinking = Some(Shrinking { number, drawn, failure, connection, shrinker, taken, is_cut, phase });
        }
        let shrinking = self.shrinking.as_mut().filter(|it| it.phase == Phase::Ready)?;
        while let Some(candidate) = shrinking.shrinker.next_candidate() {
            // One is kept for the last trial.
            if let Some(scenario) = self.spares.place(&candidate, 1) {
                shrinking.phase = Phase::Trying;
                return Some(Job { number: shrinking.number, kind: Kind::Candidate, scenario });
            }
            shrinking.is_cut = true;
        }
        let last = self.spares.place(shrinking.shrinker.best(), 0);
        shrinking.phase = if last.is_some() { Phase::Again } else { Phase::Done(None) };
        last.map(|scenario| Job { number: shrinking.number, kind: Kind::Candidate, scenario })
    }

    /// The schedule of that number, which takes nothing over where no vbucket is left for that.
    fn draw(&self, number: u64) -> Scenario {
        if self.spares.are_for_drawing() {
            return schedule(self.seed, number, &self.ground);
        }
        schedule(self.seed, number, &Ground { spare: Vec::new(), ..self.ground.clone() })
    }

    /// The vbuckets that were taken over so far: the producer has lost them.
    pub fn taken_over(&self) -> &[u16] {
        self.spares.given()
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

    /// The stage of a job, on a connection that was just made between these two addresses.
    pub fn stage(&self, job: &Job, config: ClientConfig, addresses: (&str, &str), now: Timestamp) -> Stage<Consumer> {
        trial::stage(&job.scenario, (&self.ground, &self.range), config, addresses, now)
    }

    /// A job's connection is over.
    pub fn finished(&mut self, job: Job, mut stage: Stage<Consumer>) {
        let mut connection = trial::judge(&mut stage);
        let consumer = stage.into_player();
        if job.kind == Kind::Reference {
            return self.take_reference(&consumer);
        }
        if let Some(vbucket) = spares::taken(&job.scenario) {
            let reached = consumer.client().ledger().vbucket(vbucket).map_or(0, VbucketLedger::last_seqno);
            return self.judged(job, connection, reached > MOST_END);
        }
        // That a stream stopped is for other rules to tell: a schedule may leave one closed.
        let ledger = consumer.client().ledger();
        let reference = self.reference.as_ref().filter(|_| consumer.compares());
        match reference.map(|reference| (reference, reference.differences(ledger, false))) {
            Some((_, Some(differences))) if !differences.is_empty() => {
                self.unconfirmed.push(Unconfirmed { job, connection, differences });
            }
            Some((reference, differences)) => {
                compared(&mut connection, reference, None, differences.as_deref());
                self.done(job, connection);
            }
            None => self.done(job, connection),
        }
    }

    fn take_reference(&mut self, consumer: &Consumer) {
        self.is_referring = false;
        let made = Reference::of(consumer.client().ledger(), &self.range);
        let Some(reference) = &self.reference else {
            if made.is_none() {
                let why = consumer.client().violations().last().map_or("it came to nothing", |it| it.what.as_str());
                self.errors
                    .push(format!("expected what there is on an untouched connection, found not all of it: {why}"));
                self.range = Range::default();
            }
            self.reference = made;
            return;
        };
        let judged: Vec<_> = std::mem::take(&mut self.confirming)
            .into_iter()
            .map(|Unconfirmed { job, mut connection, differences }| {
                compared(&mut connection, reference, made.as_ref(), Some(&differences));
                (job, connection)
            })
            .collect();
        for (job, connection) in judged {
            self.done(job, connection);
        }
    }

    /// What went wrong with the search as a whole.
    pub fn errors(&self) -> &[String] {
        &self.errors
    }

    /// A job is done, and its connection is judged.
    fn done(&mut self, job: Job, connection: Connection) {
        self.judged(job, connection, false);
    }

    /// The same. `grew`: what was taken over has got so much meanwhile that it may not have come to its end in time.
    fn judged(&mut self, job: Job, connection: Connection, grew: bool) {
        let own = format!("{}/", job.scenario.name);
        let mut trial = Trial::of(&connection);
        if matches!(&trial, Trial::Failed(failure) if grew && failure.id.starts_with(&own)) {
            trial = Trial::Unknown(GREW.to_owned());
        }
        if job.kind == Kind::Schedule {
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
        if same || shrinking.phase == Phase::Again {
            shrinking.taken = spares::taken(&job.scenario);
        }
        if shrinking.phase == Phase::Again {
            shrinking.phase = Phase::Done(Some(same));
        } else {
            shrinking.phase = Phase::Ready;
            shrinking.shrinker.tried(self.spares.displaced(&job.scenario), &trial);
        }
        if let Trial::Failed(failure) = trial
            && same
        {
            (shrinking.failure, shrinking.connection) = (failure, connection);
        }
    }

    /// A job came to nothing, for no fault of the schedule's: the connection could not be had.
    pub fn gave_up(&mut self, job: &Job, why: &str) {
        match (job.kind, &mut self.shrinking) {
            (Kind::Reference, _) => {
                self.is_referring = false;
                self.unconfirmed.append(&mut self.confirming);
            }
            (Kind::Schedule, _) => {
                self.running.remove(&job.number);
                *self.tally.unknown.entry(why.to_owned()).or_default() += 1;
            }
            (Kind::Candidate, Some(shrinking)) => {
                shrinking.phase = if shrinking.phase == Phase::Again { Phase::Done(Some(false)) } else { Phase::Ready };
            }
            (Kind::Candidate, None) => {}
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
                Phase::Done(again) => again,
                Phase::Ready | Phase::Trying | Phase::Again => None,
            };
            return Some(Found {
                number: shrinking.number,
                failure: shrinking.failure.clone(),
                minimal: self.told(
                    &spares::at(shrinking.shrinker.best(), shrinking.taken),
                    shrinking.number,
                    &shrinking.failure,
                ),
                drawn: shrinking.drawn.clone(),
                tries: shrinking.shrinker.tries(),
                is_complete: !shrinking.is_cut && matches!(shrinking.phase, Phase::Again | Phase::Done(_)),
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

    /// What is done on the connection of a reference.
    fn untouched(&self) -> Scenario {
        Scenario {
            name: "reference".to_owned(),
            about: "An untouched connection.".to_owned(),
            seed: None,
            era: Some(self.ground.era),
            eras: Vec::new(),
            destructive: false,
            judge: None,
            messages: Vec::new(),
            settle: None,
            covers: Vec::new(),
            quirks: Vec::new(),
            consumer: ConsumerSettings::default(),
            steps: Vec::new(),
        }
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
