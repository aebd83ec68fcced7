//! `dcproxy probe` as its user meets it: the binary against the binary's own node.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::process::Command;
use std::process::Output;

use serde_json::Value;

use crate::program::Listening;
use crate::program::command;
use crate::program::start;

fn node(args: &[&str]) -> Listening {
    let args: Vec<&str> = ["node", "--listen", "127.0.0.1:0"].into_iter().chain(args.iter().copied()).collect();
    start(&args)
}

fn probe(upstream: &str, password: &str, args: &[&str]) -> Output {
    let base = ["probe", "--upstream", upstream, "-u", "Administrator"];
    let args: Vec<&str> = base.into_iter().chain(args.iter().copied()).collect();
    command(&args).env("DCPROXY_PASSWORD", password).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_keeps_it_from_the_start_is_one_line_and_exit_2() {
    let node = node(&["--items", "100"]);
    for (upstream, password, args, told) in [
        (node.address.as_str(), "wrong", vec!["-b", "default"], "refused: AuthError; check the user and the password"),
        (&node.address, "password", vec!["-b", "other"], "the bucket 'other' cannot be selected: KeyEnoent"),
        (&node.address, "password", vec!["-b", "default", "nonsense"], "expected the id of a case"),
        ("127.0.0.1:1", "password", vec!["-b", "default"], "cannot connect to 127.0.0.1:1"),
        (&node.address, "password", vec!["-b", "default", "--vbuckets", "3-1"], "expected 1 to 16 vbuckets"),
    ] {
        let output = probe(upstream, password, &args);
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{args:?}: {stderr}");
        assert!(stderr.starts_with("dcproxy: ") && stderr.contains(told), "{args:?}: {stderr}");
    }
}

#[test]
fn a_quirk_is_exit_1_and_a_report_that_names_the_case() {
    let dir = tempfile::tempdir().expect("a directory");
    let (json, xml) = (dir.path().join("r.json"), dir.path().join("r.xml"));
    let reports = ["--report", json.to_str().expect("text"), "--report", xml.to_str().expect("text")];
    for (quirk, code) in [(None, 0), (Some("mb-35287"), 1)] {
        let mut args = vec!["--items", "300"];
        args.extend(quirk.iter().flat_map(|quirk| ["--quirk", quirk]));
        let node = node(&args);
        let cases = ["-b", "default", "--jobs", "4", "orphan/prepare/DcpStreamNotFound"];
        let args: Vec<&str> = cases.into_iter().chain(reports).collect();
        let output = probe(&node.address, "password", &args);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
        let report: Value = serde_json::from_slice(&std::fs::read(&json).expect("written")).expect("JSON");
        let schema = serde_json::from_str(include_str!("../../docs/report.schema.json")).expect("a schema");
        assert!(jsonschema::is_valid(&schema, &report), "{report}");
        assert_eq!(report["connections"][1]["case"], "orphan/prepare/DcpStreamNotFound");
        assert_eq!(report["connections"][0]["case"], "reference");
        let xml = std::fs::read_to_string(&xml).expect("written");
        assert!(xml.contains("name=\"orphan/prepare/DcpStreamNotFound\" classname=\"dcproxy.probe\""), "{xml}");
        let told = stdout.contains("FAIL orphan/prepare/DcpStreamNotFound: connection-kept: ");
        assert_eq!(told, quirk.is_some(), "{stdout}");
        assert!(!format!("{report}{xml}{stdout}{stderr}").contains("password"), "no credentials");
    }
}

#[test]
fn a_workload_makes_what_does_not_come_and_removes_its_keys() {
    let node = node(&["--items", "0"]);
    let output =
        probe(&node.address, "password", &["-b", "default", "--workload", "--jobs", "4", "orphan/*/NotMyVbucket"]);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("9 cases passed") && !stderr.contains("may be left"), "{stdout}{stderr}");
}

/// Runs it with two cases of which one lasts an hour and one is never begun, and signals once it tells that line, each in
/// turn. The exit code, and all that it said.
fn interrupted(upstream: &str, settle: &str, after: &[&str]) -> (Option<i32>, String) {
    let cases = ["orphan/mutation/KeyEnoent", "orphan/deletion/*", "--jobs", "1", "--workload", "--settle", settle];
    let base = ["probe", "--upstream", upstream, "-u", "Administrator", "-b", "default"];
    let args: Vec<&str> = base.into_iter().chain(cases).collect();
    let mut child = command(&args).env("DCPROXY_PASSWORD", "password").spawn().expect("it starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = String::new();
    for &awaited in after {
        let mut line = String::new();
        while !line.starts_with(awaited) {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).expect("text"), 0, "it never says '{awaited}': {said}");
            said.push_str(&line);
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", "INT", &pid]).status().expect("kill").success());
    }
    stderr.read_to_string(&mut said).expect("text");
    let output = child.wait_with_output().expect("it ends");
    (output.status.code(), said + &text(&output.stdout))
}

#[test]
fn the_first_sigint_brings_it_to_its_end_and_the_second_ends_it() {
    let node = node(&["--items", "200"]);
    let (code, said) = interrupted(&node.address, "1s", &["era "]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(" were not run, from orphan/") && !said.contains("may be left"), "{said}");
    let (code, said) = interrupted(&node.address, "1h", &["era ", "interrupted: "]);
    // A signal that comes before the first case leaves nothing to wait for.
    if code == Some(3) {
        assert!(said.contains(" were not run, from orphan/mutation/KeyEnoent"), "{said}");
    } else {
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("keys that begin with dcproxy-probe-") && said.contains("may be left"), "{said}");
    }
}
