use std::collections::BTreeMap;
use std::io::Read;
use std::process::Stdio;

use serde_json::Value;
use serde_json::json;

use super::Ran;
use super::capture;
use super::captured;
use super::decode;
use super::lines;

fn vectors(list: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../../data/vectors.json")).unwrap();
    all[list].as_array().unwrap().clone()
}

/// The vectors of a list by what their connection had agreed on, as `--negotiated` takes it.
fn by_agreement(list: &str) -> BTreeMap<String, Vec<Value>> {
    let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for vector in vectors(list) {
        let agreed: Vec<String> = vector["connection"]
            .as_object()
            .map(|members| members.iter().filter(|(_, on)| **on == true).map(|(name, _)| name.clone()).collect())
            .unwrap_or_default();
        groups.entry(agreed.join(",")).or_default().push(vector);
    }
    groups
}

fn decode_hex(vectors: &[Value], negotiated: &str) -> Vec<Value> {
    let hex: String = vectors.iter().map(|vector| format!("{}\n", vector["hex"].as_str().unwrap())).collect();
    let ran = decode(&["-T", "jsonl", "--hex", "--values", "--negotiated", negotiated, "-"], hex.as_bytes());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{negotiated}");
    let lines = lines(&ran);
    assert_eq!(lines.len(), vectors.len());
    lines
}

#[test]
fn every_vector_as_a_hex_line() {
    let mut count = 0;
    for (negotiated, vectors) in by_agreement("vectors") {
        for (at, (vector, line)) in vectors.iter().zip(decode_hex(&vectors, &negotiated)).enumerate() {
            let name = vector["name"].as_str().unwrap();
            let header = &vector["decoded"]["header"];
            let byte = |name: &str| format!("0x{:02x}", header[name].as_u64().unwrap());
            let opcode = header["opcode_name"].as_str().unwrap();
            let mut expected = json!({
                "frame": at + 1, "time": null, "conn": null, "from": null, "magic": byte("magic"),
                "opcode": if opcode == "?" { byte("opcode") } else { opcode.to_owned() },
                "opaque": format!("0x{:08x}", header["opaque"].as_u64().unwrap()),
                "cas": header["cas"], "key_len": header["key_len"], "value_len": header["value_len"],
            });
            if header["vbucket"].is_number() {
                expected["vbucket"] = header["vbucket"].clone();
            }
            for (member, value) in vector["decoded"].as_object().unwrap() {
                if member != "header" {
                    expected[member] = value.clone();
                }
            }
            for (member, value) in expected.as_object().unwrap() {
                assert!(holds(&line[member], value), "{name}.{member}: {} is not {value}", line[member]);
            }
            assert_eq!(line.get("malformed"), None, "{name}");
            assert_eq!(line.get("status").is_some(), header.get("status").is_some(), "{name}");
            assert_eq!(line.get("vbucket").is_some(), header.get("vbucket").is_some(), "{name}");
            let datatype: Vec<&str> = ["json", "snappy", "xattr"]
                .into_iter()
                .enumerate()
                .filter(|(bit, _)| header["datatype"].as_u64().unwrap() >> bit & 1 == 1)
                .map(|(_, name)| name)
                .collect();
            assert_eq!(line["datatype"], json!(datatype), "{name}");
            count += 1;
        }
    }
    assert!(count > 100, "{count} vectors");
}

/// Whether `found` is `expected`; an object may have more members.
fn holds(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            expected.iter().all(|(name, value)| found.get(name).is_some_and(|found| holds(found, value)))
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(found, expected)| holds(found, expected))
        }
        _ => found == expected,
    }
}

#[test]
fn malformed_vectors_are_printed_with_their_reason() {
    for (negotiated, vectors) in by_agreement("malformed") {
        for (vector, line) in vectors.iter().zip(decode_hex(&vectors, &negotiated)) {
            let (name, reason) = (&vector["name"], line["malformed_reason"].as_str().unwrap_or_default());
            assert_eq!(line["malformed"], true, "{name}");
            assert!(reason.contains("expected") && reason.contains("found"), "{name}: {reason}");
        }
    }
    for (negotiated, vectors) in by_agreement("unknown") {
        for line in decode_hex(&vectors, &negotiated) {
            assert_eq!(line.get("malformed"), None, "{line}");
            assert!(line["opcode"].as_str().unwrap().starts_with("0x"), "{line}");
        }
    }
}

#[test]
fn hex_lines_may_have_spaces_comments_and_empty_lines_between() {
    let noop = "815c0000 00000000 00000000 00989681 00000000 00000000";
    let ran = decode(
        &["--hex", "-T", "jsonl", "-"],
        format!("# a comment\r\n\n  {noop}  \r\n{}00", &noop.replace(' ', "")).as_bytes(),
    );
    let lines = lines(&ran);
    assert_eq!((ran.code, lines.len()), (Some(0), 2));
    assert_eq!(
        (&lines[0]["opcode"], &lines[0]["status"], &lines[0]["frame"]),
        (&json!("DCP_NOOP"), &json!("Success"), &json!(1))
    );
    assert_eq!(lines[1]["malformed_reason"], "expected 24 bytes, found 25");
}

#[test]
fn bad_hex_is_told_with_its_line_number_behind_what_was_read() {
    let ran =
        decode(&["--hex", "-T", "jsonl", "-"], b"# comment\n801000000000000000000000000000000000000000000000\n80 1x\n");
    assert_eq!((ran.code, lines(&ran).len()), (Some(2), 1));
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("line 3: expected a frame in hex, found"), "{}", ran.stderr);
}

#[test]
fn documents_are_printed_only_when_asked_for() {
    let path = capture("client-answers-0x01.2019-07-after.pcap");
    let path = path.to_str().unwrap();
    let without = decode(&["-T", "jsonl", path], b"");
    let with = decode(&["-T", "jsonl", "--values", path], b"");
    let mutations = |ran: &Ran| -> Vec<Value> {
        lines(ran).into_iter().filter(|line| line["opcode"] == "DCP_MUTATION" && line["magic"] == "0x80").collect()
    };
    assert!(mutations(&without).iter().all(|line| line.get("value_hex").is_none() && line["key"].is_string()));
    assert!(mutations(&with).iter().all(|line| {
        line["value_hex"].as_str().map(str::len) == line["value_len"].as_u64().map(|len| len as usize * 2)
    }));
    assert!(mutations(&without).len() > 10);
    let bytes = captured("client-answers-0x01.2019-07-after.pcap");
    let start = bytes.windows(6).position(|window| window == b"PLAIN\0").unwrap() + 6;
    let password = bytes[start..].split(|&byte| byte == 0).nth(1).unwrap();
    let password = std::str::from_utf8(&password[..4]).unwrap();
    for ran in [&without, &with] {
        assert!(!ran.stdout.contains(password), "never a credential");
        let auth = lines(ran).into_iter().find(|line| line["opcode"] == "SASL_AUTH").unwrap();
        assert_eq!((&auth["mechanism"], auth.get("value_hex")), (&json!("PLAIN"), None));
    }
}

#[test]
fn frames_of_a_real_capture_know_who_sent_them() {
    let path = capture("bridged-plain.7.0.5-v7on.pcap");
    let ran = decode(&["-T", "jsonl", path.to_str().unwrap()], b"");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let lines = lines(&ran);
    for (at, line) in lines.iter().enumerate() {
        assert_eq!(line["frame"], at as u64 + 1);
        let (seconds, fraction) = line["time"].as_str().unwrap().split_once('.').unwrap();
        assert!(seconds.len() == 10 && fraction.len() == 9, "{line}");
        let opcode = line["opcode"].as_str().unwrap();
        let request = line["magic"] == "0x80" || line["magic"] == "0x08";
        let expected: &[&str] = match opcode {
            "HELLO" | "SASL_AUTH" | "SELECT_BUCKET" | "DCP_OPEN" => &[if request { "client" } else { "server" }],
            "DCP_MUTATION" | "DCP_SNAPSHOT_MARKER" | "DCP_PREPARE" if request => &["producer"],
            "DCP_STREAM_REQ" | "DCP_BUFFER_ACK" | "DCP_SEQNO_ACK" if request => &["consumer"],
            _ => &["client", "server", "producer", "consumer"],
        };
        assert!(expected.contains(&line["from"].as_str().unwrap()), "{line}");
    }
    // The forwarder dialled both nodes; each mutation crosses both of its connections.
    for conn in [1, 2] {
        assert!(lines.iter().any(|line| line["conn"] == conn && line["opcode"] == "DCP_MUTATION"));
    }
    assert!(lines.iter().all(|line| line.get("malformed").is_none()));
}

#[test]
fn frames_and_connections_are_counted_on_over_all_files() {
    let path = capture("bridged-plain.6.5.0.pcap");
    let path = path.to_str().unwrap();
    let once = lines(&decode(&["-T", "jsonl", path], b""));
    let twice = lines(&decode(&["-T", "jsonl", path, path], b""));
    assert_eq!(twice.len(), 2 * once.len());
    let (first, second) = twice.split_at(once.len());
    assert_eq!(first, once);
    for (at, (a, b)) in first.iter().zip(second).enumerate() {
        assert_eq!(b["frame"], (once.len() + at + 1) as u64);
        assert_eq!(b["conn"].as_u64(), a["conn"].as_u64().map(|conn| conn + 2));
        assert_eq!(a["time"], b["time"]);
    }
}

#[test]
fn gzip_stdin_and_a_plain_file_print_the_same() {
    let name = "orphans-extra.7.0.5.pcap.gz";
    let of_file = decode(&["-T", "jsonl", capture(name).to_str().unwrap()], b"");
    let of_stdin = decode(&["-T", "jsonl", "-"], &std::fs::read(capture(name)).unwrap());
    let inflated = decode(&["-T", "jsonl", "-"], &captured(name));
    assert_eq!(of_file.code, Some(0));
    assert!(of_file.stdout.lines().count() > 10_000);
    assert!(of_file.stdout == of_stdin.stdout && of_file.stdout == inflated.stdout);
}

#[test]
fn a_cut_off_file_gives_what_is_readable_and_one_line() {
    let whole = captured("client-answers-0x01.2019-07-after.pcap");
    let all = decode(&["-T", "jsonl", "-"], &whole).stdout;
    let mut fewer = 0;
    for len in [whole.len() - 1, whole.len() * 2 / 3, whole.len() / 2, whole.len() / 3 + 1, 30, 20, 3, 0] {
        for format in ["jsonl", "text"] {
            let ran = decode(&["-T", format, "-"], &whole[..len]);
            assert_eq!((ran.code, ran.stderr.lines().count()), (Some(2), 1), "{len}: {}", ran.stderr);
            assert!(ran.stderr.contains("expected") && ran.stderr.contains("found"), "{}", ran.stderr);
            if format == "jsonl" {
                assert!(all.starts_with(&ran.stdout), "cut at {len}");
                fewer += usize::from(!ran.stdout.is_empty() && ran.stdout.len() < all.len());
            }
        }
    }
    assert!(fewer >= 3);
}

#[test]
fn what_cannot_be_read_is_one_line_and_exit_2_and_the_other_files_are_printed() {
    let good = capture("bridged-plain.6.5.0.pcap");
    let good = good.to_str().unwrap();
    let ran = decode(&["-T", "jsonl", "no such file", good], b"");
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(2), 1), "{}", ran.stderr);
    assert!(ran.stderr.contains("no such file"), "{}", ran.stderr);
    assert_eq!(ran.stdout, decode(&["-T", "jsonl", good], b"").stdout);
    for args in [&["-T", "xml", good][..], &["--negotiated", "snapy", good], &[]] {
        let ran = decode(args, b"");
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.lines().count()), (Some(2), "", 1), "{}", ran.stderr);
    }
}

#[test]
fn a_capture_that_begins_in_the_middle_is_read_from_its_first_whole_frame() {
    let name = "bridged-plain.7.0.5-v7on.pcap";
    let bytes = captured(name);
    // The records up to the middle are left out.
    let mut at = 24;
    while at < bytes.len() / 2 {
        at += 16 + u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
    }
    let half = [&bytes[..24], &bytes[at..]].concat();
    let whole = lines(&decode(&["-T", "jsonl", "-"], &bytes));
    let ran = decode(&["-T", "jsonl", "--negotiated", "collections,snappy,xattr,include_delete_times", "-"], &half);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("gap: bytes of unknown number of the server missing"),
        "what is missing is told: {}",
        ran.stderr
    );
    let found = lines(&ran);
    // Times are those of the whole capture, so the rest of it is the frames from there on.
    let from = found[0]["time"].as_str().unwrap();
    let expected: Vec<&Value> = whole.iter().filter(|line| line["time"].as_str().unwrap() >= from).collect();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        for member in
            ["time", "magic", "opcode", "status", "vbucket", "opaque", "by_seqno", "key", "collection_id", "malformed"]
        {
            assert_eq!(found.get(member), expected.get(member), "{found} {expected}");
        }
    }
}

#[test]
fn a_small_snaplen_loses_no_more_than_it_cuts() {
    let bytes = captured("client-answers-0x01.2019-07-after.pcap");
    let whole = lines(&decode(&["-T", "jsonl", "-"], &bytes));
    let mut cut = bytes[..24].to_vec();
    let mut at = 24;
    let mut shortened = Vec::new();
    while at < bytes.len() {
        let number = |from: usize| u32::from_le_bytes(bytes[from..from + 4].try_into().unwrap());
        let len = number(at + 8) as usize;
        let kept = len.min(1200);
        if kept < len {
            shortened.push(json!(format!("{}.{:09}", number(at), number(at + 4) * 1000)));
        }
        cut.extend(&bytes[at..at + 8]);
        cut.extend((kept as u32).to_le_bytes());
        cut.extend(&bytes[at + 12..at + 16 + kept]);
        at += 16 + len;
    }
    let ran = decode(&["-T", "jsonl", "-"], &cut);
    assert_eq!(ran.code, Some(0));
    let found = lines(&ran);
    let in_cut_packets = |lines: &[Value]| lines.iter().filter(|line| shortened.contains(&line["time"])).count();
    assert!(in_cut_packets(&whole) > in_cut_packets(&found) && in_cut_packets(&found) > 5);
    // What is printed is right, and all that was in the other packets is there.
    let same = |a: &Value, b: &Value| {
        ["time", "conn", "from", "opcode", "opaque", "key", "by_seqno", "malformed"]
            .iter()
            .all(|m| a.get(m) == b.get(m))
    };
    let mut left = found.iter().peekable();
    for line in &whole {
        if left.next_if(|other| same(line, other)).is_none() {
            assert!(shortened.contains(&line["time"]), "{line}");
        }
    }
    assert_eq!(left.next(), None);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let path = capture("truth-table.7.0.5.pcap.gz");
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("dcproxy"))
        .args(["decode", path.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut some = [0; 100];
    out.read_exact(&mut some).unwrap();
    drop(out);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}

#[test]
fn text_is_one_line_for_each_frame() {
    let path = capture("formats.6.5.0.pcap");
    let path = path.to_str().unwrap();
    let text = decode(&[path], b"");
    let json = decode(&["-T", "jsonl", path], b"");
    assert_eq!(text.code, Some(0));
    assert_eq!(text.stdout.lines().count(), json.stdout.lines().count());
    for (text, json) in text.stdout.lines().zip(lines(&json)) {
        for member in ["frame", "opcode", "from"] {
            let word = json[member].as_str().map_or_else(|| json[member].to_string(), str::to_owned);
            assert!(text.split_whitespace().any(|found| found == word), "{member} {word}: {text}");
        }
        assert_eq!(text.contains("MALFORMED: expected"), json.get("malformed").is_some(), "{text}");
        assert!(text.is_ascii(), "{text}");
    }
}
