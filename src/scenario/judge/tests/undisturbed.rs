use super::*;

#[test]
fn others_that_go_on_in_order_pass() {
    let mut stage = Stage::handled(acting());
    assert_eq!(stage.verdict(UNDISTURBED), Some(Pass));
}

#[test]
fn nothing_is_said_of_others_that_are_not_there_or_say_nothing() {
    let mut stage = Stage::cut(acting());
    assert_eq!(stage.verdict(UNDISTURBED), None);
    stage.go_on();
    assert_eq!(stage.verdict(UNDISTURBED), Some(Pass));
}

#[test]
fn a_seqno_again_is_a_failure_and_one_skipped_is_not() {
    let mut stage = Stage::cut(acting());
    stage.said(mutation(2, 20, 5));
    assert_eq!(stage.verdict(UNDISTURBED), Some(Pass));
    stage.said(mutation(2, 20, 5));
    assert_eq!(stage.verdict(UNDISTURBED), Some(Fail));
}

#[test]
fn the_cut_stream_and_the_tools_own_are_not_others() {
    let mut stage = Stage::cut(acting());
    stage.said(mutation(1, OPAQUE, 1));
    stage.close(0x9001);
    stage.said(stream_end(1, OPAQUE, 1));
    stage.resume(Status::SUCCESS);
    stage.said(mutation(1, REPLAY, 2));
    stage.said(mutation(1, REPLAY, 2));
    assert_eq!(stage.verdict(UNDISTURBED), None);
}

#[test]
fn a_stream_that_the_consumer_opens_with_a_cut_ones_opaque_is_its_own() {
    let mut stage = Stage::handled(acting());
    stage.told(stream_req(1, OPAQUE, 1));
    stage.said(stream_ok(OPAQUE));
    stage.said(marker(1, OPAQUE, 0, 20));
    stage.said(mutation(1, OPAQUE, 2));
    assert_eq!(stage.verdict(UNDISTURBED), Some(Pass));
    stage.said(mutation(1, OPAQUE, 2));
    assert_eq!(stage.verdict(UNDISTURBED), Some(Fail));
}

#[test]
fn an_oso_snapshot_has_no_order() {
    let mut stage = Stage::cut(acting());
    let oso = |flags| request(Opcode::DCP_OSO_SNAPSHOT, 2, 20, Message::OsoSnapshot(dcp::OsoSnapshot { flags }));
    stage.said(oso(1));
    for seqno in [9, 4, 7] {
        stage.said(mutation(2, 20, seqno));
    }
    stage.said(oso(2));
    assert_eq!(stage.verdict(UNDISTURBED), Some(Pass));
    stage.said(mutation(2, 20, 8));
    assert_eq!(stage.verdict(UNDISTURBED), Some(Fail));
}

#[test]
fn a_stream_that_starts_over_after_a_rollback_repeats_nothing() {
    let mut stage = Stage::cut(acting());
    stage.said(mutation(2, 20, 5));
    stage.said(stream_end(2, 20, 2));
    stage.told(stream_req(2, 21, 0));
    stage.said(stream_ok(21));
    stage.said(marker(2, 21, 0, 20));
    stage.said(mutation(2, 21, 1));
    assert_eq!(stage.verdict(UNDISTURBED), Some(Pass));
}

/// The other stream brings one more message, then `during`, then nothing until all has settled after `ms`.
fn silent(ms: u64, during: impl FnOnce(&mut Stage)) -> Option<Verdict> {
    let mut stage = Stage::cut(acting());
    stage.go_on();
    stage.acted(Act::Settling);
    during(&mut stage);
    stage.wait_ms(ms);
    stage.acted(Act::Settled);
    stage.verdict(UNDISTURBED)
}

#[test]
fn a_stream_that_is_silent_for_long_inside_a_snapshot_is_stalled() {
    assert_eq!(silent(6_000, |_| ()), Some(Fail));
    assert_eq!(silent(2_000, |_| ()), Some(Inconclusive), "slow, or stalled");
    assert_eq!(silent(500, |_| ()), Some(Pass));
}

#[test]
fn silence_is_no_stall_where_it_is_not_the_producers() {
    let said = |head: fn() -> FrameHead| silent(9_000, move |stage| _ = stage.said(head()));
    assert_eq!(said(|| mutation(2, 20, 20)), Some(Pass), "the snapshot is complete");
    assert_eq!(said(|| stream_end(2, 20, 2)), Some(Pass), "the vbucket moved");
    let closing = silent(9_000, |stage| _ = stage.told(close_stream(2, 78)));
    assert_eq!(closing, Some(Pass), "the consumer closes it");
    let paused = silent(9_000, |stage| {
        stage.happens(Direction::From, Origin::Tool, What::Paused(true));
    });
    assert_eq!(paused, Some(Pass), "it is not read from");
    let full = silent(9_000, |stage| {
        stage.told(control(4, "connection_buffer_size", "100"));
        stage.said(plain(Opcode::DCP_CONTROL, Status::SUCCESS, 4));
    });
    assert_eq!(full, Some(Pass), "the window is full");
}
