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
use crate::engine::Output;
use crate::journal::How;
use crate::journal::Role;
use crate::journal::Side;
use crate::report::Connection;
use crate::report::Report;
use crate::scenario::Plan;
use crate::scenario::Runner;
use crate::scenario::judge::Judge;
use crate::verdict;

/// A player with the engine before it: the steps of scenarios are taken between the two ends, and the judge looks on.
#[derive(Debug)]
pub struct Stage {
    player: Player,
    engine: Engine<Judge>,
    /// Where the player is: the consumer has dialled.
    side: Side,
    script: Arc<Script>,
    ready: Vec<u8>,
    wakes: Option<Timestamp>,
    /// Whether the player's close has gone on.
    told: bool,
    /// Until when steps of scenarios may still settle after the player has ended.
    settle_by: Option<Timestamp>,
    settle: Duration,
    closing: Option<How>,
    last: Timestamp,
}

/// The bytes that may wait for the live end before the player says more.
const READY_LIMIT: usize = 256 * 1024;
const CHUNK: usize = 64 * 1024;
/// What settling may take beyond the settling time: closes and bursts that are under way come first.
const SETTLE_SLACK: Duration = Duration::from_secs(8);

impl Stage {
    /// Takes bytes that came from the live end.
    pub fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        self.last = now;
        self.engine.feed(self.side.other(), bytes::Bytes::copy_from_slice(bytes), now);
        self.drive(now);
    }

    /// Takes note that the live end closed its direction.
    pub fn closed(&mut self, how: How, now: Timestamp) {
        self.last = now;
        self.engine.closed(self.side.other(), how, now);
        self.drive(now);
    }

    /// Does what is due.
    pub fn wakeup(&mut self, now: Timestamp) {
        self.last = now;
        if self.wakes.is_some_and(|at| at <= now) {
            self.wakes = None;
            self.engine.wakeup(now);
        }
        if self.player.next_wakeup().is_some_and(|at| at <= now) {
            self.player.wakeup(now);
        }
        self.drive(now);
    }

    /// When [`Stage::wakeup`] is to be called, if nothing happens before.
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        [self.wakes, self.player.next_wakeup(), self.settle_by.filter(|_| !self.told)].into_iter().flatten().min()
    }

    /// Appends bytes that are ready to go out, if there are any.
    pub fn pull(&mut self, to: &mut Vec<u8>, budget: usize, now: Timestamp) {
        self.last = now;
        self.drive(now);
        let taken = self.ready.len().min(budget);
        to.extend(self.ready.drain(..taken));
    }

    /// Whether the connection is to be closed, once what was pulled has been written.
    pub fn closing(&self) -> Option<How> {
        self.closing.filter(|_| self.ready.is_empty())
    }

    /// Whether more may be read.
    pub fn wants_input(&self) -> bool {
        self.ready.len() < READY_LIMIT && self.player.wants_input()
    }

    /// Carries bytes between the player and the engine until nothing moves.
    fn drive(&mut self, now: Timestamp) {
        loop {
            while let Some(output) = self.engine.poll() {
                match output {
                    Output::Write { to, bytes } if to == self.side => self.player.feed(&bytes, now),
                    Output::Write { bytes, .. } => self.ready.extend_from_slice(&bytes),
                    Output::Close { side, how } if side == self.side => self.player.closed(how, now),
                    Output::Close { how, .. } => self.closing = Some(how),
                    Output::Wait(at) => self.wakes = at,
                }
            }
            let live = self.side.other();
            if !self.told && self.ready.len().saturating_add(self.engine.held(live)) < READY_LIMIT {
                let mut said = Vec::new();
                self.player.pull(&mut said, CHUNK, now);
                if !said.is_empty() {
                    self.engine.feed(self.side, said.into(), now);
                    continue;
                }
            }
            match self.player.closing() {
                Some(how) if !self.told && self.may_close(now) => {
                    self.told = true;
                    self.engine.closed(self.side, how, now);
                }
                _ => return,
            }
        }
    }

    /// Steps of scenarios that are under way are brought to their end before the player's close goes on.
    fn may_close(&mut self, now: Timestamp) -> bool {
        if !self.engine.is_armed() || self.engine.is_settled() {
            return true;
        }
        match self.settle_by {
            None => {
                self.settle_by = Some(now + self.settle + SETTLE_SLACK);
                self.engine.settle(now);
                self.engine.is_settled()
            }
            Some(by) => by <= now,
        }
    }

    /// The number of the recorded connection.
    pub fn number(&self) -> u32 {
        self.script.number
    }

    /// Whether the live end took the recording up.
    pub fn was_wanted(&self) -> bool {
        self.player.was_wanted()
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
        let mut stage = Stage {
            player,
            engine: Engine::new(interceptor, judge, self.plan.seed),
            side: match self.role {
                Role::Consumer => Side::Dialler,
                Role::Producer => Side::Upstream,
            },
            script,
            ready: Vec::new(),
            wakes: None,
            told: false,
            settle_by: None,
            settle: self.plan.settle,
            closing: None,
            last: now,
        };
        stage.drive(now);
        Some(stage)
    }

    /// A connection is over. One on which DCP was never opened was no replay: its script is played to the next.
    pub fn finished(&mut self, mut stage: Stage) {
        if !stage.was_wanted() {
            self.left.push_front(stage.script);
            self.begun -= 1;
            return;
        }
        let at = stage.last;
        let (judge, sessions) = stage.engine.observed();
        let session = sessions.at(Side::Upstream);
        let producer = session.producer();
        let mut connection = judge.judgement(session).connection;
        if self.role == Role::Producer && self.judge == verdict::Judge::Producer {
            demote(&mut connection);
        }
        for finding in stage.player.findings(self.diff) {
            connection.add_finding(finding, self.judge, producer, judge.began().unwrap_or(at));
        }
        self.report.add_connection(connection);
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
