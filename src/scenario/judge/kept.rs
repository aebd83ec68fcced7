use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use super::End;
use super::Seen;
use crate::Timestamp;
use crate::era;
use crate::era::Cell;
use crate::era::Era;
use crate::fault::PROOF_AFTER;
use crate::journal::Direction;
use crate::journal::How;
use crate::journal::Origin;
use crate::journal::Role;
use crate::journal::What;
use crate::report;
use crate::report::Outcome;
use crate::report::Row;
use crate::verdict::About;
use crate::verdict::Finding;
use crate::verdict::Verdict;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

const KEPT: &str = "connection-kept";
const KEPT_DEMANDS: &str =
    "the producer keeps the connection, and lives on it, after orphaned responses which its era bears";
const DEMANDED: &str = "era-demands-close";
const DEMANDED_DEMANDS: &str = "the producer closes the connection after a status that in its era means corruption";

/// Real producers close at most 1,002 ms after the fatal response (real-servers.md §2).
const CLOSES_WITHIN: Duration = Duration::from_secs(2);
/// NOOPs that are remembered until they are answered. A consumer that asks without end costs no more memory than this.
const MAX_ASKED: usize = 1_024;
/// Kinds that are told apart.
const MAX_KINDS: usize = 4_096;

/// What an orphaned response answers, and with what.
pub(super) type Kind = (Opcode, Status);

/// Orphaned responses of one kind.
#[derive(Debug, Default)]
struct Told {
    count: u64,
    last_at: Timestamp,
    /// Whether the producer has given a proof of life since the last.
    proven: bool,
    /// When the first answer came to a NOOP that was asked since the last: all that it was told before was read by then.
    read_by: Option<Timestamp>,
    /// Whether a proof of life was given that it cannot have given on its way to a close, however slow it is.
    survived: bool,
}

/// Whether the producer keeps the connection after orphaned responses, and lives (design.md §5.1 and §5.5).
#[derive(Debug)]
pub(super) struct Kept {
    /// Whether the tool only looks on, so that any frame late enough is a proof of life (design.md §6).
    looks_on: bool,
    era: Option<Era>,
    settle: Duration,
    kinds: BTreeMap<Kind, Told>,
    unproven: BTreeSet<Kind>,
    last_at: Timestamp,
    /// NOOPs that the producer owes an answer to, asked since the last orphaned response.
    asked: BTreeMap<Opaque, Timestamp>,
    /// When the last NOOP was asked that was answered.
    proven_at: Option<Timestamp>,
    consumer_closed: bool,
    /// When something that the producer was told last went unseen.
    unseen_at: Option<Timestamp>,
    /// Whether all had settled when the producer closed.
    closed_late: bool,
    closed: Option<Closed>,
}

/// The producer closed, of itself.
#[derive(Debug)]
struct Closed {
    at: Timestamp,
    how: How,
    /// What it can be put down to, and the ones that it was said last before.
    causes: BTreeSet<Kind>,
    /// Whether it may as well have been told something else that was not seen.
    blind: bool,
}

impl Kept {
    pub(super) const fn new(looks_on: bool, era: Option<Era>, settle: Duration) -> Self {
        Self {
            looks_on,
            era,
            settle,
            kinds: BTreeMap::new(),
            unproven: BTreeSet::new(),
            last_at: Timestamp(0),
            asked: BTreeMap::new(),
            proven_at: None,
            consumer_closed: false,
            unseen_at: None,
            closed_late: false,
            closed: None,
        }
    }

    /// From now on the tool acts, and asks for proofs itself.
    pub(super) const fn act(&mut self) {
        self.looks_on = false;
    }

    pub(super) fn observe(&mut self, seen: &Seen<'_>) {
        let entry = seen.entry;
        match (&entry.what, entry.direction) {
            (What::Frame(head), Direction::To) => {
                let header = &head.header;
                if let Some(orphan) = &seen.context.orphan {
                    self.orphan((header.opcode, orphan.status), entry.at);
                } else if header.is_request() && header.opcode == Opcode::NOOP && self.asked.len() < MAX_ASKED {
                    self.asked.insert(header.opaque, entry.at);
                }
            }
            (What::Frame(head), Direction::From) => {
                let header = &head.header;
                let asked_at = (header.is_response() && header.opcode == Opcode::NOOP)
                    .then(|| self.asked.remove(&header.opaque))
                    .flatten();
                self.proven_at = self.proven_at.max(asked_at);
                if !self.unproven.is_empty() && self.is_proof(seen, asked_at) {
                    self.prove();
                }
                if let Some(asked_at) = asked_at {
                    self.answered(asked_at, entry.at);
                }
            }
            (What::Closed { .. }, Direction::To) => self.consumer_closed = true,
            (What::Closed { how, .. }, Direction::From) => {
                self.closed_late |= self.closed.is_none() && seen.story.settled.is_some();
                self.close(entry.at, *how);
            }
            (What::Gap(_), Direction::To) => self.unseen_at = Some(entry.at),
            (What::FramingLost(_), Direction::To) => self.unseen_at = Some(Timestamp(u64::MAX)),
            (What::FramingLost(_) | What::Gap(_), Direction::From) | (What::Paused(_) | What::Acted(_), _) => {}
        }
    }

    /// Whether a message of the producer would prove nothing, as nothing is to be proven.
    pub(super) fn is_at_rest(&self) -> bool {
        self.unproven.is_empty()
    }

    fn orphan(&mut self, kind: Kind, at: Timestamp) {
        if self.kinds.len() >= MAX_KINDS && !self.kinds.contains_key(&kind) {
            return;
        }
        let told = self.kinds.entry(kind).or_default();
        told.count = told.count.saturating_add(1);
        told.last_at = at;
        (told.proven, told.read_by, told.survived) = (false, None, false);
        self.unproven.insert(kind);
        self.last_at = at;
        self.asked.clear();
    }

    fn is_proof(&self, seen: &Seen<'_>, asked_at: Option<Timestamp>) -> bool {
        let late = |at: Timestamp| at >= self.last_at + PROOF_AFTER;
        match asked_at {
            // Up to era 6.5 no producer that has decided to close answers a NOOP (real-servers.md §2).
            Some(asked) => late(asked) || self.looks_on && (late(seen.entry.at) || self.is_old(seen)),
            None => self.looks_on && late(seen.entry.at),
        }
    }

    /// Whether the producer is known to be of 6.5 at the latest: that the requirement of July 2019 is judged by for want of
    /// anything better says nothing of its age.
    fn is_old(&self, seen: &Seen<'_>) -> bool {
        match self.era {
            Some(era) => era <= Era::V6_5,
            None => {
                let era = super::super::era_of(seen.session).0;
                let told = seen.session.controls().is_true("enable_synchronous_replication");
                era <= Era::V6_5 && (era != Era::V2019_07 || told)
            }
        }
    }

    fn prove(&mut self) {
        for kind in std::mem::take(&mut self.unproven) {
            if let Some(told) = self.kinds.get_mut(&kind) {
                told.proven = true;
                // Where the tool only looks on, nobody asks twice: any proof will do (design.md §6).
                told.survived |= self.looks_on;
            }
        }
    }

    /// A NOOP that was asked since the last orphaned response is answered. A producer that is slow, or far, may read the NOOP
    /// of a proof in the same burst as what it closes at, and answer it: so that it stays where it must close is known only
    /// from an answer to a NOOP that was asked after all was read, which is after an answer to one before.
    fn answered(&mut self, asked_at: Timestamp, at: Timestamp) {
        for told in self.kinds.values_mut() {
            told.survived |= told.read_by.is_some_and(|read| asked_at >= read + PROOF_AFTER);
            told.read_by.get_or_insert(at);
        }
    }

    fn close(&mut self, at: Timestamp, how: How) {
        if self.consumer_closed || self.closed.is_some() {
            return;
        }
        // Nobody asked whether it lives, and it has been silent for longer than a close takes: nothing tells why it closed.
        let idle = self.looks_on && self.asked.is_empty() && at.since(self.last_at) >= self.settle.max(CLOSES_WITHIN);
        let mut causes = if idle { BTreeSet::new() } else { std::mem::take(&mut self.unproven) };
        if causes.is_empty() {
            // Proven, and closed all the same while it was still watched: whatever it was told of late.
            let watched =
                |told: &Told| told.read_by.filter(|_| !told.survived).unwrap_or(told.last_at) + self.settle > at;
            causes = self.kinds.iter().filter(|(_, told)| watched(told)).map(|(&kind, _)| kind).collect();
        }
        let blind = self.unseen_at.is_some_and(|unseen| at.since(unseen) < CLOSES_WITHIN);
        self.closed = Some(Closed { at, how, causes, blind });
    }

    /// Whether the producer answered a NOOP that was asked well after that time.
    fn lived_after(&self, at: Timestamp) -> bool {
        self.proven_at.is_some_and(|asked| asked >= at + PROOF_AFTER)
    }

    /// Whether the producer leaves a NOOP unanswered that was asked well after the last orphaned response, and that it had
    /// time for while it was read from.
    fn is_mute(&self, end: &End<'_>) -> bool {
        let waited =
            |asked: Timestamp, settled: Timestamp| settled.since(asked.max(end.story.resumed_at)) >= self.settle;
        !self.consumer_closed
            && self.unseen_at.is_none()
            && !end.story.paused
            && end.story.settled.is_some_and(|settled| {
                self.asked.values().any(|&asked| asked >= self.last_at + PROOF_AFTER && waited(asked, settled))
            })
    }

    /// Whether the producer closed, and orphaned responses can have been why.
    pub(super) fn has_disconnected(&self) -> bool {
        self.closed.as_ref().is_some_and(|closed| !closed.causes.is_empty())
    }

    /// NOOPs that are remembered.
    #[cfg(test)]
    pub(super) fn pending(&self) -> usize {
        self.asked.len()
    }

    /// Whether any orphaned response was delivered.
    pub(super) fn any(&self) -> bool {
        !self.kinds.is_empty()
    }

    /// Whether an orphaned response to that message was delivered.
    pub(super) fn has(&self, message: Opcode) -> bool {
        self.kinds.keys().any(|&(opcode, _)| opcode == message)
    }

    pub(super) fn findings(&self, end: &End<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        findings.extend(self.kept(end));
        findings.extend(self.demanded(end));
        findings
    }

    fn kept(&self, end: &End<'_>) -> Option<Finding> {
        let expected = "the connection open, and a NOOP answered, after the last orphaned response";
        if let Some(closed) = self.closed.as_ref().filter(|closed| !closed.causes.is_empty()) {
            let text = format!("{} {}", how(closed.how), self.after(closed));
            let allowed: Vec<_> = closed.causes.iter().filter(|&&kind| self.cell(kind, end) != Cell::Keep).collect();
            return Some(if allowed.is_empty() && closed.blind {
                finding(KEPT, KEPT_DEMANDS, Verdict::Inconclusive)
                    .expected("all that the producer was told before it closed")
                    .actual(format!("{text}, and something that went unseen"))
                    .at(closed.at)
            } else if allowed.is_empty() {
                finding(KEPT, KEPT_DEMANDS, Verdict::Fail).expected(expected).actual(text).at(closed.at)
            } else {
                finding(KEPT, KEPT_DEMANDS, Verdict::Pass)
                    .expected(format!("either: era {} may or must close after {}", end.era, list(allowed)))
                    .actual(text)
                    .at(closed.at)
            });
        }
        if !self.any() {
            // Nothing was answered (consumers since 6.5 swallow after CLOSE_STREAM): it must live all the same.
            let fired = end.story.steps.iter().rfind(|step| step.closes)?;
            let base = if self.closed.is_some() && !self.closed_late {
                finding(KEPT, KEPT_DEMANDS, Verdict::Fail).actual("the producer closed after the close of a stream")
            } else if self.lived_after(fired.at) {
                finding(KEPT, KEPT_DEMANDS, Verdict::Pass)
                    .actual("a NOOP answered after the close; no orphaned response came")
            } else {
                finding(KEPT, KEPT_DEMANDS, Verdict::Inconclusive)
                    .actual("no NOOP was answered after the close of the stream")
            };
            return Some(base.expected(expected).at(fired.at));
        }
        if self.unproven.is_empty() {
            return Some(
                finding(KEPT, KEPT_DEMANDS, Verdict::Pass)
                    .expected(expected)
                    .actual(format!("signs of life after {}", list(self.kinds.keys()))),
            );
        }
        let what = list(&self.unproven);
        let explained = self.unproven.iter().any(|&kind| self.cell(kind, end) != Cell::Keep);
        let mute = self.is_mute(end) && !explained;
        let text = match (mute, self.asked.is_empty()) {
            (true, _) => {
                format!("no answer to a NOOP for {} ms after {what}", end.story.now.since(self.last_at).as_millis())
            }
            (false, true) => format!("no proof of life after {what} before the connection was over"),
            (false, false) => format!("a NOOP after {what} was not answered before the connection was over"),
        };
        let verdict = if mute { Verdict::Fail } else { Verdict::Inconclusive };
        Some(finding(KEPT, KEPT_DEMANDS, verdict).expected(expected).actual(text).at(self.last_at))
    }

    fn demanded(&self, end: &End<'_>) -> Option<Finding> {
        let must: Vec<_> = self.kinds.keys().copied().filter(|&kind| self.cell(kind, end) == Cell::MustClose).collect();
        if must.is_empty() {
            return None;
        }
        let expected = format!("era {} closes the connection after {}", end.era, list(&must));
        let is_cause = |kind: &Kind| self.closed.as_ref().is_some_and(|closed| closed.causes.contains(kind));
        let lives = |kind: &Kind| self.kinds.get(kind).is_some_and(|told| told.survived);
        let survived: Vec<_> = must.iter().filter(|kind| lives(kind) && !is_cause(kind)).collect();
        let base = |verdict| finding(DEMANDED, DEMANDED_DEMANDS, verdict).expected(expected.clone());
        Some(if !survived.is_empty() {
            base(Verdict::Fail).actual(format!("signs of life after {}", list(survived)))
        } else if must.iter().any(is_cause) {
            base(Verdict::Pass).actual("it closed")
        } else {
            base(Verdict::Inconclusive)
                .actual("neither a close that it explains nor a proof of life before the connection was over")
        })
    }

    /// One row for each kind.
    pub(super) fn rows(&self, end: &End<'_>) -> Vec<Row> {
        self.kinds
            .iter()
            .map(|(&kind, told)| {
                let (outcome, verdict) = self.outcome(kind, told, end);
                Row::new(kind.0.to_string(), Some(kind.1.to_string()), told.count, outcome).judged(verdict)
            })
            .collect()
    }

    fn outcome(&self, kind: Kind, told: &Told, end: &End<'_>) -> (Outcome, Verdict) {
        let cell = self.cell(kind, end);
        let cause = self.closed.as_ref().filter(|closed| closed.causes.contains(&kind));
        if let Some(closed) = cause {
            let explained = closed.causes.iter().any(|&kind| self.cell(kind, end) != Cell::Keep);
            return match cell {
                // Another kind of the same burst explains the close: of this one nothing is known.
                Cell::Keep if explained => (Outcome::NotExercised, Verdict::Inconclusive),
                Cell::Keep if closed.blind => (Outcome::Disconnected, Verdict::Inconclusive),
                Cell::Keep => (Outcome::Disconnected, Verdict::Fail),
                Cell::MayClose | Cell::MustClose => (Outcome::Disconnected, Verdict::Pass),
            };
        }
        if told.proven {
            let verdict = match cell {
                Cell::MustClose if told.survived => Verdict::Fail,
                Cell::MustClose => Verdict::Inconclusive,
                Cell::Keep | Cell::MayClose => Verdict::Pass,
            };
            return (Outcome::Handled, verdict);
        }
        match (self.is_mute(end) && cell == Cell::Keep, self.asked.is_empty()) {
            (true, _) => (Outcome::Stalled, Verdict::Fail),
            (false, false) => (Outcome::Stalled, Verdict::Inconclusive),
            (false, true) => (Outcome::NotExercised, Verdict::Inconclusive),
        }
    }

    fn cell(&self, (message, status): Kind, end: &End<'_>) -> Cell {
        let cell = |own_noop| era::producer_cell(end.era, end.v7, message, status, own_noop);
        // A second answer to a no-op of its own it bears, another it need not; which it is cannot be told afterwards.
        if cell(true) == cell(false) { cell(false) } else { Cell::MayClose }
    }

    /// When the producer closed, counted from the last of what can have caused it.
    fn after(&self, closed: &Closed) -> String {
        let last = closed
            .causes
            .iter()
            .filter_map(|kind| self.kinds.get(kind))
            .map(|told| told.last_at)
            .max()
            .unwrap_or_default();
        let causes: Vec<String> = closed
            .causes
            .iter()
            .map(|kind| format!("{}/{} ({})", kind.0, kind.1, self.kinds.get(kind).map_or(0, |told| told.count)))
            .collect();
        format!("{} ms after {}", closed.at.since(last).as_millis(), causes.join(", "))
    }
}

fn finding(id: &'static str, requirement: &'static str, verdict: Verdict) -> Finding {
    Finding::new(id, requirement, verdict).about(About::Role(Role::Producer))
}

const fn how(how: How) -> &'static str {
    match how {
        How::Fin => "FIN",
        How::Reset => "RST",
    }
}

fn list<'a>(kinds: impl IntoIterator<Item = &'a Kind>) -> String {
    kinds.into_iter().map(|(message, status)| format!("{message}/{status}")).collect::<Vec<_>>().join(", ")
}

/// The origin of an orphaned response in the report.
pub(super) const fn origin(origin: Origin) -> report::OrphanOrigin {
    match origin {
        Origin::Tool => report::OrphanOrigin::Injected,
        Origin::Peer => report::OrphanOrigin::Consumer,
    }
}

#[cfg(test)]
mod tests;
