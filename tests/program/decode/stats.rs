use serde_json::Value;

use super::capture;
use super::captured;
use super::decode;
use super::decoded;
use super::lines;
use super::without;

fn report(args: &[&str], name: &str) -> Value {
    let ran = decoded(name, &[&["--stats", "-T", "jsonl"], args].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&ran.stdout).unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}

/// `tests/data/stats.txt` is what is said of a real capture; `DCPROXY_WRITE_DOCS=1` writes it anew.
#[test]
fn the_report_of_a_real_capture() {
    let ran = decode(&["--stats", capture("bridged-close-at-both.7.0.5-v7on.pcap").to_str().unwrap()], b"");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/stats.txt");
    if std::env::var_os("DCPROXY_WRITE_DOCS").is_some() {
        std::fs::write(path, &ran.stdout).unwrap();
    }
    assert_eq!(ran.stdout, std::fs::read_to_string(path).unwrap());
}

#[test]
fn every_frame_is_counted_once_everywhere() {
    for name in ["everything.7.0.5.pcap.gz", "client-answers-0x01.2019-07-after.pcap", "bridged-plain.6.5.0.pcap"] {
        let lines = lines(&decoded(name, &["-T", "jsonl"]));
        let report = report(&[], name);
        assert_eq!(number(&report["frames"]), lines.len() as u64, "{name}");
        let sum = |list: &Value, member: &str| -> u64 {
            list.as_array().unwrap().iter().map(|item| number(&item[member])).sum()
        };
        assert_eq!(sum(&report["messages"], "frames"), lines.len() as u64, "{name}");
        assert_eq!(sum(&report["messages"], "bytes"), number(&report["bytes"]), "{name}");
        let connections = report["connections"].as_array().unwrap();
        let (mut of_ends, mut orphans, mut malformed, mut items) = (0, 0, 0, 0);
        for connection in connections {
            of_ends += number(&connection["from_client"]["frames"]) + number(&connection["from_server"]["frames"]);
            orphans += sum(&connection["orphans"], "count");
            malformed += number(&connection["malformed"]);
            items += sum(&connection["streams"], "items");
        }
        let having =
            |member: &str| lines.iter().filter(|line| line.get(member) == Some(&Value::Bool(true))).count() as u64;
        assert_eq!(
            (of_ends, orphans, malformed),
            (lines.len() as u64, having("orphan"), having("malformed")),
            "{name}"
        );
        let seqnos = ["by_seqno", "commit_seqno", "abort_seqno"];
        let with_seqno = |line: &&Value| {
            line["opcode"] != "DCP_SEQNO_ADVANCED" && seqnos.iter().any(|member| line.get(*member).is_some())
        };
        assert_eq!(items, lines.iter().filter(with_seqno).count() as u64, "{name}");
        let answered = lines.iter().filter(|line| line.get("response_time").is_some()).count() as u64;
        assert_eq!(sum(&report["response_times"], "count"), answered, "{name}");
    }
}

#[test]
fn response_times_are_those_of_the_frames() {
    let name = "everything.7.0.5.pcap.gz";
    let lines = lines(&decoded(name, &["-T", "jsonl"]));
    for times in report(&[], name)["response_times"].as_array().unwrap() {
        let nanos = |time: &Value| time.as_str().unwrap().replace('.', "").parse::<u64>().unwrap();
        let of_message = lines.iter().filter(|line| line["opcode"] == times["message"]);
        let mut exact: Vec<u64> = of_message.filter_map(|line| line.get("response_time")).map(nanos).collect();
        exact.sort_unstable();
        assert_eq!(number(&times["count"]), exact.len() as u64);
        assert_eq!((nanos(&times["min"]), nanos(&times["max"])), (exact[0], exact[exact.len() - 1]));
        for (member, percent) in [("median", 50), ("p99", 99)] {
            let exact = exact[(exact.len() * percent).div_ceil(100) - 1];
            assert!(nanos(&times[member]).abs_diff(exact) <= exact / 62 + 1, "{times} {member} {exact}");
        }
    }
}

#[test]
fn streams_have_their_ranges_and_how_they_ended() {
    let name = "everything.7.0.5.pcap.gz";
    let lines = lines(&decoded(name, &["-T", "jsonl"]));
    let mut ended = 0;
    for connection in report(&[], name)["connections"].as_array().unwrap() {
        for stream in connection["streams"].as_array().unwrap() {
            let of_stream = |line: &&Value| {
                line["conn"] == connection["conn"]
                    && line["vbucket"] == stream["vbucket"]
                    && line["opaque"] == stream["opaque"]
            };
            let requests: Vec<&Value> =
                lines.iter().filter(of_stream).filter(|line| line["opcode"] == "DCP_STREAM_REQ").collect();
            assert!(requests.iter().any(|line| line["start_seqno"] == stream["start_seqno"]), "{stream}");
            if let Some(reason) = stream["state"].as_str().unwrap().strip_prefix("ended ") {
                let reason: u64 = reason.parse().unwrap();
                let ends = lines.iter().filter(of_stream).filter(|line| line["opcode"] == "DCP_STREAM_END");
                assert!(ends.into_iter().any(|line| line["end_reason"] == reason), "{stream}");
                ended += 1;
            }
            assert!(stream["first_seqno"].as_u64() <= stream["last_seqno"].as_u64(), "{stream}");
        }
    }
    assert!(ended > 0);
}

#[test]
fn a_filter_and_a_count_narrow_what_is_counted() {
    let name = "everything.7.0.5.pcap.gz";
    let report = |args: &[&str]| report(args, name);
    let prepares = report(&["-Y", "dcp.opcode == prepare"]);
    let messages = prepares["messages"].as_array().unwrap();
    assert!(!messages.is_empty() && messages.iter().all(|message| message["message"] == "DCP_PREPARE"), "{prepares}");
    let all = report(&[]);
    let of_all = all["messages"].as_array().unwrap().iter().filter(|message| message["message"] == "DCP_PREPARE");
    // Not the rates: they are of the time between the first and the last that counts.
    let counts = |message: &Value| (message["status"].clone(), message["frames"].clone(), message["bytes"].clone());
    assert_eq!(messages.iter().map(counts).collect::<Vec<_>>(), of_all.map(counts).collect::<Vec<_>>());
    assert_eq!(report(&["-c", "17"])["frames"], 17);
}

#[test]
fn the_window_and_what_is_missing_are_told() {
    let stalled = report(&[], "close-while-stalled.2019-07-after.pcap");
    let windows: Vec<&Value> = stalled["connections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|connection| &connection["flow_control"])
        .filter(|window| window.is_object())
        .collect();
    assert!(
        windows.iter().any(|window| {
            number(&window["full_frames"]) > 0
                && number(&window["full_frames"]) <= number(&window["charged_frames"])
                && number(&window["max_outstanding"]) >= number(&window["window"])
                && window["full_share"].as_f64().unwrap() > 0.0
        }),
        "{windows:?}"
    );
    let holed = without(&captured("bridged-every-frame-twice.6.5.0.pcap"), |number| number % 50 == 49);
    let ran = decode(&["--stats", "-T", "jsonl", "-"], &holed);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let connections = report["connections"].as_array().unwrap();
    let gaps: u64 = connections.iter().map(|connection| number(&connection["gaps"])).sum();
    let missing: u64 = connections.iter().map(|connection| number(&connection["missing_bytes"])).sum();
    assert_eq!(gaps as usize, ran.stderr.lines().filter(|line| line.contains(" gap: ")).count());
    assert!(gaps > 0 && missing > 0, "{report}");
}

#[test]
fn hex_lines_are_counted_too() {
    let ran = decode(&["--hex", "--stats", "-"], b"801000000000000000000000000000000000000000000000\n");
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.starts_with("1 frames, 24 bytes in 0.000000000 s\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("STAT"), "{}", ran.stdout);
}
