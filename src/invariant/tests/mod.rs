//! What holds of the rules together.

mod independence;
mod pairs;

use std::collections::BTreeSet;

use super::*;
use crate::session::script::*;
use crate::verdict::Verdict;

#[test]
fn ids_are_stable_unique_and_named_after_the_table() {
    let all = all();
    let ids: BTreeSet<_> = all.iter().map(|rule| rule.id()).collect();
    assert_eq!(ids.len(), all.len());
    for rule in &all {
        let (number, name) = rule.id().split_once('-').unwrap();
        let (letter, digits) = number.split_at(1);
        assert!("abcdefghi".contains(letter) && digits.parse::<u8>().is_ok() && !name.is_empty(), "{}", rule.id());
        assert!(rule.requirement().len() > 20, "{}", rule.id());
    }
}

fn broken_by_both() -> Script {
    let mut script = Script::opened();
    script.stream(1, 10, 0);
    script.p(marker(1, 10, 0, 5));
    script.p(mutation(1, 10, 9));
    script.c(buffer_ack(0));
    script
}

fn run(script: &Script) -> Vec<(String, About, Severity)> {
    let (mut suite, mut session) = (Suite::new(), Session::new(Side::Upstream));
    for entry in script.log() {
        session.observe(entry);
        suite.observe(entry, &session);
    }
    let fails = suite.finish().into_iter().filter(|finding| finding.verdict == Verdict::Fail);
    fails.map(|finding| (finding.id.into_owned(), finding.about, finding.severity)).collect()
}

#[test]
fn both_ends_are_judged_each_for_its_own() {
    let script = broken_by_both();
    let d3 = ("d3-seqno-in-snapshot".to_owned(), About::Role(Role::Producer), Severity::Error);
    let g5 = ("g5-ack-of-something".to_owned(), About::Role(Role::Consumer), Severity::Warning);
    assert_eq!(run(&script), [d3, g5]);
}

#[test]
fn a_producer_that_dialled_is_not_held_to_it() {
    let mut script = Script::blank();
    script.c(open(1, 0, None));
    script.p(plain(crate::wire::Opcode::DCP_OPEN, crate::wire::Status::SUCCESS, 1));
    script.p(stream_req(1, 10, 0));
    script.c(stream_ok(10));
    script.c(marker(1, 10, 0, 5));
    script.c(mutation(1, 10, 9));
    assert_eq!(run(&script), [("d3-seqno-in-snapshot".to_owned(), About::Role(Role::Producer), Severity::Warning)]);
}
