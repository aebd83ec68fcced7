//! JSON as clients of toxiproxy send it: a number may be a text, a text a number, and a list a text with commas.

use serde::Deserializer;
use serde::de::Error as _;
use serde::de::IntoDeserializer;
use serde::de::Visitor;
use serde::de::value::MapAccessDeserializer;
use serde::de::value::MapDeserializer;
use serde::de::value::SeqDeserializer;
use serde_json::Error;
use serde_json::Value;

/// A value, and the name of the member that it is of.
pub(super) struct Lenient {
    value: Value,
    name: Option<String>,
}

impl Lenient {
    /// All of a document.
    pub(super) const fn of(value: Value) -> Self {
        Self { value, name: None }
    }

    /// What is read from the value as it is.
    fn as_it_is<'de, V: Visitor<'de>>(value: Value, visitor: V) -> Result<V::Value, Error> {
        match value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(bool) => visitor.visit_bool(bool),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), ..) => visitor.visit_u64(number),
                (None, Some(number), _) => visitor.visit_i64(number),
                (None, None, Some(number)) => match whole(number) {
                    Some(number) => visitor.visit_u64(number),
                    None => visitor.visit_f64(number),
                },
                (None, None, None) => visitor.visit_unit(),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(values) => visitor.visit_seq(SeqDeserializer::new(values.into_iter().map(Self::of))),
            Value::Object(members) => visitor.visit_map(members_of(members)),
        }
    }

    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let value = match &self.value {
            Value::String(text) => match text.trim().parse() {
                Ok(number) => Value::Number(number),
                Err(_) => return Err(named(self.name, Error::custom(format!("expected a number, found '{text}'")))),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => self.value,
        };
        Self::as_it_is(value, visitor).map_err(|error| named(self.name, error))
    }

    fn text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let value = match &self.value {
            Value::Number(_) | Value::Bool(_) => Value::String(self.value.to_string()),
            Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => self.value,
        };
        Self::as_it_is(value, visitor).map_err(|error| named(self.name, error))
    }
}

/// A number without a fraction, as languages write it that know no others.
fn whole(number: f64) -> Option<u64> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "both were looked at")]
    (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64)
}

type Members = MapDeserializer<'static, Box<dyn Iterator<Item = (String, Lenient)>>, Error>;

fn members_of(members: serde_json::Map<String, Value>) -> Members {
    let named = members.into_iter().map(|(name, value)| {
        // What is inside of a table has a name of its own.
        let member = Lenient { name: (!value.is_object()).then(|| name.clone()), value };
        (name, member)
    });
    MapDeserializer::new(Box::new(named))
}

/// An error with the member that it is about.
fn named(name: Option<String>, error: Error) -> Error {
    match name {
        Some(name) => Error::custom(format!("{name}: {error}")),
        None => error,
    }
}

impl IntoDeserializer<'_, Error> for Lenient {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! as_numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.number(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Lenient {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        Self::as_it_is(self.value, visitor).map_err(|error| named(self.name, error))
    }

    as_numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16 deserialize_u32
        deserialize_u64 deserialize_f32 deserialize_f64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let value = match self.value.as_str() {
            Some("true") => Value::Bool(true),
            Some("false") => Value::Bool(false),
            Some(_) | None => self.value,
        };
        Self::as_it_is(value, visitor).map_err(|error| named(self.name, error))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.text(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let value = match self.value {
            Value::String(text) => text.split(',').map(|part| Value::from(part.trim())).collect(),
            Value::Number(number) => Value::Array(vec![Value::Number(number)]),
            other @ (Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => other,
        };
        Self::as_it_is(value, visitor).map_err(|error| named(self.name, error))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let name = self.name;
        let read = match self.value {
            Value::String(text) => visitor.visit_enum(text.into_deserializer()),
            Value::Object(members) => visitor.visit_enum(MapAccessDeserializer::new(members_of(members))),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
                Err(Error::custom(format!("expected a name, found {other}")))
            }
        };
        read.map_err(|error| named(name, error))
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}
