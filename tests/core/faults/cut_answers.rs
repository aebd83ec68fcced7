//! What `cut` answers, era by era: what a consumer of the era answers whose stream is gone, stand-ins where the era's
//! producer would close at that, and nothing where it may close at anything (design.md §6 "Orphaned responses that the
//! scenario leaves out"). The tables are those of orphaned-responses.md §2 and §4, read by hand.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use dcproxy::era::Era;
use dcproxy::journal::Act;
use dcproxy::scenario::Plan;
use dcproxy::wire::{Opcode, Status};

use super::peers::*;
use super::stage::*;

const KINDS: [Opcode; 9] = [
    Opcode::DCP_MUTATION,
    Opcode::DCP_DELETION,
    Opcode::DCP_EXPIRATION,
    Opcode::DCP_SYSTEM_EVENT,
    Opcode::DCP_PREPARE,
    Opcode::DCP_COMMIT,
    Opcode::DCP_ABORT,
    Opcode::DCP_STREAM_END,
    Opcode::DCP_SNAPSHOT_MARKER,
];

/// One row an era: the statuses in the order of `KINDS`; 0xff where nothing is said.
const SAID: [(Era, bool, [u16; 9]); 8] = [
    (Era::V6_0, false, [1, 1, 1, 0xff, 0xff, 0xff, 0xff, 1, 1]),
    (Era::V2019_07, false, [1, 1, 1, 1, 1, 1, 1, 1, 1]),
    (Era::V6_5, false, [1, 1, 1, 1, 2, 2, 2, 1, 1]),
    (Era::V6_6, false, [1, 1, 1, 1, 2, 2, 2, 1, 1]),
    (Era::V7_0, false, [1, 1, 1, 1, 1, 0x0a, 0x0a, 1, 1]),
    (Era::V7_0, true, [0x0a; 9]),
    (Era::Master, false, [1, 1, 1, 1, 1, 0x0a, 0x0a, 1, 1]),
    (Era::Master, true, [0x0a; 9]),
];

type Answers = BTreeMap<Opcode, BTreeSet<Status>>;

/// What was answered to each type, and what was left out, when two vbuckets with all types were there.
fn play(plan: Plan, controls: &[(&str, &str)]) -> (Answers, BTreeSet<(Opcode, Status)>) {
    let mut stage = Stage::opened(plan, controls);
    let habits = Habits { items: 300, snapshot: 30, batch: 5, ends_on_close: true, window: 0 };
    let (mut producer, mut consumer) = (Producer::new(habits), Consumer { comes_back: true, ..Consumer::default() });
    for vbucket in 0..2 {
        let request = consumer.request(vbucket);
        stage.c(request);
    }
    talk(&mut stage, &mut consumer, &mut producer, 120_000);
    assert!(stage.engine.is_settled());
    let mut answers = Answers::new();
    for (opcode, status, _, _) in producer.bursts() {
        answers.entry(opcode).or_default().insert(status);
    }
    let left_out = stage.acts().into_iter().filter_map(|act| match act {
        Act::LeftOut { message, status } => Some((message, status)),
        _ => None,
    });
    (answers, left_out.collect())
}

const CONTROLS: [(&str, &str); 4] = [
    ("enable_expiry_opcode", "true"),
    ("enable_sync_writes", "true"),
    ("send_stream_end_on_client_close_stream", "true"),
    ("v7_dcp_status_codes", "true"),
];

fn controls(v7: bool) -> &'static [(&'static str, &'static str)] {
    &CONTROLS[..if v7 { 4 } else { 3 }]
}

#[test]
fn each_type_is_answered_as_its_era_demands() {
    for (era, v7, said) in SAID {
        let (answers, left_out) = play(plan("orphaned-responses", Some(era)), controls(v7));
        let expected: Answers = KINDS
            .into_iter()
            .zip(said)
            .filter(|(_, status)| *status != 0xff)
            .map(|(opcode, status)| (opcode, BTreeSet::from([Status(status)])))
            .collect();
        assert_eq!(answers, expected, "{era} {v7}");
        let expected: BTreeSet<_> = KINDS
            .into_iter()
            .zip(said)
            .filter(|(_, status)| *status == 0xff)
            .map(|(opcode, _)| (opcode, Status::KEY_ENOENT))
            .collect();
        assert_eq!(left_out, expected, "{era} {v7}");
    }
}

#[test]
fn fatal_answers_are_given_when_they_are_asked_for() {
    for (era, v7, _) in SAID {
        let plan = Plan { fatal_too: true, ..plan("orphaned-responses", Some(era)) };
        let (answers, left_out) = play(plan, controls(v7));
        let own = if v7 { Status::DCP_STREAM_NOT_FOUND } else { Status::KEY_ENOENT };
        assert_eq!(answers, KINDS.into_iter().map(|opcode| (opcode, BTreeSet::from([own]))).collect(), "{era} {v7}");
        assert!(left_out.is_empty());
    }
}

#[test]
fn what_was_not_negotiated_is_not_waited_for() {
    let mut controls = controls(false).to_vec();
    controls.remove(1);
    let plan = plan_for("orphaned-responses", Era::V7_0, [Opcode::DCP_MUTATION, Opcode::DCP_PREPARE]);
    let mut stage = Stage::opened(plan, &controls);
    stage.stream(0, 17, 0);
    stage.p(marker(0, op(17), 1, 40));
    for n in 1..=3 {
        stage.p(mutation(0, op(17), n));
    }
    stage.p(marker(0, op(17), 41, 50));
    assert_eq!(stage.acts().len(), 1);
    // A prepare cannot come, but it is wanted: the stream is cut until the snapshot ends.
    stage.p(mutation(0, op(17), 50));
    assert!(stage.at_producer().iter().any(|line| line.starts_with("DCP_CLOSE_STREAM")));
}

#[test]
fn only_the_messages_asked_for_are_waited_for() {
    for message in [Opcode::DCP_MUTATION, Opcode::DCP_ABORT] {
        let plan = plan_for("orphaned-responses", Era::V7_0, [message]);
        let mut stage = Stage::opened(plan, controls(false));
        stage.stream(0, 17, 0);
        stage.p(marker(0, op(17), 1, 40));
        let mut seqno = 0;
        while stage.acts().is_empty() {
            seqno += 1;
            assert!(seqno < 40, "it never fires");
            stage.p(item(0, op(17), seqno));
        }
        let trigger = dcproxy::wire::Header::parse_slice(&item(0, op(17), seqno).build()).unwrap().opcode;
        assert_eq!(trigger, message, "what is wanted is the trigger");
        stage.p(marker(0, op(17), 41, 50));
        assert!(stage.at_producer().iter().any(|line| line.starts_with("DCP_CLOSE_STREAM")), "and all that is wanted");
    }
}

#[test]
fn where_a_type_comes_only_on_another_stream_that_is_cut_too() {
    let plan = plan_for("orphaned-responses", Era::V7_0, [Opcode::DCP_MUTATION, Opcode::DCP_DELETION]);
    let mut stage = Stage::opened(plan, controls(false));
    let mut fired = Vec::new();
    stage.stream(0, 17, 0);
    stage.stream(1, 18, 0);
    stage.p(marker(0, op(17), 1, 6));
    for n in 1..=6 {
        stage.p(mutation(0, op(17), n));
    }
    let answer = |stage: &mut Stage| {
        for frame in stage.frames_at(PRODUCER) {
            let header = dcproxy::wire::Header::parse_slice(&frame).unwrap();
            if header.is_request() {
                let status = if header.opcode == Opcode::DCP_STREAM_REQ { Status::KEY_ENOENT } else { Status::SUCCESS };
                stage.p(dcproxy::dcp::response(header.opcode, status, header.opaque));
                if header.opcode == Opcode::DCP_CLOSE_STREAM {
                    stage.p(stream_end(header.vbucket_or_status, op(17 + u32::from(header.vbucket_or_status)), 1));
                }
            }
        }
        stage.wait_ms(5);
    };
    for _ in 0..400 {
        answer(&mut stage);
    }
    stage.p(marker(1, op(18), 1, 9));
    for n in 1..=6 {
        stage.p(if n == 4 { deletion(1, op(18), n) } else { mutation(1, op(18), n) });
    }
    fired.extend(stage.acts().into_iter().filter_map(|act| match act {
        Act::Fired { vbucket, seqno, .. } => Some((vbucket, seqno)),
        _ => None,
    }));
    assert_eq!(fired, [(0, 2), (1, 3)], "the second one at what is still wanted");
}
