//! When steps fire: filters, counts, chance, times, and the order of steps.

use dcproxy::journal::Act;
use dcproxy::scenario::{Plan, Scenario};
use dcproxy::wire::{Opcode, Status};

use super::stage::*;

const O: u32 = 17;

fn scenario(steps: &str) -> Scenario {
    Scenario::parse(&format!("name = \"s\"\nabout = \"\"\n{steps}")).unwrap_or_else(|error| panic!("{error}"))
}

/// A stage with two streams, on which steps that only watch are taken.
fn stage(steps: &str, seed: u64) -> Stage {
    let mut stage = Stage::opened(Plan { scenarios: vec![scenario(steps)], seed, ..plan("close-at-end", None) }, &[]);
    // Nobody says what release the producer is of.
    stage.answer(Opcode::VERSION, Status::UNKNOWN_COMMAND);
    stage.stream(0, O, 0);
    stage.stream(1, O + 1, 0);
    stage.p(marker(0, op(O), 0, 1000));
    stage.p(marker(1, op(O + 1), 0, 1000));
    stage
}

/// Which of the messages a step fires at: each is the seqno of a mutation of vbucket 0 or 1.
fn fires(stage: &mut Stage, messages: impl IntoIterator<Item = (u16, u64)>) -> Vec<(String, u16, u64)> {
    let mut fired = Vec::new();
    for (vbucket, seqno) in messages {
        stage.p(mutation(vbucket, op(O + u32::from(vbucket)), seqno));
        for act in stage.acts() {
            if let Act::Triggered { step, .. } = act {
                fired.push((step, vbucket, seqno));
            }
        }
    }
    fired
}

fn at_seqnos(fired: &[(String, u16, u64)]) -> Vec<u64> {
    fired.iter().map(|(.., seqno)| *seqno).collect()
}

const WATCH: &str = "expect = { survives = {} }\n";

fn when(when: &str) -> String {
    format!("[[steps]]\nname = \"a\"\nwhen = {{ {when} }}\n{WATCH}")
}

#[test]
fn a_filter_chooses_the_frame() {
    let mut stage = stage(&when("filter = 'dcp.vbucket == 1 && dcp.seqno > 3'"), 0);
    let fired = fires(&mut stage, [(0, 4), (1, 1), (1, 3), (0, 5), (1, 4), (1, 5)]);
    assert_eq!(fired, [("a".to_owned(), 1, 4)]);
}

#[test]
fn an_end_can_be_chosen() {
    let mut stage = stage(&when("from = 'consumer', filter = 'dcp.opcode == buffer_ack'"), 0);
    assert_eq!(fires(&mut stage, [(0, 1), (0, 2)]), []);
    stage.c(buffer_ack(5));
    assert!(matches!(&stage.acts()[..], [Act::Triggered { stream: None, .. }, Act::Settling]));
}

#[test]
fn frames_are_counted() {
    let seqnos = |text: &str| {
        let mut stage = stage(&when(text), 0);
        at_seqnos(&fires(&mut stage, (1..=12).map(|seqno| (0, seqno))))
    };
    let mutations = "filter = 'dcp.opcode == mutation'";
    assert_eq!(seqnos(mutations), [1], "once, where nothing else is said");
    assert_eq!(seqnos(&format!("{mutations}, nth = 4")), [4]);
    assert_eq!(seqnos(&format!("{mutations}, times = 3")), [1, 2, 3]);
    assert_eq!(seqnos(&format!("{mutations}, every = 5")), [1, 6, 11]);
    assert_eq!(seqnos(&format!("{mutations}, nth = 3, every = 4, times = 2")), [3, 7]);
}

#[test]
fn streams_can_be_counted_apart() {
    let mut stage = stage(&when("filter = 'dcp.opcode == mutation', nth = 2, per = 'stream'"), 0);
    let fired = fires(&mut stage, [(0, 1), (1, 1), (1, 2), (0, 2), (0, 3), (1, 3)]);
    assert_eq!(fired, [("a".to_owned(), 1, 2), ("a".to_owned(), 0, 2)]);
}

#[test]
fn chance_is_the_seeds_and_no_other() {
    let seqnos = |seed| {
        let mut stage = stage(&when("filter = 'dcp.opcode == mutation', probability = 0.2"), seed);
        at_seqnos(&fires(&mut stage, (1..=200).map(|seqno| (0, seqno))))
    };
    let first = seqnos(1);
    assert!((15..=70).contains(&first.len()), "{}", first.len());
    assert_eq!(first, seqnos(1), "the same seed, the same frames");
    assert_ne!(first, seqnos(2));
}

#[test]
fn steps_wait_for_each_other() {
    let steps = format!(
        "[[steps]]\nname = \"a\"\nwhen = {{ filter = 'dcp.seqno == 5' }}\n{WATCH}\
         [[steps]]\nname = \"b\"\nwhen = {{ filter = 'dcp.opcode == mutation' }}\n{WATCH}"
    );
    let mut stage = stage(&steps, 0);
    let fired = fires(&mut stage, (1..=9).map(|seqno| (0, seqno)));
    assert_eq!(fired, [("a".to_owned(), 0, 5), ("b".to_owned(), 0, 6)]);
}

#[test]
fn a_step_from_the_start_waits_for_none() {
    let steps = format!(
        "[[steps]]\nname = \"a\"\nwhen = {{ filter = 'dcp.seqno == 5' }}\n{WATCH}\
         [[steps]]\nname = \"b\"\nwhen = {{ filter = 'dcp.seqno == 2', after = 'start' }}\n{WATCH}"
    );
    let mut stage = stage(&steps, 0);
    let fired = fires(&mut stage, (1..=9).map(|seqno| (0, seqno)));
    assert_eq!(fired, [("b".to_owned(), 0, 2), ("a".to_owned(), 0, 5)]);
}

#[test]
fn a_step_from_the_start_sees_how_the_connection_is_set_up() {
    let steps = when("filter = 'dcp.opcode == hello', after = 'start', from = 'consumer'");
    let plan = Plan { scenarios: vec![scenario(&steps)], ..plan("close-at-end", None) };
    let mut stage = Stage::new(plan);
    stage.c(dcproxy::dcp::Hello { agent: "c".into(), features: vec![] }.request(op(1)));
    assert!(matches!(&stage.acts()[..], [Act::Triggered { .. }]));
}

#[test]
fn time_can_be_waited_for() {
    let mut stage = stage(&when("after = '300ms'"), 0);
    assert_eq!(fires(&mut stage, (1..=5).map(|seqno| (0, seqno))), []);
    stage.wait_ms(299);
    assert!(stage.acts().is_empty());
    stage.wait_ms(1);
    assert!(matches!(&stage.acts()[..], [Act::Triggered { .. }, Act::Settling]));
}

#[test]
fn a_step_that_finds_no_place_is_told() {
    let mut stage = stage(&when("filter = 'dcp.seqno == 500', within = '700ms'"), 0);
    fires(&mut stage, (1..=5).map(|seqno| (0, seqno)));
    stage.wait_ms(700);
    assert!(stage.acts().is_empty());
    stage.wait_ms(2);
    assert_eq!(stage.acts()[..1], [Act::NeverFired { step: "a".to_owned() }]);
    let report = stage.report();
    assert_eq!(report.verdict, dcproxy::verdict::Verdict::Inconclusive, "{:?}", report.connections[0].findings);
}

#[test]
fn a_step_waits_for_the_one_that_it_names() {
    let steps = format!(
        "[[steps]]\nname = \"a\"\nwhen = {{ filter = 'dcp.seqno == 2' }}\n{WATCH}\
         [[steps]]\nname = \"b\"\nwhen = {{ filter = 'dcp.opcode == mutation', nth = 2, after = 'a' }}\n{WATCH}"
    );
    let mut stage = stage(&steps, 0);
    let fired = fires(&mut stage, (1..=9).map(|seqno| (0, seqno)));
    assert_eq!(fired, [("a".to_owned(), 0, 2), ("b".to_owned(), 0, 4)]);
}
