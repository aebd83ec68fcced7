//! Annotations as GitHub Actions reads them from a step's output, stdout or stderr (stdout carries data only, so stderr).

use std::io;
use std::io::Write;

use super::Finding;
use super::Report;
use super::place_of;
use crate::verdict::Verdict;

/// GitHub shows ten annotations of a kind for each step, and drops the others.
const SHOWN: usize = 10;

/// Writes an `::error` for each finding that failed, a `::warning` for each that is inconclusive, the first ten of either,
/// and for a run that did not pass one line that says so.
///
/// # Errors
/// Those of `to`.
pub fn annotate(report: &Report, to: &mut impl Write) -> io::Result<()> {
    if report.verdict == Verdict::Pass && report.errors.is_empty() {
        return Ok(());
    }
    for (verdict, command) in [(Verdict::Fail, "error"), (Verdict::Inconclusive, "warning")] {
        // The last place is kept for the summary.
        for (where_, finding) in findings(report).filter(|(_, finding)| finding.verdict == verdict).take(SHOWN - 1) {
            annotation(command, &format!("dcproxy: {}", finding.id), &message(&where_, finding), to)?;
        }
    }
    let command = if report.verdict == Verdict::Inconclusive && report.errors.is_empty() { "warning" } else { "error" };
    let count = |verdict| findings(report).filter(|(_, finding)| finding.verdict == verdict).count();
    let mut summary =
        format!("findings: {} failed, {} inconclusive", count(Verdict::Fail), count(Verdict::Inconclusive));
    for error in &report.errors {
        summary.push('\n');
        summary.push_str(error);
    }
    annotation(command, &format!("dcproxy: {}", report.verdict), &summary, to)
}

/// What decides, with whose it is.
fn findings(report: &Report) -> impl Iterator<Item = (String, &Finding)> {
    let of_run = report.findings.iter().map(|finding| (String::new(), finding));
    let of_connections = report.connections.iter().flat_map(|connection| {
        let case = connection.case.as_ref().map(|case| format!("{case}, ")).unwrap_or_default();
        let whose = format!("{case}connection {}, {} <- {}", connection.id, connection.consumer, connection.producer);
        connection.findings.iter().map(move |finding| (whose.clone(), finding))
    });
    of_run.chain(of_connections)
}

fn message(whose: &str, finding: &Finding) -> String {
    let place = place_of(finding);
    let head = [whose, place.as_str()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    let expected = Some(&finding.expected).filter(|text| !text.is_empty()).map(|text| format!("expected: {text}"));
    let actual = Some(&finding.actual).filter(|text| !text.is_empty()).map(|text| format!("actual: {text}"));
    let parts = [Some(finding.requirement.to_string()), Some(head), expected, actual];
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn annotation(command: &str, title: &str, message: &str, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "::{command} title={}::{}", property(title), data(message))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn annotations(report: &Report) -> String {
        let mut out = Vec::new();
        annotate(report, &mut out).expect("a vector takes all");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn what_failed_and_what_is_inconclusive() {
        assert_eq!(
            annotations(&sample::failed()),
            "\
::error title=dcproxy%3A connection-kept::the producer keeps the connection after an orphaned response%0Aconnection 2, \
127.0.0.1:50002 <- [::1]:11210, at 1234 ms, vbucket 3, seqno 1042%0Aexpected: the connection open 2000 ms after the last \
orphaned response%0Aactual: FIN <120 ms> after DCP_MUTATION/KeyEnoent,%0Aor DCP_MUTATION/0x7e: 100%25
::warning title=dcproxy%3A connections::both connections open a stream%0Aactual: 1 of 2 did
::warning title=dcproxy%3A exercised::each message type meets an orphaned response%0Aconnection 2, 127.0.0.1:50002 <- \
[::1]:11210%0Aactual: DCP_ABORT never came
::error title=dcproxy%3A fail::findings: 1 failed, 2 inconclusive%0Adialling 127.0.0.1:1: connection refused
"
        );
    }

    #[test]
    fn a_pass_says_nothing() {
        assert_eq!(annotations(&sample::passed()), "");
    }

    #[test]
    fn titles_are_escaped_as_properties() {
        assert_eq!(property("a:b,c%\r\n"), "a%3Ab%2Cc%25%0D%0A");
        assert_eq!(data("a:b,c%\r\n"), "a:b,c%25%0D%0A");
    }

    #[test]
    fn no_more_than_github_shows() {
        let mut report = sample::failed();
        for _ in 0..30 {
            report.add_finding(&crate::verdict::Finding::fail("x", "y"));
        }
        let text = annotations(&report);
        assert_eq!(text.matches("::error ").count(), SHOWN);
        assert!(text.ends_with("::error title=dcproxy%3A fail::findings: 31 failed, 2 inconclusive%0Adialling 127.0.0.1:1: connection refused\n"));
    }
}
