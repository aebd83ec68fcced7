//! Whoever looks on cannot tell mutations that are taken in all at once from the same ones taken in one by one: sessions,
//! rules, judge and meter are told the same traffic both ways, a random one, and must know the same after every read. Nor
//! can it be told whether who takes steps has looked at every frame closely, or rested while nothing concerned it.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use dcproxy::Timestamp;
use dcproxy::dcp;
use dcproxy::engine::{Action, Engine, Event, Interceptor, Observer, Output, Sessions};
use dcproxy::invariant::Suite;
use dcproxy::journal::{Entries, Entry, How, Side};
use dcproxy::net::meter::{Meter, Totals};
use dcproxy::scenario::judge::Judge;
use dcproxy::scenario::{MESSAGES, Plan, Runner, Scenario};
use dcproxy::session::{Context, Session};
use dcproxy::wire::{Header, Opaque, Opcode, Status};
use fastrand::Rng;

use crate::mutations::{Producer, opening, stream_req};

/// All who look on. `at_once`: they may be told of many mutations at once.
struct Eyes {
    at_once: bool,
    suites: [Suite; 2],
    judge: Judge,
    meter: Meter,
    told_at_once: u64,
    told: u64,
}

const fn index(side: Side) -> usize {
    match side {
        Side::Dialler => 0,
        Side::Upstream => 1,
    }
}

impl Observer for Eyes {
    fn observe(&mut self, entry: &Entry, context: &Context, session: &Session) {
        self.told += 1;
        self.suites[index(entry.edge)].observe(entry, session);
        self.judge.observe(entry, context, session);
        self.meter.observe(entry, context, session);
    }

    fn bears_stretch(&self, header: &Header) -> bool {
        self.at_once
            && self.suites.iter().all(|suite| suite.bears_stretch(header))
            && self.judge.bears_stretch(header)
            && self.meter.bears_stretch(header)
    }

    fn observe_stretch(&mut self, entries: &Entries<'_>, session: &Session) {
        self.told_at_once += entries.stretch.frames();
        self.suites[index(entries.edge)].observe_stretch(entries, session);
        self.judge.observe_stretch(entries, session);
        self.meter.observe_stretch(entries, session);
    }
}

/// Never rests: before each event it is told anew what is wanted of it, which is nothing more.
#[derive(Debug)]
struct Wakeful(Runner);

impl Interceptor for Wakeful {
    fn on_event(&mut self, event: &Event<'_>, sessions: &Sessions, now: Timestamp) -> Vec<Action> {
        self.0.wanted(Vec::new());
        self.0.on_event(event, sessions, now)
    }

    fn wakeup(&self) -> Option<Timestamp> {
        self.0.wakeup()
    }

    fn is_settled(&self) -> bool {
        self.0.is_settled()
    }
}

/// One of the two ways.
struct Way {
    engine: Engine<Eyes>,
    totals: Arc<Totals>,
    to: [Vec<u8>; 2],
    closes: Vec<(Side, How)>,
}

impl Way {
    fn new(at_once: bool, plan: &Plan, armed: bool) -> Self {
        let judge = Judge::new(plan.terms(dcproxy::verdict::Judge::Producer), 1, "dialler", "upstream");
        let totals = Arc::new(Totals::default());
        let eyes = Eyes {
            at_once,
            suites: [Suite::new(), Suite::new()],
            judge,
            meter: totals.meter(),
            told_at_once: 0,
            told: 0,
        };
        let runner = Runner::new(plan.clone(), 1);
        let runner = if at_once { Box::new(runner) as Box<dyn Interceptor> } else { Box::new(Wakeful(runner)) };
        let runner = Some(runner).filter(|_| armed);
        Self { engine: Engine::new(runner, eyes, 7), totals, to: Default::default(), closes: Vec::new() }
    }

    /// Feeds it; one of the two as a link does: what goes on before it is looked at is written first.
    fn feed(&mut self, from: Side, bytes: &Bytes, now: Timestamp) {
        if self.engine.observer().at_once && self.engine.passes(from) {
            self.to[index(from.other())].extend_from_slice(bytes);
        }
        self.engine.feed(from, bytes.clone(), now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Write { to, bytes } => self.to[index(to)].extend_from_slice(&bytes),
                Output::Close { side, how } => self.closes.push((side, how)),
                Output::Wait(_) => {}
            }
        }
    }

    /// All that is known.
    fn known(&mut self) -> String {
        let mut text = String::new();
        let (eyes, sessions) = self.engine.observed();
        let judgement = eyes.judge.judgement(sessions.at(Side::Upstream));
        write!(text, "{judgement:?}\n{sessions:?}\n").expect("text has room");
        for suite in &eyes.suites {
            write!(text, "{suite:?}").expect("text has room");
        }
        let reading = self.totals.read();
        write!(text, "{:?} {:?} {:?}", reading.frames, self.to.each_ref().map(Vec::len), self.closes)
            .expect("text has room");
        text
    }
}

fn armed(text: &str) -> Plan {
    let text = format!("name = 's'\nabout = 'a'\n[[steps]]\nname = 's'\n{text}\n");
    Plan { scenarios: vec![Scenario::parse(&text).expect("a scenario")], ..plan() }
}

fn plan() -> Plan {
    Plan {
        scenarios: Vec::new(),
        messages: MESSAGES.into_iter().collect(),
        era: Some(dcproxy::era::Era::V7_0),
        settle: std::time::Duration::from_secs(1),
        fatal_too: false,
        seed: 3,
    }
}

/// The plan of a seed, and whether that is armed.
fn plan_of(seed: u64) -> (Plan, bool) {
    // Most often nothing is armed; else what never fires, fires late, or looks at what differs from frame to frame.
    let plan = match seed % 8 {
        0 => armed(
            "when = { filter = \"dcp.vbucket == 900\", within = \"1h\" }\ndo = { drop = {} }\nexpect = { survives = {} }",
        ),
        1 => armed(
            "when = { filter = \"dcp.opcode == DCP_STREAM_END and dcp.vbucket == 2\", within = \"1h\" }\ndo = { drop = {} }\nexpect = { progress = { on = \"any\", messages = 10 } }",
        ),
        2 => armed("when = { filter = \"dcp.seqno > 100\", nth = 40, within = \"1h\" }\ndo = { drop = {} }"),
        3 => armed(
            "when = { filter = \"dcp.opcode == DCP_MUTATION and dcp.vbucket == 1\", nth = 300, within = \"1h\" }\ndo = { duplicate = {} }\nexpect = { survives = { of = \"consumer\" } }",
        ),
        _ => plan(),
    };
    (plan, seed % 8 < 4)
}

/// Runs a random connection both ways. Returns the entries that were told at once, and all of them.
fn run(seed: u64, plan: &Plan, is_armed: bool) -> (u64, u64) {
    let mut dice = Rng::with_seed(seed);
    let collections = dice.bool();
    let consumer = if seed.is_multiple_of(5) { Side::Upstream } else { Side::Dialler };
    let mut ways = [Way::new(true, plan, is_armed), Way::new(false, plan, is_armed)];
    let mut now = Timestamp(1_000_000_000);
    let mut said = opening(&mut dice, collections);
    let sound = [30, 900, 1_000_000, 1_000_000][dice.usize(0..4)];
    let mut producer = Producer::new(dice.fork(), collections, sound);
    said.extend(producer.streams.iter().flat_map(|stream| stream_req(stream.vbucket, stream.opaque)));
    let side = |is_consumer: bool| if is_consumer { consumer } else { consumer.other() };
    for (is_consumer, bytes) in said {
        ways.iter_mut().for_each(|way| way.feed(side(is_consumer), &bytes, now));
    }
    for round in 0..15 {
        let bytes = Bytes::from(producer.says(dice.usize(1..700)));
        let mut rest = bytes;
        while !rest.is_empty() {
            let most = [100, 4_000, 65_536, 1 << 20][dice.usize(0..4)];
            let chunk = rest.split_to(rest.len().min(most));
            now = now + std::time::Duration::from_micros(dice.u64(0..3_000));
            ways.iter_mut().for_each(|way| way.feed(side(false), &chunk, now));
        }
        let from_consumer = match dice.u32(0..8) {
            0 => Some(ack(dice.u32(0..300_000))),
            // The window is open again, or nearly.
            1 => {
                let outstanding = ways[1].engine.observed().1.at(side(true)).flow().outstanding();
                let kept = [0, 0, 15_000, 150_000][dice.usize(0..4)];
                Some(ack(u32::try_from(outstanding.saturating_sub(kept)).expect("it is little")))
            }
            2 => Some(dcp::response(Opcode::DCP_MUTATION, Status::KEY_ENOENT, Opaque([0, 0, 1, 1])).build()),
            3 => {
                // The stream is requested again: what it has brought comes anew.
                let at = dice.usize(0..3);
                let stream = &mut producer.streams[at];
                stream.again(dice.u64(0..300), Opaque([0, 1, round, stream.vbucket as u8]));
                for (is_consumer, bytes) in stream_req(stream.vbucket, stream.opaque) {
                    ways.iter_mut().for_each(|way| way.feed(side(is_consumer), &bytes, now));
                }
                None
            }
            4 => {
                let paused = dice.bool();
                ways.iter_mut().for_each(|way| way.engine.paused(side(false), paused, now));
                ways.iter_mut().for_each(Way::drain);
                now = now + std::time::Duration::from_secs(dice.u64(0..9));
                None
            }
            5 => {
                now = now + std::time::Duration::from_secs(dice.u64(0..400));
                ways.iter_mut().for_each(|way| way.engine.wakeup(now));
                ways.iter_mut().for_each(Way::drain);
                None
            }
            _ => None,
        };
        if let Some(bytes) = from_consumer {
            ways.iter_mut().for_each(|way| way.feed(side(true), &bytes, now));
        }
        let [at_once, one_by_one] = &mut ways;
        assert!(at_once.to == one_by_one.to, "seed {seed}, round {round}: other bytes went on");
        if round % 3 < 2 {
            continue;
        }
        let (known, model) = (at_once.known(), one_by_one.known());
        assert!(known == model, "seed {seed}, round {round}: {}", difference(&known, &model));
    }
    let eyes = ways[0].engine.observer();
    (eyes.told_at_once, eyes.told + eyes.told_at_once)
}

fn ack(bytes_to_ack: u32) -> Bytes {
    dcp::BufferAck { bytes_to_ack }.request(Opaque([4; 4])).build()
}

/// Where two texts begin to differ.
fn difference(found: &str, expected: &str) -> String {
    let at = found.bytes().zip(expected.bytes()).take_while(|(a, b)| a == b).count();
    let around = |text: &str| {
        let bytes = &text.as_bytes()[at.saturating_sub(300)..text.len().min(at + 200)];
        String::from_utf8_lossy(bytes).into_owned()
    };
    format!("one by one it is\n{}\nand at once\n{}", around(expected), around(found))
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn nobody_can_tell_at_once_from_one_by_one() {
    let first = number("DCPROXY_FIRST_SEED", 0);
    let (mut at_once, mut all) = (0, 0);
    for seed in first..first + number("DCPROXY_SEEDS", 16) {
        let (plan, is_armed) = plan_of(seed);
        let told = run(seed, &plan, is_armed);
        (at_once, all) = (at_once + told.0, all + told.1);
    }
    assert!(at_once * 7 > all, "little was told at once, {at_once} of {all} entries");
}

/// What came of its first step is still counted while its second waits.
fn counts_on() -> Plan {
    armed(
        "when = { filter = \"dcp.opcode == DCP_MUTATION\", nth = 20, within = \"1h\" }\ndo = { drop = {} }\nexpect = { progress = { messages = 2000, within = \"1h\" } }\n[[steps]]\nname = 't'\nwhen = { filter = \"dcp.vbucket == 900\", within = \"1h\" }\ndo = { drop = {} }",
    )
}

#[test]
fn who_rests_while_nothing_concerns_it_misses_no_step() {
    let first = number("DCPROXY_FIRST_SEED", 0);
    for seed in first..first + number("DCPROXY_SEEDS", 3) {
        let all = Scenario::built_in().into_iter().map(|(scenario, _)| scenario).chain(counts_on().scenarios);
        for (at, scenario) in all.enumerate() {
            // Those that wait for what seldom comes wait longest.
            let messages = if seed % 3 == 0 { [Opcode::DCP_DELETION].into() } else { MESSAGES.into() };
            let plan = Plan { scenarios: vec![scenario], messages, seed, ..plan() };
            run(seed * 1_000 + at as u64, &plan, true);
        }
    }
}
