use serde_json::json;

use super::*;
use crate::units::Span;

fn step(type_name: &str, attributes: Value) -> Result<Step, String> {
    let Value::Object(attributes) = attributes else { panic!("an object") };
    read(type_name, &attributes)
}

/// Attributes that suffice for each type.
fn least(type_name: &str) -> Value {
    match type_name {
        "dcp_orphan_response" => json!({ "message": "mutation", "status": "KeyEnoent" }),
        "dcp_delay" => json!({ "by": 100 }),
        "dcp_throttle" => json!({ "rate": "100KB" }),
        "dcp_slice" => json!({ "size": 7 }),
        "dcp_fake_response" => json!({ "status": "Etmpfail" }),
        "dcp_limit_data" => json!({ "bytes": 1000 }),
        "dcp_send" => json!({ "message": "noop" }),
        _ => json!({}),
    }
}

#[test]
fn there_is_a_type_for_each_fault() {
    let all: Vec<String> = types().collect();
    for name in ["dcp_close_stream", "dcp_orphan_response", "dcp_stream_end", "dcp_drop", "dcp_delay", "dcp_send"] {
        assert!(all.iter().any(|found| found == name), "{name}");
    }
    assert_eq!(all.len(), 20);
}

#[test]
fn all_attributes_are_told_and_are_read_as_they_are_told() {
    for name in types() {
        let first = step(&name, least(&name)).unwrap();
        assert_eq!(type_of(&first).as_deref(), Some(&*name));
        let told = attributes(&first);
        for attribute in known(name.strip_prefix(PREFIX).unwrap()) {
            assert!(told.contains_key(attribute), "{name} has no {attribute}: {told:?}");
        }
        assert_eq!(read(&name, &told), Ok(first), "{told:?}");
    }
}

#[test]
fn how_often_where_nobody_says() {
    let of = |name: &str, more: Value| {
        let Value::Object(mut all) = least(name) else { panic!("an object") };
        let Value::Object(more) = more else { panic!("an object") };
        all.extend(more);
        let told = attributes(&read(name, &all).unwrap());
        (told["times"].as_u64(), told["every"].as_u64(), told["per"].as_str().unwrap().to_owned())
    };
    let is = |times, every, per: &str| (times, every, per.to_owned());
    assert_eq!(of("dcp_drop", json!({})), is(None, Some(1), "connection"));
    assert_eq!(of("dcp_drop", json!({ "nth": 3 })), is(Some(1), None, "connection"));
    assert_eq!(of("dcp_drop", json!({ "times": 5 })), is(Some(5), None, "connection"));
    assert_eq!(of("dcp_drop", json!({ "probability": 0.5 })), is(None, None, "connection"));
    assert_eq!(of("dcp_close_stream", json!({})), is(Some(1), None, "stream"));
    assert_eq!(of("dcp_close_stream", json!({ "times": 2 })), is(Some(2), None, "connection"));
    assert_eq!(of("dcp_close_stream", json!({ "times": 2, "per": "stream" })), is(Some(2), None, "stream"));
    assert_eq!(of("dcp_delay", json!({})), is(Some(1), None, "connection"));
}

#[test]
fn numbers_may_be_texts_and_texts_numbers() {
    let delay = |by: Value| match &step("dcp_delay", json!({ "by": by, "jitter": null })).unwrap().faults[..] {
        [FaultSpec::Delay(delay)] => (delay.by, delay.jitter),
        other => panic!("a delay, found {other:?}"),
    };
    let tenth = Span(std::time::Duration::from_millis(100));
    for by in [json!("100ms"), json!("100"), json!(100), json!(100.0), json!("0.1s")] {
        assert_eq!(delay(by.clone()), (tenth, None), "{by}");
    }
    let text = step("dcp_limit_data", json!({ "bytes": "1000", "nth": "3", "probability": "0.5" })).unwrap();
    let number = step("dcp_limit_data", json!({ "bytes": 1000.0, "nth": 3, "probability": 0.5 })).unwrap();
    assert_eq!(text, number);
    let list = step("dcp_close_stream", json!({ "messages": "prepare, commit", "mid_transfer": "false" })).unwrap();
    assert_eq!(
        list,
        step("dcp_close_stream", json!({ "messages": ["prepare", "commit"], "mid_transfer": false })).unwrap()
    );
    assert_eq!(step("dcp_rewrite", json!({ "value": 7 })), step("dcp_rewrite", json!({ "value": "7" })));
}

#[test]
fn what_is_wrong_is_named() {
    for (name, attributes, expected) in [
        ("latency", json!({}), "expected one of dcp_close_stream"),
        ("dcp_drop", json!({ "wen": "x" }), "expected an attribute of dcp_drop (books, when, from, nth"),
        ("dcp_drop", json!({ "when": "dcp.opcod == 1" }), "dcp_drop: when: "),
        ("dcp_drop", json!({ "nth": 0 }), "dcp_drop: nth: "),
        ("dcp_drop", json!({ "nth": "x" }), "dcp_drop: nth: expected a number, found 'x'"),
        ("dcp_drop", json!({ "probability": 2 }), "dcp_drop: expected a probability above 0 and up to 1, found 2"),
        ("dcp_delay", json!({}), "dcp_delay: missing field `by`"),
        ("dcp_delay", json!({ "by": "soon" }), "dcp_delay: expected a duration such as 2s or 150ms, found 'soon'"),
        (
            "dcp_close_stream",
            json!({ "at": "middle" }),
            "expected cut, end, consumer, producer or both, found 'middle'",
        ),
        ("dcp_duplicate", json!({ "copies": 100_000 }), "copies: expected up to 256, found 100000"),
        ("dcp_drop", json!({ "copies": 2 }), "found 'copies'"),
        ("dcp_send", json!({ "message": "noop", "value_size": "1GB" }), "value_size: expected up to"),
    ] {
        let error = step(name, attributes.clone()).unwrap_err();
        assert!(error.contains(expected), "{attributes}: {error}");
    }
}

#[test]
fn whose_frames_count() {
    let whose = |name: &str, attributes| side(&step(name, attributes).unwrap(), Stream::Upstream);
    assert_eq!(whose("dcp_drop", json!({})), Some(Side::Dialler));
    assert_eq!(whose("dcp_drop", json!({ "from": "producer" })), None);
    assert_eq!(whose("dcp_close_stream", json!({})), None);
    assert_eq!(whose("dcp_delay", json!({ "by": 1 })), Some(Side::Dialler));
    assert_eq!(whose("dcp_disconnect", json!({})), None);
    let hold = step("dcp_hold", json!({ "from": "consumer" })).unwrap();
    assert_eq!(hold.when.from, Some(Role::Consumer));
    assert!(matches!(&hold.faults[..], [FaultSpec::Hold(hold)] if hold.from == Some(Role::Consumer)));
}
