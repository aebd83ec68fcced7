//! Scenario files: the schema that editors complete them by, the reference that teaches them, and what is said of mistakes.

use std::collections::BTreeSet;
use std::path::Path;

use dcproxy::scenario::Scenario;
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
