use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::node::Credentials;

/// How a recording is to be played.
#[derive(Clone, Debug)]
pub struct Options {
    /// How fast.
    pub speed: Speed,
    /// How long the live end may be silent while something of it is waited for that the conversation cannot do without.
    pub patience: Duration,
    /// How long data is waited for that the recording had, and that the live end may not have.
    pub quiet: Duration,
    /// How long the live end is watched after the last orphaned response.
    pub settle: Duration,
    /// Who logs in, or may log in.
    pub credentials: Option<Credentials>,
    /// The bucket to select in place of the recorded one.
    pub bucket: Option<String>,
    /// What nonces are made from.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            speed: Speed::RECORDED,
            patience: Duration::from_secs(5),
            quiet: Duration::from_millis(500),
            settle: Duration::from_secs(2),
            credentials: None,
            bucket: None,
            seed: 0,
        }
    }
}

/// How fast a recording is played: so many times as fast as it was recorded, or as fast as the conversation allows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Speed {
    /// The recorded gaps, divided by this positive number.
    Times(f64),
    /// Without gaps.
    Max,
}

impl Speed {
    /// As fast as it was recorded.
    pub const RECORDED: Self = Self::Times(1.0);

    /// How long a recorded gap lasts.
    pub fn gap(self, recorded: Duration) -> Duration {
        match self {
            Self::Times(times) => Duration::try_from_secs_f64(recorded.as_secs_f64() / times).unwrap_or(Duration::MAX),
            Self::Max => Duration::ZERO,
        }
    }
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("max") {
            return Ok(Self::Max);
        }
        let times = text.parse::<f64>().ok().filter(|times| times.is_finite() && *times >= 0.001);
        times
            .map(Self::Times)
            .ok_or_else(|| format!("expected a speed from 0.001, such as 1 or 10, or max, found '{text}'"))
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(times) => write!(f, "{times}"),
            Self::Max => f.write_str("max"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_divides_the_gaps() {
        let gap = |text: &str| text.parse::<Speed>().map(|speed| speed.gap(Duration::from_secs(3)));
        assert_eq!(gap("1"), Ok(Duration::from_secs(3)));
        assert_eq!(gap("1.5"), Ok(Duration::from_secs(2)));
        assert_eq!(gap("0.5"), Ok(Duration::from_secs(6)));
        assert_eq!(gap("MAX"), Ok(Duration::ZERO));
        for text in ["0", "-1", "fast", "", "inf", "NaN", "1e-9"] {
            assert!(gap(text).is_err(), "{text}");
        }
        assert_eq!(Speed::RECORDED.to_string(), "1");
    }

    #[test]
    fn the_password_does_not_show() {
        let options =
            Options { credentials: Some(("u".to_owned(), "secret-of-mine".to_owned()).into()), ..Options::default() };
        assert!(!format!("{options:?}").contains("secret-of-mine"));
    }
}
