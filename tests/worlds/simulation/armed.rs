//! The scenario `orphaned-responses`, armed at any moment of a connection on which data flows: the verdict is what the scenario
//! gives from the beginning, and both ends live on when it is disarmed in its course.

use std::collections::BTreeSet;
use std::time::Duration;

use dcproxy::engine::Engine;
use dcproxy::era::Era;
use dcproxy::journal::{Direction, Side};
use dcproxy::node::consumer::ClientConfig;
use dcproxy::node::{Config, Node, Quirk};
use dcproxy::report::Connection;
use dcproxy::scenario::judge::Judge;
use dcproxy::scenario::{Course, MESSAGES, Plan, Runner, Scenario};
use dcproxy::toxic::{Kind, Stream, Toxic, dcp};
use dcproxy::verdict;
use dcproxy::verdict::Verdict;

use super::dice::{Dice, seeds};
use super::ends::{Consumer, Server};
use super::world::{Manner, START, World};

const ITEMS: u64 = 600;

struct Run {
    world: World<Judge>,
    consumer: Consumer,
    server: Server,
    dice: Dice,
}

/// An end node and a consumer, and nothing armed between them.
fn begin(seed: u64, era: Era, quirk: Option<Quirk>, judge: verdict::Judge) -> Run {
    let mut dice = Dice::new(seed);
    let manner =
        Manner { until: Duration::from_secs(120), cut: *dice.pick(&[24, 100, 1000, 8192]), ..Manner::any(&mut dice) };
    let quirks = BTreeSet::from_iter(quirk);
    let node = Node::new(Config { era, seed: dice.next(), vbuckets: 3, items: ITEMS, quirks, ..Config::default() });
    let config = node.config();
    let login = Some((config.user.clone(), config.password.clone()).into());
    let server = Server::new(&node);
    let consumer = Consumer::new(ClientConfig {
        login,
        window: *dice.pick(&[64 << 10, 64 << 10, 4 << 20]),
        ..ClientConfig::new(era, 0..3)
    });
    let plan = Plan {
        scenarios: Vec::new(),
        messages: MESSAGES.into(),
        era: dice.once_in(2).then_some(era),
        settle: Duration::from_secs(2),
        fatal_too: false,
        seed: dice.next(),
    };
    let watcher = Judge::new(plan.terms(judge), 1, "consumer", "producer");
    let engine = Engine::new(Some(Box::new(Runner::new(plan, 1).judging(judge))), watcher, seed);
    Run { world: World::new(engine, manner, dice.clone()), consumer, server, dice }
}

impl Run {
    /// Goes on until the producer has said so many frames.
    fn until_frames(&mut self, frames: u64) {
        let said = |run: &mut Self| run.world.engine.observed().1.at(Side::Upstream).frames(Direction::From);
        while said(self) < frames {
            let moves = self.world.moves + 20;
            let went = self.world.run(&mut self.consumer, &mut self.server, |world| world.moves >= moves);
            assert!(went && self.world.moves >= moves, "the connection says no more");
        }
    }

    fn arm(&mut self, courses: Vec<Course>, expected_by: bool) {
        let now = self.world.now;
        let engine = &mut self.world.engine;
        if expected_by {
            let (judge, sessions) = engine.observed();
            courses.iter().for_each(|course| judge.expect(&course.expected, sessions));
        }
        let runner = engine.stepper().and_then(|stepper| stepper.downcast_mut::<Runner>()).expect("a runner");
        runner.wanted(courses);
        engine.wakeup(now);
    }

    /// Goes on for a while.
    fn for_a_while(&mut self, span: Duration) {
        let until = self.world.now + span;
        self.world.run(&mut self.consumer, &mut self.server, |world| world.now >= until);
    }

    /// Tells all to settle, and waits for it; tells whether it has.
    fn settle(&mut self) -> bool {
        let now = self.world.now;
        self.world.engine.settle(now);
        self.world.run(&mut self.consumer, &mut self.server, |world| world.engine.is_settled() || world.is_over());
        self.world.engine.is_settled()
    }

    fn judged(&mut self) -> Connection {
        let (judge, sessions) = self.world.engine.observed();
        judge.judgement(sessions.at(Side::Upstream)).connection
    }

    fn violations(&self) -> Vec<String> {
        self.consumer.client.violations().iter().map(|violation| violation.what.clone()).collect()
    }
}

fn scenario() -> Vec<Course> {
    vec![Course::of(&Scenario::named("orphaned-responses").expect("built in"), 1)]
}

/// As a proxy would: whoever asks for a verdict gives what is armed some time.
fn run(seed: u64, era: Era, quirk: Option<Quirk>) -> Run {
    let judge = if quirk.is_none() { verdict::Judge::Both } else { verdict::Judge::Producer };
    let mut run = begin(seed, era, quirk, judge);
    // The set-up takes some forty frames; all that there is comes in some two thousand.
    let frames = run.dice.of(30..400);
    run.until_frames(frames);
    run.arm(scenario(), true);
    run.for_a_while(Duration::from_secs(15));
    run
}

fn said(connection: &Connection) -> Vec<String> {
    let said = connection.findings.iter().filter(|finding| finding.verdict != Verdict::Pass);
    said.map(|finding| format!("{:?} {}: {} / {}", finding.verdict, finding.id, finding.expected, finding.actual))
        .collect()
}

#[test]
fn without_a_quirk_it_passes_whenever_it_was_armed() {
    for (seed, era) in seeds(12).zip(Era::ALL.into_iter().cycle()) {
        let mut run = run(seed, era, None);
        assert!(run.settle(), "seed {seed}, {era}: not settled");
        let connection = run.judged();
        assert_eq!(connection.verdict, Verdict::Pass, "seed {seed}, {era}: {:#?}", said(&connection));
        assert_eq!(run.violations(), [""; 0], "seed {seed}, {era}: the consumer was harmed");
    }
}

#[test]
fn with_a_quirk_it_fails_with_the_finding_that_the_scenario_gives() {
    let quirks = [
        Quirk::Mb35287,
        Quirk::Mb32724,
        Quirk::Mb37009,
        Quirk::Mb40934,
        Quirk::LateDisconnect,
        Quirk::OrphanAfterEnd,
        Quirk::Mb18625,
        Quirk::RepeatAfterOrphan,
        Quirk::StallAfterOrphan,
        Quirk::LeakWindow,
    ];
    for (seed, quirk) in seeds(10).zip(quirks.into_iter().cycle()) {
        let mut run = run(seed, Era::V7_0, Some(quirk));
        run.settle();
        let connection = run.judged();
        let id = quirk.about().finding;
        let found = connection.findings.iter().any(|finding| finding.id == id && finding.verdict == Verdict::Fail);
        assert!(found, "seed {seed}, {quirk}: {:#?}", said(&connection));
        assert_eq!(connection.verdict, Verdict::Fail);
    }
}

#[test]
fn a_close_that_is_called_off_at_any_moment_leaves_both_ends_alive() {
    for (seed, era) in seeds(12).zip(Era::ALL.into_iter().cycle()) {
        let mut run = begin(seed, era, None, verdict::Judge::Producer);
        let frames = run.dice.of(30..400);
        run.until_frames(frames);
        let attributes = serde_json::Map::new();
        let step = dcp::read("dcp_close_stream", &attributes).expect("it has no settings that must be said");
        let kind = Kind::Dcp(Box::new(step));
        let toxic = Toxic { name: "close".to_owned(), stream: Stream::Downstream, toxicity: 1.0, kind };
        run.arm(toxic.course(1).into_iter().collect(), false);
        let span = Duration::from_micros(run.dice.of(0..2_000_000));
        run.for_a_while(span);
        run.arm(Vec::new(), false);
        run.for_a_while(Duration::from_secs(15));
        assert!(!run.world.is_over(), "seed {seed}, {era}: closed");
        assert_eq!(run.violations(), [""; 0], "seed {seed}, {era}: the consumer was harmed");
        let (_, sessions) = run.world.engine.observed();
        for vbucket in 0..3 {
            let at = |edge| {
                let stream = sessions.at(edge).streams().iter().find(|stream| stream.key.vbucket == vbucket);
                stream.map(|stream| (stream.opaque, stream.state.is_live(), stream.last_seqno))
            };
            let ends = (at(Side::Dialler), at(Side::Upstream));
            assert_eq!(ends.0, ends.1, "seed {seed}, {era}: both know the same stream of vbucket {vbucket}");
            assert!(ends.0.is_some_and(|(_, live, _)| live), "seed {seed}, {era}: it goes on");
        }
        assert!(run.world.now > START);
        let connection = run.judged();
        assert_ne!(connection.verdict, Verdict::Fail, "seed {seed}, {era}: {:#?}", said(&connection));
    }
}
