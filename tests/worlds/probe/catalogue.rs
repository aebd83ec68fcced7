//! The catalogue: each scenario of a producer's bug passes on a node without it, and fails, by its own name, on one with it.
//! `docs/CATALOGUE.md` is written from the files (`DCPROXY_WRITE_DOCS=1`).

use std::collections::BTreeSet;
use std::fmt::Write;

use dcproxy::era::Era;
use dcproxy::node::Config;
use dcproxy::node::Quirk;
use dcproxy::node::Role;
use dcproxy::probe::Outcome;
use dcproxy::probe::Sign;
use dcproxy::probe::suits;
use dcproxy::scenario::Scenario;
use dcproxy::verdict::Verdict;

use super::node;
use super::options;
use super::probed;

/// The era that a scenario is tried in here: 7.0 where it is for that.
fn era_for(scenario: &Scenario) -> Era {
    if scenario.is_for(Era::V7_0) { Era::V7_0 } else { *scenario.eras.last().expect("an era") }
}

fn producers() -> impl Iterator<Item = Scenario> {
    let all = Scenario::built_in().into_iter().map(|(scenario, _)| scenario);
    all.filter(|scenario| suits(scenario) && !scenario.quirks.is_empty())
}

fn run(scenario: &Scenario, quirk: Option<Quirk>) -> (Verdict, Vec<Outcome>) {
    // Enough of them that the transfer is not over before the bug can show.
    let config = Config { items: 2000, ..node(era_for(scenario), quirk) };
    let (report, outcomes) = probed(config, options(&[&scenario.name]));
    (report.verdict, outcomes)
}

#[test]
fn each_scenario_of_a_producers_bug_catches_it_and_nothing_else() {
    let part = std::env::var("DCPROXY_TEST_CASE").unwrap_or_default();
    let mut wrong = Vec::new();
    for scenario in producers().filter(|scenario| scenario.name.contains(&part)) {
        let (verdict, outcomes) = run(&scenario, None);
        if verdict != Verdict::Pass {
            wrong.push(format!("{} without a quirk: {verdict}: {outcomes:#?}", scenario.name));
        }
        for quirk in &scenario.quirks {
            let (verdict, outcomes) = run(&scenario, Some(quirk.parse().expect("a quirk")));
            let failed = outcomes.iter().filter(|outcome| outcome.sign == Sign::Failed);
            let named = failed.map(|outcome| outcome.case.to_string()).any(|case| case == scenario.name);
            if verdict != Verdict::Fail || !named {
                wrong.push(format!("{} with {quirk}: {verdict}: {outcomes:#?}", scenario.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn rows() -> Vec<(String, String, String)> {
    let text = include_str!("../../data/catalogue.tsv");
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    let rows = rows.map(|line| {
        let mut columns = line.split('\t').map(str::to_owned);
        let mut next = || columns.next().unwrap_or_default();
        (next(), next(), next())
    });
    rows.collect()
}

fn page() -> String {
    let all: Vec<Scenario> = Scenario::built_in().into_iter().map(|(scenario, _)| scenario).collect();
    let rows = rows();
    let of = |row: &str| {
        all.iter().filter(|scenario| scenario.covers.iter().any(|covers| covers == row)).collect::<Vec<_>>()
    };
    let with_scenario = rows.iter().filter(|(row, ..)| !of(row).is_empty()).count();
    let with_quirk = rows.iter().filter(|(row, ..)| of(row).iter().any(|scenario| !scenario.quirks.is_empty())).count();
    let mut page = String::from(
        "# The catalogue of known bugs\n\n\
         Each row is a bug that a DCP producer or consumer had, or a case that such bugs come from (`§7`). Its scenario is in\n\
         [examples/scenarios/](../examples/scenarios), with the story in `about`: `dcproxy scenario show NAME`. A quirk is the same bug in the embedded node\n\
         ([QUIRKS.md](QUIRKS.md)): the scenario fails with it and passes without. This page is written by `tests/worlds/probe/catalogue.rs` from the scenario files\n\
         (`DCPROXY_WRITE_DOCS=1 cargo test --test worlds probe`); that each scenario catches its quirk is tested there, for producers, and in\n\
         `tests/core/consumer_quirks`, for consumers.\n\n",
    );
    let _ = writeln!(
        page,
        "Of {} rows, {with_scenario} have a scenario, and {with_quirk} a quirk that it catches.\n",
        rows.len()
    );
    page.push_str("| row | what went wrong | scenario | judges | quirk |\n|---|---|---|---|---|\n");
    let list = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(", ");
    for (row, what, reason) in &rows {
        let scenarios = of(row);
        let names = list(scenarios.iter().map(|scenario| format!("`{}`", scenario.name)).collect());
        let judges = list(scenarios.iter().map(|scenario| scenario.judge.unwrap_or_default().to_string()).collect());
        let quirks =
            list(scenarios.iter().flat_map(|scenario| &scenario.quirks).map(|quirk| format!("`{quirk}`")).collect());
        let names = if names.is_empty() { format!("none: {reason}") } else { names };
        let _ = writeln!(page, "| {row} | {what} | {names} | {judges} | {quirks} |");
    }
    page.push_str("\n## Beside the table\n\nUsers' pains, and bugs made up after those above.\n\n| scenario | judges | quirk | about |\n|---|---|---|---|\n");
    for scenario in all.iter().filter(|scenario| scenario.covers.is_empty()) {
        let quirks = scenario.quirks.iter().map(|quirk| format!("`{quirk}`")).collect::<Vec<_>>().join(", ");
        let about = scenario.about.split_whitespace().collect::<Vec<_>>().join(" ");
        let judge = scenario.judge.unwrap_or_default();
        let _ = writeln!(page, "| `{}` | {judge} | {quirks} | {about} |", scenario.name);
    }
    page
}

#[test]
fn the_page_is_what_the_files_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CATALOGUE.md");
    let page = page();
    if std::env::var_os("DCPROXY_WRITE_DOCS").is_some() {
        std::fs::write(path, &page).expect("written");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "docs/CATALOGUE.md says something else; DCPROXY_WRITE_DOCS=1 writes it anew");
}

#[test]
fn every_row_has_a_scenario_or_a_reason_and_every_scenario_its_row() {
    let rows = rows();
    let all: Vec<Scenario> = Scenario::built_in().into_iter().map(|(scenario, _)| scenario).collect();
    for scenario in &all {
        for covers in &scenario.covers {
            assert!(rows.iter().any(|(row, ..)| row == covers), "{}: no row is called {covers}", scenario.name);
        }
        for quirk in &scenario.quirks {
            assert!(quirk.parse::<Quirk>().is_ok(), "{}: {quirk}", scenario.name);
        }
    }
}

#[test]
fn every_quirk_of_a_producer_has_a_scenario_that_names_it() {
    let named: BTreeSet<String> = Scenario::built_in().into_iter().flat_map(|(scenario, _)| scenario.quirks).collect();
    let missing: Vec<_> = Quirk::ALL
        .into_iter()
        .filter(|quirk| quirk.about().role == Role::Producer && !named.contains(quirk.name()))
        .map(Quirk::name)
        .collect();
    assert_eq!(missing, [""; 0]);
}
