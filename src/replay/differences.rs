use std::collections::BTreeMap;

use super::script::Line;
use super::script::Script;
use crate::Timestamp;
use crate::verdict::Finding;

/// What the live end did differently from the recording, as findings.
///
/// What is compared: for each request of the set-up, whether it was made, in which order, and the status of its answer;
/// for each stream the order in which its phases begin (answer, first snapshot, first item, answer to the close, end) and
/// the statuses; and whether the connection was closed. Not compared: items and snapshots by number or content, uuids,
/// no-ops, acknowledgements, logging in.
#[derive(Clone, Debug, Default)]
pub(super) struct Differences {
    found: Vec<Finding>,
    total: u64,
}

/// Differences that are kept; the others are counted.
const KEPT: usize = 100;

impl Differences {
    /// The answer to a recorded request has another status.
    pub(super) fn status(&mut self, line: &Line, recorded: &str, live: &str, at: Timestamp) {
        let finding = Finding::fail("replay-status", "an answer has the status that it had in the recording");
        self.add(finding.expected(format!("{recorded}, as to {}", line.name())).actual(live).at(at));
    }

    /// Something of the recording never came.
    pub(super) fn missing(&mut self, what: &str, at: Timestamp) {
        let finding = Finding::fail("replay-missing", "the live end says what it said in the recording");
        self.add(finding.expected(what).actual(format!("{what} never came")).at(at));
    }

    /// Something came that the recording has no place for.
    pub(super) fn extra(&mut self, what: &str, at: Timestamp) {
        let finding = Finding::fail("replay-extra", "the live end says nothing that the recording has no place for");
        self.add(finding.expected("no more than the recording holds").actual(what).at(at));
    }

    /// Things came in another order.
    pub(super) fn order(&mut self, recorded: &str, live: &str, at: Timestamp) {
        let finding = Finding::fail("replay-order", "the live end says things in the order of the recording");
        self.add(finding.expected(recorded).actual(live).at(at));
    }

    fn add(&mut self, finding: Finding) {
        self.total += 1;
        if self.found.len() < KEPT {
            self.found.push(finding);
        }
    }

    /// All of them; those beyond the first hundred as one.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = self.found.clone();
        let more = self.total - self.found.len() as u64;
        if more > 0 {
            let rest = Finding::fail("replay-extra", "the live end says nothing that the recording has no place for");
            findings.push(rest.expected("few differences").actual(format!("{more} more differences")));
        }
        if findings.is_empty() {
            let same = Finding::pass("replay-same", "the live end does what it did in the recording");
            findings.push(same.actual("no difference in the order of messages or in statuses"));
        }
        findings
    }
}

/// What a stream can do for the first time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Phase {
    /// Its request was answered.
    Answer,
    /// A snapshot began.
    Snapshot,
    /// An item came.
    Item,
    /// Its close was answered.
    CloseAnswer,
    /// STREAM_END.
    End,
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Self::Answer => "the answer to its request",
            Self::Snapshot => "a snapshot",
            Self::Item => "items",
            Self::CloseAnswer => "the answer to its close",
            Self::End => "STREAM_END",
        }
    }

    /// Whether a stream that lacks it differs: how much data a stream has is the live end's own affair.
    const fn is_demanded(self) -> bool {
        matches!(self, Self::Answer | Self::CloseAnswer | Self::End)
    }
}

/// The phases of a stream in the order in which they began.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Phases(Vec<Phase>);

impl Phases {
    pub(super) fn begin(&mut self, phase: Phase) {
        if !self.0.contains(&phase) {
            self.0.push(phase);
        }
    }

    /// Of a recorded stream.
    pub(super) fn recorded(script: &Script, stream: usize) -> Self {
        let mut phases = Self::default();
        let Some(recorded) = script.streams.get(stream) else { return phases };
        let line = |at: usize| script.lines.get(at);
        let answer = |at: usize| line(at).and_then(|line| line.answered);
        let mut told: BTreeMap<usize, Phase> = BTreeMap::new();
        told.extend(answer(recorded.request).map(|at| (at, Phase::Answer)));
        told.extend(recorded.close.and_then(answer).map(|at| (at, Phase::CloseAnswer)));
        let messages = recorded.messages.iter().filter_map(|&at| Some((at, of(line(at)?.header.opcode)?)));
        told.extend(messages);
        for phase in told.into_values() {
            phases.begin(phase);
        }
        phases
    }

    /// Compares with the recorded ones; `name` names the stream.
    pub(super) fn compare(&self, recorded: &Self, name: &str, differences: &mut Differences, at: Timestamp) {
        for phase in recorded.0.iter().filter(|phase| phase.is_demanded() && !self.0.contains(phase)) {
            differences.missing(&format!("{} of {name}", phase.name()), at);
        }
        for phase in self.0.iter().filter(|phase| phase.is_demanded() && !recorded.0.contains(phase)) {
            differences.extra(&format!("{} of {name}", phase.name()), at);
        }
        let common = |ours: &Self, theirs: &Self| {
            ours.0.iter().copied().filter(|phase| theirs.0.contains(phase)).collect::<Vec<_>>()
        };
        let (live, then) = (common(self, recorded), common(recorded, self));
        if live != then {
            let names = |phases: &[Phase]| phases.iter().map(|phase| phase.name()).collect::<Vec<_>>().join(", ");
            differences.order(&format!("of {name}: {}", names(&then)), &names(&live), at);
        }
    }
}

/// The phase that a stream message belongs to.
pub(super) fn of(opcode: crate::wire::Opcode) -> Option<Phase> {
    use crate::wire::Opcode;
    match opcode {
        Opcode::DCP_STREAM_END => Some(Phase::End),
        Opcode::DCP_SNAPSHOT_MARKER | Opcode::DCP_OSO_SNAPSHOT => Some(Phase::Snapshot),
        opcode if super::script::is_item(opcode) => Some(Phase::Item),
        _ => None,
    }
}
