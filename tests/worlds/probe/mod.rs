//! `probe` without sockets: its connections and the embedded node's, joined in memory, in simulated time.

mod catalogue;
mod world;

use std::time::Duration;

use dcproxy::era;
use dcproxy::era::Cell;
use dcproxy::era::Era;
use dcproxy::node::Config;
use dcproxy::node::Quirk;
use dcproxy::probe::Access;
use dcproxy::probe::Case;
use dcproxy::probe::Options;
use dcproxy::probe::Outcome;
use dcproxy::probe::PROBED;
use dcproxy::probe::Probe;
use dcproxy::probe::REFERENCE_STREAM;
use dcproxy::probe::STATUSES;
use dcproxy::probe::Sign;
use dcproxy::probe::suits;
use dcproxy::report::Report;
use dcproxy::scenario::Scenario;
use dcproxy::verdict::Verdict;
use dcproxy::wire::Opcode;

use world::World;

fn node(era: Era, quirk: Option<Quirk>) -> Config {
    Config {
        era,
        items: 200,
        interval: Some(Duration::from_secs(1)),
        quirks: quirk.into_iter().collect(),
        ..Config::default()
    }
}

fn options(select: &[&str]) -> Options {
    Options {
        access: Access {
            login: Some(("Administrator".to_owned(), "password".to_owned()).into()),
            bucket: "default".to_owned(),
        },
        era: None,
        messages: PROBED.to_vec(),
        statuses: STATUSES.to_vec(),
        scenarios: Scenario::built_in().into_iter().map(|(scenario, _)| scenario).filter(suits).collect(),
        select: select.iter().map(|&pattern| pattern.to_owned()).collect(),
        vbuckets: None,
        settle: Duration::from_secs(2),
        seed: 1,
        judge: None,
        workload: false,
        salt: 7,
    }
}

fn probed(config: Config, options: Options) -> (Report, Vec<Outcome>) {
    let mut world = World::new(config);
    let mut probe = Probe::new(options).expect("cases");
    world.prepare(&mut probe).expect("a producer");
    while let Some(case) = probe.next_case() {
        let stage = probe.begin(&case, "consumer", "producer", world.now);
        let stage = world.run_stage(stage);
        probe.finished(case, stage);
    }
    if probe.needs_confirmation() {
        world.confirm(&mut probe).expect("a last reference");
    }
    probe.finish()
}

/// Whether each cell came out as the era's table says.
fn assert_cells(era: Era, select: &[&str]) {
    let (report, outcomes) = probed(node(era, None), options(select));
    assert_eq!(report.verdict, Verdict::Pass, "{era}: {outcomes:#?}");
    assert_eq!(report.era.as_deref(), Some(era.name()), "{}", report.reason);
    for outcome in &outcomes {
        let Case::Orphan { message, status } = outcome.case else { continue };
        let cell = era::producer_cell(era, era >= Era::V7_0, message, status, false);
        match (cell, outcome.sign) {
            (Cell::Keep, Sign::Kept)
            | (Cell::MustClose, Sign::Closed)
            | (Cell::MayClose, Sign::Kept | Sign::Closed) => {}
            (_, Sign::NotApplicable) if era == Era::V6_0 => {}
            other => panic!("{era} {}: {other:?}", outcome.case),
        }
    }
}

#[test]
fn every_cell_of_an_era_is_tried_and_judged_by_its_table() {
    // Each row and each column; all of them take minutes without optimisation: `PROBE_ALL=1`.
    let all = std::env::var_os("PROBE_ALL").is_some();
    let some = ["orphan/commit/*", "*/NotMyVbucket", "*/Einval", "close-at-producer"];
    assert_cells(Era::V7_0, if all { &[] } else { &some });
}

#[test]
fn a_producer_of_any_era_without_quirks_passes() {
    for era in Era::ALL {
        assert_cells(era, &["*/KeyEnoent", "orphan/mutation/Success", "orphaned-responses"]);
    }
}

fn assert_caught(quirk: &str, era: Era, select: &[&str], finding: &str) {
    let quirk: Quirk = quirk.parse().expect("a quirk");
    let (report, outcomes) = probed(node(era, Some(quirk)), options(select));
    let failed: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.sign == Sign::Failed).collect();
    let is_named = failed.iter().flat_map(|outcome| &outcome.why).any(|(id, _)| id.contains(finding));
    assert!(report.verdict == Verdict::Fail && is_named, "{quirk}: {outcomes:#?}");
    let cases = report.connections.iter().filter(|connection| connection.verdict == Verdict::Fail);
    assert!(cases.clone().count() > 0 && cases.clone().all(|it| it.case.is_some()), "each is told with its case");
    // The same without it: what fails, fails for the quirk.
    let (report, outcomes) = probed(node(era, None), options(select));
    assert_eq!(report.verdict, Verdict::Pass, "without {quirk}: {outcomes:#?}");
}

#[test]
fn historical_bugs_are_caught() {
    for (quirk, era, select, finding) in [
        ("mb-35287", Era::V2019_07, "orphan/prepare/KeyEnoent", "connection-kept"),
        ("mb-32724", Era::V7_0, "orphan/snapshot_marker/DcpStreamNotFound", "connection-kept"),
        ("mb-37009", Era::V6_6, "orphan/mutation/KeyEnoent", "connection-kept"),
        ("mb-40934", Era::V7_0, "orphan/commit/DcpStreamNotFound", "connection-kept"),
        ("mb-18625", Era::V7_0, "close-at-producer", "stream-stays-closed"),
        ("late-disconnect", Era::V7_0, "orphan/deletion/NotMyVbucket", "connection-kept"),
    ] {
        assert_caught(quirk, era, &[select], finding);
    }
}

#[test]
fn an_item_that_is_lost_after_an_orphaned_response_is_found() {
    let (report, outcomes) = probed(
        node(Era::V7_0, Some("skip-after-orphan".parse().expect("a quirk"))),
        options(&["orphan/*/NotMyVbucket"]),
    );
    let found: Vec<_> = report
        .connections
        .iter()
        .filter(|it| it.findings.iter().any(|it| it.id == REFERENCE_STREAM && it.verdict == Verdict::Fail))
        .filter_map(|connection| connection.case.clone())
        .collect();
    assert!(!found.is_empty(), "{outcomes:#?}");
    assert!(report.connections.iter().any(|it| it.case.as_deref() == Some("reference") && it.verdict == Verdict::Pass));
}

#[test]
fn what_a_case_costs_the_producer_is_missed_by_no_other() {
    let costs = ["mb-27489", "mb-45523", "stray-marker-ack"];
    let select = ["mb-27489", "skip-after-close", "mb-45523", "stray-marker-ack"];
    let config = Config { items: 2000, ..node(Era::V7_0, None) };
    let (report, outcomes) = probed(config.clone(), options(&select));
    assert_eq!(report.verdict, Verdict::Pass, "{outcomes:#?}");
    assert_eq!(outcomes[0].case.to_string(), "skip-after-close", "what costs something comes last");
    assert!(outcomes[1..].iter().all(|outcome| costs.contains(&outcome.case.to_string().as_str())));
    let lossy = Config { quirks: ["skip-after-close".parse().expect("a quirk")].into(), ..config };
    let (report, outcomes) = probed(lossy, options(&select));
    assert_ne!(report.verdict, Verdict::Pass, "what was lost is not forgotten with the vbucket: {outcomes:#?}");
}

#[test]
fn a_message_that_never_comes_is_no_pass() {
    let config = Config { items: 0, interval: None, ..node(Era::V7_0, None) };
    let (report, outcomes) = probed(config, options(&["orphan/*/NotMyVbucket"]));
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert!(outcomes.iter().all(|outcome| outcome.sign == Sign::Unknown), "{outcomes:?}");
    let hint = report.findings.iter().find(|finding| finding.actual.contains("--workload"));
    assert!(hint.is_some_and(|finding| finding.actual.contains("DCP_ABORT")), "{:?}", report.findings);
}

#[test]
fn the_same_seed_gives_the_same_report() {
    let run = || probed(node(Era::V7_0, None), options(&["orphan/abort/*"])).0;
    assert_eq!(run(), run());
}

#[test]
fn what_keeps_it_from_the_start_is_told_in_a_line() {
    let told = |config: Config, change: fn(&mut Options)| {
        let mut options = options(&[]);
        change(&mut options);
        let mut probe = Probe::new(options).expect("cases");
        World::new(config).prepare(&mut probe).expect_err("refused")
    };
    let config = || node(Era::V7_0, None);
    let wrong = told(config(), |it| it.access.login = Some(("Administrator".to_owned(), "not-it".to_owned()).into()));
    assert_eq!(wrong, "login of Administrator refused: AuthError; check the user and the password");
    let wrong = told(config(), |it| it.access.bucket = "other".to_owned());
    assert_eq!(wrong, "the bucket 'other' cannot be selected: KeyEnoent (there is none of that name)");
    let wrong = told(config(), |it| it.vbuckets = Some(vec![1, 9]));
    assert_eq!(wrong, "expected vbucket 9 to be active at this node, found 4 others that are");
    assert!(!format!("{:?}", options(&[])).contains("password"), "credentials do not show");
    let mut unknown = options(&["orphan/nothing/*"]);
    unknown.messages = vec![Opcode::DCP_MUTATION];
    assert!(Probe::new(unknown).is_err_and(|error| error.to_string().ends_with("found 'orphan/nothing/*'")));
}
