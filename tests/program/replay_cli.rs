//! `dcproxy replay` as its user meets it: the binary against a node, and a node's consumer against it.

use std::io::Read;
use std::process::Output;

use dcproxy::report::Report;

use crate::program::command;
use crate::program::start;

const CLOSES: &str = "client-answers-0x01.2019-07-after.pcap";
const PLAIN: &str = "bridged-plain.6.5.0.pcap";

fn capture(name: &str) -> String {
    format!("{}/captures/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn code(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8(output.stderr.clone()).expect("text"))
}

#[test]
fn what_cannot_be_replayed_is_one_line_and_exit_2() {
    let closes = capture(CLOSES);
    let answers = capture("consumer-answers.7.0.5.pcap.gz");
    for (args, told) in [
        (vec![closes.as_str(), "--as", "producer"], "expected --listen ADDR with --as producer, found none"),
        (vec![&closes, "--as", "consumer"], "expected --upstream HOST:PORT with --as consumer, found none"),
        (
            vec![&closes, "--as", "producer", "--upstream", "localhost:1"],
            "expected --listen with --as producer, found --upstream",
        ),
        (vec![&closes, "--as", "consumer", "--listen", "0"], "expected --upstream with --as consumer, found --listen"),
        (
            vec![&closes, "--as", "consumer", "--upstream", "localhost:1", "-u", "me"],
            "expected the password of me in --password-file or DCPROXY_PASSWORD, found neither",
        ),
        (
            vec![&closes, "--as", "consumer", "--upstream", "localhost:1", "--connections", "1,7"],
            "expected connection 7 to be one that can be replayed, found: no such connection",
        ),
        (
            vec![&closes, "--as", "consumer", "--upstream", "localhost:1", "--speed", "0"],
            "expected a speed from 0.001, such as 1 or 10, or max, found '0'",
        ),
        (
            vec![&answers, "--as", "consumer", "--upstream", "localhost:1"],
            "expected a DCP connection whose producer was dialled, found connection 1: it has no DCP_OPEN",
        ),
        (vec!["/missing.pcap", "--as", "consumer", "--upstream", "localhost:1"], "opening /missing.pcap"),
    ] {
        let args: Vec<&str> = std::iter::once("replay").chain(args).collect();
        let (code, stderr) = code(&command(&args).output().expect("it runs"));
        assert_eq!((code, stderr.lines().count()), (Some(2), 1), "{args:?}: {stderr}");
        assert!(stderr.starts_with("dcproxy: ") && stderr.contains(told), "{args:?}: {stderr}");
    }
}

#[test]
fn the_quirk_is_found_by_a_replayed_consumer_and_nothing_without_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("r.json");
    let report = file.to_str().expect("text");
    for (quirk, expected) in [(None, 0), (Some("mb-35287"), 1)] {
        let mut args = vec!["node", "--listen", "127.0.0.1:0", "--era", "2019-07", "--items", "500"];
        args.extend(quirk.iter().flat_map(|quirk| ["--quirk", quirk]));
        let node = start(&args);
        let closes = capture(CLOSES);
        let mut replay = command(&["replay", &closes, "--as", "consumer", "--upstream", &node.address]);
        replay.args(["-u", "Administrator", "--report", report, "--settle", "1500ms"]);
        // A difference would be a failure too: without the quirk there is none.
        replay.args(quirk.is_none().then_some("--diff"));
        replay.env("DCPROXY_PASSWORD", "password");
        let (code, stderr) = code(&replay.output().expect("it runs"));
        assert_eq!(code, Some(expected), "{stderr}");
        let written: Report = serde_json::from_slice(&std::fs::read(&file).expect("written")).expect("a report");
        assert_eq!(written.connections.len(), 1);
        let fails = written.connections[0]
            .findings
            .iter()
            .any(|finding| finding.id == "connection-kept" && finding.verdict == dcproxy::verdict::Verdict::Fail);
        assert_eq!(fails, quirk.is_some(), "{stderr}");
        assert!(!String::from_utf8_lossy(&std::fs::read(&file).expect("written")).contains("password"));
    }
}

#[test]
fn both_ends_of_a_capture_play_over_sockets_as_often_as_is_wanted() {
    let plain = capture(PLAIN);
    let mut producer = start(&[
        "replay",
        &plain,
        "--as",
        "producer",
        "--listen",
        "127.0.0.1:0",
        "--speed",
        "max",
        "--loop",
        "2",
        "--diff",
    ]);
    for _ in 0..2 {
        let args = ["replay", &plain, "--as", "consumer", "--upstream", &producer.address, "--speed", "max", "--diff"];
        let (status, stderr) = code(&command(&args).output().expect("it runs"));
        assert_eq!(status, Some(0), "{stderr}");
    }
    let ended = producer.child.wait().expect("it ends once all rounds are played");
    let mut rest = String::new();
    producer.stderr.read_to_string(&mut rest).expect("text");
    assert_eq!((ended.code(), rest.as_str()), (Some(0), "verdict: pass\n"));
}

#[test]
fn faults_are_acted_out_between_a_replayed_consumer_and_the_live_producer() {
    for (quirk, expected) in [(None, 0), (Some("mb-35287"), 1)] {
        let mut args = vec!["node", "--listen", "127.0.0.1:0", "--era", "6.5", "--items", "3000"];
        args.extend(quirk.iter().flat_map(|quirk| ["--quirk", quirk]));
        let node = start(&args);
        let plain = capture(PLAIN);
        let mut replay =
            command(&["replay", &plain, "--as", "consumer", "--upstream", &node.address, "--speed", "max"]);
        replay.args(["-u", "Administrator", "--scenario", "orphaned-responses", "--seed", "7"]);
        // Nothing else is wanted of it, as the recorded consumer did not ask for all that brings expirations.
        replay.args(["--messages", "mutation,deletion,system_event"]).env("DCPROXY_PASSWORD", "password");
        let (code, stderr) = code(&replay.output().expect("it runs"));
        assert_eq!(code, Some(expected), "{stderr}");
    }
}
