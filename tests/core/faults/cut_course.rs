//! The course of `cut` (design.md §6), step by step: what the two ends get, in which order, and when.

use dcproxy::dcp;
use dcproxy::era::Era;
use dcproxy::journal::Act;
use dcproxy::wire::{FrameBuilder, Opcode, Status};

use super::stage::*;

/// All that makes every message type possible.
const CONTROLS: [(&str, &str); 4] = [
    ("connection_buffer_size", "10000"),
    ("enable_expiry_opcode", "true"),
    ("enable_sync_writes", "true"),
    ("send_stream_end_on_client_close_stream", "true"),
];

/// The cut stream.
const O: u32 = 17;

/// Mutations 1 and 2 have crossed; a snapshot up to 40 is open.
fn flowing(stage: &mut Stage) {
    stage.stream(0, O, 0);
    stage.p(marker(0, op(O), 1, 40));
    stage.p(mutation(0, op(O), 1));
    stage.p(mutation(0, op(O), 2));
    assert_eq!(stage.at_producer(), [""; 0], "nothing is injected before the trigger");
    assert_eq!(stage.at_consumer().len(), 3);
}

/// What the producer gets in answer to a message of the cut stream.
fn refused(message: &str, status: &str) -> String {
    format!("DCP_{message} {status} 0x00000011 status_name=\"{status}\"")
}

#[test]
fn version_is_asked_once_open_is_accepted_and_its_answer_is_withheld() {
    let mut stage = Stage::new(plan("orphaned-responses", None));
    stage.c(dcp::Hello { agent: "c".into(), features: vec![] }.request(op(1)));
    stage.p(dcp::HelloResponse { features: vec![] }.response(op(1)));
    stage.c(open(2));
    stage.c(dcp::Noop.request(op(8)));
    stage.p(ok(Opcode::NOOP, 8));
    assert_eq!(stage.at_producer().len(), 3, "nothing is asked before DCP_OPEN is accepted");
    stage.p(FrameBuilder::response(Opcode::DCP_OPEN, Status::EINVAL).opaque(op(2)));
    assert_eq!(stage.at_producer(), [""; 0], "a refused DCP_OPEN makes no producer");
    stage.c(open(3));
    stage.forget();
    stage.p(ok(Opcode::DCP_OPEN, 3));
    assert_eq!(stage.at_consumer(), ["DCP_OPEN Success 0x00000003"]);
    assert_eq!(stage.at_producer(), ["VERSION vb0 0xdc0d0001"]);
    stage.c(dcp::Version.request(op(9)));
    assert_eq!(stage.at_producer(), ["VERSION vb0 0x00000009"]);
    stage.p(dcp::VersionResponse { version: "6.5.2-1".into() }.response(tool(1)));
    assert_eq!(stage.at_consumer(), [""; 0]);
    stage.p(dcp::VersionResponse { version: "6.5.2-1".into() }.response(op(9)));
    assert_eq!(stage.at_consumer(), ["VERSION Success 0x00000009 version=\"6.5.2-1\""]);
    stage.wait_ms(3000);
    assert_eq!(stage.at_producer(), [""; 0], "it is asked once");
}

#[test]
fn a_given_era_asks_no_version() {
    let mut stage = Stage::new(plan("orphaned-responses", Some(Era::V7_0)));
    stage.c(open(2));
    stage.forget();
    stage.p(ok(Opcode::DCP_OPEN, 2));
    assert_eq!(stage.at_producer(), [""; 0]);
    stage.wait_ms(3000);
    assert_eq!(stage.at_producer(), [""; 0]);
}

#[test]
fn the_whole_course_with_every_message_type() {
    let mut stage = Stage::opened(plan("orphaned-responses", Some(Era::V7_0)), &CONTROLS);
    flowing(&mut stage);

    // The trigger: in the middle of a snapshot, behind what the consumer has got. Its message is the first swallowed.
    let mut owed = 0;
    let mut swallow = |stage: &mut Stage, frame: FrameBuilder| {
        owed += charge(&frame);
        stage.p(frame);
        assert_eq!(stage.at_consumer(), [""; 0], "the cut stream is swallowed");
        owed
    };
    swallow(&mut stage, mutation(0, op(O), 3));
    let fired = Act::Fired { step: "cut".into(), vbucket: 0, stream_id: None, opaque: op(O), seqno: 2, cut: true };
    assert_eq!(stage.acts(), [fired]);

    // What comes is gathered for a moment, then answered burst by burst, each after the proof of life of the one before.
    swallow(&mut stage, mutation(0, op(O), 4));
    swallow(&mut stage, mutation(0, op(O), 5));
    swallow(&mut stage, deletion(0, op(O), 6));
    swallow(&mut stage, expiration(0, op(O), 7));
    swallow(&mut stage, system_event(0, op(O), 8));
    assert_eq!(stage.at_producer(), [""; 0], "one burst, one blame");
    stage.wait_ms(19);
    assert_eq!(stage.at_producer(), [""; 0]);
    stage.wait_ms(1);
    let lump = swallow(&mut stage, prepare(0, op(O), 9)) - charge(&prepare(0, op(O), 9));
    assert_eq!(stage.at_producer(), [format!("DCP_BUFFER_ACK vb0 0xdc0d0001 bytes_to_ack={lump}")]);
    swallow(&mut stage, prepare(0, op(O), 10));
    swallow(&mut stage, commit(0, op(O), 11));
    let all = swallow(&mut stage, abort(0, op(O), 12));
    assert_eq!(stage.ms(), 20);
    stage.wait_ms(0);
    let rest = all - lump;
    assert_eq!(stage.at_producer(), [format!("DCP_BUFFER_ACK vb0 0xdc0d0002 bytes_to_ack={rest}")]);
    stage.wait_ms(29);
    assert_eq!(stage.at_producer(), [""; 0]);
    stage.wait_ms(1);
    assert_eq!((stage.ms(), stage.at_producer()), (50, vec![refused("MUTATION", "KeyEnoent"); 3]));
    stage.wait_ms(149);
    assert_eq!(stage.at_producer(), [""; 0]);
    stage.wait_ms(1);
    assert_eq!((stage.ms(), stage.at_producer()), (200, vec!["NOOP vb0 0xdc0d0003".to_owned()]));

    // An unanswered NOOP keeps the next burst back.
    stage.wait_ms(150);
    assert_eq!(stage.at_producer(), [""; 0]);
    let mut closed = 0;
    for (messages, status) in [
        (vec!["DELETION"], "KeyEnoent"),
        (vec!["EXPIRATION"], "KeyEnoent"),
        (vec!["SYSTEM_EVENT"], "KeyEnoent"),
        (vec!["PREPARE"; 2], "KeyEnoent"),
        (vec!["COMMIT"], "DcpStreamNotFound"),
        (vec!["ABORT"], "DcpStreamNotFound"),
    ] {
        stage.answer(Opcode::NOOP, Status::SUCCESS);
        assert_eq!(stage.at_consumer(), [""; 0], "the answer is withheld");
        let burst: Vec<_> = messages.iter().map(|message| refused(message, status)).collect();
        assert_eq!(stage.at_producer(), burst);
        for waited in 1..=150 {
            stage.wait_ms(1);
            let mut got = stage.at_producer();
            // All that is wanted has been met, and no marker comes: a moment later the stream is closed.
            if got.first().is_some_and(|line| line.starts_with("DCP_CLOSE_STREAM vb0")) {
                assert!((520..=621).contains(&stage.ms()), "{} ms", stage.ms());
                closed += 1;
                got.remove(0);
            }
            let noops = got.iter().filter(|line| line.starts_with("NOOP vb0")).count();
            assert_eq!((noops, got.len()), if waited == 150 { (1, 1) } else { (0, 0) }, "after {waited} ms: {got:?}");
        }
    }
    assert_eq!(closed, 1);
}

#[test]
fn the_rest_of_the_course_once_all_that_is_wanted_was_met() {
    let plan = plan_for("orphaned-responses", Era::V7_0, [Opcode::DCP_MUTATION, Opcode::DCP_STREAM_END]);
    let mut stage = Stage::opened(plan, &CONTROLS);
    flowing(&mut stage);
    // The consumer has acknowledged nothing of what it got.
    let before = charge(&marker(0, op(O), 1, 40)) + 2 * charge(&mutation(0, op(O), 1));
    stage.p(mutation(0, op(O), 3));
    // The marker that is waited for is answered last, once the producer has closed the stream too.
    stage.p(marker(0, op(O), 41, 80));
    assert_eq!(stage.at_consumer(), [""; 0]);
    assert_eq!(stage.at_producer(), ["DCP_CLOSE_STREAM vb0 0xdc0d0001"]);
    stage.p(mutation(0, op(O), 4));
    stage.p(FrameBuilder::response(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS).opaque(tool(1)));
    stage.p(stream_end(0, op(O), 1));
    assert_eq!(stage.at_consumer(), [""; 0], "neither the answer nor the end goes to the consumer");
    let end = charge(&stream_end(0, op(O), 1));
    let swallowed = 2 * charge(&mutation(0, op(O), 3)) + charge(&marker(0, op(O), 41, 80)) + end;
    assert_eq!(stage.at_producer(), [format!("DCP_BUFFER_ACK vb0 0xdc0d0002 bytes_to_ack={swallowed}")]);

    // Each kind has its burst and its proof.
    stage.wait_ms(50);
    let mut n = 2;
    for (message, count) in [("STREAM_END", 1), ("SNAPSHOT_MARKER", 1), ("MUTATION", 2)] {
        assert_eq!(stage.at_producer(), vec![refused(message, "KeyEnoent"); count]);
        stage.wait_ms(150);
        n += 1;
        assert_eq!(stage.at_producer(), [format!("NOOP vb0 {}", tool(n))]);
        assert_eq!(stage.at_consumer(), [""; 0]);
        stage.p(FrameBuilder::response(Opcode::NOOP, Status::SUCCESS).opaque(tool(n)));
    }

    // The consumer is told once. The window is made as small as what it has not acknowledged and half of what is to come.
    assert_eq!(stage.at_consumer(), ["DCP_STREAM_END vb0 0x00000011 end_reason=2"]);
    let narrow = before + swallowed / 2;
    assert_eq!(
        stage.at_producer(),
        [format!("DCP_CONTROL vb0 0xdc0d0007 key=\"connection_buffer_size\" value=\"{narrow}\"")]
    );
    stage.p(FrameBuilder::response(Opcode::DCP_CONTROL, Status::SUCCESS).opaque(tool(7)));

    // The stream is requested again from where the consumer was.
    assert_eq!(
        stage.at_producer(),
        ["DCP_STREAM_REQ vb0 0xdc0d0006 flags=0 reserved=0 start_seqno=2 end_seqno=18446744073709551615 \
          vb_uuid=2748 snap_start_seqno=1 snap_end_seqno=40"]
    );
    assert_eq!(
        stage.acts()[1..],
        [Act::Narrowed(Some(narrow)), Act::Resuming { cut: op(O), opaque: tool(6), start_seqno: 2 }]
    );
    stage.p(stream_opened(tool(6)));
    let replayed = [marker(0, tool(6), 1, 40), mutation(0, tool(6), 3)];
    for frame in &replayed {
        stage.p(frame.clone());
    }
    let (full, again) = (before + replayed.iter().map(charge).sum::<u32>(), charge(&mutation(0, tool(6), 4)));
    assert!(full >= narrow, "the window is full: {full} of {narrow}");
    assert_eq!(
        stage.at_producer(),
        [
            "DCP_CONTROL vb0 0xdc0d0008 key=\"connection_buffer_size\" value=\"10000\"".to_owned(),
            format!("DCP_BUFFER_ACK vb0 0xdc0d0009 bytes_to_ack={}", replayed.iter().map(charge).sum::<u32>()),
        ],
        "the window gets its size back, then what it is owed"
    );
    stage.p(FrameBuilder::response(Opcode::DCP_CONTROL, Status::SUCCESS).opaque(tool(8)));
    assert_eq!(stage.acts(), [Act::Narrowed(None)]);
    stage.p(mutation(0, tool(6), 4));
    assert_eq!(stage.at_producer(), ["DCP_CLOSE_STREAM vb0 0xdc0d000a"], "all that was swallowed has come again");
    stage.p(FrameBuilder::response(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS).opaque(tool(10)));
    stage.p(stream_end(0, tool(6), 1));
    assert_eq!(stage.at_producer(), [format!("DCP_BUFFER_ACK vb0 0xdc0d000b bytes_to_ack={}", again + end)]);
    assert_eq!(stage.at_consumer(), [""; 0], "what the tool requested for itself is withheld");

    // Then the settling time, and its proof of life.
    assert_eq!(stage.acts(), [Act::Settling]);
    let waited = stage.wait_for_producer(5000);
    assert_eq!((waited, stage.at_producer()), (2000, vec!["NOOP vb0 0xdc0d000c".to_owned()]));
    assert!(!stage.engine.is_settled());
    stage.p(FrameBuilder::response(Opcode::NOOP, Status::SUCCESS).opaque(tool(12)));
    assert_eq!((stage.acts(), stage.at_consumer()), (vec![Act::Settled], vec![]));
    assert!(stage.engine.is_settled());
    stage.wait_ms(20_000);
    assert_eq!(stage.at_producer(), [""; 0]);
}

#[test]
fn injected_frames_are_exactly_these_bytes() {
    let plan = plan_for("orphaned-responses", Era::V7_0, [Opcode::DCP_MUTATION]);
    let mut stage = Stage::opened(plan, &CONTROLS);
    flowing(&mut stage);
    stage.p(mutation(0, op(O), 3));
    stage.wait_ms(200);
    let got: Vec<String> = stage.frames_at(PRODUCER).iter().map(hex::encode).collect();
    assert_eq!(
        got,
        [
            "805d00000400000000000004dc0d0001000000000000000000000041",
            "815700000000000100000000000000110000000000000000",
            "800a00000000000000000000dc0d00020000000000000000",
        ]
    );
}

#[test]
fn the_trigger_is_inside_a_snapshot_with_more_to_come() {
    let mut stage = Stage::opened(plan("orphaned-responses", Some(Era::V7_0)), &CONTROLS);
    stage.stream(0, O, 0);
    let mut seqno = 0;
    // Snapshots of one message each: there is never more to come.
    for _ in 0..30 {
        seqno += 1;
        stage.p(marker(0, op(O), seqno, seqno));
        stage.p(mutation(0, op(O), seqno));
    }
    assert_eq!((stage.at_consumer().len(), stage.at_producer()), (60, vec![]));
    // A snapshot of many: never its last message.
    stage.p(marker(0, op(O), 31, 33));
    stage.p(mutation(0, op(O), 31));
    stage.p(mutation(0, op(O), 33));
    assert_eq!((stage.at_consumer().len(), stage.at_producer()), (3, vec![]));
    stage.p(marker(0, op(O), 34, 40));
    stage.p(mutation(0, op(O), 34));
    assert_eq!(stage.at_consumer().len(), 1, "the marker crossed, the message did not");
    assert_eq!(stage.acts().len(), 1);
}

#[test]
fn another_seed_cuts_at_another_place() {
    let place = |seed| {
        let mut stage =
            Stage::opened(dcproxy::scenario::Plan { seed, ..plan("orphaned-responses", Some(Era::V7_0)) }, &CONTROLS);
        stage.stream(0, O, 0);
        stage.p(marker(0, op(O), 1, 100));
        (1..100)
            .take_while(|&n| {
                stage.p(mutation(0, op(O), n));
                stage.acts().is_empty()
            })
            .count()
    };
    assert_eq!([place(0), place(1), place(15), place(16)], [2, 3, 17, 2]);
}
