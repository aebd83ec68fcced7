use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use super::Do;
use super::SUSPICIOUS;
use super::Scenario;
use super::is_due;
use super::stand_in::StandIn;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::FrameHead;
use crate::engine::Action;
use crate::engine::Actions;
use crate::engine::Event;
use crate::engine::Interceptor;
use crate::engine::Sessions;
use crate::era;
use crate::era::Cell;
use crate::era::Era;
use crate::fault::Bursts;
use crate::fault::CloseAt;
use crate::fault::CloseStream;
use crate::fault::Fault;
use crate::fault::OrphanResponse;
use crate::fault::Proof;
use crate::fault::Scene;
use crate::fault::Toolbox;
use crate::journal::Act;
use crate::journal::How;
use crate::journal::Side;
use crate::session::Owner;
use crate::session::Session;
use crate::session::StreamKey;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// What is to be done to a connection, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenarios whose steps are taken.
    pub scenarios: Vec<Scenario>,
    /// The message types that are to meet an orphaned response.
    pub messages: BTreeSet<Opcode>,
    /// The era to go by; `None` to find it out.
    pub era: Option<Era>,
    /// How long the producer is watched after the last orphaned response.
    pub settle: Duration,
    /// Whether answers at which the era's producer may or must close are given too.
    pub fatal_too: bool,
    /// Chooses where a stream is closed.
    pub seed: u64,
}

/// How long the VERSION answer is waited for.
const VERSION_WITHIN: Duration = Duration::from_secs(1);
/// How long a message type that has not come is waited for, since anything new has happened.
const PATIENCE: Duration = Duration::from_secs(10);
/// Values of stream requests up to this long are kept, to repeat the request, and so many of them.
const MAX_FILTER: usize = 16 * 1024;
const MAX_FILTERS: usize = 4096;

/// Takes the steps of a plan on one connection: an interceptor that waits for its triggers and lets faults act.
#[derive(Debug)]
pub struct Runner {
    plan: Plan,
    phase: Phase,
    tools: Toolbox,
    bursts: Bursts,
    wanted: BTreeSet<Opcode>,
    steps: Vec<(String, Do)>,
    next: usize,
    filters: BTreeMap<StreamKey, Vec<u8>>,
    /// Since when nothing new has happened, once data flows.
    idle_since: Option<Timestamp>,
    /// Messages that are let pass before the first step.
    skip: u64,
    /// Whether the producer is not read from, and when it last was again.
    paused: bool,
    resumed_at: Timestamp,
    /// Takes the consumer's place once it has closed.
    stand_in: StandIn,
    ending: bool,
    looked_at: Timestamp,
    /// When the consumer itself last said an orphaned response.
    orphan_at: Timestamp,
    /// Whether the next step has fired.
    has_fired: bool,
    /// How many messages each stream that is due had brought when it was looked at, and since when it is so many.
    due: BTreeMap<(StreamKey, Opaque), (u64, Timestamp)>,
    /// Until when a stream that looks stalled may prolong the settling.
    prolonged_until: Option<Timestamp>,
}

#[derive(Debug)]
enum Phase {
    /// No producer is known yet.
    Opening,
    /// VERSION was asked.
    Asking(Opaque, Timestamp),
    /// The next step waits for its trigger.
    Armed,
    /// A step is under way.
    Acting(Box<dyn Fault>),
    /// All steps are taken.
    Settling { until: Timestamp, proof: Proof },
    /// All is done.
    Settled,
}

impl Runner {
    /// A runner for one connection.
    pub fn new(plan: Plan) -> Self {
        let steps = plan
            .scenarios
            .iter()
            .flat_map(|scenario| &scenario.steps)
            .map(|step| (step.name.clone(), step.action.clone()))
            .collect();
        Self {
            phase: Phase::Opening,
            tools: Toolbox::new(plan.era.unwrap_or(Era::V2019_07), plan.settle, plan.fatal_too),
            bursts: Bursts::new(Side::Upstream),
            wanted: plan.messages.clone(),
            steps,
            next: 0,
            filters: BTreeMap::new(),
            idle_since: None,
            skip: 1 + plan.seed % 16,
            paused: false,
            resumed_at: Timestamp::default(),
            stand_in: StandIn::default(),
            ending: false,
            looked_at: Timestamp::default(),
            orphan_at: Timestamp::default(),
            has_fired: false,
            due: BTreeMap::new(),
            prolonged_until: None,
            plan,
        }
    }

    /// Whether the next step is a cut: it is repeated, on whatever stream brings what is wanted; all else is done once.
    fn cuts(&self) -> bool {
        matches!(self.steps.get(self.next), Some((_, Do::CloseStream { at: CloseAt::Cut })))
    }

    /// Those of the types that can meet an orphaned response that the producer must bear.
    fn attainable(&self, session: &Session, messages: &BTreeSet<Opcode>) -> BTreeSet<Opcode> {
        messages
            .iter()
            .copied()
            .filter(|&message| can_come(session, message))
            .filter(|&message| {
                self.plan.fatal_too || era::cut_status(self.tools.era, session.v7(), message).cell == Cell::Keep
            })
            .collect()
    }

    fn watch(&mut self, event: &Event<'_>, now: Timestamp) {
        match event {
            Event::Frame { from, frame, head, context } => {
                // Messages of a stream repeat an opaque that was seen before, or that is the tool's own.
                if head.header.is_request() && !dcp::is_stream_message(head.header.opcode) {
                    self.tools.avoid(head.header.opaque);
                }
                if context.orphan.is_some() {
                    self.orphan_at = now;
                }
                if *from != PRODUCER && head.header.is_request() && head.header.opcode == Opcode::DCP_STREAM_REQ {
                    self.remember_filter(frame, head);
                }
            }
            Event::Paused { from, paused } if *from == PRODUCER => {
                self.paused = *paused;
                self.resumed_at = now;
            }
            Event::Settle => self.ending = true,
            Event::Answer { .. } | Event::Raw { .. } | Event::Closed { .. } | Event::Paused { .. } | Event::Wakeup => {}
        }
    }

    fn remember_filter(&mut self, frame: &Frame<'_>, head: &FrameHead) {
        let Some(vbucket) = head.header.vbucket() else { return };
        let value = frame.value().filter(|value| value.len() <= MAX_FILTER).unwrap_or_default();
        let sid = match &head.message {
            Ok(dcp::Message::StreamReq(request)) => request.value.as_ref().and_then(|value| value.sid),
            Ok(_) | Err(_) => None,
        };
        let key = StreamKey { vbucket, stream_id: sid };
        if value.is_empty() {
            self.filters.remove(&key);
        } else if self.filters.len() < MAX_FILTERS || self.filters.contains_key(&key) {
            self.filters.insert(key, value.to_vec());
        }
    }

    /// Whether the event is the place for the next step: a message of an open stream, inside a snapshot with more to
    /// come, of a type that is wanted, behind some that the consumer has got.
    fn trigger(&mut self, event: &Event<'_>, sessions: &Sessions) -> Option<(StreamKey, Opaque, u64)> {
        let Event::Frame { from: PRODUCER, head, context, .. } = event else { return None };
        let seqno = head.message.as_ref().ok()?.by_seqno()?;
        let key = context.stream.as_ref()?.key;
        let session = sessions.at(PRODUCER);
        let stream = session.stream(key)?;
        if stream.opaque != head.header.opaque
            || stream.state != crate::session::State::Open
            || stream.request.has(dcp::StreamReq::TAKEOVER)
            || !stream.mid_snapshot()
            || stream.last_seqno != seqno
        {
            return None;
        }
        let delivered = sessions.at(PRODUCER.other()).stream(key)?;
        if delivered.opaque != stream.opaque || delivered.counts.items == 0 {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        let wanted = if self.cuts() {
            self.attainable(session, &self.wanted)
        } else {
            self.attainable(session, &self.plan.messages)
        };
        let only_end = wanted.iter().all(|&message| message == Opcode::DCP_STREAM_END);
        (only_end || wanted.contains(&head.header.opcode)).then_some((key, stream.opaque, delivered.last_seqno))
    }

    fn fire(
        &mut self,
        target: (StreamKey, Opaque, u64),
        event: &Event<'_>,
        sessions: &Sessions,
        now: Timestamp,
        actions: &mut Actions,
    ) {
        let Some((name, action)) = self.steps.get(self.next).cloned() else { return };
        let (key, opaque, seqno) = target;
        let mut scene = Scene {
            sessions,
            producer: PRODUCER,
            now,
            tools: &mut self.tools,
            bursts: &mut self.bursts,
            wanted: &mut self.wanted,
            actions,
        };
        let cut = matches!(action, Do::CloseStream { at: CloseAt::Cut });
        if cut {
            scene.tools.keep_from_consumer(opaque);
        }
        let act = Act::Fired { step: name, vbucket: key.vbucket, stream_id: key.stream_id, opaque, seqno, cut };
        scene.actions.push(Action::Note { edge: PRODUCER, act });
        let mut fault: Box<dyn Fault> = match action {
            Do::CloseStream { at } => {
                let filter = self.filters.get(&key).cloned().unwrap_or_default();
                match CloseStream::fire(at, key, opaque, filter, &mut scene) {
                    Some(fault) => Box::new(fault),
                    None => return,
                }
            }
            Do::OrphanResponse { message, status, count } => {
                Box::new(OrphanResponse::new(message, status, opaque, count.into()))
            }
        };
        fault.on_event(event, &mut scene);
        self.has_fired = true;
        if !cut {
            self.skip_to_next(actions);
        }
        self.phase = Phase::Acting(fault);
    }

    /// The next step is gone on to; that it found no place to fire is told.
    fn skip_to_next(&mut self, actions: &mut Actions) {
        if !std::mem::take(&mut self.has_fired)
            && let Some((step, _)) = self.steps.get(self.next)
        {
            actions.push(Action::Note { edge: PRODUCER, act: Act::NeverFired { step: step.clone() } });
        }
        self.next += 1;
    }

    fn settle(&mut self, now: Timestamp, actions: &mut Actions) {
        while self.next < self.steps.len() {
            self.skip_to_next(actions);
        }
        actions.push(Action::Note { edge: PRODUCER, act: Act::Settling });
        let until = self.bursts.last_told().map_or(now, |told| told.max(now)) + self.plan.settle;
        self.phase = Phase::Settling { until, proof: Proof::Idle };
    }

    fn settled(&mut self, actions: &mut Actions) {
        if !matches!(self.phase, Phase::Settled) {
            actions.push(Action::Note { edge: PRODUCER, act: Act::Settled });
            self.phase = Phase::Settled;
            if let Some(how) = self.stand_in.end() {
                actions.push(Action::Close { side: PRODUCER, how });
            }
        }
    }

    /// An end closed. What was begun is brought to its end without the consumer.
    fn closed(&mut self, from: Side, how: How, session: &Session, now: Timestamp, actions: &mut Actions) {
        let tried = self.bursts.last_told().is_some() || matches!(self.phase, Phase::Acting(_));
        if from == PRODUCER || !tried || matches!(self.phase, Phase::Settled) {
            while self.next < self.steps.len() {
                self.skip_to_next(actions);
            }
            self.phase = Phase::Settled;
            if let Some(how) = self.stand_in.end() {
                actions.push(Action::Close { side: PRODUCER, how });
            }
            return;
        }
        actions.push(Action::Drop);
        let swallowed = match &self.phase {
            Phase::Acting(fault) => fault.owed(),
            Phase::Opening | Phase::Asking(..) | Phase::Armed | Phase::Settling { .. } | Phase::Settled => 0,
        };
        self.stand_in.begin(how, session.flow().outstanding().saturating_sub(swallowed), now);
        self.ending = true;
        if matches!(self.phase, Phase::Armed) {
            self.settle(now, actions);
        }
    }

    fn is_mute(&self, now: Timestamp) -> bool {
        let asked = match &self.phase {
            Phase::Settling { proof, .. } => proof.asked_at(),
            Phase::Opening | Phase::Asking(..) | Phase::Armed | Phase::Acting(_) | Phase::Settled => None,
        };
        asked
            .or_else(|| self.bursts.awaited_since())
            .is_some_and(|asked| !self.paused && now.since(asked.max(self.resumed_at)) > self.tools.patience())
    }

    fn advance(&mut self, event: &Event<'_>, sessions: &Sessions, now: Timestamp, actions: &mut Actions) {
        let session = sessions.at(PRODUCER);
        match &mut self.phase {
            Phase::Opening => {
                if session.producer() == Some(PRODUCER) && session.open().is_some_and(|open| open.accepted) {
                    if self.plan.era.is_some() {
                        self.phase = Phase::Armed;
                    } else {
                        let opaque = self.tools.opaque();
                        let frame = FrameBuilder::request(Opcode::VERSION).opaque(opaque).build();
                        actions.push(Action::Inject { to: PRODUCER, frame });
                        self.phase = Phase::Asking(opaque, now);
                    }
                }
            }
            Phase::Asking(opaque, since) => {
                let answered = matches!(event, Event::Answer { head, .. } if head.header.opaque == *opaque);
                if answered || now.since(*since) > VERSION_WITHIN {
                    self.tools.era = era_of(session).0;
                    self.phase = Phase::Armed;
                }
            }
            Phase::Armed => {
                if let Some(target) = self.trigger(event, sessions) {
                    self.idle_since = None;
                    self.fire(target, event, sessions, now, actions);
                } else if self.idle_since.is_none() && is_data(event) {
                    self.idle_since = Some(now);
                }
            }
            Phase::Acting(fault) => {
                let mut scene = Scene {
                    sessions,
                    producer: PRODUCER,
                    now,
                    tools: &mut self.tools,
                    bursts: &mut self.bursts,
                    wanted: &mut self.wanted,
                    actions,
                };
                fault.on_event(event, &mut scene);
            }
            Phase::Settling { until, proof } => {
                if let Event::Answer { head, .. } = event
                    && proof.given(head.header.opcode, head.header.opaque)
                {
                    let most = *self.prolonged_until.get_or_insert(now + self.plan.settle * 3);
                    let suspicious = self.due.values().any(|&(_, since)| now.since(since) > SUSPICIOUS);
                    // Orphaned responses of a real consumer may have come meanwhile: they are watched as long.
                    let recent = now.since(self.orphan_at) < self.plan.settle;
                    if !suspicious && !recent || now >= most || self.ending {
                        return self.settled(actions);
                    }
                    *until = if recent { self.orphan_at + self.plan.settle } else { now + LOOK_EVERY * 5 };
                }
                if *until <= now && *proof == Proof::Idle {
                    proof.want(now, Duration::ZERO);
                }
                proof.step(PRODUCER, &mut self.tools, now, actions);
            }
            Phase::Settled => {}
        }
        if matches!(event, Event::Wakeup) && matches!(self.phase, Phase::Acting(_) | Phase::Settling { .. }) {
            self.look(session, now);
        }
        self.looked_at = now;
        self.bursts.step(&mut self.tools, now, actions);
        self.leave(sessions, now, actions);
    }

    /// Takes note of which streams are due and bring nothing.
    fn look(&mut self, session: &Session, now: Timestamp) {
        let mut due = BTreeMap::new();
        for stream in session.streams().live().filter(|stream| is_due(session, stream)) {
            let (key, frames) = ((stream.key, stream.opaque), stream.counts.frames);
            let since = self.due.get(&key).filter(|(before, _)| *before == frames).map_or(now, |&(_, since)| since);
            due.insert(key, (frames, since));
        }
        self.due = due;
    }

    /// Goes on to the next phase where the one that it is in is over.
    fn leave(&mut self, sessions: &Sessions, now: Timestamp, actions: &mut Actions) {
        if let Phase::Acting(fault) = &self.phase
            && fault.is_done()
            && self.bursts.is_idle()
        {
            self.idle_since = Some(now);
            self.phase = Phase::Armed;
        }
        let over = match &self.phase {
            Phase::Armed => {
                let flows = self.idle_since.is_some();
                let bored = self.idle_since.is_some_and(|since| now.since(since) > PATIENCE);
                if bored || (self.cuts() && flows && self.attainable(sessions.at(PRODUCER), &self.wanted).is_empty()) {
                    self.skip_to_next(actions);
                    self.idle_since = Some(now);
                }
                self.ending || self.next >= self.steps.len()
            }
            Phase::Asking(..) => self.ending,
            // Without a producer there is nobody to watch.
            Phase::Opening if self.ending => return self.settled(actions),
            Phase::Opening | Phase::Acting(_) | Phase::Settling { .. } | Phase::Settled => false,
        };
        if over {
            self.settle(now, actions);
        }
        if self.is_mute(now) {
            self.abandon(sessions, now, actions);
            self.settled(actions);
        }
    }

    fn abandon(&mut self, sessions: &Sessions, now: Timestamp, actions: &mut Actions) {
        if let Phase::Acting(fault) = &mut self.phase {
            fault.abandon(&mut Scene {
                sessions,
                producer: PRODUCER,
                now,
                tools: &mut self.tools,
                bursts: &mut self.bursts,
                wanted: &mut self.wanted,
                actions,
            });
        }
    }

    /// Forged frames are acknowledged too: the producer gets back only what it has sent.
    fn acknowledged(&mut self, event: &Event<'_>, actions: &mut Actions) {
        let Event::Frame { from: CONSUMER, head, .. } = event else { return };
        let Ok(dcp::Message::BufferAck(ack)) = &head.message else { return };
        let taken = self.tools.take_surplus(ack.bytes_to_ack);
        if taken > 0 {
            actions.push(Action::Drop);
            self.give_back(ack.bytes_to_ack - taken, actions);
        }
    }

    /// What comes of a cut stream, or of one of the tool's own, after their fault is done is for nobody.
    fn keep_from_consumer(&mut self, event: &Event<'_>, sessions: &Sessions, actions: &mut Actions) {
        let Event::Frame { from: PRODUCER, head, .. } = event else { return };
        let header = &head.header;
        if !header.is_request()
            || !dcp::is_stream_message(header.opcode)
            || !self.tools.is_kept_from_consumer(header.opaque)
            || actions.contains(&Action::Drop)
        {
            return;
        }
        let key = StreamKey { vbucket: header.vbucket_or_status, stream_id: head.stream_id };
        let is_its_own = match sessions.at(CONSUMER).streams().owner(key, header.opaque) {
            Owner::Current(state) => state.is_live(),
            Owner::Requested => true,
            Owner::Gone(_) | Owner::OtherOpaque(_) | Owner::Unknown => false,
        };
        if !is_its_own {
            actions.push(Action::Drop);
            if sessions.at(PRODUCER).flow().is_on() {
                self.give_back(dcp::charge(header), actions);
            }
        }
    }

    fn give_back(&mut self, bytes_to_ack: u32, actions: &mut Actions) {
        if bytes_to_ack > 0 {
            let frame = dcp::BufferAck { bytes_to_ack }.request(self.tools.opaque()).build();
            actions.push(Action::Inject { to: PRODUCER, frame });
        }
    }
}

/// Only an end that was dialled is made to meet orphaned responses: of a producer that dialled, nothing is demanded.
const PRODUCER: Side = Side::Upstream;
const CONSUMER: Side = Side::Dialler;

impl Interceptor for Runner {
    fn on_event(&mut self, event: &Event<'_>, sessions: &Sessions, now: Timestamp) -> Actions {
        let mut actions = Vec::new();
        self.watch(event, now);
        if let Event::Answer { head, .. } = event {
            self.bursts.answered(head.header.opcode, head.header.opaque);
        }
        self.advance(event, sessions, now, &mut actions);
        self.acknowledged(event, &mut actions);
        self.keep_from_consumer(event, sessions, &mut actions);
        if let Event::Closed { from, how } = event {
            self.closed(*from, *how, sessions.at(PRODUCER), now, &mut actions);
        }
        self.stand_in.on_event(event, PRODUCER, sessions.at(PRODUCER), &mut self.tools, &mut actions);
        actions
    }

    fn wakeup(&self) -> Option<Timestamp> {
        let phase = match &self.phase {
            Phase::Asking(_, since) => Some(*since + VERSION_WITHIN + TICK),
            Phase::Armed => self.idle_since.map(|since| since + PATIENCE + TICK),
            Phase::Acting(fault) => fault.wakeup(),
            Phase::Settling { until, proof: Proof::Idle } => Some(*until),
            Phase::Settling { proof, .. } => proof.wakeup(),
            Phase::Opening | Phase::Settled => None,
        };
        let watchdog = match &self.phase {
            Phase::Acting(_) | Phase::Settling { .. } => Some(self.looked_at + LOOK_EVERY),
            Phase::Opening | Phase::Asking(..) | Phase::Armed | Phase::Settled => None,
        };
        [phase, self.bursts.wakeup(), self.stand_in.wakeup(), watchdog].into_iter().flatten().min()
    }

    fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Settled)
    }
}

/// How often deadlines are looked at while something is under way.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Past a deadline, not at it.
const TICK: Duration = Duration::from_millis(1);

/// The era of the producer at whose edge `session` is, and how it was found.
pub fn era_of(session: &Session) -> (Era, String) {
    let mut evidence = era::Evidence::default();
    evidence.version = session.version().map(str::to_owned);
    let open = session.open().filter(|open| open.accepted && open.has(dcp::Open::INCLUDE_DELETED_USER_XATTRS));
    evidence.deleted_user_xattrs = open.map(|_| true);
    for (key, control) in session.controls().iter() {
        match control {
            crate::session::Control::Accepted(value) => evidence.control(key, value, true),
            crate::session::Control::Refused { value, .. } => evidence.control(key, value, false),
            crate::session::Control::Pending => {}
        }
    }
    era::detect(&evidence)
}

/// Whether the event is a message of a stream.
fn is_data(event: &Event<'_>) -> bool {
    matches!(event, Event::Frame { from: PRODUCER, head, .. }
        if head.header.is_request() && dcp::is_stream_message(head.header.opcode))
}

/// Whether messages of that type can come at all on the connection (invariants.md A8, A9, A11; dcp-protocol.md §3.4).
pub(super) fn can_come(session: &Session, message: Opcode) -> bool {
    let on = |key| session.controls().is_true(key);
    match message {
        Opcode::DCP_PREPARE | Opcode::DCP_COMMIT | Opcode::DCP_ABORT => {
            on("enable_sync_writes") || on("enable_synchronous_replication")
        }
        Opcode::DCP_EXPIRATION => on("enable_expiry_opcode"),
        Opcode::DCP_SYSTEM_EVENT => session.negotiated().collections,
        Opcode::DCP_STREAM_END => on("send_stream_end_on_client_close_stream"),
        _ => true,
    }
}
