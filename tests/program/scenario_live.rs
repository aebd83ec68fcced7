//! The built-in scenario over loopback, many at once: the embedded node, the proxy and a client of the tests' own. No
//! false alarm without a quirk, in any era; each quirk caught by the finding that its documentation names.
//!
//! `DCPROXY_RUNS` is the number of runs without a quirk; by hand, in release:
//!
//! ```text
//! DCPROXY_RUNS=1000 cargo test --release --test program scenario_live -- --nocapture
//! ```
#![allow(clippy::print_stdout, reason = "what a long run came to is for its reader")]

use std::collections::BTreeSet;
use std::time::Instant;

use crate::support::seconds;
use dcproxy::era::Era;
use dcproxy::net::{Rehearsal, rehearse};
use dcproxy::node::{Config, Quirk};
use dcproxy::report::Report;
use dcproxy::scenario::Scenario;
use dcproxy::verdict::Verdict;

/// The built-in scenario against a node.
fn against(era: Era, seed: u64, quirks: BTreeSet<Quirk>) -> Rehearsal {
    let scenario = Scenario::named("orphaned-responses").expect("built in");
    Rehearsal::new(Config { era, seed, quirks, ..Config::default() }, scenario)
}

/// Runs them all, many at once, and tells what each came to.
fn all(rehearsals: &[Rehearsal]) -> Vec<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let rehearsed = runtime.block_on(rehearse(rehearsals.iter().cloned())).expect("loopback sockets");
    assert_eq!(rehearsed.len(), rehearsals.len());
    let outcomes = rehearsals.iter().zip(rehearsed);
    outcomes
        .map(|(rehearsal, rehearsed)| {
            assert!(rehearsed.client.is_some(), "the client never connected: {rehearsal:?}");
            rehearsed.report
        })
        .collect()
}

#[test]
fn without_a_quirk_there_is_no_false_alarm_in_any_era() {
    let wanted = std::env::var("DCPROXY_RUNS").map_or(12, |text| text.parse().expect("DCPROXY_RUNS is a number"));
    let eras = Era::ALL.into_iter().cycle().zip(1..=wanted);
    let start = Instant::now();
    let rehearsals: Vec<_> = eras.map(|(era, seed)| against(era, seed, BTreeSet::new())).collect();
    let reports = all(&rehearsals);
    let alarms: Vec<_> = rehearsals
        .iter()
        .zip(&reports)
        .filter(|(_, report)| report.verdict != Verdict::Pass)
        .map(|(Rehearsal { node, .. }, report)| format!("era {} seed {}: {}", node.era, node.seed, told(report)))
        .collect();
    println!("{} runs in {:.1} s, {} alarms", reports.len(), seconds(start), alarms.len());
    assert_eq!(reports.len() as u64, wanted);
    assert!(alarms.is_empty(), "{} false alarms of {wanted} runs:\n{}", alarms.len(), alarms.join("\n"));
}

/// In the eras that a quirk needs, the finding that it names fails; in the others nothing does.
fn are_caught(quirks: impl IntoIterator<Item = Quirk>) {
    let rehearsals: Vec<_> = quirks
        .into_iter()
        .flat_map(|quirk| Era::ALL.into_iter().zip(1..).map(move |(era, seed)| against(era, seed, [quirk].into())))
        .collect();
    let mut wrong = Vec::new();
    for (Rehearsal { node, .. }, report) in rehearsals.iter().zip(all(&rehearsals)) {
        let Some(quirk) = node.quirks.first() else { continue };
        let failed: Vec<_> = report
            .connections
            .iter()
            .flat_map(|connection| &connection.findings)
            .filter(|finding| finding.verdict == Verdict::Fail)
            .map(|finding| finding.id.as_ref())
            .collect();
        let as_named = if shows_in(*quirk, node.era) {
            report.verdict == Verdict::Fail && failed.contains(&quirk.about().finding)
        } else {
            report.verdict == Verdict::Pass
        };
        if !as_named {
            wrong.push(format!("{} in {}: {}", quirk.name(), node.era, told(&report)));
        }
    }
    assert!(wrong.is_empty(), "{} wrong verdicts:\n{}", wrong.len(), wrong.join("\n"));
}

/// What decided a report, in a line.
fn told(report: &Report) -> String {
    let findings = report.findings.iter().chain(report.connections.iter().flat_map(|connection| &connection.findings));
    let bad = findings.filter(|finding| finding.verdict != Verdict::Pass);
    let bad = bad.map(|finding| format!("{}: expected {}, found {}", finding.id, finding.expected, finding.actual));
    format!("{}: {}", report.verdict, bad.collect::<Vec<_>>().join("; "))
}

/// Whether what the quirk does is against the era's rules (its documentation's `needs`).
fn shows_in(quirk: Quirk, era: Era) -> bool {
    if quirk == Quirk::Mb35287 {
        era >= Era::V2019_07
    } else if quirk == Quirk::Mb40934 {
        // For 2019-07 every answer to a COMMIT is one to bear; 6.0 has none, 6.5 and 6.6 close for it by right.
        era >= Era::V7_0 || era == Era::V2019_07
    } else {
        true
    }
}

#[test]
fn a_quirk_that_closes_the_connection_is_caught_by_the_finding_that_it_names() {
    are_caught([
        Quirk::Mb35287,
        Quirk::Mb32724,
        Quirk::Mb37009,
        Quirk::Mb40934,
        Quirk::LateDisconnect,
        Quirk::OrphanAfterEnd,
    ]);
}

#[test]
fn a_quirk_that_shows_in_the_streams_is_caught_by_the_finding_that_it_names() {
    are_caught([Quirk::Mb18625, Quirk::RepeatAfterOrphan, Quirk::StallAfterOrphan, Quirk::LeakWindow]);
}
