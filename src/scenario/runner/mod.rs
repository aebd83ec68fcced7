mod doubts;
mod kit;
mod lane;
mod rest;
mod stand_in;
mod standing;
mod steps;
mod trigger;
mod withheld;

use std::any::Any;
use std::time::Duration;

use super::Expected;
use super::Plan;
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
use crate::fault::FaultSpec;
use crate::fault::Proof;
use crate::fault::Shot;
use crate::fault::Spec;
use crate::fault::Toolbox;
use crate::journal::Act;
use crate::journal::How;
use crate::journal::Side;
use crate::session::Session;
use crate::verdict::About;
use crate::verdict::Judge;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use doubts::Doubts;
use kit::Kit;
use lane::Begun;
use lane::Lane;
use rest::Rest;
use stand_in::StandIn;
use standing::Wanted;
use steps::Patience;
use steps::Steps;
use trigger::attainable;
use trigger::is_data;
use trigger::is_mid_transfer;
use trigger::is_wanted;
use trigger::stream_of;

/// How long the VERSION answer is waited for.
const VERSION_WITHIN: Duration = Duration::from_secs(1);
/// How long a message type that has not come is waited for, since anything new has happened.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes the steps of a plan on one connection, and of courses that come and go while it is open: an interceptor that waits
/// for its triggers and lets faults act. Where the plan has none and no course was armed yet, it looks at nothing.
#[derive(Debug)]
pub struct Runner {
    plan: Plan,
    /// The connection's number.
    connection: u64,
    /// Whose faults decide; where consumers' do, the producer may be either end.
    judge: Judge,
    phase: Phase,
    kit: Kit,
    /// Those of the plan first.
    lanes: Vec<Lane>,
    wanted: Wanted,
    /// Whether the era was found out, as far as it can be.
    has_era: bool,
    /// Since when nothing new has happened, once data flows.
    idle_since: Option<Timestamp>,
    /// Messages that are let pass before a step that fires in the middle of a transfer.
    let_pass: u64,
    /// Faults that go on beside the steps, in the order in which they began.
    lingering: Vec<Begun>,
    /// What is expected after each step, and until when it is watched for.
    expected: Vec<Expected>,
    watch_until: Timestamp,
    /// When the first frame came.
    started: Option<Timestamp>,
    /// Whether the producer is not read from, and when it last was again.
    paused: bool,
    resumed_at: Timestamp,
    /// Takes the consumer's place once it has closed.
    stand_in: StandIn,
    ending: bool,
    /// When it was last looked whether streams that are due bring something.
    looked_at: Timestamp,
    last_event: Timestamp,
    doubts: Doubts,
    /// Known while nothing is under way.
    rest: Option<Rest>,
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
    Acting(Vec<Begun>),
    /// All steps are taken.
    Settling { until: Timestamp, proof: Proof },
    /// All is done.
    Settled,
}

impl Runner {
    /// A runner for the connection of that number, from 1: of each connection and step, chance is a matter of the seed alone.
    pub fn new(plan: Plan, connection: u64) -> Self {
        Self {
            judge: Judge::Producer,
            phase: Phase::Opening,
            kit: Kit {
                producer: DIALLED,
                tools: Toolbox::new(plan.era.unwrap_or(Era::V2019_07), plan.settle, plan.fatal_too),
                bursts: Bursts::new(DIALLED),
                wanted: plan.messages.clone(),
            },
            lanes: vec![Lane {
                id: 0,
                course: None,
                steps: {
                    let steps = plan.scenarios.iter().flat_map(|scenario| &scenario.steps);
                    Steps::of(steps, plan.seed, connection, None, Patience::Limited(PATIENCE))
                },
                over: false,
            }],
            connection,
            wanted: Wanted::default(),
            has_era: false,
            idle_since: None,
            let_pass: 1 + plan.seed.wrapping_add(connection).wrapping_sub(1) % 16,
            lingering: Vec::new(),
            expected: Expected::of(&plan.scenarios),
            watch_until: Timestamp::default(),
            started: None,
            paused: false,
            resumed_at: Timestamp::default(),
            stand_in: StandIn::default(),
            ending: false,
            looked_at: Timestamp::default(),
            last_event: Timestamp::default(),
            doubts: Doubts::default(),
            rest: None,
            plan,
        }
    }

    /// Takes steps too where the producer has dialled and a consumer node is behind it, if consumers are judged: a node is
    /// told by a manager what to be (dcp-protocol.md §3.1).
    #[must_use]
    pub const fn judging(mut self, judge: Judge) -> Self {
        self.judge = judge;
        self
    }

    fn look_for_producer(&mut self, sessions: &Sessions) {
        if self.judge.judges(About::CONSUMER)
            && matches!(self.phase, Phase::Opening)
            && let Some(producer) = sessions.at(DIALLED).producer()
            && producer != self.kit.producer
        {
            self.kit.producer = producer;
            self.kit.bursts = Bursts::new(producer);
        }
    }

    fn is_producer_dialled(&self) -> bool {
        self.kit.producer == DIALLED
    }

    fn watch(&mut self, event: &Event<'_>, now: Timestamp) {
        match event {
            Event::Frame { head, context, .. } => {
                // Messages of a stream repeat an opaque that was seen before, or that is the tool's own.
                if head.header.is_request() && !dcp::is_stream_message(head.header.opcode) {
                    self.kit.tools.avoid(head.header.opaque);
                }
                if context.orphan.is_some() {
                    self.doubts.orphan(now);
                }
            }
            Event::Paused { from, paused } if *from == self.kit.producer => {
                self.paused = *paused;
                self.resumed_at = now;
            }
            Event::Settle => self.ending = true,
            Event::Answer { .. } | Event::Raw { .. } | Event::Closed { .. } | Event::Paused { .. } | Event::Wakeup => {}
        }
    }

    /// The steps whose triggers are asked now, by lane and place in it.
    fn asked(&self, now: Timestamp) -> impl Iterator<Item = (usize, usize)> {
        let (in_order, open) = (matches!(self.phase, Phase::Armed), !matches!(self.phase, Phase::Opening));
        let lanes = self.lanes.iter().enumerate().filter(|(_, lane)| !lane.over);
        lanes.flat_map(move |(at, lane)| lane.steps.armed(in_order, open, now).map(move |index| (at, index)))
    }

    /// Asks the triggers of the steps that are armed, and lets those that fire begin.
    fn fire_what_is_due(&mut self, event: &Event<'_>, sessions: &Sessions, now: Timestamp, actions: &mut Actions) {
        let producer = self.kit.producer;
        let key = match event {
            Event::Frame { context, .. } => context.stream.as_ref().map(|stream| stream.key),
            Event::Answer { .. }
            | Event::Raw { .. }
            | Event::Closed { .. }
            | Event::Paused { .. }
            | Event::Wakeup
            | Event::Settle => None,
        };
        for (at, index) in self.asked(now).collect::<Vec<_>>() {
            if self.kit.scene(sessions, now, actions).is_decided() {
                return;
            }
            let Some(lane) = self.lanes.get_mut(at) else { continue };
            let messages = if lane.steps.cuts() { &self.kit.wanted } else { &self.plan.messages };
            let over = matches!(self.phase, Phase::Settling { .. } | Phase::Settled);
            // Where steps come and go, another may have begun something at this very event.
            let busy = lane.course.is_some() && !matches!(self.phase, Phase::Armed);
            let Some(armed) = lane.steps.get_mut(index) else { continue };
            if (over || busy) && armed.step.faults.iter().any(Spec::wants_stream) {
                continue;
            }
            if armed.is_bare() {
                if !armed.trigger.is_of_side(event)
                    || (armed.fired_at.is_some() && !matches!(event, Event::Frame { .. }))
                {
                    continue;
                }
            } else if !armed.trigger.concerns(event, producer, now) {
                continue;
            } else if armed.step.is_mid_transfer() {
                if !is_mid_transfer(event, sessions, producer) {
                    continue;
                }
                // Where a step says no more than that, the seed chooses the place.
                if armed.step.when.is_plain() {
                    if self.let_pass > 0 {
                        self.let_pass -= 1;
                        continue;
                    }
                    if !is_wanted(event, sessions.at(producer), messages, &self.kit.tools) {
                        continue;
                    }
                }
            }
            let fires = steps::is_cut(&armed.step) || armed.trigger.counts(key);
            if !fires {
                continue;
            }
            let (from, is_whole, len, is_request) = match event {
                Event::Frame { from, frame, head, .. } => {
                    (Some(*from), frame.is_whole(), head.header.frame_len(), head.header.is_request())
                }
                Event::Answer { .. }
                | Event::Raw { .. }
                | Event::Closed { .. }
                | Event::Paused { .. }
                | Event::Wakeup
                | Event::Settle => (None, false, 0, false),
            };
            let struck = stream_of(event, sessions, producer);
            let shot = Shot { from, struck, is_whole, len, is_request, chance: armed.trigger.fork() };
            self.fire((at, index), &shot, event, sessions, now, actions);
        }
    }

    fn fire(
        &mut self,
        (at, index): (usize, usize),
        shot: &Shot,
        event: &Event<'_>,
        sessions: &Sessions,
        now: Timestamp,
        actions: &mut Actions,
    ) {
        let Some(lane) = self.lanes.get(at) else { return };
        let Some(armed) = lane.steps.get(index) else { return };
        let id = lane.id;
        let (name, specs) = (armed.step.name.clone(), armed.step.faults.clone());
        let closes = shot.struck.as_ref().filter(|_| specs.iter().any(Spec::closes_stream));
        let cut = specs.iter().any(|spec| matches!(spec, FaultSpec::CloseStream(spec) if spec.at == CloseAt::Cut));
        let act = match (closes, &shot.struck) {
            (Some(struck), _) => {
                if cut {
                    self.kit.tools.keep_from_consumer(struck.opaque);
                }
                let (vbucket, stream_id) = (struck.key.vbucket, struck.key.stream_id);
                let (opaque, seqno) = (struck.opaque, struck.seqno);
                Act::Fired { step: name.clone(), vbucket, stream_id, opaque, seqno, cut }
            }
            (None, struck) => {
                let stream = struck.as_ref();
                let stream = stream.map(|at| (at.key.vbucket, at.key.stream_id, at.opaque, at.seqno));
                Act::Triggered { step: name.clone(), stream }
            }
        };
        let noted = actions.len();
        actions.push(Action::Note { edge: DIALLED, act });
        let mut scene = self.kit.scene(sessions, now, actions);
        let mut begun = Vec::with_capacity(specs.len());
        for spec in &specs {
            begun.extend(spec.fire(shot, &mut scene).map(|fault| Begun { lane: id, fault }));
        }
        if begun.is_empty() && !specs.is_empty() {
            actions.remove(noted);
            if let Some(armed) = self.lanes.get_mut(at).and_then(|lane| lane.steps.get_mut(index)) {
                armed.trigger.take_back(shot.struck.as_ref().map(|struck| struck.key));
            }
            return;
        }
        for begun in &mut begun {
            begun.fault.on_event(event, &mut scene);
        }
        if let Some(lane) = self.lanes.get_mut(at) {
            lane.steps.fired(index, now, actions);
        }
        self.idle_since = None;
        for expected in self.expected.iter().filter(|expected| expected.step == name) {
            self.watch_until = self.watch_until.max(now + expected.within(self.plan.settle));
        }
        if begun.iter().any(|begun| begun.fault.blocks()) {
            if let Phase::Acting(before) = &mut self.phase {
                before.append(&mut begun);
            } else {
                self.phase = Phase::Acting(begun);
            }
        } else {
            self.lingering.extend(begun.into_iter().filter(|begun| !begun.fault.is_done()));
            if matches!(self.phase, Phase::Armed) {
                self.idle_since = Some(now);
            }
        }
    }

    /// No step is waited for any more.
    fn skip_all(&mut self, now: Timestamp, actions: &mut Actions) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.course.is_none()) {
            lane.steps.skip_all(now, actions);
        }
        self.skip_standing(now, actions);
    }

    fn skip_standing(&mut self, now: Timestamp, actions: &mut Actions) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.course.is_some()) {
            if !std::mem::replace(&mut lane.over, true) {
                lane.steps.end(now, actions);
            }
        }
    }

    fn settle(&mut self, now: Timestamp, actions: &mut Actions) {
        self.skip_all(now, actions);
        actions.push(Action::Note { edge: DIALLED, act: Act::Settling });
        let until = self.kit.bursts.last_told().map_or(now, |told| told.max(now)) + self.plan.settle;
        let until = until.max(self.watch_until);
        self.phase = Phase::Settling { until, proof: Proof::Idle };
    }

    fn settled(&mut self, now: Timestamp, actions: &mut Actions) {
        if !matches!(self.phase, Phase::Settled) {
            self.told_settled(now);
            actions.push(Action::Note { edge: DIALLED, act: Act::Settled });
            self.end(actions);
        }
    }

    fn end(&mut self, actions: &mut Actions) {
        self.phase = Phase::Settled;
        if let Some(how) = self.stand_in.end() {
            actions.push(Action::Close { side: DIALLED, how });
        }
    }

    /// An end closed. What was begun is brought to its end without the consumer.
    fn closed(&mut self, from: Side, how: How, session: &Session, now: Timestamp, actions: &mut Actions) {
        self.wanted.closed = true;
        // What was told long ago, by steps that came and went, has been borne.
        let is_late = |told: Timestamp| self.wanted.ever && !self.plan.is_armed() && now.since(told) > self.plan.settle;
        let tried =
            self.kit.bursts.last_told().is_some_and(|told| !is_late(told)) || matches!(self.phase, Phase::Acting(_));
        if from == self.kit.producer || !self.is_producer_dialled() || !tried || matches!(self.phase, Phase::Settled) {
            self.skip_all(now, actions);
            return self.end(actions);
        }
        actions.push(Action::Drop);
        let begun: &[Begun] = match &self.phase {
            Phase::Acting(faults) => faults,
            Phase::Opening | Phase::Asking(..) | Phase::Armed | Phase::Settling { .. } | Phase::Settled => &[],
        };
        let swallowed = begun.iter().chain(&self.lingering).map(|begun| begun.fault.owed()).sum();
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
        let producer = self.kit.producer;
        let session = sessions.at(producer);
        match &mut self.phase {
            Phase::Opening => {
                let open = sessions.at(DIALLED).open().is_some_and(|open| open.accepted);
                if open && (sessions.at(DIALLED).producer() == Some(DIALLED) || self.judge.judges(About::CONSUMER)) {
                    if self.plan.era.is_some() || self.has_era {
                        self.has_era = true;
                        self.phase = Phase::Armed;
                    } else {
                        let opaque = self.kit.tools.opaque();
                        let frame = FrameBuilder::request(Opcode::VERSION).opaque(opaque).build();
                        actions.push(Action::Inject { to: DIALLED, frame });
                        self.phase = Phase::Asking(opaque, now);
                    }
                }
            }
            Phase::Asking(opaque, since) => {
                let answered = matches!(event, Event::Answer { head, .. } if head.header.opaque == *opaque);
                if answered || now.since(*since) > VERSION_WITHIN {
                    self.has_era = true;
                    self.kit.tools.era = era_of(sessions.at(DIALLED)).0;
                    self.phase = Phase::Armed;
                }
            }
            Phase::Armed => {
                self.lanes.iter_mut().for_each(|lane| lane.steps.begin(now));
                if self.idle_since.is_none() && is_data(event, producer) {
                    self.idle_since = Some(now);
                }
            }
            Phase::Acting(faults) => {
                let mut scene = self.kit.scene(sessions, now, actions);
                for begun in faults {
                    begun.fault.on_event(event, &mut scene);
                }
            }
            Phase::Settling { until, proof } => {
                if let Event::Answer { head, .. } = event
                    && proof.given(head.header.opcode, head.header.opaque)
                {
                    match self.doubts.until(now, self.plan.settle) {
                        Some(later) if !self.ending && self.judge.judges(About::PRODUCER) => *until = later,
                        Some(_) | None => return self.settled(now, actions),
                    }
                }
                if *until <= now && *proof == Proof::Idle {
                    proof.want(now, Duration::ZERO);
                }
                proof.step(DIALLED, &mut self.kit.tools, now, actions);
            }
            Phase::Settled => {}
        }
        for begun in &mut self.lingering {
            let mut scene = self.kit.scene(sessions, now, actions);
            if !scene.is_decided() {
                begun.fault.on_event(event, &mut scene);
            }
        }
        self.lingering.retain(|begun| !begun.fault.is_done());
        if !self.ending {
            self.fire_what_is_due(event, sessions, now, actions);
        }
        // At its own pace, whatever else happens: on a busy connection no time is without an event.
        if now.since(self.looked_at) >= LOOK_EVERY && matches!(self.phase, Phase::Acting(_) | Phase::Settling { .. }) {
            self.doubts.look(session, now);
            self.looked_at = now;
        }
        self.last_event = now;
        self.kit.bursts.step(&mut self.kit.tools, now, actions);
        self.leave(sessions, now, actions);
    }

    /// Goes on to the next phase where the one that it is in is over.
    fn leave(&mut self, sessions: &Sessions, now: Timestamp, actions: &mut Actions) {
        if let Phase::Acting(faults) = &mut self.phase
            && faults.iter().all(|begun| begun.fault.is_done() || !begun.fault.blocks())
            && self.kit.bursts.is_idle()
        {
            self.lingering.extend(std::mem::take(faults).into_iter().filter(|begun| !begun.fault.is_done()));
            self.idle_since = Some(now);
            self.phase = Phase::Armed;
            self.lanes.iter_mut().for_each(|lane| lane.steps.begin(now));
        }
        if let Some(started) = self.started {
            self.lanes.iter_mut().for_each(|lane| lane.steps.expire(started, now, actions));
        }
        let over = match &self.phase {
            Phase::Armed => {
                let session = sessions.at(self.kit.producer);
                let idle_since = self.idle_since;
                let wanted = &self.kit.wanted;
                for lane in &mut self.lanes {
                    let bored = lane.steps.bored_at(idle_since).is_some_and(|at| now > at);
                    let met = || attainable(wanted, session, &self.kit.tools).is_empty();
                    if bored || (lane.steps.cuts() && idle_since.is_some() && met()) {
                        lane.steps.skip(now, actions);
                        self.idle_since = Some(now);
                    }
                }
                self.ending
                    || (self.plan.is_armed() && !self.stands() && self.lanes.iter().all(|lane| lane.steps.is_done()))
            }
            Phase::Asking(..) => self.ending,
            // Without a producer there is nobody to watch.
            Phase::Opening if self.ending => {
                self.skip_standing(now, actions);
                return self.settled(now, actions);
            }
            Phase::Opening | Phase::Acting(_) | Phase::Settling { .. } | Phase::Settled => false,
        };
        if over {
            self.settle(now, actions);
        }
        if self.is_mute(now) {
            self.abandon(sessions, now, actions);
            self.settled(now, actions);
        }
    }

    fn abandon(&mut self, sessions: &Sessions, now: Timestamp, actions: &mut Actions) {
        if let Phase::Acting(faults) = &mut self.phase {
            for begun in faults {
                begun.fault.abandon(&mut self.kit.scene(sessions, now, actions));
            }
        }
    }
}

/// The end that was dialled: it is told VERSION and proofs of life, and its edge has the notes. Of a producer that dialled,
/// nothing is demanded.
const DIALLED: Side = Side::Upstream;

impl Interceptor for Runner {
    fn on_event(&mut self, event: &Event<'_>, sessions: &Sessions, now: Timestamp) -> Actions {
        let mut actions = Vec::new();
        if self.is_dormant() || self.rests_at(event, now) {
            return actions;
        }
        self.started.get_or_insert(now);
        self.look_for_producer(sessions);
        self.watch(event, now);
        self.heed(sessions, now, &mut actions);
        if let Event::Answer { head, .. } = event {
            self.kit.bursts.answered(head.header.opcode, head.header.opaque);
        }
        self.advance(event, sessions, now, &mut actions);
        let producer = self.kit.producer;
        withheld::acknowledged(event, producer, &mut self.kit.tools, &mut actions);
        withheld::keep_from_consumer(event, sessions, producer, &mut self.kit.tools, &mut actions);
        if let Event::Closed { from, how } = event {
            self.closed(*from, *how, sessions.at(self.kit.producer), now, &mut actions);
        }
        self.stand_in.on_event(event, DIALLED, sessions.at(DIALLED), &mut self.kit.tools, &mut actions);
        self.find_rest(sessions, now);
        actions
    }

    fn bears_stretch(&self, event: &Event<'_>, now: Timestamp) -> bool {
        self.is_dormant() || self.rests_at_alike(event, now)
    }

    fn wakeup(&self) -> Option<Timestamp> {
        let phase = match &self.phase {
            Phase::Asking(_, since) => Some(*since + VERSION_WITHIN + TICK),
            Phase::Armed => {
                let lanes = || self.lanes.iter().filter(|lane| !lane.over);
                let bored = lanes().filter_map(|lane| lane.steps.bored_at(self.idle_since)).map(|at| at + TICK);
                let armed = lanes().filter_map(|lane| lane.steps.armed_at()).filter(|at| *at > self.last_event);
                bored.chain(armed).min()
            }
            Phase::Acting(faults) => faults.iter().filter_map(|begun| begun.fault.wakeup()).min(),
            Phase::Settling { until, proof: Proof::Idle } => Some(*until),
            Phase::Settling { proof, .. } => proof.wakeup(),
            Phase::Opening | Phase::Settled => None,
        };
        let watchdog = match &self.phase {
            Phase::Acting(_) | Phase::Settling { .. } => Some(self.looked_at + LOOK_EVERY),
            Phase::Opening | Phase::Asking(..) | Phase::Armed | Phase::Settled => None,
        };
        let lingering = self.lingering.iter().filter_map(|begun| begun.fault.wakeup()).min();
        let more = [self.kit.bursts.wakeup(), self.stand_in.wakeup(), watchdog, self.wanted.wakeup()];
        [phase, lingering].into_iter().chain(more).flatten().min()
    }

    fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Settled)
    }

    fn is_armed(&self) -> bool {
        self.plan.is_armed() || self.wanted.ever || self.wanted.has_news()
    }

    fn stepper(&mut self) -> Option<&mut dyn Any> {
        Some(self)
    }
}

/// How often deadlines are looked at while something is under way.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Past a deadline, not at it.
const TICK: Duration = Duration::from_millis(1);
