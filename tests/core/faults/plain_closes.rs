//! `close_stream` at `end`, `consumer`, `producer` and `both`, and `orphan_response`: the real ends do the rest.

use dcproxy::dcp;
use dcproxy::era::Era;
use dcproxy::journal::Act;
use dcproxy::scenario::{Plan, Scenario};
use dcproxy::wire::{FrameBuilder, Opcode, Status};

use super::stage::*;

const CONTROLS: [(&str, &str); 2] =
    [("connection_buffer_size", "10000"), ("send_stream_end_on_client_close_stream", "true")];
const O: u32 = 17;

/// A stream flows, and the step has fired at seqno 3.
fn fired(scenario: &str) -> Stage {
    let mut stage = Stage::opened(plan(scenario, Some(Era::V7_0)), &CONTROLS);
    stage.stream(0, O, 0);
    stage.p(marker(0, op(O), 1, 5));
    stage.p(mutation(0, op(O), 1));
    stage.p(mutation(0, op(O), 2));
    assert_eq!((stage.at_producer(), stage.at_consumer().len()), (vec![], 3));
    stage.p(mutation(0, op(O), 3));
    let fired = Act::Fired { step: "close".into(), vbucket: 0, stream_id: None, opaque: op(O), seqno: 2, cut: false };
    assert_eq!(stage.acts(), [fired]);
    stage
}

fn tools_answer(n: u16, opcode: Opcode) -> FrameBuilder {
    FrameBuilder::response(opcode, Status::SUCCESS).opaque(tool(n))
}

fn refusal(opcode: Opcode) -> FrameBuilder {
    FrameBuilder::response(opcode, Status::KEY_ENOENT).opaque(op(O))
}

/// What is said crosses as it was said.
#[track_caller]
fn crosses_to_producer(stage: &mut Stage, frame: FrameBuilder) {
    stage.c(frame.clone());
    assert_eq!(stage.at_producer(), [say(&frame.build())]);
}

#[track_caller]
fn crosses_to_consumer(stage: &mut Stage, frame: FrameBuilder) {
    stage.p(frame.clone());
    assert_eq!(stage.at_consumer(), [say(&frame.build())]);
}

/// The step is over; the settling time and its proof follow.
fn settles(stage: &mut Stage, n: u16) {
    assert_eq!(stage.acts(), [Act::Settling]);
    assert_eq!(stage.wait_for_producer(5000), 2000);
    assert_eq!(stage.at_producer(), [format!("NOOP vb0 {}", tool(n))]);
    stage.p(tools_answer(n, Opcode::NOOP));
    assert_eq!((stage.acts(), stage.at_consumer()), (vec![Act::Settled], vec![]));
}

#[test]
fn at_end_the_consumer_is_told_stream_end_and_answers_for_itself() {
    let mut stage = fired("close-at-end");
    assert_eq!(
        stage.at_consumer(),
        ["DCP_MUTATION vb0 0x00000011 seqno 3", "DCP_STREAM_END vb0 0x00000011 end_reason=2"]
    );
    assert_eq!(stage.at_producer(), [""; 0]);
    // It refuses what comes now; that is its own orphaned response, and goes on to the producer.
    crosses_to_consumer(&mut stage, mutation(0, op(O), 4));
    crosses_to_producer(&mut stage, refusal(Opcode::DCP_MUTATION));
    // What it says to the forged frame itself is one too.
    crosses_to_producer(&mut stage, refusal(Opcode::DCP_STREAM_END));
    // At the end of the snapshot the producer is told to close.
    stage.p(mutation(0, op(O), 5));
    assert_eq!(stage.at_consumer(), ["DCP_MUTATION vb0 0x00000011 seqno 5"]);
    assert_eq!(stage.at_producer(), ["DCP_CLOSE_STREAM vb0 0xdc0d0001"]);
    stage.p(tools_answer(1, Opcode::DCP_CLOSE_STREAM));
    assert_eq!(stage.at_consumer(), [""; 0]);
    crosses_to_consumer(&mut stage, stream_end(0, op(O), 1));
    settles(&mut stage, 2);
}

#[test]
fn at_end_the_window_comes_out_even() {
    let mut stage = fired("close-at-end");
    stage.forget();
    // The consumer acknowledges what it got: the marker, three mutations, and the forged end of 28 bytes.
    let sent = charge(&marker(0, op(O), 1, 5)) + 3 * charge(&mutation(0, op(O), 1));
    stage.c(buffer_ack(sent + 28));
    assert_eq!(stage.at_producer(), [format!("DCP_BUFFER_ACK vb0 0xdc0d0001 bytes_to_ack={sent}")]);
    crosses_to_producer(&mut stage, buffer_ack(77));
}

#[test]
fn at_consumer_it_is_told_to_close_and_its_answer_is_withheld() {
    let mut stage = fired("close-at-consumer");
    assert_eq!(stage.at_consumer(), ["DCP_MUTATION vb0 0x00000011 seqno 3", "DCP_CLOSE_STREAM vb0 0xdc0d0001"]);
    stage.c(tools_answer(1, Opcode::DCP_CLOSE_STREAM));
    assert_eq!(stage.at_producer(), [""; 0]);
    crosses_to_consumer(&mut stage, mutation(0, op(O), 4));
    crosses_to_producer(&mut stage, refusal(Opcode::DCP_MUTATION));
    crosses_to_producer(&mut stage, buffer_ack(100));
    stage.p(mutation(0, op(O), 5));
    assert_eq!(stage.at_producer(), ["DCP_CLOSE_STREAM vb0 0xdc0d0002"], "at the end of the snapshot");
    stage.p(tools_answer(2, Opcode::DCP_CLOSE_STREAM));
    assert_eq!(stage.at_consumer(), ["DCP_MUTATION vb0 0x00000011 seqno 5"]);
    settles(&mut stage, 3);
}

#[test]
fn at_both_the_producer_is_told_once_the_consumer_has_answered() {
    let mut stage = fired("close-at-both");
    assert_eq!(stage.at_consumer()[1..], ["DCP_CLOSE_STREAM vb0 0xdc0d0001"]);
    stage.p(mutation(0, op(O), 4));
    assert_eq!(stage.at_producer(), [""; 0]);
    stage.c(tools_answer(1, Opcode::DCP_CLOSE_STREAM));
    assert_eq!(stage.at_producer(), ["DCP_CLOSE_STREAM vb0 0xdc0d0002"]);
    stage.p(tools_answer(2, Opcode::DCP_CLOSE_STREAM));
    stage.forget();
    crosses_to_consumer(&mut stage, stream_end(0, op(O), 1));
}

#[test]
fn at_producer_it_is_told_at_once_and_all_that_it_says_is_relayed() {
    let mut stage = fired("close-at-producer");
    assert_eq!(stage.at_producer(), ["DCP_CLOSE_STREAM vb0 0xdc0d0001"]);
    assert_eq!(stage.at_consumer(), ["DCP_MUTATION vb0 0x00000011 seqno 3"]);
    crosses_to_consumer(&mut stage, mutation(0, op(O), 4));
    stage.p(tools_answer(1, Opcode::DCP_CLOSE_STREAM));
    assert_eq!(stage.at_consumer(), [""; 0], "its answer is withheld");
    crosses_to_consumer(&mut stage, stream_end(0, op(O), 1));
    settles(&mut stage, 2);
}

#[test]
fn an_end_that_does_not_answer_is_not_waited_for_for_ever() {
    for scenario in ["close-at-consumer", "close-at-both", "close-at-producer", "close-at-end"] {
        let mut stage = fired(scenario);
        let mut settling = false;
        for _ in 0..100 {
            stage.wait_ms(500);
            settling |= stage.acts().contains(&Act::Settling);
        }
        assert!(settling, "{scenario}");
    }
}

#[test]
fn a_stream_id_is_repeated() {
    let controls = [CONTROLS[1], ("enable_stream_id", "true")];
    let mut stage = Stage::opened(plan("close-at-both", Some(Era::V7_0)), &controls);
    let value = dcp::StreamReqValue { sid: Some(5), ..dcp::StreamReqValue::default() };
    stage.c(dcp::StreamReq { end_seqno: 99, vb_uuid: 7, value: Some(Box::new(value)), ..Default::default() }
        .request(0, op(O)));
    stage.p(stream_ok(O));
    stage.forget();
    stage.p(marker(0, op(O), 1, 50).stream_id(Some(5)));
    for n in 1..=3 {
        stage.p(mutation(0, op(O), n).stream_id(Some(5)));
    }
    let close = |n| dcp::CloseStream.request(0, tool(n)).stream_id(Some(5)).build();
    assert_eq!(stage.frames_at(CONSUMER).last().unwrap(), &close(1));
    stage.c(tools_answer(1, Opcode::DCP_CLOSE_STREAM));
    assert_eq!(stage.frames_at(PRODUCER), [close(2)]);
}

#[test]
fn an_orphan_response_comes_out_of_nothing() {
    let text = "name = \"x\"\nabout = \"y\"\n[[steps]]\nname = \"close\"\n\
                do = { orphan_response = { message = \"DCP_PREPARE\", status = \"KeyEnoent\", count = 3 } }\n";
    let scenarios = vec![Scenario::parse(text).unwrap()];
    let mut stage = Stage::opened(Plan { scenarios, ..plan("close-at-end", Some(Era::V2019_07)) }, &CONTROLS);
    stage.stream(0, O, 0);
    stage.p(marker(0, op(O), 1, 50));
    for n in 1..=4 {
        stage.p(mutation(0, op(O), n));
    }
    assert_eq!(stage.at_consumer().len(), 5, "nothing is kept from the consumer");
    assert_eq!(stage.wait_for_producer(100), 50);
    assert_eq!(stage.at_producer(), vec!["DCP_PREPARE KeyEnoent 0x00000011 status_name=\"KeyEnoent\""; 3]);
    assert_eq!(stage.wait_for_producer(1000), 150);
    assert_eq!(stage.at_producer(), ["NOOP vb0 0xdc0d0001"]);
    crosses_to_consumer(&mut stage, mutation(0, op(O), 5));
}
