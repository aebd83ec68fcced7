//! `dcproxy bridge` as its user meets it: the binary between two of the binary's own nodes.

use std::path::Path;
use std::process::Output;

use crate::program::Listening;
use crate::program::command;
use crate::program::start;
use crate::support::certificates::Ca;

fn node(args: &[&str]) -> Listening {
    let args: Vec<&str> = ["node", "--listen", "127.0.0.1:0"].into_iter().chain(args.iter().copied()).collect();
    start(&args)
}

fn bridge(producer: &str, consumer: &str, password: &str, args: &[&str]) -> Output {
    let base = ["bridge", "--producer", producer, "--consumer", consumer, "-u", "Administrator", "--timeout", "60s"];
    let args: Vec<&str> = base.into_iter().chain(args.iter().copied()).collect();
    command(&args).env("DCPROXY_PASSWORD", password).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The real consumer's own orphaned responses, over sockets; and the recording is judged as the run was.
#[test]
fn a_stream_that_ends_at_the_consumer_node_alone_tells_a_producer_with_the_bug_from_one_without() {
    let dir = tempfile::tempdir().expect("a directory");
    for (quirk, code) in [(None, 0), (Some("mb-35287"), 1)] {
        let mut args = vec!["--items", "1000", "--seed", "7"];
        args.extend(quirk.iter().flat_map(|quirk| ["--quirk", quirk]));
        let (producer, consumer) = (node(&args), node(&["--items", "100"]));
        let recording = dir.path().join(format!("{code}.pcapng"));
        let recording = recording.to_str().expect("text");
        let scenario = ["-b", "default", "--vbuckets", "0-3", "--set-replica", "--once", "--scenario", "close-at-end"];
        let args: Vec<&str> = scenario.into_iter().chain(["--report", "-", "--record", recording]).collect();
        let output = bridge(&producer.address, &consumer.address, "password", &args);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
        assert!(stdout.contains("DcpStreamNotFound ("), "{stdout}");
        let check = command(&["check", recording]).output().expect("it runs");
        assert_eq!(check.status.code(), Some(code), "{}{}", text(&check.stdout), text(&check.stderr));
    }
}

#[test]
fn what_keeps_it_from_the_start_is_one_line_and_exit_2() {
    let (producer, consumer) = (node(&["--items", "100"]), node(&["--items", "100"]));
    let there = ["-b", "default", "--vbuckets", "0-3", "--set-replica"];
    let refused = " refused: AuthError; check the user and the password";
    let no_vbucket = format!("expected vbucket 7 to be active at {}", producer.address);
    for (to, password, args, told) in [
        (consumer.address.as_str(), "wrong", &there[..], refused),
        (
            &consumer.address,
            "password",
            &["-b", "other", "--vbuckets", "0"],
            "the bucket 'other' cannot be selected: KeyEnoent",
        ),
        (&consumer.address, "password", &["-b", "default", "--vbuckets", "7", "--until-caught-up"], &no_vbucket),
        (
            &consumer.address,
            "password",
            &["-b", "default", "--vbuckets", "0"],
            "it must be a replica there (--set-replica makes it one)",
        ),
        ("127.0.0.1:1", "password", &there, "cannot connect to 127.0.0.1:1"),
        (&consumer.address, "password", &["-b", "default", "--vbuckets", "0-1024"], "expected 1 to 1024 vbuckets"),
    ] {
        let output = bridge(&producer.address, to, password, args);
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{args:?}: {stderr}");
        assert!(stderr.starts_with("dcproxy: ") && stderr.contains(told), "{args:?}: {stderr}");
    }
}

/// Law L9, at the most talkative: whether the login is accepted or not.
#[test]
fn neither_password_nor_token_is_in_any_log_report_or_recording() {
    const SECRET: &str = "hunter2-secret-of-mine";
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str| dir.path().join(name).to_str().expect("text").to_owned();
    let (secret, report, recording) = (file("secret"), file("r.json"), file("r.pcapng"));
    std::fs::write(&secret, format!("{SECRET}\n")).expect("written");
    let with_token = ["--items", "50", "--token-file", &secret];
    let (producer, consumer) = (node(&with_token), node(&with_token));
    let upstream = ["--upstream", &producer.address, "-b", "default", "--timeout", "20s", "--report", &report];
    let bridged =
        ["--producer", &producer.address, "--consumer", &consumer.address, "-b", "default", "--vbuckets", "0-3"];
    let ends = ["--set-replica", "--until-caught-up", "--timeout", "60s", "--report", &report, "--record", &recording];
    let token = ["-u", "Administrator", "--token-file", &secret];
    let by_token: Vec<&str> = ["bridge"].into_iter().chain(bridged).chain(ends).chain(token).collect();
    let mut commands = vec![(by_token, 0)];
    for sasl in ["PLAIN", "SCRAM-SHA512", "auto"] {
        let password = ["-u", "Administrator", "--password-file", &secret, "--sasl", sasl];
        commands.push((["bridge"].into_iter().chain(bridged).chain(ends).chain(password).collect(), 2));
        commands.push((["probe"].into_iter().chain(upstream).chain(password).collect(), 2));
        commands.push((["fuzz"].into_iter().chain(upstream).chain(password).collect(), 2));
        let connect = ["node", "--connect", &producer.address];
        commands.push((connect.into_iter().chain(password).collect(), 2));
    }
    for (args, code) in commands {
        let output = command(&args).env("RUST_LOG", "trace").output().expect("it runs");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output.stderr));
        let read = |path: &str| std::fs::read(path).unwrap_or_default();
        for (name, bytes) in [
            ("stderr", output.stderr),
            ("stdout", output.stdout),
            ("the report", read(&report)),
            ("the recording", read(&recording)),
        ] {
            let shown = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
            assert!(!shown, "{args:?}: {name} shows the secret");
        }
    }
}

/// The `--upstream` flags of TLS hold for both dials. Whoever shows a certificate of the node's user is logged in by it.
#[test]
fn both_nodes_may_speak_tls_and_a_certificate_is_a_login() {
    let ca = Ca::new();
    let (server, user, ca_file) = (ca.signs(&["127.0.0.1"]), ca.signs(&["Administrator"]), ca.file());
    let path = |path: &Path| path.to_str().expect("text").to_owned();
    let (certificate, key, ca) = (path(&server.certificate), path(&server.key), path(&ca_file));
    let (shown, its_key) = (path(&user.certificate), path(&user.key));
    let tls = ["--tls", &certificate, "--tls-key", &key, "--tls-client-ca", &ca];
    let producer = node(&[&["--items", "300", "--quirk", "mb-35287"][..], &tls].concat());
    let consumer = node(&[&["--items", "0"][..], &tls].concat());
    let ends = ["--producer", &producer.address, "--consumer", &consumer.address, "--timeout", "60s"];
    let what = ["-b", "default", "--vbuckets", "0-3", "--set-replica", "--upstream-ca", &ca];
    let bridged = |more: &[&str]| {
        let output = command(&[&["bridge"][..], &ends, &what, more].concat()).output().expect("it runs");
        (output.status.code(), text(&output.stderr))
    };
    let certified = ["--upstream-cert", &shown, "--upstream-key", &its_key];
    let (code, told) = bridged(&[&certified[..], &["--until-caught-up"]].concat());
    assert_eq!((code, told.trim()), (Some(0), "caught up"));
    let (code, told) = bridged(&[&certified[..], &["--once", "--scenario", "close-at-end"]].concat());
    assert_eq!(code, Some(1), "{told}");
    let (code, told) = bridged(&["--until-caught-up"]);
    assert_eq!((code, told.lines().count()), (Some(2), 1), "{told}");
    assert!(told.starts_with("dcproxy: cannot speak TLS with "), "{told}");
}
