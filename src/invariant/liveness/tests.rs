use super::super::rule::verdicts;
use super::*;
use crate::dcp;
use crate::dcp::FrameHead;
use crate::dcp::Message;
use crate::journal::Act;
use crate::journal::How;
use crate::journal::Origin;
use crate::journal::What;
use crate::session::script::*;
use crate::verdict::Verdict;

const PASS: Option<Verdict> = Some(Verdict::Pass);
const FAIL: Option<Verdict> = Some(Verdict::Fail);
/// The interval of these tests.
const INTERVAL: u64 = 10_000;

fn noop(opaque: u32) -> FrameHead {
    request(Opcode::DCP_NOOP, 0, opaque, Message::DcpNoop(dcp::DcpNoop))
}

fn success(opaque: u32) -> FrameHead {
    plain(Opcode::DCP_NOOP, Status::SUCCESS, opaque)
}

fn with(controls: &[(&str, &str)]) -> Script {
    let mut script = Script::with(&[], dcp::Open::PRODUCER, controls);
    script.stream(1, 10, 0);
    script.p(marker(1, 10, 0, 1_000));
    script
}

fn alive() -> Script {
    with(&[("enable_noop", "true"), ("set_noop_interval", "10")])
}

fn answered(script: &mut Script, opaque: u32) {
    script.p(noop(opaque));
    script.c(success(opaque));
}

/// The tool holds up what an end says for so long.
fn held_up(script: &mut Script, ms: u64) {
    script.origin = Origin::Tool;
    script.say(Direction::From, What::Paused(true));
    script.origin = Origin::Peer;
    script.wait_ms(ms / 2);
    script.c(buffer_ack(1));
    script.wait_ms(ms / 2);
    script.origin = Origin::Tool;
    script.say(Direction::From, What::Paused(false));
    script.origin = Origin::Peer;
}

#[test]
fn one_noop_at_a_time() {
    let mut script = alive();
    answered(&mut script, 1);
    answered(&mut script, 2);
    assert_eq!(verdicts::<OneNoop>(&script).0, PASS);
    script.p(noop(3));
    script.p(noop(4));
    assert_eq!(verdicts::<OneNoop>(&script).0, FAIL);
    let mut tools = alive();
    tools.p(noop(1));
    tools.origin = Origin::Tool;
    tools.c(success(1));
    tools.origin = Origin::Peer;
    tools.p(noop(2));
    assert_eq!(verdicts::<OneNoop>(&tools).0, PASS, "the tool has answered for the consumer");
}

#[test]
fn noops_keep_their_distance() {
    type R = NoopInterval;
    for (interval, apart, expected) in [
        ("10", INTERVAL, PASS),
        ("10", 9_100, PASS),
        ("10", 8_500, FAIL),
        ("1", 600, None),
        ("2.500000", 1_400, FAIL),
        ("x", 1, None),
    ] {
        let mut script = with(&[("enable_noop", "true"), ("set_noop_interval", interval)]);
        for opaque in 1..4 {
            script.wait_ms(apart);
            answered(&mut script, opaque);
        }
        assert_eq!(verdicts::<R>(&script).0, expected, "{interval} {apart}");
    }
    let mut unset = with(&[("enable_noop", "true")]);
    answered(&mut unset, 1);
    answered(&mut unset, 2);
    assert_eq!(verdicts::<R>(&unset).0, None, "releases differ in what it is then");
    let mut changed = alive();
    answered(&mut changed, 1);
    changed.c(control(9, "set_noop_interval", "5"));
    changed.p(plain(Opcode::DCP_CONTROL, Status::SUCCESS, 9));
    changed.wait_ms(5_000);
    answered(&mut changed, 2);
    assert_eq!(verdicts::<R>(&changed).0, None);
    let mut held = alive();
    answered(&mut held, 1);
    held_up(&mut held, 2_000);
    answered(&mut held, 2);
    assert_eq!(verdicts::<R>(&held).0, None);
}

/// The producer sends data for so long, a frame each so many ms.
fn data(script: &mut Script, ms: u64, each: u64) {
    for at in 0..ms / each {
        script.wait_ms(each);
        script.p(mutation(1, 10, at + 1));
    }
}

#[test]
fn noops_come() {
    type R = NoopComes;
    let mut script = alive();
    script.wait_ms(INTERVAL);
    answered(&mut script, 1);
    script.wait_ms(INTERVAL);
    answered(&mut script, 2);
    assert_eq!(verdicts::<R>(&script).0, PASS);
    data(&mut script, 21_000, 3_000);
    assert_eq!(verdicts::<R>(&script).0, PASS, "not late yet");
    data(&mut script, 6_000, 3_000);
    assert_eq!(verdicts::<R>(&script).0, FAIL);
}

#[test]
fn noops_that_are_not_due() {
    type R = NoopComes;
    let mut script = alive();
    script.wait_ms(60_000);
    script.p(mutation(1, 10, 1));
    script.p(mutation(1, 10, 2));
    assert_eq!(verdicts::<R>(&script).0, None, "it was silent, so it may have been blocked");
    let mut unanswered = alive();
    unanswered.p(noop(1));
    data(&mut unanswered, 60_000, 3_000);
    assert_ne!(verdicts::<R>(&unanswered).0, FAIL);
    for controls in [&[("set_noop_interval", "10")][..], &[("enable_noop", "true")]] {
        let mut script = with(controls);
        data(&mut script, 60_000, 3_000);
        assert_eq!(verdicts::<R>(&script).0, None, "{controls:?}");
    }
    let mut ended = alive();
    ended.p(stream_end(1, 10, 0));
    for opaque in 0..30 {
        ended.wait_ms(3_000);
        ended.c(control(opaque, "nonsense", "1"));
        ended.p(plain(Opcode::DCP_CONTROL, Status::EINVAL, opaque));
    }
    assert_eq!(verdicts::<R>(&ended).0, None, "no stream");
    let mut held = alive();
    data(&mut held, 12_000, 3_000);
    held_up(&mut held, 60_000);
    data(&mut held, 12_000, 3_000);
    assert_eq!(verdicts::<R>(&held).0, None, "the tool held it up");
}

#[test]
fn answers_have_the_opaque_and_nothing_else() {
    let answered_by = |head: FrameHead| {
        let mut script = alive();
        script.p(noop(1));
        script.c(head);
        (verdicts::<NoopAnswer>(&script).1, verdicts::<NoopStatus>(&script).1)
    };
    let mut body = success(1);
    body.header.body_len = 4;
    assert_eq!(answered_by(success(1)), (PASS, PASS));
    assert_eq!(answered_by(success(2)), (FAIL, PASS));
    assert_eq!(answered_by(body), (FAIL, PASS));
    assert_eq!(answered_by(plain(Opcode::DCP_NOOP, Status::KEY_ENOENT, 1)), (PASS, FAIL), "nobody looks at it");
    let mut text = plain(Opcode::DCP_NOOP, Status::KEY_ENOENT, 1);
    text.header.body_len = 20;
    assert_eq!(answered_by(text), (PASS, FAIL), "errors have text");
}

#[test]
fn opaques_of_kv_engine_count_up() {
    let of = |opaques: &[u32]| {
        let mut script = alive();
        for &opaque in opaques {
            answered(&mut script, opaque);
        }
        verdicts::<NoopOpaques>(&script).0
    };
    let first = NoopOpaques::FIRST;
    assert_eq!(of(&[first, first + 1, first + 2]), PASS);
    assert_eq!(of(&[first.swap_bytes(), (first + 1).swap_bytes()]), PASS, "little endian");
    assert_eq!(of(&[first, first + 2]), PASS, "one had no room");
    assert_eq!(of(&[first, first]), FAIL);
    assert_eq!(of(&[first, first + 3, first + 2]), FAIL);
    assert_eq!(of(&[5, 5]), None, "not kv_engine");
}

fn quiet(controls: &[(&str, &str)], ms: u64, then: impl FnOnce(&mut Script)) -> (Option<Verdict>, Option<Verdict>) {
    let mut script = with(controls);
    script.p(mutation(1, 10, 1));
    script.c(buffer_ack(1));
    script.wait_ms(ms);
    then(&mut script);
    verdicts::<IdleIsClosed>(&script)
}

#[test]
fn who_hears_nothing_closes() {
    let on = [("enable_noop", "true")];
    let closes = |script: &mut Script| {
        script.say(Direction::From, What::Closed { how: How::Fin, partial: 0 });
    };
    let speaks = |script: &mut Script| {
        script.p(mutation(1, 10, 2));
    };
    let acks = |script: &mut Script| {
        script.c(buffer_ack(1));
    };
    assert_eq!(quiet(&on, 365_000, closes), (PASS, None));
    assert_eq!(quiet(&on, 300_000, closes), (None, None), "for another reason");
    assert_eq!(quiet(&on, 400_000, speaks), (FAIL, None));
    assert_eq!(quiet(&on, 380_000, speaks), (None, None), "it may be a little late");
    assert_eq!(quiet(&[], 400_000, speaks), (None, None), "without no-ops a producer does not care");
    assert_eq!(quiet(&[], 400_000, acks), (None, FAIL));
}

#[test]
fn who_hears_something_stays() {
    let on = [("enable_noop", "true")];
    let acked = |script: &mut Script| {
        script.c(seqno_ack(1, 10, 1));
        script.p(mutation(1, 10, 2));
    };
    assert_eq!(quiet(&on, 400_000, acked).0, FAIL, "a SEQNO_ACK does not count");
    let forged = |script: &mut Script| {
        script.origin = Origin::Tool;
        script.c(request(Opcode::NOOP, 0, 9, Message::Noop(dcp::Noop)));
        script.origin = Origin::Peer;
        script.p(mutation(1, 10, 2));
    };
    assert_eq!(quiet(&on, 400_000, forged).0, None, "it has heard the tool");
    let held = |script: &mut Script| {
        held_up(script, 1_000);
        script.p(mutation(1, 10, 2));
    };
    assert_eq!(quiet(&on, 400_000, held), (None, None));
    let acted = |script: &mut Script| {
        script.origin = Origin::Tool;
        script.say(Direction::To, What::Acted(Act::Narrowed(Some(100))));
        script.origin = Origin::Peer;
        script.wait_ms(800_000);
        script.c(buffer_ack(1));
    };
    assert_eq!(quiet(&on, 1, acted), (None, None));
}
