use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::super::Per;
use super::super::When;
use super::super::can_come;
use crate::Timestamp;
use crate::dcp;
use crate::engine::Event;
use crate::engine::Sessions;
use crate::era;
use crate::era::Cell;
use crate::fault::Struck;
use crate::fault::Toolbox;
use crate::fault::is_brought_by_the_close;
use crate::filter::Filter;
use crate::filter::Subject;
use crate::journal::Role;
use crate::journal::Side;
use crate::session::Session;
use crate::session::State;
use crate::session::StreamKey;
use crate::wire::Opcode;

/// Counts the frames that a step's trigger is about, and tells at which it fires.
#[derive(Debug)]
pub(super) struct Trigger {
    when: When,
    /// Whose frames count, where the trigger does not say which role's.
    side: Option<Side>,
    chance: fastrand::Rng,
    counts: BTreeMap<Option<StreamKey>, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    met: u64,
    fired: u64,
}

/// Streams whose frames are counted apart.
const MOST_STREAMS: usize = 65_536;

impl Trigger {
    pub(super) const fn new(when: When, chance: fastrand::Rng) -> Self {
        Self { when, side: None, chance, counts: BTreeMap::new() }
    }

    /// Counts only frames of that side, unless it says whose frames count.
    pub(super) const fn on(mut self, side: Option<Side>) -> Self {
        self.side = side;
        self
    }

    /// Whether an event is one of the side whose frames count, where there is one.
    pub(super) fn is_of_side(&self, event: &Event<'_>) -> bool {
        self.side.is_none_or(|side| matches!(event, Event::Frame { from, .. } if *from == side))
    }

    /// Chance for what is done, apart from its own.
    pub(super) fn fork(&mut self) -> fastrand::Rng {
        self.chance.fork()
    }

    /// Whether it can fire no more.
    pub(super) fn is_spent(&self) -> bool {
        self.when.per == Per::Connection && self.counts.get(&None).is_some_and(|count| count.fired >= self.most())
    }

    fn most(&self) -> u64 {
        let endless = self.when.every.is_some() || self.when.probability.is_some();
        self.when.times.map_or(if endless { u64::MAX } else { 1 }, std::num::NonZeroU64::get)
    }

    /// Whether the frame of an event is one that counts.
    pub(super) fn concerns(&self, event: &Event<'_>, producer: Side, now: Timestamp) -> bool {
        self.asks(event, producer, now, Filter::matches)
    }

    /// Whether a mutation that is alike to that of an event may be one that counts.
    pub(super) fn may_concern_alike(&self, event: &Event<'_>, producer: Side, now: Timestamp) -> bool {
        self.asks(event, producer, now, |filter, subject| filter.matches_alike(subject) != Some(false))
    }

    fn asks(
        &self,
        event: &Event<'_>,
        producer: Side,
        now: Timestamp,
        matches: impl FnOnce(&Filter, &Subject<'_>) -> bool,
    ) -> bool {
        let Event::Frame { from, head, .. } = event else { return false };
        let (role, name) = if *from == producer { (Role::Producer, "producer") } else { (Role::Consumer, "consumer") };
        self.when.from.map_or_else(|| self.is_of_side(event), |wanted| wanted == role)
            && self
                .when
                .filter
                .as_ref()
                .is_none_or(|filter| matches(filter, &Subject { from: Some(name), ..Subject::of_head(head, now) }))
    }

    /// Counts one; whether it fires at it.
    pub(super) fn counts(&mut self, stream: Option<StreamKey>) -> bool {
        let key = stream.filter(|_| self.when.per == Per::Stream);
        if self.counts.len() >= MOST_STREAMS && !self.counts.contains_key(&key) {
            return false;
        }
        let most = self.most();
        let count = self.counts.entry(key).or_default();
        count.met += 1;
        let first = self.when.nth.map_or(1, std::num::NonZeroU64::get);
        let every = self.when.every.map_or(1, std::num::NonZeroU64::get);
        let due = count.met >= first && (count.met - first).is_multiple_of(every) && count.fired < most;
        let chosen = due && self.when.probability.is_none_or(|probability| self.chance.f64() < probability.get());
        count.fired += u64::from(chosen);
        chosen
    }

    /// It did not fire after all: there was nothing to do it to.
    pub(super) fn take_back(&mut self, stream: Option<StreamKey>) {
        let key = stream.filter(|_| self.when.per == Per::Stream);
        if let Some(count) = self.counts.get_mut(&key) {
            count.fired = count.fired.saturating_sub(1);
        }
    }
}

/// The stream of a frame, as far as it is one's.
pub(super) fn stream_of(event: &Event<'_>, sessions: &Sessions, producer: Side) -> Option<Struck> {
    let Event::Frame { head, context, .. } = event else { return None };
    let key = context.stream.as_ref()?.key;
    let delivered = sessions.at(producer.other()).stream(key);
    let current = sessions.at(producer).stream(key).map(|stream| stream.opaque);
    // A message names its stream; of a request about one (a close, an acknowledgement) the opaque is its own.
    let is_message = head.header.is_request() && dcp::is_stream_message(head.header.opcode);
    let opaque = if is_message { head.header.opaque } else { current.unwrap_or(head.header.opaque) };
    let seqno = delivered.map_or(0, |stream| stream.last_seqno);
    Some(Struck { key, opaque, seqno, filter: sessions.filter(key) })
}

/// Whether an event is a message of an open stream, inside a snapshot with more to come, behind some that the consumer has
/// got.
pub(super) fn is_mid_transfer(event: &Event<'_>, sessions: &Sessions, producer: Side) -> bool {
    let place = || {
        let Event::Frame { from, head, context, .. } = event else { return None };
        if *from != producer {
            return None;
        }
        let seqno = head.message.as_ref().ok()?.by_seqno()?;
        let key = context.stream.as_ref()?.key;
        let stream = sessions.at(producer).stream(key)?;
        let delivered = sessions.at(producer.other()).stream(key)?;
        let within = stream.opaque == head.header.opaque
            && stream.state == State::Open
            && !stream.request.has(dcp::StreamReq::TAKEOVER)
            && stream.mid_snapshot()
            && stream.last_seqno == seqno;
        Some(within && delivered.opaque == stream.opaque && delivered.counts.items > 0)
    };
    place().unwrap_or(false)
}

/// Of the types that are to meet an orphaned response those that can, and do so only if they come; `None` where any will do.
pub(super) fn wanted_of(messages: &BTreeSet<Opcode>, session: &Session, tools: &Toolbox) -> Option<BTreeSet<Opcode>> {
    let wanted = attainable(messages, session, tools);
    let any_will_do = wanted.iter().all(|&message| is_brought_by_the_close(message));
    (!any_will_do).then_some(wanted)
}

/// Whether a message is of a type that is to meet an orphaned response, or any will do.
pub(super) fn is_wanted(event: &Event<'_>, session: &Session, messages: &BTreeSet<Opcode>, tools: &Toolbox) -> bool {
    let Event::Frame { head, .. } = event else { return false };
    wanted_of(messages, session, tools).is_none_or(|wanted| wanted.contains(&head.header.opcode))
}

/// Those of the types that can meet an orphaned response that the producer must bear.
pub(super) fn attainable(messages: &BTreeSet<Opcode>, session: &Session, tools: &Toolbox) -> BTreeSet<Opcode> {
    messages
        .iter()
        .copied()
        .filter(|&message| can_come(session, message))
        .filter(|&message| tools.fatal_too || era::cut_status(tools.era, session.v7(), message).cell == Cell::Keep)
        .collect()
}

/// Whether the event is a message of a stream.
pub(super) fn is_data(event: &Event<'_>, producer: Side) -> bool {
    matches!(event, Event::Frame { from, head, .. }
        if *from == producer && head.header.is_request() && dcp::is_stream_message(head.header.opcode))
}
