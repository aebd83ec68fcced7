use super::Case;
use crate::report;
use crate::verdict::Verdict;

/// What came of a case.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// Which.
    pub case: Case,
    /// What came of it in one letter.
    pub sign: Sign,
    /// What decided, where it is no pass: a finding's id, and what was seen.
    pub why: Vec<(String, String)>,
}

/// A cell of the matrix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sign {
    /// The producer kept the connection, as it should or may.
    Kept,
    /// It closed the connection, as its era demands or allows.
    Closed,
    /// A scenario that passed.
    Passed,
    /// A rule was broken.
    Failed,
    /// There is too little evidence.
    Unknown,
    /// The producer has no such messages: it refused what they need.
    NotApplicable,
}

impl Outcome {
    /// What a connection says of its case.
    pub fn of(case: Case, connection: &report::Connection) -> Self {
        let why = connection
            .findings
            .iter()
            .filter(|finding| finding.verdict == connection.verdict && finding.verdict != Verdict::Pass)
            .map(|finding| (finding.id.to_string(), finding.actual.clone()))
            .collect();
        let closed = connection.matrix.iter().any(|row| row.outcome == report::Outcome::Disconnected);
        let sign = match (connection.verdict, &case) {
            (Verdict::Fail, _) => Sign::Failed,
            (Verdict::Inconclusive, _) => Sign::Unknown,
            (Verdict::Pass, Case::Scenario(_)) => Sign::Passed,
            (Verdict::Pass, Case::Orphan { .. }) if closed => Sign::Closed,
            (Verdict::Pass, Case::Orphan { .. }) => Sign::Kept,
        };
        Self { case, sign, why }
    }

    /// A case that no connection was made for.
    pub(super) fn without_connection(case: Case, sign: Sign, what: &str) -> Self {
        let why = if sign == Sign::NotApplicable { Vec::new() } else { vec![("evidence".to_owned(), what.to_owned())] };
        Self { case, sign, why }
    }
}
