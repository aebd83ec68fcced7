//! What each capture comes to.

use std::collections::BTreeSet;

use dcproxy::journal::Role;
use dcproxy::node::Config;
use dcproxy::node::Node;
use dcproxy::node::Quirk;
use dcproxy::node::consumer::Client;
use dcproxy::node::consumer::ClientConfig;
use dcproxy::replay::Ensemble;
use dcproxy::replay::Options;
use dcproxy::replay::Player;
use dcproxy::replay::Recording;
use dcproxy::replay::Speed;
use dcproxy::report::Connection;
use dcproxy::report::Report;
use dcproxy::scenario::MESSAGES;
use dcproxy::scenario::Plan;
use dcproxy::verdict::Judge;
use dcproxy::verdict::Verdict;

use super::world::*;

/// Connections of a truth table that are played in CI.
const MOST: usize = 2;

/// Connections whose replayed consumer an embedded producer does not follow, and why. One that begins to work fails the
/// test, as one that no longer does.
const EXEMPT: &[(&str, std::ops::RangeInclusive<u32>, &str)] = &[
    ("formats.2019-07-after.pcap", 10..=10, STREAM_IDS),
    ("formats.2019-07-after.pcap", 11..=11, FILTERED),
    ("formats.6.5.0.pcap", 11..=11, STREAM_IDS),
    ("formats.6.5.0.pcap", 12..=12, FILTERED),
    ("everything.2019-07-after.pcap.gz", 6..=6, STATE),
    ("everything.6.5.0.pcap.gz", 6..=6, STATE),
    ("everything.7.0.5.pcap.gz", 6..=6, STATE),
    ("everything.7.0.5.pcap.gz", 20..=20, STRAY),
    ("truth-table.2019-07-after.pcap.gz", 57..=70, EXPIRATIONS),
    ("truth-table.2019-07-before.pcap.gz", 6..=8, STRICTER),
    ("truth-table.2019-07-before.pcap.gz", 34..=36, STRICTER),
    ("truth-table.2019-07-before.pcap.gz", 48..=50, STRICTER),
    ("truth-table.2019-07-before.pcap.gz", 57..=70, EXPIRATIONS),
    ("truth-table.6.5.0.pcap.gz", 57..=70, EXPIRATIONS),
    ("truth-table.6.5.0.pcap.gz", 266..=266, ENDS),
];
const STRAY: &str = "the recorded producer counts a stray response to a marker, and never ends the takeover (real-servers.md §5; quirk \
     stray-marker-ack); the embedded one ends it";
const ENDS: &str =
    "the recording ends before its producer, which is mute after a fatal response, gets to closing the connection";
const STREAM_IDS: &str =
    "the recorded producer takes the control enable_stream_id beside sync writes, the embedded one refuses it";
const FILTERED: &str =
    "the recorded producer grants filtered streams beside sync writes, the embedded one refuses them";
const STATE: &str = "another connection, which is none of DCP, changes the state of vbucket 5: that ends its stream";
const STRICTER: &str = "the recorded producer bears statuses at which the fixed one closes; the embedded one is the fixed one with the quirk";
const EXPIRATIONS: &str =
    "the recorded producer sends EXPIRATION without the open flag 0x20, the embedded one deletions in their place";

/// Captures in which the quirk `mb-35287` shows nothing, and why.
const SHOWS_NOTHING: &[(&str, &str)] = &[
    ("bridged-close-at-both-natural.2019-07-after.pcap.gz", SWALLOWS),
    ("bridged-close-at-both.2019-07-after.pcap", SWALLOWS),
    ("bridged-close-at-both.2019-07-before.pcap", SWALLOWS),
    ("bridged-close-at-both.6.5.0.pcap", SWALLOWS),
    ("bridged-close-at-both.7.0.5-v7off.pcap", SWALLOWS),
    ("bridged-close-at-both.7.0.5-v7on.pcap", SWALLOWS),
    ("bridged-close-at-both.producer-6.5.0_consumer-7.0.5.pcap", SWALLOWS),
    ("bridged-close-at-consumer.2019-07-after.pcap", SWALLOWS),
    ("bridged-close-at-consumer.2019-07-before.pcap", SWALLOWS),
    ("bridged-close-at-consumer.6.5.0.pcap", SWALLOWS),
    ("bridged-close-at-consumer.7.0.5-v7on.pcap", SWALLOWS),
    ("bridged-failover-natural.6.5.0.pcap.gz", MAY),
    ("bridged-failover.6.5.0.pcap", MAY),
    ("bridged-failover.7.0.5-v7off.pcap", MAY),
    ("bridged-plain.6.5.0.pcap", SWALLOWS),
    ("bridged-plain.7.0.5-v7off.pcap", SWALLOWS),
    ("bridged-plain.7.0.5-v7on.pcap", SWALLOWS),
    ("bridged-plain.producer-6.5.0_consumer-7.0.5.pcap", SWALLOWS),
    ("bridged-stream-end-first.6.5.0.pcap", MAY),
    ("bridged-stream-end-first.7.0.5-v7off.pcap", MAY),
    ("bridged-without-delete-times.7.0.5.pcap", MAY),
    ("client-answers-0x0d.2019-07-after.pcap", MAY),
    ("client-answers-0x0d.2019-07-before.pcap", MAY),
    ("close-while-stalled.2019-07-after.pcap", SWALLOWS),
    ("consumer-answers.7.0.5.pcap.gz", "its consumer was dialled: nothing of it is replayed"),
    ("everything.2019-07-after.pcap.gz", SWALLOWS),
    ("everything.6.5.0.pcap.gz", SWALLOWS),
    ("everything.7.0.5.pcap.gz", SWALLOWS),
    ("formats.2019-07-after.pcap", SWALLOWS),
    ("formats.6.5.0.pcap", SWALLOWS),
];
const SWALLOWS: &str = "its consumer gives no orphaned response to a message that the quirk does not bear";
const MAY: &str = "the era's producer may close at these statuses anyhow, or must";

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
    Options { speed: Speed::Max, credentials: Some((login.user, login.password).into()), ..Options::default() }
}

/// The connections of a capture that are played, for one end.
fn recording(name: &str, role: Role) -> Recording {
    let all = record(name, role, None);
    let wanted = some(&all, if name.starts_with("truth-table") { MOST } else { usize::MAX });
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
        vbuckets: 32,
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
        let mut producer = Plain(dcproxy::node::Connection::new(&node, START));
        run(&mut stage, &mut producer);
        ensemble.finished(stage);
    }
    ensemble.report()
}

/// `DCPROXY_TEST_REPLAY=all` plays what takes long, too.
fn takes_long(name: &str) -> bool {
    name.contains("natural") && std::env::var_os("DCPROXY_TEST_REPLAY").is_none()
}

fn exempt(name: &str, id: u64) -> Option<&'static str> {
    let is_it = |(capture, numbers, _): &&(&str, std::ops::RangeInclusive<u32>, &str)| {
        *capture == name && numbers.clone().any(|number| u64::from(number) == id)
    };
    EXEMPT.iter().find(is_it).map(|(_, _, reason)| *reason)
}

#[test]
fn recorded_consumers_find_in_an_embedded_producer_what_they_had() {
    let mut told = Vec::new();
    for name in names().into_iter().filter(|name| !takes_long(name)) {
        let quirks = is_before(&name).then_some(Quirk::Mb35287);
        let report = against_a_node(&name, node(&name, quirks), true);
        assert_eq!(report.connections.is_empty(), name.starts_with("consumer-answers"), "{name}");
        for connection in &report.connections {
            let wrong = connection.findings.iter().filter(|finding| {
                // The quirk is what the recorded producer has too.
                finding.verdict != Verdict::Pass && (quirks.is_none() || finding.id != "connection-kept")
            });
            let wrong: Vec<_> = wrong.map(|finding| format!("{}: {}", finding.id, finding.actual)).collect();
            match exempt(&name, connection.id) {
                None if !wrong.is_empty() => told.push(format!("{name}, connection {}: {wrong:?}", connection.id)),
                Some(reason) if wrong.is_empty() => {
                    told.push(format!("{name}, connection {} works, and is exempt as {reason}", connection.id));
                }
                None | Some(_) => {}
            }
        }
    }
    assert!(told.is_empty(), "{told:#?}");
}

#[test]
fn with_the_quirk_the_verdict_is_fail_wherever_orphaned_responses_matter() {
    let all = std::env::var_os("DCPROXY_TEST_REPLAY").is_some();
    for name in names().into_iter().filter(|name| !takes_long(name) && (all || !name.starts_with("truth-table"))) {
        let report = against_a_node(&name, node(&name, [Quirk::Mb35287]), false);
        let kept = |connection: &Connection| {
            connection
                .findings
                .iter()
                .any(|finding| finding.id == "connection-kept" && finding.verdict == Verdict::Fail)
        };
        let fails = report.connections.iter().any(kept);
        match SHOWS_NOTHING.iter().find(|(capture, _)| *capture == name) {
            None => assert!(fails && report.verdict == Verdict::Fail, "{name}: {:#?}", report.connections),
            Some((_, reason)) => assert!(!fails, "{name} shows the quirk: {reason}"),
        }
    }
}

#[test]
fn both_ends_of_a_recording_play_together() {
    for name in names().into_iter().filter(|name| !takes_long(name)) {
        let producers = recording(&name, Role::Producer);
        let consumers = recording(&name, Role::Consumer);
        assert_eq!(producers.scripts.len(), consumers.scripts.len(), "{name}");
        let without_login = Options { credentials: None, ..options() };
        for (producer, consumer) in producers.scripts.iter().zip(&consumers.scripts) {
            let mut one = Player::new(&consumers, consumer.clone(), Role::Consumer, without_login.clone(), START);
            let mut two = Player::new(&producers, producer.clone(), Role::Producer, without_login.clone(), START);
            run(&mut one, &mut two);
            for (who, player) in [("consumer", &one), ("producer", &two)] {
                let findings = player.findings(true);
                let wrong: Vec<_> = findings.iter().filter(|finding| finding.verdict != Verdict::Pass).collect();
                assert!(wrong.is_empty(), "{name}, connection {} as {who}: {wrong:#?}", producer.number);
            }
        }
    }
}

/// Captures whose consumer does no more than a plain client does: it sets up, streams vbucket 0, and stays.
const ORDINARY: [&str; 4] = [
    "bridged-plain.6.5.0.pcap",
    "bridged-plain.7.0.5-v7off.pcap",
    "bridged-plain.7.0.5-v7on.pcap",
    "bridged-plain.producer-6.5.0_consumer-7.0.5.pcap",
];

#[test]
fn the_embedded_client_takes_a_recorded_producer_for_a_real_one() {
    for name in ORDINARY {
        let producers = record(name, Role::Producer, None);
        let recorded = against_itself(&producers);
        assert!(recorded > 50, "{name}");
    }
}

/// How many items the embedded client gets of the only connection.
fn against_itself(producers: &Recording) -> u64 {
    let config = ClientConfig::new("6.5".parse().expect("an era"), [0]);
    let script = producers.scripts[0].clone();
    let mut producer =
        Player::new(producers, script, Role::Producer, Options { credentials: None, ..options() }, START);
    let mut embedded = Embedded::new(Client::new(config, START));
    run(&mut embedded, &mut producer);
    // That the producer closes at the end of the recording is no fault here, and the one thing that a client notes.
    let complaints: Vec<_> = embedded.client.violations().iter().map(|violation| violation.what.clone()).collect();
    assert_eq!(complaints, ["expected the connection to stay, found it closed"]);
    let findings = producer.findings(false);
    assert!(findings.iter().all(|finding| finding.verdict == Verdict::Pass), "{findings:#?}");
    embedded.client.ledger().items()
}
