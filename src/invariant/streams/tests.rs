use super::super::rule::verdicts;
use super::*;
use crate::dcp::FrameHead;
use crate::session::script::*;
use crate::verdict::Verdict;

const PASS: Option<Verdict> = Some(Verdict::Pass);
const FAIL: Option<Verdict> = Some(Verdict::Fail);

fn answer(opaque: u32, status: Status, response_of: StreamReqResponse) -> FrameHead {
    response(Opcode::DCP_STREAM_REQ, status, opaque, Message::StreamReqResponse(response_of))
}

#[test]
fn messages_belong_to_streams_that_were_opened() {
    type R = OfAStream;
    let mut script = Script::opened();
    script.stream(1, 10, 0);
    script.p(mutation(1, 10, 1));
    script.c(close_stream(1, 77));
    script.p(mutation(1, 10, 2));
    script.p(plain(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS, 77));
    script.p(mutation(1, 10, 3));
    assert_eq!(verdicts::<R>(&script).0, PASS, "what lingers is legal");
    for (vbucket, opaque) in [(2, 10), (1, 11)] {
        let mut script = Script::opened();
        script.stream(1, 10, 0);
        script.p(mutation(vbucket, opaque, 1));
        assert_eq!(verdicts::<R>(&script).0, FAIL, "{vbucket} {opaque}");
    }
    let mut script = Script::opened();
    script.c(stream_req(1, 10, 0));
    script.p(plain(Opcode::DCP_STREAM_REQ, Status::NOT_MY_VBUCKET, 10));
    script.p(mutation(1, 10, 1));
    assert_eq!(verdicts::<R>(&script).0, FAIL);
    let mut script = Script::opened();
    script.stream(1, 10, 0);
    script.c(close_stream(1, 77));
    script.p(plain(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS, 77));
    script.stream(1, 11, 0);
    script.p(mutation(1, 10, 1));
    assert_ne!(verdicts::<R>(&script).0, FAIL, "what was queued before the close, after the new one was opened");
}

#[test]
fn one_answer_to_a_request_and_nothing_before_it() {
    let mut script = Script::opened();
    script.stream(1, 10, 0);
    script.p(mutation(1, 10, 1));
    assert_eq!((verdicts::<OneAnswer>(&script).0, verdicts::<NothingBeforeAnswer>(&script).0), (PASS, PASS));
    script.p(plain(Opcode::DCP_STREAM_REQ, Status::NOT_MY_VBUCKET, 10));
    assert_eq!(verdicts::<OneAnswer>(&script).0, FAIL);
    let mut script = Script::opened();
    script.c(stream_req(1, 10, 0));
    script.p(mutation(1, 10, 1));
    script.p(stream_ok(10));
    assert_eq!(verdicts::<NothingBeforeAnswer>(&script).0, FAIL);
    assert_eq!(verdicts::<OfAStream>(&script).0, None, "one breach, one rule");
}

#[test]
fn failover_logs() {
    let log_of = |entries: &[(u64, u64)]| {
        let log = entries.iter().map(|&(vb_uuid, seqno)| FailoverEntry { vb_uuid, seqno }).collect();
        let mut script = Script::opened();
        script.c(stream_req(1, 10, 0));
        script.p(answer(10, Status::SUCCESS, StreamReqResponse::FailoverLog(log)));
        (verdicts::<FailoverLogForm>(&script).0, verdicts::<FailoverUuids>(&script).0)
    };
    assert_eq!(log_of(&[(9, 20), (8, 20), (7, 0)]), (PASS, PASS));
    assert_eq!(log_of(&[(9, 20), (8, 21)]), (FAIL, PASS));
    assert_eq!(log_of(&[(0, 20)]), (FAIL, PASS));
    assert_eq!(log_of(&[]), (FAIL, PASS));
    let many: Vec<_> = (1..=26).map(|uuid| (uuid, 0)).collect();
    assert_eq!(log_of(&many), (FAIL, PASS));
    assert_eq!(log_of(&[(9, 20), (8, 10), (9, 0)]), (PASS, FAIL));
}

#[test]
fn rollbacks() {
    for (head, form, below) in [
        (answer(10, Status::ROLLBACK, StreamReqResponse::Rollback { rollback_seqno: 5 }), PASS, PASS),
        (answer(10, Status::ROLLBACK, StreamReqResponse::Rollback { rollback_seqno: 6 }), PASS, FAIL),
        (
            FrameHead {
                message: Err(dcp::Malformed("short".to_owned())),
                ..plain(Opcode::DCP_STREAM_REQ, Status::ROLLBACK, 10)
            },
            FAIL,
            None,
        ),
    ] {
        let mut script = Script::opened();
        script.c(stream_req(1, 10, 5));
        script.p(head);
        assert_eq!((verdicts::<RollbackForm>(&script).0, verdicts::<RollbackBelowStart>(&script).0), (form, below));
    }
}

#[test]
fn a_duplicate_is_refused() {
    for (status, expected) in [(Status::KEY_EEXISTS, PASS), (Status::SUCCESS, FAIL)] {
        let mut script = Script::opened();
        script.stream(1, 10, 0);
        script.c(stream_req(1, 11, 0));
        script.p(plain(Opcode::DCP_STREAM_REQ, status, 11));
        assert_eq!(verdicts::<DuplicateRefused>(&script).0, expected);
    }
    let mut script = Script::opened();
    script.stream(1, 10, 0);
    script.c(close_stream(1, 77));
    script.p(plain(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS, 77));
    script.stream(1, 11, 0);
    assert_eq!(verdicts::<DuplicateRefused>(&script).0, None, "a closed stream may be requested again");
}

#[test]
fn opaques_of_open_streams_are_distinct() {
    let mut script = Script::opened();
    script.stream(1, 10, 0);
    script.stream(2, 20, 0);
    script.p(stream_end(1, 10, 0));
    script.stream(3, 10, 0);
    assert_eq!(verdicts::<OpaquesDistinct>(&script).1, PASS);
    script.c(stream_req(4, 20, 0));
    assert_eq!(verdicts::<OpaquesDistinct>(&script).1, FAIL);
}

#[test]
fn answers_to_what_nobody_asked() {
    let mut script = Script::opened();
    script.stream(1, 10, 0);
    script.p(marker_with(1, 10, 1, 2, dcp::SnapshotMarker::ACK));
    script.c(plain(Opcode::DCP_SNAPSHOT_MARKER, Status::SUCCESS, 10));
    script.c(plain(Opcode::DCP_MUTATION, Status::KEY_ENOENT, 10));
    script.p(plain(Opcode::DCP_SEQNO_ACK, Status::NOT_MY_VBUCKET, 10));
    assert_eq!((verdicts::<OnlyErrorsAnswered>(&script).1, verdicts::<AnswersMatch>(&script).0), (PASS, PASS));
    let mut other = Script::opened();
    other.stream(1, 10, 0);
    other.c(plain(Opcode::DCP_MUTATION, Status::SUCCESS, 10));
    other.p(plain(Opcode::DCP_CONTROL, Status::SUCCESS, 99));
    assert_eq!((verdicts::<OnlyErrorsAnswered>(&other).1, verdicts::<AnswersMatch>(&other).0), (FAIL, FAIL));
}

#[test]
fn seqno_acks_name_one_stream() {
    for (vbucket, opaque, expected) in [(1, 10, PASS), (2, 10, FAIL), (1, 11, FAIL)] {
        let mut script = Script::opened();
        script.stream(1, 10, 0);
        let ack = Message::SeqnoAck(dcp::SeqnoAck { prepared_seqno: 1 });
        script.c(request(Opcode::DCP_SEQNO_ACK, vbucket, opaque, ack));
        assert_eq!(verdicts::<SeqnoAckOfStream>(&script).1, expected, "{vbucket} {opaque}");
    }
}
