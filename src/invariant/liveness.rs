//! Section H: no-ops, and ends that are silent. What is judged by time goes by the times of the entries; while the tool
//! holds up what an end says, nobody is late.

use std::time::Duration;

use super::Concerns;
use super::Invariant;
use super::rule::Alike;
use super::rule::Rule;
use super::rule::Ruling;
use super::rule::Seen;
use super::rule::held;
use crate::Timestamp;
use crate::dcp::Stretch;
use crate::journal::Direction;
use crate::journal::Role;
use crate::session::Session;
use crate::verdict::Severity;
use crate::wire::Opcode;
use crate::wire::Status;

pub(super) fn add(all: &mut Vec<Box<dyn Invariant>>) {
    all.extend([
        held::<OneNoop>(),
        held::<NoopInterval>(),
        held::<NoopComes>(),
        held::<NoopAnswer>(),
        held::<NoopStatus>(),
        held::<NoopOpaques>(),
        held::<IdleIsClosed>(),
    ]);
}

/// Whether the producer sends a no-op.
fn is_noop(seen: &Seen<'_>) -> bool {
    seen.header().opcode == Opcode::DCP_NOOP && seen.sender == Role::Producer && seen.header().is_request()
}

/// The consumer's answer to a no-op.
fn is_answer(seen: &Seen<'_>) -> bool {
    seen.header().opcode == Opcode::DCP_NOOP && seen.sender == Role::Consumer && seen.header().is_response()
}

/// The interval that was agreed on; `None` where it never was, and where it is not a number.
fn interval(session: &Session) -> Option<Duration> {
    let seconds: f64 = session.controls().accepted("set_noop_interval")?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn noops_are_on(session: &Session) -> bool {
    session.controls().is_true("enable_noop")
}

/// H1, first half.
#[derive(Debug, Default)]
pub(super) struct OneNoop;

impl Rule for OneNoop {
    const ID: &'static str = "h1-one-noop";
    const REQUIREMENT: &'static str = "the producer sends no DCP_NOOP while another awaits its answer";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_NOOP]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if !is_noop(seen) {
            return Ruling::Silent;
        }
        let Some(producer) = seen.session.producer() else { return Ruling::Silent };
        let waiting = seen.session.outstanding().of(producer).filter(|asked| asked.opcode == Opcode::DCP_NOOP).count();
        Ruling::of(waiting <= 1, || ("the answer to the last one first".to_owned(), format!("{waiting} unanswered")))
    }
}

/// H1, second half. The wire shows when a no-op was sent, not when it was due: one that waited in a full socket is followed
/// early by the next. So a breach is only a warning. Releases before 7.6 count whole seconds, so that up to one is missing
/// (620 ms after the one before, of 1 s, in the captures).
#[derive(Debug, Default)]
pub(super) struct NoopInterval {
    last: Option<(Timestamp, Duration)>,
}

impl NoopInterval {
    const TICK: Duration = Duration::from_secs(1);
}

impl Rule for NoopInterval {
    const ID: &'static str = "h1-noop-interval";
    const REQUIREMENT: &'static str = "a DCP_NOOP comes no earlier than set_noop_interval after the one before";
    const EXCEPTIONS: &'static str = "where the interval was never set, is not above 1 s, or has changed; a second is let pass; while the \
         producer is held up";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_NOOP]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if !is_noop(seen) {
            return Ruling::Silent;
        }
        let now = interval(seen.session).map(|interval| (seen.at, interval));
        match (std::mem::replace(&mut self.last, now), now) {
            (Some((last, before)), Some((_, interval))) if before == interval && interval > Self::TICK => {
                let waited = seen.at.since(last);
                let least = interval.saturating_sub(Self::TICK);
                Ruling::of(waited >= least, || {
                    let expected = format!("at least {} ms after the one before", interval.as_millis());
                    (expected, format!("{} ms", waited.as_millis()))
                })
            }
            _ => Ruling::Silent,
        }
    }

    fn disturbed(&mut self, _lasting: bool) {
        self.last = None;
    }
}

/// H2. One is waited for once no-ops, their interval and a stream are there and the last one was answered. A producer that
/// says nothing at all may be blocked in its socket, so only one that has gone on speaking is late.
#[derive(Debug, Default)]
pub(super) struct NoopComes {
    /// Until when one should have come.
    due: Option<Timestamp>,
    interval: Duration,
    /// When the producer said something last.
    spoke: Timestamp,
    /// What is waited for is to be found out anew.
    stale: bool,
}

impl NoopComes {
    /// What a scheduler's tick, and a machine that is busy, may make it late.
    const TICK: Duration = Duration::from_secs(2);

    fn wait_anew(&mut self, seen: &Seen<'_>) {
        self.stale = false;
        let unanswered = seen.session.noop().outstanding.is_some();
        let wanted = noops_are_on(seen.session) && !unanswered && seen.session.streams().live().next().is_some();
        let interval = interval(seen.session).filter(|_| wanted);
        self.interval = interval.unwrap_or_default();
        self.due = interval.map(|interval| seen.at + interval * 2 + Self::TICK);
    }
}

impl Rule for NoopComes {
    const ID: &'static str = "h2-noop-comes";
    const REQUIREMENT: &'static str =
        "with no-ops on, a DCP_NOOP comes within twice the interval after the last one was answered";
    const EXCEPTIONS: &'static str = "without a stream; where the interval was never set; while one is unanswered; a producer that is silent, or \
         held up; 2 s more are let pass; at the end of a recording";
    const SEVERITY: Severity = Severity::Warning;
    const BLAME: Option<Role> = Some(Role::Producer);
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let due = self.due.filter(|_| !self.stale);
        let late = due.is_some_and(|due| seen.at > due);
        let opcode = seen.header().opcode;
        let changes = matches!(opcode, Opcode::DCP_NOOP | Opcode::DCP_CONTROL | Opcode::DCP_STREAM_REQ);
        let (waited, silent) = (self.interval, seen.at.since(self.spoke));
        if late || changes || self.stale {
            self.wait_anew(seen);
        }
        if seen.sender != Role::Producer {
            return Ruling::Silent;
        }
        self.spoke = seen.at;
        if late && silent <= waited && seen.session.streams().live().next().is_some() {
            let expected = format!("a DCP_NOOP within {} ms", (waited * 2).as_millis());
            return Ruling::broken(expected, format!("{} and none yet", seen.header().opcode));
        }
        if due.is_some() && !late && is_noop(seen) { Ruling::Kept } else { Ruling::Silent }
    }

    fn disturbed(&mut self, _lasting: bool) {
        self.stale = true;
    }
}

/// H3.
#[derive(Debug, Default)]
pub(super) struct NoopAnswer;

impl Rule for NoopAnswer {
    const ID: &'static str = "h3-noop-answer";
    const REQUIREMENT: &'static str = "DCP_NOOP is answered with its own opaque, and a success without a body";
    const CONCERNS: Concerns = Concerns::responses(&[Opcode::DCP_NOOP]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if !is_answer(seen) {
            return Ruling::Silent;
        }
        let header = seen.header();
        let body = header.status() == Some(Status::SUCCESS) && header.body_len > 0;
        Ruling::of(!seen.context.unasked && !body, || {
            if seen.context.unasked {
                (
                    "the opaque of a DCP_NOOP".to_owned(),
                    format!("{}, which none has that awaits an answer", header.opaque),
                )
            } else {
                ("no body".to_owned(), format!("{} bytes", header.body_len))
            }
        })
    }
}

/// H3, the part that no producer looks at.
#[derive(Debug, Default)]
pub(super) struct NoopStatus;

impl Rule for NoopStatus {
    const ID: &'static str = "h3-noop-status";
    const REQUIREMENT: &'static str = "DCP_NOOP is answered with Success";
    const EXCEPTIONS: &'static str = "producers do not look at the status";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::responses(&[Opcode::DCP_NOOP]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if !is_answer(seen) {
            return Ruling::Silent;
        }
        let status = seen.header().status().unwrap_or(Status::SUCCESS);
        Ruling::of(status == Status::SUCCESS, || ("Success".to_owned(), status.to_string()))
    }
}

/// H4. An opaque has no byte order (dcp-protocol.md §1), but kv_engine's is that of its machine: the first no-op tells which,
/// and whether it is kv_engine's at all. One that found no room to be sent leaves a gap.
#[derive(Debug, Default)]
pub(super) struct NoopOpaques {
    order: Order,
    last: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Order {
    #[default]
    Unknown,
    Little,
    Big,
    NotKvEngine,
}

impl NoopOpaques {
    const FIRST: u32 = 10_000_001;
}

impl Rule for NoopOpaques {
    const ID: &'static str = "h4-noop-opaques";
    const REQUIREMENT: &'static str =
        "the opaques of kv_engine's DCP_NOOPs count up from 10000001, in the byte order of its machine";
    const EXCEPTIONS: &'static str =
        "other producers: those whose first no-op has another opaque; a no-op that could not be sent leaves a gap";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_NOOP]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if !is_noop(seen) {
            return Ruling::Silent;
        }
        let bytes = seen.header().opaque.0;
        let (little, big) = (u32::from_le_bytes(bytes), u32::from_be_bytes(bytes));
        let number = match self.order {
            Order::Unknown => {
                self.order = match (little, big) {
                    (Self::FIRST, _) => Order::Little,
                    (_, Self::FIRST) => Order::Big,
                    _ => Order::NotKvEngine,
                };
                self.last = Self::FIRST;
                return if self.order == Order::NotKvEngine { Ruling::Silent } else { Ruling::Kept };
            }
            Order::NotKvEngine => return Ruling::Silent,
            Order::Little => little,
            Order::Big => big,
        };
        let last = std::mem::replace(&mut self.last, number);
        Ruling::of(number > last, || (format!("opaque {}", last.saturating_add(1)), number.to_string()))
    }
}

/// H5.
#[derive(Debug, Default)]
pub(super) struct IdleIsClosed {
    /// When the producer, and the consumer, was heard last.
    heard: [Option<Timestamp>; 2],
    /// The end that waits for too long, and was told of.
    told: [bool; 2],
    /// Frames that were delivered to the end at the edge, the tool's among them.
    delivered: u64,
    /// The tool has acted on the connection: it may have kept the consumer waiting.
    off: bool,
}

impl IdleIsClosed {
    /// kv_engine's `dcp_idle_timeout`, and what it may be late in seeing it.
    const TIMEOUT: Duration = Duration::from_secs(360);
    const TOLERANCE: Duration = Duration::from_secs(30);
}

const fn index(role: Role) -> usize {
    match role {
        Role::Producer => 0,
        Role::Consumer => 1,
    }
}

const fn other(role: Role) -> Role {
    match role {
        Role::Producer => Role::Consumer,
        Role::Consumer => Role::Producer,
    }
}

impl Rule for IdleIsClosed {
    const ID: &'static str = "h5-idle-is-closed";
    const REQUIREMENT: &'static str =
        "an end that has heard nothing for 360 s (dcp_idle_timeout) closes the connection";
    const EXCEPTIONS: &'static str = "a producer without no-ops; other settings and other consumers; 30 s more are let pass; after the tool has \
         held up or acted on the connection";
    const SEVERITY: Severity = Severity::Warning;
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let speaker = seen.sender;
        let listener = other(speaker);
        // SEQNO_ACK does not count as a sign of life.
        let counts = seen.header().opcode != Opcode::DCP_SEQNO_ACK;
        let delivered = seen.session.frames(Direction::To);
        let edge = seen.session.role(seen.session.edge());
        let forged = delivered > self.delivered.saturating_add(u64::from(edge != Some(speaker)));
        self.delivered = delivered;
        if forged {
            self.heard = [Some(seen.at); 2];
        }
        let since = self.heard.get(index(listener)).copied().flatten();
        if counts && let Some(heard) = self.heard.get_mut(index(speaker)) {
            *heard = Some(seen.at);
        }
        let Some(told) = self.told.get_mut(index(speaker)) else { return Ruling::Silent };
        let silent = since.map(|since| seen.at.since(since)).unwrap_or_default();
        if silent <= Self::TIMEOUT + Self::TOLERANCE || self.off {
            *told = false;
            return Ruling::Silent;
        }
        if *told || (speaker == Role::Producer && !noops_are_on(seen.session)) {
            return Ruling::Silent;
        }
        *told = true;
        Ruling::broken(
            "the connection closed after 360 s of silence".to_owned(),
            format!("{} after {} ms", seen.header().opcode, silent.as_millis()),
        )
    }

    fn stretch(&mut self, _: &Stretch<'_>, session: &Session, _: &mut impl FnMut(u64, Ruling)) {
        self.delivered = session.frames(Direction::To);
    }

    fn closed(&mut self, at: Timestamp, by: Role) -> Ruling {
        let since = self.heard.get(index(other(by))).copied().flatten();
        let silent = since.map(|since| at.since(since)).unwrap_or_default();
        let kept = silent >= Self::TIMEOUT && silent <= Self::TIMEOUT + Self::TOLERANCE && !self.off;
        if kept { Ruling::Kept } else { Ruling::Silent }
    }

    fn disturbed(&mut self, lasting: bool) {
        self.off |= lasting;
        self.heard = [None; 2];
    }
}

#[cfg(test)]
mod tests;
