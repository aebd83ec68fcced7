//! The embedded node's producer and this project's own client, face to face in memory: nothing is missed, nothing is
//! said that must not be said, in every era and with every combination of what can be agreed on.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use dcproxy::Timestamp;
use dcproxy::era::Era;
use dcproxy::node::Config;
use dcproxy::node::Connection;
use dcproxy::node::Node;
use dcproxy::node::consumer::Client;
use dcproxy::node::consumer::ClientConfig;
use dcproxy::node::consumer::End;
use dcproxy::node::consumer::Ledger;
use dcproxy::node::consumer::Output;
use dcproxy::node::consumer::Phase;
use dcproxy::wire::Opcode;

const ITEMS: u64 = 600;

fn node(era: Era) -> Node {
    Node::new(Config { era, seed: 7, items: ITEMS, interval: None, ..Config::default() })
}

fn client_config(node: &Node) -> ClientConfig {
    let config = node.config();
    ClientConfig {
        login: Some((config.user.clone(), config.password.clone()).into()),
        bucket: config.bucket.clone(),
        end: End::ToLatest,
        ..ClientConfig::new(config.era, 0..config.vbuckets)
    }
}

/// Runs one connection until the client closes it; bytes cross in pieces of `chunk`.
fn run(node: &Node, mut client: Client, chunk: usize) -> Client {
    let mut now = Timestamp(1_000_000_000);
    let mut connection = Connection::new(node, now);
    for _ in 0..200_000 {
        now = now + Duration::from_micros(50);
        let mut idle = true;
        let mut closed = false;
        while let Some(output) = client.poll() {
            match output {
                Output::Write(bytes) => {
                    idle = false;
                    for piece in bytes.chunks(chunk) {
                        connection.feed(piece, now);
                    }
                }
                Output::Close => closed = true,
                Output::Wait(_) => {}
            }
        }
        if closed {
            return client;
        }
        let mut bytes = Vec::new();
        connection.pull(&mut bytes, 4096, now);
        idle &= bytes.is_empty();
        for piece in bytes.chunks(chunk) {
            client.feed(piece, now);
        }
        if connection.closing().is_some() {
            client.closed(now);
            return client;
        }
        if idle {
            now = now + Duration::from_millis(200);
            connection.wakeup(now);
            client.wakeup(now);
        }
    }
    panic!("the client never closed: {:?}", client.violations());
}

fn digests(ledger: &Ledger) -> BTreeMap<u16, (Option<u64>, u64)> {
    ledger.iter().map(|(vbucket, held)| (vbucket, (held.digest(), held.last_seqno()))).collect()
}

fn complete(client: &Client, what: &str) {
    assert_eq!(client.violations(), [], "{what}");
    assert_eq!(client.phase(), Phase::Done, "{what}");
    for (vbucket, held) in client.ledger().iter() {
        assert!(held.is_complete(), "{what}: vbucket {vbucket}");
        assert!(held.digest().is_some(), "{what}: vbucket {vbucket}");
    }
}

#[test]
fn nothing_is_missed_in_any_era() {
    for era in Era::ALL {
        let node = node(era);
        let client = run(&node, Client::new(client_config(&node), Timestamp(0)), 1500);
        complete(&client, era.name());
        // 6.0 has no sync writes: their control was refused.
        let eight = [0x57, 0x58, 0x59, 0x5f, 0x60, 0x62, 0x63, 0x55].map(Opcode);
        for opcode in eight {
            let absent = era == Era::V6_0 && matches!(opcode.0, 0x60 | 0x62 | 0x63);
            for (vbucket, held) in client.ledger().iter() {
                assert_eq!(held.count(opcode) == 0, absent, "{era}: vbucket {vbucket}: {opcode}");
            }
        }
        for (vbucket, held) in client.ledger().iter() {
            assert!(era == Era::V6_0 || held.last_seqno() == ITEMS, "{era}: vbucket {vbucket}: {}", held.last_seqno());
        }
    }
}

#[test]
fn however_the_bytes_are_cut_and_whatever_the_window_the_data_is_the_same() {
    let node = node(Era::V7_0);
    let whole = run(&node, Client::new(client_config(&node), Timestamp(0)), usize::MAX);
    complete(&whole, "whole");
    for (window, chunk) in [(0, 1), (1, 1), (300, 7), (64 * 1024, 24), (1 << 20, 4096)] {
        let config = ClientConfig { window, ..client_config(&node) };
        let client = run(&node, Client::new(config, Timestamp(0)), chunk);
        complete(&client, &format!("window {window}, {chunk} bytes at a time"));
        assert_eq!(digests(client.ledger()), digests(whole.ledger()), "window {window}");
    }
}

#[test]
fn everything_that_can_be_agreed_on() {
    for era in Era::ALL {
        let node = node(era);
        let base = client_config(&node);
        let variants: Vec<(&str, ClientConfig)> = vec![
            ("no collections", base.clone().without(Opcode::DCP_SYSTEM_EVENT)),
            ("no sync writes", base.clone().without(Opcode::DCP_PREPARE)),
            ("no expirations", base.clone().without(Opcode::DCP_EXPIRATION)),
            ("no stream ends on close", base.clone().without(Opcode::DCP_STREAM_END)),
            ("no no-ops", base.clone().without(Opcode::DCP_NOOP).without(Opcode::DCP_SYSTEM_EVENT)),
            ("no consumer name", ClientConfig { consumer_name: None, ..base.clone() }),
            ("snappy", ClientConfig { snappy: true, ..base.clone() }),
            ("stream ids", base.clone().with_stream_ids()),
            ("no v7", ClientConfig { v7: false, ..base.clone() }),
            ("flatbuffers", ClientConfig { flatbuffers: true, ..base.clone() }),
            ("deletions of version 1", ClientConfig { delete_times: false, expirations: false, ..base.clone() }),
            ("no xattrs", ClientConfig { xattrs: false, ..base.clone() }),
            (
                "marker 2.2",
                ClientConfig { more_controls: vec![("max_marker_version".into(), "2.2".into())], ..base.clone() },
            ),
        ];
        for (what, config) in variants {
            let client = run(&node, Client::new(config, Timestamp(0)), 1000);
            if what == "no no-ops" && client.violation_count() > 0 {
                // Xattrs make no-ops mandatory: such a stream is refused.
                assert!(client.violations()[0].what.contains("NotSupported"), "{era}: {:?}", client.violations());
                continue;
            }
            complete(&client, &format!("{era}: {what}"));
            let held = client.ledger().vbucket(0).unwrap();
            assert!(held.count(Opcode::DCP_MUTATION) > 100, "{era}: {what}");
        }
    }
}

#[test]
fn a_client_that_comes_back_goes_on_and_has_the_same_in_the_end() {
    for era in [Era::V6_0, Era::V2019_07, Era::V7_0] {
        let node = node(era);
        let whole = run(&node, Client::new(client_config(&node), Timestamp(0)), 1500);
        let mut ledger = Ledger::default();
        let mut connections = 0;
        loop {
            let enough = ledger.items() + 37;
            let config = ClientConfig { max_items: Some(enough), window: 2000, ..client_config(&node) };
            let client = run(&node, Client::resume(config, ledger, Timestamp(0)), 333);
            assert_eq!(client.violations(), [], "{era}: connection {connections}");
            let stopped = client.ledger().items() >= enough;
            ledger = client.into_ledger();
            connections += 1;
            if !stopped {
                break;
            }
        }
        assert!(connections > 10, "{era}: {connections}");
        assert_eq!(digests(&ledger), digests(whole.ledger()), "{era}");
    }
}
