//! How a replay to a live consumer ends.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::super::script::Line;
use super::Phase;
use super::Producer;
use super::asked::is_free;
use super::lanes::Held;
use super::lanes::State;
use crate::Timestamp;
use crate::journal::How;
use crate::journal::Role;
use crate::verdict::Finding;
use crate::wire::Opcode;
use crate::wire::Status;

/// What the end of the replay waits for.
#[derive(Clone, Debug)]
enum Wait {
    /// Nothing but time.
    Till(Timestamp),
    /// The live consumer.
    Consumer(String),
    /// Orphaned responses of the live consumer: as many as the recorded one gave.
    Orphans,
    /// What the live consumer says when it sees fit: as much as the recorded one had said before it was closed on.
    Rest,
}

impl Producer {
    /// What is still to happen before all is played; nothing once it is.
    fn wait(&self) -> Option<Wait> {
        let mut demanded = Vec::new();
        let mut till: Option<Timestamp> = None;
        let mut sooner = |at: Timestamp| till = Some(till.map_or(at, |till| till.min(at)));
        for (at, lane) in self.lanes.iter().enumerate() {
            let Some(recorded) = self.script.streams.get(at) else { continue };
            match lane.state {
                State::Over => {}
                State::Awaited => {
                    let request = self.line(recorded.request);
                    let granted = request.and_then(|line| line.answered).and_then(|answer| self.line(answer));
                    if granted.is_some_and(|answer| answer.status() == Status::SUCCESS) {
                        demanded.push((recorded.request, request.map(Line::name).unwrap_or_default()));
                    }
                }
                State::Open => {
                    let Some(&next) = recorded.messages.get(lane.next) else { continue };
                    match self.held_now(at, next) {
                        Some(Held::Till(at)) => sooner(at),
                        None => return Some(Wait::Consumer("the consumer to take what is sent".to_owned())),
                        Some(Held::Window) => {
                            let name = self.line(next).map(Line::name).unwrap_or_default();
                            demanded.push((next, format!("room in the consumer's window for {name}")));
                        }
                        Some(Held::Answer(asked)) => {
                            let name = self.line(asked).map(Line::name).unwrap_or_default();
                            demanded.push((next, format!("an answer to {name}")));
                        }
                        Some(Held::Close) => {
                            let close = recorded.close.and_then(|close| self.line(close));
                            demanded.push((next, close.map(Line::name).unwrap_or_default()));
                        }
                    }
                }
            }
        }
        if let Some(till) = till {
            return Some(Wait::Till(till));
        }
        demanded.sort();
        if let Some((_, what)) = demanded.into_iter().next() {
            return Some(Wait::Consumer(what));
        }
        if let Some(&next) = self.of_connection.front() {
            return Some(self.wait_of_connection(next));
        }
        let owed = self.pending.values().flatten().copied();
        let owed = owed
            .filter_map(|at| self.line(at))
            .find(|line| line.answered.is_some() && line.header.opcode != Opcode::DCP_NOOP);
        if let Some(line) = owed {
            return Some(Wait::Consumer(format!("an answer to {}", line.name())));
        }
        let closes = self.script.end.is_some_and(|end| end.by == Role::Producer);
        if let Some(end) = self.script.end.filter(|_| closes) {
            // It closed after these, or because of them.
            let before = self.asked.left().into_iter().find(|&at| at < end.after);
            if let Some(line) = before.and_then(|at| self.line(at)) {
                return Some(Wait::Consumer(line.name()));
            }
        }
        if closes && self.orphans_total < self.recorded_orphans.len() {
            return Some(Wait::Orphans);
        }
        (closes && self.free < self.recorded_free).then_some(Wait::Rest)
    }

    fn wait_of_connection(&self, next: usize) -> Wait {
        let name = self.line(next).map(Line::name).unwrap_or_default();
        let is_noop = self.line(next).is_some_and(|line| line.header.opcode == Opcode::DCP_NOOP);
        if !self.opened {
            return Wait::Consumer("DCP_OPEN".to_owned());
        }
        if is_noop && !self.noop && self.lanes.iter().all(|lane| lane.state == State::Awaited) {
            // It is passed over once the consumer has gone on to its streams; without any there is nothing to wait for.
            return Wait::Consumer(format!("the control enable_noop, for {name}"));
        }
        let owed = self
            .pending
            .values()
            .flatten()
            .copied()
            .filter_map(|at| self.line(at))
            .find(|line| line.stream.is_none() && line.answered.is_some_and(|answer| answer < next));
        match owed {
            Some(line) => Wait::Consumer(format!("an answer to {}", line.name())),
            None => Wait::Till(self.connection_till(next)),
        }
    }

    fn held_now(&self, at: usize, next: usize) -> Option<Held> {
        self.held_but_for_time(at, next).or_else(|| {
            let since = self.lanes.get(at)?.ready?;
            let till = since + self.lane_gap(at, next);
            (till > self.last).then_some(Held::Till(till))
        })
    }

    fn connection_till(&self, next: usize) -> Timestamp {
        self.connection_ready.map_or(self.last, |since| since + self.connection_gap(next))
    }

    pub(super) fn due(&self) -> Timestamp {
        if self.phase == Phase::Lingering {
            return self.linger_until();
        }
        match self.wait() {
            None => self.last,
            Some(Wait::Till(at)) => at,
            Some(Wait::Consumer(_)) => self.progress + self.options.patience,
            Some(Wait::Orphans) => self.progress + self.orphan_patience(),
            Some(Wait::Rest) => self.progress + self.options.quiet,
        }
    }

    /// Some came: how many is the live end's own affair.
    fn orphan_patience(&self) -> std::time::Duration {
        if self.orphans_total > 0 { self.options.quiet } else { self.options.patience }
    }

    fn linger_until(&self) -> Timestamp {
        let more =
            self.asked.left().into_iter().filter_map(|at| self.line(at)).any(|line| !is_free(line.header.opcode));
        self.progress + if more { self.options.patience } else { self.options.settle }
    }

    pub(super) fn look_for_the_end(&mut self, now: Timestamp) {
        self.last = now;
        if self.phase == Phase::Playing {
            match self.wait() {
                None => self.played(now),
                Some(Wait::Till(_)) => {}
                Some(Wait::Consumer(what)) => {
                    if self.progress + self.options.patience <= now {
                        let patience = self.options.patience.as_millis();
                        self.stop(&what, &format!("{patience} ms without {what}"), now);
                        self.finish(How::Fin, now);
                    }
                }
                Some(Wait::Rest) => {
                    if self.progress + self.options.quiet <= now {
                        self.played(now);
                    }
                }
                Some(Wait::Orphans) => {
                    if self.progress + self.orphan_patience() <= now {
                        if self.orphans_total == 0 {
                            let first = self.first_orphan();
                            let patience = self.options.patience.as_millis();
                            self.stop(&first, &format!("{patience} ms without an orphaned response"), now);
                        }
                        self.played(now);
                    }
                }
            }
        }
        if self.phase == Phase::Lingering && self.linger_until() <= now {
            self.finish(How::Fin, now);
        }
    }

    /// All was sent.
    fn played(&mut self, now: Timestamp) {
        match self.script.end {
            Some(end) if end.by == Role::Producer => self.finish(end.how, now),
            _ => self.phase = Phase::Lingering,
        }
    }

    pub(super) fn live_closed(&mut self, how: How, now: Timestamp) {
        if self.phase == Phase::Playing && self.stuck.is_none() {
            // No-ops that it did not stay for are nothing that it lacks.
            self.of_connection
                .retain(|&at| self.script.lines.get(at).is_some_and(|line| line.header.opcode != Opcode::DCP_NOOP));
            let missing = match self.wait() {
                None | Some(Wait::Rest) => None,
                Some(Wait::Till(_)) => Some("the consumer to stay until all was sent".to_owned()),
                Some(Wait::Consumer(what)) => Some(what),
                Some(Wait::Orphans) => (self.orphans_total == 0).then(|| self.first_orphan()),
            };
            if let Some(expected) = missing {
                let how = match how {
                    How::Fin => "FIN",
                    How::Reset => "RST",
                };
                self.stop(&expected, &format!("the live end closed ({how}) before {expected}"), now);
            }
        }
        self.finish(How::Fin, now);
    }

    pub(super) fn finish(&mut self, how: How, now: Timestamp) {
        if self.phase == Phase::Closed {
            return;
        }
        self.phase = Phase::Closed;
        self.closing.get_or_insert(how);
        self.compare(now);
    }

    /// What the first recorded orphaned response is called.
    fn first_orphan(&self) -> String {
        let first = self.recorded_orphans.first().and_then(|&at| self.line(at));
        first.map(Line::name).unwrap_or_default()
    }

    fn compare(&mut self, now: Timestamp) {
        for at in self.asked.left() {
            if let Some(name) = self.line(at).map(Line::name) {
                self.differences.missing(&name, now);
            }
        }
        let orphans = self.recorded_orphans.iter().filter_map(|&at| self.line(at));
        let recorded: BTreeMap<(Opcode, Status), String> =
            orphans.map(|line| ((line.header.opcode, line.status()), line.name())).collect();
        let live = std::mem::take(&mut self.orphans);
        for (kind, name) in &recorded {
            if !live.contains(kind) {
                self.differences.missing(&format!("an orphaned response as {name}"), now);
            }
        }
        let strange: BTreeSet<_> = live.iter().filter(|kind| !recorded.contains_key(kind)).collect();
        for (opcode, status) in strange {
            self.differences.extra(&format!("the orphaned response {opcode}/{status}"), now);
        }
        self.orphans = live;
    }

    /// What came of it; with what the live end did differently where that was asked for.
    pub(in super::super) fn findings(&self, diff: bool) -> Vec<Finding> {
        const DEMANDS: &str = "the live end does all that the recording waits for";
        let finding = match &self.stuck {
            None if self.phase == Phase::Closed => {
                Finding::pass("replay-completed", DEMANDS).actual("it did").at(self.last)
            }
            None => Finding::inconclusive("replay-completed", DEMANDS)
                .expected("the recording to be played to its end")
                .actual("it was stopped before")
                .at(self.last),
            Some(stuck) => Finding::inconclusive("replay-completed", DEMANDS)
                .expected(stuck.expected.clone())
                .actual(stuck.actual.clone())
                .at(stuck.at),
        };
        let mut findings = vec![finding];
        if diff {
            findings.extend(self.differences.findings());
        }
        findings
    }
}
