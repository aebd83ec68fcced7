//! What the two ends do while a stream is cut: requests of the consumer, closes of either.

use dcproxy::dcp;
use dcproxy::era::Era;
use dcproxy::journal::{Act, How};
use dcproxy::scenario::Plan;
use dcproxy::wire::{FrameBuilder, Header, Opcode, Status};

use super::stage::*;

const CONTROLS: [(&str, &str); 2] =
    [("connection_buffer_size", "10000"), ("send_stream_end_on_client_close_stream", "true")];
const O: u32 = 17;

fn mutations_only() -> Plan {
    plan_for("orphaned-responses", Era::V7_0, [Opcode::DCP_MUTATION])
}

/// Streams of vbuckets 0 and 1 flow; that of 0 is cut at seqno 3.
fn cut() -> Stage {
    cut_with(mutations_only(), &CONTROLS)
}

fn cut_with(plan: Plan, controls: &[(&str, &str)]) -> Stage {
    let mut stage = Stage::opened(plan, controls);
    stage.stream(0, O, 0);
    stage.stream(1, O + 1, 0);
    stage.p(marker(0, op(O), 1, 40));
    for n in 1..=3 {
        stage.p(mutation(0, op(O), n));
    }
    assert!(matches!(stage.acts()[..], [Act::Fired { seqno: 2, .. }]));
    stage.frames_at(CONSUMER);
    stage.wait_ms(50);
    let got = stage.at_producer();
    assert_eq!(got.last().unwrap(), "DCP_MUTATION KeyEnoent 0x00000011 status_name=\"KeyEnoent\"");
    stage
}

/// The producer does what it should with every request of the tool's, until it has settled, or `until` is sent to the
/// producer; what else the producer got.
fn go_on(stage: &mut Stage, until: Option<Opcode>) -> Vec<String> {
    let (mut others, mut there) = (Vec::new(), false);
    for _ in 0..60_000 {
        for frame in stage.frames_at(PRODUCER) {
            let header = Header::parse_slice(&frame).unwrap();
            let is_tools = header.opaque.0[..2] == [0xdc, 0x0d];
            let answer = |status| FrameBuilder::response(header.opcode, status).opaque(header.opaque);
            if !is_tools || Some(header.opcode) == until {
                there |= Some(header.opcode) == until;
                others.push(say(&frame));
                continue;
            }
            match header.opcode {
                Opcode::DCP_CLOSE_STREAM => {
                    stage.p(answer(Status::SUCCESS));
                    let replayed = stage.journal().iter().any(|e| format!("{e:?}").contains("Resuming"));
                    let opaque = if replayed { stage.request_of_tool(Opcode::DCP_STREAM_REQ).opaque } else { op(O) };
                    stage.p(stream_end(0, opaque, dcp::StreamEnd::CLOSED));
                }
                Opcode::DCP_STREAM_REQ => {
                    stage.p(stream_opened(header.opaque));
                    stage.p(marker(0, header.opaque, 1, 40));
                    for n in 3..=9 {
                        stage.p(mutation(0, header.opaque, n));
                    }
                }
                Opcode::DCP_BUFFER_ACK => {}
                _ => stage.p(answer(Status::SUCCESS)),
            }
        }
        if stage.engine.is_settled() || there {
            return others;
        }
        stage.wait_ms(1);
    }
    panic!("it never comes to an end: {others:?}");
}

#[test]
fn a_request_of_the_consumers_own_waits_and_is_then_answered_to_it() {
    let mut stage = cut();
    let request = stream_req(0, 99, 2);
    stage.c(request.clone());
    assert_eq!(stage.at_producer(), [""; 0], "it waits");
    let got = go_on(&mut stage, None);
    assert_eq!(got.iter().filter(|line| line.starts_with("DCP_STREAM_REQ")).count(), 1, "{got:?}");
    assert_eq!(*got.last().unwrap(), say(&request.build()), "it goes on as it came, after all else");
    assert_eq!(stage.at_consumer(), ["DCP_STREAM_END vb0 0x00000011 end_reason=2"]);
    stage.p(stream_ok(99));
    stage.p(marker(0, op(99), 1, 40));
    stage.p(mutation(0, op(99), 3));
    let got = stage.at_consumer();
    assert_eq!(got.len(), 3);
    assert!(got[0].starts_with("DCP_STREAM_REQ Success 0x00000063"), "its answer is its own: {got:?}");
    assert_eq!(got[2], "DCP_MUTATION vb0 0x00000063 seqno 3");
}

#[test]
fn requests_behind_one_that_waits_keep_their_order() {
    let mut stage = cut();
    let asked = [stream_req(0, 99, 2), dcp::GetFailoverLog.request(1, op(100)), stream_req(2, 101, 0)];
    for frame in asked.clone() {
        stage.c(frame);
    }
    assert_eq!(stage.at_producer(), [""; 0], "they wait");
    // What is not answered passes them, and so does an answer.
    let passing = [
        dcp::SeqnoAck { prepared_seqno: 5 }.request(1, op(O + 1)),
        FrameBuilder::response(Opcode::DCP_NOOP, Status::SUCCESS).opaque(op(80)),
    ];
    for frame in passing {
        stage.c(frame.clone());
        assert_eq!(stage.at_producer(), [say(&frame.build())]);
    }
    let got = go_on(&mut stage, None);
    let expected = asked.map(|frame| say(&frame.build()));
    assert_eq!(got[got.len() - 3..], expected, "as they were asked");
}

#[test]
fn a_request_with_the_opaque_of_the_cut_stream_gets_its_messages() {
    let mut stage = cut();
    stage.c(stream_req(0, O, 2));
    go_on(&mut stage, None);
    stage.forget();
    stage.p(stream_ok(O));
    stage.p(marker(0, op(O), 1, 40));
    stage.p(mutation(0, op(O), 3));
    assert_eq!(stage.at_consumer().len(), 3);
}

#[test]
fn requests_for_other_vbuckets_do_not_wait() {
    let mut stage = cut();
    for frame in [
        stream_req(2, 77, 0),
        dcp::CloseStream.request(1, op(78)),
        dcp::SeqnoAck { prepared_seqno: 5 }.request(1, op(O + 1)),
        dcp::GetFailoverLog.request(0, op(79)),
        FrameBuilder::response(Opcode::DCP_NOOP, Status::SUCCESS).opaque(op(80)),
    ] {
        stage.c(frame.clone());
        assert_eq!(stage.at_producer(), [say(&frame.build())]);
    }
    for frame in [
        stream_ok(77),
        ok(Opcode::DCP_CLOSE_STREAM, 78),
        stream_end(1, op(O + 1), dcp::StreamEnd::CLOSED),
        marker(2, op(77), 1, 9),
        mutation(2, op(77), 1),
        dcp::DcpNoop.request(op(80)),
    ] {
        stage.p(frame.clone());
        assert_eq!(stage.at_consumer(), [say(&frame.build())]);
    }
}

#[test]
fn the_consumer_closes_the_cut_stream_itself() {
    let mut stage = cut();
    stage.c(dcp::CloseStream.request(0, op(55)));
    assert_eq!(stage.at_producer(), [""; 0]);
    assert_eq!(
        stage.at_consumer(),
        [
            "DCP_STREAM_END vb0 0x00000011 end_reason=2",
            "DCP_CLOSE_STREAM KeyEnoent 0x00000037 status_name=\"KeyEnoent\""
        ],
        "as from a producer that ended the stream just before"
    );
    go_on(&mut stage, None);
    assert_eq!(stage.at_consumer(), [""; 0], "it is told once");
}

#[test]
fn a_seqno_ack_for_the_cut_stream_is_taken_in_silence() {
    let mut stage = cut();
    stage.c(dcp::SeqnoAck { prepared_seqno: 2 }.request(0, op(O)));
    assert_eq!((stage.at_producer(), stage.at_consumer()), (vec![], vec![]));
}

#[test]
fn the_other_stream_goes_on_untouched() {
    let mut stage = cut();
    for n in 1..=60_u64 {
        let frame = if n % 10 == 1 { marker(1, op(O + 1), n, n + 9) } else { mutation(1, op(O + 1), n) };
        stage.p(frame.clone());
        stage.p(mutation(0, op(O), 3 + n));
        assert_eq!(stage.at_consumer(), [say(&frame.build())]);
    }
}

#[test]
fn the_producer_ends_the_stream_itself() {
    let mut stage = cut();
    stage.p(stream_end(0, op(O), dcp::StreamEnd::STATE_CHANGED));
    assert_eq!(stage.at_consumer(), [""; 0]);
    let got = go_on(&mut stage, Some(Opcode::DCP_STREAM_REQ));
    let closes = stage.journal().iter().filter(|e| format!("{e:?}").contains("CloseStream")).count();
    assert_eq!(closes, 0, "what has ended is not closed");
    assert!(got.iter().any(|line| line.starts_with("DCP_STREAM_END KeyEnoent")), "its end is answered too: {got:?}");
    assert_eq!(stage.at_consumer(), ["DCP_STREAM_END vb0 0x00000011 end_reason=2"]);
}

#[test]
fn without_stream_end_two_proofs_show_that_nothing_more_comes() {
    let mut stage = cut_with(mutations_only(), &CONTROLS[..1]);
    stage.p(marker(0, op(O), 41, 80));
    let got = stage.at_producer();
    assert!(got[0].starts_with("DCP_CLOSE_STREAM"), "{got:?}");
    stage.answer(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS);
    stage.frames_at(PRODUCER);
    stage.p(mutation(0, op(O), 4));
    assert_eq!(stage.at_consumer(), [""; 0], "a message that lingers is swallowed");
    stage.wait_ms(149);
    let noops = |got: Vec<String>| got.iter().filter(|line| line.starts_with("NOOP")).count();
    assert_eq!(noops(stage.at_producer()), 0);
    stage.wait_ms(1);
    assert_eq!(noops(stage.at_producer()), 2, "one for the burst, one for the close");
    assert_eq!(stage.at_consumer(), [""; 0]);
}

#[test]
fn what_lingers_after_all_is_done_is_for_nobody_and_given_back() {
    let mut stage = cut();
    go_on(&mut stage, None);
    let replay = stage.request_of_tool(Opcode::DCP_STREAM_REQ).opaque;
    stage.forget();
    for opaque in [op(O), replay] {
        let frame = mutation(0, opaque, 10);
        stage.p(frame.clone());
        assert_eq!(stage.at_consumer(), [""; 0]);
        let given = format!("bytes_to_ack={}", charge(&frame));
        let got = stage.at_producer();
        assert!(matches!(&got[..], [ack] if ack.starts_with("DCP_BUFFER_ACK") && ack.ends_with(&given)), "{got:?}");
    }
    // A message of a stream that nobody has cut is not the tool's business, even where there is no such stream.
    stage.p(mutation(0, op(0x5555), 10));
    assert_eq!(stage.at_consumer(), ["DCP_MUTATION vb0 0x00005555 seqno 10"]);
}

#[test]
fn the_consumer_acknowledges_the_forged_end_and_the_producer_gets_only_what_it_sent() {
    let mut stage = cut_with(mutations_only(), &CONTROLS[..1]);
    go_on_without_ends(&mut stage);
    stage.forget();
    stage.c(buffer_ack(20));
    assert_eq!(stage.at_producer(), [""; 0]);
    stage.c(buffer_ack(20));
    let got = stage.at_producer();
    assert!(matches!(&got[..], [ack] if ack.ends_with("bytes_to_ack=12")), "28 of 40 are for the forged end: {got:?}");
    stage.c(buffer_ack(20));
    assert_eq!(stage.at_producer(), ["DCP_BUFFER_ACK vb0 0x00000000 bytes_to_ack=20"], "and then as it comes");
}

fn go_on_without_ends(stage: &mut Stage) {
    for _ in 0..40_000 {
        for frame in stage.frames_at(PRODUCER) {
            let header = Header::parse_slice(&frame).unwrap();
            match header.opcode {
                Opcode::DCP_STREAM_REQ => {
                    stage.p(stream_opened(header.opaque));
                    stage.p(mutation(0, header.opaque, 3));
                }
                _ if header.is_request() && header.opcode != Opcode::DCP_BUFFER_ACK => {
                    stage.p(FrameBuilder::response(header.opcode, Status::SUCCESS).opaque(header.opaque));
                }
                _ => {}
            }
        }
        if stage.engine.is_settled() {
            return;
        }
        stage.wait_ms(1);
    }
    panic!("it never comes to an end");
}

#[test]
fn a_consumer_that_closes_in_the_middle_is_stood_in_for() {
    for how in [How::Fin, How::Reset] {
        let mut stage = cut();
        stage.closed(CONSUMER, how);
        assert_eq!(stage.closes(), [], "what was begun is brought to its end first");
        assert!(!stage.engine.is_settled());
        let noop = FrameBuilder::request(Opcode::DCP_NOOP).opaque(dcproxy::wire::Opaque([9, 9, 9, 9]));
        stage.forget();
        stage.p(noop);
        let answers = stage.at_producer();
        assert!(answers.iter().any(|line| line.starts_with("DCP_NOOP") && line.contains("0x09090909")), "{answers:?}");
        while !stage.engine.is_settled() {
            answer_one_round(&mut stage);
        }
        assert!(stage.acts().contains(&Act::Settled));
        assert_eq!(stage.closes(), [(PRODUCER, how)], "then the close goes on as it came");
    }
}

#[test]
fn the_producer_closes_the_connection_in_the_middle() {
    for how in [How::Fin, How::Reset] {
        let mut stage = cut();
        stage.closed(PRODUCER, how);
        assert_eq!(stage.closes(), [(CONSUMER, how)]);
        assert!(stage.engine.is_settled());
        stage.wait_ms(20_000);
        assert_eq!(stage.frames_at(CONSUMER).len(), 0);
        assert!(!stage.acts().contains(&Act::Settled));
    }
}

#[test]
fn a_close_of_the_consumer_waits_for_the_settling() {
    let mut stage = cut();
    while !stage.acts().contains(&Act::Settling) {
        answer_one_round(&mut stage);
    }
    stage.forget();
    stage.closed(CONSUMER, How::Fin);
    assert_eq!(stage.closes(), [], "the producer is watched to the end");
    let mut waited = 1 + stage.wait_for_producer(5000);
    assert!(stage.at_producer()[0].starts_with("DCP_BUFFER_ACK"), "what the consumer had got is acknowledged for it");
    stage.forget();
    waited += stage.wait_for_producer(5000);
    assert_eq!(waited, 2000);
    assert!(stage.at_producer()[0].starts_with("NOOP"));
    stage.answer(Opcode::NOOP, Status::SUCCESS);
    assert_eq!(stage.closes(), [(PRODUCER, How::Fin)]);
    assert!(stage.engine.is_settled());
}

#[test]
fn a_producer_that_closes_while_the_consumers_close_waits_gets_that_too() {
    let mut stage = cut();
    while !stage.acts().contains(&Act::Settling) {
        answer_one_round(&mut stage);
    }
    stage.closed(CONSUMER, How::Fin);
    assert_eq!(stage.closes(), []);
    stage.closed(PRODUCER, How::Reset);
    let mut closes = stage.closes();
    closes.sort();
    assert_eq!(closes, [(CONSUMER, How::Reset), (PRODUCER, How::Fin)]);
}

/// The producer answers what it has got so far, then a millisecond passes.
fn answer_one_round(stage: &mut Stage) {
    for frame in stage.frames_at(PRODUCER) {
        let header = Header::parse_slice(&frame).unwrap();
        if !header.is_request() || header.opcode == Opcode::DCP_BUFFER_ACK {
            continue;
        }
        if header.opcode == Opcode::DCP_STREAM_REQ {
            stage.p(FrameBuilder::response(header.opcode, Status::KEY_ENOENT).opaque(header.opaque));
        } else {
            stage.p(FrameBuilder::response(header.opcode, Status::SUCCESS).opaque(header.opaque));
        }
        if header.opcode == Opcode::DCP_CLOSE_STREAM {
            stage.p(stream_end(0, op(O), dcp::StreamEnd::CLOSED));
        }
    }
    stage.wait_ms(1);
}

#[test]
fn a_producer_that_falls_mute_leaves_the_consumer_with_an_ended_stream() {
    let mut stage = cut();
    stage.c(stream_req(0, 99, 2));
    // The first NOOP is never answered.
    stage.wait_ms(30_000);
    assert!(stage.engine.is_settled());
    assert_eq!(stage.at_consumer(), ["DCP_STREAM_END vb0 0x00000011 end_reason=2"]);
    let got = stage.at_producer();
    assert!(got.last().unwrap().starts_with("DCP_STREAM_REQ vb0 0x00000063"), "{got:?}");
}

#[test]
fn a_window_that_was_narrowed_is_widened_whatever_happens() {
    // The request of the tool's own is never answered; all else is.
    let mut stage = cut();
    let mut got = Vec::new();
    for _ in 0..60_000 {
        for frame in stage.frames_at(PRODUCER) {
            got.push(say(&frame));
            let header = Header::parse_slice(&frame).unwrap();
            if header.is_request() && ![Opcode::DCP_STREAM_REQ, Opcode::DCP_BUFFER_ACK].contains(&header.opcode) {
                stage.p(FrameBuilder::response(header.opcode, Status::SUCCESS).opaque(header.opaque));
            }
            if header.opcode == Opcode::DCP_CLOSE_STREAM && header.is_request() {
                stage.p(stream_end(0, op(O), dcp::StreamEnd::CLOSED));
            }
        }
        if stage.engine.is_settled() {
            break;
        }
        stage.wait_ms(1);
    }
    let windows: Vec<_> = got.iter().filter(|line| line.contains("connection_buffer_size")).collect();
    assert_eq!(windows.len(), 2, "{got:#?}");
    assert!(windows[1].ends_with("value=\"10000\""), "{windows:?}");
    assert_eq!(got.iter().filter(|line| line.starts_with("DCP_CLOSE_STREAM")).count(), 2, "and the stream is closed");
}
