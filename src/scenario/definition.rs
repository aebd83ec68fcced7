use serde::Deserialize;

use crate::fault::CloseAt;
use crate::wire::Opcode;
use crate::wire::Status;

/// What is done to a connection, as a file says it.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// One thing that is done, in the middle of a transfer: inside an open snapshot, with more to come.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What it is called in reports.
    pub name: String,
    /// What is done.
    #[serde(rename = "do")]
    pub action: Do,
}

/// A fault and its settings.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Do {
    /// A stream is closed.
    CloseStream {
        /// Where.
        #[serde(default, deserialize_with = "parsed")]
        at: CloseAt,
    },
    /// A response to a message is told to the producer, out of nothing.
    OrphanResponse {
        /// To which message.
        #[serde(deserialize_with = "parsed")]
        message: Opcode,
        /// With which status.
        #[serde(deserialize_with = "parsed")]
        status: Status,
        /// How often.
        #[serde(default = "one")]
        count: u32,
    },
}

const fn one() -> u32 {
    1
}

fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// Why a scenario cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScenarioError {
    /// There is none of that name.
    #[error("expected the name of a built-in scenario ({known}) or a file, found '{found}'")]
    Unknown {
        /// What was asked for.
        found: String,
        /// What there is.
        known: String,
    },
    /// The file does not say what a scenario says.
    #[error("{0}")]
    Malformed(String),
}

/// The built-in scenarios, as files.
const BUILT_IN: [&str; 5] = [
    include_str!("../../scenarios/orphaned-responses.toml"),
    include_str!("../../scenarios/close-at-end.toml"),
    include_str!("../../scenarios/close-at-consumer.toml"),
    include_str!("../../scenarios/close-at-producer.toml"),
    include_str!("../../scenarios/close-at-both.toml"),
];

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// What is wrong, with its line and column.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self =
            toml::from_str(text).map_err(|error| ScenarioError::Malformed(error.to_string().trim_end().to_owned()))?;
        if scenario.steps.is_empty() {
            return Err(ScenarioError::Malformed("expected at least one step, found none".to_owned()));
        }
        Ok(scenario)
    }

    /// The scenarios that the tool brings along, each with the text of its file.
    pub fn built_in() -> Vec<(Self, &'static str)> {
        BUILT_IN.iter().filter_map(|text| Self::parse(text).ok().map(|scenario| (scenario, *text))).collect()
    }

    /// The built-in scenario of that name.
    ///
    /// # Errors
    /// There is none; the error lists those that there are.
    pub fn named(name: &str) -> Result<Self, ScenarioError> {
        let all = Self::built_in();
        let known = all.iter().map(|(scenario, _)| scenario.name.as_str()).collect::<Vec<_>>().join(", ");
        all.into_iter()
            .map(|(scenario, _)| scenario)
            .find(|scenario| scenario.name == name)
            .ok_or_else(|| ScenarioError::Unknown { found: name.to_owned(), known })
    }

    /// Whether it is meant to make the tool itself answer messages, so that without an orphaned response nothing was
    /// tried.
    pub fn makes_orphans(&self) -> bool {
        self.steps.iter().any(|step| match step.action {
            Do::CloseStream { at } => matches!(at, CloseAt::Cut | CloseAt::End),
            Do::OrphanResponse { .. } => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_scenario_is_read() {
        let names: Vec<_> = Scenario::built_in().into_iter().map(|(scenario, _)| scenario.name).collect();
        assert_eq!(names.len(), BUILT_IN.len());
        assert_eq!(names.first().map(String::as_str), Some("orphaned-responses"));
        assert_eq!(Scenario::named("close-at-both").unwrap().steps[0].action, Do::CloseStream { at: CloseAt::Both });
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let error = Scenario::named("nonsense").unwrap_err().to_string();
        assert!(error.contains("orphaned-responses") && error.contains("'nonsense'"), "{error}");
        let error = Scenario::parse(
            "name = \"x\"\nabout = \"y\"\n[[steps]]\nname = \"z\"\ndo = { close_stream = { at = \"middle\" } }\n",
        )
        .unwrap_err()
        .to_string();
        assert!(error.contains("line 5") && error.contains("found 'middle'"), "{error}");
        let error = Scenario::parse("name = \"x\"\nabout = \"y\"\nextra = 1\nsteps = []\n").unwrap_err().to_string();
        assert!(error.contains("extra"), "{error}");
    }
}
