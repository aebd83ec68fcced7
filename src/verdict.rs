//! What is said of a run: the verdict, the findings that it rests on, and the exit code that it becomes.
//!
//! Those who judge (`invariant`, `scenario`) make findings, `report` writes them. A finding tells of one end, and decides
//! the verdict only if that end is judged and the rule is one that the protocol demands ([`Finding::decides`]); the rest
//! are notes.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

pub use crate::journal::Role;
pub use crate::journal::Side;

/// The outcome of a rule, a step, a connection or a run. Ordered from the best to the worst, so the worst is the maximum.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// There was evidence, and it is as the rule demands.
    #[default]
    Pass,
    /// There was not enough evidence to say (law L7).
    Inconclusive,
    /// There was evidence against the rule.
    Fail,
}

impl Verdict {
    /// The worse of the two.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        self.max(other)
    }

    /// The worst of all; `Pass` of none, so whoever needs evidence adds what is missing as a finding of its own.
    pub fn worst_of(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().fold(Self::Pass, Self::worst)
    }

    /// `pass`, `fail` or `inconclusive`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the process says to its caller. Ordered from the best to the worst: 0, 3, 1, 2.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum ExitStatus {
    /// 0: passed, or there was nothing to judge.
    #[default]
    Pass,
    /// 3: a verdict is inconclusive.
    Inconclusive,
    /// 1: a verdict is fail.
    Fail,
    /// 2: usage, configuration or I/O error.
    Error,
}

impl ExitStatus {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Error => 2,
            Self::Inconclusive => 3,
        }
    }

    /// The worse of the two.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        self.max(other)
    }
}

impl From<Verdict> for ExitStatus {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Inconclusive => Self::Inconclusive,
            Verdict::Fail => Self::Fail,
        }
    }
}

/// How much a rule weighs (the `sev` column of invariants.md).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// I: told for information.
    Info,
    /// W: suspicious, or customary only: nobody promised it.
    Warning,
    /// E: the protocol demands it.
    Error,
}

impl Severity {
    /// `error`, `warning` or `info`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Whom a finding tells of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum About {
    /// The end at this socket, whatever it turns out to be.
    Side(Side),
    /// The end in this role.
    Role(Role),
    /// Neither end: the evidence or the run itself. Decides whoever is judged.
    Run,
}

impl About {
    /// The end that produces.
    pub const PRODUCER: Self = Self::Role(Role::Producer);
    /// The end that consumes.
    pub const CONSUMER: Self = Self::Role(Role::Consumer);

    /// The same, with the role in place of the side, once it is known which side produces.
    #[must_use]
    pub fn resolved(self, producer: Option<Side>) -> Self {
        match (self, producer) {
            (Self::Side(side), Some(producer)) if side == producer => Self::Role(Role::Producer),
            (Self::Side(_), Some(_)) => Self::Role(Role::Consumer),
            (about, _) => about,
        }
    }

    /// `producer`, `consumer`, `dialler`, `upstream` or `run`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Side(Side::Dialler) => "dialler",
            Self::Side(Side::Upstream) => "upstream",
            Self::Role(Role::Producer) => "producer",
            Self::Role(Role::Consumer) => "consumer",
            Self::Run => "run",
        }
    }
}

/// Whose faults decide the verdict (`--judge`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Judge {
    /// The producer's.
    #[default]
    Producer,
    /// The consumer's.
    Consumer,
    /// Either's.
    Both,
}

impl Judge {
    /// `producer`, `consumer` or `both`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Both => "both",
        }
    }

    /// Whether the one told of is judged. A side that never got a role (no DCP_OPEN came) is judged only where both are.
    pub const fn judges(self, about: About) -> bool {
        match about {
            About::Run => true,
            About::Role(Role::Producer) => matches!(self, Self::Producer | Self::Both),
            About::Role(Role::Consumer) => matches!(self, Self::Consumer | Self::Both),
            About::Side(_) => matches!(self, Self::Both),
        }
    }
}

impl fmt::Display for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Expected producer, consumer or both; found the text inside.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected producer, consumer or both, found '{0}'")]
pub struct NoSuchJudge(pub String);

impl FromStr for Judge {
    type Err = NoSuchJudge;

    fn from_str(text: &str) -> Result<Self, NoSuchJudge> {
        [Self::Producer, Self::Consumer, Self::Both]
            .into_iter()
            .find(|judge| judge.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| NoSuchJudge(text.to_owned()))
    }
}

/// The evidence for or against one rule, on one connection.
///
/// ```
/// use dcproxy::Timestamp;
/// use dcproxy::verdict::{About, Finding};
///
/// let finding = Finding::fail("connection-kept", "the producer keeps the connection after an orphaned response")
///     .about(About::PRODUCER)
///     .expected("the connection open 2000 ms after the last orphaned response")
///     .actual("FIN 120 ms after DCP_PREPARE/KeyEnoent")
///     .at(Timestamp(1_500_000_000))
///     .vbucket(3)
///     .seqno(1042);
/// assert!(finding.decides(Default::default()));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The rule's stable id.
    pub id: Cow<'static, str>,
    /// The rule as text, as a user reads it.
    pub requirement: Cow<'static, str>,
    /// What the evidence says.
    pub verdict: Verdict,
    /// How much the rule weighs.
    pub severity: Severity,
    /// Whom it tells of.
    pub about: About,
    /// What the rule demands in this case.
    pub expected: String,
    /// What was seen; of an inconclusive finding, what is missing.
    pub actual: String,
    /// When it was seen.
    pub at: Option<Timestamp>,
    /// On which vbucket, where it is about one.
    pub vbucket: Option<u16>,
    /// At which seqno, where it is about one.
    pub seqno: Option<u64>,
}

impl Finding {
    /// A finding of severity [`Severity::Error`] about the run; the other methods say the rest.
    pub fn new(id: impl Into<Cow<'static, str>>, requirement: impl Into<Cow<'static, str>>, verdict: Verdict) -> Self {
        Self {
            id: id.into(),
            requirement: requirement.into(),
            verdict,
            severity: Severity::Error,
            about: About::Run,
            expected: String::new(),
            actual: String::new(),
            at: None,
            vbucket: None,
            seqno: None,
        }
    }

    /// The rule held.
    pub fn pass(id: impl Into<Cow<'static, str>>, requirement: impl Into<Cow<'static, str>>) -> Self {
        Self::new(id, requirement, Verdict::Pass)
    }

    /// The rule was broken.
    pub fn fail(id: impl Into<Cow<'static, str>>, requirement: impl Into<Cow<'static, str>>) -> Self {
        Self::new(id, requirement, Verdict::Fail)
    }

    /// There is too little evidence; say with [`Self::actual`] what is missing.
    pub fn inconclusive(id: impl Into<Cow<'static, str>>, requirement: impl Into<Cow<'static, str>>) -> Self {
        Self::new(id, requirement, Verdict::Inconclusive)
    }

    /// How much the rule weighs.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Whom it tells of.
    #[must_use]
    pub fn about(mut self, about: About) -> Self {
        self.about = about;
        self
    }

    /// What the rule demands in this case.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = expected.into();
        self
    }

    /// What was seen, or what is missing.
    #[must_use]
    pub fn actual(mut self, actual: impl Into<String>) -> Self {
        self.actual = actual.into();
        self
    }

    /// When it was seen.
    #[must_use]
    pub fn at(mut self, at: Timestamp) -> Self {
        self.at = Some(at);
        self
    }

    /// On which vbucket.
    #[must_use]
    pub fn vbucket(mut self, vbucket: u16) -> Self {
        self.vbucket = Some(vbucket);
        self
    }

    /// At which seqno.
    #[must_use]
    pub fn seqno(mut self, seqno: u64) -> Self {
        self.seqno = Some(seqno);
        self
    }

    /// The same, about a role instead of a side, once it is known which side produces.
    #[must_use]
    pub fn resolved(mut self, producer: Option<Side>) -> Self {
        self.about = self.about.resolved(producer);
        self
    }

    /// Whether it counts for the verdict: the protocol demands the rule, and the end that it tells of is judged.
    /// [`Self::resolved`] comes first.
    pub fn decides(&self, judge: Judge) -> bool {
        self.severity == Severity::Error && judge.judges(self.about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_verdict_wins() {
        use Verdict::{Fail, Inconclusive, Pass};
        for (a, b, worst) in [
            (Pass, Pass, Pass),
            (Pass, Inconclusive, Inconclusive),
            (Pass, Fail, Fail),
            (Inconclusive, Inconclusive, Inconclusive),
            (Inconclusive, Fail, Fail),
            (Fail, Fail, Fail),
        ] {
            assert_eq!(a.worst(b), worst);
            assert_eq!(b.worst(a), worst);
        }
        assert_eq!(Verdict::worst_of([Pass, Fail, Inconclusive]), Fail);
        assert_eq!(Verdict::worst_of([]), Pass);
    }

    #[test]
    fn exit_codes_and_their_order() {
        let worst_first = [2, 1, 3, 0];
        let mut all = [ExitStatus::Pass, ExitStatus::Inconclusive, ExitStatus::Fail, ExitStatus::Error];
        all.sort();
        all.reverse();
        assert_eq!(all.map(ExitStatus::code), worst_first);
        assert_eq!(ExitStatus::from(Verdict::Inconclusive).worst(ExitStatus::from(Verdict::Fail)).code(), 1);
        assert_eq!(ExitStatus::Error.worst(ExitStatus::Fail).code(), 2);
        assert_eq!(ExitStatus::from(Verdict::Pass).code(), 0);
    }

    #[test]
    fn only_errors_of_the_judged_end_decide() {
        let about = |about| Finding::fail("x", "y").about(about);
        let (producer, consumer) = (About::Role(Role::Producer), About::Role(Role::Consumer));
        for (judge, of_producer, of_consumer) in
            [(Judge::Producer, true, false), (Judge::Consumer, false, true), (Judge::Both, true, true)]
        {
            assert_eq!(about(producer).decides(judge), of_producer, "{judge}");
            assert_eq!(about(consumer).decides(judge), of_consumer, "{judge}");
            assert!(about(About::Run).decides(judge));
            assert!(!about(producer).severity(Severity::Warning).decides(judge));
            assert!(!about(producer).severity(Severity::Info).decides(judge));
        }
    }

    #[test]
    fn a_side_becomes_a_role_once_the_producer_is_known() {
        let upstream = About::Side(Side::Upstream);
        assert_eq!(upstream.resolved(Some(Side::Upstream)), About::Role(Role::Producer));
        assert_eq!(upstream.resolved(Some(Side::Dialler)), About::Role(Role::Consumer));
        assert_eq!(upstream.resolved(None), upstream);
        assert_eq!(About::Run.resolved(Some(Side::Upstream)), About::Run);
        assert_eq!(About::Role(Role::Consumer).resolved(Some(Side::Upstream)), About::Role(Role::Consumer));
    }

    #[test]
    fn a_judge_is_named_whatever_the_case() {
        assert_eq!("Both".parse(), Ok(Judge::Both));
        assert_eq!(
            "server".parse::<Judge>().map_err(|error| error.to_string()),
            Err("expected producer, consumer or both, found 'server'".to_owned())
        );
    }
}
