use assert_cmd::Command;
use serde_json::Value;
use serde_json::json;

use super::capture;
use super::decode;
use super::decoded;
use super::lines;

#[test]
fn a_response_names_its_request() {
    let lines = lines(&decoded("bridged-plain.7.0.5-v7on.pcap", &["-T", "jsonl"]));
    let nanos = |line: &Value, member: &str| line[member].as_str().unwrap().replace('.', "").parse::<u64>().unwrap();
    let mut answered = 0;
    for line in &lines {
        assert_eq!(line.get("response_to").is_some(), line.get("response_time").is_some(), "{line}");
        if line.get("status").is_none() {
            assert_eq!(line.get("response_to"), None, "{line}");
            continue;
        }
        let request = &lines[line["response_to"].as_u64().unwrap() as usize - 1];
        for member in ["conn", "opcode", "opaque"] {
            assert_eq!(request[member], line[member], "{request} {line}");
        }
        assert!(request.get("status").is_none() && request["frame"].as_u64() < line["frame"].as_u64(), "{line}");
        assert_eq!(nanos(line, "response_time"), nanos(line, "time") - nanos(request, "time"), "{line}");
        answered += 1;
    }
    assert!(answered > 20, "{answered}");
}

#[test]
fn in_two_passes_a_request_names_its_response() {
    let name = "bridged-plain.7.0.5-v7on.pcap";
    let once = decoded(name, &["-T", "jsonl"]);
    let twice = decoded(name, &["-T", "jsonl", "--two-pass"]);
    assert_eq!((twice.code, twice.stderr.as_str()), (Some(0), ""));
    let (once, twice) = (lines(&once), lines(&twice));
    let mut named = 0;
    for (mut line, before) in twice.iter().cloned().zip(&once) {
        if let Some(response) = line.as_object_mut().unwrap().shift_remove("response_in") {
            let response = &twice[response.as_u64().unwrap() as usize - 1];
            assert_eq!(response["response_to"], line["frame"], "{line}");
            named += 1;
        }
        assert_eq!(&line, before);
    }
    assert_eq!(named, once.iter().filter(|line| line.get("response_to").is_some()).count());
    let filtered = decoded(name, &["-T", "jsonl", "-2", "-Y", "dcp.response_in"]);
    assert_eq!(filtered.stdout.lines().count(), named);
    let stdin = decode(&["--two-pass", "-"], b"");
    assert_eq!((stdin.code, stdin.stderr.lines().count()), (Some(2), 1), "{}", stdin.stderr);
}

#[test]
fn orphaned_responses_are_marked() {
    let name = "client-answers-0x01.2019-07-after.pcap";
    let lines = lines(&decoded(name, &["-T", "jsonl"]));
    let orphans: Vec<&Value> = lines.iter().filter(|line| line["orphan"] == true).collect();
    assert!(orphans.len() > 5, "{}", orphans.len());
    for orphan in &orphans {
        assert_eq!((&orphan["from"], &orphan["status"]), (&json!("consumer"), &json!("KeyEnoent")), "{orphan}");
        assert!(orphan["orphan_of"].is_string() && orphan.get("response_to").is_none(), "{orphan}");
    }
    let text = decoded(name, &[]).stdout;
    assert_eq!(text.lines().filter(|line| line.contains(" ORPHAN of=")).count(), orphans.len());
    let filtered = decoded(name, &["-T", "jsonl", "-Y", "dcp.orphan && dcp.orphan_of in {live closing gone unknown}"]);
    assert_eq!(filtered.stdout.lines().count(), orphans.len());
}

#[test]
fn fields_are_the_members_of_the_json_line() {
    let name = "everything.7.0.5.pcap.gz";
    let pairs = [
        ("frame.number", "frame"),
        ("frame.time", "time"),
        ("frame.conn", "conn"),
        ("frame.from", "from"),
        ("dcp.magic", "magic"),
        ("couchbase.opcode", "opcode"),
        ("dcp.status", "status"),
        ("couchbase.vbucket", "vbucket"),
        ("couchbase.opaque", "opaque"),
        ("dcp.cas", "cas"),
        ("dcp.key_len", "key_len"),
        ("dcp.by_seqno", "by_seqno"),
        ("couchbase.extras.start_seqno", "start_seqno"),
        ("couchbase.key.collection_id", "collection_id"),
        ("dcp.key", "key"),
        ("dcp.stream_id", "stream_id"),
        ("dcp.high_completed_seqno", "high_completed_seqno"),
        ("dcp.version", "version"),
        ("dcp.response_to", "response_to"),
        ("dcp.response_time", "response_time"),
    ];
    let wanted: Vec<&str> = pairs.iter().flat_map(|(field, _)| ["-e", *field]).collect();
    let fields = decoded(name, &[&["-T", "fields"], &wanted[..]].concat());
    assert_eq!((fields.code, fields.stderr.as_str()), (Some(0), ""));
    let lines = lines(&decoded(name, &["-T", "jsonl"]));
    assert_eq!(fields.stdout.lines().count(), lines.len());
    for (columns, line) in fields.stdout.lines().zip(&lines) {
        let columns: Vec<&str> = columns.split('\t').collect();
        assert_eq!(columns.len(), pairs.len());
        for ((field, member), column) in pairs.iter().zip(columns) {
            let expected = match line.get(*member) {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
            };
            assert_eq!(column, expected, "{field} of {line}");
        }
    }
}

#[test]
fn a_filter_lets_through_the_frames_that_it_holds_for() {
    type Holds = fn(&Value) -> bool;
    let name = "everything.7.0.5.pcap.gz";
    let all = lines(&decoded(name, &["-T", "jsonl"]));
    let cases: [(&str, Holds); 9] = [
        ("dcp.opcode == prepare", |line| line["opcode"] == "DCP_PREPARE"),
        ("dcp.opcode == 0x57 && dcp.vbucket in {0..3}", |line| {
            line["opcode"] == "DCP_MUTATION" && line["vbucket"].as_u64().is_some_and(|vbucket| vbucket < 4)
        }),
        ("dcp.status != success", |line| line.get("status").is_some_and(|status| status != "Success")),
        ("dcp.by_seqno > 20 || frame.conn == 2", |line| {
            line["by_seqno"].as_u64().is_some_and(|seqno| seqno > 20) || line["conn"] == 2
        }),
        (r#"dcp.key contains "1""#, |line| line["key"].as_str().is_some_and(|key| key.contains('1'))),
        ("dcp.end_reason", |line| line.get("end_reason").is_some()),
        ("frame.from == producer and not dcp.response", |line| {
            line["from"] == "producer" && line.get("vbucket").is_some()
        }),
        ("couchbase.opcode == 0x56 && couchbase.extras.flags & 2", |line| {
            line["opcode"] == "DCP_SNAPSHOT_MARKER" && line["flags"].as_u64().is_some_and(|flags| flags & 2 != 0)
        }),
        ("dcp.features == 0x12", |line| line["features"].as_array().is_some_and(|list| list.contains(&json!(0x12)))),
    ];
    for (filter, holds) in cases {
        let ran = decoded(name, &["-T", "jsonl", "-Y", filter]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{filter}");
        let expected: Vec<&Value> = all.iter().filter(|line| holds(line)).collect();
        assert!(!expected.is_empty() && expected.len() < all.len(), "{filter}: {} frames", expected.len());
        assert_eq!(lines(&ran).iter().collect::<Vec<_>>(), expected, "{filter}");
        let few = lines(&decoded(name, &["-T", "jsonl", "-Y", filter, "-c", "2"]));
        assert_eq!(few.iter().collect::<Vec<_>>(), expected[..expected.len().min(2)], "{filter}");
    }
}

#[test]
fn flags_that_make_no_sense_together_are_usage_errors() {
    let path = capture("bridged-plain.6.5.0.pcap");
    let path = path.to_str().unwrap();
    for (args, words) in [
        (&["-T", "fields", path][..], "expected -e FIELD"),
        (&["-e", "dcp.opcode", path], "expected -T fields with -e dcp.opcode"),
        (&["-T", "jsonl", "-e", "dcp.opcode", path], "expected -T fields with -e dcp.opcode"),
        (&["-T", "fields", "-e", "dcp.opcod", path], "did you mean dcp.opcode?"),
        (&["-T", "fields", "-e", "dcp.uncompressed", path], "expected --values with -e dcp.uncompressed"),
        (&["--stats", "-T", "fields", path], "expected -T text or -T jsonl with --stats"),
        (&["--stats", "-e", "dcp.opcode", path], "expected -T fields"),
        (&["-c", "0", path], "0"),
        (&["-Y", "dcp.opcode == prepar", path], "filter: column 15: expected an opcode"),
        (&["-Y", "dcp.opcode ==\n\nprepar", path], "did you mean prepare?"),
    ] {
        let ran = decode(args, b"");
        assert_eq!(
            (ran.code, ran.stdout.as_str(), ran.stderr.lines().count()),
            (Some(2), "", 1),
            "{args:?} {}",
            ran.stderr
        );
        assert!(ran.stderr.contains(words), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn colours_are_for_terminals_and_for_those_who_insist() {
    let path = capture("bridged-plain.6.5.0.pcap");
    let coloured = |environment: &[(&str, &str)]| {
        let mut command = Command::cargo_bin("dcproxy").unwrap();
        for name in ["NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR", "TERM"] {
            command.env_remove(name);
        }
        let output =
            command.args(["decode", path.to_str().unwrap()]).envs(environment.iter().copied()).output().unwrap();
        output.stdout.contains(&0x1b)
    };
    assert!(!coloured(&[]), "a pipe is no terminal");
    assert!(coloured(&[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "0")]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}
