//! The truth tables, cell by cell: what real producers did on 1,474 connections with one labelled response each.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs::File;

use dcproxy::capture::Event;
use dcproxy::capture::Recorded;
use dcproxy::capture::What;
use dcproxy::journal;
use dcproxy::journal::Direction;
use dcproxy::journal::Side;
use dcproxy::report::Connection;
use dcproxy::report::Outcome;
use dcproxy::report::Row;
use dcproxy::verdict::Verdict;
use dcproxy::wire::Opcode;
use dcproxy::wire::Status;
use serde::Deserialize;

use super::capture;
use super::check;
use super::finding;

/// `tests/data/real-servers.json`.
#[derive(Deserialize)]
struct Measured {
    releases: Releases,
    #[serde(rename = "7.0.5")]
    v7_0_5: Halves,
}

/// Three servers in one table: a cell has a letter for each.
#[derive(Deserialize)]
struct Releases {
    captures: [String; 3],
    eras: [String; 3],
    columns: Vec<Vec<String>>,
    rows: Vec<Cells>,
    not_recorded: Vec<NotRecorded>,
}

#[derive(Deserialize)]
struct Cells {
    messages: Vec<String>,
    cells: String,
}

#[derive(Deserialize)]
struct NotRecorded {
    capture: String,
    message: String,
    status: String,
}

/// One server, without and with the control `v7_dcp_status_codes`: a letter for each status.
#[derive(Deserialize)]
struct Halves {
    capture: String,
    era: String,
    statuses: Vec<String>,
    v7_from: String,
    rows: Vec<ByV7>,
    own_noop: OwnNoop,
}

#[derive(Deserialize)]
struct ByV7 {
    messages: Vec<String>,
    v7_off: String,
    v7_on: String,
}

#[derive(Deserialize)]
struct OwnNoop {
    v7_off: String,
    v7_on: String,
}

/// What became of each (message, status).
type Table = BTreeMap<(String, String), Outcome>;

#[test]
fn releases_of_2019() {
    let measured = measured().releases;
    for server in 0..3 {
        let (name, era) = (&measured.captures[server], &measured.eras[server]);
        let expected = measured.table(server);
        assert_eq!(expected.len(), 266);
        let report = check(era, &[capture(name)]).report;
        assert_same(name, &table(&report.matrix), &expected);
        for row in &report.matrix {
            assert_eq!(row.answered, 1, "{name}: {row:?}");
            assert_eq!(row.verdict, right(name, row, &measured), "{name}: {row:?}");
        }
        // Each connection has the one cell that the run's matrix has of it.
        let single: Vec<Row> = report.connections.iter().flat_map(|connection| connection.matrix.clone()).collect();
        assert_eq!((report.connections.len(), single.len()), (266, 266), "{name}");
        assert_same(name, &table(&single), &expected);
    }
}

/// By its own era nothing but the producer before the fix is wrong; what was not recorded is not known.
fn right(name: &str, row: &Row, measured: &Releases) -> Verdict {
    // MB-35287: it closes where the requirement is that it stays.
    const BROKEN: [&str; 4] = ["DCP_SYSTEM_EVENT", "DCP_PREPARE", "DCP_COMMIT", "DCP_ABORT"];
    const NAMELESS: [&str; 3] = ["EConfigOnly", "NotLocked", "0x49"];
    let status = row.status.as_deref().unwrap_or_default();
    if row.outcome == Outcome::Stalled {
        Verdict::Inconclusive
    } else if name == measured.captures[0] && BROKEN.contains(&row.message.as_str()) && !NAMELESS.contains(&status) {
        Verdict::Fail
    } else {
        Verdict::Pass
    }
}

#[test]
fn release_7_0_5() {
    let Halves { capture: name, era, v7_from, .. } = &measured().v7_0_5;
    let report = check(era, &[capture(name)]).report;
    assert_eq!(report.connections.len(), 676);
    let (off, on): (Vec<&Connection>, Vec<&Connection>) =
        report.connections.iter().partition(|connection| connection.name.as_ref() < Some(v7_from));
    let mut whole = Table::new();
    for (v7, half) in [(false, off), (true, on)] {
        let expected = measured().v7_0_5.table(v7);
        assert_eq!((half.len(), expected.len()), (338, 325));
        let rows: Vec<Row> = half.iter().flat_map(|connection| connection.matrix.clone()).collect();
        assert_eq!(rows.len(), 325);
        assert!(
            rows.iter().all(|row| (row.answered, row.verdict) == (1, Verdict::Pass)),
            "the era says so in every cell"
        );
        assert_same(&format!("{name}, v7 {v7}"), &table(&rows), &expected);
        for connection in &half {
            let [row] = connection.matrix.as_slice() else { continue };
            assert_eq!(connection.orphans_total, 1);
            assert_eq!((&row.message, &row.status), first_orphan(connection), "connection {}", connection.id);
            assert_eq!(finding(connection, "connection-kept").map(|kept| kept.verdict), Some(Verdict::Pass));
        }
        for (cell, outcome) in expected {
            let worst: &mut Outcome = whole.entry(cell).or_insert(outcome);
            *worst = outcome.max(*worst);
        }
    }
    // The run's matrix does not tell the halves apart: the worst outcome wins.
    assert_same(name, &table(&report.matrix), &whole);
    assert!(report.matrix.iter().all(|row| row.answered == 2));
}

/// Whether v7 status codes were agreed on is read from the recording, not from the order of its connections.
#[test]
fn v7_codes_are_found() {
    let Halves { capture: name, v7_from, .. } = &measured().v7_0_5;
    for connection in check("auto", &[capture(name)]).report.connections {
        let v7 = connection.name.as_ref() >= Some(v7_from);
        assert_eq!(connection.reason.contains("it accepted v7_dcp_status_codes"), v7, "{}", connection.reason);
        assert_eq!(connection.era.as_deref(), Some(if v7 { "7.0" } else { "2019-07" }), "{}", connection.reason);
    }
}

/// A DCP_NOOP answered under its own opaque, whatever the status, is no orphaned response, and is survived.
#[test]
fn own_noops_are_answers() {
    let measured = measured().v7_0_5;
    let Halves { capture: name, era, statuses, v7_from, own_noop, .. } = &measured;
    let report = check(era, &[capture(name)]).report;
    let silent: Vec<u64> =
        report.connections.iter().filter(|connection| connection.orphans_total == 0).map(|c| c.id).collect();
    assert!(silent.iter().all(|id| report.connections.iter().any(|c| c.id == *id && c.verdict == Verdict::Pass)));
    let with_v7: BTreeSet<u64> =
        report.connections.iter().filter(|c| c.name.as_ref() >= Some(v7_from)).map(|c| c.id).collect();
    let mut recorded = Recorded::new(0);
    let mut told: BTreeMap<u64, Told> = BTreeMap::new();
    let mut see = |event: Event<'_>| {
        let conn = u64::from(event.conn);
        match event.what {
            What::Closed { from, .. } => {
                told.entry(conn).or_default().closed_first.get_or_insert(from);
            }
            What::Opened { .. } | What::Comment { .. } | What::Data { .. } | What::Gap { .. } | What::Ended => {}
        }
        recorded.event(&event, &mut |happened| {
            let journal::What::Frame(head) = &happened.entry.what else { return };
            let told = told.entry(conn).or_default();
            match (head.header.opcode, happened.entry.direction, head.header.status()) {
                (Opcode::DCP_NOOP, Direction::To, Some(status)) if happened.context.answers.is_some() => {
                    told.answer.get_or_insert(status);
                }
                (Opcode::NOOP, Direction::From, Some(Status::SUCCESS)) if told.answer.is_some() => told.alive += 1,
                _ => {}
            }
        });
    };
    dcproxy::capture::read(File::open(capture(name)).expect("a capture"), &mut see).expect("it is whole");
    told.retain(|_, told| told.answer.is_some());
    assert_eq!(told.keys().copied().collect::<Vec<_>>(), silent);
    for (v7, letters) in [(false, &own_noop.v7_off), (true, &own_noop.v7_on)] {
        let half: Vec<&Told> = told.iter().filter(|&(id, _)| with_v7.contains(id) == v7).map(|(_, t)| t).collect();
        let kept: Vec<Status> = half
            .iter()
            .filter(|t| t.alive > 0 && t.closed_first == Some(Side::Dialler))
            .filter_map(|t| t.answer)
            .collect();
        let expected = statuses.iter().zip(letters.chars()).filter(|(_, letter)| *letter == 'K');
        let mut expected: Vec<Status> = expected.map(|(status, _)| self::status(status)).collect();
        let mut found = kept;
        expected.sort();
        found.sort();
        assert_eq!((half.len(), found), (statuses.len(), expected), "v7 {v7}");
    }
}

/// What a connection says of its own no-op.
#[derive(Default)]
struct Told {
    answer: Option<Status>,
    /// NOOPs that the producer answered afterwards.
    alive: u32,
    closed_first: Option<Side>,
}

impl Releases {
    fn table(&self, server: usize) -> Table {
        let mut table = Table::new();
        for row in &self.rows {
            let cells: Vec<&str> = row.cells.split(' ').collect();
            assert_eq!(cells.len(), self.columns.len(), "{:?}", row.messages);
            for (column, cell) in self.columns.iter().zip(cells) {
                let letter = cell.split('/').nth(server).expect("a letter for each server");
                for message in &row.messages {
                    for status in column {
                        table.insert((message.clone(), self::status(status).to_string()), outcome(letter));
                    }
                }
            }
        }
        for cell in self.not_recorded.iter().filter(|cell| cell.capture == self.captures[server]) {
            let cell = (cell.message.clone(), status(&cell.status).to_string());
            assert_eq!(table.insert(cell, Outcome::Stalled), Some(Outcome::Disconnected));
        }
        table
    }
}

impl Halves {
    fn table(&self, v7: bool) -> Table {
        let mut table = Table::new();
        for row in &self.rows {
            let letters = if v7 { &row.v7_on } else { &row.v7_off };
            assert_eq!(letters.len(), self.statuses.len(), "{:?}", row.messages);
            for message in &row.messages {
                for (status, letter) in self.statuses.iter().zip(letters.split("").skip(1)) {
                    table.insert((message.clone(), self::status(status).to_string()), outcome(letter));
                }
            }
        }
        table
    }
}

fn measured() -> Measured {
    serde_json::from_str(include_str!("../../data/real-servers.json")).expect("tests/data/real-servers.json")
}

fn status(hex: &str) -> Status {
    hex.parse().unwrap_or_else(|error| panic!("{hex}: {error}"))
}

fn outcome(letter: &str) -> Outcome {
    match letter {
        "K" => Outcome::Handled,
        "C" => Outcome::Disconnected,
        other => panic!("expected K or C, found {other}"),
    }
}

fn table(rows: &[Row]) -> Table {
    let cell = |row: &Row| ((row.message.clone(), row.status.clone().unwrap_or_default()), row.outcome);
    let table: Table = rows.iter().map(cell).collect();
    assert_eq!(table.len(), rows.len(), "one row for each message and status");
    table
}

fn first_orphan(connection: &Connection) -> (&String, &Option<String>) {
    let [row] = connection.matrix.as_slice() else { panic!("{connection:?}") };
    let [orphan] = connection.orphans.as_slice() else { panic!("{connection:?}") };
    assert_eq!(Some(&orphan.status), row.status.as_ref());
    (&orphan.message, &row.status)
}

/// Names the cells that differ, and no others.
fn assert_same(what: &str, found: &Table, expected: &Table) {
    let cells = found.keys().chain(expected.keys());
    let wrong: Vec<String> = cells
        .filter(|cell| found.get(*cell) != expected.get(*cell))
        .map(|cell| format!("{}/{}: measured {:?}, said {:?}", cell.0, cell.1, expected.get(cell), found.get(cell)))
        .collect();
    assert!(wrong.is_empty(), "{what}: {wrong:#?}");
}
