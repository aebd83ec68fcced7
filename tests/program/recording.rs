//! `proxy --record`: what `check` says of a recording is what was said of the live run.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use dcproxy::era::Era;
use dcproxy::journal::Role;
use dcproxy::net::{RecorderOptions, Rehearsal, rehearse};
use dcproxy::node::{Config, Quirk};
use dcproxy::replay::Recording;
use dcproxy::report::{Finding, Report};
use dcproxy::scenario::Scenario;
use dcproxy::verdict::Verdict;
use dcproxy::wire::Opcode;

/// A scenario against a node, recorded.
fn recorded(scenario: &str, era: Era, seed: u64, quirks: BTreeSet<Quirk>, to: &Path) -> Rehearsal {
    let scenario = Scenario::named(scenario).expect("built in");
    Rehearsal {
        record: Some(RecorderOptions { path: to.to_owned(), ..RecorderOptions::default() }),
        ..Rehearsal::new(Config { era, seed, quirks, ..Config::default() }, scenario)
    }
}

fn all(rehearsals: &[Rehearsal]) -> Vec<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let rehearsed = runtime.block_on(rehearse(rehearsals.iter().cloned())).expect("loopback sockets");
    rehearsed.into_iter().map(|rehearsed| rehearsed.report).collect()
}

/// What `check` says of a file, and its exit code.
fn checked(file: &Path, args: &[&str]) -> (Report, Option<i32>) {
    let report = file.with_extension("checked.json");
    let output = Command::new(env!("CARGO_BIN_EXE_dcproxy"))
        .args(["check".as_ref(), file.as_os_str(), "--report".as_ref(), report.as_os_str()])
        .args(args)
        .output()
        .expect("it runs");
    let text = std::fs::read_to_string(&report);
    let text = text.unwrap_or_else(|_| panic!("no report: {}", String::from_utf8_lossy(&output.stderr)));
    (serde_json::from_str(&text).expect("a report"), output.status.code())
}

fn told(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| format!("{} {}: {}", finding.id, finding.verdict, finding.actual)).collect()
}

/// Everything that was said live is said of the recording.
fn assert_same(live: &Report, check: &Report, what: &str) {
    assert_eq!(live.connections.len(), check.connections.len(), "{what}");
    for (live, check) in live.connections.iter().zip(&check.connections) {
        assert_eq!(told(&live.findings), told(&check.findings), "{what}");
        assert_eq!(told(&live.notes), told(&check.notes), "{what}");
        assert!(live == check, "{what}: {live:?}\n{check:?}");
    }
    assert_eq!(told(&live.findings), told(&check.findings), "{what}");
    assert_eq!((&live.matrix, &live.era, &live.reason), (&check.matrix, &check.era, &check.reason), "{what}");
    assert_eq!((live.verdict, live.seed, &live.scenarios), (check.verdict, check.seed, &check.scenarios), "{what}");
}

fn live_and_recorded(runs: impl IntoIterator<Item = (&'static str, Era, BTreeSet<Quirk>)>) {
    let directory = tempfile::tempdir().expect("a directory");
    let (rehearsals, files): (Vec<_>, Vec<_>) = runs
        .into_iter()
        .zip(1..)
        .map(|((scenario, era, quirks), seed)| {
            let file = directory.path().join(format!("{seed}.pcapng"));
            (recorded(scenario, era, seed, quirks, &file), file)
        })
        .unzip();
    for ((live, rehearsal), file) in all(&rehearsals).iter().zip(&rehearsals).zip(&files) {
        let Config { era, quirks, .. } = &rehearsal.node;
        let what = format!("{} in era {era} with {quirks:?}", live.scenarios.join(","));
        if let Some(keep) = std::env::var_os("DCPROXY_KEEP") {
            std::fs::copy(file, Path::new(&keep).join(file.file_name().expect("a name"))).expect("kept");
        }
        let recording = live.recording.as_ref().expect("it was recorded");
        assert_eq!((recording.lost_frames, &recording.error), (0, &None), "{what}");
        assert!(recording.frames > 200, "{what}: {} frames", recording.frames);
        let (check, code) = checked(file, &[]);
        assert_same(live, &check, &what);
        let expected = match live.verdict {
            Verdict::Pass => 0,
            Verdict::Fail => 1,
            Verdict::Inconclusive => 3,
        };
        assert_eq!(code, Some(expected), "{what}");
    }
}

#[test]
fn a_recorded_pass_is_a_pass_in_every_era() {
    live_and_recorded(Era::ALL.map(|era| ("orphaned-responses", era, BTreeSet::new())));
}

#[test]
fn a_recorded_quirk_is_what_it_was_live() {
    let quirks = [
        Quirk::Mb35287,
        Quirk::Mb32724,
        Quirk::Mb37009,
        Quirk::Mb40934,
        Quirk::Mb18625,
        Quirk::StallAfterOrphan,
        Quirk::RepeatAfterOrphan,
        Quirk::LeakWindow,
        Quirk::LateDisconnect,
    ];
    live_and_recorded(quirks.map(|quirk| ("orphaned-responses", Era::V7_0, [quirk].into())));
}

#[test]
fn other_scenarios_are_what_they_were_live() {
    live_and_recorded(
        ["close-at-producer", "close-at-consumer", "close-at-both", "close-at-end"]
            .map(|scenario| (scenario, Era::V6_5, BTreeSet::new())),
    );
}

/// What faults do to frames and to the connection is told as what it is: a frame in another's place, one added, one cut with
/// all behind it in no frame, an end that the tool has reset.
#[test]
fn single_faults_are_what_they_were_live() {
    let third = "filter = 'dcp.opcode == mutation', nth = 30";
    let request = "from = 'consumer', filter = 'dcp.opcode == stream_req', nth = 2";
    let expect =
        "expect = [{ survives = { within = '1s' } }, { progress = { on = 'any', messages = 5, within = '1s' } }]";
    let faults = [
        (third, "rewrite = { field = 'cas', to = 7 }", "replaced: "),
        (third, "duplicate = {}", "injected: "),
        (request, "duplicate = {}", "withheld: "),
        (request, "truncate = { bytes = 40, then = 'go-on' }", "garbled error=truncated expected="),
        (request, "rewrite = { field = 'body_len', to = 47 }", "garbled error="),
        (third, "truncate = { bytes = 40, then = 'go-on' }", "garbled error=truncated expected="),
        (third, "truncate = { then = 'rst' }", "cut to "),
        (third, "disconnect = { end = 'producer', how = 'rst' }", "injected: "),
        (third, "disconnect = { end = 'consumer', how = 'rst' }", "injected: "),
    ];
    let directory = tempfile::tempdir().expect("a directory");
    let (rehearsals, files): (Vec<_>, Vec<_>) = faults
        .iter()
        .zip(1..)
        .map(|((when, fault, _), seed)| {
            let text = format!(
                "name = 's'\nabout = ''\n[[steps]]\nname = 'a'\nwhen = {{ {when} }}\ndo = {{ {fault} }}\n{expect}\n"
            );
            let scenario = Scenario::parse(&text).unwrap_or_else(|error| panic!("{error}"));
            let file = directory.path().join(format!("{seed}.pcapng"));
            let record = Some(RecorderOptions { path: file.clone(), ..RecorderOptions::default() });
            (Rehearsal { record, ..Rehearsal::new(Config { seed, ..Config::default() }, scenario) }, file)
        })
        .unzip();
    for ((live, file), (_, fault, remark)) in all(&rehearsals).iter().zip(&files).zip(&faults) {
        assert_eq!(live.connections[0].steps.len(), 1, "{fault}: it fired");
        let (check, _) = checked(file, &[]);
        assert_same(live, &check, fault);
        let remark = format!("dcproxy: {remark}");
        let bytes = std::fs::read(file).expect("recorded");
        assert!(bytes.windows(remark.len()).any(|part| part == remark.as_bytes()), "{fault}: no '{remark}'");
    }
}

/// The blocks of a pcapng file.
fn blocks(file: &[u8]) -> Vec<&[u8]> {
    let mut blocks = Vec::new();
    let mut rest = file;
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[4..8].try_into().expect("four bytes")) as usize;
        let (block, behind) = rest.split_at(len);
        blocks.push(block);
        rest = behind;
    }
    blocks
}

/// A disk that was slow has lost frames, but none of the things that the tool did: there is less evidence, and never
/// evidence against the producer.
#[test]
fn what_a_slow_disk_has_lost_is_no_evidence_against_the_producer() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = [Era::V2019_07, Era::V7_0].map(|era| (era, directory.path().join(format!("{era}.pcapng"))));
    let rehearsals: Vec<_> = files
        .iter()
        .zip(1..)
        .map(|((era, file), seed)| recorded("orphaned-responses", *era, seed, BTreeSet::new(), file))
        .collect();
    for (live, (era, file)) in all(&rehearsals).iter().zip(&files) {
        assert_eq!(live.verdict, Verdict::Pass);
        let whole = std::fs::read(file).expect("recorded");
        let blocks = blocks(&whole);
        for n in 0..4_usize {
            // Packets of the judged edge, with frames and without a remark, in runs of several lengths.
            let (every, run) = ([5, 11, 23, 47][n % 4], [1, 2, 3][n % 3]);
            let mut count = 17 * n;
            let mut is_lost = |block: &[u8]| {
                let number = |at: usize| u32::from_le_bytes(block[at..at + 4].try_into().expect("four bytes"));
                let remarked = || block.windows(9).any(|part| part == b"dcproxy: ");
                let is_one = number(0) == 6 && number(8) == 1 && number(20) > 60 && !remarked();
                count += usize::from(is_one);
                is_one && count % every < run
            };
            let left: Vec<u8> =
                blocks.iter().filter(|block| !is_lost(block)).flat_map(|block| block.to_vec()).collect();
            assert!(left.len() < whole.len());
            let damaged = file.with_extension(format!("{n}.pcapng"));
            std::fs::write(&damaged, left).expect("written");
            let (check, code) = checked(&damaged, &[]);
            assert_eq!(
                check.verdict,
                Verdict::Inconclusive,
                "era {era}, {n}: {:?}",
                check.connections.iter().map(|c| told(&c.findings)).collect::<Vec<_>>()
            );
            assert_eq!(code, Some(3));
        }
    }
}

#[test]
fn of_a_recording_the_edge_is_replayed_at_which_the_partner_of_the_replayed_end_stood() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("run.pcapng");
    all(&[recorded("orphaned-responses", Era::V7_0, 1, BTreeSet::new(), &file)]);
    let (mut frames, mut ports) = (Vec::new(), BTreeSet::new());
    for role in [Role::Consumer, Role::Producer] {
        let reader = std::fs::File::open(&file).expect("a recording");
        let recording = Recording::read(reader, role, None).expect("readable");
        let [script] = &recording.scripts[..] else { panic!("one of the two: {:?}", recording.left_out) };
        let [(number, reason)] = &recording.left_out[..] else { panic!("the other: {:?}", recording.left_out) };
        assert!(reason.contains("edge of the tool's connection 1") && *number != script.number, "{reason}");
        let close = (Role::Consumer, Opcode::DCP_CLOSE_STREAM);
        frames.push(script.opcodes().filter(|sent| *sent == close).count());
        ports.insert(script.number);
    }
    assert!(frames[0] > 0, "the producer was told of the tool's closes");
    assert_eq!((frames[1], ports.len()), (0, 2), "the consumer closed nothing");
}
