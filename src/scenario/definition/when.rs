use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::Deserialize;
use serde::Serialize;

use crate::filter::Filter;
use crate::journal::Role;
use crate::units;
use crate::units::Span;

/// The trigger of a step: which frames it counts, and at which of them it fires.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// The frames that count; all of them where there is none.
    #[serde(with = "units::text_option", skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// Whose frames count.
    #[serde(with = "crate::journal::role", skip_serializing_if = "Option::is_none")]
    pub from: Option<Role>,
    /// Only messages of a stream that is in the middle of a transfer count: inside an open snapshot, with more to come,
    /// behind some that the consumer has got. The default of faults that are done to a stream, where there is no filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mid_transfer: Option<bool>,
    /// It fires first at this one of them, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nth: Option<NonZeroU64>,
    /// And then at every so manyth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<NonZeroU64>,
    /// So often at the most: once, or without end where `every` or `probability` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<NonZeroU64>,
    /// With this probability each time, from the seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<Probability>,
    /// Since when it waits: a while after the step before has fired, from the start of the connection, or once a named
    /// step has fired.
    #[serde(with = "units::text_option", skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
    /// How long it waits, from then on; a step that finds no place to fire is told, and makes the verdict inconclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// Whether `nth`, `every` and `times` count for the connection or for each stream.
    #[serde(skip_serializing_if = "Per::is_default")]
    pub per: Per,
}

impl When {
    /// Whether it is left to what the fault is for.
    pub(in crate::scenario) const fn is_plain(&self) -> bool {
        self.filter.is_none() && self.from.is_none() && self.nth.is_none() && self.every.is_none()
    }
}

/// What is counted apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// All of the connection's together.
    #[default]
    Connection,
    /// Those of each stream by themselves.
    Stream,
}

impl Per {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    const fn is_default(&self) -> bool {
        matches!(self, Self::Connection)
    }
}

/// Since when a step waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum After {
    /// From the first frame of the connection, whatever steps are before it.
    Start,
    /// So long after the step before has fired, or, for the first, after DCP was opened.
    Span(Span),
    /// Once the step of that name has fired.
    Step(String),
}

impl FromStr for After {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "start" => Ok(Self::Start),
            "" => Err("expected a duration, start or the name of a step, found nothing".to_owned()),
            _ if text.starts_with(|c: char| c.is_ascii_digit()) => text.parse().map(Self::Span),
            _ => Ok(Self::Step(text.to_owned())),
        }
    }
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("start"),
            Self::Span(span) => span.fmt(f),
            Self::Step(name) => f.write_str(name),
        }
    }
}

/// A number above 0 and up to 1.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Probability(f64);

impl Probability {
    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Probability {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(from)?;
        if number > 0.0 && number <= 1.0 {
            Ok(Self(number))
        } else {
            Err(serde::de::Error::custom(format!("expected a probability above 0 and up to 1, found {number}")))
        }
    }
}
