//! The report for a person: the verdict first, what happened by message, then what to look at.

use std::io;
use std::io::Write;

use super::Connection;
use super::Finding;
use super::Recording;
use super::Report;
use super::Row;
use super::line;
use super::place;
use super::place_of;
use crate::verdict::Verdict;

/// Columns that lines of the matrix are broken at.
const WIDTH: usize = 110;
/// Findings and notes written for a connection; the rest are counted.
const FINDINGS: usize = 20;
const NOTES: usize = 5;
/// Connections without anything to look at are written one by one up to this many, beyond it as a number.
const QUIET: usize = 5;

/// Writes the report as text.
pub(super) fn write(report: &Report, to: &mut impl Write) -> io::Result<()> {
    head(report, to)?;
    if !report.matrix.is_empty() {
        writeln!(to)?;
        matrix(&report.matrix, to)?;
    }
    if let Some(recording) = &report.recording {
        self::recording(recording, to)?;
    }
    for error in &report.errors {
        writeln!(to, "\nerror: {}", line(error))?;
    }
    if !report.findings.is_empty() {
        writeln!(to)?;
        findings(&report.findings, FINDINGS, to)?;
    }
    let quiet = report.connections.iter().filter(|connection| is_quiet(connection)).count();
    for connection in &report.connections {
        if quiet <= QUIET || !is_quiet(connection) {
            writeln!(to)?;
            self::connection(connection, to)?;
        }
    }
    if quiet > QUIET {
        writeln!(to, "\n{quiet} connections passed, nothing to note")?;
    }
    Ok(())
}

fn recording(recording: &Recording, to: &mut impl Write) -> io::Result<()> {
    let files: Vec<_> = recording.files.iter().map(|file| line(file)).collect();
    write!(to, "\nrecording: {}, {} frames", files.join(", "), recording.frames)?;
    if recording.lost_frames > 0 || recording.lost_bytes > 0 {
        write!(to, "; {} frames ({} bytes) could not be recorded", recording.lost_frames, recording.lost_bytes)?;
    }
    writeln!(to)
}

fn head(report: &Report, to: &mut impl Write) -> io::Result<()> {
    write!(to, "verdict: {} ({} judged)", loud(report.verdict), report.judge)?;
    if let Some(seed) = report.seed {
        write!(to, ", seed {seed}")?;
    }
    writeln!(to)?;
    if let Some(era) = &report.era {
        writeln!(to, "era: {era}{}", bracketed(&report.reason))?;
    }
    if !report.scenarios.is_empty() {
        writeln!(to, "scenarios: {}", report.scenarios.join(", "))?;
    }
    let count = |verdict| report.connections.iter().filter(|connection| connection.verdict == verdict).count();
    write!(to, "connections: {}", report.connections.len())?;
    if report.connections.len() > 1 {
        let counts = [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive].map(|verdict| (count(verdict), verdict));
        let parts = counts.iter().filter(|(n, _)| *n > 0).map(|(n, verdict)| format!("{n} {verdict}"));
        write!(to, " ({})", parts.collect::<Vec<_>>().join(", "))?;
    }
    writeln!(to)
}

fn loud(verdict: Verdict) -> String {
    verdict.as_str().to_ascii_uppercase()
}

fn bracketed(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({})", line(text)) }
}

/// One line for each message, outcome and verdict, with its statuses and how often each was answered.
fn matrix(rows: &[Row], to: &mut impl Write) -> io::Result<()> {
    let name_width = rows.iter().map(|row| row.message.len()).max().unwrap_or_default().max("message".len());
    writeln!(to, "{:<14}{:<name_width$}  {:<15}status (answered)", "", "message", "outcome")?;
    let mut told: &str = "";
    for group in groups(rows) {
        let Some(first) = group.first() else { continue };
        let name = if told == first.message { "" } else { first.message.as_str() };
        told = &first.message;
        let lead = format!("{:<14}{name:<name_width$}  {:<15}", mark(first), first.outcome.words());
        write!(to, "{}", lead.trim_end())?;
        let indent = lead.len();
        let mut column = lead.trim_end().len();
        for row in &group {
            let Some(cell) = cell(row) else { continue };
            if column > indent && column + 2 + cell.len() > WIDTH {
                writeln!(to, ",")?;
                column = 0;
            } else if column > indent {
                write!(to, ", ")?;
                column += 2;
            }
            if column < indent {
                write!(to, "{:pad$}", "", pad = indent - column)?;
                column = indent;
            }
            write!(to, "{cell}")?;
            column += cell.len();
        }
        writeln!(to)?;
    }
    Ok(())
}

/// The rows by message, and within it by outcome and verdict, the failed first.
fn groups(rows: &[Row]) -> Vec<Vec<&Row>> {
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|a, b| {
        (&a.message, b.verdict, b.outcome, &a.status).cmp(&(&b.message, a.verdict, a.outcome, &b.status))
    });
    sorted
        .chunk_by(|a, b| (&a.message, a.verdict, a.outcome) == (&b.message, b.verdict, b.outcome))
        .map(<[&Row]>::to_vec)
        .collect()
}

fn mark(row: &Row) -> &'static str {
    match (row.verdict, row.answered) {
        (Verdict::Fail, _) => "FAIL",
        (Verdict::Inconclusive, _) => "INCONCLUSIVE",
        (Verdict::Pass, 0) => "-",
        (Verdict::Pass, _) => "ok",
    }
}

fn cell(row: &Row) -> Option<String> {
    let status = row.status.as_ref()?;
    Some(if row.answered == 0 { status.clone() } else { format!("{status} ({})", row.answered) })
}

fn is_quiet(connection: &Connection) -> bool {
    connection.verdict == Verdict::Pass && notes(connection).next().is_none()
}

fn connection(connection: &Connection, to: &mut impl Write) -> io::Result<()> {
    let Connection { id, consumer, producer, frames, orphans_total, .. } = connection;
    let of_case = connection.case.as_ref().map(|case| format!(" ({})", line(case))).unwrap_or_default();
    write!(to, "connection {id}{of_case}: {}, consumer {consumer}, producer {producer}", loud(connection.verdict))?;
    if let Some(name) = &connection.name {
        write!(to, ", name {name:?}")?;
    }
    writeln!(to)?;
    write!(to, "  frames: {} from the producer, {} from the consumer", frames.producer, frames.consumer)?;
    writeln!(to, "; orphaned responses: {orphans_total}")?;
    if let Some(era) = &connection.era {
        writeln!(to, "  era: {era}{}", bracketed(&connection.reason))?;
    }
    for step in &connection.steps {
        write!(to, "  step {}: fired {}", step.step, times(step.fired))?;
        let first = place(step.at_ms, step.vbucket, step.seqno);
        writeln!(to, "{}", if first.is_empty() { first } else { format!(", first {first}") })?;
    }
    findings(&connection.findings, FINDINGS, to)?;
    for note in notes(connection).take(NOTES) {
        let but = if note.verdict == Verdict::Fail { String::new() } else { format!(" {}", note.verdict) };
        let kind = note.severity.as_str();
        writeln!(to, "  note on the {}: {}{but} ({kind}){}", note.about, note.id, colon(&told(note)))?;
    }
    rest(notes(connection).count(), NOTES, "notes", to)
}

/// The notes that say something: a rule that is not judged and holds is of no interest.
fn notes(connection: &Connection) -> impl Iterator<Item = &Finding> {
    connection.notes.iter().filter(|note| note.verdict != Verdict::Pass)
}

fn findings(findings: &[Finding], limit: usize, to: &mut impl Write) -> io::Result<()> {
    let passed = findings.iter().filter(|finding| finding.verdict == Verdict::Pass).count();
    let mut to_see: Vec<&Finding> = findings.iter().filter(|finding| finding.verdict != Verdict::Pass).collect();
    to_see.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
    for finding in to_see.iter().take(limit) {
        let place = place_of(finding);
        let place = if place.is_empty() { place } else { format!(" {place}") };
        writeln!(to, "  {} {}{place}", loud(finding.verdict), finding.id)?;
        for (what, text) in [
            ("requirement", finding.requirement.as_ref()),
            ("expected", &finding.expected),
            ("actual", &finding.actual),
        ] {
            if !text.is_empty() {
                writeln!(to, "    {:<13}{}", format!("{what}:"), line(text))?;
            }
        }
    }
    rest(to_see.len(), limit, "findings", to)?;
    if passed > 0 {
        writeln!(to, "  findings that passed: {passed}")?;
    }
    Ok(())
}

fn told(finding: &Finding) -> String {
    let place = place_of(finding);
    [place.as_str(), finding.requirement.as_ref(), finding.actual.as_str()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .map(line)
        .collect::<Vec<_>>()
        .join("; ")
}

fn colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn times(n: u64) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}

fn rest(all: usize, limit: usize, what: &str, to: &mut impl Write) -> io::Result<()> {
    if all > limit { writeln!(to, "  {} more {what}: see the JSON report", all - limit) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Outcome;
    use crate::report::sample;
    use crate::verdict::Judge;

    #[track_caller]
    fn assert_text(report: &Report, expected: &str) {
        let mut out = Vec::new();
        write(report, &mut out).expect("a vector takes all");
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text, expected, "\n{text}");
    }

    #[test]
    fn a_pass() {
        assert_text(
            &sample::passed(),
            "\
verdict: PASS (producer judged), seed 42
era: 7.0 (VERSION answered 7.0.5)
scenarios: orphaned-responses
connections: 1

              message       outcome        status (answered)
-             DCP_COMMIT    left out       Einval
ok            DCP_MUTATION  handled        KeyEnoent (3)
ok            DCP_PREPARE   handled        DcpStreamNotFound (1)

connection 1: PASS, consumer 127.0.0.1:50001, producer 127.0.0.1:11210, name \"replication:a->b:travel\"
  frames: 20417 from the producer, 52 from the consumer; orphaned responses: 2
  era: 7.0 (VERSION answered 7.0.5)
  step close: fired 2 times, first at 41 ms, vbucket 3, seqno 118
  findings that passed: 1
",
        );
    }

    #[test]
    fn a_failure() {
        assert_text(
            &sample::failed(),
            "\
verdict: FAIL (producer judged), seed 42
era: mixed (each connection says how its own was found)
scenarios: orphaned-responses
connections: 2 (1 pass, 1 fail)

              message       outcome        status (answered)
INCONCLUSIVE  DCP_ABORT     not exercised
-             DCP_COMMIT    left out       Einval
FAIL          DCP_MUTATION  disconnected   KeyEnoent (4)
ok                          disconnected   0x7e (1)
ok            DCP_PREPARE   handled        DcpStreamNotFound (1)

recording: run.pcapng, 1200 frames; 3 frames (400 bytes) could not be recorded

error: dialling 127.0.0.1:1: connection refused

  INCONCLUSIVE connections
    requirement: both connections open a stream
    actual:      1 of 2 did

connection 1: PASS, consumer 127.0.0.1:50001, producer 127.0.0.1:11210, name \"replication:a->b:travel\"
  frames: 20417 from the producer, 52 from the consumer; orphaned responses: 2
  era: 7.0 (VERSION answered 7.0.5)
  step close: fired 2 times, first at 41 ms, vbucket 3, seqno 118
  findings that passed: 1

connection 2: FAIL, consumer 127.0.0.1:50002, producer [::1]:11210
  frames: 12 from the producer, 9 from the consumer; orphaned responses: 0
  era: 2019-07 (nothing tells; the requirement of MB-35287)
  FAIL connection-kept at 1234 ms, vbucket 3, seqno 1042
    requirement: the producer keeps the connection after an orphaned response
    expected:    the connection open 2000 ms after the last orphaned response
    actual:      FIN <120 ms> after DCP_MUTATION/KeyEnoent, or DCP_MUTATION/0x7e: 100%
  INCONCLUSIVE exercised
    requirement: each message type meets an orphaned response
    actual:      DCP_ABORT never came
  note on the producer: D8 (warning): vbucket 0; a marker is of memory or of disk; flags 0x00000000
  note on the consumer: G3 (error): no more is acknowledged than was charged; 340 bytes
",
        );
    }

    #[test]
    fn statuses_of_one_outcome_share_a_line_until_it_is_full() {
        let mut report = Report::new(Judge::Both);
        let row = |n: u16| Row::new("DCP_MUTATION", Some(format!("Status{n:04}")), 10, Outcome::Handled);
        report.matrix = (0..7).map(row).collect();
        report.matrix.push(Row::new("DCP_MUTATION", Some("Erange".to_owned()), 1, Outcome::Stalled));
        assert_text(
            &report,
            "\
verdict: PASS (both judged)
connections: 0

              message       outcome        status (answered)
FAIL          DCP_MUTATION  stalled        Erange (1)
ok                          handled        Status0000 (10), Status0001 (10), Status0002 (10), Status0003 (10),
                                           Status0004 (10), Status0005 (10), Status0006 (10)
",
        );
    }

    #[test]
    fn many_quiet_connections_are_a_number() {
        let mut report = Report::new(Judge::Producer);
        for id in 1..=6 {
            report.add_connection(Connection::new(id, "c", "p"));
        }
        assert_text(
            &report,
            "\
verdict: PASS (producer judged)
connections: 6 (6 pass)

6 connections passed, nothing to note
",
        );
    }

    #[test]
    fn what_is_not_shown_is_counted() {
        let mut report = Report::new(Judge::Producer);
        for _ in 0..=FINDINGS {
            report.add_finding(&crate::verdict::Finding::fail("x", ""));
        }
        let mut out = Vec::new();
        write(&report, &mut out).expect("a vector takes all");
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text.matches("  FAIL x\n").count(), FINDINGS);
        assert!(text.ends_with("  1 more findings: see the JSON report\n"), "{text}");
    }
}
