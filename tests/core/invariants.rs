//! The rules against the list of protocol/invariants.md, and `docs/INVARIANTS.md` against the rules.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use dcproxy::invariant;
use dcproxy::invariant::LEFT_OUT;
use dcproxy::verdict::Severity;

/// Rules that the list has as E, and that are only told as W: what they demand the wire does not prove.
const WARNED_ONLY: [(&str, &str); 2] = [
    ("A15", "a server's setting turns it off, which the wire does not show"),
    ("G2", "third-party consumers may count otherwise; what a producer counts shows in G1"),
];

/// Id in the list: letter (E, W, I or -).
fn listed() -> BTreeMap<&'static str, &'static str> {
    let lines = include_str!("../data/invariants.tsv").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
            [id, severity, about] if !about.is_empty() => (id, severity),
            _ => panic!("{line}"),
        })
        .collect()
}

fn number(id: &str) -> String {
    id.split_once('-').unwrap().0.to_uppercase()
}

#[test]
fn every_rule_of_the_list_is_a_type_or_left_out_with_its_reason() {
    let listed = listed();
    let judged: BTreeSet<String> = invariant::all().iter().map(|rule| number(rule.id())).collect();
    let left_out: BTreeSet<String> = LEFT_OUT.iter().map(|(id, _)| (*id).to_owned()).collect();
    assert!(LEFT_OUT.iter().all(|(_, reason)| reason.len() > 20));
    assert!(judged.is_disjoint(&left_out));
    let known: BTreeSet<String> = judged.union(&left_out).cloned().collect();
    let wanted: BTreeSet<String> = listed.keys().map(|id| (*id).to_owned()).collect();
    assert_eq!(known, wanted);
    for (id, _) in LEFT_OUT {
        assert!(matches!(listed.get(id), Some(&("I" | "-"))), "{id} demands something");
    }
}

#[test]
fn a_rule_weighs_what_the_list_says() {
    let listed = listed();
    for (id, &letter) in &listed {
        let rules = invariant::all();
        let of_id = rules.iter().filter(|rule| number(rule.id()) == *id);
        let Some(heaviest) = of_id.map(|rule| rule.severity()).max() else { continue };
        let warned = WARNED_ONLY.iter().any(|(warned, _)| warned == id);
        let expected = match letter {
            "E" if !warned => Severity::Error,
            _ => Severity::Warning,
        };
        assert_eq!(heaviest, expected, "{id}");
    }
}

/// `docs/INVARIANTS.md` is what the rules say of themselves; `DCPROXY_WRITE_DOCS=1` writes it anew.
#[test]
fn the_rules_are_documented() {
    let mut text = "# Rules that always hold\n\n`dcproxy check`, and every judged run, hold each connection to these. `error`: the protocol demands \
                    it, and a breach by the end\nthat is judged fails the run. `warning`: nobody promised it; it is told as a note. A rule passes only \
                    where it was put to the\ntest, and says nothing where it cannot know: before DCP_OPEN, behind a gap or lost framing, about what the tool itself \
                    sent,\nof streams with more keys than there is room to remember. Ids are stable.\n\n| id | severity | requirement | where it does not hold, or says nothing |\n|---|---|---|---|\n"
        .to_owned();
    for rule in invariant::all() {
        let (id, severity) = (rule.id(), rule.severity().as_str());
        text += &format!("| `{id}` | {severity} | {} | {} |\n", rule.requirement(), rule.exceptions());
    }
    text += "\nNot rules of their own:\n\n| id | why |\n|---|---|\n";
    for (id, why) in LEFT_OUT {
        text += &format!("| {id} | {why} |\n");
    }
    text += "\nWeaker than the list that they come from:\n\n| id | why |\n|---|---|\n";
    for (id, why) in WARNED_ONLY {
        text += &format!("| {id} | {why} |\n");
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/INVARIANTS.md");
    if std::env::var_os("DCPROXY_WRITE_DOCS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).expect("docs/INVARIANTS.md is there"), text);
}
