use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::Serialize;

use crate::verdict::Verdict;

/// What the producer did with the orphaned responses of one (message, status). Ordered by how much a row says of a run:
/// where connections differ, the greatest is the run's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The message never came, or was never negotiated; or, where it was answered, nothing is known of what came of that.
    NotExercised,
    /// The era's producer may or must disconnect at it, so the scenario did not try it.
    LeftOut,
    /// The producer kept the connection and proved that it lives.
    Handled,
    /// The producer closed the connection; the row's verdict says whether the era allows it.
    Disconnected,
    /// The producer kept the connection, and gave no sign of life on it.
    Stalled,
}

impl Outcome {
    /// As a person reads it: `handled`, `disconnected`, `stalled`, `left out` or `not exercised`.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotExercised => "not exercised",
            Self::LeftOut => "left out",
            Self::Handled => "handled",
            Self::Disconnected => "disconnected",
            Self::Stalled => "stalled",
        }
    }

    /// What the outcome means where nothing else is known: that a disconnect was allowed, or that one was demanded, only
    /// the era knows.
    const fn verdict(self) -> Verdict {
        match self {
            Self::Handled | Self::LeftOut => Verdict::Pass,
            Self::NotExercised => Verdict::Inconclusive,
            Self::Disconnected | Self::Stalled => Verdict::Fail,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.words())
    }
}

/// One cell of the matrix of messages and statuses.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// `DCP_PREPARE`.
    pub message: String,
    /// `KeyEnoent`, unknown ones as `0x7e`; none where the message was not exercised and no status was chosen for it.
    pub status: Option<String>,
    /// Orphaned responses with it that were delivered to the producer.
    pub answered: u64,
    /// What came of them.
    pub outcome: Outcome,
    /// Whether that is as it should be: an era may allow or demand that the producer disconnects.
    pub verdict: Verdict,
}

impl Row {
    /// A row with the verdict that its outcome has where the era has no say ([`Self::judged`] changes it).
    pub fn new(message: impl Into<String>, status: Option<String>, answered: u64, outcome: Outcome) -> Self {
        Self { message: message.into(), status, answered, outcome, verdict: outcome.verdict() }
    }

    /// The same row with another verdict: `Pass` for a disconnect that the era allows or demands, `Fail` for staying where
    /// it demands one.
    #[must_use]
    pub fn judged(mut self, verdict: Verdict) -> Self {
        self.verdict = verdict;
        self
    }
}

/// Adds a connection's rows to the run's, sorted by message and status. Answers add up, the worst verdict and the outcome
/// that says most win, but a message that some connection exercised is exercised: rows of others that say it never came vanish.
pub(super) fn merge(into: &mut Vec<Row>, rows: &[Row]) {
    for row in rows {
        match into.iter_mut().find(|ours| ours.message == row.message && ours.status == row.status) {
            Some(ours) => combine(ours, row),
            None => into.push(row.clone()),
        }
    }
    let exercised: BTreeSet<String> =
        into.iter().filter(|row| row.outcome > Outcome::LeftOut).map(|row| row.message.clone()).collect();
    into.retain(|row| row.outcome != Outcome::NotExercised || row.answered > 0 || !exercised.contains(&row.message));
    into.sort_by(|a, b| (&a.message, &a.status).cmp(&(&b.message, &b.status)));
}

fn combine(ours: &mut Row, theirs: &Row) {
    ours.answered = ours.answered.saturating_add(theirs.answered);
    ours.verdict = match (ours.outcome, theirs.outcome) {
        (Outcome::NotExercised, Outcome::NotExercised) => ours.verdict.worst(theirs.verdict),
        (Outcome::NotExercised, _) => theirs.verdict,
        (_, Outcome::NotExercised) => ours.verdict,
        _ => ours.verdict.worst(theirs.verdict),
    };
    ours.outcome = ours.outcome.max(theirs.outcome);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(message: &str, status: &str, answered: u64, outcome: Outcome) -> Row {
        let status = Some(status.to_owned()).filter(|status| !status.is_empty());
        Row::new(message, status, answered, outcome)
    }

    fn merged(connections: &[&[Row]]) -> Vec<Row> {
        let mut matrix = Vec::new();
        for rows in connections {
            merge(&mut matrix, rows);
        }
        matrix
    }

    #[test]
    fn one_row_a_message_and_status_with_the_worst_outcome() {
        use Outcome::{Disconnected, Handled, Stalled};
        let rows = merged(&[
            &[row("B", "x", 1, Handled), row("A", "y", 1, Handled)],
            &[row("B", "x", 2, Stalled), row("A", "x", 4, Disconnected).judged(Verdict::Pass)],
            &[row("B", "x", 3, Disconnected).judged(Verdict::Pass), row("A", "x", 1, Handled)],
        ]);
        assert_eq!(
            rows,
            [
                row("A", "x", 5, Disconnected).judged(Verdict::Pass),
                row("A", "y", 1, Handled),
                row("B", "x", 6, Stalled)
            ]
        );
    }

    #[test]
    fn what_one_connection_exercised_is_exercised() {
        use Outcome::{Handled, LeftOut, NotExercised};
        use std::slice::from_ref;
        let never = row("A", "", 0, NotExercised);
        assert_eq!(merged(&[from_ref(&never), &[row("A", "x", 1, Handled)]]), [row("A", "x", 1, Handled)]);
        assert_eq!(merged(&[&[row("A", "x", 1, Handled)], from_ref(&never)]), [row("A", "x", 1, Handled)]);
        assert_eq!(
            merged(&[&[row("A", "x", 1, Handled)], &[row("A", "x", 0, NotExercised)]]),
            [row("A", "x", 1, Handled)]
        );
        let unknown = row("A", "x", 3, NotExercised);
        let handled = row("A", "y", 1, Handled);
        assert_eq!(merged(&[from_ref(&unknown), from_ref(&handled)]), [unknown, handled], "it came, and must be told");
        let left_out = row("A", "x", 0, LeftOut);
        assert_eq!(merged(&[from_ref(&never), from_ref(&left_out)]), [never, left_out]);
    }

    #[test]
    fn staying_where_the_era_demands_a_disconnect_is_a_failure() {
        let stayed = row("A", "x", 1, Outcome::Handled).judged(Verdict::Fail);
        let rows = merged(&[&[stayed], &[row("A", "x", 1, Outcome::Handled)]]);
        assert_eq!(rows, [row("A", "x", 2, Outcome::Handled).judged(Verdict::Fail)]);
    }
}
