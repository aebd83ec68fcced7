//! The built-in scenario over loopback, many at once: the embedded node, the proxy and a client of the tests' own. No
//! false alarm without a quirk, in any era; each quirk caught by the finding that its documentation names.
//!
//! `DCPROXY_RUNS` is the number of runs without a quirk; by hand, in release:
//!
//! ```text
//! DCPROXY_RUNS=1000 cargo test --release --test scenario_live -- --nocapture
//! ```
#![allow(clippy::print_stdout, reason = "what a long run came to is for its reader")]

mod support;

use std::sync::Arc;
use std::time::Instant;

use dcproxy::era::Era;
use dcproxy::node::Quirk;
use dcproxy::report::Report;
use dcproxy::verdict::Verdict;
use support::live::{Run, told};
use support::seconds;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Runs at once.
const AT_ONCE: usize = 32;

/// Runs them all, many at once, and tells what each came to.
fn all(runs: Vec<Run>) -> Vec<(Run, Report)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (mut tasks, places) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
        for run in runs {
            let places = Arc::clone(&places);
            tasks.spawn(async move {
                let _place = places.acquire().await.expect("never closed");
                let (report, client) = run.judged().await;
                assert!(client.is_some(), "the client never connected: {run:?}");
                (run, report)
            });
        }
        tasks.join_all().await
    })
}

#[test]
fn without_a_quirk_there_is_no_false_alarm_in_any_era() {
    let wanted = std::env::var("DCPROXY_RUNS").map_or(12, |text| text.parse().expect("DCPROXY_RUNS is a number"));
    let eras = Era::ALL.into_iter().cycle().zip(1..=wanted);
    let start = Instant::now();
    let outcomes = all(eras.map(|(era, seed)| Run::of(era, seed)).collect());
    let alarms: Vec<_> = outcomes
        .iter()
        .filter(|(_, report)| report.verdict != Verdict::Pass)
        .map(|(run, report)| format!("era {} seed {}: {}", run.era, run.seed, told(report)))
        .collect();
    println!("{} runs in {:.1} s, {} alarms", outcomes.len(), seconds(start), alarms.len());
    assert_eq!(outcomes.len() as u64, wanted);
    assert!(alarms.is_empty(), "{} false alarms of {wanted} runs:\n{}", alarms.len(), alarms.join("\n"));
}

/// In the eras that a quirk needs, the finding that it names fails; in the others nothing does.
fn are_caught(quirks: impl IntoIterator<Item = Quirk>) {
    let runs = quirks
        .into_iter()
        .flat_map(|quirk| Era::ALL.into_iter().zip(1..).map(move |(era, seed)| Run::of(era, seed).with(quirk)));
    let mut wrong = Vec::new();
    for (run, report) in all(runs.collect()) {
        let Some(quirk) = run.quirks.first() else { continue };
        let failed: Vec<_> = report
            .connections
            .iter()
            .flat_map(|connection| &connection.findings)
            .filter(|finding| finding.verdict == Verdict::Fail)
            .map(|finding| finding.id.as_ref())
            .collect();
        let as_named = if shows_in(*quirk, run.era) {
            report.verdict == Verdict::Fail && failed.contains(&quirk.about().finding)
        } else {
            report.verdict == Verdict::Pass
        };
        if !as_named {
            wrong.push(format!("{} in {}: {}", quirk.name(), run.era, told(&report)));
        }
    }
    assert!(wrong.is_empty(), "{} wrong verdicts:\n{}", wrong.len(), wrong.join("\n"));
}

/// Whether what the quirk does is against the era's rules (its documentation's `needs`).
fn shows_in(quirk: Quirk, era: Era) -> bool {
    match quirk {
        Quirk::Mb35287 => era >= Era::V2019_07,
        // For 2019-07 every answer to a COMMIT is one to bear; 6.0 has none, 6.5 and 6.6 close for it by right.
        Quirk::Mb40934 => era >= Era::V7_0 || era == Era::V2019_07,
        Quirk::Mb32724
        | Quirk::Mb37009
        | Quirk::Mb18625
        | Quirk::StallAfterOrphan
        | Quirk::RepeatAfterOrphan
        | Quirk::LeakWindow
        | Quirk::LateDisconnect => true,
    }
}

#[test]
fn a_quirk_that_closes_the_connection_is_caught_by_the_finding_that_it_names() {
    are_caught([Quirk::Mb35287, Quirk::Mb32724, Quirk::Mb37009, Quirk::Mb40934, Quirk::LateDisconnect]);
}

#[test]
fn a_quirk_that_shows_in_the_streams_is_caught_by_the_finding_that_it_names() {
    are_caught([Quirk::Mb18625, Quirk::RepeatAfterOrphan, Quirk::StallAfterOrphan, Quirk::LeakWindow]);
}
