//! What toxics do, as their types and attributes say it.

use std::time::Duration;

use serde_json::Map;
use serde_json::Value;

use super::body::Members;
use super::refused::Refused;
use crate::api::limits::MAX_MILLIS;
use crate::engine::Gate;
use crate::toxic::Kind;
use crate::toxic::dcp;

/// The types that know bytes alone. `noop` does nothing.
const BYTES: [&str; 8] =
    ["bandwidth", "latency", "limit_data", "noop", "reset_peer", "slicer", "slow_close", "timeout"];
/// toxiproxy keeps numbers in 64 bits with a sign.
const MOST: u64 = i64::MAX as u64;

/// Whether there is such a type.
pub(super) fn is_type(name: &str) -> bool {
    BYTES.contains(&name) || dcp::types().any(|known| known == name)
}

/// What a toxic of this type does. Attributes that are not there are as in `now`, or, where there is none, 0; those of DCP
/// are as their faults say.
pub(super) fn read(kind: &str, attributes: &Members<'_>, now: Option<&Kind>) -> Result<Kind, Refused> {
    let mut before = now.map(|now| written(now).1).unwrap_or_default();
    if dcp::types().any(|known| known == kind) {
        before.extend(attributes.said().map(|(name, value)| (name.clone(), value.clone())));
        let step = dcp::read(kind, &before).map_err(|said| Refused::body(&said))?;
        return Ok(Kind::Dcp(Box::new(step)));
    }
    let read = Reader { attributes, before: &before };
    Ok(Kind::Bytes(match kind {
        "latency" => Gate::Latency { latency: read.millis("latency")?, jitter: read.millis("jitter")? },
        "bandwidth" => Gate::Bandwidth { rate: read.number("rate", MOST / KILO)?.saturating_mul(KILO) },
        "slow_close" => Gate::SlowClose { delay: read.millis("delay")? },
        "timeout" => {
            let after = read.millis("timeout")?;
            Gate::Timeout { after: (!after.is_zero()).then_some(after) }
        }
        "reset_peer" => Gate::ResetPeer { after: read.millis("timeout")? },
        "slicer" => read.slicer()?,
        "limit_data" => Gate::LimitData { bytes: read.number("bytes", MOST)? },
        "noop" => return Ok(Kind::Nothing),
        _ => return Err(Refused::no_such_type()),
    }))
}

/// The type and the attributes of what a toxic does: all of them.
pub(super) fn written(kind: &Kind) -> (String, Map<String, Value>) {
    let (name, attributes): (&str, Vec<(&str, u128)>) = match kind {
        Kind::Nothing => ("noop", vec![]),
        Kind::Dcp(step) => return (dcp::type_of(step).unwrap_or_default(), dcp::attributes(step)),
        Kind::Bytes(gate) => match gate {
            Gate::Latency { latency, jitter } => {
                ("latency", vec![("latency", latency.as_millis()), ("jitter", jitter.as_millis())])
            }
            Gate::Bandwidth { rate } => ("bandwidth", vec![("rate", (rate / KILO).into())]),
            Gate::SlowClose { delay } => ("slow_close", vec![("delay", delay.as_millis())]),
            Gate::Timeout { after } => ("timeout", vec![("timeout", after.unwrap_or_default().as_millis())]),
            Gate::ResetPeer { after } => ("reset_peer", vec![("timeout", after.as_millis())]),
            Gate::Slicer { average_size, size_variation, delay } => {
                let sizes = [("average_size", (*average_size).into()), ("size_variation", (*size_variation).into())];
                ("slicer", sizes.into_iter().chain([("delay", delay.as_micros())]).collect())
            }
            Gate::LimitData { bytes } => ("limit_data", vec![("bytes", (*bytes).into())]),
        },
    };
    let number = |number: u128| Value::from(u64::try_from(number).unwrap_or(u64::MAX));
    (name.to_owned(), attributes.into_iter().map(|(name, value)| (name.to_owned(), number(value))).collect())
}

/// A rate of 1 is a byte in each millisecond.
const KILO: u64 = 1000;

struct Reader<'a> {
    attributes: &'a Members<'a>,
    before: &'a Map<String, Value>,
}

impl Reader<'_> {
    fn number(&self, name: &str, most: u64) -> Result<u64, Refused> {
        let given = self.attributes.number(name, 0, most)?;
        Ok(given.or_else(|| self.before.get(name)?.as_u64()).unwrap_or(0))
    }

    fn millis(&self, name: &str) -> Result<Duration, Refused> {
        self.number(name, MAX_MILLIS).map(Duration::from_millis)
    }

    /// What toxiproxy takes too, and then dies of, is refused.
    fn slicer(&self) -> Result<Gate, Refused> {
        let (average_size, size_variation) = (self.number("average_size", MOST)?, self.number("size_variation", MOST)?);
        let delay = Duration::from_micros(self.number("delay", MAX_MILLIS.saturating_mul(1000))?);
        if average_size == 0 {
            return Err(Refused::body("average_size: expected a size from 1 on, found 0"));
        }
        if size_variation >= average_size {
            let said =
                format!("size_variation: expected less than the average_size, {average_size}, found {size_variation}");
            return Err(Refused::body(&said));
        }
        Ok(Gate::Slicer { average_size, size_variation, delay })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(kind: &str, attributes: &Value, now: Option<&Kind>) -> Result<Kind, Refused> {
        read(kind, &Members::of(attributes, "attributes")?, now)
    }

    #[test]
    fn attributes_are_read_and_written_back_whole() {
        for (kind, attributes) in [
            ("latency", json!({"latency": 5, "jitter": 7})),
            ("bandwidth", json!({"rate": 3})),
            ("slow_close", json!({"delay": 9})),
            ("timeout", json!({"timeout": 0})),
            ("timeout", json!({"timeout": 8})),
            ("reset_peer", json!({"timeout": 0})),
            ("slicer", json!({"average_size": 10, "size_variation": 9, "delay": 1500})),
            ("limit_data", json!({"bytes": i64::MAX})),
            ("noop", json!({})),
        ] {
            let read = of(kind, &attributes, None).expect("fine");
            let (name, back) = written(&read);
            assert_eq!((&*name, Value::Object(back)), (kind, attributes));
        }
        assert_eq!(of("bandwidth", &json!({"rate": 3}), None), Ok(Kind::Bytes(Gate::Bandwidth { rate: 3000 })));
        assert_eq!(of("timeout", &json!({}), None), Ok(Kind::Bytes(Gate::Timeout { after: None })));
        assert!(BYTES.iter().all(|kind| is_type(kind)) && !is_type("") && !is_type("Latency") && !is_type("dcp_"));
    }

    #[test]
    fn those_of_dcp_are_read_and_changed_as_others_are() {
        let made = of("dcp_drop", &json!({"when": "dcp.opcode == mutation", "nth": 3}), None).expect("fine");
        let changed = of("dcp_drop", &json!({"nth": 4, "when": null}), Some(&made)).expect("fine");
        let (kind, attributes) = written(&changed);
        assert_eq!(
            (&*kind, &attributes["nth"], &attributes["when"]),
            ("dcp_drop", &json!(4), &json!("dcp.opcode == mutation"))
        );
        assert_eq!(of(&kind, &Value::Object(attributes), None).expect("whole"), changed);
        let error = of("dcp_drop", &json!({"nht": 3}), None).expect_err("no such attribute");
        assert!(error.said.starts_with("bad request body: expected an attribute of dcp_drop ("), "{error:?}");
        assert!(is_type("dcp_close_stream") && !is_type("dcp_close"));
    }

    #[test]
    fn what_is_not_said_stays_as_it_is() {
        let now = of("latency", &json!({"LATENCY": 5, "jitter": 7, "other": [1]}), None).expect("fine");
        let changed = of("latency", &json!({"jitter": 1, "latency": null}), Some(&now)).expect("fine");
        assert_eq!(Value::Object(written(&changed).1), json!({"latency": 5, "jitter": 1}));
    }

    #[test]
    fn what_cannot_be_is_refused_with_expected_and_found() {
        for (kind, attributes, said) in [
            ("latency", json!({"latency": -1}), "latency: expected a whole number from 0 to 31536000000, found -1"),
            ("latency", json!({"jitter": 1.5}), "jitter: expected a whole number from 0 to 31536000000, found 1.5"),
            (
                "limit_data",
                json!({"bytes": "7"}),
                "bytes: expected a whole number from 0 to 9223372036854775807, found text",
            ),
            ("slicer", json!({"delay": 1}), "average_size: expected a size from 1 on, found 0"),
            (
                "slicer",
                json!({"average_size": 2, "size_variation": 2}),
                "size_variation: expected less than the average_size, 2, found 2",
            ),
        ] {
            assert_eq!(of(kind, &attributes, None), Err(Refused::body(said)));
        }
        assert_eq!(of("latencies", &json!({}), None), Err(Refused::no_such_type()));
    }
}
