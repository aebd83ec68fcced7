use super::*;
use crate::report::Outcome;

fn row(stage: &mut Stage, message: &str) -> Option<(Outcome, Verdict)> {
    let rows = stage.judgement().connection.matrix;
    rows.iter().find(|row| row.message == message).map(|row| (row.outcome, row.verdict))
}

const MUTATION: &str = "DCP_MUTATION";
/// What era 7.0 must close at.
const FATAL: Status = Status::EINVAL;

#[test]
fn a_producer_that_answers_a_noop_asked_late_enough_is_alive() {
    let mut stage = Stage::handled(acting());
    assert_eq!(stage.verdict(KEPT), Some(Pass));
    assert_eq!(row(&mut stage, MUTATION), Some((Outcome::Handled, Pass)));
}

#[test]
fn a_noop_of_the_same_burst_proves_nothing() {
    let mut stage = Stage::flowing(acting());
    stage.fire(true);
    stage.orphan(Opcode::DCP_MUTATION, Status::KEY_ENOENT);
    stage.wait_ms(140);
    let noop = stage.ask();
    stage.wait_ms(500);
    stage.answer(noop);
    assert_eq!(stage.verdict(KEPT), Some(Inconclusive));
    assert_eq!(row(&mut stage, MUTATION), Some((Outcome::NotExercised, Inconclusive)));
    // Nor does one whose answer is to another request, nor data: a producer that has decided to close may send both.
    stage.said(plain(Opcode::NOOP, Status::SUCCESS, 0x6666));
    stage.go_on();
    assert_eq!(stage.verdict(KEPT), Some(Inconclusive));
}

#[test]
fn closing_on_a_status_that_its_era_bears_is_the_failure() {
    for how in [How::Fin, How::Reset] {
        let mut stage = Stage::flowing(acting());
        stage.fire(true);
        stage.orphan(Opcode::DCP_MUTATION, Status::KEY_ENOENT);
        stage.wait_ms(400);
        stage.closes(Direction::From, how);
        let (verdict, actual) = stage.found(KEPT).unwrap();
        assert_eq!(verdict, Fail);
        assert!(actual.ends_with("401 ms after DCP_MUTATION/KeyEnoent (1)"), "{actual}");
        assert_eq!(row(&mut stage, MUTATION), Some((Outcome::Disconnected, Fail)));
        assert_eq!(stage.judgement().connection.verdict, Fail);
    }
}

#[test]
fn a_close_that_comes_late_is_put_down_to_what_was_proven_shortly_before() {
    let mut stage = Stage::cut(acting());
    stage.wait_ms(1000);
    stage.closes(Direction::From, How::Fin);
    assert_eq!(stage.verdict(KEPT), Some(Fail));
    assert_eq!(row(&mut stage, MUTATION), Some((Outcome::Disconnected, Fail)));

    let mut stage = Stage::cut(acting());
    stage.wait_ms(3000);
    stage.closes(Direction::From, How::Fin);
    assert_eq!(stage.verdict(KEPT), Some(Pass), "that is not the orphaned response's doing");
    assert_eq!(stage.judgement().connection.verdict, Inconclusive, "but not a verdict either");
}

#[test]
fn the_close_of_the_consumer_or_of_the_tool_comes_first() {
    for origin in [Origin::Peer, Origin::Tool] {
        for how in [How::Fin, How::Reset] {
            let mut stage = Stage::flowing(acting());
            stage.fire(true);
            stage.orphan(Opcode::DCP_MUTATION, Status::KEY_ENOENT);
            stage.happens(Direction::To, origin, What::Closed { how, partial: 0 });
            stage.closes(Direction::From, How::Fin);
            assert_eq!(stage.verdict(KEPT), Some(Inconclusive));
            assert_eq!(stage.judgement().connection.verdict, Inconclusive);
        }
    }
}

#[test]
fn a_producer_may_close_on_what_is_no_frame() {
    let mut stage = Stage::flowing(acting());
    stage.fire(true);
    stage.orphan(Opcode::DCP_MUTATION, Status::KEY_ENOENT);
    stage.happens(Direction::To, Origin::Peer, What::FramingLost(crate::wire::FramingError::TooLong(1 << 40)));
    stage.closes(Direction::From, How::Fin);
    assert_eq!(stage.verdict(KEPT), Some(Inconclusive));
}

#[test]
fn mute_is_a_noop_left_unanswered_for_the_settling_time() {
    let mute = |paused: Option<bool>, waited| {
        let mut stage = Stage::cut(acting());
        stage.orphan(Opcode::DCP_PREPARE, Status::KEY_ENOENT);
        stage.wait_ms(150);
        stage.ask();
        if let Some(over) = paused {
            stage.happens(Direction::From, Origin::Tool, What::Paused(true));
            stage.wait_ms(9000);
            if over {
                stage.happens(Direction::From, Origin::Tool, What::Paused(false));
            }
        }
        stage.wait_ms(waited);
        stage.acted(Act::Settled);
        (stage.verdict(KEPT), row(&mut stage, "DCP_PREPARE"))
    };
    assert_eq!(mute(None, 2000), (Some(Fail), Some((Outcome::Stalled, Fail))));
    assert_eq!(mute(None, 1000), (Some(Inconclusive), Some((Outcome::Stalled, Inconclusive))));
    assert_eq!(mute(Some(false), 9000).0, Some(Inconclusive), "its answer may wait to be read");
    assert_eq!(mute(Some(true), 1000).0, Some(Inconclusive), "it had no time since");
    assert_eq!(mute(Some(true), 2000).0, Some(Fail));
}

#[test]
fn an_answer_that_was_asked_before_the_last_orphan_is_neither_life_nor_muteness() {
    let mut stage = Stage::handled(acting());
    // A real consumer's own, between the last question and its answer.
    let mut late = Stage::cut(acting());
    late.acted(Act::Settling);
    late.wait_ms(2000);
    let noop = late.ask();
    late.told(plain(Opcode::DCP_PREPARE, Status::KEY_ENOENT, OPAQUE));
    late.answer(noop);
    late.acted(Act::Settled);
    assert_eq!(late.verdict(KEPT), Some(Inconclusive));
    assert_eq!(row(&mut late, "DCP_PREPARE"), Some((Outcome::NotExercised, Inconclusive)));
    assert_eq!(late.judgement().connection.verdict, Inconclusive);
    // Asked after it, all is well.
    stage.told(plain(Opcode::DCP_PREPARE, Status::KEY_ENOENT, OPAQUE));
    stage.prove();
    assert_eq!(stage.verdict(KEPT), Some(Pass));
}

#[test]
fn two_unproven_bursts_share_the_blame() {
    let mut stage = Stage::flowing(acting());
    stage.fire(true);
    stage.orphan(Opcode::DCP_MUTATION, Status::KEY_ENOENT);
    stage.orphan(Opcode::DCP_PREPARE, Status::KEY_ENOENT);
    stage.closes(Direction::From, How::Fin);
    let (verdict, actual) = stage.found(KEPT).unwrap();
    assert_eq!(verdict, Fail);
    assert!(actual.contains("DCP_MUTATION/KeyEnoent (1), DCP_PREPARE/KeyEnoent (1)"), "{actual}");
    assert_eq!(row(&mut stage, MUTATION), Some((Outcome::Disconnected, Fail)));
    assert_eq!(row(&mut stage, "DCP_PREPARE"), Some((Outcome::Disconnected, Fail)));

    // What was proven between is not to blame.
    let mut stage = Stage::cut(acting());
    stage.orphan(Opcode::DCP_PREPARE, Status::KEY_ENOENT);
    stage.closes(Direction::From, How::Fin);
    assert_eq!(row(&mut stage, MUTATION), Some((Outcome::Handled, Pass)));
}

#[test]
fn one_that_it_may_close_at_explains_the_close_and_hides_the_others() {
    let mut stage = Stage::flowing(acting());
    stage.fire(true);
    stage.orphan(Opcode::DCP_MUTATION, Status::KEY_ENOENT);
    // A consumer's own; no release has a handler for it.
    stage.told(plain(Opcode::DCP_OSO_SNAPSHOT, Status::UNKNOWN_COMMAND, OPAQUE));
    stage.wait_ms(200);
    stage.closes(Direction::From, How::Fin);
    assert_eq!(stage.verdict(KEPT), Some(Pass), "it may");
    assert_eq!(row(&mut stage, MUTATION), Some((Outcome::NotExercised, Inconclusive)));
    assert_eq!(row(&mut stage, "DCP_OSO_SNAPSHOT"), Some((Outcome::Disconnected, Pass)));
    let (verdict, actual) = stage.found(EVIDENCE).unwrap();
    assert!(verdict == Inconclusive && actual.contains(MUTATION), "nothing is known of the other: {actual}");
}

#[test]
fn a_second_answer_to_its_own_noop_demands_nothing() {
    let mut stage = Stage::handled(acting());
    stage.told(plain(Opcode::DCP_NOOP, Status::SUCCESS, 5));
    stage.prove();
    assert_eq!((stage.verdict(DEMANDED), stage.verdict(KEPT)), (None, Some(Pass)));
}

#[test]
fn where_the_era_demands_a_close_staying_is_the_failure() {
    let fatal = |era, proofs: u8, closed_after: Option<u64>| {
        let mut stage = Stage::flowing(Terms { era: Some(era), ..acting() });
        stage.fire(true);
        stage.orphan(Opcode::DCP_MUTATION, FATAL);
        (0..proofs).for_each(|_| stage.prove());
        if let Some(ms) = closed_after {
            stage.wait_ms(ms);
            stage.closes(Direction::From, How::Reset);
        }
        (stage.verdict(DEMANDED), stage.verdict(KEPT), row(&mut stage, MUTATION))
    };
    let closed = Some((Outcome::Disconnected, Pass));
    assert_eq!(fatal(Era::V7_0, 0, Some(500)), (Some(Pass), Some(Pass), closed));
    assert_eq!(fatal(Era::V7_0, 1, Some(900)), (Some(Pass), Some(Pass), closed), "late is not never");
    assert_eq!(fatal(Era::V7_0, 2, Some(900)), (Some(Pass), Some(Pass), closed), "late is not never");
    assert_eq!(fatal(Era::V7_0, 2, None), (Some(Fail), Some(Pass), Some((Outcome::Handled, Fail))));
    assert_eq!(fatal(Era::V7_0, 2, Some(5000)).0, Some(Fail), "that close has another reason");
    let open = fatal(Era::V7_0, 0, None);
    assert_eq!(open, (Some(Inconclusive), Some(Inconclusive), Some((Outcome::NotExercised, Inconclusive))));
    assert_eq!(fatal(Era::V2019_07, 2, None), (None, Some(Pass), Some((Outcome::Handled, Pass))));
}

#[test]
fn a_producer_that_is_slow_to_read_what_it_must_close_at_is_not_taken_for_one_that_stays() {
    let slow = |rest: fn(&mut Stage)| {
        let mut stage = Stage::flowing(acting());
        stage.fire(true);
        stage.orphan(Opcode::DCP_MUTATION, FATAL);
        stage.wait_ms(150);
        rest(&mut stage);
        (stage.verdict(DEMANDED), row(&mut stage, MUTATION))
    };
    let unknown = (Some(Inconclusive), Some((Outcome::Handled, Inconclusive)));
    let answered = slow(|stage| {
        let noop = stage.ask();
        stage.wait_ms(3000);
        stage.answer(noop);
    });
    assert_eq!(answered, unknown, "both may have been read in one burst");
    let answered = slow(|stage| {
        let first = stage.ask();
        stage.wait_ms(1000);
        let second = stage.ask();
        stage.wait_ms(2000);
        stage.answer(first);
        stage.answer(second);
    });
    assert_eq!(answered, unknown, "so may all three");
    let closed = slow(|stage| {
        let noop = stage.ask();
        stage.wait_ms(3000);
        stage.answer(noop);
        stage.wait_ms(1000);
        stage.closes(Direction::From, How::Fin);
    });
    assert_eq!(closed, (Some(Pass), Some((Outcome::Disconnected, Pass))), "a tick after it read it");
    let stays = slow(|stage| {
        let noop = stage.ask();
        stage.wait_ms(3000);
        stage.answer(noop);
        stage.prove();
    });
    assert_eq!(stays, (Some(Fail), Some((Outcome::Handled, Fail))));
}

#[test]
fn in_a_recording_what_is_sent_150_ms_later_shows_that_a_producer_stays() {
    let sends_after = |ms| {
        let mut stage = Stage::flowing(Terms { source: Source::Recording, ..acting() });
        stage.told(plain(Opcode::DCP_MUTATION, FATAL, OPAQUE));
        stage.wait_ms(ms);
        stage.go_on();
        stage.verdict(DEMANDED)
    };
    assert_eq!((sends_after(148), sends_after(150)), (Some(Inconclusive), Some(Fail)));
}

#[test]
fn muteness_after_what_it_may_close_at_is_not_held_against_it() {
    let mut stage = Stage::flowing(acting());
    stage.fire(true);
    stage.orphan(Opcode::DCP_MUTATION, FATAL);
    stage.wait_ms(150);
    stage.ask();
    stage.wait_ms(5000);
    stage.acted(Act::Settled);
    assert_eq!((stage.verdict(KEPT), stage.verdict(DEMANDED)), (Some(Inconclusive), Some(Inconclusive)));
}

/// A recording with one orphaned response, then what `rest` tells.
fn recorded(era: Era, rest: impl FnOnce(&mut Stage)) -> Option<Verdict> {
    let mut stage = Stage::flowing(Terms { era: Some(era), source: Source::Recording, ..acting() });
    stage.told(plain(Opcode::DCP_MUTATION, Status::KEY_ENOENT, OPAQUE));
    rest(&mut stage);
    stage.verdict(KEPT)
}

#[test]
fn in_a_recording_any_frame_late_enough_is_a_proof() {
    let data_after = |ms| {
        move |stage: &mut Stage| {
            stage.wait_ms(ms);
            stage.go_on();
        }
    };
    assert_eq!(recorded(Era::V7_0, data_after(148)), Some(Inconclusive));
    assert_eq!(recorded(Era::V7_0, data_after(149)), Some(Pass));
    assert_eq!(recorded(Era::V7_0, |_| ()), Some(Inconclusive));
    assert_eq!(recorded(Era::V7_0, |stage| stage.closes(Direction::From, How::Fin)), Some(Fail));
    assert_eq!(recorded(Era::V7_0, |stage| stage.closes(Direction::To, How::Fin)), Some(Inconclusive));
}

#[test]
fn in_a_recording_up_to_6_5_an_answered_noop_is_a_proof_at_once() {
    let noop = |stage: &mut Stage| {
        stage.told(request(Opcode::NOOP, 0, 77, Message::Noop(dcp::Noop)));
        stage.said(plain(Opcode::NOOP, Status::SUCCESS, 77));
    };
    assert_eq!(recorded(Era::V6_5, noop), Some(Pass));
    assert_eq!(recorded(Era::V6_6, noop), Some(Inconclusive));
}

#[test]
fn without_orphans_it_must_live_on_all_the_same() {
    let terms = || Terms { source: Source::Acting { makes_orphans: false, fatal_too: false }, ..acting() };
    let closed = |late: bool, how: fn(&mut Stage)| {
        let mut stage = Stage::flowing(terms());
        stage.fire(false);
        stage.close(0x9001);
        stage.said(stream_end(1, OPAQUE, 1));
        if late {
            stage.settle();
        }
        how(&mut stage);
        (stage.verdict(KEPT), stage.judgement().connection.verdict)
    };
    assert_eq!(closed(true, |_| ()), (Some(Pass), Pass));
    assert_eq!(closed(false, |_| ()), (Some(Inconclusive), Inconclusive));
    assert_eq!(closed(false, |stage| stage.closes(Direction::From, How::Fin)).0, Some(Fail));
    assert_eq!(closed(false, |stage| stage.closes(Direction::To, How::Fin)).0, Some(Inconclusive));
    let after = closed(true, |stage| stage.closes(Direction::From, How::Fin));
    assert_eq!(after, (Some(Pass), Pass), "all had settled: the close has nothing to do with it");
    let asked_before = closed(false, |stage| {
        let noop = stage.ask();
        stage.answer(noop);
    });
    assert_eq!(asked_before.0, Some(Inconclusive), "asked in the same breath");
}

#[test]
fn what_a_peer_says_without_end_is_not_kept() {
    let mut stage = Stage::cut(acting());
    for n in 0..70_000_u32 {
        stage.told(request(Opcode::NOOP, 0, n, Message::Noop(dcp::Noop)));
        let status = Status(u16::try_from(n % 60_000).unwrap_or(0));
        if n < 20_000 {
            stage.told(plain(Opcode::DCP_MUTATION, status, OPAQUE));
        }
    }
    assert!(stage.judgement().connection.matrix.len() <= 4_200);
    assert!(stage.judge.kept.pending() <= 1_024);
}
