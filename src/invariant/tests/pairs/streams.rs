//! Section C.

use super::*;
use crate::dcp::FailoverEntry;
use crate::dcp::StreamReqResponse;
use crate::wire::Opcode;
use crate::wire::Status;

fn answered(response_of: FrameHead) -> Script {
    let mut script = Script::opened();
    script.c(stream_req(1, 10, 5));
    script.p(response_of);
    script
}

fn log(entries: &[(u64, u64)]) -> FrameHead {
    let log = entries.iter().map(|&(vb_uuid, seqno)| FailoverEntry { vb_uuid, seqno }).collect();
    let message = Message::StreamReqResponse(StreamReqResponse::FailoverLog(log));
    response(Opcode::DCP_STREAM_REQ, Status::SUCCESS, 10, message)
}

fn rollback(rollback_seqno: u64) -> FrameHead {
    let message = Message::StreamReqResponse(StreamReqResponse::Rollback { rollback_seqno });
    response(Opcode::DCP_STREAM_REQ, Status::ROLLBACK, 10, message)
}

fn requested_again(answer: FrameHead) -> Script {
    let mut script = plainly(&[]);
    script.c(stream_req(1, 11, 0));
    script.p(answer);
    script
}

fn closed(controls: &[(&str, &str)], status: Status, heads: &[FrameHead]) -> Script {
    let mut script = on(with(controls), &[]);
    script.c(close_stream(1, 77));
    script.p(plain(Opcode::DCP_CLOSE_STREAM, status, 77));
    p(script, heads)
}

fn until(end_seqno: u64, heads: &[FrameHead]) -> Script {
    let script = asking(Script::opened(), |request| request.end_seqno = end_seqno);
    p(script, &[&[marker(1, 10, 0, 4), mutation(1, 10, 4)], heads].concat())
}

fn two_streams(opaque: u32) -> Script {
    let mut script = plainly(&[]);
    script.stream(2, opaque, 0);
    script
}

fn consumer_says(head: FrameHead) -> Script {
    let mut script = plainly(&[marker(1, 10, 0, 9), mutation(1, 10, 1)]);
    script.c(head);
    script
}

fn acks_seqno(vbucket: u16) -> Script {
    let mut script = on(replication(), &[marker(1, 10, 0, 9), mutation(1, 10, 1)]);
    script.c(seqno_ack(vbucket, 10, 1));
    script
}

fn before_answer() -> Script {
    let mut script = Script::opened();
    script.c(stream_req(1, 10, 0));
    script.p(marker(1, 10, 0, 9));
    script.p(stream_ok(10));
    script
}

pub(super) fn pairs() -> Vec<Pair> {
    let s = || marker(1, 10, 0, 9);
    let m = |seqno| mutation(1, 10, seqno);
    let promise = [("send_stream_end_on_client_close_stream", "true")];
    let ended = |heads: &[FrameHead]| plainly(&[&[s(), m(9), stream_end(1, 10, 0)], heads].concat());
    let short = malformed(plain(Opcode::DCP_STREAM_REQ, Status::ROLLBACK, 10), "expected 8 bytes of value, found 4");
    vec![
        pair("c1-messages-of-a-stream", plainly(&[s(), m(1)]), plainly(&[s(), mutation(2, 10, 1)])),
        pair("c2-one-answer", plainly(&[]), plainly(&[plain(Opcode::DCP_STREAM_REQ, Status::EINVAL, 10)])),
        pair("c2-nothing-before-answer", plainly(&[s()]), before_answer()),
        pair("c3-failover-log", answered(log(&[(9, 20), (7, 0)])), answered(log(&[(9, 20), (7, 21)]))),
        pair("c3-failover-uuids-distinct", answered(log(&[(9, 20), (7, 0)])), answered(log(&[(9, 20), (9, 0)]))),
        pair("c4-rollback", answered(rollback(5)), answered(short)),
        pair("c4-rollback-below-start", answered(rollback(5)), answered(rollback(6))),
        pair(
            "c5-duplicate-refused",
            requested_again(plain(Opcode::DCP_STREAM_REQ, Status::KEY_EEXISTS, 11)),
            requested_again(stream_ok(11)),
        ),
        pair("c6-opaques-distinct", two_streams(20), two_streams(10)),
        pair("c7-nothing-after-stream-end", ended(&[]), ended(&[m(10)])),
        pair("c8-one-stream-end", ended(&[]), ended(&[stream_end(1, 10, 0)])),
        pair(
            "c9-close-then-end",
            closed(&promise, Status::SUCCESS, &[stream_end(1, 10, 1)]),
            closed(&[], Status::SUCCESS, &[stream_end(1, 10, 1)]),
        ),
        pair("c10-close-knows-stream", closed(&[], Status::SUCCESS, &[]), closed(&[], Status::KEY_ENOENT, &[])),
        pair("c11-end-reasons", ended(&[]), plainly(&[stream_end(1, 10, 3)])),
        pair("c12-end-at-end-seqno", until(4, &[stream_end(1, 10, 0)]), until(4, &[marker(1, 10, 5, 9)])),
        pair(
            "c13-only-errors-answered",
            consumer_says(plain(Opcode::DCP_MUTATION, Status::KEY_ENOENT, 10)),
            consumer_says(plain(Opcode::DCP_MUTATION, Status::SUCCESS, 10)),
        ),
        pair(
            "c14-answers-match",
            closed(&[], Status::SUCCESS, &[]),
            plainly(&[plain(Opcode::DCP_CONTROL, Status::SUCCESS, 99)]),
        ),
        pair("c15-seqno-ack-of-stream", acks_seqno(1), acks_seqno(2)),
    ]
}
