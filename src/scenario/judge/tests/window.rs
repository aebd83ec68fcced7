use super::*;

/// The window is narrowed so that 100 bytes are free, the stream requested again, then `rest`, then it is widened.
fn narrowed(rest: impl FnOnce(&mut Stage)) -> Option<Verdict> {
    let mut stage = Stage::cut(acting());
    stage.said(mutation(1, OPAQUE, 9));
    stage.close(0x9001);
    stage.said(stream_end(1, OPAQUE, 1));
    let window = stage.session.flow().outstanding() + 100;
    stage.told_by_tool(control(5, "connection_buffer_size", &window.to_string()));
    stage.answered(plain(Opcode::DCP_CONTROL, Status::SUCCESS, 5));
    stage.acted(Act::Narrowed(Some(u32::try_from(window).unwrap())));
    stage.resume(Status::SUCCESS);
    rest(&mut stage);
    stage.acted(Act::Narrowed(None));
    stage.told_by_tool(control(6, "connection_buffer_size", WINDOW));
    stage.answered(plain(Opcode::DCP_CONTROL, Status::SUCCESS, 6));
    stage.verdict(RESTORED)
}

/// Two NOOPs are asked, and answered, over six seconds.
fn silence(stage: &mut Stage) {
    stage.wait_ms(5000);
    stage.prove();
    stage.wait_ms(850);
    stage.prove();
}

#[test]
fn a_window_that_can_be_filled_is_restored() {
    let filled = narrowed(|stage| {
        stage.said(mutation(1, REPLAY, 2));
        stage.said(mutation(1, REPLAY, 3));
        silence(stage);
    });
    assert_eq!(filled, Some(Pass));
}

#[test]
fn one_that_stops_with_room_and_more_to_come_has_lost_bytes() {
    assert_eq!(narrowed(silence), Some(Fail));
    let some = narrowed(|stage| {
        stage.said(mutation(1, REPLAY, 2));
        silence(stage);
    });
    assert_eq!(some, Some(Fail));
}

#[test]
fn what_came_before_the_window_was_full_says_nothing() {
    let all = narrowed(|stage| {
        stage.said(mutation(1, REPLAY, 9));
        silence(stage);
    });
    assert_eq!(all, None);
    assert_eq!(Stage::handled(acting()).verdict(RESTORED), None, "it was never narrowed");
}

#[test]
fn silence_must_last_and_be_proven() {
    let short = narrowed(|stage| {
        stage.prove();
        stage.prove();
    });
    assert_eq!(short, None, "a backfill takes its time");
    let unproven = narrowed(|stage| stage.wait_ms(9000));
    assert_eq!(unproven, None);
    let broken = narrowed(|stage| {
        silence(stage);
        stage.go_on();
    });
    assert_eq!(broken, None, "it was not silent");
    let given_back = narrowed(|stage| {
        silence(stage);
        stage.told(buffer_ack(50));
    });
    assert_eq!(given_back, None, "it may need a moment to go on");
}

#[test]
fn a_full_window_is_no_stop() {
    // Others fill it before the tool's stream brings anything, and the consumer acknowledges nothing.
    let full = narrowed(|stage| {
        stage.session.observe(&Entry {
            at: Timestamp(1),
            edge: Side::Upstream,
            direction: Direction::From,
            origin: Origin::Peer,
            what: What::Frame(mutation(2, 20, 8)),
        });
        stage.session.observe(&Entry {
            at: Timestamp(1),
            edge: Side::Upstream,
            direction: Direction::From,
            origin: Origin::Peer,
            what: What::Frame(mutation(2, 20, 9)),
        });
        silence(stage);
    });
    assert_ne!(full, Some(Fail));
}

#[test]
fn a_window_that_the_consumer_changes_is_another() {
    for window in ["50", "0", "5000"] {
        let changed = narrowed(|stage| {
            stage.told(control(7, "connection_buffer_size", window));
            stage.said(plain(Opcode::DCP_CONTROL, Status::SUCCESS, 7));
            silence(stage);
        });
        assert_eq!(changed, None, "{window}");
    }
}

#[test]
fn a_pause_and_an_end_excuse_it() {
    let paused = narrowed(|stage| {
        stage.happens(Direction::From, Origin::Tool, What::Paused(true));
        silence(stage);
    });
    let resumed = narrowed(|stage| {
        silence(stage);
        stage.happens(Direction::From, Origin::Tool, What::Paused(true));
        stage.happens(Direction::From, Origin::Tool, What::Paused(false));
    });
    assert_eq!((paused, resumed), (None, None));
    let ended = narrowed(|stage| {
        stage.said(stream_end(1, REPLAY, 2));
        silence(stage);
    });
    assert_eq!(ended, None);
}
