//! When steps are taken, and when not; the end of a connection; what is not the runner's business.

use dcproxy::dcp;
use dcproxy::era::Era;
use dcproxy::journal::Act;
use dcproxy::scenario::{Plan, Scenario};
use dcproxy::wire::{FrameBuilder, Opcode, Status};

use super::stage::*;

const O: u32 = 17;
const ENDS: (&str, &str) = ("send_stream_end_on_client_close_stream", "true");

fn mutations(stage: &mut Stage, vbucket: u16, opaque: u32, seqnos: std::ops::RangeInclusive<u64>) {
    stage.p(marker(vbucket, op(opaque), *seqnos.start(), *seqnos.end() + 10));
    for n in seqnos {
        stage.p(mutation(vbucket, op(opaque), n));
    }
}

/// The steps that were taken.
fn fired(stage: &mut Stage) -> Vec<String> {
    let name = |act| if let Act::Fired { step, .. } = act { Some(step) } else { None };
    stage.acts().into_iter().filter_map(name).collect()
}

#[test]
fn a_connection_without_dcp_open_is_only_relayed() {
    let mut stage = Stage::new(plan("orphaned-responses", None));
    for n in 1..50 {
        stage.c(FrameBuilder::request(Opcode::SET).opaque(op(n)).key("k").extras([0; 8]));
        stage.p(ok(Opcode::SET, n));
    }
    stage.wait_ms(60_000);
    assert_eq!((stage.at_producer().len(), stage.at_consumer().len()), (49, 49));
    assert!(stage.acts().is_empty() && !stage.engine.is_settled());
    stage.settle();
    assert!(stage.engine.is_settled(), "without a producer there is nothing to watch");
    assert_eq!(stage.at_producer(), [""; 0]);
}

#[test]
fn a_producer_that_dialled_is_left_alone() {
    // DCP_OPEN without the producer flag: the end that opens is the producer.
    let mut stage = Stage::new(plan("orphaned-responses", None));
    stage.c(dcp::Open { name: "n".into(), seqno: 0, flags: 0, consumer_name: None }.request(op(1)));
    stage.p(ok(Opcode::DCP_OPEN, 1));
    stage.p(stream_req(0, O, 0));
    stage.c(stream_ok(O));
    stage.forget();
    stage.c(marker(0, op(O), 1, 90));
    for n in 1..60 {
        stage.c(mutation(0, op(O), n));
    }
    assert_eq!((stage.at_producer().len(), stage.at_consumer()), (60, vec![]));
    assert!(stage.acts().is_empty());
}

#[test]
fn a_takeover_stream_is_not_cut() {
    let mut stage = Stage::opened(plan("orphaned-responses", Some(Era::V7_0)), &[ENDS]);
    stage
        .c(dcp::StreamReq { flags: dcp::StreamReq::TAKEOVER, end_seqno: u64::MAX, ..Default::default() }
            .request(0, op(O)));
    stage.p(stream_ok(O));
    mutations(&mut stage, 0, O, 1..=60);
    assert!(stage.acts().is_empty());
}

#[test]
fn a_message_with_a_strange_opaque_is_no_trigger() {
    let mut stage = Stage::opened(plan("orphaned-responses", Some(Era::V7_0)), &[ENDS]);
    stage.stream(0, O, 0);
    mutations(&mut stage, 0, 4444, 1..=60);
    assert!(stage.acts().is_empty());
    assert_eq!(stage.at_consumer().len(), 61);
    // Nor where it has the seqno at which the stream stands.
    mutations(&mut stage, 0, O, 1..=2);
    for _ in 0..5 {
        stage.p(mutation(0, op(4444), 2));
    }
    assert!(stage.acts().is_empty());
    stage.p(mutation(0, op(O), 3));
    assert_eq!(fired(&mut stage), ["cut"]);
}

#[test]
fn steps_follow_each_other() {
    let scenarios = ["close-at-producer", "close-at-end", "close-at-producer"];
    let scenarios = scenarios.map(|name| Scenario::named(name).unwrap()).to_vec();
    let mut stage = Stage::opened(Plan { scenarios, ..plan("close-at-end", Some(Era::V7_0)) }, &[ENDS]);
    for vbucket in 0..3 {
        stage.stream(vbucket, O + u32::from(vbucket), 0);
    }
    for vbucket in 0..3_u16 {
        mutations(&mut stage, vbucket, O + u32::from(vbucket), 1..=5);
        assert_eq!(fired(&mut stage), ["close"], "one step on each stream");
        if vbucket == 1 {
            // The forged end orphans what comes until the snapshot is over.
            stage.p(mutation(1, op(O + 1), 15));
        }
        stage.answer(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS);
        stage.p(stream_end(vbucket, op(O + u32::from(vbucket)), 1));
    }
    stage.wait_ms(500);
    assert!(stage.acts().contains(&Act::Settling) || stage.engine.is_settled());
}

#[test]
fn what_follows_a_cut_is_done_once_nothing_more_can_be_met() {
    let scenarios = ["orphaned-responses", "close-at-producer"].map(|name| Scenario::named(name).unwrap()).to_vec();
    let plan = Plan { scenarios, ..plan_for("orphaned-responses", Era::V7_0, [Opcode::DCP_MUTATION]) };
    let mut stage = Stage::opened(plan, &[ENDS]);
    stage.stream(0, O, 0);
    stage.stream(1, O + 1, 0);
    mutations(&mut stage, 0, O, 1..=3);
    assert_eq!(fired(&mut stage), ["cut"]);
    stage.p(stream_end(0, op(O), 2));
    for _ in 0..600 {
        for frame in stage.frames_at(PRODUCER) {
            let header = dcproxy::wire::Header::parse_slice(&frame).unwrap();
            if header.is_request() {
                let status = if header.opcode == Opcode::NOOP { Status::SUCCESS } else { Status::KEY_ENOENT };
                stage.p(dcp::response(header.opcode, status, header.opaque));
            }
        }
        stage.wait_ms(5);
    }
    assert_eq!(stage.acts().iter().filter(|act| matches!(act, Act::Settling)).count(), 0, "a step is left");
    mutations(&mut stage, 1, O + 1, 1..=4);
    assert_eq!(fired(&mut stage), ["close"]);
    assert_eq!(stage.at_producer().last().unwrap().split(' ').next(), Some("DCP_CLOSE_STREAM"));
}

#[test]
fn without_what_is_wanted_it_settles_after_a_while() {
    let plan = plan_for("orphaned-responses", Era::V7_0, [Opcode::DCP_DELETION]);
    let mut stage = Stage::opened(plan, &[ENDS]);
    stage.stream(0, O, 0);
    mutations(&mut stage, 0, O, 1..=30);
    stage.p(mutation(0, op(O), 40));
    assert_eq!(stage.at_consumer().len(), 32, "nothing is cut for what is not wanted");
    stage.wait_ms(9_900);
    assert!(stage.acts().is_empty());
    stage.wait_ms(200);
    assert_eq!(stage.acts(), [Act::NeverFired { step: "cut".to_owned() }, Act::Settling]);
    stage.wait_ms(2000);
    assert_eq!(stage.at_producer().len(), 1);
    stage.answer(Opcode::NOOP, Status::SUCCESS);
    assert_eq!(stage.acts(), [Act::Settled]);
}

#[test]
fn the_users_end_takes_no_new_step_and_settles() {
    let mut stage = Stage::opened(plan("orphaned-responses", Some(Era::V7_0)), &[ENDS]);
    stage.stream(0, O, 0);
    stage.settle();
    assert_eq!(stage.acts(), [Act::NeverFired { step: "cut".to_owned() }, Act::Settling]);
    mutations(&mut stage, 0, O, 1..=60);
    assert_eq!((stage.at_consumer().len(), stage.acts()), (61, vec![]));
}

#[test]
fn the_users_end_closes_a_stream_that_is_being_cut() {
    let mut stage = Stage::opened(plan("orphaned-responses", Some(Era::V7_0)), &[ENDS]);
    stage.stream(0, O, 0);
    mutations(&mut stage, 0, O, 1..=3);
    assert_eq!(fired(&mut stage), ["cut"]);
    assert_eq!(stage.at_producer(), [""; 0]);
    stage.settle();
    assert_eq!(stage.at_producer(), ["DCP_CLOSE_STREAM vb0 0xdc0d0001"]);
}

#[test]
fn a_mute_producer_is_not_waited_for_for_ever() {
    let mut stage = Stage::opened(plan("close-at-producer", Some(Era::V7_0)), &[ENDS]);
    stage.stream(0, O, 0);
    mutations(&mut stage, 0, O, 1..=3);
    stage.answer(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS);
    stage.wait_ms(2000);
    assert!(stage.at_producer().iter().any(|line| line.starts_with("NOOP")), "the proof is asked for");
    stage.wait_ms(9_000);
    assert!(!stage.engine.is_settled());
    stage.wait_ms(2_000);
    assert!(stage.engine.is_settled(), "ten seconds are enough");
}

#[test]
fn a_producer_that_is_not_read_from_is_not_mute() {
    let mut stage = Stage::opened(plan("close-at-producer", Some(Era::V7_0)), &[ENDS]);
    stage.stream(0, O, 0);
    mutations(&mut stage, 0, O, 1..=3);
    stage.answer(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS);
    stage.wait_ms(2500);
    stage.engine.paused(PRODUCER, true, stage.now);
    stage.wait_ms(60_000);
    assert!(!stage.engine.is_settled());
    stage.engine.paused(PRODUCER, false, stage.now);
    stage.wait_ms(9_000);
    assert!(!stage.engine.is_settled(), "the time begins anew");
    stage.answer(Opcode::NOOP, Status::SUCCESS);
    assert!(stage.engine.is_settled());
}

#[test]
fn the_settling_time_begins_at_the_last_orphaned_response() {
    // Orphaned responses of a consumer's own are no different.
    let mut stage = Stage::opened(plan("close-at-end", Some(Era::V7_0)), &[ENDS]);
    stage.stream(0, O, 0);
    mutations(&mut stage, 0, O, 1..=3);
    stage.settle();
    stage.answer(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS);
    assert!(stage.acts().contains(&Act::Settling));
    stage.forget();
    stage.wait_ms(1999);
    assert_eq!(stage.at_producer(), [""; 0]);
    stage.wait_ms(1);
    assert_eq!(stage.at_producer().len(), 1);
}

#[test]
fn opaques_of_the_ends_are_never_the_tools() {
    let mut stage = Stage::new(plan("orphaned-responses", None));
    stage.c(dcp::Version.request(tool(1)));
    stage.c(open(2));
    stage.p(ok(Opcode::DCP_OPEN, 2));
    let got = stage.frames_at(PRODUCER);
    let asked = dcproxy::wire::Header::parse_slice(got.last().unwrap()).unwrap();
    assert_eq!(asked.opcode, Opcode::VERSION);
    assert_ne!(asked.opaque.0[..2], tool(1).0[..2]);
    stage.p(dcp::VersionResponse { version: "7.0.0-1".into() }.response(tool(1)));
    assert_eq!(stage.at_consumer().len(), 2, "the consumer's own question is answered to it");
}
