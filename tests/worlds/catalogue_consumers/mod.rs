//! Every scenario that judges consumers, from its file, in simulated time: consumers without a quirk pass it in each era that
//! it is for, and the quirks that it names make it fail.

mod manager;

use std::collections::BTreeSet;
use std::time::Duration;

use dcproxy::engine::Engine;
use dcproxy::era::Era;
use dcproxy::journal::Side;
use dcproxy::node::Config;
use dcproxy::node::Node;
use dcproxy::node::Quirk;
use dcproxy::node::consumer::ClientConfig;
use dcproxy::node::consumer::check_client;
use dcproxy::node::consumer::check_node;
use dcproxy::report::Connection;
use dcproxy::scenario::MESSAGES;
use dcproxy::scenario::Plan;
use dcproxy::scenario::Runner;
use dcproxy::scenario::Scenario;
use dcproxy::scenario::judge::Judge;
use dcproxy::verdict;
use dcproxy::verdict::Verdict;

use crate::simulation::dice::Dice;
use crate::simulation::ends::Consumer;
use crate::simulation::ends::Server;
use crate::simulation::world::Manner;
use crate::simulation::world::Peer;
use crate::simulation::world::World;
use manager::Manager;

/// Who is the consumer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    /// A client that dials.
    Client,
    /// A node that a manager dials.
    Node,
}

/// Scenarios for one kind of consumer alone; all others are for both.
fn whose(name: &str) -> &'static [Who] {
    match name {
        "mb-47318"
        | "mb-34850"
        | "mb-34951"
        | "mb-42256"
        | "mb-69524"
        | "mb-41024"
        | "marker-in-flight"
        | "vbucket-state-in-flight"
        | "mb-17766"
        | "response-crosses-close" => &[Who::Node],
        "mb-64936"
        | "go-dcp-151"
        | "sync-gateway-5597"
        | "sync-gateway-969"
        | "kafka-connector-8"
        | "kafka-connector-11"
        | "java-dcp-client-10"
        | "consumer-rollback"
        | "consumer-stream-ends" => &[Who::Client],
        _ => &[Who::Client, Who::Node],
    }
}

fn scenarios() -> Vec<Scenario> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/scenarios");
    let mut all: Vec<Scenario> = std::fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).expect("a text"))
        .map(|text| Scenario::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}")))
        .filter(|scenario| scenario.judge == Some(verdict::Judge::Consumer))
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let only = std::env::var("DCPROXY_ONLY").unwrap_or_default();
    all.retain(|scenario| only.is_empty() || only.split(',').any(|name| name == scenario.name));
    all
}

fn client(scenario: &Scenario, node: &Config, quirk: Option<Quirk>) -> ClientConfig {
    let settings = &scenario.consumer;
    let mut config = ClientConfig::new(node.era, 0..node.vbuckets);
    config.login = Some((node.user.clone(), node.password.clone()).into());
    config.quirks = BTreeSet::from_iter(quirk);
    config.sync_writes = settings.sync_writes.unwrap_or(config.sync_writes);
    config.stream_ids = settings.stream_ids.unwrap_or(config.stream_ids);
    config.more_controls.extend(settings.controls.clone());
    config
}

fn run(scenario: &Scenario, who: Who, era: Era, quirk: Option<Quirk>) -> Connection {
    let mut dice = Dice::new(7);
    let manner =
        Manner { until: Duration::from_secs(300), cut: 1000, stall_once_in: 100_000, ..Manner::any(&mut dice) };
    let items = if scenario.name == "kafka-connector-8" { 3000 } else { 600 };
    // Data that comes to an end, so that a consumer can be seen to have given back all of it.
    let config = Config { era, seed: 5, vbuckets: 4, items, interval: None, ..Config::default() };
    let of_node = quirk.filter(|_| who == Who::Node);
    // A node that is to be told has nothing of its own.
    let items = if who == Who::Node { 0 } else { items };
    let node = Node::new(Config { quirks: BTreeSet::from_iter(of_node), items, ..config.clone() });
    let plan = Plan {
        scenarios: vec![scenario.clone()],
        messages: MESSAGES.into(),
        era: Some(era),
        settle: scenario.settle.map_or(Duration::from_secs(2), |settle| settle.0),
        fatal_too: false,
        seed: 1,
    };
    let whose = verdict::Judge::Consumer;
    let judge = Judge::new(plan.terms(whose), 1, "dialler", "upstream");
    let runner = Runner::new(plan, 1).judging(whose);
    let mut world = World::new(Engine::new(Some(Box::new(runner)), judge, 1), manner, dice);
    let mut upstream = Server::new(&node);
    let mut dialler: Box<dyn Peer> = match who {
        Who::Client => Box::new(Consumer::new(client(scenario, &config, quirk))),
        Who::Node => Box::new(Manager::new(&Node::new(config), era)),
    };
    world.run(&mut *dialler, &mut upstream, |world| world.engine.is_settled() || world.is_over());
    let (judge, sessions) = world.engine.observed();
    judge.judgement(sessions.at(Side::Upstream)).connection
}

fn told(connection: &Connection) -> String {
    let found = connection.findings.iter().chain(&connection.notes).filter(|finding| finding.verdict != Verdict::Pass);
    let found: Vec<_> = found
        .map(|finding| format!("\n    {} {}: {} / {}", finding.verdict, finding.id, finding.expected, finding.actual))
        .collect();
    let steps: Vec<_> = connection.steps.iter().map(|step| format!("{} x{}", step.step, step.fired)).collect();
    format!("{} after {}{}", connection.verdict, steps.join(", "), found.concat())
}

#[test]
fn consumers_without_a_quirk_pass_every_scenario_of_their_era() {
    let mut wrong = Vec::new();
    for scenario in scenarios() {
        for &who in whose(&scenario.name) {
            for era in Era::ALL.into_iter().filter(|&era| scenario.is_for(era)) {
                let connection = run(&scenario, who, era, None);
                if connection.verdict != Verdict::Pass {
                    wrong.push(format!("{} {who:?} {era}: {}", scenario.name, told(&connection)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn each_quirk_fails_the_scenarios_that_name_it() {
    let mut wrong = Vec::new();
    for scenario in scenarios() {
        for name in &scenario.quirks {
            let quirk: Quirk = name.parse().expect("a quirk");
            let mut tried = 0;
            for &who in whose(&scenario.name) {
                let fits = if who == Who::Client { check_client(quirk) } else { check_node(quirk) };
                let Some(era) = Era::ALL.into_iter().rev().find(|&era| scenario.is_for(era)).filter(|_| fits.is_ok())
                else {
                    continue;
                };
                tried += 1;
                let connection = run(&scenario, who, era, Some(quirk));
                let own = format!("{}/", scenario.name);
                let ids: Vec<_> = connection
                    .findings
                    .iter()
                    .filter(|finding| finding.verdict == Verdict::Fail)
                    .map(|finding| finding.id.clone())
                    .filter(|id| id.starts_with(&own) || id == quirk.about().finding)
                    .collect();
                println!("{} | {who:?} {era} | {quirk} | {}", scenario.name, ids.join(", "));
                if connection.verdict != Verdict::Fail || ids.is_empty() {
                    wrong.push(format!("{} {who:?} {era} with {quirk}: {}", scenario.name, told(&connection)));
                }
            }
            assert!(tried > 0, "{} with {quirk}", scenario.name);
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// A scenario for consumers that is forgotten here is one that nobody has seen fail.
#[test]
fn every_quirk_of_a_consumer_has_its_scenario() {
    let all = scenarios();
    for quirk in Quirk::ALL.into_iter().filter(|quirk| quirk.about().role == dcproxy::node::Role::Consumer) {
        let scenario = all.iter().find(|scenario| scenario.name == quirk.about().scenario);
        assert!(scenario.is_some_and(|scenario| scenario.quirks.contains(&quirk.to_string())), "{quirk}");
    }
}
