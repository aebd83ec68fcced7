use std::time::Duration;

use super::End;
use super::Moment;
use super::Outcome;
use super::Watch;
use super::expectation;
use super::name_of;
use crate::fault::PROOF_AFTER;

expectation! {
    /// The end does not close the connection, and says something later than 150 ms after the step (real-servers.md §2).
    Survives of Producer {}
}

impl Survives {
    pub(super) fn demand(&self) -> String {
        format!("{} keeps the connection and lives", name_of(self.common().of))
    }

    #[expect(clippy::unused_self, reason = "each has a watch of its own")]
    pub(super) const fn watch(&self) -> Watcher {
        Watcher { closed: None, last: None }
    }
}

#[derive(Debug)]
pub(super) struct Watcher {
    closed: Option<u128>,
    /// How long after the step it last said something.
    last: Option<Duration>,
}

impl Watch for Watcher {
    fn observe(&mut self, moment: &Moment<'_>) {
        if moment.closes() {
            self.closed.get_or_insert(moment.ms());
        } else if moment.said().is_some() {
            self.last = Some(moment.entry.at.since(moment.fired.at));
        }
    }

    fn outcome(&self, end: &End) -> Outcome {
        match (self.closed, self.last) {
            (Some(ms), _) => Outcome::No(format!("it closed after {ms} ms")),
            (None, Some(last)) if last >= PROOF_AFTER && end.complete => {
                Outcome::Yes(format!("it said something {} ms after", last.as_millis()))
            }
            (None, Some(last)) if last >= PROOF_AFTER => {
                Outcome::Unknown(format!("it was watched for less than {} ms", end.within.as_millis()))
            }
            (None, _) => Outcome::Unknown("it neither closed nor said anything".to_owned()),
        }
    }
}
