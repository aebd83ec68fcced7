//! What each capture comes to.

use std::collections::BTreeSet;

use dcproxy::journal::Role;
use dcproxy::node::Config;
use dcproxy::node::Connection;
use dcproxy::node::Node;
use dcproxy::node::Quirk;
use dcproxy::replay::Credentials;
use dcproxy::replay::Ensemble;
use dcproxy::replay::Options;
use dcproxy::replay::Player;
use dcproxy::replay::Recording;
use dcproxy::replay::Speed;
use dcproxy::report::Report;
use dcproxy::scenario::MESSAGES;
use dcproxy::scenario::Plan;
use dcproxy::verdict::Judge;
use dcproxy::verdict::Verdict;

use super::world::*;

/// Connections of a capture that are played in CI.
const MOST: usize = 2;

fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .expect("captures/ is part of the project")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("plain names"))
        .filter(|name| name.contains(".pcap"))
        .filter(|name| std::env::var("DCPROXY_TEST_CAPTURE").map_or(true, |only| name.contains(&only)))
        .collect();
    names.sort();
    names
}

fn options() -> Options {
    let login = Config::default();
    Options {
        speed: Speed::Max,
        credentials: Some(Credentials { user: login.user, password: login.password }),
        ..Options::default()
    }
}

/// The connections of a capture that are played, for one end.
fn recording(name: &str, role: Role) -> Recording {
    let all = record(name, role, None);
    let wanted = some(&all, MOST);
    if wanted.len() == all.scripts.len() { all } else { record(name, role, Some(&wanted)) }
}

/// The node that a capture's producer is replayed by, by the capture's name.
fn node(name: &str, quirks: impl IntoIterator<Item = Quirk>) -> Config {
    let producer = name.split_once("producer-").map_or(name, |(_, rest)| rest);
    let release = ["2019-07", "6.5.0", "7.0.5"].into_iter().filter_map(|it| Some((producer.find(it)?, it))).min();
    let era = match release {
        Some((_, "6.5.0")) => "6.5",
        Some((_, "7.0.5")) => "7.0",
        _ => "2019-07",
    };
    Config {
        era: era.parse().expect("an era"),
        vbuckets: 16,
        items: 1000,
        quirks: quirks.into_iter().collect::<BTreeSet<_>>(),
        ..Config::default()
    }
}

/// Whether the capture's producer has MB-35287.
fn is_before(name: &str) -> bool {
    name.split_once("producer-").map_or(name, |(_, rest)| rest).contains("2019-07-before")
}

/// The recorded consumers of a capture, against a node.
fn against_a_node(name: &str, config: Config, diff: bool) -> Report {
    let plan = Plan {
        scenarios: Vec::new(),
        messages: MESSAGES.into(),
        era: Some(config.era),
        settle: options().settle,
        fatal_too: false,
        seed: 1,
    };
    let node = Node::new(config);
    let mut ensemble =
        Ensemble::new(recording(name, Role::Consumer), Role::Consumer, options(), plan, Judge::Producer, diff);
    while let Some(mut stage) = ensemble.begin("consumer", "producer", START) {
        let mut producer = Plain(Connection::new(&node, START));
        run(&mut stage, &mut producer);
        ensemble.finished(stage);
    }
    ensemble.report()
}

#[test]
fn try_node() {
    for name in names() {
        let quirks = if is_before(&name) { vec![Quirk::Mb35287] } else { vec![] };
        for (quirks, diff) in [(quirks, true), (vec![Quirk::Mb35287], true)] {
            let report = against_a_node(&name, node(&name, quirks.clone()), diff);
            if std::env::var_os("V").is_some() { for c in &report.connections { for f in &c.findings { if f.verdict != Verdict::Pass { eprintln!("  {} {} | {} | {}", c.id, f.id, f.expected, f.actual); } } } }
            let ids: BTreeSet<String> = report
                .connections
                .iter()
                .flat_map(|c| c.findings.iter().filter(|f| f.verdict != Verdict::Pass).map(move |f| format!("{}:{}", f.id, c.id)))
                .collect();
            eprintln!("{name} {quirks:?} {} {} {:?}", report.connections.len(), report.verdict, ids.iter().take(40).collect::<Vec<_>>());
        }
    }
}

#[test]
fn both_ends_of_a_recording_play_together() {
    for name in names() {
        let producers = recording(&name, Role::Producer);
        let consumers = recording(&name, Role::Consumer);
        assert_eq!(producers.scripts.len(), consumers.scripts.len(), "{name}");
        for (producer, consumer) in producers.scripts.iter().zip(&consumers.scripts) {
            let mut one = Player::new(&consumers, consumer.clone(), Role::Consumer, Options { credentials: None, ..options() }, START);
            let mut two = Player::new(&producers, producer.clone(), Role::Producer, Options { credentials: None, ..options() }, START);
            run(&mut one, &mut two);
            for (who, player) in [("consumer", &one), ("producer", &two)] {
                let findings = player.findings(true);
                let wrong: Vec<_> = findings.iter().filter(|finding| finding.verdict != Verdict::Pass).collect();
                assert!(wrong.is_empty(), "{name}, connection {} as {who}: {wrong:#?}", producer.number);
            }
        }
    }
}
