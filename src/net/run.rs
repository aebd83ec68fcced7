use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::capture::{unword, word};
use crate::scenario::judge::{Source, Terms};

/// How a live run was judged, as text on one line: its recording holds it, so that whoever reads that judges the same.
#[derive(Clone, Debug)]
pub struct Run {
    /// The run's seed.
    pub seed: u64,
    /// The scenarios that ran, by name.
    pub scenarios: Vec<String>,
    /// How its connections were judged.
    pub terms: Terms,
}

/// Expected the terms of a run, found another text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected the terms of a recorded run, found another text")]
pub struct NoRun;

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: Vec<String>| if names.is_empty() { "-".to_owned() } else { names.join(",") };
        let Terms { era, messages, settle, judge, source, expected } = &self.terms;
        let source = match source {
            Source::Recording => "recording",
            Source::Watching => "watching",
            Source::Acting { makes_orphans: false, fatal_too: false } => "acting",
            Source::Acting { makes_orphans: true, fatal_too: false } => "acting+orphans",
            Source::Acting { makes_orphans: false, fatal_too: true } => "acting+fatal_too",
            Source::Acting { makes_orphans: true, fatal_too: true } => "acting+orphans+fatal_too",
        };
        write!(
            f,
            "seed={} scenarios={} era={} messages={} settle_ns={} judge={judge} source={source}",
            self.seed,
            list(self.scenarios.iter().map(|name| word(name)).collect()),
            era.map_or_else(|| "auto".to_owned(), |era| era.to_string()),
            list(messages.iter().map(ToString::to_string).collect()),
            settle.as_nanos(),
        )?;
        if expected.is_empty() {
            return Ok(());
        }
        write!(f, " expected={}", word(&serde_json::to_string(expected).map_err(|_| fmt::Error)?))
    }
}

impl FromStr for Run {
    type Err = NoRun;

    fn from_str(text: &str) -> Result<Self, NoRun> {
        parse(text).ok_or(NoRun)
    }
}

fn parse(text: &str) -> Option<Run> {
    let mut words = text.split(' ');
    let mut next = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
    let seed = next("seed")?.parse().ok()?;
    let scenarios = list(next("scenarios")?).map(unword).collect::<Option<_>>()?;
    let era = match next("era")? {
        "auto" => None,
        era => Some(era.parse().ok()?),
    };
    let messages = list(next("messages")?).map(|name| name.parse().ok()).collect::<Option<_>>()?;
    let settle = Duration::from_nanos(next("settle_ns")?.parse().ok()?);
    let judge = next("judge")?.parse().ok()?;
    let source = match next("source")? {
        "recording" => Source::Recording,
        "watching" => Source::Watching,
        acting => {
            let mut parts = acting.split('+');
            if parts.next()? != "acting" {
                return None;
            }
            let (mut makes_orphans, mut fatal_too) = (false, false);
            for part in parts {
                match part {
                    "orphans" => makes_orphans = true,
                    "fatal_too" => fatal_too = true,
                    _ => return None,
                }
            }
            Source::Acting { makes_orphans, fatal_too }
        }
    };
    let expected = match words.next() {
        Some(word) => serde_json::from_str(&unword(word.strip_prefix("expected=")?)?).ok()?,
        None => Vec::new(),
    };
    Some(Run { seed, scenarios, terms: Terms { era, messages, settle, judge, source, expected } })
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|name| !matches!(*name, "" | "-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::era::Era;
    use crate::scenario::{Expected, MESSAGES, Scenario};
    use crate::verdict::Judge;

    fn expected() -> Vec<Expected> {
        let text =
            "name = \"n\"\nabout = \"\"\n[[steps]]\nname = \"a b\"\nexpect = { silence = { within = \"1500ms\" } }\n";
        Expected::of(&[Scenario::parse(text).expect("a scenario")])
    }

    #[test]
    fn the_terms_of_a_run_are_read_back_from_their_text() {
        let sources = [
            Source::Recording,
            Source::Watching,
            Source::Acting { makes_orphans: true, fatal_too: false },
            Source::Acting { makes_orphans: true, fatal_too: true },
            Source::Acting { makes_orphans: false, fatal_too: true },
            Source::Acting { makes_orphans: false, fatal_too: false },
        ];
        for (source, era) in sources.into_iter().zip(Era::ALL.map(Some).into_iter().chain([None])) {
            let terms = Terms {
                era,
                messages: MESSAGES.into(),
                settle: Duration::from_millis(1500),
                judge: Judge::Both,
                source,
                expected: if era.is_some() { Vec::new() } else { expected() },
            };
            let run = Run { seed: u64::MAX, scenarios: vec!["a b, c".into(), "d".into()], terms };
            let text = run.to_string();
            let back: Run = text.parse().expect("it is read back");
            assert_eq!(format!("{back:?}"), format!("{run:?}"));
            assert!(!text.contains("a b"), "{text}");
        }
        let none: Run =
            "seed=1 scenarios=- era=auto messages=- settle_ns=0 judge=producer source=watching".parse().unwrap();
        assert!(none.scenarios.is_empty() && none.terms.messages.is_empty());
        for text in ["", "seed=1", "seed=x scenarios=- era=auto messages=- settle_ns=0 judge=producer source=watching"]
        {
            assert!(text.parse::<Run>().is_err(), "{text}");
        }
    }
}
