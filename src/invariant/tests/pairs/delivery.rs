//! Sections G and I.

use super::*;
use crate::dcp::SetVbucketState;
use crate::dcp::SnapshotMarker;
use crate::wire::Opcode;
use crate::wire::Status;

const ACK: u32 = SnapshotMarker::MEMORY | SnapshotMarker::ACK;

/// A stream with a window of 100 bytes; a mutation is charged 74, a marker 44.
fn windowed(heads: &[FrameHead]) -> Script {
    let script = Script::with(&[], dcp::Open::PRODUCER, &[("connection_buffer_size", "100")]);
    on(script, heads)
}

fn acked(heads: &[FrameHead], after_ms: u64, bytes: u32) -> Script {
    let mut script = windowed(heads);
    script.wait_ms(after_ms);
    script.c(buffer_ack(bytes));
    script
}

/// The window is full when the consumer asks; it opens after so long, before the answer or after it.
fn noop_in_full_window(after_ms: u64, blocked: bool) -> Script {
    let mut script = windowed(&[marker(1, 10, 0, 9), mutation(1, 10, 1)]);
    script.c(request(Opcode::NOOP, 0, 9, Message::Noop(dcp::Noop)));
    script.wait_ms(after_ms);
    if blocked {
        script.c(buffer_ack(118));
    }
    script.p(plain(Opcode::NOOP, Status::SUCCESS, 9));
    script
}

fn full_for(ms: u64) -> Script {
    let mut script = windowed(&[marker(1, 10, 0, 9), mutation(1, 10, 1)]);
    script.wait_ms(ms);
    script.p(request(Opcode::DCP_NOOP, 0, 5, Message::DcpNoop(dcp::DcpNoop)));
    script
}

fn prepared(bytes: u32) -> Script {
    let script = with(&[("enable_sync_writes", "true"), ("connection_buffer_size", "1000")]);
    let mut script = on(script, &[marker(1, 10, 0, 9), prepare(1, 10, 1, 7)]);
    script.c(buffer_ack(bytes));
    script
}

/// What happens on a takeover stream.
enum Step {
    Produced(FrameHead),
    Answered(Opcode),
}

fn set(state: u8) -> Step {
    Step::Produced(request(Opcode::DCP_SET_VBUCKET_STATE, 1, 10, Message::SetVbucketState(SetVbucketState { state })))
}

fn takeover(steps: Vec<Step>) -> Script {
    let mut script = asking(Script::opened(), |request| request.flags = StreamReq::TAKEOVER);
    for step in steps {
        match step {
            Step::Produced(head) => script.p(head),
            Step::Answered(opcode) => script.c(plain(opcode, Status::SUCCESS, 10)),
        };
    }
    script
}

pub(super) fn pairs() -> Vec<Pair> {
    let s = || marker(1, 10, 0, 9);
    let m = |seqno| mutation(1, 10, seqno);
    let answered = || Step::Answered(Opcode::DCP_SET_VBUCKET_STATE);
    let marked = |flags| Step::Produced(marker_with(1, 10, 0, 1, flags));
    let item = || Step::Produced(mutation(1, 10, 1));
    let end = || Step::Produced(stream_end(1, 10, 0));
    let (pending, active) = (SetVbucketState::PENDING, SetVbucketState::ACTIVE);
    vec![
        pair("g1-window-respected", windowed(&[s(), m(1)]), windowed(&[s(), m(1), m(2)])),
        pair("g2-prepare-charge", prepared(44 + 76), prepared(44 + 74)),
        pair("g3-acks-below-charges", acked(&[s(), m(1)], 0, 118), acked(&[s(), m(1)], 0, 119)),
        pair("g4-acks-in-time", acked(&[s(), m(1)], 1_000, 118), acked(&[s(), m(1)], 7_000, 118)),
        pair("g5-ack-of-something", acked(&[s(), m(1)], 0, 1), acked(&[s(), m(1)], 0, 0)),
        pair("g6-not-blocked-by-window", noop_in_full_window(1, false), noop_in_full_window(6_000, true)),
        pair("g7-all-acked", acked(&[s(), m(1)], 0, 118), full_for(7_000)),
        pair(
            "i1-vbucket-states",
            takeover(vec![set(pending), answered(), set(active), answered(), end()]),
            takeover(vec![set(pending), set(active)]),
        ),
        pair(
            "i2-markers-acked",
            takeover(vec![marked(ACK), item(), Step::Answered(Opcode::DCP_SNAPSHOT_MARKER), set(pending)]),
            takeover(vec![marked(ACK), item(), set(pending)]),
        ),
        pair(
            "i3-takeover-ends",
            takeover(vec![set(pending), answered(), set(active), answered(), end()]),
            takeover(vec![set(pending), answered(), set(active), end()]),
        ),
    ]
}
