mod consumer;
mod error;
mod one_or_many;
mod when;

use serde::Deserialize;
use serde::Serialize;

use super::catalogue;
use super::expect::Expect;
use crate::era::Era;
use crate::fault::FaultSpec;
use crate::fault::Spec;
use crate::units;
use crate::units::Span;
use crate::verdict::Judge;
use crate::wire::Opcode;

pub use consumer::ConsumerSettings;
pub use error::ScenarioError;
pub use when::After;
pub use when::Per;
pub use when::Probability;
pub use when::When;

/// What is done to a connection, and what is expected of its ends, as a file says it (docs/SCENARIOS.md).
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// The seed, where none is asked for on the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The era to go by, where none is asked for on the command line.
    #[serde(default, with = "units::text_option", skip_serializing_if = "Option::is_none")]
    pub era: Option<Era>,
    /// The eras whose producers or consumers can be put through it; all where there are none.
    #[serde(default, with = "units::texts", skip_serializing_if = "Vec::is_empty")]
    pub eras: Vec<Era>,
    /// Whether it leaves the producer otherwise than it was, such as without a vbucket: `probe` runs it only where it is
    /// told that this may be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub destructive: bool,
    /// Whose faults decide, where it is not asked for on the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<Judge>,
    /// The message types that are to meet an orphaned response, where they are not asked for on the command line.
    #[serde(default, with = "units::texts", skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Opcode>,
    /// How long the ends are watched after the last step, where it is not asked for on the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<Span>,
    /// Rows of the catalogue of known bugs that it is a test of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covers: Vec<String>,
    /// Quirks of the embedded node that it catches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quirks: Vec<String>,
    /// What a consumer of the tool's own is to ask for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub consumer: ConsumerSettings,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// When, do, expect.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What it is called in reports.
    pub name: String,
    /// When it fires.
    #[serde(default, skip_serializing_if = "is_default")]
    pub when: When,
    /// What is done, one or several at once.
    #[serde(default, rename = "do", with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultSpec>,
    /// What is expected afterwards, one or several.
    #[serde(default, with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expect>,
}

impl Step {
    /// Whether it fires at a message of a stream that is in the middle of a transfer.
    pub(crate) fn is_mid_transfer(&self) -> bool {
        let default = self.when.filter.is_none() && self.faults.iter().any(Spec::wants_stream);
        self.when.mid_transfer.unwrap_or(default)
    }
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// What is wrong, with its line and column.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text).map_err(|error| ScenarioError::of_toml(text, &error))?;
        scenario.check(text)?;
        Ok(scenario)
    }

    /// Reads the same as JSON.
    ///
    /// # Errors
    /// What is wrong, with its line and column.
    pub fn parse_json(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = serde_json::from_str(text).map_err(|error| ScenarioError::of_json(text, &error))?;
        scenario.check(text)?;
        Ok(scenario)
    }

    fn check(&self, text: &str) -> Result<(), ScenarioError> {
        let wrong = |said: &str, expected: String| Err(ScenarioError::at(text, said, &expected));
        if self.name.is_empty() {
            return wrong("name", "expected a name, found an empty one".to_owned());
        }
        if self.steps.is_empty() {
            return wrong("steps", "expected at least one step, found none".to_owned());
        }
        for (n, step) in self.steps.iter().enumerate() {
            if step.faults.is_empty() && step.expect.is_empty() {
                let expected = format!("expected something to do or to expect in step '{}', found neither", step.name);
                return wrong(&step.name, expected);
            }
            if self.steps[..n].iter().any(|other| other.name == step.name) {
                return wrong(
                    &step.name,
                    format!("expected each step to have its own name, found '{}' twice", step.name),
                );
            }
            if let Some(After::Step(name)) = &step.when.after
                && !self.steps.iter().any(|other| other.name == *name && other.name != step.name)
            {
                let names = self.steps.iter().filter(|other| other.name != step.name);
                let names = names.map(|step| format!(", {}", step.name)).collect::<String>();
                let expected = format!("expected a duration, start{names}, found '{name}'");
                return wrong(name, expected);
            }
        }
        Ok(())
    }

    /// Whether it leaves the producer otherwise than it was, such as without a vbucket, as it says or as its consumer does.
    pub fn is_destructive(&self) -> bool {
        self.destructive || self.consumer.takes_over()
    }

    /// Whether an end of that era can be put through it.
    pub fn is_for(&self, era: Era) -> bool {
        self.eras.is_empty() || self.eras.contains(&era)
    }

    /// The text of a file that says the same.
    pub fn to_toml(&self) -> String {
        // By way of JSON, which each part of a scenario can be written as anyway: TOML has to write one type only then.
        serde_json::to_value(self).ok().and_then(|value| toml::to_string(&value).ok()).unwrap_or_default()
    }

    /// The scenarios that the tool brings along, each with the text of its file.
    pub fn built_in() -> Vec<(Self, &'static str)> {
        catalogue::FILES.iter().filter_map(|text| Self::parse(text).ok().map(|scenario| (scenario, *text))).collect()
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

    /// Whether it is meant to make orphaned responses, so that without one nothing was tried.
    pub fn makes_orphans(&self) -> bool {
        self.steps.iter().flat_map(|step| &step.faults).any(Spec::makes_orphans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::CloseAt;
    use crate::fault::CloseStreamSpec;

    #[test]
    fn every_built_in_scenario_is_read_and_written_back() {
        let all = Scenario::built_in();
        assert_eq!(all.len(), catalogue::FILES.len());
        assert_eq!(all.first().map(|(scenario, _)| scenario.name.as_str()), Some("orphaned-responses"));
        for (scenario, _) in all {
            let text = scenario.to_toml();
            assert_eq!(Scenario::parse(&text).as_ref(), Ok(&scenario), "{text}");
            let json = serde_json::to_string(&scenario).unwrap();
            assert_eq!(Scenario::parse_json(&json).as_ref(), Ok(&scenario), "{json}");
        }
        let both = CloseStreamSpec { at: CloseAt::Both, ..CloseStreamSpec::default() };
        assert_eq!(Scenario::named("close-at-both").unwrap().steps[0].faults, [FaultSpec::CloseStream(both)]);
    }

    #[test]
    fn what_is_wrong_with_json_is_named_with_its_place_too() {
        for (text, expected) in [
            ("{\"name\": \"x\",\n \"nam\": 1}", "line 2, column 6: unknown field `nam`"),
            ("{\"name\": \"x\",\n \"about\": \"\", \"steps\": []}", "line 2, column 16: expected at least one step"),
            ("{\"name\": \"x\"", "line 1, column 12: EOF"),
            ("", "line 1, column 1: EOF"),
        ] {
            let error = Scenario::parse_json(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}\n{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let error = Scenario::named("nonsense").unwrap_err().to_string();
        assert!(error.contains("orphaned-responses") && error.contains("'nonsense'"), "{error}");
        let head = "name = \"x\"\nabout = \"y\"\n[[steps]]\nname = \"z\"\n";
        for (text, expected) in [
            (
                format!("{head}do = {{ close_stream = {{ at = \"middle\" }} }}\n"),
                "line 5, column 30: expected cut, end, consumer, producer or both, found 'middle'",
            ),
            (format!("{head}do = {{ close_stream = {{}} }}\nwhen = {{ nth = 0 }}\n"), "line 6, column 16: "),
            (
                format!("{head}do = {{ close_stream = {{}} }}\nwhen = {{ probability = 1.5 }}\n"),
                "line 6, column 24: expected a probability above 0 and up to 1, found 1.5",
            ),
            (
                format!("{head}do = {{ close_stream = {{}} }}\nwhen = {{ filter = \"dcp.opcod == 1\" }}\n"),
                "line 6, column 19: ",
            ),
            (format!("{head}do = {{ close_stream = {{}} }}\nwhen = {{ after = \"y\" }}\n"), "found 'y'"),
            ("name = \"x\"\nabout = \"y\"\nextra = 1\nsteps = []\n".to_owned(), "line 3, column 1: "),
            ("name = \"x\"\nabout = \"y\"\nsteps = []\n".to_owned(), "line 3, column 1: expected at least one step"),
            (head.to_owned(), "line 4, column 9: expected something to do"),
        ] {
            let error = Scenario::parse(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}\n{error}");
        }
    }
}
