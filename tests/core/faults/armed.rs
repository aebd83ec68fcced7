//! Steps that are armed on a connection that is open already, and disarmed again: they do what a scenario's do, and before
//! and afterwards every byte goes on as it came.

use dcproxy::dcp;
use dcproxy::era::Era;
use dcproxy::journal::{Act, How, Origin, What};
use dcproxy::report::Connection;
use dcproxy::scenario::{After, Course, Plan, Scenario, Step};
use dcproxy::toxic::{Kind, Stream, Toxic, dcp as toxics};
use dcproxy::verdict::Verdict;
use dcproxy::wire::{Frame, FrameBuilder, Header, Opcode, Status};

use super::single::{O, acked, bytes_of, cost, m, say_all};
use super::stage::*;

const CONTROLS: [(&str, &str); 2] =
    [("connection_buffer_size", "10000"), ("send_stream_end_on_client_close_stream", "true")];
/// Another stream than that of vbucket 0.
const OTHER: u32 = 18;

fn step(kind: &str, attributes: &str) -> Step {
    let attributes = serde_json::from_str(attributes).unwrap_or_else(|error| panic!("{error}: {attributes}"));
    toxics::read(kind, &attributes).unwrap_or_else(|error| panic!("{error}"))
}

/// A toxic of what the producer says, armed for the `number`th time.
fn toxic(number: u64, kind: &str, attributes: &str) -> Course {
    let kind = Kind::Dcp(Box::new(step(kind, attributes)));
    Toxic { name: "t".to_owned(), stream: Stream::Downstream, toxicity: 1.0, kind }.course(number).unwrap()
}

fn idle(era: Option<Era>) -> Plan {
    Plan { scenarios: Vec::new(), ..plan("close-at-end", era) }
}

/// Two streams, of which the first is inside a snapshot, and three of its messages have come.
fn in_mid_transfer(plan: Plan) -> Stage {
    let mut stage = Stage::opened(plan, &CONTROLS);
    stage.stream(0, O, 0);
    stage.stream(1, OTHER, 0);
    stage.p(marker(0, op(O), 0, 1000));
    say_all(&mut stage, 1..=3);
    stage.wait_ms(2000);
    stage
}

/// A stage on which nothing is armed.
fn open() -> Stage {
    in_mid_transfer(idle(Some(Era::V7_0)))
}

/// What the two say behind that: all that a fault may be about.
fn talk(stage: &mut Stage) {
    say_all(stage, 4..=20);
    stage.c(buffer_ack(500));
    stage.p(FrameBuilder::request(Opcode::DCP_NOOP).opaque(op(900)));
    stage.c(ok(Opcode::DCP_NOOP, 900));
    stage.p(marker(1, op(OTHER), 0, 9));
    stage.p(mutation(1, op(OTHER), 1));
    stage.c(buffer_ack(300));
    for n in 21..=30 {
        stage.wait_ms(10);
        stage.p(m(n));
    }
    stage.wait_ms(3000);
}

/// The judgement of what has come to pass.
fn connection(stage: &mut Stage) -> Connection {
    stage.report().connections.remove(0)
}

fn evidence(stage: &mut Stage) -> Vec<String> {
    let findings = connection(stage).findings;
    findings.into_iter().filter(|finding| finding.id == "evidence").map(|finding| finding.actual).collect()
}

/// Types and attributes at which something is done in [`talk`].
const ALL: [(&str, &str); 24] = [
    ("dcp_close_stream", "{}"),
    ("dcp_close_stream", r#"{ "at": "end" }"#),
    ("dcp_close_stream", r#"{ "at": "producer" }"#),
    ("dcp_close_stream", r#"{ "at": "consumer" }"#),
    ("dcp_orphan_response", r#"{ "message": "mutation", "status": "KeyEnoent", "count": 3 }"#),
    ("dcp_stream_end", "{}"),
    ("dcp_drop", r#"{ "when": "dcp.opcode == mutation && dcp.seqno < 9" }"#),
    ("dcp_delay", r#"{ "by": 50 }"#),
    ("dcp_hold", r#"{ "for": 100 }"#),
    ("dcp_release", "{}"),
    ("dcp_duplicate", r#"{ "when": "dcp.opcode == mutation", "times": 2, "copies": 2 }"#),
    ("dcp_reorder", r#"{ "when": "dcp.opcode == mutation", "times": 2 }"#),
    ("dcp_truncate", r#"{ "when": "dcp.seqno == 7", "bytes": 30 }"#),
    ("dcp_corrupt", r#"{ "when": "dcp.seqno == 7", "bits": 3 }"#),
    ("dcp_throttle", r#"{ "rate": 10000 }"#),
    ("dcp_slice", r#"{ "size": 7 }"#),
    ("dcp_disconnect", r#"{ "when": "dcp.seqno == 7" }"#),
    ("dcp_withhold_ack", "{}"),
    ("dcp_swallow_noop", "{}"),
    ("dcp_fake_response", r#"{ "when": "dcp.opcode == dcp_noop", "status": "Einval" }"#),
    ("dcp_rewrite", r#"{ "when": "dcp.seqno == 7", "field": "cas", "to": 5 }"#),
    ("dcp_limit_data", r#"{ "bytes": 333 }"#),
    ("dcp_send", r#"{ "message": "noop" }"#),
    ("dcp_drop", r#"{ "probability": 0.5, "from": "producer" }"#),
];

/// All that an end got, and how it was closed.
fn outcome(stage: &mut Stage) -> (Vec<u8>, Vec<u8>, Vec<(dcproxy::journal::Side, How)>) {
    (stage.bytes_at(CONSUMER), stage.bytes_at(PRODUCER), stage.closes())
}

#[test]
fn what_is_armed_on_an_open_connection_does_what_a_scenario_does() {
    for (kind, attributes) in ALL {
        let mut step = Step { name: "t".to_owned(), ..step(kind, attributes) };
        let course = toxic(1, kind, attributes);
        // The scenario's waits a little longer than the connection's beginning takes.
        step.when.after = Some(After::Span("2001ms".parse::<dcproxy::units::Span>().unwrap()));
        // And it has another, so that it is not over before the other is.
        let never = Step {
            name: "never".to_owned(),
            ..self::step("dcp_drop", r#"{ "when": "dcp.vbucket == 9", "within": "1h" }"#)
        };
        let scenario = Scenario { steps: vec![step, never], ..Scenario::named("close-at-end").unwrap() };
        let seed = course.seed.unwrap_or_default();
        let mut usual = in_mid_transfer(Plan { scenarios: vec![scenario], seed, ..idle(Some(Era::V7_0)) });
        let mut armed = in_mid_transfer(idle(Some(Era::V7_0)));
        assert!(outcome(&mut armed) == outcome(&mut usual), "{kind}: the beginning");
        // Chance is that of the connection's seed.
        armed.arm(&[Course { seed: Some(seed), beside: course.beside, ..course }]);
        for stage in [&mut usual, &mut armed] {
            stage.wait_ms(2);
            talk(stage);
        }
        let (usual_acts, armed_acts) = (usual.acts(), armed.acts());
        let fired = |acts: &[Act]| {
            acts.iter()
                .filter(|act| matches!(act, Act::Fired { .. } | Act::Triggered { .. }))
                .cloned()
                .collect::<Vec<_>>()
        };
        assert!(!fired(&armed_acts).is_empty(), "{kind} {attributes} did not fire");
        // What chance decides is drawn behind the trigger's own: the same.
        assert_eq!(fired(&armed_acts).len(), fired(&usual_acts).len(), "{kind} {attributes}");
        let (armed, usual) = (outcome(&mut armed), outcome(&mut usual));
        assert_eq!(armed.2, usual.2, "{kind} {attributes}: closes");
        assert_eq!(hex::encode(armed.0), hex::encode(usual.0), "{kind} {attributes}: to the consumer");
        assert_eq!(hex::encode(armed.1), hex::encode(usual.1), "{kind} {attributes}: to the producer");
    }
}

#[test]
fn before_it_is_armed_and_once_it_is_disarmed_every_byte_goes_on() {
    for (kind, attributes) in ALL {
        if kind == "dcp_limit_data" || kind == "dcp_truncate" || kind == "dcp_disconnect" {
            continue;
        }
        let mut stage = open();
        let before = bytes_of(1..=3);
        assert!(stage.bytes_at(CONSUMER).ends_with(&before), "{kind}: before");
        assert_eq!(stage.bytes_at(PRODUCER), [0; 0], "{kind}: before, nothing of the tool's own");
        stage.arm(&[toxic(1, kind, attributes)]);
        stage.arm(&[]);
        stage.wait_ms(1000);
        stage.forget();
        // Nothing of it had begun, unless it does so at once.
        say_all(&mut stage, 4..=9);
        stage.c(buffer_ack(500));
        stage.p(FrameBuilder::request(Opcode::DCP_NOOP).opaque(op(900)));
        let expected =
            [bytes_of(4..=9), FrameBuilder::request(Opcode::DCP_NOOP).opaque(op(900)).build().to_vec()].concat();
        assert_eq!(stage.bytes_at(CONSUMER), expected, "{kind} {attributes}");
        assert_eq!(stage.bytes_at(PRODUCER), buffer_ack(500).build(), "{kind} {attributes}");
    }
}

#[test]
fn what_holds_something_back_lets_it_go_when_it_is_disarmed() {
    for (kind, attributes) in [
        ("dcp_hold", "{}"),
        ("dcp_delay", r#"{ "by": "1h" }"#),
        ("dcp_throttle", r#"{ "rate": 1 }"#),
        ("dcp_reorder", r#"{ "when": "dcp.seqno == 4", "behind": 9 }"#),
    ] {
        let mut stage = open();
        stage.arm(&[toxic(1, kind, attributes)]);
        stage.forget();
        stage.p(m(4));
        assert_ne!(stage.bytes_at(CONSUMER), bytes_of([4]), "{kind} holds it back");
        stage.arm(&[]);
        // What is late already is late: a delay ends for what comes behind.
        let most = if kind == "dcp_delay" { 3_600_000 } else { 10 };
        stage.wait_ms(most);
        let held = stage.bytes_at(CONSUMER);
        assert!(bytes_of([4]).ends_with(&held) && !held.is_empty(), "{kind} lets it go");
        stage.p(m(5));
        stage.wait_ms(1);
        assert_eq!(stage.bytes_at(CONSUMER), bytes_of([5]), "{kind} is over");
    }
    let mut stage = open();
    stage.arm(&[toxic(1, "dcp_withhold_ack", "{}")]);
    stage.forget();
    stage.c(buffer_ack(100));
    stage.c(buffer_ack(50));
    assert_eq!(acked(&mut stage), 0);
    stage.arm(&[]);
    assert_eq!(acked(&mut stage), 150, "the producer's window is whole again");
    stage.c(buffer_ack(7));
    assert_eq!(acked(&mut stage), 7);
}

#[test]
fn a_close_that_is_called_off_in_its_course_leaves_both_ends_alive() {
    for at in ["cut", "end", "consumer", "both"] {
        let mut stage = open();
        stage.arm(&[toxic(1, "dcp_close_stream", &format!(r#"{{ "at": "{at}" }}"#))]);
        stage.forget();
        say_all(&mut stage, 4..=22);
        assert!(stage.acts().iter().any(|act| matches!(act, Act::Fired { .. })), "{at}: it has fired");
        let cost_of_swallowed = if at == "cut" {
            let got = stage.bytes_at(CONSUMER).len() / bytes_of([4]).len();
            u32::try_from(19 - got).unwrap() * cost()
        } else {
            0
        };
        // The consumer asks for its stream again, perhaps before it was told.
        stage.c(stream_req(0, 77, 3));
        let before = stage.at_producer();
        stage.arm(&[]);
        let consumer = stage.at_consumer();
        let told = stage.journal().iter().any(|entry| {
            entry.edge == CONSUMER
                && entry.origin == Origin::Tool
                && matches!(&entry.what, What::Frame(head)
                    if [Opcode::DCP_STREAM_END, Opcode::DCP_CLOSE_STREAM].contains(&head.header.opcode))
        });
        assert!(told, "{at}: the consumer knows that its stream is gone: {consumer:?}");
        let after = stage.at_producer();
        let all: Vec<_> = before.iter().chain(&after).collect();
        let close = all.iter().position(|frame| frame.starts_with("DCP_CLOSE_STREAM"));
        let request = all.iter().position(|frame| frame.starts_with("DCP_STREAM_REQ") && frame.contains("0x0000004d"));
        assert!(close.is_some() && request.is_some(), "{at}: closed, and asked for again: {all:#?}");
        if at == "cut" {
            assert!(close < request, "{at}: in this order");
        }
        stage.answer(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS);
        let late = m(23);
        stage.p(late);
        stage.p(stream_end(0, op(O), 1));
        stage.p(stream_ok(77));
        stage.forget();
        stage.p(marker(0, op(77), 0, 1000));
        stage.p(mutation(0, op(77), 4));
        let got = stage.bytes_at(CONSUMER);
        let new = [marker(0, op(77), 0, 1000).build(), mutation(0, op(77), 4).build()].concat();
        assert_eq!(got, new, "{at}: the new stream is the consumer's");
        let acks: u32 = stage
            .journal()
            .iter()
            .filter(|entry| entry.edge == PRODUCER && entry.origin == Origin::Tool)
            .filter_map(|entry| match &entry.what {
                What::Frame(head) => match &head.message {
                    Ok(dcp::Message::BufferAck(ack)) => Some(ack.bytes_to_ack),
                    _ => None,
                },
                _ => None,
            })
            .sum();
        assert!(acks >= cost_of_swallowed, "{at}: {acks} of {cost_of_swallowed} bytes are given back");
        stage.wait_ms(30_000);
        assert_eq!(stage.closes(), []);
    }
}

#[test]
fn it_waits_for_as_long_as_it_takes() {
    let mut stage = open();
    stage.arm(&[toxic(1, "dcp_close_stream", "{}"), Course::of(&Scenario::named("close-at-producer").unwrap(), 1)]);
    stage.wait_ms(3 * 3_600_000);
    assert!(!stage.acts().iter().any(|act| matches!(act, Act::NeverFired { .. })));
    say_all(&mut stage, 4..=40);
    assert!(stage.acts().iter().any(|act| matches!(act, Act::Fired { .. })));
}

#[test]
fn a_stream_is_closed_once_as_long_as_the_toxic_stands() {
    let mut stage = open();
    stage.arm(&[toxic(1, "dcp_stream_end", "{}")]);
    let fired = |stage: &mut Stage| stage.acts().iter().filter(|act| matches!(act, Act::Fired { .. })).count();
    say_all(&mut stage, 4..=22);
    assert_eq!(fired(&mut stage), 1);
    stage.answer(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS);
    stage.p(stream_end(0, op(O), 1));
    stage.stream(0, 77, 22);
    stage.p(marker(0, op(77), 22, 1000));
    for n in 23..60 {
        stage.p(mutation(0, op(77), n));
    }
    assert_eq!(fired(&mut stage), 0, "it was, and was asked for again");
    stage.p(marker(1, op(OTHER), 0, 1000));
    for n in 1..30 {
        stage.p(mutation(1, op(OTHER), n));
    }
    assert_eq!(fired(&mut stage), 1, "the other was not");
}

#[test]
fn what_has_settled_does_nothing_more_until_it_is_armed_anew() {
    let drop_all = |number| toxic(number, "dcp_drop", r#"{ "when": "dcp.opcode == mutation" }"#);
    let mut stage = open();
    stage.arm(&[drop_all(1)]);
    stage.forget();
    say_all(&mut stage, 4..=5);
    assert_eq!(stage.bytes_at(CONSUMER), [0; 0]);
    stage.settle();
    // While it settles, and until the verdict is read, nothing new begins.
    stage.arm(&[drop_all(2)]);
    stage.p(m(6));
    assert_eq!(stage.bytes_at(CONSUMER), bytes_of([6]));
    stage.wait_ms(2000);
    stage.answer(Opcode::NOOP, Status::SUCCESS);
    assert!(stage.engine.is_settled());
    stage.p(m(7));
    assert_eq!(stage.bytes_at(CONSUMER), bytes_of([7]));
    assert_eq!(evidence(&mut stage), [""; 0]);
    assert!(stage.runner().read());
    stage.p(m(8));
    assert!(!stage.engine.is_settled(), "another round");
    assert_eq!(stage.bytes_at(CONSUMER), [0; 0]);
    let steps = connection(&mut stage).steps;
    assert_eq!(steps.iter().map(|step| (&*step.step, step.fired)).collect::<Vec<_>>(), [("t", 3)], "of both rounds");
}

#[test]
fn whoever_never_reads_the_verdict_keeps_nothing_from_being_armed() {
    let mut stage = open();
    let send = |number| toxic(number, "dcp_send", r#"{ "message": "noop" }"#);
    stage.arm(&[send(1)]);
    stage.settle();
    stage.arm(&[send(2)]);
    stage.wait_ms(2000);
    stage.answer(Opcode::NOOP, Status::SUCCESS);
    assert!(stage.engine.is_settled());
    stage.forget();
    stage.wait_ms(5000);
    assert_eq!(stage.at_producer().len(), 1, "it was begun after a while");
}

#[test]
fn what_never_fired_is_no_pass_and_is_said() {
    let never = |number| toxic(number, "dcp_drop", r#"{ "when": "dcp.vbucket == 9" }"#);
    let settle = |stage: &mut Stage| {
        stage.settle();
        stage.wait_ms(2000);
        stage.answer(Opcode::NOOP, Status::SUCCESS);
        assert!(stage.engine.is_settled());
    };
    let mut stage = open();
    assert_eq!(connection(&mut stage).verdict, Verdict::Pass, "nothing was armed");
    stage.arm(&[never(1)]);
    settle(&mut stage);
    let judged = connection(&mut stage);
    assert_eq!(judged.verdict, Verdict::Inconclusive);
    assert_eq!(evidence(&mut stage).len(), 1, "{:?}", judged.findings);
    // It was called off before it could: nothing is proved by that. No stream owes anything here.
    let mut stage = Stage::opened(idle(Some(Era::V7_0)), &CONTROLS);
    stage.stream(0, O, 0);
    stage.arm(&[toxic(1, "dcp_send", r#"{ "message": "noop" }"#), Course { name: "toxic n".into(), ..never(1) }]);
    stage.arm(&[]);
    settle(&mut stage);
    assert_eq!(evidence(&mut stage), ["never fired: t"]);
    stage.runner().read();
    // What fires in the next round is judged by itself.
    stage.arm(&[toxic(2, "dcp_send", r#"{ "message": "noop" }"#)]);
    settle(&mut stage);
    assert_eq!(evidence(&mut stage), [""; 0]);
    assert_eq!(connection(&mut stage).verdict, Verdict::Pass);
}

#[test]
fn an_end_that_closes_an_armed_connection_is_heard_across() {
    for (from, fired) in [(CONSUMER, false), (PRODUCER, false), (PRODUCER, true)] {
        let mut stage = open();
        stage.arm(&[toxic(1, "dcp_close_stream", "{}")]);
        if fired {
            say_all(&mut stage, 4..=22);
        }
        stage.closed(from, How::Fin);
        stage.wait_ms(60_000);
        assert_eq!(stage.closes(), [(from.other(), How::Fin)], "{from:?} {fired}");
        // Nothing is begun any more.
        stage.arm(&[toxic(2, "dcp_disconnect", r#"{ "how": "rst" }"#)]);
        assert_eq!(stage.closes(), []);
    }
}

#[test]
fn the_close_of_a_consumer_waits_only_while_its_producer_is_tried() {
    let told = |later: u64| {
        let mut stage = open();
        let orphan = r#"{ "message": "mutation", "status": "KeyEnoent" }"#;
        stage.arm(&[toxic(1, "dcp_orphan_response", orphan)]);
        say_all(&mut stage, 4..=22);
        stage.wait_ms(300);
        stage.answer(Opcode::NOOP, Status::SUCCESS);
        stage.wait_ms(later);
        stage.closed(CONSUMER, How::Fin);
        stage.closes()
    };
    assert_eq!(told(0), []);
    assert_eq!(told(60_000), [(PRODUCER, How::Fin)], "it has borne it long ago");
}

#[test]
fn opaques_in_use_are_nobody_elses() {
    let mut stage = Stage::opened(idle(None), &CONTROLS);
    // The consumer's own are as the tool's would be.
    stage.c(stream_req(0, 0xdc0d_0001, 0));
    stage.p(stream_opened(dcproxy::wire::Opaque([0xdc, 0x0d, 0, 1])));
    stage.c(FrameBuilder::request(Opcode::STAT).opaque(op(0xdd0e_0001)));
    stage.forget();
    stage.arm(&[toxic(1, "dcp_drop", r#"{ "when": "dcp.vbucket == 9" }"#)]);
    let version = stage.frames_at(PRODUCER);
    let header = Header::parse_slice(&version[0]).unwrap();
    assert_eq!((version.len(), header.opcode), (1, Opcode::VERSION), "the era is found out");
    assert_eq!(header.opaque.0[..2], [0xde, 0x0f]);
    stage.p(ok(Opcode::VERSION, u32::from_be_bytes(header.opaque.0)).value("7.0.0-5302-enterprise"));
    assert_eq!(stage.at_consumer(), [""; 0], "the answer is for nobody");
    stage.arm(&[]);
    stage.arm(&[toxic(2, "dcp_drop", r#"{ "when": "dcp.vbucket == 8" }"#)]);
    assert_eq!(stage.at_producer(), [""; 0], "it is asked once");
}

#[test]
fn a_stream_that_was_opened_before_is_requested_again_with_its_own_filter() {
    let filter = r#"{"collections":["8"] }"#;
    let mut stage = Stage::opened(idle(Some(Era::V7_0)), &CONTROLS);
    stage.c(stream_req(0, O, 0).value(filter));
    stage.p(stream_ok(O));
    stage.p(marker(0, op(O), 0, 1000));
    say_all(&mut stage, 1..=3);
    stage.forget();
    stage.arm(&[toxic(1, "dcp_close_stream", "{}")]);
    say_all(&mut stage, 4..=22);
    stage.p(stream_end(0, op(O), 2));
    let mut asked = Vec::new();
    for _ in 0..400 {
        for frame in stage.frames_at(PRODUCER) {
            let header = Header::parse_slice(&frame).unwrap();
            if header.opcode == Opcode::DCP_STREAM_REQ {
                asked.extend(Frame::whole(&frame).unwrap().value().map(<[u8]>::to_vec));
            } else if header.is_request() {
                stage.p(dcp::response(header.opcode, Status::SUCCESS, header.opaque));
            }
        }
        stage.wait_ms(10);
    }
    assert_eq!(asked, [filter.as_bytes()]);
}

#[test]
fn a_scenario_that_is_armed_is_expected_what_it_says() {
    let text = "name = 's'\nabout = ''\n[[steps]]\nname = 'end'\nwhen = { filter = 'dcp.seqno == 5' }\ndo = { drop = {} }\n\
                expect = { says = { message = 'mutation', within = '1s' } }\n";
    let text = text.replace("says = { message = 'mutation', within = '1s' }", "silence = { within = '1s' }");
    let scenario = Scenario::parse(&text).unwrap_or_else(|error| panic!("{error}"));
    for (number, silent) in [(1, true), (2, false)] {
        let mut stage = open();
        stage.arm(&[Course::of(&scenario, number)]);
        say_all(&mut stage, 4..=5);
        if !silent {
            stage.p(m(6));
        }
        stage.settle();
        stage.wait_ms(2000);
        stage.answer(Opcode::NOOP, Status::SUCCESS);
        let found = connection(&mut stage).findings;
        let found = found.iter().find(|finding| finding.id == "s/end/silence").map(|finding| finding.verdict);
        assert_eq!(found, Some(if silent { Verdict::Pass } else { Verdict::Fail }));
    }
}
