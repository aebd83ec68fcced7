//! The consumer, judged at its own edge: by what was delivered to it, whoever said that, and by what it said.

mod acknowledges;
mod answers;
mod carries_on;
mod kept;
#[cfg(test)]
mod tests;

use self::acknowledges::Acknowledges;
use self::answers::Answers;
use self::carries_on::CarriesOn;
use self::kept::ConsumerKept;
use crate::Timestamp;
use crate::dcp::FrameHead;
use crate::era::Era;
use crate::invariant::Suite;
use crate::journal::Entry;
use crate::journal::Origin;
use crate::journal::Role;
use crate::journal::Side;
use crate::journal::What;
use crate::session::Context;
use crate::session::Session;
use crate::verdict::About;
use crate::verdict::Finding;
use crate::verdict::Verdict;

/// The judges of a consumer, one for each edge, as it may be either end; a recording has but one edge.
#[derive(Debug)]
pub(super) struct Consumers {
    /// The rules that always hold, at the dialler's edge; [`super::Judge`] has those at the other.
    rules: Suite,
    edges: [Consumer; 2],
    /// Whether the dialler's edge was seen, which a recording does not have.
    has_dialler: bool,
    era: Option<Era>,
}

/// What is known of the consumer at one edge.
#[derive(Debug, Default)]
struct Consumer {
    now: Timestamp,
    /// Since when it is not read from.
    paused: Option<Timestamp>,
    accepted: bool,
    unsure: bool,
    /// Whether either end of it was closed: nothing is expected of it since.
    over: bool,
    answers: Answers,
    acknowledges: Acknowledges,
    carries_on: CarriesOn,
    kept: ConsumerKept,
}

/// One frame at the consumer's edge.
struct Seen<'a> {
    at: Timestamp,
    head: &'a FrameHead,
    /// Whether the consumer said it; else it was delivered to it.
    said: bool,
    /// Whether the tool made it up.
    forged: bool,
    context: &'a Context,
    session: &'a Session,
    /// Whether it is a kv_engine node behind a manager (opened without the producer flag), rather than a client.
    kv: bool,
    era: Option<Era>,
}

impl Consumers {
    /// Judges of a consumer of `era`, `None` where it is not known.
    pub(super) fn new(era: Option<Era>) -> Self {
        Self { rules: Suite::new(), edges: Default::default(), has_dialler: false, era }
    }

    /// Takes in an entry of either edge, with the session at that edge.
    pub(super) fn observe(&mut self, entry: &Entry, context: &Context, session: &Session) {
        if entry.edge == Side::Dialler {
            self.has_dialler = true;
            self.rules.observe(entry, session);
        }
        // Where the consumer has an edge of its own, the other one is the producer's.
        if session.role(entry.edge) == Some(Role::Producer) && self.has_dialler {
            return self.pass_time(entry.at);
        }
        let Some(sender) = session.role(entry.sender()) else { return };
        let consumer = &mut self.edges[at(entry.edge)];
        if consumer.over {
            return;
        }
        consumer.now = entry.at;
        consumer.accepted = session.open().is_some_and(|open| open.accepted);
        consumer.unsure |= !session.is_reliable();
        if !consumer.accepted || consumer.unsure {
            return;
        }
        let said = sender == Role::Consumer;
        match &entry.what {
            What::Frame(head) => {
                let forged = entry.origin == Origin::Tool;
                let kv = session.producer() == Some(Side::Dialler);
                let seen = Seen { at: entry.at, head, said, forged, context, session, kv, era: self.era };
                // What it answers to the tool counts too.
                consumer.answers.observe(&seen);
                consumer.acknowledges.observe(&seen);
                consumer.carries_on.observe(&seen);
                consumer.kept.observe(&seen);
            }
            What::Closed { .. } => {
                consumer.over = true;
                consumer.kept.closed(entry.at, said);
            }
            // What it says meanwhile is not read.
            What::Paused(false) => {
                consumer.paused = None;
                consumer.answers.excuse(entry.at);
                consumer.acknowledges.excuse(entry.at);
                consumer.carries_on.excuse(entry.at);
            }
            What::Paused(true) => consumer.paused = Some(entry.at),
            What::FramingLost(_) | What::Gap(_) | What::Acted(_) => {}
        }
    }

    fn pass_time(&mut self, now: Timestamp) {
        for consumer in self.edges.iter_mut().filter(|consumer| !consumer.over) {
            consumer.now = consumer.now.max(now);
        }
    }

    /// Puts what is to be said of the consumer in the place of what the rules saw of it from afar; tells whether there is
    /// a consumer to judge.
    pub(super) fn judge(&mut self, findings: &mut Vec<Finding>, producer: Option<Side>) -> bool {
        let Some(producer) = producer else { return false };
        let edge = if self.has_dialler { producer.other() } else { Side::Upstream };
        let of_consumer = |finding: &Finding| finding.about.resolved(Some(producer)) == About::CONSUMER;
        if edge == Side::Dialler {
            findings.retain(|finding| !of_consumer(finding));
            findings.extend(self.rules.finish().into_iter().filter(of_consumer));
        }
        let consumer = &self.edges[at(edge)];
        if !consumer.accepted {
            return false;
        }
        let now = consumer.paused.unwrap_or(consumer.now);
        let own = [
            consumer.answers.finding(now),
            consumer.acknowledges.finding(now),
            consumer.carries_on.finding(now),
            consumer.kept.finding(now),
        ];
        let own = own.into_iter().flatten().filter(|finding| !consumer.unsure || finding.verdict == Verdict::Fail);
        findings.extend(own.map(|finding| finding.about(About::CONSUMER)));
        true
    }
}

/// The eras that a kv_engine consumer may be of, as far as it lets be seen which controls it knows.
fn eras<'a>(seen: &'a Seen<'_>) -> impl Iterator<Item = Era> + 'a {
    let asked = |key| seen.session.control(key).is_some();
    let oldest = if asked("v7_dcp_status_codes") {
        Era::V7_0
    } else if asked("include_deleted_user_xattrs") {
        Era::V6_6
    } else if asked("enable_sync_writes") {
        Era::V6_5
    } else if asked("enable_synchronous_replication") {
        Era::V2019_07
    } else {
        Era::V6_0
    };
    Era::ALL.into_iter().filter(move |era| seen.era.map_or(*era >= oldest, |known| *era == known))
}

const fn at(edge: Side) -> usize {
    match edge {
        Side::Dialler => 0,
        Side::Upstream => 1,
    }
}
