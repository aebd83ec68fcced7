use super::End;
use super::Moment;
use super::Outcome;
use super::Watch;
use super::expectation;
use super::name_of;
use crate::filter::Filter;
use crate::units;

expectation! {
    /// The end says something of a kind.
    Says of Producer {
        /// The kind.
        #[serde(with = "units::text")]
        filter: Filter,
        /// So often at the least.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        at_least: u64,
        /// So often at the most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<u64>,
    }
}

const fn once() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_once(times: &u64) -> bool {
    *times == 1
}

impl Says {
    pub(super) fn demand(&self) -> String {
        let most = self.at_most.map(|most| format!(" and at most {most}")).unwrap_or_default();
        format!("{} says {} at least {}{most} times", name_of(self.common().of), self.filter, self.at_least)
    }

    pub(super) fn watch(&self) -> Watcher {
        Watcher { filter: self.filter.clone(), at_least: self.at_least, at_most: self.at_most, heard: 0 }
    }
}

#[derive(Debug)]
pub(super) struct Watcher {
    filter: Filter,
    at_least: u64,
    at_most: Option<u64>,
    heard: u64,
}

impl Watch for Watcher {
    fn observe(&mut self, moment: &Moment<'_>) {
        if moment.said().is_some_and(|head| moment.matches(&self.filter, head)) {
            self.heard += 1;
        }
    }

    fn outcome(&self, end: &End) -> Outcome {
        let heard = format!("it was said {} times", self.heard);
        match self.at_most {
            Some(most) if self.heard > most => Outcome::No(heard),
            Some(_) if self.heard >= self.at_least && !end.complete && !end.closed => {
                Outcome::Unknown(format!("{heard}, but it was watched for less than {} ms", end.within.as_millis()))
            }
            _ if self.heard >= self.at_least => Outcome::Yes(heard),
            _ => end.unseen(&heard),
        }
    }
}
