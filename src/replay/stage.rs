use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::Options;
use super::Player;
use super::Recording;
use super::Script;
use crate::Timestamp;
use crate::engine::Engine;
use crate::engine::Interceptor;
use crate::journal::How;
use crate::journal::Role;
use crate::journal::Side;
use crate::report::Connection;
use crate::report::Report;
use crate::scenario::Plan;
use crate::scenario::Runner;
use crate::scenario::judge::Judge;
use crate::stage::Play;
use crate::verdict;

/// A player of a script, with the engine before it.
pub type Stage = crate::stage::Stage<Part>;

/// One end of a recorded connection.
#[derive(Debug)]
pub struct Part {
    player: Player,
    script: Arc<Script>,
}

impl Part {
    /// The number of the recorded connection.
    pub fn number(&self) -> u32 {
        self.script.number
    }

    /// Whether the live end took the recording up.
    pub fn was_wanted(&self) -> bool {
        self.player.was_wanted()
    }
}

impl Play for Part {
    fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        self.player.feed(bytes, now);
    }

    fn closed(&mut self, how: How, now: Timestamp) {
        self.player.closed(how, now);
    }

    fn wakeup(&mut self, now: Timestamp) {
        self.player.wakeup(now);
    }

    fn next_wakeup(&self) -> Option<Timestamp> {
        self.player.next_wakeup()
    }

    fn pull(&mut self, to: &mut Vec<u8>, budget: usize, now: Timestamp) {
        self.player.pull(to, budget, now);
    }

    fn closing(&self) -> Option<How> {
        self.player.closing()
    }

    fn wants_input(&self) -> bool {
        self.player.wants_input()
    }
}

/// All the connections that are replayed, and what becomes of them.
#[derive(Debug)]
pub struct Ensemble {
    recording: Recording,
    role: Role,
    options: Options,
    plan: Plan,
    judge: verdict::Judge,
    diff: bool,
    left: VecDeque<Arc<Script>>,
    report: Report,
    begun: u64,
}

impl Ensemble {
    /// Plays the end in `role` of every script; a `plan` with scenarios has their steps taken on each connection. `diff`
    /// makes findings of what the live end does differently.
    pub fn new(
        recording: Recording,
        role: Role,
        options: Options,
        plan: Plan,
        judge: verdict::Judge,
        diff: bool,
    ) -> Self {
        let mut report = Report::new(judge);
        report.seed = Some(plan.seed);
        report.scenarios = plan.scenarios.iter().map(|scenario| scenario.name.clone()).collect();
        let left = recording.scripts.iter().cloned().collect();
        Self { recording, role, options, plan, judge, diff, left, report, begun: 0 }
    }

    /// How many scripts are not played yet.
    pub fn left(&self) -> usize {
        self.left.len()
    }

    /// The scripts that are not played yet, each with the time since the first began in the recording.
    pub fn starts(&self) -> Vec<Duration> {
        let first = self.left.iter().filter_map(|script| script.lines.first()).map(|line| line.at).min();
        let since = |script: &Arc<Script>| Some(script.lines.first()?.at.since(first?));
        self.left.iter().map(|script| self.options.speed.gap(since(script).unwrap_or_default())).collect()
    }

    /// Everything is to be played once more.
    pub fn again(&mut self) {
        self.left = self.recording.scripts.iter().cloned().collect();
    }

    /// The next script, for a connection that was just made between these two addresses.
    pub fn begin(&mut self, dialler: &str, upstream: &str, now: Timestamp) -> Option<Stage> {
        let script = self.left.pop_front()?;
        self.begun += 1;
        let rounds = (self.begun - 1) / self.recording.scripts.len().max(1) as u64;
        let last = self.recording.scripts.iter().map(|script| script.number).max().unwrap_or_default();
        let id = u64::from(script.number) + rounds * u64::from(last);
        let armed = self.plan.is_armed();
        // Whose recording is replayed is not judged: its faults are old.
        let judge = match self.role {
            Role::Consumer => self.judge,
            Role::Producer => verdict::Judge::Consumer,
        };
        let terms = self.plan.terms(judge);
        let judge = Judge::new(terms, id, dialler, upstream);
        let interceptor = armed.then(|| Box::new(Runner::new(self.plan.clone(), id)) as Box<dyn Interceptor>);
        let player = Player::new(&self.recording, Arc::clone(&script), self.role, self.options.clone(), now);
        let side = match self.role {
            Role::Consumer => Side::Dialler,
            Role::Producer => Side::Upstream,
        };
        let engine = Engine::new(interceptor, judge, self.plan.seed);
        Some(Stage::new(Part { player, script }, side, engine, self.plan.settle, now))
    }

    /// A connection is over. One on which DCP was never opened was no replay: its script is played to the next.
    pub fn finished(&mut self, mut stage: Stage) {
        if !stage.player().was_wanted() {
            self.left.push_front(stage.into_player().script);
            self.begun -= 1;
            return;
        }
        let at = stage.last();
        let (judge, sessions) = stage.engine().observed();
        let session = sessions.at(Side::Upstream);
        let producer = session.producer();
        let mut connection = judge.judgement(session).connection;
        if self.role == Role::Producer && self.judge == verdict::Judge::Producer {
            demote(&mut connection);
        }
        let began = judge.began().unwrap_or(at);
        for finding in stage.player().player.findings(self.diff) {
            connection.add_finding(finding, self.judge, producer, began);
        }
        self.report.add_connection(connection);
        // It is the same for all.
        if let Some(why) = stage.player().player.refused()
            && !self.report.errors.iter().any(|error| error == why)
        {
            self.report.errors.push(why.to_owned());
        }
    }

    /// A connection could not be had.
    pub fn failed(&mut self, error: String) {
        self.report.errors.push(error);
    }

    /// What it came to.
    pub fn report(mut self) -> Report {
        self.report.connections.sort_by_key(|connection| connection.id);
        self.report
    }

    /// What it came to so far.
    pub const fn so_far(&self) -> &Report {
        &self.report
    }
}

/// Makes notes of what was found about the consumer, which decides nothing unless it is asked for.
fn demote(connection: &mut Connection) {
    let (kept, demoted) =
        std::mem::take(&mut connection.findings).into_iter().partition(|finding| finding.about == "run");
    connection.findings = kept;
    let notes: Vec<_> = demoted;
    connection.notes.extend(notes);
    connection.verdict = verdict::Verdict::worst_of(connection.findings.iter().map(|finding| finding.verdict));
}
