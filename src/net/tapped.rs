use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::control::{Ear, Orders};
use super::meter::{Meter, Moved};
use super::{Core, Progress};
use crate::Timestamp;
use crate::capture::write::Tape;
use crate::engine::{Engine, Interceptor, Observer, Output, Sessions, Standing};
use crate::journal::{Entries, Entry, How, Side};
use crate::scenario::judge::{Judge, Judgement};
use crate::scenario::{Course, Plan, Runner};
use crate::session::{Context, Session};
use crate::toxic::{self, Kind, Stream};
use crate::verdict;
use crate::wire::Header;

/// An engine whose connection is judged and, where there is a tape, recorded: bytes as they come and as they are handed
/// to the socket, with what the journal says of them.
#[derive(Debug)]
pub struct Tapped {
    engine: Engine<Eyes>,
    now: Timestamp,
    /// The seed of the run, and the connection's number: what is drawn for it depends on both.
    drawn_by: (u64, u64),
    /// How steps are taken that are armed while the connection is open, and whose faults then decide.
    standby: Option<Box<(Plan, verdict::Judge)>>,
    /// The steps that are armed so.
    courses: Vec<Course>,
    crossed: [Crossed; 2],
}

/// Bytes that have crossed an edge.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Crossed {
    /// The end sent them.
    pub from: u64,
    /// They were handed to its socket.
    pub to: u64,
}

/// Those who read the journal.
#[derive(Debug)]
pub struct Eyes {
    judge: Judge,
    tape: Option<Box<Tape>>,
    meter: Option<Box<Meter>>,
    ear: Option<Ear>,
}

impl Observer for Eyes {
    #[inline]
    fn observe(&mut self, entry: &Entry, context: &Context, session: &Session) {
        self.judge.observe(entry, context, session);
        if let Some(tape) = &mut self.tape {
            tape.entry(entry, session);
        }
        if let Some(meter) = &mut self.meter {
            meter.observe(entry, context, session);
        }
        if let Some(ear) = &mut self.ear {
            ear.hear(entry, context, session);
        }
    }

    #[inline]
    fn bears_stretch(&self, header: &Header) -> bool {
        self.ear.as_ref().is_none_or(Ear::hears_nothing) && self.judge.bears_stretch(header)
    }

    #[inline]
    fn observe_stretch(&mut self, entries: &Entries<'_>, session: &Session) {
        self.judge.observe_stretch(entries, session);
        if let Some(tape) = &mut self.tape {
            tape.entries(entries, session);
        }
        if let Some(meter) = &mut self.meter {
            meter.observe_stretch(entries, session);
        }
    }
}

impl Tapped {
    /// The connection of this number through the tool; `seed` seeds the hashes of keys in the journal, and what is drawn.
    pub fn new(
        interceptor: Option<Box<dyn Interceptor>>,
        judge: Judge,
        tape: Option<Box<Tape>>,
        seed: u64,
        connection: u64,
    ) -> Self {
        let eyes = Eyes { judge, tape, meter: None, ear: None };
        Self {
            engine: Engine::new(interceptor, eyes, seed),
            now: Timestamp::default(),
            drawn_by: (seed, connection),
            standby: None,
            courses: Vec::new(),
            crossed: [Crossed::default(); 2],
        }
    }

    /// Lets others listen to its journal.
    #[must_use]
    pub fn overheard(mut self, ear: Ear) -> Self {
        self.engine.observed().0.ear = Some(ear);
        self
    }

    /// The bytes that have crossed the edge of `side`.
    pub const fn crossed(&self, side: Side) -> Crossed {
        self.crossed[index(side)]
    }

    /// Begins to record, unless it does.
    pub fn record(&mut self, mut tape: Box<Tape>, now: Timestamp) {
        let (eyes, sessions) = self.engine.observed();
        if eyes.tape.is_none() {
            tape.join([sessions.at(Side::Dialler), sessions.at(Side::Upstream)], now);
            eyes.tape = Some(tape);
        }
    }

    /// The sessions at both edges.
    pub const fn sessions(&mut self) -> &Sessions {
        self.engine.observed().1
    }

    /// Steps may be armed while the connection is open: they are taken with the settings of this plan, whose own scenarios
    /// are not looked at. Where an interceptor is there already, it takes them ([`Interceptor::stepper`]).
    #[must_use]
    pub fn standing_by(mut self, plan: &Plan, judge: verdict::Judge) -> Self {
        self.standby = Some(Box::new((Plan { scenarios: Vec::new(), ..plan.clone() }, judge)));
        self
    }

    /// Counts what happens on it too.
    #[must_use]
    pub fn metered(mut self, meter: Meter) -> Self {
        self.engine.observed().0.meter = Some(Box::new(meter));
        self
    }

    /// The judge, and the sessions at both edges.
    pub const fn judged(&mut self) -> (&mut Judge, &Sessions) {
        let (eyes, sessions) = self.engine.observed();
        (&mut eyes.judge, sessions)
    }

    /// What the connection has come to so far, its findings and its steps; it may be asked for again while the connection goes
    /// on. For a verdict it is told to settle first ([`Core::settle`]), and waited for until it has
    /// ([`super::control::Handle::settled`]): before that, what was begun has proved nothing yet.
    ///
    /// A later one covers all since the connection began: what rules and expectations saw, and the steps of all rounds. Only
    /// that steps found no place to fire is forgotten once something is armed anew.
    pub fn verdict_now(&mut self) -> Judgement {
        if self.runner().is_some_and(Runner::read) {
            // Something was armed meanwhile, and waited for this.
            self.engine.wakeup(self.now);
        }
        let (judge, sessions) = self.judged();
        judge.judgement(sessions.at(Side::Upstream))
    }

    /// The connection is let go: its recording ends with `how`.
    pub fn over(&mut self, how: &str) {
        let now = self.now;
        if let Some(mut tape) = self.engine.observed().0.tape.take() {
            tape.over(how, now);
        }
    }

    /// The toxics that know bytes alone: each in its direction, where the connection has it.
    fn gates(&mut self, orders: &Orders, now: Timestamp) {
        let (seed, connection) = self.drawn_by;
        for stream in [Stream::Upstream, Stream::Downstream] {
            let toxics =
                orders.toxics.iter().filter(|toxic| toxic.stream == stream && toxic.is_had_by(seed, connection));
            let gates = toxics.filter_map(|toxic| match &toxic.kind {
                Kind::Bytes(gate) => Some(Standing {
                    name: toxic.name.clone(),
                    seed: toxic::seed(seed, connection, &toxic.name),
                    gate: gate.clone(),
                }),
                Kind::Dcp(_) | Kind::Nothing => None,
            });
            self.engine.gates(stream.to(), &gates.collect::<Vec<_>>(), now);
        }
    }

    /// The toxics that know DCP, and the scenarios: what is new is armed, what is there no more is called off.
    fn steps(&mut self, orders: &Orders, now: Timestamp) {
        let (seed, connection) = self.drawn_by;
        let courses = orders.courses(seed, connection);
        if courses == self.courses {
            return;
        }
        if self.runner().is_none() {
            let Some((plan, judge)) = self.standby.as_deref().filter(|_| self.engine.stepper().is_none()) else {
                return;
            };
            let runner = Runner::new(plan.clone(), connection).judging(*judge);
            self.engine.intercept(Some(Box::new(runner)), now);
        }
        let (eyes, sessions) = self.engine.observed();
        for course in &courses {
            eyes.judge.expect(&course.expected, sessions);
        }
        self.courses.clone_from(&courses);
        if let Some(runner) = self.runner() {
            runner.wanted(courses);
        }
        // It has heard of them once something happens.
        self.engine.wakeup(now);
    }

    /// Bytes are handed to the socket of an end.
    fn went(&mut self, to: Side, bytes: &Bytes) {
        self.crossed[index(to)].to += bytes.len() as u64;
        if let Some(tape) = self.tape() {
            tape.went(to, bytes.clone());
        }
    }

    fn runner(&mut self) -> Option<&mut Runner> {
        self.engine.stepper()?.downcast_mut()
    }

    const fn meter(&mut self) -> Option<&mut Box<Meter>> {
        self.engine.observed().0.meter.as_mut()
    }

    const fn tape(&mut self) -> Option<&mut Box<Tape>> {
        self.engine.observed().0.tape.as_mut()
    }
}

impl Core for Tapped {
    #[inline]
    fn feed(&mut self, from: Side, bytes: Bytes, now: Timestamp) {
        self.now = now;
        self.crossed[index(from)].from += bytes.len() as u64;
        if let Some(tape) = self.tape() {
            tape.came(from, bytes.clone());
        }
        self.engine.feed(from, bytes, now);
    }

    fn passes(&mut self, from: Side, bytes: &Bytes) -> bool {
        let passes = self.engine.passes(from);
        if passes {
            self.went(from.other(), bytes);
        }
        passes
    }

    fn closed(&mut self, from: Side, how: How, now: Timestamp) {
        self.now = now;
        self.engine.closed(from, how, now);
    }

    fn wakeup(&mut self, now: Timestamp) {
        self.now = now;
        self.engine.wakeup(now);
    }

    #[inline]
    fn poll(&mut self) -> Option<Output> {
        let output = self.engine.poll();
        let now = self.now;
        match &output {
            Some(Output::Write { to, bytes }) => self.went(*to, bytes),
            Some(Output::Close { .. } | Output::Wait(_)) => {}
            None => {
                if let Some(tape) = self.tape() {
                    tape.turn(now);
                }
            }
        }
        output
    }

    fn held(&self, to: Side) -> usize {
        self.engine.held(to)
    }

    fn paused(&mut self, from: Side, paused: bool, now: Timestamp) {
        self.now = now;
        self.engine.paused(from, paused, now);
        if let Some(meter) = self.meter() {
            meter.paused(from, paused);
        }
    }

    fn settle(&mut self, now: Timestamp) {
        self.now = now;
        self.engine.settle(now);
    }

    fn ordered(&mut self, orders: &Arc<Orders>, now: Timestamp) {
        self.now = now;
        // It tells by them what a step is made of.
        if let Some(meter) = self.meter() {
            meter.ordered(orders);
        }
        self.gates(orders, now);
        self.steps(orders, now);
    }

    fn counts(&self) -> bool {
        self.engine.observer().meter.is_some()
    }

    fn moved(&mut self, moved: &Moved) {
        let held = [Side::Dialler, Side::Upstream].map(|to| self.engine.waiting(to));
        let (eyes, sessions) = self.engine.observed();
        if let Some(meter) = &eyes.meter {
            meter.moved(moved, [sessions.at(Side::Dialler), sessions.at(Side::Upstream)], held);
        }
    }

    fn relayed(&mut self, to: Side, took: Duration) {
        if let Some(meter) = self.meter() {
            meter.relayed(to, took);
        }
    }

    fn progress(&self) -> Progress {
        self.engine.progress()
    }
}

const fn index(side: Side) -> usize {
    match side {
        Side::Dialler => 0,
        Side::Upstream => 1,
    }
}
