use super::*;

/// The cut stream is requested again and answered so; then `rest`, and the tool closes it and settles.
fn resumed(status: Status, rest: impl FnOnce(&mut Stage)) -> Option<(Verdict, String)> {
    let mut stage = Stage::cut(acting());
    stage.said(mutation(1, OPAQUE, 4));
    stage.close(0x9001);
    stage.said(stream_end(1, OPAQUE, 1));
    stage.resume(status);
    rest(&mut stage);
    stage.end_replay();
    stage.settle();
    stage.found(RESUMES)
}

fn verdict(rest: impl FnOnce(&mut Stage)) -> Option<Verdict> {
    resumed(Status::SUCCESS, rest).map(|(verdict, _)| verdict)
}

#[test]
fn it_goes_on_behind_where_the_consumer_was() {
    let all = verdict(|stage| {
        stage.said(marker(1, REPLAY, 0, 20));
        stage.said(mutation(1, REPLAY, 2));
        stage.said(mutation(1, REPLAY, 4));
    });
    assert_eq!(all, Some(Pass));
    // What was changed meanwhile comes with a higher seqno only.
    let deduplicated = verdict(|stage| _ = stage.said(mutation(1, REPLAY, 9)));
    assert_eq!(deduplicated, Some(Pass));
    assert_eq!(Stage::cut(acting()).verdict(RESUMES), None, "it was not requested again");
}

#[test]
fn the_message_that_the_step_fired_at_must_come_again_too() {
    let mut stage = Stage::cut(acting());
    stage.close(0x9001);
    stage.said(stream_end(1, OPAQUE, 1));
    stage.resume(Status::SUCCESS);
    stage.wait_ms(7000);
    stage.end_replay();
    stage.settle();
    assert_eq!(stage.verdict(RESUMES), Some(Fail));
}

#[test]
fn what_the_consumer_had_already_is_not_to_come_again() {
    let (verdict, actual) = resumed(Status::SUCCESS, |stage| _ = stage.said(mutation(1, REPLAY, 1))).unwrap();
    assert!(verdict == Fail && actual.contains("seqno 1"), "{actual}");
}

#[test]
fn a_seqno_keeps_its_key() {
    let keyed = |hash| {
        verdict(|stage| {
            let mut head = mutation(1, REPLAY, 4);
            head.key_hash = hash;
            stage.said(head);
        })
    };
    assert_eq!((keyed(4), keyed(5)), (Some(Pass), Some(Fail)));
    let keyless = verdict(|stage| {
        let message = Message::SeqnoAdvanced(dcp::SeqnoAdvanced { by_seqno: 4 });
        stage.said(request(Opcode::DCP_SEQNO_ADVANCED, 1, REPLAY, message));
    });
    assert_eq!(keyless, Some(Pass), "a message without a key is of no other");
}

#[test]
fn silence_is_a_failure_though_its_close_is_answered_with_an_end() {
    assert_eq!(verdict(|stage| stage.wait_ms(7000)), Some(Fail));
    let some = verdict(|stage| {
        stage.said(mutation(1, REPLAY, 2));
        stage.wait_ms(7000);
    });
    assert_eq!(some, Some(Fail));
}

#[test]
fn a_slow_one_is_not_said_to_have_stopped() {
    let slow = verdict(|stage| {
        stage.wait_ms(9000);
        stage.said(mutation(1, REPLAY, 2));
        stage.wait_ms(1000);
    });
    assert_eq!(slow, Some(Inconclusive));
}

#[test]
fn a_full_window_and_a_pause_excuse_it() {
    let full = verdict(|stage| {
        stage.told(control(4, "connection_buffer_size", "100"));
        stage.said(plain(Opcode::DCP_CONTROL, Status::SUCCESS, 4));
        stage.wait_ms(9000);
    });
    let paused = verdict(|stage| {
        stage.happens(Direction::From, Origin::Tool, What::Paused(true));
        stage.wait_ms(9000);
    });
    assert_eq!((full, paused), (Some(Inconclusive), Some(Inconclusive)));
}

#[test]
fn an_end_of_its_own_is_no_evidence_of_going_on() {
    let ended = verdict(|stage| _ = stage.said(stream_end(1, REPLAY, 2)));
    assert_eq!(ended, Some(Inconclusive));
}

#[test]
fn a_refusal_is_a_failure_unless_the_vbucket_is_not_to_be_had() {
    let refused = |status| resumed(status, |_| ()).map(|(verdict, _)| verdict);
    assert_eq!(refused(Status::KEY_EEXISTS), Some(Fail), "the stream is still there");
    assert_eq!(refused(Status::ERANGE), Some(Fail));
    for status in [Status::NOT_MY_VBUCKET, Status::ROLLBACK, Status::ETMPFAIL, Status::UNKNOWN_COLLECTION] {
        assert_eq!(refused(status), Some(Inconclusive), "{status}");
    }
}

#[test]
fn no_answer_is_no_evidence() {
    let mut stage = Stage::cut(acting());
    stage.acted(Act::Resuming { cut: op(OPAQUE), opaque: op(REPLAY), start_seqno: 1 });
    stage.told_by_tool(stream_req(1, REPLAY, 1));
    // That the consumer asks for another vbucket is not its answer.
    stage.told(stream_req(3, 30, 0));
    stage.said(stream_ok(30));
    stage.settle();
    assert_eq!(stage.verdict(RESUMES), Some(Inconclusive));
}
