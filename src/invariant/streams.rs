//! Section C, first part: streams, their opaques, and the answers to their requests.

use super::Concerns;
use super::Invariant;
use super::rule::Alike;
use super::rule::Rule;
use super::rule::Ruling;
use super::rule::Seen;
use super::rule::held;
use crate::dcp;
use crate::dcp::FailoverEntry;
use crate::dcp::Message;
use crate::dcp::StreamReqResponse;
use crate::journal::Role;
use crate::session::Owner;
use crate::session::State;
use crate::verdict::Severity;
use crate::wire::Opcode;
use crate::wire::Status;

pub(super) fn add(all: &mut Vec<Box<dyn Invariant>>) {
    all.extend([
        held::<OfAStream>(),
        held::<OneAnswer>(),
        held::<NothingBeforeAnswer>(),
        held::<FailoverLogForm>(),
        held::<FailoverUuids>(),
        held::<RollbackForm>(),
        held::<RollbackBelowStart>(),
        held::<DuplicateRefused>(),
        held::<OpaquesDistinct>(),
        held::<OnlyErrorsAnswered>(),
        held::<AnswersMatch>(),
        held::<SeqnoAckOfStream>(),
    ]);
}

/// Whether the frame is the producer's answer to a STREAM_REQ.
fn answers_stream_req(seen: &Seen<'_>) -> bool {
    seen.sender == Role::Producer && seen.header().is_response() && seen.header().opcode == Opcode::DCP_STREAM_REQ
}

/// C1. What follows an end is C7's and C8's, what precedes the answer C2's.
#[derive(Debug, Default)]
pub(super) struct OfAStream;

impl Rule for OfAStream {
    const ID: &'static str = "c1-messages-of-a-stream";
    const REQUIREMENT: &'static str = "every stream message of the producer has the opaque, vbucket and stream id of a STREAM_REQ that it answered with \
         Success";
    const EXCEPTIONS: &'static str =
        "what was queued when the stream was closed; what follows an end is C7's, what precedes the answer C2's";
    const CONCERNS: Concerns = Concerns::STREAM_MESSAGES;
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some(stream) = seen.produced() else { return Ruling::Silent };
        // A frame without the stream id that it must have is A7's.
        if seen.session.negotiated().stream_id && seen.head.stream_id.is_none() {
            return Ruling::Silent;
        }
        let found = match stream.owner {
            Owner::Current(State::Open | State::Closing | State::Closed) => return Ruling::Kept,
            // What was queued when the stream was closed may still come, also past its replacement (C9).
            Owner::Gone(State::Ended(_) | State::Closing | State::Closed)
            | Owner::Current(State::Ended(_) | State::Requested)
            | Owner::Requested => return Ruling::Silent,
            Owner::Current(State::Refused(status)) => format!("the request was answered with {status}"),
            Owner::Current(State::RolledBack(_)) => "the request was answered with Rollback".to_owned(),
            Owner::Gone(_) => "a later request has replaced the stream".to_owned(),
            Owner::OtherOpaque(_) => "no request of the vbucket had this opaque".to_owned(),
            Owner::Unknown => "the vbucket was never requested".to_owned(),
        };
        let header = seen.header();
        Ruling::broken("a stream that was opened".to_owned(), format!("{} {}: {found}", header.opcode, header.opaque))
    }
}

/// C2, first half. Up to 5.0 a bug sent two answers (MB-25820).
#[derive(Debug, Default)]
pub(super) struct OneAnswer;

impl Rule for OneAnswer {
    const ID: &'static str = "c2-one-answer";
    const REQUIREMENT: &'static str = "every STREAM_REQ is answered once";
    const EXCEPTIONS: &'static str = "up to 5.0 a bug sent two (MB-25820)";
    const CONCERNS: Concerns = Concerns::responses(&[Opcode::DCP_STREAM_REQ]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if !answers_stream_req(seen) {
            return Ruling::Silent;
        }
        Ruling::of(!seen.context.unasked, || {
            let header = seen.header();
            let status = header.status().unwrap_or(Status::SUCCESS);
            ("one answer to each request".to_owned(), format!("{status} to {} that no request awaits", header.opaque))
        })
    }
}

/// C2, second half.
#[derive(Debug, Default)]
pub(super) struct NothingBeforeAnswer;

impl Rule for NothingBeforeAnswer {
    const ID: &'static str = "c2-nothing-before-answer";
    const REQUIREMENT: &'static str = "no message of a stream precedes the answer to its STREAM_REQ";
    const CONCERNS: Concerns = Concerns::STREAM_MESSAGES.and(Concerns::responses(&[Opcode::DCP_STREAM_REQ]));
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if answers_stream_req(seen) && seen.header().status() == Some(Status::SUCCESS) {
            return Ruling::Kept;
        }
        match seen.produced() {
            Some(stream) if stream.owner == Owner::Requested => {
                Ruling::broken("the answer first".to_owned(), format!("{} before it", seen.header().opcode))
            }
            _ => Ruling::Silent,
        }
    }
}

/// The failover log that a producer sends, with the answer to a stream request or by itself.
fn failover_log<'a>(seen: &Seen<'a>) -> Option<&'a [FailoverEntry]> {
    if seen.sender != Role::Producer {
        return None;
    }
    if let Message::FailoverLog(log) = seen.message()? {
        return Some(&log.failover_log);
    }
    if let Message::StreamReqResponse(StreamReqResponse::FailoverLog(log)) = seen.message()? {
        return Some(log);
    }
    None
}

/// C3. A value that is no list of entries is A3's.
#[derive(Debug, Default)]
pub(super) struct FailoverLogForm;

impl Rule for FailoverLogForm {
    const ID: &'static str = "c3-failover-log";
    const REQUIREMENT: &'static str =
        "a failover log has 1 to 25 entries, the newest first: seqnos do not increase, and no uuid is 0";
    const CONCERNS: Concerns = Concerns::RESPONSES;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some(log) = failover_log(seen) else { return Ruling::Silent };
        let sorted = log.is_sorted_by(|newer, older| newer.seqno >= older.seqno);
        let named = log.iter().all(|entry| entry.vb_uuid != 0);
        Ruling::of(sorted && named && (1..=25).contains(&log.len()), || {
            let seqnos: Vec<_> = log.iter().take(26).map(|entry| entry.seqno).collect();
            let uuids = if named { "" } else { ", a uuid of 0 among them" };
            (
                "1 to 25 entries, newest first, with uuids".to_owned(),
                format!("{} with seqnos {seqnos:?}{uuids}", log.len()),
            )
        })
    }
}

/// C3, the part that is only customary.
#[derive(Debug, Default)]
pub(super) struct FailoverUuids;

impl Rule for FailoverUuids {
    const ID: &'static str = "c3-failover-uuids-distinct";
    const REQUIREMENT: &'static str = "the uuids of a failover log are distinct";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::RESPONSES;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some(log) = failover_log(seen) else { return Ruling::Silent };
        let mut uuids: Vec<_> = log.iter().map(|entry| entry.vb_uuid).collect();
        uuids.sort_unstable();
        let twice = uuids.windows(2).find_map(|pair| (pair.first() == pair.last()).then(|| pair.first().copied()));
        Ruling::of(twice.is_none(), || {
            let uuid = twice.flatten().unwrap_or_default();
            ("distinct uuids".to_owned(), format!("0x{uuid:x} twice"))
        })
    }
}

/// C4.
#[derive(Debug, Default)]
pub(super) struct RollbackForm;

impl Rule for RollbackForm {
    const ID: &'static str = "c4-rollback";
    const REQUIREMENT: &'static str = "an answer of Rollback has the seqno to go back to, in 8 bytes";
    const CONCERNS: Concerns = Concerns::responses(&[Opcode::DCP_STREAM_REQ]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if !answers_stream_req(seen) || seen.header().status() != Some(Status::ROLLBACK) {
            return Ruling::Silent;
        }
        let decodes = matches!(seen.message(), Some(Message::StreamReqResponse(StreamReqResponse::Rollback { .. })));
        Ruling::of(decodes, || ("8 bytes of value".to_owned(), format!("{}", seen.header().value_len())))
    }
}

/// C4, the part that is only customary.
#[derive(Debug, Default)]
pub(super) struct RollbackBelowStart;

impl Rule for RollbackBelowStart {
    const ID: &'static str = "c4-rollback-below-start";
    const REQUIREMENT: &'static str = "a consumer is not rolled back to above the seqno that it asked to start from";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::RESPONSES;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let before = seen.context.stream.and_then(|stream| stream.before);
        match (seen.message(), before) {
            (Some(Message::StreamReqResponse(StreamReqResponse::Rollback { rollback_seqno })), Some(before)) => {
                Ruling::of(*rollback_seqno <= before.request.start_seqno, || {
                    (format!("at most {}", before.request.start_seqno), rollback_seqno.to_string())
                })
            }
            _ => Ruling::Silent,
        }
    }
}

/// C5. That the first stream goes on shows only while it has something to send.
#[derive(Debug, Default)]
pub(super) struct DuplicateRefused;

impl Rule for DuplicateRefused {
    const ID: &'static str = "c5-duplicate-refused";
    const REQUIREMENT: &'static str = "a STREAM_REQ for a stream that is open is refused with KeyEexists";
    const EXCEPTIONS: &'static str = "a stream that was closed, or ended";
    const CONCERNS: Concerns = Concerns::responses(&[Opcode::DCP_STREAM_REQ]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some(stream) = seen.context.stream.filter(|_| answers_stream_req(seen)) else { return Ruling::Silent };
        match (stream.older, seen.header().status()) {
            (Some(State::Open), Some(Status::KEY_EEXISTS)) => Ruling::Kept,
            (Some(State::Open), Some(Status::SUCCESS)) => {
                Ruling::broken("KeyEexists: the stream is open".to_owned(), "Success".to_owned())
            }
            _ => Ruling::Silent,
        }
    }
}

/// C6.
#[derive(Debug, Default)]
pub(super) struct OpaquesDistinct;

impl Rule for OpaquesDistinct {
    const ID: &'static str = "c6-opaques-distinct";
    const REQUIREMENT: &'static str = "streams that are open at the same time have distinct opaques";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_STREAM_REQ]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some(Message::StreamReq(_)) = seen.message() else { return Ruling::Silent };
        let header = seen.header();
        let key = seen.context.stream.map(|stream| stream.key);
        let mut others = seen.session.streams().with_opaque(header.opaque);
        let other = others.find(|other| other.state.is_live() && Some(other.key) != key).map(|other| other.key.vbucket);
        Ruling::of(other.is_none(), || {
            let vbucket = other.unwrap_or_default();
            ("an opaque of its own".to_owned(), format!("{}, which is vbucket {vbucket}'s too", header.opaque))
        })
    }
}

/// C13.
#[derive(Debug, Default)]
pub(super) struct OnlyErrorsAnswered;

impl Rule for OnlyErrorsAnswered {
    const ID: &'static str = "c13-only-errors-answered";
    const REQUIREMENT: &'static str = "the consumer answers a message that asks for no answer only with an error";
    const EXCEPTIONS: &'static str = "markers with Ack, vbucket states and no-ops";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::RESPONSES;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let header = seen.header();
        if seen.sender != Role::Consumer || !header.is_response() || !dcp::is_stream_message(header.opcode) {
            return Ruling::Silent;
        }
        Ruling::of(!seen.context.unasked || header.status() != Some(Status::SUCCESS), || {
            ("an error or nothing".to_owned(), format!("Success to {}", header.opcode))
        })
    }
}

/// C14. Orphaned responses of the consumer are what the whole tool is about: they are classified, not judged here.
#[derive(Debug, Default)]
pub(super) struct AnswersMatch;

impl Rule for AnswersMatch {
    const ID: &'static str = "c14-answers-match";
    const REQUIREMENT: &'static str =
        "every answer of the producer has the opcode and opaque of a request that awaits one, or is an error";
    const EXCEPTIONS: &'static str = "orphaned responses of the consumer, which are classified; errors to what is answered only on failure; \
         commands with several answers";
    const CONCERNS: Concerns = Concerns::RESPONSES;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let header = seen.header();
        if seen.sender != Role::Producer || !header.is_response() || header.opcode == Opcode::DCP_STREAM_REQ {
            return Ruling::Silent;
        }
        // These have several answers each.
        let scans = [Opcode::RANGE_SCAN_CREATE, Opcode::RANGE_SCAN_CONTINUE, Opcode::RANGE_SCAN_CANCEL, Opcode::STAT];
        if scans.contains(&header.opcode) {
            return Ruling::Silent;
        }
        // Requests that are answered only on failure: BUFFER_ACK, SEQNO_ACK, the quiet commands.
        let refuses = !dcp::expects_answer(header.opcode) && header.status() != Some(Status::SUCCESS);
        Ruling::of(!seen.context.unasked || refuses, || {
            ("a request that it answers".to_owned(), format!("{} {} that none awaits", header.opcode, header.opaque))
        })
    }
}

/// C15.
#[derive(Debug, Default)]
pub(super) struct SeqnoAckOfStream;

impl Rule for SeqnoAckOfStream {
    const ID: &'static str = "c15-seqno-ack-of-stream";
    const REQUIREMENT: &'static str = "SEQNO_ACK has the vbucket of the stream that its opaque names";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_SEQNO_ACK]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let (Some(Message::SeqnoAck(_)), Some(stream)) = (seen.message(), seen.context.stream) else {
            return Ruling::Silent;
        };
        if seen.sender != Role::Consumer {
            return Ruling::Silent;
        }
        let known = match stream.owner {
            Owner::Current(_) | Owner::Requested | Owner::Gone(_) => true,
            Owner::OtherOpaque(_) | Owner::Unknown => false,
        };
        Ruling::of(known, || {
            let found = format!("{} for vbucket {}", seen.header().opaque, stream.key.vbucket);
            ("the opaque and vbucket of one stream".to_owned(), found)
        })
    }
}

#[cfg(test)]
mod tests;
