//! The faults of the catalogue as toxics: the type of each is `dcp_` and its name in scenarios, its attributes are the
//! fault's settings and those of its trigger (docs/SCENARIOS.md has both).
//!
//! A trigger's filter is called `when`, as `filter` is in a scenario, and the `times` of `duplicate` and `send` are `copies`,
//! as `times` is the trigger's. Where neither `times` nor `every` nor `probability` says how often,
//!
//! - what is done to a frame (drop, duplicate, reorder, corrupt, fake_response, rewrite) is done to every frame that counts,
//!   or to the one that `nth` names;
//! - what is done to a stream (close_stream, stream_end, orphan_response) is done once to each stream, at a message of the
//!   producer; with `times` it is counted for all of the connection's, unless `per` says `stream`;
//! - all else is begun once, and lasts as long as it is said to, or until the toxic is removed.
//!
//! `stream` says whose frames count: `upstream` those of whoever dialled. It has no meaning for what is done to a stream, nor
//! for what knows itself whose words it is about; and `from` (producer, consumer) takes its place where that is said.

mod lenient;
mod shape;

use serde::Deserialize;
use serde_json::Map;
use serde_json::Value;

use super::Stream;
use crate::fault::FaultSpec;
use crate::fault::Spec;
use crate::journal::Role;
use crate::journal::Side;
use crate::scenario::Per;
use crate::scenario::Step;
use crate::scenario::When;
use lenient::Lenient;

const PREFIX: &str = "dcp_";

/// The trigger's attributes, as they are called here.
const TRIGGER: [&str; 10] =
    ["when", "from", "nth", "every", "times", "probability", "per", "mid_transfer", "after", "within"];
/// Those that are durations: a number is milliseconds.
const DURATIONS: [&str; 6] = ["after", "within", "by", "jitter", "for", "delay"];
/// Settings that are false where they are not said.
const FLAGS: [&str; 4] = ["lingering", "header", "answers", "lost"];
/// What a fault may do at once at the most, so that it keeps no other connection waiting.
const MOST_AT_ONCE: u32 = 4096;
/// Bytes of what a fault makes up.
const MOST_BYTES: u64 = 20 << 20;

/// The types that there are.
pub fn types() -> impl Iterator<Item = String> {
    shape::faults().iter().map(|name| format!("{PREFIX}{name}"))
}

/// The type of a toxic that takes this step.
pub fn type_of(step: &Step) -> Option<String> {
    Some(format!("{PREFIX}{}", settings(step)?.0))
}

/// Reads a toxic of that type; what is null is as if it was not said.
///
/// # Errors
/// What was expected, and what was found.
pub fn read(type_name: &str, attributes: &Map<String, Value>) -> Result<Step, String> {
    let fault = type_name.strip_prefix(PREFIX).unwrap_or_default();
    if !shape::faults().contains(&fault) {
        let all = types().collect::<Vec<_>>().join(", ");
        return Err(format!("expected one of {all}, found toxic type '{type_name}'"));
    }
    let (mut settings, mut trigger) = (Map::new(), Map::new());
    for (name, value) in attributes.iter().filter(|(_, value)| !value.is_null()) {
        let value = if DURATIONS.contains(&name.as_str()) { duration(value) } else { value.clone() };
        if is_of_both(fault, name) {
            settings.insert(name.clone(), value.clone());
        }
        if name == "when" {
            trigger.insert("filter".to_owned(), value);
        } else if TRIGGER.contains(&name.as_str()) {
            trigger.insert(name.clone(), value);
        } else if let Some(field) = field_of(fault, name) {
            settings.insert(field.to_owned(), value);
        } else {
            let known = known(fault).collect::<Vec<_>>().join(", ");
            return Err(format!("expected an attribute of {type_name} ({known}), found '{name}'"));
        }
    }
    let of_type = |error: &serde_json::Error, name: &str, here: &str| {
        format!("{type_name}: {}", error.to_string().replacen(&format!("{name}: "), &format!("{here}: "), 1))
    };
    let spec = Value::Object(Map::from_iter([(fault.to_owned(), Value::Object(settings))]));
    let spec = FaultSpec::deserialize(Lenient::of(spec)).map_err(|error| of_type(&error, "times", "copies"))?;
    check(&spec).map_err(|wrong| format!("{type_name}: {wrong}"))?;
    let says_per = trigger.contains_key("per");
    let when = When::deserialize(Lenient::of(Value::Object(trigger)));
    let mut when = when.map_err(|error| of_type(&error, "filter", "when"))?;
    complete(&mut when, &spec, says_per);
    Ok(Step { name: type_name.to_owned(), when, faults: vec![spec], expect: Vec::new() })
}

/// All attributes of a toxic that takes this step, those too that were not said: null where there is no default.
pub fn attributes(step: &Step) -> Map<String, Value> {
    let Some((fault, mut settings)) = settings(step) else { return Map::new() };
    let mut all = Map::new();
    for field in shape::fields(&fault) {
        let default = if FLAGS.contains(field) { Value::Bool(false) } else { Value::Null };
        let value = settings.remove(*field).unwrap_or(default);
        all.insert(name_of(field).to_owned(), value);
    }
    let trigger = serde_json::to_value(&step.when).ok();
    let trigger = trigger.as_ref().and_then(Value::as_object);
    for name in TRIGGER {
        let field = if name == "when" { "filter" } else { name };
        let value = trigger.and_then(|trigger| trigger.get(field)).cloned();
        match (name, value) {
            ("per", None) => all.insert(name.to_owned(), "connection".into()),
            ("mid_transfer", None) => all.insert(name.to_owned(), step.is_mid_transfer().into()),
            (_, Some(value)) => all.insert(name.to_owned(), value),
            (_, None) => {
                all.entry(name).or_insert(Value::Null);
                continue;
            }
        };
    }
    all
}

/// Whose frames count for a toxic on that stream, where its trigger does not say.
pub(super) fn side(step: &Step, stream: Stream) -> Option<Side> {
    let concerns_one = |spec: &FaultSpec| matches!(manner(spec), Manner::Frame | Manner::Onward);
    let side = match stream {
        Stream::Upstream => Side::Dialler,
        Stream::Downstream => Side::Upstream,
    };
    (step.when.from.is_none() && step.faults.iter().all(concerns_one)).then_some(side)
}

/// Whether a fault that somebody asks for over a network is of a measure that keeps nobody waiting.
///
/// # Errors
/// What was expected, and what was found.
pub fn check(spec: &FaultSpec) -> Result<(), String> {
    let within = |name: &str, found: u64, most: u64| {
        if found <= most { Ok(()) } else { Err(format!("{name}: expected up to {most}, found {found}")) }
    };
    let copies =
        |times: Option<std::num::NonZeroU32>| within("copies", times.map_or(1, std::num::NonZeroU32::get).into(), 256);
    let bytes = |name: &str, size: Option<crate::units::Size>| within(name, size.map_or(0, |size| size.0), MOST_BYTES);
    match spec {
        FaultSpec::OrphanResponse(spec) => {
            within("count", spec.count.into(), MOST_AT_ONCE.into()).and_then(|()| bytes("body_size", spec.body_size))
        }
        FaultSpec::FakeResponse(spec) => bytes("body_size", spec.body_size),
        FaultSpec::Duplicate(spec) => copies(spec.times),
        FaultSpec::Send(spec) => copies(spec.times).and_then(|()| bytes("value_size", spec.value_size)),
        FaultSpec::Corrupt(spec) => {
            within("bits", spec.bits.map_or(1, std::num::NonZeroU32::get).into(), MOST_AT_ONCE.into())
        }
        FaultSpec::CloseStream(_)
        | FaultSpec::StreamEnd(_)
        | FaultSpec::Drop(_)
        | FaultSpec::Delay(_)
        | FaultSpec::Hold(_)
        | FaultSpec::Release(_)
        | FaultSpec::Reorder(_)
        | FaultSpec::Truncate(_)
        | FaultSpec::Throttle(_)
        | FaultSpec::Slice(_)
        | FaultSpec::Disconnect(_)
        | FaultSpec::WithholdAck(_)
        | FaultSpec::SwallowNoop(_)
        | FaultSpec::Rewrite(_)
        | FaultSpec::LimitData(_) => Ok(()),
    }
}

/// How often a fault is done where nobody says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// To each frame that counts.
    Frame,
    /// Once to each stream.
    Stream,
    /// Once, from a frame on.
    Onward,
    /// Once, whosever frame comes.
    Once,
}

const fn manner(spec: &FaultSpec) -> Manner {
    match spec {
        FaultSpec::Drop(_)
        | FaultSpec::Duplicate(_)
        | FaultSpec::Reorder(_)
        | FaultSpec::Corrupt(_)
        | FaultSpec::FakeResponse(_)
        | FaultSpec::Rewrite(_) => Manner::Frame,
        FaultSpec::CloseStream(_) | FaultSpec::OrphanResponse(_) | FaultSpec::StreamEnd(_) => Manner::Stream,
        FaultSpec::Delay(_)
        | FaultSpec::Hold(_)
        | FaultSpec::Truncate(_)
        | FaultSpec::Throttle(_)
        | FaultSpec::Slice(_)
        | FaultSpec::LimitData(_) => Manner::Onward,
        FaultSpec::Release(_)
        | FaultSpec::Disconnect(_)
        | FaultSpec::WithholdAck(_)
        | FaultSpec::SwallowNoop(_)
        | FaultSpec::Send(_) => Manner::Once,
    }
}

/// Says what was left unsaid of a trigger.
fn complete(when: &mut When, spec: &FaultSpec, says_per: bool) {
    let once = std::num::NonZeroU64::MIN;
    let says_times = when.times.is_some();
    let says_more = says_times || when.every.is_some() || when.probability.is_some();
    when.mid_transfer.get_or_insert(when.filter.is_none() && spec.wants_stream());
    match manner(spec) {
        Manner::Stream => {
            if !says_times {
                when.times = Some(once);
                when.per = if says_per { when.per } else { Per::Stream };
            }
            when.from.get_or_insert(Role::Producer);
        }
        Manner::Frame if !says_more && when.nth.is_none() => when.every = Some(once),
        Manner::Frame | Manner::Onward | Manner::Once => {
            if !says_more {
                when.times = Some(once);
            }
        }
    }
}

/// A fault's name, and its settings as a scenario has them.
fn settings(step: &Step) -> Option<(String, Map<String, Value>)> {
    let Ok(Value::Object(spec)) = serde_json::to_value(step.faults.first()?) else { return None };
    match spec.into_iter().next()? {
        (name, Value::Object(settings)) => Some((name, settings)),
        _ => None,
    }
}

/// What a setting of a fault is called here.
fn name_of(field: &'static str) -> &'static str {
    if field == "times" { "copies" } else { field }
}

/// The setting of a fault that is called so here.
fn field_of(fault: &str, name: &str) -> Option<&'static str> {
    shape::fields(fault).iter().copied().find(|field| name_of(field) == name)
}

/// Whether an attribute is a setting of the fault and of its trigger: whose words it is about, and whose frames count.
fn is_of_both(fault: &str, name: &str) -> bool {
    name == "from" && shape::fields(fault).contains(&"from")
}

fn known(fault: &str) -> impl Iterator<Item = &'static str> {
    let own = shape::fields(fault).iter().map(|field| name_of(field)).filter(|name| !TRIGGER.contains(name));
    own.chain(TRIGGER).collect::<Vec<_>>().into_iter()
}

/// A number is milliseconds.
fn duration(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::String(format!("{number}ms")),
        Value::String(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
            Value::String(format!("{text}ms"))
        }
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests;
