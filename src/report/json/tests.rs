use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::report::sample;
use crate::verdict::Judge;

const SCHEMA: &str = include_str!("../../../docs/report.schema.json");
const DOCUMENT: &str = include_str!("../../../docs/REPORT.md");

fn written(report: &Report) -> Value {
    let mut out = Vec::new();
    write(report, &mut out).expect("a vector takes all");
    serde_json::from_slice(&out).expect("JSON")
}

fn errors(report: &Value) -> Vec<String> {
    let schema = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    assert!(jsonschema::meta::is_valid(&schema), "the schema is one");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    validator.iter_errors(report).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn reports_are_as_the_schema_says() {
    for report in [Report::new(Judge::Both), sample::passed(), sample::failed()] {
        assert_eq!(errors(&written(&report)), [""; 0]);
    }
}

/// A schema that accepts everything would prove nothing.
#[test]
fn the_schema_refuses_what_no_report_is() {
    let good = written(&sample::failed());
    let wrong: [(&str, Value); 11] = [
        ("/schema", 2.into()),
        ("/verdict", "passed".into()),
        ("/seed", (-1).into()),
        ("/era", "5.5".into()),
        ("/matrix/1/outcome", "not exercised".into()),
        ("/matrix/0/answered", 1.into()),
        ("/connections/0/steps/0/opaque", "0xD".into()),
        ("/connections/0/orphans/0/origin", "producer".into()),
        ("/connections/1/findings/0/vbucket", 65536.into()),
        ("/connections/1/findings/0/at_ms", "1234".into()),
        ("/connections/1/notes/0/severity", "W".into()),
    ];
    for (place, value) in wrong {
        let mut report = good.clone();
        *report.pointer_mut(place).expect(place) = value;
        assert_eq!(errors(&report).len(), 1, "{place}: {:?}", errors(&report));
    }
    for (place, key) in [("", "matrix"), ("/connections/0", "orphans_total"), ("/connections/1/findings/0", "actual")] {
        let mut report = good.clone();
        let object = report.pointer_mut(place).and_then(Value::as_object_mut).expect(place);
        object.remove(key);
        assert_eq!(errors(&report).len(), 1, "{place} without {key}");
        let object = report.pointer_mut(place).and_then(Value::as_object_mut).expect(place);
        object.insert("extra".to_owned(), Value::Null);
        assert_eq!(errors(&report).len(), 2, "{place} with more");
    }
}

/// The names and the order are a contract (design.md §4); what this project added comes after.
#[test]
fn keys_keep_their_order() {
    let report = written(&sample::failed());
    assert_eq!(
        keys(&report),
        "schema tool version verdict seed era reason scenarios matrix connections judge findings errors recording"
            .split(' ')
            .collect::<Vec<_>>()
    );
    let at = |place: &str| keys(report.pointer(place).expect(place)).join(" ");
    assert_eq!(at("/matrix/0"), "message status answered outcome verdict");
    assert_eq!(
        at("/connections/0"),
        "id consumer producer name era verdict frames steps orphans findings reason matrix orphans_total notes case"
    );
    assert_eq!(at("/connections/0/frames"), "producer consumer");
    assert_eq!(at("/connections/0/steps/0"), "step fired vbucket opaque seqno at_ms");
    assert_eq!(at("/connections/0/orphans/0"), "message status vbucket seqno at_ms origin");
    assert_eq!(
        at("/connections/1/findings/0"),
        "id requirement verdict expected actual at_ms vbucket seqno severity about"
    );
}

#[test]
fn what_is_written_can_be_read() {
    let report = sample::failed();
    assert_eq!(serde_json::from_value::<Report>(written(&report)).expect("a report"), report);
}

#[test]
fn the_document_tells_of_every_key_and_value() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    let mut names = BTreeSet::new();
    collect(&schema, &mut names);
    assert!(names.contains("orphans_total") && names.contains("left_out"), "{names:?}");
    let missing: Vec<_> = names.iter().filter(|name| !DOCUMENT.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "not in docs/REPORT.md: {missing:?}");
}

/// Property names and enumerated values.
fn collect(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                names.extend(properties.keys().cloned());
            }
            if let Some(Value::Array(values)) = object.get("enum") {
                names.extend(values.iter().filter_map(Value::as_str).map(str::to_owned));
            }
            object.values().for_each(|value| collect(value, names));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
