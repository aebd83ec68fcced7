//! Scenario files: the schema that editors complete them by, the reference that teaches them, and what is said of mistakes.

use std::collections::BTreeSet;
use std::path::Path;

use dcproxy::net::{self, Rehearsal};
use dcproxy::node::{Config, Quirk};
use dcproxy::scenario::Scenario;
use dcproxy::verdict::Verdict;
use serde_json::Value;

fn root(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn schema() -> Value {
    let text = std::fs::read_to_string(root("docs/scenario.schema.json")).expect("the schema");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn every_scenario_is_as_the_schema_says() {
    let schema = jsonschema::validator_for(&schema()).expect("a schema");
    for (scenario, text) in Scenario::built_in() {
        let json: Value = serde_json::to_value(text.parse::<toml::Table>().expect("TOML")).expect("JSON");
        let errors: Vec<_> =
            schema.iter_errors(&json).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", scenario.name);
    }
}

#[test]
fn the_schema_refuses_what_the_tool_refuses() {
    let schema = jsonschema::validator_for(&schema()).expect("a schema");
    let step = |rest: &str| format!("name = 'x'\nabout = ''\n[[steps]]\nname = 'a'\n{rest}\n");
    for wrong in [
        step("do = { close_stream = { at = 'middle' } }"),
        step("do = { close_stream = {}, drop = {} }"),
        step("do = {}"),
        step("do = { slash = {} }"),
        step("when = { nth = 0 }\ndo = { drop = {} }"),
        step("do = { delay = {} }"),
        step("do = { delay = { by = 5 } }"),
        step("expect = { survives = { whithin = '2s' } }"),
        "name = 'x'\nabout = ''\nsteps = []\n".to_owned(),
        "about = ''\n[[steps]]\nname = 'a'\ndo = { drop = {} }\n".to_owned(),
    ] {
        let json = serde_json::to_value(wrong.parse::<toml::Table>().expect("TOML")).expect("JSON");
        assert!(!schema.is_valid(&json), "the schema takes {wrong}");
        assert!(Scenario::parse(&wrong).is_err(), "the tool takes {wrong}");
    }
}

/// The names that an error lists behind "expected".
fn listed(error: &str) -> BTreeSet<String> {
    let expected = error.split("expected").nth(1).unwrap_or_default();
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn members(schema: &Value) -> BTreeSet<String> {
    schema["properties"].as_object().expect("properties").keys().cloned().collect()
}

/// What the tool expects in a place, by its own words about a name that is none.
fn known(text: &str) -> BTreeSet<String> {
    let error = Scenario::parse(text).expect_err(text).to_string();
    let names = listed(&error);
    assert!(!names.is_empty(), "{text}\n{error}");
    names
}

#[test]
fn the_schema_knows_each_name_that_the_tool_knows_and_no_other() {
    let schema = schema();
    let step = |rest: &str| format!("name = 'x'\nabout = ''\n[[steps]]\nname = 'a'\n{rest}\n");
    assert_eq!(known("no_such = 1\n"), members(&schema));
    assert_eq!(known(&step("no_such = 1")), members(&schema["properties"]["steps"]["items"]));
    assert_eq!(known(&step("when = { no_such = 1 }")), members(&schema["$defs"]["when"]));
    assert_eq!(known("name = 'x'\nabout = ''\n[consumer]\nno_such = 1\n"), members(&schema["properties"]["consumer"]));
    for (key, place) in [("do", "fault"), ("expect", "expectation")] {
        let table = &schema["$defs"][place];
        assert_eq!(known(&step(&format!("{key} = {{ no_such = {{}} }}"))), members(table), "{place}");
        for (name, spec) in table["properties"].as_object().expect("properties") {
            assert_eq!(known(&step(&format!("{key} = {{ {name} = {{ no_such = 1 }} }}"))), members(spec), "{name}");
        }
    }
}

/// The code blocks of a page, each with its language.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```").filter(|language| !language.is_empty()) {
            let text: String =
                lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
            blocks.push((language.to_owned(), text));
        }
    }
    blocks
}

/// `docs/SCENARIOS.md` shows what is said of each kind of mistake. `DCPROXY_WRITE_DOCS=1` writes it anew.
#[test]
fn the_mistakes_that_the_reference_shows_are_told_as_it_says() {
    let path = root("docs/SCENARIOS.md");
    let page = std::fs::read_to_string(&path).expect("the reference");
    let (before, mistakes) = page.split_once("## Mistakes\n").expect("a section");
    let mut written = String::new();
    let mut shown = 0;
    let mut rest = mistakes;
    while let Some((text, after)) = rest.split_once("```toml\n") {
        let (mistake, after) = after.split_once("```\n").expect("a block");
        let (_, after) = after.split_once("```text\n").expect("what is said of it");
        let (_, after) = after.split_once("```\n").expect("its end");
        let error = Scenario::parse(mistake).expect_err(mistake);
        let told = error.shown("mistake.toml", mistake);
        written.push_str(&format!("{text}```toml\n{mistake}```\n\n```text\n{}\n```\n", told.trim_end()));
        shown += 1;
        rest = after;
    }
    written.push_str(rest);
    assert!(shown >= 17, "only {shown} mistakes are shown");
    let anew = format!("{before}## Mistakes\n{written}");
    if std::env::var_os("DCPROXY_WRITE_DOCS").is_some() {
        std::fs::write(&path, &anew).expect("written");
    }
    assert!(page == anew, "docs/SCENARIOS.md shows other messages; DCPROXY_WRITE_DOCS=1 writes it anew");
}

#[test]
fn the_first_scenario_of_the_reference_catches_a_quirk() {
    let page = std::fs::read_to_string(root("docs/SCENARIOS.md")).expect("the reference");
    let (_, text) = blocks(&page).into_iter().find(|(language, _)| language == "toml").expect("a scenario");
    let scenario = Scenario::parse(&text).unwrap_or_else(|error| panic!("{error}"));
    let verdict = |quirk: Option<Quirk>| {
        let node = Config { quirks: quirk.into_iter().collect(), ..Config::default() };
        let rehearsal = Rehearsal::new(node, scenario.clone());
        let rehearsed = net::block_on(rehearsal.run()).expect("a runtime").expect("sockets");
        let findings = rehearsed.report.connections.into_iter().flat_map(|connection| connection.findings);
        let decided: Vec<_> = findings.filter(|finding| finding.verdict != Verdict::Pass).map(|it| it.id).collect();
        (rehearsed.report.verdict, decided)
    };
    assert_eq!(verdict(None), (Verdict::Pass, Vec::new()));
    let (with, findings) = verdict(Some(Quirk::Mb38356));
    assert_eq!(with, Verdict::Fail);
    assert!(findings.iter().any(|id| id == "ask-twice/ask/progress"), "{findings:?}");
}
