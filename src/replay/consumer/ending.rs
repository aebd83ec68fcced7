//! How a replay ends: the live end is watched for as long as an orphaned response may still make it close, then the
//! connection is closed.

use std::time::Duration;

use super::super::differences::Phases;
use super::super::script::End;
use super::Consumer;
use super::Phase;
use super::Stuck;
use super::streams::State;
use crate::Timestamp;
use crate::dcp::Noop;
use crate::journal::How;
use crate::journal::Role;
use crate::verdict::Finding;
use crate::wire::Header;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// The watch after the last step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Watch {
    since: Timestamp,
    /// NOOPs asked as proofs of life: one soon after the last orphaned response, one at the end.
    asked: u8,
    /// The one whose answer is awaited.
    awaited: Option<Opaque>,
}

/// A proof of life is asked for so long after the last orphaned response: real producers answer a NOOP of the same burst
/// though they have decided to close (real-servers.md §2).
const PROOF_AFTER: Duration = Duration::from_millis(200);
/// How long after the settling time the last answer is waited for.
const LAST_ANSWER: Duration = Duration::from_secs(1);

impl Consumer {
    pub(super) fn begin_watch(&mut self, now: Timestamp) {
        self.give_back();
        self.phase = Phase::Watching(Watch { since: now, asked: 0, awaited: None });
        if self.orphans.given == 0 {
            self.finish(now);
        }
    }

    pub(super) fn watch(&mut self, mut watch: Watch, now: Timestamp) {
        let last = self.orphans.last_at.max(watch.since);
        let due = if watch.asked == 0 { last + PROOF_AFTER } else { last + self.options.settle };
        if watch.asked < 2 && due <= now {
            let opaque = self.talk.own_opaque();
            self.talk.say(&Noop.request(opaque));
            watch.asked += 1;
            watch.awaited = Some(opaque);
        }
        self.phase = Phase::Watching(watch);
        let over = watch.asked == 2 && (watch.awaited.is_none() || last + self.options.settle + LAST_ANSWER <= now);
        if over {
            self.finish(now);
        }
    }

    /// Whether messages of a stream all of which was answered still are: what was on its way when the script ended is.
    pub(super) fn still_answers(&self, now: Timestamp) -> bool {
        match self.phase {
            Phase::Playing => true,
            Phase::Watching(watch) => watch.asked == 0 && now < watch.since + PROOF_AFTER,
            Phase::Closed => false,
        }
    }

    pub(super) fn watch_due(&self, watch: Watch) -> Timestamp {
        let last = self.orphans.last_at.max(watch.since);
        match watch.asked {
            0 => last + PROOF_AFTER,
            1 => last + self.options.settle,
            _ => last + self.options.settle + LAST_ANSWER,
        }
    }

    /// Whether a response answers a proof of life.
    pub(super) fn is_proof(&mut self, header: &Header) -> bool {
        let Phase::Watching(mut watch) = self.phase else { return false };
        if header.opcode != Opcode::NOOP {
            return false;
        }
        let is_last = watch.awaited == Some(header.opaque);
        if is_last {
            watch.awaited = None;
            self.phase = Phase::Watching(watch);
        }
        is_last || header.opaque.0.first() == Some(&0xdc)
    }

    pub(super) fn live_closed(&mut self, how: How, now: Timestamp) {
        let as_recorded = match self.script.end {
            // What the recorded producer closed at may come at another place live.
            Some(End { by: Role::Producer, after, .. }) => {
                self.orphans.given > 0 || self.steps.get(self.next).is_none_or(|step| step.line >= after)
            }
            _ => false,
        };
        let how_text = match how {
            How::Fin => "FIN",
            How::Reset => "RST",
        };
        if !as_recorded {
            let before = match self.steps.get(self.next) {
                Some(step) => self.line(step.line).map(super::Line::name).unwrap_or_default(),
                None => "the end of the recording".to_owned(),
            };
            self.differences.extra(&format!("{how_text} before {before}"), now);
            if self.phase == Phase::Playing && self.stuck.is_none() {
                let expected = format!("the connection open until {before}");
                self.stuck = Some(Stuck {
                    expected,
                    actual: format!("the live end closed ({how_text}) before {before}"),
                    at: now,
                });
            }
        }
        self.phase = Phase::Closed;
        self.compare(now);
        self.closing.get_or_insert(How::Fin);
    }

    fn finish(&mut self, now: Timestamp) {
        if let Some(End { by: Role::Producer, after, .. }) = self.script.end {
            let frame = after.checked_sub(1).and_then(|at| self.line(at)).map_or(0, |line| line.number);
            self.differences.missing(&format!("a close of the live end after frame {frame}"), now);
        }
        self.phase = Phase::Closed;
        self.compare(now);
        self.closing = Some(match self.script.end {
            Some(End { by: Role::Consumer, how, .. }) => how,
            _ => How::Fin,
        });
    }

    /// Compares the streams that were played; of a replay that is stuck the rest is not missing, but was never asked for.
    fn compare(&mut self, now: Timestamp) {
        for at in 0..self.streams.len() {
            let Some(live) = self.streams.get(at) else { continue };
            if live.state == State::Awaited || self.stuck.is_some() {
                continue;
            }
            let (phases, recorded) = (live.phases.clone(), Phases::recorded(&self.script, at));
            // A connection that its producer closed has streams that go no further.
            let cut = self.script.end.is_some_and(|end| end.by == Role::Producer);
            if !cut {
                phases.compare(&recorded, &self.stream_name(at), &mut self.differences, now);
            }
        }
    }

    /// What came of it; with what the live end did differently where that was asked for.
    pub(in super::super) fn findings(&self, diff: bool) -> Vec<Finding> {
        const DEMANDS: &str = "the live end does all that the recording waits for";
        let mut findings = vec![match &self.stuck {
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
        }];
        if self.orphans.given == 0 && self.orphans.left_out > 0 {
            let missing = Finding::inconclusive("evidence", "no verdict without evidence");
            findings.push(
                missing
                    .expected("an orphaned response, as the recording has")
                    .actual("nothing came live that one could have answered"),
            );
        }
        if diff {
            findings.extend(self.differences.findings());
        }
        findings
    }
}
