//! The table of `captures/README.md`: one row a capture, with what is in it and the exit codes by three eras.

use std::collections::BTreeSet;
use std::fs;

use dcproxy::report::Connection;
use dcproxy::report::Outcome;
use dcproxy::report::Report;
use dcproxy::verdict::Verdict;

use super::Checked;
use super::capture;
use super::captures;
use super::check;
use super::finding;
use super::folder;

/// Every disconnect after orphaned responses outside of the truth tables: the connection, counted from 1, how and when the
/// producer closed, and all that it was told before. Found with a reader of captures of its own.
const CLOSED: &[(&str, u64, &str)] = &[
    (
        "bridged-close-at-both.2019-07-before_old-consumer.pcap",
        2,
        "RST 986 ms after DCP_STREAM_END/KeyEnoent (1), DCP_SNAPSHOT_MARKER/KeyEnoent (5), \
         DCP_MUTATION/KeyEnoent (42), DCP_DELETION/KeyEnoent (3), DCP_EXPIRATION/KeyEnoent (5), \
         DCP_SYSTEM_EVENT/KeyEnoent (5), DCP_PREPARE/KeyEnoent (9), DCP_COMMIT/KeyEnoent (6), \
         DCP_ABORT/KeyEnoent (3)",
    ),
    (
        "bridged-close-at-consumer.2019-07-before_old-consumer.pcap",
        2,
        "RST 496 ms after DCP_SNAPSHOT_MARKER/KeyEnoent (5), DCP_MUTATION/KeyEnoent (42), \
         DCP_DELETION/KeyEnoent (3), DCP_EXPIRATION/KeyEnoent (5), DCP_SYSTEM_EVENT/KeyEnoent (5), \
         DCP_PREPARE/KeyEnoent (9), DCP_COMMIT/KeyEnoent (6), DCP_ABORT/KeyEnoent (3)",
    ),
    (
        "bridged-close-both-then-readd.2019-07-before.pcap",
        2,
        "RST 98 ms after DCP_SNAPSHOT_MARKER/KeyEnoent (5), DCP_MUTATION/KeyEnoent (42), \
         DCP_DELETION/KeyEnoent (3), DCP_EXPIRATION/KeyEnoent (5), DCP_SYSTEM_EVENT/KeyEnoent (5), \
         DCP_PREPARE/KeyEnoent (9), DCP_COMMIT/KeyEnoent (6), DCP_ABORT/KeyEnoent (3)",
    ),
    (
        "bridged-failover-natural.2019-07-before.pcap.gz",
        2,
        "RST 3 ms after DCP_MUTATION/KeyEnoent (2698), DCP_DELETION/KeyEnoent (4), DCP_EXPIRATION/KeyEnoent \
         (5), DCP_PREPARE/KeyEnoent (5), DCP_ABORT/KeyEnoent (3)",
    ),
    (
        "bridged-failover-natural.6.5.0.pcap.gz",
        2,
        "RST 378 ms after DCP_MUTATION/KeyEnoent (2700), DCP_DELETION/KeyEnoent (4), DCP_EXPIRATION/KeyEnoent \
         (5), DCP_PREPARE/KeyEnoent (5), DCP_ABORT/KeyEnoent (3)",
    ),
    (
        "bridged-failover.2019-07-before.pcap",
        2,
        "RST 247 ms after DCP_SNAPSHOT_MARKER/KeyEnoent (5), DCP_MUTATION/KeyEnoent (42), \
         DCP_DELETION/KeyEnoent (3), DCP_EXPIRATION/KeyEnoent (5), DCP_SYSTEM_EVENT/KeyEnoent (5), \
         DCP_PREPARE/KeyEnoent (9), DCP_COMMIT/KeyEnoent (6), DCP_ABORT/KeyEnoent (3)",
    ),
    (
        "bridged-failover.6.5.0.pcap",
        2,
        "RST 10 ms after DCP_SNAPSHOT_MARKER/KeyEnoent (5), DCP_MUTATION/KeyEnoent (42), \
         DCP_DELETION/KeyEnoent (3), DCP_EXPIRATION/KeyEnoent (5), DCP_SYSTEM_EVENT/KeyEnoent (5), \
         DCP_PREPARE/KeyEnoent (9), DCP_COMMIT/KeyEnoent (6), DCP_ABORT/KeyEnoent (3)",
    ),
    (
        "bridged-failover.7.0.5-v7off.pcap",
        2,
        "RST 524 ms after DCP_SNAPSHOT_MARKER/KeyEnoent (8), DCP_MUTATION/KeyEnoent (42), \
         DCP_DELETION/KeyEnoent (3), DCP_EXPIRATION/KeyEnoent (5), DCP_SYSTEM_EVENT/KeyEnoent (5), \
         DCP_PREPARE/KeyEnoent (9), DCP_COMMIT/KeyEnoent (6), DCP_ABORT/KeyEnoent (3)",
    ),
    (
        "bridged-mixed.producer-2019-07-before_consumer-6.5.0.pcap",
        6,
        "RST 141 ms after DCP_SNAPSHOT_MARKER/KeyEexists (3), DCP_MUTATION/KeyEexists (47), \
         DCP_DELETION/KeyEnoent (4), DCP_EXPIRATION/KeyEnoent (5), DCP_SYSTEM_EVENT/KeyEexists (5)",
    ),
    (
        "bridged-mixed.producer-2019-07-before_consumer-6.5.0.pcap",
        9,
        "RST 734 ms after DCP_SNAPSHOT_MARKER/KeyEnoent (3), DCP_MUTATION/KeyEnoent (47), \
         DCP_DELETION/KeyEnoent (4), DCP_EXPIRATION/KeyEnoent (5), DCP_SYSTEM_EVENT/KeyEnoent (5)",
    ),
    (
        "bridged-readd-producer-open.2019-07-before.pcap",
        2,
        "RST 120 ms after DCP_SNAPSHOT_MARKER/KeyEnoent (5), DCP_MUTATION/KeyEnoent (42), \
         DCP_DELETION/KeyEnoent (3), DCP_EXPIRATION/KeyEnoent (5), DCP_SYSTEM_EVENT/KeyEnoent (5), \
         DCP_PREPARE/KeyEnoent (9), DCP_COMMIT/KeyEnoent (6), DCP_ABORT/KeyEnoent (3)",
    ),
    (
        "bridged-stream-end-first.2019-07-before.pcap",
        2,
        "RST 777 ms after DCP_SNAPSHOT_MARKER/KeyEnoent (5), DCP_MUTATION/KeyEnoent (42), \
         DCP_DELETION/KeyEnoent (3), DCP_EXPIRATION/KeyEnoent (5), DCP_SYSTEM_EVENT/KeyEnoent (5), \
         DCP_PREPARE/KeyEnoent (9), DCP_COMMIT/KeyEnoent (6), DCP_ABORT/KeyEnoent (3)",
    ),
    (
        "bridged-stream-end-first.6.5.0.pcap",
        2,
        "RST 96 ms after DCP_SNAPSHOT_MARKER/KeyEnoent (5), DCP_MUTATION/KeyEnoent (42), \
         DCP_DELETION/KeyEnoent (3), DCP_EXPIRATION/KeyEnoent (5), DCP_SYSTEM_EVENT/KeyEnoent (5), \
         DCP_PREPARE/KeyEnoent (9), DCP_COMMIT/KeyEnoent (6), DCP_ABORT/KeyEnoent (3)",
    ),
    (
        "bridged-stream-end-first.7.0.5-v7off.pcap",
        2,
        "RST 32 ms after DCP_SNAPSHOT_MARKER/KeyEnoent (8), DCP_MUTATION/KeyEnoent (42), \
         DCP_DELETION/KeyEnoent (3), DCP_EXPIRATION/KeyEnoent (5), DCP_SYSTEM_EVENT/KeyEnoent (5), \
         DCP_PREPARE/KeyEnoent (9), DCP_COMMIT/KeyEnoent (6), DCP_ABORT/KeyEnoent (3)",
    ),
    ("bridged-without-delete-times.7.0.5.pcap", 2, "RST 959 ms after DCP_DELETION/Einval (8)"),
    (
        "client-answers-0x01.2019-07-before.pcap",
        1,
        "RST 586 ms after DCP_SNAPSHOT_MARKER/KeyEnoent (5), DCP_MUTATION/KeyEnoent (43), \
         DCP_DELETION/KeyEnoent (3), DCP_EXPIRATION/KeyEnoent (5), DCP_SYSTEM_EVENT/KeyEnoent (5), \
         DCP_PREPARE/KeyEnoent (9), DCP_COMMIT/KeyEnoent (6), DCP_ABORT/KeyEnoent (3)",
    ),
    (
        "client-answers-0x04.2019-07-before.pcap",
        1,
        "RST 296 ms after DCP_STREAM_END/Einval (1), DCP_SNAPSHOT_MARKER/Einval (5), DCP_MUTATION/Einval \
         (43), DCP_DELETION/Einval (3), DCP_EXPIRATION/Einval (5), DCP_SYSTEM_EVENT/Einval (5), \
         DCP_PREPARE/Einval (9), DCP_COMMIT/Einval (6), DCP_ABORT/Einval (3)",
    ),
    (
        "client-answers-0x07.2019-07-before.pcap",
        1,
        "RST 337 ms after DCP_STREAM_END/NotMyVbucket (1), DCP_SNAPSHOT_MARKER/NotMyVbucket (5), \
         DCP_MUTATION/NotMyVbucket (43), DCP_DELETION/NotMyVbucket (3), DCP_EXPIRATION/NotMyVbucket (5), \
         DCP_SYSTEM_EVENT/NotMyVbucket (5), DCP_PREPARE/NotMyVbucket (9), DCP_COMMIT/NotMyVbucket (6), \
         DCP_ABORT/NotMyVbucket (3)",
    ),
    (
        "client-answers-0x0d.2019-07-after.pcap",
        1,
        "RST 426 ms after DCP_STREAM_END/EConfigOnly (1), DCP_SNAPSHOT_MARKER/EConfigOnly (5), \
         DCP_MUTATION/EConfigOnly (43), DCP_DELETION/EConfigOnly (3), DCP_EXPIRATION/EConfigOnly (5), \
         DCP_SYSTEM_EVENT/EConfigOnly (5), DCP_PREPARE/EConfigOnly (9), DCP_COMMIT/EConfigOnly (6), \
         DCP_ABORT/EConfigOnly (3)",
    ),
    (
        "client-answers-0x0d.2019-07-before.pcap",
        1,
        "FIN 497 ms after DCP_SNAPSHOT_MARKER/EConfigOnly (5), DCP_MUTATION/EConfigOnly (43), \
         DCP_DELETION/EConfigOnly (3), DCP_EXPIRATION/EConfigOnly (5), DCP_SYSTEM_EVENT/EConfigOnly (5), \
         DCP_PREPARE/EConfigOnly (9), DCP_COMMIT/EConfigOnly (6), DCP_ABORT/EConfigOnly (3)",
    ),
];

#[test]
fn every_capture_has_its_row() {
    let named: Vec<String> = rows().into_iter().map(|row| row.capture).collect();
    assert_eq!(named, captures());
    for row in rows() {
        let listed = CLOSED.iter().any(|(capture, ..)| *capture == row.capture);
        assert_eq!(row.shows.first().is_some_and(|first| first == "closed"), listed, "{}", row.capture);
    }
}

#[test]
fn judged_by_the_requirement() {
    for row in rows() {
        judge(&row, "2019-07", row.by_requirement);
    }
}

#[test]
fn judged_by_the_own_era() {
    for row in rows() {
        if row.own == "2019-07" {
            assert_eq!(row.by_own, row.by_requirement, "{}", row.capture);
        } else {
            judge(&row, &row.own, row.by_own);
        }
    }
}

#[test]
fn judged_by_the_era_that_is_found() {
    for row in rows() {
        let report = judge(&row, "auto", row.by_auto);
        let no_proof = row.shows.iter().any(|shown| shown == "no proof by auto");
        assert!(no_proof || [row.by_requirement, row.by_own].contains(&row.by_auto), "{}", row.capture);
        // What is found is right, or it is the requirement, and says that it could not be told.
        for connection in report.connections.iter().filter(|connection| connection.era.is_some()) {
            let era = connection.era.as_deref();
            let fallback = era == Some("2019-07") && connection.reason.starts_with("cannot tell the era: ");
            assert!(fallback || era == Some(&row.own), "{}: {era:?}, {}", row.capture, connection.reason);
        }
    }
}

/// One row of the table in `captures/README.md`.
struct Row {
    capture: String,
    /// The era of the producer.
    own: String,
    by_requirement: i32,
    by_own: i32,
    by_auto: i32,
    /// What the recording holds.
    shows: Vec<String>,
}

fn rows() -> Vec<Row> {
    let readme = fs::read_to_string(folder().join("README.md")).expect("captures/README.md");
    let (_, table) = readme.split_once("\n## Verdicts\n").expect("a section of verdicts");
    let lines = table.lines().filter(|line| line.starts_with("| `"));
    lines.map(|line| row(line).unwrap_or_else(|| panic!("expected six cells, found {line}"))).collect()
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [capture, own, by_requirement, by_own, by_auto, shows] = cells.as_slice() else { return None };
    Some(Row {
        capture: capture.trim_matches('`').to_owned(),
        own: (*own).to_owned(),
        by_requirement: by_requirement.parse().ok()?,
        by_own: by_own.parse().ok()?,
        by_auto: by_auto.parse().ok()?,
        shows: shows.split("; ").map(str::to_owned).collect(),
    })
}

/// Judges a capture, and holds what is said of it against its row.
fn judge(row: &Row, era: &str, code: i32) -> Report {
    let name = &row.capture;
    let Checked { code: found, stderr, report } = check(era, &[capture(name)]);
    let verdict = match code {
        0 => Verdict::Pass,
        1 => Verdict::Fail,
        _ => Verdict::Inconclusive,
    };
    assert_eq!((found, report.verdict, stderr.as_str()), (code, verdict, ""), "{name} by {era}");
    assert!(report.errors.is_empty(), "{name}: {:?}", report.errors);
    for connection in report.connections.iter().filter(|connection| connection.era.is_some()) {
        assert!(era == "auto" || connection.era.as_deref() == Some(era), "{name}: {connection:?}");
    }
    let mut missing = None;
    for shown in &row.shows {
        match shown.split_once(": ").unwrap_or((shown, "")) {
            ("no producer", _) => {
                missing = Some("no DCP_OPEN with the producer flag was accepted".to_owned());
                assert!(report.matrix.is_empty(), "{name}");
            }
            ("no orphaned response", _) => {
                missing = Some("the recording holds none".to_owned());
                assert!(report.matrix.is_empty(), "{name}");
                assert!(report.connections.iter().all(|connection| connection.orphans_total == 0), "{name}");
            }
            ("never came", messages) => missing = Some(format!("never came: {messages}")),
            // What proves it, an answer to a NOOP of the same burst, proves it only of releases known to be old.
            ("kept", _) if era == "auto" && row.shows.iter().any(|shown| shown == "no proof by auto") => {}
            ("no proof by auto", _) => assert_eq!(row.by_auto, 3, "{name}"),
            ("kept", _) => kept(name, &report),
            ("closed", _) => closed(name, era, code, &report),
            ("a cell a connection", _) => {}
            other => panic!("{name}: expected what the test knows, found {other:?}"),
        }
    }
    let said: Vec<BTreeSet<&str>> = report.findings.iter().map(|finding| words(&finding.actual)).collect();
    assert_eq!(said, missing.iter().map(|text| words(text)).collect::<Vec<_>>(), "{name} by {era}");
    report
}

/// The names of messages come in any order.
fn words(text: &str) -> BTreeSet<&str> {
    text.split([' ', ',']).filter(|word| !word.is_empty()).collect()
}

/// Every producer that got orphaned responses lived on.
fn kept(name: &str, report: &Report) {
    let told: Vec<&Connection> = told(report).collect();
    assert!(!told.is_empty(), "{name}");
    for connection in told {
        let kept = finding(connection, "connection-kept").unwrap_or_else(|| panic!("{name}: {connection:?}"));
        assert_eq!(kept.verdict, Verdict::Pass, "{name}: {kept:?}");
        assert!(kept.actual.starts_with("signs of life after "), "{name}: {kept:?}");
        assert!(connection.matrix.iter().all(|row| row.outcome == Outcome::Handled), "{name}: {:?}", connection.matrix);
    }
    assert!(report.matrix.iter().all(|row| row.verdict == Verdict::Pass), "{name}: {:?}", report.matrix);
}

/// Every producer that got orphaned responses closed, and the finding names the close and all that may have caused it.
fn closed(name: &str, era: &str, code: i32, report: &Report) {
    let expected: Vec<_> =
        CLOSED.iter().filter(|(capture, ..)| *capture == name).map(|&(_, id, text)| (id, text)).collect();
    let found: Vec<_> = told(report)
        .map(|connection| {
            let kept = finding(connection, "connection-kept").unwrap_or_else(|| panic!("{name}: {connection:?}"));
            assert_eq!(kept.verdict == Verdict::Fail, code == 1, "{name} by {era}: {kept:?}");
            let allowed =
                kept.expected.starts_with(&format!("either: era {} may or must close after DCP_", era_of(connection)));
            assert_eq!(allowed, kept.verdict == Verdict::Pass, "{name} by {era}: {kept:?}");
            (connection.id, kept.actual.as_str())
        })
        .collect();
    assert_eq!(found, expected, "{name} by {era}");
}

fn told(report: &Report) -> impl Iterator<Item = &Connection> {
    report.connections.iter().filter(|connection| connection.orphans_total > 0)
}

fn era_of(connection: &Connection) -> &str {
    connection.era.as_deref().unwrap_or_default()
}
