//! Section C, second part: how streams are closed and how they end.

use super::Concerns;
use super::Invariant;
use super::rule::Alike;
use super::rule::Rule;
use super::rule::Ruling;
use super::rule::Seen;
use super::rule::held;
use crate::dcp::Feature;
use crate::dcp::Message;
use crate::dcp::StreamEnd;
use crate::dcp::StreamReq;
use crate::journal::Role;
use crate::session::Before;
use crate::session::Owner;
use crate::session::Session;
use crate::session::State;
use crate::verdict::Severity;
use crate::wire::Opcode;
use crate::wire::Status;

pub(super) fn add(all: &mut Vec<Box<dyn Invariant>>) {
    all.extend([
        held::<NothingAfterEnd>(),
        held::<OneEnd>(),
        held::<CloseThenEnd>(),
        held::<CloseKnowsStream>(),
        held::<EndReasons>(),
        held::<EndAtEndSeqno>(),
    ]);
}

fn ended<'a>(seen: &Seen<'a>) -> Option<&'a StreamEnd> {
    match (seen.message()?, seen.produced()?) {
        (Message::StreamEnd(end), _) => Some(end),
        _ => None,
    }
}

fn is_over(owner: Owner) -> bool {
    matches!(owner, Owner::Current(State::Ended(_)) | Owner::Gone(State::Ended(_)))
}

/// C7. MB-18625.
#[derive(Debug, Default)]
pub(super) struct NothingAfterEnd;

impl Rule for NothingAfterEnd {
    const ID: &'static str = "c7-nothing-after-stream-end";
    const REQUIREMENT: &'static str = "nothing of a stream follows its STREAM_END";
    const CONCERNS: Concerns = Concerns::STREAM_MESSAGES;
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some(stream) = seen.produced() else { return Ruling::Silent };
        match (is_over(stream.owner), seen.header().opcode) {
            (false, Opcode::DCP_STREAM_END) => Ruling::Kept,
            (false, _) | (true, Opcode::DCP_STREAM_END) => Ruling::Silent,
            (true, opcode) => Ruling::broken("nothing after STREAM_END".to_owned(), format!("{opcode}")),
        }
    }
}

/// C8.
#[derive(Debug, Default)]
pub(super) struct OneEnd;

impl Rule for OneEnd {
    const ID: &'static str = "c8-one-stream-end";
    const REQUIREMENT: &'static str = "a stream has at most one STREAM_END";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_STREAM_END]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        match (seen.produced(), seen.header().opcode) {
            (Some(stream), Opcode::DCP_STREAM_END) => Ruling::of(!is_over(stream.owner), || {
                ("one STREAM_END".to_owned(), format!("another for {}", seen.header().opaque))
            }),
            _ => Ruling::Silent,
        }
    }
}

fn closed_at_producer(before: &Before) -> bool {
    let answered = |close: &crate::session::Close| close.answered.is_some_and(|(status, _)| status == Status::SUCCESS);
    before.close.is_some_and(|close| close.to == Role::Producer && answered(&close))
}

fn promises_end(session: &Session) -> bool {
    session.controls().is_true("send_stream_end_on_client_close_stream")
}

/// C9. Queued frames may precede the end, and may follow the answer where no end is promised. An end that never comes is
/// no breach: the window may be full, the recording over.
#[derive(Debug, Default)]
pub(super) struct CloseThenEnd;

impl Rule for CloseThenEnd {
    const ID: &'static str = "c9-close-then-end";
    const REQUIREMENT: &'static str = "after CLOSE_STREAM is answered with Success, STREAM_END (Closed) comes exactly where \
         send_stream_end_on_client_close_stream was agreed on";
    const EXCEPTIONS: &'static str = "queued frames may come first; an end that has not come yet";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_STREAM_END]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let (Some(end), Some(before)) = (ended(seen), seen.produced_live()) else { return Ruling::Silent };
        if !closed_at_producer(before) {
            return Ruling::Silent;
        }
        let promised = promises_end(seen.session);
        Ruling::of(promised && end.end_reason == StreamEnd::CLOSED, || {
            let expected = if promised { "STREAM_END with reason 1 (Closed)" } else { "no STREAM_END" };
            (expected.to_owned(), format!("STREAM_END with reason {}", end.end_reason))
        })
    }
}

/// C10. A stream that is dead already, its end still to come, is not known any more either.
#[derive(Debug, Default)]
pub(super) struct CloseKnowsStream;

impl Rule for CloseKnowsStream {
    const ID: &'static str = "c10-close-knows-stream";
    const REQUIREMENT: &'static str = "CLOSE_STREAM for a stream that is open is not answered with KeyEnoent";
    const EXCEPTIONS: &'static str = "a stream that has ended, or is dead and its end still to come";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::responses(&[Opcode::DCP_CLOSE_STREAM]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let header = seen.header();
        if seen.sender != Role::Producer || !header.is_response() || header.opcode != Opcode::DCP_CLOSE_STREAM {
            return Ruling::Silent;
        }
        let before = seen.context.stream.and_then(|stream| stream.before);
        if !before.is_some_and(|before| before.state == State::Closing) {
            return Ruling::Silent;
        }
        let missing = matches!(header.status(), Some(Status::KEY_ENOENT | Status::DCP_STREAM_NOT_FOUND));
        Ruling::of(!missing, || ("Success: the stream is open".to_owned(), "no such stream".to_owned()))
    }
}

/// C11.
#[derive(Debug, Default)]
pub(super) struct EndReasons;

impl Rule for EndReasons {
    const ID: &'static str = "c11-end-reasons";
    const REQUIREMENT: &'static str = "STREAM_END never says Disconnected (3) or Rollback (6), and FilterEmpty (7) or LostPrivileges (8) only with \
         collections";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_STREAM_END]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some(end) = ended(seen) else { return Ruling::Silent };
        let collections = seen.session.features().has(Feature::COLLECTIONS);
        let legal = match end.end_reason {
            StreamEnd::DISCONNECTED | StreamEnd::ROLLBACK => false,
            StreamEnd::FILTER_EMPTY | StreamEnd::LOST_PRIVILEGES => collections,
            _ => true,
        };
        Ruling::of(legal, || {
            let expected = if collections { "0, 1, 2, 4, 5, 7 or 8" } else { "0, 1, 2, 4 or 5" };
            (expected.to_owned(), format!("reason {}", end.end_reason))
        })
    }
}

/// C12. What ToLatest and DiskOnly end at the wire does not show. A stream that never sees the item at its end (it may not
/// be visible) cannot be judged.
#[derive(Debug, Default)]
pub(super) struct EndAtEndSeqno;

impl Rule for EndAtEndSeqno {
    const ID: &'static str = "c12-end-at-end-seqno";
    const REQUIREMENT: &'static str = "a stream that has reached the seqno that it was requested to end at, ends";
    const EXCEPTIONS: &'static str =
        "streams without an end, DiskOnly and ToLatest ones; the snapshot goes on to its end";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_STREAM_END, Opcode::DCP_SNAPSHOT_MARKER]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some(before) = seen.produced_live() else { return Ruling::Silent };
        let request = before.request;
        let bounded =
            request.end_seqno != u64::MAX && request.flags & (StreamReq::TO_LATEST | StreamReq::DISK_ONLY) == 0;
        if !bounded || before.items == 0 || before.last_seqno < request.end_seqno {
            return Ruling::Silent;
        }
        match seen.message() {
            Some(Message::StreamEnd(_)) => Ruling::Kept,
            Some(Message::SnapshotMarker(marker)) => Ruling::broken(
                format!("STREAM_END: seqno {} was reached", request.end_seqno),
                format!("a snapshot from {} to {}", marker.start_seqno, marker.end_seqno),
            ),
            _ => Ruling::Silent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::verdicts;
    use super::*;
    use crate::dcp;
    use crate::session::script::*;
    use crate::verdict::Verdict;

    const PASS: Option<Verdict> = Some(Verdict::Pass);
    const FAIL: Option<Verdict> = Some(Verdict::Fail);
    const PROMISE: (&str, &str) = ("send_stream_end_on_client_close_stream", "true");

    #[test]
    fn an_end_is_the_end() {
        let mut script = Script::opened();
        script.stream(1, 10, 0);
        script.p(mutation(1, 10, 1));
        script.p(stream_end(1, 10, 0));
        assert_eq!((verdicts::<NothingAfterEnd>(&script).0, verdicts::<OneEnd>(&script).0), (PASS, PASS));
        script.stream(1, 11, 1);
        script.p(mutation(1, 11, 2));
        assert_eq!(verdicts::<NothingAfterEnd>(&script).0, PASS, "a new stream");
        script.p(mutation(1, 10, 2));
        assert_eq!((verdicts::<NothingAfterEnd>(&script).0, verdicts::<OneEnd>(&script).0), (FAIL, PASS));
        let mut script = Script::opened();
        script.stream(1, 10, 0);
        script.p(stream_end(1, 10, 0));
        script.p(stream_end(1, 10, 0));
        assert_eq!((verdicts::<NothingAfterEnd>(&script).0, verdicts::<OneEnd>(&script).0), (PASS, FAIL));
    }

    #[test]
    fn a_close_is_followed_by_an_end_where_that_was_promised() {
        for (controls, reason, expected) in [
            (&[PROMISE][..], StreamEnd::CLOSED, PASS),
            (&[PROMISE][..], StreamEnd::OK, FAIL),
            (&[][..], StreamEnd::CLOSED, FAIL),
        ] {
            let mut script = Script::with(&[], dcp::Open::PRODUCER, controls);
            script.stream(1, 10, 0);
            script.c(close_stream(1, 77));
            script.p(plain(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS, 77));
            script.p(mutation(1, 10, 1));
            assert_eq!(verdicts::<CloseThenEnd>(&script).0, None, "queued frames may come first");
            script.p(stream_end(1, 10, reason));
            assert_eq!(verdicts::<CloseThenEnd>(&script).0, expected, "{controls:?} {reason}");
        }
        let mut script = Script::opened();
        script.stream(1, 10, 0);
        script.c(close_stream(1, 77));
        script.p(stream_end(1, 10, 0));
        script.p(plain(Opcode::DCP_CLOSE_STREAM, Status::KEY_ENOENT, 77));
        assert_eq!(verdicts::<CloseThenEnd>(&script).0, None, "the end crossed the close");
    }

    #[test]
    fn an_open_stream_is_known() {
        for (status, expected) in [(Status::SUCCESS, PASS), (Status::KEY_ENOENT, FAIL)] {
            let mut script = Script::opened();
            script.stream(1, 10, 0);
            script.c(close_stream(1, 77));
            script.p(plain(Opcode::DCP_CLOSE_STREAM, status, 77));
            assert_eq!(verdicts::<CloseKnowsStream>(&script).0, expected);
        }
        let mut script = Script::opened();
        script.c(close_stream(1, 77));
        script.p(plain(Opcode::DCP_CLOSE_STREAM, Status::KEY_ENOENT, 77));
        assert_eq!(verdicts::<CloseKnowsStream>(&script).0, None);
    }

    #[test]
    fn reasons_to_end() {
        for (features, reason, expected) in [
            (&[][..], StreamEnd::OK, PASS),
            (&[][..], StreamEnd::DISCONNECTED, FAIL),
            (&[][..], StreamEnd::ROLLBACK, FAIL),
            (&[][..], StreamEnd::FILTER_EMPTY, FAIL),
            (&[Feature::COLLECTIONS][..], StreamEnd::FILTER_EMPTY, PASS),
            (&[Feature::COLLECTIONS][..], StreamEnd::LOST_PRIVILEGES, PASS),
        ] {
            let mut script = Script::with(features, dcp::Open::PRODUCER, &[]);
            script.stream(1, 10, 0);
            script.p(stream_end(1, 10, reason));
            assert_eq!(verdicts::<EndReasons>(&script).0, expected, "{features:?} {reason}");
        }
    }

    fn until(end_seqno: u64, flags: u32) -> Script {
        let mut script = Script::opened();
        let mut head = stream_req(1, 10, 0);
        if let Ok(Message::StreamReq(request)) = &mut head.message {
            request.end_seqno = end_seqno;
            request.flags = flags;
        }
        script.c(head);
        script.p(stream_ok(10));
        script.p(marker(1, 10, 0, 4));
        script.p(mutation(1, 10, 3));
        script.p(mutation(1, 10, 4));
        script
    }

    #[test]
    fn the_end_seqno_ends_the_stream() {
        let next = || marker(1, 10, 5, 9);
        for (end_seqno, flags, head, expected) in [
            (3, 0, stream_end(1, 10, 0), PASS),
            (3, 0, next(), FAIL),
            (4, 0, next(), FAIL),
            (5, 0, next(), None),
            (u64::MAX, 0, next(), None),
            (3, StreamReq::TO_LATEST, next(), None),
        ] {
            let mut script = until(end_seqno, flags);
            assert_eq!(verdicts::<EndAtEndSeqno>(&script).0, None, "the snapshot goes on to its end");
            script.p(head);
            assert_eq!(verdicts::<EndAtEndSeqno>(&script).0, expected, "{end_seqno} {flags}");
        }
    }
}
