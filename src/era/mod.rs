//! What a consumer of each era answers, and what a producer of each era does with each answer: tables, and nothing else.
//!
//! [`producer_action`] is the transcription of `DcpProducer::handleResponse` (orphaned-responses.md §4, corrected by what
//! real-servers.md §1 and §5 measured); [`producer_cell`] is what the tool demands of a producer in that place;
//! [`consumer_answer`] is what a consumer node says when a stream is not what the message expects (orphaned-responses.md
//! §2, corrected by real-servers.md §3 and §5); [`detect`] finds the era of a producer from what it let be seen.

mod cell;
mod consumers;
mod detection;
mod producers;

use std::fmt;
use std::str::FromStr;

pub use cell::Cell;
pub use cell::CutAnswer;
pub use cell::cut_status;
pub use cell::producer_cell;
pub use consumers::Situation;
pub use consumers::consumer_answer;
pub use consumers::keeps_closed_streams;
pub use detection::Evidence;
pub use detection::detect;
pub use producers::Action;
pub use producers::knows;
pub use producers::producer_action;

use crate::wire::UnknownName;

/// A span of kv_engine releases with the same answer rules (orphaned-responses.md §4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Era {
    /// Up to 6.0.x (A).
    V6_0,
    /// The fix of MB-35287 alone (B): the requirement that is used where nothing else is known.
    V2019_07,
    /// 6.5.x (D).
    V6_5,
    /// 6.6.x (F).
    V6_6,
    /// 7.0 to 8.0.x (G).
    V7_0,
    /// After 8.0 (H).
    Master,
}

impl Era {
    /// Every era, oldest first.
    pub const ALL: [Self; 6] = [Self::V6_0, Self::V2019_07, Self::V6_5, Self::V6_6, Self::V7_0, Self::Master];

    /// As `--era` takes it and reports show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V6_0 => "6.0",
            Self::V2019_07 => "2019-07",
            Self::V6_5 => "6.5",
            Self::V6_6 => "6.6",
            Self::V7_0 => "7.0",
            Self::Master => "master",
        }
    }

    /// What a server of the era answers to VERSION; a development build of July 2019 says `6.5.0-0000`, as a 6.5.0 built
    /// by hand does (real-servers.md §4).
    pub const fn version_text(self) -> &'static str {
        match self {
            Self::V6_0 => "6.0.5-3340",
            Self::V2019_07 => "6.5.0-0000",
            Self::V6_5 => "6.5.2-6634",
            Self::V6_6 => "6.6.5-10080",
            Self::V7_0 => "7.0.5-7659",
            Self::Master => "8.1.0-1000",
        }
    }

    /// The control that asks for sync writes, if the era has such (real-servers.md §4).
    pub const fn sync_writes_control(self) -> Option<&'static str> {
        match self {
            Self::V6_0 => None,
            Self::V2019_07 => Some("enable_synchronous_replication"),
            Self::V6_5 | Self::V6_6 | Self::V7_0 | Self::Master => Some("enable_sync_writes"),
        }
    }
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Era {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|era| era.name() == text).ok_or_else(|| UnknownName {
            expected: "an era: 6.0, 2019-07, 6.5, 6.6, 7.0 or master",
            found: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for era in Era::ALL {
            assert_eq!(era.to_string().parse(), Ok(era));
        }
        let error = "7.1".parse::<Era>().unwrap_err();
        assert_eq!(error.to_string(), "expected an era: 6.0, 2019-07, 6.5, 6.6, 7.0 or master, found '7.1'");
    }
}
