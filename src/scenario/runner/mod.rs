mod doubts;
mod filters;
mod kit;
mod stand_in;
mod steps;
mod trigger;
mod withheld;

use std::time::Duration;

use super::Do;
use super::Plan;
use super::Step;
use super::era_of;
use crate::Timestamp;
use crate::dcp;
use crate::engine::Action;
use crate::engine::Actions;
use crate::engine::Event;
use crate::engine::Interceptor;
use crate::engine::Sessions;
use crate::era::Era;
use crate::fault::Bursts;
use crate::fault::CloseAt;
use crate::fault::CloseStream;
use crate::fault::Fault;
use crate::fault::OrphanResponse;
use crate::fault::Proof;
use crate::fault::Toolbox;
use crate::journal::Act;
use crate::journal::How;
use crate::journal::Side;
use crate::session::Session;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use doubts::Doubts;
use filters::Filters;
use kit::Kit;
use stand_in::StandIn;
use steps::Steps;
use trigger::Target;
use trigger::Trigger;
use trigger::attainable;
use trigger::is_data;

/// How long the VERSION answer is waited for.
const VERSION_WITHIN: Duration = Duration::from_secs(1);
/// How long a message type that has not come is waited for, since anything new has happened.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes the steps of a plan on one connection: an interceptor that waits for its triggers and lets faults act.
#[derive(Debug)]
pub struct Runner {
    plan: Plan,
    phase: Phase,
    kit: Kit,
    steps: Steps,
    filters: Filters,
    /// Since when nothing new has happened, once data flows.
    idle_since: Option<Timestamp>,
    trigger: Trigger,
    /// Whether the producer is not read from, and when it last was again.
    paused: bool,
    resumed_at: Timestamp,
    /// Takes the consumer's place once it has closed.
    stand_in: StandIn,
    ending: bool,
    looked_at: Timestamp,
    doubts: Doubts,
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
        Self {
            phase: Phase::Opening,
            kit: Kit {
                tools: Toolbox::new(plan.era.unwrap_or(Era::V2019_07), plan.settle, plan.fatal_too),
                bursts: Bursts::new(PRODUCER),
                wanted: plan.messages.clone(),
            },
            steps: Steps::of(&plan),
            filters: Filters::default(),
            idle_since: None,
            trigger: Trigger::new(plan.seed),
            paused: false,
            resumed_at: Timestamp::default(),
            stand_in: StandIn::default(),
            ending: false,
            looked_at: Timestamp::default(),
            doubts: Doubts::default(),
            plan,
        }
    }

    fn watch(&mut self, event: &Event<'_>, now: Timestamp) {
        match event {
            Event::Frame { from, frame, head, context } => {
                // Messages of a stream repeat an opaque that was seen before, or that is the tool's own.
                if head.header.is_request() && !dcp::is_stream_message(head.header.opcode) {
                    self.kit.tools.avoid(head.header.opaque);
                }
                if context.orphan.is_some() {
                    self.doubts.orphan(now);
                }
                if *from != PRODUCER && head.header.is_request() && head.header.opcode == Opcode::DCP_STREAM_REQ {
                    self.filters.remember(frame, head);
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

    fn fire(
        &mut self,
        Target { key, opaque, seqno }: Target,
        event: &Event<'_>,
        sessions: &Sessions,
        now: Timestamp,
        actions: &mut Actions,
    ) {
        let Some(Step { name, action }) = self.steps.next().cloned() else { return };
        let mut scene = self.kit.scene(sessions, now, actions);
        let cut = matches!(action, Do::CloseStream { at: CloseAt::Cut });
        if cut {
            scene.tools.keep_from_consumer(opaque);
        }
        let act = Act::Fired { step: name, vbucket: key.vbucket, stream_id: key.stream_id, opaque, seqno, cut };
        scene.actions.push(Action::Note { edge: PRODUCER, act });
        let mut fault: Box<dyn Fault> = match action {
            Do::CloseStream { at } => match CloseStream::fire(at, key, opaque, self.filters.of(key), &mut scene) {
                Some(fault) => Box::new(fault),
                None => return,
            },
            Do::OrphanResponse { message, status, count } => {
                Box::new(OrphanResponse::new(message, status, opaque, count.into()))
            }
        };
        fault.on_event(event, &mut scene);
        self.steps.fired(actions);
        self.phase = Phase::Acting(fault);
    }

    fn settle(&mut self, now: Timestamp, actions: &mut Actions) {
        self.steps.skip_all(actions);
        actions.push(Action::Note { edge: PRODUCER, act: Act::Settling });
        let until = self.kit.bursts.last_told().map_or(now, |told| told.max(now)) + self.plan.settle;
        self.phase = Phase::Settling { until, proof: Proof::Idle };
    }

    fn settled(&mut self, actions: &mut Actions) {
        if !matches!(self.phase, Phase::Settled) {
            actions.push(Action::Note { edge: PRODUCER, act: Act::Settled });
            self.end(actions);
        }
    }

    fn end(&mut self, actions: &mut Actions) {
        self.phase = Phase::Settled;
        if let Some(how) = self.stand_in.end() {
            actions.push(Action::Close { side: PRODUCER, how });
        }
    }

    /// An end closed. What was begun is brought to its end without the consumer.
    fn closed(&mut self, from: Side, how: How, session: &Session, now: Timestamp, actions: &mut Actions) {
        let tried = self.kit.bursts.last_told().is_some() || matches!(self.phase, Phase::Acting(_));
        if from == PRODUCER || !tried || matches!(self.phase, Phase::Settled) {
            self.steps.skip_all(actions);
            return self.end(actions);
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
            .or_else(|| self.kit.bursts.awaited_since())
            .is_some_and(|asked| !self.paused && now.since(asked.max(self.resumed_at)) > self.kit.tools.patience())
    }

    fn advance(&mut self, event: &Event<'_>, sessions: &Sessions, now: Timestamp, actions: &mut Actions) {
        let session = sessions.at(PRODUCER);
        match &mut self.phase {
            Phase::Opening => {
                if session.producer() == Some(PRODUCER) && session.open().is_some_and(|open| open.accepted) {
                    if self.plan.era.is_some() {
                        self.phase = Phase::Armed;
                    } else {
                        let opaque = self.kit.tools.opaque();
                        let frame = FrameBuilder::request(Opcode::VERSION).opaque(opaque).build();
                        actions.push(Action::Inject { to: PRODUCER, frame });
                        self.phase = Phase::Asking(opaque, now);
                    }
                }
            }
            Phase::Asking(opaque, since) => {
                let answered = matches!(event, Event::Answer { head, .. } if head.header.opaque == *opaque);
                if answered || now.since(*since) > VERSION_WITHIN {
                    self.kit.tools.era = era_of(session).0;
                    self.phase = Phase::Armed;
                }
            }
            Phase::Armed => {
                let messages = if self.steps.cuts() { &self.kit.wanted } else { &self.plan.messages };
                if let Some(target) = self.trigger.target(event, sessions, messages, &self.kit.tools) {
                    self.idle_since = None;
                    self.fire(target, event, sessions, now, actions);
                } else if self.idle_since.is_none() && is_data(event) {
                    self.idle_since = Some(now);
                }
            }
            Phase::Acting(fault) => fault.on_event(event, &mut self.kit.scene(sessions, now, actions)),
            Phase::Settling { until, proof } => {
                if let Event::Answer { head, .. } = event
                    && proof.given(head.header.opcode, head.header.opaque)
                {
                    match self.doubts.until(now, self.plan.settle) {
                        Some(later) if !self.ending => *until = later,
                        Some(_) | None => return self.settled(actions),
                    }
                }
                if *until <= now && *proof == Proof::Idle {
                    proof.want(now, Duration::ZERO);
                }
                proof.step(PRODUCER, &mut self.kit.tools, now, actions);
            }
            Phase::Settled => {}
        }
        if matches!(event, Event::Wakeup) && matches!(self.phase, Phase::Acting(_) | Phase::Settling { .. }) {
            self.doubts.look(session, now);
        }
        self.looked_at = now;
        self.kit.bursts.step(&mut self.kit.tools, now, actions);
        self.leave(sessions, now, actions);
    }

    /// Goes on to the next phase where the one that it is in is over.
    fn leave(&mut self, sessions: &Sessions, now: Timestamp, actions: &mut Actions) {
        if let Phase::Acting(fault) = &self.phase
            && fault.is_done()
            && self.kit.bursts.is_idle()
        {
            self.idle_since = Some(now);
            self.phase = Phase::Armed;
        }
        let over = match &self.phase {
            Phase::Armed => {
                let session = sessions.at(PRODUCER);
                let flows = self.idle_since.is_some();
                let bored = self.idle_since.is_some_and(|since| now.since(since) > PATIENCE);
                let wanted = &self.kit.wanted;
                if bored || (self.steps.cuts() && flows && attainable(wanted, session, &self.kit.tools).is_empty()) {
                    self.steps.skip(actions);
                    self.idle_since = Some(now);
                }
                self.ending || self.steps.next().is_none()
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
            fault.abandon(&mut self.kit.scene(sessions, now, actions));
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
            self.kit.bursts.answered(head.header.opcode, head.header.opaque);
        }
        self.advance(event, sessions, now, &mut actions);
        withheld::acknowledged(event, &mut self.kit.tools, &mut actions);
        withheld::keep_from_consumer(event, sessions, &mut self.kit.tools, &mut actions);
        if let Event::Closed { from, how } = event {
            self.closed(*from, *how, sessions.at(PRODUCER), now, &mut actions);
        }
        self.stand_in.on_event(event, PRODUCER, sessions.at(PRODUCER), &mut self.kit.tools, &mut actions);
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
        [phase, self.kit.bursts.wakeup(), self.stand_in.wakeup(), watchdog].into_iter().flatten().min()
    }

    fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Settled)
    }
}

/// How often deadlines are looked at while something is under way.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Past a deadline, not at it.
const TICK: Duration = Duration::from_millis(1);
