//! What the runner knows while nothing is under way: it looks closer only at what can be of any concern to it, as what is
//! armed is to cost the traffic next to nothing until it fires.

use std::collections::BTreeSet;

use super::Phase;
use super::Runner;
use super::steps::Armed;
use super::trigger::wanted_of;
use crate::Timestamp;
use crate::dcp;
use crate::engine::Event;
use crate::engine::Sessions;
use crate::wire::Opcode;

/// While it lasts, all that a message of a stream can do is to be what one of some triggers is about. Whatever else comes
/// ends it, and it is found out anew behind that.
#[derive(Debug)]
pub(super) struct Rest {
    /// It ends by then: a step's time comes, or is over.
    until: Timestamp,
    asked: Vec<Asked>,
}

/// A step whose trigger is asked.
#[derive(Debug)]
struct Asked {
    lane: usize,
    index: usize,
    /// The only messages at which it fires, where these are few.
    only: Option<BTreeSet<Opcode>>,
}

impl Runner {
    /// Whether an event changes nothing, and nothing is to be done at it.
    pub(super) fn rests_at(&self, event: &Event<'_>, now: Timestamp) -> bool {
        let Event::Frame { head, .. } = event else { return false };
        head.header.is_request()
            && dcp::is_stream_message(head.header.opcode)
            && self.rests(event, now, |armed| armed.trigger.concerns(event, self.kit.producer, now))
    }

    /// As [`Self::rests_at`], of every mutation that is alike to that of an event which was [found](Self::find_rest) to leave it
    /// at rest.
    pub(super) fn rests_at_alike(&self, event: &Event<'_>, now: Timestamp) -> bool {
        self.rests(event, now, |armed| armed.trigger.may_concern_alike(event, self.kit.producer, now))
    }

    fn rests(&self, event: &Event<'_>, now: Timestamp, concerns: impl Fn(&Armed) -> bool) -> bool {
        let (Some(rest), Event::Frame { head, .. }) = (&self.rest, event) else { return false };
        let is_asked = |asked: &Asked| {
            let may_fire = asked.only.as_ref().is_none_or(|only| only.contains(&head.header.opcode));
            let armed = self.lanes.get(asked.lane).and_then(|lane| lane.steps.get(asked.index));
            may_fire
                && armed
                    .is_none_or(|armed| if armed.is_bare() { armed.trigger.is_of_side(event) } else { concerns(armed) })
        };
        now < rest.until
            && !self.kit.tools.is_kept_from_consumer(head.header.opaque)
            && !rest.asked.iter().any(is_asked)
    }

    /// Finds out whether it is at rest, and what is asked meanwhile.
    pub(super) fn find_rest(&mut self, sessions: &Sessions, now: Timestamp) {
        self.rest = self.is_at_rest().then(|| {
            let asked =
                self.asked(now).map(|(lane, index)| Asked { lane, index, only: self.only(lane, index, sessions) });
            Rest { until: self.rests_until(now), asked: asked.collect() }
        });
    }

    /// Whether nothing is under way, and no time is counted from something that is still to come.
    fn is_at_rest(&self) -> bool {
        let waits = match self.phase {
            Phase::Armed => self.idle_since.is_some(),
            Phase::Settled => true,
            Phase::Opening | Phase::Asking(..) | Phase::Acting(_) | Phase::Settling { .. } => false,
        };
        waits
            && !self.ending
            && !self.wanted.has_news()
            && self.lingering.is_empty()
            && self.kit.bursts.is_idle()
            && !self.stand_in.is_on()
    }

    fn rests_until(&self, now: Timestamp) -> Timestamp {
        let idle_since = self.idle_since.filter(|_| matches!(self.phase, Phase::Armed));
        let started = self.started.unwrap_or(now);
        let times = self.lanes.iter().filter(|lane| !lane.over).flat_map(|lane| {
            let steps = &lane.steps;
            let bored = idle_since.and_then(|_| steps.bored_at(idle_since));
            [steps.armed_at().filter(|at| *at > now), bored, steps.expires_at(started, now)]
        });
        times.flatten().min().unwrap_or(Timestamp(u64::MAX))
    }

    /// The messages at which a step fires that waits for a place in a transfer.
    fn only(&self, lane: usize, index: usize, sessions: &Sessions) -> Option<BTreeSet<Opcode>> {
        let steps = &self.lanes.get(lane)?.steps;
        let is_place = steps.get(index).is_some_and(|armed| armed.step.is_mid_transfer() && armed.step.when.is_plain());
        let messages = if steps.cuts() { &self.kit.wanted } else { &self.plan.messages };
        if !is_place || self.let_pass > 0 {
            return None;
        }
        wanted_of(messages, sessions.at(self.kit.producer), &self.kit.tools)
    }
}
