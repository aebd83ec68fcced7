//! Files that are cut off, are no captures, or are several.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use dcproxy::report::Connection;
use dcproxy::report::Report;
use dcproxy::report::Row;
use dcproxy::verdict::Verdict;
use tempfile::TempDir;

use super::Checked;
use super::capture;
use super::check;
use super::finding;

const CLOSED: &str = "bridged-failover.2019-07-before.pcap";
const KEPT: &str = "bridged-stream-end-first.2019-07-after.pcap";
const ZIPPED: &str = "bridged-failover-natural.2019-07-before.pcap.gz";

/// Wherever a capture is cut, all packets before are judged, as if it were a shorter capture.
#[test]
fn cut_off_captures() {
    let dir = tempfile::tempdir().expect("a directory");
    let whole = fs::read(capture(CLOSED)).expect("a capture");
    let packets = packets(&whole);
    let judged = |report: &Report| report.connections.iter().map(|c| c.frames.producer).sum::<u64>();
    let mut frames = Vec::new();
    for part in [1, 5, 20, 50, 75, 90, 99] {
        let packet = &packets[(packets.len() - 1) * part / 100];
        let shorter = check("2019-07", &[write(&dir, "shorter.pcap", &whole[..packet.start])]);
        assert!([1, 3].contains(&shorter.code), "{part} %: {}", shorter.code);
        // Inside the packet's header, behind it, and before its last byte.
        for at in [packet.start + 7, packet.start + 16, packet.end - 1] {
            let cut = check("2019-07", &[write(&dir, "cut.pcap", &whole[..at])]);
            assert_error(&cut, &["cut.pcap: ", "the capture is cut off at byte ", "expected ", "found "]);
            assert_eq!(cut.report.verdict, shorter.report.verdict, "{part} %");
            assert_eq!(cut.report.matrix, shorter.report.matrix, "{part} %");
            assert_eq!(cut.report.connections, shorter.report.connections, "{part} %");
        }
        frames.push(judged(&shorter.report));
    }
    assert!(frames.is_sorted() && frames.first() < frames.last(), "{frames:?}");
    // The disconnect comes before the last packets: it is told all the same, and the error wins over it.
    let cut = check("2019-07", &[write(&dir, "cut.pcap", &whole[..whole.len() - 1])]);
    assert_error(&cut, &["cut.pcap"]);
    assert_eq!(cut.report.verdict, Verdict::Fail);
    let closed = cut.report.connections.iter().find_map(|connection| finding(connection, "connection-kept"));
    assert_eq!(closed.map(|kept| kept.verdict), Some(Verdict::Fail));
}

#[test]
fn cut_off_gzip() {
    let dir = tempfile::tempdir().expect("a directory");
    let whole = fs::read(capture(ZIPPED)).expect("a capture");
    let full = check("2019-07", &[capture(ZIPPED)]).report;
    let mut orphans = Vec::new();
    for part in [50, 75, 90, 99] {
        let cut = check("2019-07", &[write(&dir, "cut.pcap.gz", &whole[..whole.len() * part / 100])]);
        assert_error(&cut, &["cut.pcap.gz: the capture is cut off", "expected ", "found "]);
        orphans.push(cut.report.connections.iter().map(|connection| connection.orphans_total).sum::<u64>());
    }
    assert!(orphans.is_sorted() && orphans.last() > Some(&0), "{orphans:?}");
    // What is lost at the very end is the check sum alone.
    let cut = check("2019-07", &[write(&dir, "cut.pcap.gz", &whole[..whole.len() - 4])]);
    assert_error(&cut, &["cut.pcap.gz"]);
    assert_eq!((&cut.report.connections, &cut.report.matrix), (&full.connections, &full.matrix));
    assert_eq!(cut.report.verdict, Verdict::Fail);
}

#[test]
fn no_captures() {
    let dir = tempfile::tempdir().expect("a directory");
    let whole = fs::read(capture(KEPT)).expect("a capture");
    for (file, words) in [
        (dir.path().join("missing.pcap"), &["opening ", "missing.pcap", "No such file"][..]),
        (dir.path().to_owned(), &["Is a directory"]),
        (write(&dir, "empty.pcap", b""), &["empty.pcap: expected a pcap or pcapng file", "found an empty file"]),
        (
            write(&dir, "text.pcap", b"GET / HTTP/1.1\r\n\r\n"),
            &["text.pcap: expected a pcap", "found the bytes 47455420"],
        ),
        (write(&dir, "head.pcap", &whole[..20]), &["head.pcap: the capture is cut off at byte 0"]),
        (write(&dir, "magic.pcap", &whole[..3]), &["magic.pcap: "]),
        (write(&dir, "zip.gz", &[0x1f, 0x8b, 8, 0]), &["zip.gz: "]),
    ] {
        let ran = check("auto", &[&file]);
        assert_error(&ran, words);
        assert!(ran.report.connections.is_empty() && ran.report.matrix.is_empty(), "{file:?}");
        assert_ne!(ran.report.verdict, Verdict::Pass, "{file:?}");
    }
}

#[test]
fn several_files() {
    let alone = |name: &str| check("2019-07", &[capture(name)]).report;
    let (kept, closed) = (alone(KEPT), alone(CLOSED));
    let both = check("2019-07", &[capture(KEPT), capture(CLOSED), capture(KEPT)]);
    assert_eq!((both.code, both.report.verdict, both.stderr.as_str()), (1, Verdict::Fail, ""));
    // There are two connections in the first file and three in the second, judged or not.
    let mut expected = Vec::new();
    for (before, report) in [(0, &kept), (2, &closed), (5, &kept)] {
        assert!(!report.connections.is_empty());
        let after = |connection: &Connection| Connection { id: before + connection.id, ..connection.clone() };
        expected.extend(report.connections.iter().map(after));
    }
    assert_eq!(both.report.connections, expected);
    // STREAM_END never came in the second, but did in the others.
    assert_eq!(closed.findings.len(), 1);
    assert!(both.report.findings.is_empty(), "{:?}", both.report.findings);
    for row in &both.report.matrix {
        let alone = |rows: &[Row]| {
            rows.iter().find(|r| (&r.message, &r.status) == (&row.message, &row.status)).map_or(0, |row| row.answered)
        };
        assert_eq!(row.answered, 2 * alone(&kept.matrix) + alone(&closed.matrix), "{row:?}");
    }
}

/// An unreadable file does not keep the others from being judged, and outweighs what they came to.
#[test]
fn an_unreadable_file_among_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let missing = dir.path().join("missing.pcap");
    let ran = check("2019-07", &[capture(KEPT), missing, capture(CLOSED)]);
    assert_error(&ran, &["missing.pcap"]);
    assert_eq!(ran.report.verdict, Verdict::Fail);
    let judged = ran.report.connections.iter().filter(|connection| connection.era.is_some());
    let judged: Vec<_> = judged.map(|connection| (connection.id, connection.verdict)).collect();
    assert_eq!(judged, [(2, Verdict::Pass), (4, Verdict::Fail)]);
}

/// Exit 2, one line on stderr that says these words in this order, and the same in the report.
#[track_caller]
fn assert_error(ran: &Checked, words: &[&str]) {
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let line = ran.stderr.strip_suffix('\n').unwrap_or_default();
    assert!(line.starts_with("dcproxy: ") && !line.contains('\n'), "{:?}", ran.stderr);
    let mut rest = line;
    for word in words {
        let (_, after) = rest.split_once(word).unwrap_or_else(|| panic!("expected {words:?}, found {line}"));
        rest = after;
    }
    let [error] = ran.report.errors.as_slice() else { panic!("{:?}", ran.report.errors) };
    assert_eq!(format!("dcproxy: {error}"), line);
}

/// Where the packets of a classic pcap file (little-endian) are.
fn packets(file: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut packets: Vec<std::ops::Range<usize>> = Vec::new();
    let mut start = 24;
    while start < file.len() {
        let length = u32::from_le_bytes(file[start + 8..start + 12].try_into().expect("four bytes"));
        let end = start + 16 + length as usize;
        packets.push(start..end);
        start = end;
    }
    assert_eq!(start, file.len());
    packets
}

fn write(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path: PathBuf = Path::new(dir.path()).join(name);
    fs::write(&path, bytes).expect("written");
    path
}

#[test]
fn the_report_does_not_depend_on_how_many_threads_judge() {
    let dir = tempfile::tempdir().expect("a directory");
    let cut = fs::read(capture(CLOSED)).expect("readable");
    let cut = write(&dir, "cut.pcap", &cut[..cut.len() - 1]);
    let files = [capture("bridged-mixed.producer-6.5.0_consumer-2019-07.pcap"), capture(ZIPPED), cut, capture(KEPT)];
    let with = |jobs: &str| {
        let args: Vec<PathBuf> = std::iter::once(jobs.into()).chain(files.iter().cloned()).collect();
        check("auto", &args)
    };
    let one = with("--jobs=1");
    assert!(one.report.connections.len() > 8 && one.report.errors.len() == 1, "{:?}", one.report.errors);
    for jobs in ["--jobs=0", "--jobs=2", "--jobs=3", "--jobs=100"] {
        let many = with(jobs);
        assert_eq!((many.code, &many.stderr, &many.report), (one.code, &one.stderr, &one.report), "{jobs}");
    }
}
