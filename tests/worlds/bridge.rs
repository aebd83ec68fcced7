//! Two embedded nodes of each era, bridged in simulated time: the consumer node's own orphaned responses come with the
//! statuses of its era, and the producer node keeps or closes the connection as its era does (real-servers.md §3, §5).

use std::collections::BTreeSet;
use std::time::Duration;

use dcproxy::bridge;
use dcproxy::bridge::Bridge;
use dcproxy::bridge::Progress;
use dcproxy::engine::Engine;
use dcproxy::era::Era;
use dcproxy::journal::Side;
use dcproxy::node::Config;
use dcproxy::node::Node;
use dcproxy::node::Quirk;
use dcproxy::report::Connection;
use dcproxy::report::OrphanOrigin;
use dcproxy::scenario::MESSAGES;
use dcproxy::scenario::Plan;
use dcproxy::scenario::Runner;
use dcproxy::scenario::Scenario;
use dcproxy::scenario::judge::Judge;
use dcproxy::verdict;
use dcproxy::verdict::Verdict;

use crate::simulation::dice::Dice;
use crate::simulation::ends::Server;
use crate::simulation::world::Manner;
use crate::simulation::world::START;
use crate::simulation::world::World;

fn config(era: Era, seed: u64, items: u64, quirk: Option<Quirk>) -> Config {
    Config { era, seed, items, interval: None, quirks: BTreeSet::from_iter(quirk), ..Config::default() }
}

fn bridged(scenario: &str, producer: Era, consumer: Era, quirk: Option<Quirk>) -> Connection {
    let mut dice = Dice::new(7);
    let manner =
        Manner { until: Duration::from_secs(300), cut: 1000, stall_once_in: 100_000, ..Manner::any(&mut dice) };
    let (from, to) = (config(producer, 5, 900, quirk), config(consumer, 9, 50, None));
    let end =
        |at: &str| bridge::End { at: at.to_owned(), login: Some((from.user.clone(), from.password.clone()).into()) };
    let joined = bridge::Config {
        producer: end("producer"),
        consumer: end("consumer"),
        bucket: from.bucket.clone(),
        vbuckets: (0..from.vbuckets).collect(),
        name: "bridge".to_owned(),
        consumer_name: "replica".to_owned(),
        nonce: "test".to_owned(),
        set_replica: true,
        until_caught_up: false,
    };
    let plan = Plan {
        scenarios: vec![Scenario::named(scenario).expect("it is in the catalogue")],
        messages: MESSAGES.into(),
        era: None,
        settle: Duration::from_secs(2),
        fatal_too: false,
        seed: 1,
    };
    let judge = Judge::new(plan.terms(verdict::Judge::Producer), 1, "consumer", "producer");
    let progress = Progress::default();
    let bridge = Bridge::new(joined, progress.clone(), Some(Box::new(Runner::new(plan, 1))));
    let mut world = World::new(Engine::new(Some(Box::new(bridge)), judge, 1), manner, dice);
    world.engine.wakeup(START);
    let (mut upstream, mut dialler) = (Server::new(&Node::new(from.clone())), Server::new(&Node::new(to)));
    world.run(&mut dialler, &mut upstream, |world| world.engine.is_settled() || world.is_over());
    assert_eq!(progress.failure(), None);
    assert!(progress.is_set_up());
    let (judge, sessions) = world.engine.observed();
    judge.judgement(sessions.at(Side::Upstream)).connection
}

fn told(connection: &Connection) -> String {
    let bad = connection.findings.iter().filter(|finding| finding.verdict != Verdict::Pass);
    let bad: Vec<_> = bad.map(|it| format!("\n  {} {}: {} / {}", it.verdict, it.id, it.expected, it.actual)).collect();
    let rows: Vec<_> = connection.matrix.iter().map(|row| format!("\n  {row:?}")).collect();
    format!("{}{}{}", connection.verdict, bad.concat(), rows.concat())
}

/// Whose orphaned responses came, with which statuses, and whether the producer closed.
fn came(connection: &Connection) -> (BTreeSet<String>, bool) {
    assert!(connection.orphans.iter().all(|orphan| orphan.origin == OrphanOrigin::Consumer), "{}", told(connection));
    let statuses = connection.orphans.iter().map(|orphan| orphan.status.clone()).collect();
    let closed = connection.findings.iter().any(|it| it.actual.starts_with("FIN") || it.actual.starts_with("RST"));
    (statuses, closed)
}

#[test]
fn each_eras_consumer_answers_with_its_own_statuses_and_its_producer_does_as_real_ones_did() {
    use Era::*;
    let rows = [
        (V6_0, V6_0, "KeyEnoent", true),
        (V2019_07, V2019_07, "KeyEnoent", false),
        (V6_5, V6_5, "KeyEnoent", true),
        (V6_6, V6_6, "KeyEnoent", true),
        (V7_0, V7_0, "DcpStreamNotFound", false),
        (Master, Master, "DcpStreamNotFound", false),
        // 6.5 does not agree to the status codes of 7.0.
        (V6_5, V7_0, "KeyEnoent", true),
        (V7_0, V6_5, "KeyEnoent", true),
    ];
    for (producer, consumer, status, closes) in rows {
        let connection = bridged("close-at-end", producer, consumer, None);
        let what = format!("{producer} to {consumer}: {}", told(&connection));
        let (statuses, closed) = came(&connection);
        assert!(statuses.contains(status), "{what}");
        assert_eq!(closed, closes, "{what}");
        assert_ne!(connection.verdict, Verdict::Fail, "{what}");
        assert!(closes || connection.verdict == Verdict::Pass, "{what}");
    }
}

#[test]
fn a_producer_with_mb_35287_fails_on_the_consumer_nodes_own_orphaned_responses() {
    let quirk = "mb-35287".parse::<Quirk>().expect("a quirk");
    for era in [Era::V2019_07, Era::V7_0, Era::Master] {
        let connection = bridged("close-at-end", era, era, Some(quirk));
        assert_eq!(connection.verdict, Verdict::Fail, "{era}: {}", told(&connection));
        assert!(came(&connection).1, "{era}: {}", told(&connection));
    }
}

/// Since 6.5 a consumer swallows what comes for a stream that it was told to close; before, it answers.
#[test]
fn closes_at_the_consumer_and_at_both_harm_nothing() {
    for scenario in ["close-at-consumer", "close-at-both", "close-and-readd", "orphaned-responses"] {
        for era in [Era::V2019_07, Era::V7_0] {
            let connection = bridged(scenario, era, era, None);
            assert_eq!(connection.verdict, Verdict::Pass, "{scenario} {era}: {}", told(&connection));
        }
    }
}
