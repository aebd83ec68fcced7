//! Section G: flow control.

use std::time::Duration;

use super::Concerns;
use super::Invariant;
use super::rule::Alike;
use super::rule::Rule;
use super::rule::Ruling;
use super::rule::Seen;
use super::rule::held;
use crate::Timestamp;
use crate::dcp::Message;
use crate::dcp::Stretch;
use crate::journal::Role;
use crate::session::Session;
use crate::verdict::Severity;
use crate::wire::Opcode;

pub(super) fn add(all: &mut Vec<Box<dyn Invariant>>) {
    all.extend([
        held::<WindowRespected>(),
        held::<AcksBelowCharges>(),
        held::<AcksInTime>(),
        held::<AckOfSomething>(),
        held::<NotBlockedByWindow>(),
        held::<AllAcked>(),
    ]);
}

/// What the consumer says, which may be an acknowledgement.
fn acknowledgement<'a>(seen: &Seen<'a>) -> Option<&'a Message> {
    seen.message().filter(|_| seen.sender == Role::Consumer)
}

/// G1, with the charge of G2. Judged at the producer's side of the wire an acknowledgement is seen before the producer has
/// it, so what is outstanding here is never more than what the producer counts. Older producers charge less than the
/// frame (MB-40277, MB-42506): the rule holds them to that.
#[derive(Debug, Default)]
pub(super) struct WindowRespected {
    /// Below 0 by what a consumer gave back that was not charged: the producer may have stopped at 0 later than here, with
    /// more under way, so that the rest counts for it.
    outstanding: i64,
    /// What older producers may not have charged so far.
    forgiven: i64,
    /// Bytes acknowledged, by the tool too, that are taken off already.
    acked: u64,
}

impl Rule for WindowRespected {
    const ID: &'static str = "g1-window-respected";
    const REQUIREMENT: &'static str =
        "the producer sends a charged message only while less than the window is outstanding";
    const EXCEPTIONS: &'static str =
        "the last message may be of any size; flow control that is off; what releases before 7.0 did not charge";
    const CONCERNS: Concerns = Concerns::STREAM_MESSAGES.and(Concerns::responses(&[Opcode::DCP_CONTROL]));
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let flow = seen.session.flow();
        let acked = flow.acked_total().saturating_sub(self.acked);
        self.outstanding = self.outstanding.saturating_sub_unsigned(acked).max(-self.forgiven);
        self.acked = flow.acked_total();
        let Some(window) = flow.window().filter(|&window| window != 0) else {
            (self.outstanding, self.forgiven) = (0, 0);
            return Ruling::Silent;
        };
        let charge = u64::from(seen.context.charge);
        if charge == 0 {
            return Ruling::Silent;
        }
        let least = least_charge(seen, charge);
        let outstanding = self.outstanding.max(0).unsigned_abs();
        self.outstanding = self.outstanding.saturating_add_unsigned(least);
        self.forgiven = self.forgiven.saturating_add_unsigned(charge.saturating_sub(least));
        Ruling::of(outstanding < window, || {
            let opcode = seen.header().opcode;
            (format!("nothing while {outstanding} of {window} bytes are outstanding"), format!("{opcode} of {charge}"))
        })
    }

    /// The window has room behind them, as the session counts, which never counts less than this.
    fn stretch(&mut self, stretch: &Stretch<'_>, session: &Session, _: &mut impl FnMut(u64, Ruling)) {
        if session.flow().is_on() {
            self.outstanding = self.outstanding.saturating_add_unsigned(stretch.charge());
        }
    }
}

/// The least that any release charges for it; one that knows the v7 codes charges all.
fn least_charge(seen: &Seen<'_>, charge: u64) -> u64 {
    if seen.session.v7() {
        return charge;
    }
    match seen.header().opcode {
        Opcode::DCP_STREAM_END | Opcode::DCP_OSO_SNAPSHOT => 0,
        _ if seen.session.negotiated().stream_id => charge.saturating_sub(3),
        _ => charge,
    }
}

/// G3.
#[derive(Debug, Default)]
pub(super) struct AcksBelowCharges;

impl Rule for AcksBelowCharges {
    const ID: &'static str = "g3-acks-below-charges";
    const REQUIREMENT: &'static str = "the consumer never acknowledges more bytes than it was charged";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_BUFFER_ACK]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some(Message::BufferAck(_)) = acknowledgement(seen) else { return Ruling::Silent };
        let flow = seen.session.flow();
        Ruling::of(flow.acked_total() <= flow.charged_total(), || {
            (format!("at most {} bytes in all", flow.charged_total()), flow.acked_total().to_string())
        })
    }
}

/// G4. kv_engine acknowledges at 20 % of the window or after 5 s; only a full window that nobody opens for longer is told.
#[derive(Debug, Default)]
pub(super) struct AcksInTime {
    full_since: Option<Timestamp>,
}

impl AcksInTime {
    const PATIENCE: Duration = Duration::from_secs(6);
}

impl Rule for AcksInTime {
    const ID: &'static str = "g4-acks-in-time";
    const REQUIREMENT: &'static str = "a consumer that has filled the window acknowledges within 5 s";
    const EXCEPTIONS: &'static str = "only a full window that stays so for 6 s is told";
    const SEVERITY: Severity = Severity::Warning;
    const BLAME: Option<Role> = Some(Role::Consumer);
    /// Of those while there is room nothing is said: only the first has waited.
    const ALIKE: Alike = Alike::Judged;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let full_since = self.full_since;
        let full = !seen.session.flow().has_room();
        self.full_since = if full { full_since.or(Some(seen.at)) } else { None };
        match full_since {
            Some(since) if seen.at.since(since) > Self::PATIENCE => {
                self.full_since = full.then_some(seen.at);
                let waited = seen.at.since(since).as_millis();
                Ruling::broken("BUFFER_ACK within 5 s".to_owned(), format!("none for {waited} ms"))
            }
            Some(_) if !full => Ruling::Kept,
            _ => Ruling::Silent,
        }
    }
}

/// G5. Up to 7.2 consumers send some of 0 bytes (MB-59474).
#[derive(Debug, Default)]
pub(super) struct AckOfSomething;

impl Rule for AckOfSomething {
    const ID: &'static str = "g5-ack-of-something";
    const REQUIREMENT: &'static str = "BUFFER_ACK acknowledges at least 1 byte";
    const EXCEPTIONS: &'static str = "consumers up to 7.2 (MB-59474)";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_BUFFER_ACK]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        match acknowledgement(seen) {
            Some(Message::BufferAck(ack)) => {
                Ruling::of(ack.bytes_to_ack > 0, || ("at least 1 byte".to_owned(), "0".to_owned()))
            }
            _ => Ruling::Silent,
        }
    }
}

/// G6. A request that was asked while the window was full, and answered only once an acknowledgement had made room, long
/// after it was asked, was blocked by it.
#[derive(Debug, Default)]
pub(super) struct NotBlockedByWindow {
    full_since: Option<Timestamp>,
    opened: Option<(Timestamp, Timestamp)>,
}

impl NotBlockedByWindow {
    const PATIENCE: Duration = Duration::from_secs(5);
}

impl Rule for NotBlockedByWindow {
    const ID: &'static str = "g6-not-blocked-by-window";
    const REQUIREMENT: &'static str =
        "no-ops, controls and responses of the producer do not wait for room in the window";
    const EXCEPTIONS: &'static str = "an answer within 5 s, and requests from before the window was full";
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let full = !seen.session.flow().has_room();
        match (self.full_since, full) {
            (None, true) => self.full_since = Some(seen.at),
            (Some(since), false) => {
                self.full_since = None;
                self.opened = Some((since, seen.at));
            }
            _ => {}
        }
        let prompt = [Opcode::NOOP, Opcode::DCP_CONTROL, Opcode::DCP_CLOSE_STREAM, Opcode::VERSION];
        let header = seen.header();
        if seen.sender != Role::Producer || !header.is_response() || !prompt.contains(&header.opcode) {
            return Ruling::Silent;
        }
        let Some(asked) = seen.context.answers else { return Ruling::Silent };
        if full && self.full_since.is_some_and(|since| since <= asked.at) {
            return Ruling::Kept;
        }
        match self.opened {
            Some((since, until)) if since <= asked.at && until.since(asked.at) > Self::PATIENCE => Ruling::broken(
                "an answer while the window was full".to_owned(),
                format!("{} answered when it opened, {} ms later", header.opcode, seen.at.since(asked.at).as_millis()),
            ),
            _ => Ruling::Silent,
        }
    }
}

/// G7. What is left at the end may be under way still, so only a window that was full for long is told.
#[derive(Debug, Default)]
pub(super) struct AllAcked {
    window: u64,
    outstanding: u64,
    full_since: Option<Timestamp>,
    last: Timestamp,
    exercised: bool,
}

impl Rule for AllAcked {
    const ID: &'static str = "g7-all-acked";
    const REQUIREMENT: &'static str = "every charged byte is acknowledged in the end, those of closed streams too";
    const EXCEPTIONS: &'static str = "what may be under way still: only a window that was full for 6 s is told";
    const SEVERITY: Severity = Severity::Warning;
    const BLAME: Option<Role> = Some(Role::Consumer);
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let flow = seen.session.flow();
        self.window = flow.window().unwrap_or_default();
        self.outstanding = flow.outstanding();
        self.exercised |= flow.is_on() && flow.charged_total() > 0;
        self.last = seen.at;
        self.full_since = if flow.has_room() { None } else { self.full_since.or(Some(seen.at)) };
        Ruling::Silent
    }

    fn end(&self) -> Ruling {
        if !self.exercised {
            return Ruling::Silent;
        }
        let stuck = self.full_since.is_some_and(|since| self.last.since(since) > AcksInTime::PATIENCE);
        Ruling::of(!stuck, || {
            ("room in the window".to_owned(), format!("{} of {} bytes outstanding", self.outstanding, self.window))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::verdicts;
    use super::*;
    use crate::dcp;
    use crate::session::script::*;
    use crate::verdict::Verdict;
    use crate::wire::Status;

    const PASS: Option<Verdict> = Some(Verdict::Pass);
    const FAIL: Option<Verdict> = Some(Verdict::Fail);

    /// A stream with a window of 100 bytes; a mutation is charged 74.
    fn windowed() -> Script {
        let mut script = Script::with(&[], dcp::Open::PRODUCER, &[("connection_buffer_size", "100")]);
        script.stream(1, 10, 0);
        script
    }

    /// Found by `fuzz` in era 6.5: bytes of the stream id are given back that were never charged, while more is under way.
    #[test]
    fn what_older_producers_did_not_charge_is_not_held_against_them() {
        let controls = [("connection_buffer_size", "142"), ("enable_stream_id", "true")];
        let mut script = Script::with(&[], dcp::Open::PRODUCER, &controls);
        script.stream(1, 10, 0);
        let m = |seqno| mutation(1, 10, seqno);
        script.p(m(1));
        script.c(buffer_ack(74));
        for seqno in 2..5 {
            script.p(m(seqno));
        }
        assert_eq!(verdicts::<WindowRespected>(&script).0, PASS, "3 bytes of the acknowledgement count for it");
        script.p(m(5));
        assert_eq!(verdicts::<WindowRespected>(&script).0, FAIL);
    }

    #[test]
    fn nothing_is_sent_into_a_full_window() {
        let mut script = windowed();
        script.p(mutation(1, 10, 1));
        script.p(mutation(1, 10, 2));
        assert_eq!(verdicts::<WindowRespected>(&script).0, PASS, "the last one may be of any size");
        let mut acked = windowed();
        acked.p(mutation(1, 10, 1));
        acked.p(mutation(1, 10, 2));
        acked.c(buffer_ack(49));
        acked.p(mutation(1, 10, 3));
        assert_eq!(verdicts::<WindowRespected>(&acked).0, PASS);
        script.c(buffer_ack(48));
        script.p(mutation(1, 10, 3));
        assert_eq!(verdicts::<WindowRespected>(&script).0, FAIL);
        let mut off = Script::opened();
        off.stream(1, 10, 0);
        for seqno in 1..9 {
            off.p(mutation(1, 10, seqno));
        }
        assert_eq!(verdicts::<WindowRespected>(&off).0, None);
    }

    #[test]
    fn a_prepare_takes_two_bytes_more() {
        let prepare = dcp::Prepare { by_seqno: 1, durability_level: 1, ..dcp::Prepare::default() };
        let mut script = Script::with(&[], dcp::Open::PRODUCER, &[("connection_buffer_size", "76")]);
        script.stream(1, 10, 0);
        script.p(request(Opcode::DCP_PREPARE, 1, 10, Message::Prepare(prepare)));
        script.p(mutation(1, 10, 2));
        assert_eq!(verdicts::<WindowRespected>(&script).0, FAIL);
    }

    #[test]
    fn older_producers_charge_less() {
        let mut script = Script::with(&[], dcp::Open::PRODUCER, &[("connection_buffer_size", "20")]);
        script.stream(1, 10, 0);
        script.p(stream_end(1, 10, 0));
        script.stream(1, 11, 0);
        script.p(mutation(1, 11, 1));
        assert_eq!(verdicts::<WindowRespected>(&script).0, PASS, "STREAM_END was free before 7.0");
    }

    #[test]
    fn acknowledgements_stay_below_the_charge() {
        let mut script = windowed();
        script.p(mutation(1, 10, 1));
        script.c(buffer_ack(74));
        assert_eq!((verdicts::<AcksBelowCharges>(&script).1, verdicts::<AckOfSomething>(&script).1), (PASS, PASS));
        script.c(buffer_ack(1));
        assert_eq!((verdicts::<AcksBelowCharges>(&script).1, verdicts::<AckOfSomething>(&script).1), (FAIL, PASS));
        script.c(buffer_ack(0));
        assert_eq!(verdicts::<AckOfSomething>(&script).1, FAIL);
    }

    #[test]
    fn a_full_window_is_opened_in_time() {
        for (ms, expected) in [(1_000, PASS), (7_000, FAIL)] {
            let mut script = windowed();
            script.p(mutation(1, 10, 1));
            script.p(mutation(1, 10, 2));
            script.wait_ms(ms);
            script.c(buffer_ack(148));
            assert_eq!(verdicts::<AcksInTime>(&script).1, expected);
        }
    }

    #[test]
    fn a_full_window_blocks_no_answer() {
        let noop = || request(Opcode::NOOP, 0, 9, Message::Noop(dcp::Noop));
        let answer = || plain(Opcode::NOOP, Status::SUCCESS, 9);
        let full = || {
            let mut script = windowed();
            script.p(mutation(1, 10, 1));
            script.p(mutation(1, 10, 2));
            script.c(noop());
            script
        };
        let mut kept = full();
        kept.p(answer());
        assert_eq!(verdicts::<NotBlockedByWindow>(&kept).0, PASS);
        let mut earlier = windowed();
        earlier.c(noop());
        earlier.p(mutation(1, 10, 1));
        earlier.p(mutation(1, 10, 2));
        earlier.p(answer());
        assert_eq!(verdicts::<NotBlockedByWindow>(&earlier).0, None, "there was room when it was asked");
        for (ms, expected) in [(1_000, None), (6_000, FAIL)] {
            let mut script = full();
            script.wait_ms(ms);
            script.c(buffer_ack(148));
            script.p(answer());
            assert_eq!(verdicts::<NotBlockedByWindow>(&script).0, expected);
        }
    }

    #[test]
    fn a_window_that_never_opens_is_told() {
        let mut script = windowed();
        script.p(mutation(1, 10, 1));
        script.p(mutation(1, 10, 2));
        assert_eq!(verdicts::<AllAcked>(&script).1, PASS, "it may be under way");
        script.wait_ms(7_000);
        script.p(request(Opcode::DCP_NOOP, 0, 5, Message::DcpNoop(dcp::DcpNoop)));
        assert_eq!(verdicts::<AllAcked>(&script).1, FAIL);
        assert_eq!(verdicts::<AllAcked>(&Script::opened()), (None, None));
    }
}
