//! Bodies, as tolerantly read as toxiproxy reads them: whatever their Content-Type, the first JSON value alone, members in
//! whatever case, unknown ones passed over, `null` as if it was not there.

use serde::Deserialize;
use serde_json::Deserializer;
use serde_json::Map;
use serde_json::Value;

use super::refused::Refused;
use crate::api::limits;
use crate::net::Target;
use crate::net::control::Lead;

/// The members of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Members<'a> {
    all: Option<&'a Map<String, Value>>,
}

/// What is said of a proxy.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct ProxyBody {
    pub(super) name: String,
    pub(super) listen: Option<String>,
    pub(super) upstream: Option<String>,
    pub(super) enabled: Option<bool>,
}

/// The first value of a body.
pub(super) fn value(body: &[u8]) -> Result<Value, Refused> {
    if body.trim_ascii().is_empty() {
        return Err(Refused::body("expected JSON, found nothing"));
    }
    let text = String::from_utf8_lossy(body);
    Value::deserialize(&mut Deserializer::from_str(&text))
        .map_err(|error| Refused::body(&format!("expected JSON, found otherwise: {error}")))
}

impl<'a> Members<'a> {
    /// Those of a value; `null` has none.
    pub(super) fn of(value: &'a Value, what: &str) -> Result<Self, Refused> {
        match value {
            Value::Object(all) => Ok(Self { all: Some(all) }),
            Value::Null => Ok(Self { all: None }),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(unlike(what, "an object", value))
            }
        }
    }

    /// The one of this name, the last of those that have it.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        let mut named = self.all?.iter().filter(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_null());
        named.next_back().map(|(_, value)| value)
    }

    /// All that are not `null`, by their names as they are.
    pub(super) fn said(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.all.into_iter().flatten().filter(|(_, value)| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Refused> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(unlike(name, "text", other)),
        }
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Refused> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(unlike(name, "true or false", other)),
        }
    }

    /// A number without a fraction, from `least` to `most`.
    pub(super) fn number(&self, name: &str, least: u64, most: u64) -> Result<Option<u64>, Refused> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_u64().filter(|number| (least..=most).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(unlike(name, &format!("a whole number from {least} to {most}"), value)),
        }
    }

    /// A number of single precision, as toxiproxy keeps them.
    pub(super) fn share(&self, name: &str) -> Result<Option<f32>, Refused> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let share = value.as_f64().map(|share| share as f32).filter(|share| share.is_finite());
        share.map(Some).ok_or_else(|| unlike(name, "a number from 0 to 1", value))
    }
}

impl ProxyBody {
    /// What a value says; `what` it is about, for errors.
    pub(super) fn of(value: &Value, what: &str) -> Result<Self, Refused> {
        let members = Members::of(value, what)?;
        let address = |name| match members.text(name)? {
            Some(text) => Ok::<_, Refused>(limits::address(name, &text).map(|()| Some(text))?),
            None => Ok(None),
        };
        Ok(Self {
            name: members.text("name")?.unwrap_or_default(),
            listen: address("listen")?,
            upstream: address("upstream")?,
            enabled: members.flag("enabled")?,
        })
    }
}

/// What a text says of where to dial. No host is this one.
pub(super) fn lead(text: String) -> Result<Lead, Refused> {
    match Target::to_listen_on(&text) {
        Ok(target) => Ok(Lead { text, target }),
        Err(error) => Err(Refused::body(&format!("upstream: {error}"))),
    }
}

/// Something is of another kind than it should be. What was found is said by its kind, or shortly.
fn unlike(name: &str, expected: &str, found: &Value) -> Refused {
    let found = match found {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(_) => "text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    Refused::body(&format!("{name}: expected {expected}, found {found}"))
}
