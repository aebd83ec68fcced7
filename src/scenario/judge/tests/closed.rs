use super::*;

/// Stream 1 was closed by the tool, the producer said so, and `rest` followed.
fn closed(rest: impl FnOnce(&mut Stage)) -> Option<Verdict> {
    let mut stage = Stage::cut(acting());
    stage.close(0x9001);
    rest(&mut stage);
    stage.verdict(CLOSED)
}

fn end(stage: &mut Stage) {
    stage.said(stream_end(1, OPAQUE, 1));
}

#[test]
fn what_comes_before_the_end_may_linger_and_nothing_may_after() {
    assert_eq!(Stage::handled(acting()).verdict(CLOSED), Some(Pass));
    let lingering = closed(|stage| {
        stage.said(mutation(1, OPAQUE, 3));
        end(stage);
    });
    assert_eq!(lingering, Some(Pass));
    for head in [mutation(1, OPAQUE, 3), marker(1, OPAQUE, 21, 22), stream_end(1, OPAQUE, 1)] {
        let after = closed(|stage| {
            end(stage);
            stage.said(head);
        });
        assert_eq!(after, Some(Fail));
    }
}

#[test]
fn the_tools_own_stream_stays_closed_too() {
    let mut stage = Stage::handled(acting());
    stage.said(mutation(1, REPLAY, 3));
    assert_eq!(stage.verdict(CLOSED), Some(Fail));
}

#[test]
fn nothing_is_said_where_nothing_ended() {
    assert_eq!(Stage::cut(acting()).verdict(CLOSED), None);
    // Steps that close nothing, and an opaque that is used again, are no evidence.
    let mut stage = Stage::flowing(acting());
    stage.fire(false);
    stage.told(stream_req(1, OPAQUE, 2));
    stage.settle();
    assert_eq!(stage.verdict(CLOSED), None);
}

#[test]
fn an_opaque_that_is_used_again_begins_anew() {
    let again = closed(|stage| {
        end(stage);
        stage.told(stream_req(1, OPAQUE, 2));
        stage.said(stream_ok(OPAQUE));
        stage.said(marker(1, OPAQUE, 2, 20));
        stage.said(mutation(1, OPAQUE, 3));
    });
    assert_eq!(again, Some(Pass));
}

#[test]
fn what_belongs_to_another_stream_of_the_same_opaque_is_not_meant() {
    let other = closed(|stage| {
        end(stage);
        stage.told(stream_req(3, OPAQUE, 0));
        stage.said(stream_ok(OPAQUE));
        stage.said(mutation(3, OPAQUE, 1));
    });
    assert_eq!(other, Some(Pass));
}

#[test]
fn of_two_streams_with_ids_and_one_opaque_one_may_go_on() {
    let controls = [("send_stream_end_on_client_close_stream", "true"), ("enable_stream_id", "true")];
    let mut stage = Stage::with(acting(), Open::PRODUCER, &controls);
    for sid in [1, 2] {
        let mut head = stream_req(1, OPAQUE, 0);
        if let Ok(Message::StreamReq(request)) = &mut head.message {
            request.value = Some(Box::new(dcp::StreamReqValue { sid: Some(sid), ..Default::default() }));
        }
        stage.told(head);
        stage.said(stream_ok(OPAQUE));
    }
    let with = |sid, mut head: FrameHead| {
        head.stream_id = sid;
        head
    };
    stage.acted(Act::Fired {
        step: "cut".into(),
        vbucket: 1,
        stream_id: Some(1),
        opaque: op(OPAQUE),
        seqno: 0,
        cut: true,
    });
    stage.said(with(Some(1), stream_end(1, OPAQUE, 2)));
    stage.said(with(Some(2), mutation(1, OPAQUE, 1)));
    // 6.5.0 hides the stream id of deletions.
    stage.said(with(None, mutation(1, OPAQUE, 2)));
    assert_eq!(stage.verdict(CLOSED), Some(Pass));
    stage.said(with(Some(1), mutation(1, OPAQUE, 3)));
    assert_eq!(stage.verdict(CLOSED), Some(Fail));
}

#[test]
fn an_end_is_owed_once_the_close_was_granted_and_there_was_room_and_time() {
    let owed = |rest: fn(&mut Stage)| {
        closed(|stage| {
            stage.acted(Act::Settling);
            rest(stage);
            stage.acted(Act::Settled);
        })
    };
    assert_eq!(owed(|stage| stage.wait_ms(2000)), Some(Fail));
    assert_eq!(owed(|stage| stage.wait_ms(1000)), None, "there was no time");
    let lingering = owed(|stage| {
        stage.wait_ms(1900);
        stage.said(mutation(1, OPAQUE, 3));
        stage.wait_ms(1000);
    });
    assert_eq!(lingering, None, "it is slow, and alive");
    let full = |freed: bool| {
        closed(|stage| {
            stage.told(control(4, "connection_buffer_size", "100"));
            stage.said(plain(Opcode::DCP_CONTROL, Status::SUCCESS, 4));
            stage.wait_ms(9000);
            if freed {
                stage.ask();
                stage.told(buffer_ack(5000));
            }
            stage.acted(Act::Settled);
        })
    };
    assert_eq!((full(false), full(true)), (None, None), "the window was full till then");
    let paused = owed(|stage| {
        stage.happens(Direction::From, Origin::Tool, What::Paused(true));
        stage.wait_ms(9000);
    });
    assert_eq!(paused, None);
}

#[test]
fn a_close_that_is_refused_owes_no_end_and_one_unanswered_is_no_evidence() {
    let with = |status: Option<Status>, control: &str| {
        let mut stage = Stage::with(acting(), Open::PRODUCER, &[(control, "true")]);
        stage.told(stream_req(1, OPAQUE, 0));
        stage.said(stream_ok(OPAQUE));
        stage.fire(false);
        stage.told_by_tool(close_stream(1, 0x9001));
        if let Some(status) = status {
            stage.answered(plain(Opcode::DCP_CLOSE_STREAM, status, 0x9001));
        }
        stage.wait_ms(9000);
        stage.acted(Act::Settled);
        stage.verdict(CLOSED)
    };
    const ENDS: &str = "send_stream_end_on_client_close_stream";
    assert_eq!(with(Some(Status::SUCCESS), ENDS), Some(Fail));
    assert_eq!(with(Some(Status::KEY_ENOENT), ENDS), None);
    assert_eq!(with(None, ENDS), Some(Inconclusive));
    assert_eq!(with(Some(Status::SUCCESS), "enable_noop"), None, "STREAM_END was not agreed on");
}
