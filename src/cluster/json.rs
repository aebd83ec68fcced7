//! JSON by its parts, each as the text that it was: what is not changed is not read, and goes on as it came.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::MapAccess;
use serde::de::Visitor;
use serde_json::value::RawValue;

use super::Service;

/// The members of an object, in order, those of one name each by itself.
#[derive(Debug)]
pub(super) struct Members<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = access.next_key()? {
                    members.push((name, access.next_value()?));
                }
                Ok(members)
            }
        }

        from.deserialize_map(Each).map(Self)
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> {
    /// The members of a text that is an object.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The text of the last member of that name, as readers of JSON take it.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(of, _)| of == name).map(|(_, value)| value.get())
    }

    /// Of the members that name services those that are in `offered`, each with its port there.
    pub(super) fn ports(
        &self,
        named: fn(&str) -> Option<Service>,
        offered: &BTreeMap<Service, u16>,
    ) -> Vec<(String, u16)> {
        let port = |name: &str| named(name).and_then(|service| offered.get(&service)).copied();
        self.0.iter().filter_map(|(name, _)| Some((name.to_string(), port(name)?))).collect()
    }

    /// The object anew, with each member as `change` says: other text, or left out.
    ///
    /// # Errors
    /// The first of `change`'s.
    pub(super) fn map<E>(
        &self,
        mut change: impl FnMut(&str, &'a str) -> Result<Option<Cow<'a, str>>, E>,
    ) -> Result<String, E> {
        let mut out = String::from("{");
        for (name, value) in &self.0 {
            if let Some(value) = change(name, value.get())? {
                if out.len() > 1 {
                    out.push(',');
                }
                out.push_str(&string(name));
                out.push(':');
                out.push_str(&value);
            }
        }
        out.push('}');
        Ok(out)
    }
}

/// The elements of a text that is an array, each as its text.
pub(super) fn elements(text: &str) -> Option<Vec<&str>> {
    let raw: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(raw.into_iter().map(RawValue::get).collect())
}

/// An array of what are JSON texts.
pub(super) fn array(elements: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut out = String::from("[");
    for element in elements {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(element.as_ref());
    }
    out.push(']');
    out
}

/// An object of ports by their names.
pub(super) fn ports(ports: &[(String, u16)]) -> String {
    let members: Vec<String> = ports.iter().map(|(name, port)| format!("{}:{port}", string(name))).collect();
    format!("{{{}}}", members.join(","))
}

/// A text as a JSON string.
pub(super) fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text of a JSON string.
pub(super) fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// A port that a JSON number names.
pub(super) fn port(json: &str) -> Option<u16> {
    serde_json::from_str(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_keeps_its_text_and_its_place() {
        let text = r#"{"a": 1.0e2 ,"b":{"x":[ 1,2 ]},"a":18446744073709551616,"\u00e9":"\u00e9","c":null}"#;
        let members = Members::of(text).unwrap();
        let out = members.map(|name, value| Ok::<_, ()>((name != "c").then_some(Cow::Borrowed(value)))).unwrap();
        assert_eq!(out, r#"{"a":1.0e2,"b":{"x":[ 1,2 ]},"a":18446744073709551616,"é":"\u00e9"}"#);
        assert_eq!(members.get("a"), Some("18446744073709551616"));
        assert!(Members::of("[]").is_none() && Members::of("{").is_none() && Members::of("{} x").is_none());
        assert_eq!(array(elements("[1, \"a\" ,{}]").unwrap()), "[1,\"a\",{}]");
    }
}
