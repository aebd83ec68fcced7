//! The scenario `orphaned-responses` between the embedded node and the project's own consumer: the verdict is right for
//! every era without a quirk and for each quirk, however the bytes are cut and whoever is slow.

use std::collections::BTreeSet;
use std::time::Duration;

use dcproxy::engine::Engine;
use dcproxy::engine::Gate;
use dcproxy::engine::Standing;
use dcproxy::era::Era;
use dcproxy::journal::How;
use dcproxy::journal::Side;
use dcproxy::node::Config;
use dcproxy::node::Node;
use dcproxy::node::Quirk;
use dcproxy::node::consumer::ClientConfig;
use dcproxy::report::Connection;
use dcproxy::scenario::MESSAGES;
use dcproxy::scenario::Plan;
use dcproxy::scenario::Runner;
use dcproxy::scenario::Scenario;
use dcproxy::scenario::judge::Judge;
use dcproxy::verdict;
use dcproxy::verdict::Verdict;

use super::dice::Dice;
use super::dice::seeds;
use super::ends::Consumer;
use super::ends::Leaver;
use super::ends::Server;
use super::world::Manner;
use super::world::START;
use super::world::World;

#[derive(Debug)]
struct Run {
    connection: Connection,
    violations: Vec<String>,
    settled: bool,
    /// Whether an end went away before all was settled.
    left: bool,
    in_time: bool,
}

/// Who goes away in the middle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Leaves {
    Nobody,
    Consumer,
    Producer,
}

fn run(seed: u64, era: Era, quirk: Option<Quirk>, leaves: Leaves) -> Run {
    run_behind(&[], seed, era, quirk, leaves)
}

/// As [`run`], with these gates before both ends.
fn run_behind(gates: &[Gate], seed: u64, era: Era, quirk: Option<Quirk>, leaves: Leaves) -> Run {
    let mut dice = Dice::new(seed);
    let manner = Manner { until: Duration::from_secs(120), ..Manner::any(&mut dice) };
    let node = Node::new(Config {
        era,
        seed: dice.next(),
        vbuckets: 3,
        items: 600,
        quirks: BTreeSet::from_iter(quirk),
        ..Config::default()
    });
    let config = node.config();
    let login = Some((config.user.clone(), config.password.clone()).into());
    // The whole run takes some three to twelve seconds.
    let at = START + Duration::from_micros(dice.of(1..4_000_000));
    let how = *dice.pick(&[How::Fin, How::Reset]);
    let never = START + Duration::from_secs(3600);
    let server = Server::new(&node);
    let consumer = Consumer::new(ClientConfig {
        login,
        window: *dice.pick(&[64 << 10, 64 << 10, 4 << 20]),
        ..ClientConfig::new(era, 0..3)
    });
    let mut server = Leaver::new(server, if leaves == Leaves::Producer { at } else { never }, how);
    let mut consumer = Leaver::new(consumer, if leaves == Leaves::Consumer { at } else { never }, how);
    let plan = Plan {
        scenarios: vec![Scenario::named("orphaned-responses").expect("it is built in")],
        messages: MESSAGES.into(),
        era: Some(era),
        settle: Duration::from_secs(2),
        fatal_too: false,
        seed: dice.next(),
    };
    // Where nothing is wrong, nothing may be said of the consumer either.
    let whose = match (quirk, leaves) {
        (None, Leaves::Nobody) => verdict::Judge::Both,
        _ => verdict::Judge::Producer,
    };
    let terms = plan.terms(whose);
    let judge = Judge::new(terms, 1, "consumer", "producer");
    let mut engine = Engine::new(Some(Box::new(Runner::new(plan, 1))), judge, seed);
    let standing = |(at, gate): (usize, &Gate)| Standing { name: at.to_string(), seed, gate: gate.clone() };
    let gates: Vec<_> = gates.iter().enumerate().map(standing).collect();
    for to in [Side::Dialler, Side::Upstream] {
        engine.gates(to, &gates, START);
    }
    let mut world = World::new(engine, manner, dice);
    let in_time = world.run(&mut consumer, &mut server, |world| world.engine.is_settled() || world.is_over());
    let settled = world.engine.is_settled();
    let (judge, sessions) = world.engine.observed();
    let connection = judge.judgement(sessions.at(Side::Upstream)).connection;
    let violations = consumer.end.client.violations().iter().map(|violation| violation.what.clone()).collect();
    Run { connection, violations, settled, left: server.left || consumer.left, in_time }
}

fn failed(connection: &Connection) -> Vec<String> {
    let said = connection.findings.iter().filter(|finding| finding.verdict != Verdict::Pass);
    said.map(|finding| format!("{:?} {}: {} / {}", finding.verdict, finding.id, finding.expected, finding.actual))
        .collect()
}

#[test]
fn without_a_quirk_there_is_no_false_alarm() {
    for (seed, era) in seeds(48).zip(Era::ALL.into_iter().cycle()) {
        let run = run(seed, era, None, Leaves::Nobody);
        assert!(run.in_time && run.settled, "seed {seed}, {era}: not settled in time");
        assert_eq!(run.connection.verdict, Verdict::Pass, "seed {seed}, {era}: {:#?}", failed(&run.connection));
        assert_eq!(run.violations, [""; 0], "seed {seed}, {era}: the consumer was harmed");
    }
}

#[test]
fn each_quirk_is_caught_by_its_finding() {
    let quirks = Quirk::ALL.into_iter().filter(|quirk| quirk.about().scenario == "orphaned-responses");
    for (seed, quirk) in seeds(54).zip(quirks.cycle()) {
        let run = run(seed, Era::V7_0, Some(quirk), Leaves::Nobody);
        let found = run
            .connection
            .findings
            .iter()
            .any(|finding| finding.id == quirk.about().finding && finding.verdict == Verdict::Fail);
        assert!(run.in_time, "seed {seed}, {quirk}: not over in time");
        assert_eq!(run.connection.verdict, Verdict::Fail, "seed {seed}, {quirk}: {:#?}", failed(&run.connection));
        assert!(found, "seed {seed}, {quirk}: {:#?}", failed(&run.connection));
    }
}

/// Toxics of the API make a connection late or slow; neither is the producer's doing, nor does it hide what the producer does.
#[test]
fn behind_latency_and_low_bandwidth_the_verdict_stays_right() {
    let ms = Duration::from_millis;
    let late = Gate::Latency { latency: ms(200), jitter: ms(50) };
    let slow = Gate::Bandwidth { rate: 100_000 };
    let sliced = Gate::Slicer { average_size: 500, size_variation: 100, delay: Duration::from_micros(100) };
    let all = [vec![late.clone()], vec![slow.clone()], vec![sliced], vec![slow, late]];
    for (seed, gates) in seeds(8).zip(all.iter().cycle()) {
        let era = Era::ALL[usize::try_from(seed).expect("it is small") / all.len() % Era::ALL.len()];
        let run = run_behind(gates, seed, era, None, Leaves::Nobody);
        assert!(run.in_time && run.settled, "seed {seed}, {era}, {gates:?}: not settled in time");
        let failed = failed(&run.connection);
        assert_eq!(run.connection.verdict, Verdict::Pass, "seed {seed}, {era}, {gates:?}: {failed:#?}");
        assert_eq!(run.violations, [""; 0], "seed {seed}, {era}, {gates:?}: the consumer was harmed");
        let run = run_behind(gates, seed, Era::V7_0, Some(Quirk::Mb35287), Leaves::Nobody);
        let failed = self::failed(&run.connection);
        assert_eq!(run.connection.verdict, Verdict::Fail, "seed {seed}, mb-35287, {gates:?}: {failed:#?}");
    }
}

/// Quirks that no orphaned response provokes, but that every stream shows.
#[test]
fn a_quirk_that_shows_by_itself_is_caught_by_the_rule_that_it_names() {
    for (seed, quirk) in seeds(6).zip([Quirk::Mb50543, Quirk::Mb51105].into_iter().cycle()) {
        let run = run(seed, Era::V7_0, Some(quirk), Leaves::Nobody);
        let found = run
            .connection
            .findings
            .iter()
            .any(|finding| finding.id == quirk.about().finding && finding.verdict == Verdict::Fail);
        assert!(run.in_time, "seed {seed}, {quirk}: not over in time");
        assert!(found, "seed {seed}, {quirk}: {:#?}", failed(&run.connection));
    }
}

#[test]
fn a_consumer_that_goes_away_is_not_the_producers_fault() {
    let mut cut_short = 0;
    for (seed, era) in seeds(48).zip(Era::ALL.into_iter().cycle()) {
        let run = run(seed, era, None, Leaves::Consumer);
        assert!(run.in_time, "seed {seed}, {era}: not over in time");
        assert_ne!(run.connection.verdict, Verdict::Fail, "seed {seed}, {era}: {:#?}", failed(&run.connection));
        cut_short += u32::from(run.left);
    }
    assert!(cut_short > 10, "only {cut_short} runs were cut short");
}

/// L7: what was not seen to the end is no pass.
#[test]
fn a_producer_that_goes_away_in_the_middle_does_not_pass() {
    let mut cut_short = 0;
    for (seed, era) in seeds(48).zip(Era::ALL.into_iter().cycle()) {
        let run = run(seed, era, None, Leaves::Producer);
        assert!(run.in_time, "seed {seed}, {era}: not over in time");
        assert!(
            !run.left || run.connection.verdict != Verdict::Pass,
            "seed {seed}, {era}: {:?} {:#?}",
            run.connection.matrix,
            run.connection.findings.iter().map(|finding| (&finding.id, &finding.actual)).collect::<Vec<_>>()
        );
        cut_short += u32::from(run.left);
    }
    assert!(cut_short > 10, "only {cut_short} runs were cut short");
}
