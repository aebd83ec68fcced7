//! The report as JUnit XML, for CI systems.
//!
//! A suite for the run and one for each connection; a case for each cell of the matrix and each finding that decides; of
//! `probe` one suite, and a case for each of its own. `fail`
//! is a failure. `inconclusive` is an error, since CI systems show skipped cases as green and L7 says no evidence, no pass.
//! Only what the scenario left out on purpose is skipped. Notes decide nothing and are the suite's `system-out`.

use std::collections::BTreeMap;
use std::io;
use std::io::Write;

use quick_junit::NonSuccessKind;
use quick_junit::TestCase;
use quick_junit::TestCaseStatus;
use quick_junit::TestSuite;

use super::Connection;
use super::Finding;
use super::Report;
use super::Row;
use super::line;
use super::place_of;
use crate::verdict::Verdict;

/// Writes the report as JUnit XML.
pub(super) fn write(report: &Report, to: &mut impl Write) -> io::Result<()> {
    let mut junit = quick_junit::Report::new("dcproxy");
    junit.add_test_suite(run(report));
    junit.add_test_suites(probed(report));
    junit.add_test_suites(report.connections.iter().filter(|it| it.case.is_none()).map(connection));
    // Into memory first: quick-junit's error does not say that the writer's pipe broke.
    let mut xml = Vec::new();
    junit.serialize(&mut xml).map_err(io::Error::other)?;
    to.write_all(&xml)
}

fn run(report: &Report) -> TestSuite {
    let mut suite = TestSuite::new("run");
    for (name, value) in [
        ("version", Some(report.version.to_string())),
        ("seed", report.seed.map(|seed| seed.to_string())),
        ("era", report.era.clone()),
        ("reason", Some(report.reason.clone())),
        ("judge", Some(report.judge.to_string())),
        ("scenarios", Some(report.scenarios.join(","))),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            suite.add_property((name, value.as_str()));
        }
    }
    let mut status = status(report.verdict);
    if report.verdict != Verdict::Pass {
        status.set_message(format!("the run's verdict is {}", report.verdict));
    }
    suite.add_test_case(case("verdict", "run", status));
    suite.add_test_cases(findings(&report.findings));
    for (n, error) in report.errors.iter().enumerate() {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_type("error").set_message(line(error));
        suite.add_test_case(case(&format!("error {}", n + 1), "run", status));
    }
    suite
}

/// The suite of `probe`'s cases, if it is its report.
fn probed(report: &Report) -> Option<TestSuite> {
    let mut suite = TestSuite::new("probe");
    for (id, connection) in report.connections.iter().filter_map(|it| Some((it.case.as_ref()?, it))) {
        let decided: Vec<&Finding> =
            connection.findings.iter().filter(|finding| finding.verdict == connection.verdict).collect();
        let mut status = status(connection.verdict);
        if connection.verdict != Verdict::Pass {
            let told = |finding: &&Finding| format!("{}: {}", finding.id, line(&finding.actual));
            status.set_message(decided.first().map(told).unwrap_or_default());
            status.set_description(decided.into_iter().map(description).collect::<Vec<_>>().join("\n\n"));
        }
        suite.add_test_case(case(id, "probe", status));
    }
    (!suite.test_cases.is_empty()).then_some(suite)
}

fn connection(connection: &Connection) -> TestSuite {
    let Connection { id, consumer, producer, .. } = connection;
    let mut suite = TestSuite::new(format!("connection {id}"));
    for (name, value) in [
        ("consumer", Some(consumer)),
        ("producer", Some(producer)),
        ("name", connection.name.as_ref()),
        ("era", connection.era.as_ref()),
        ("reason", Some(&connection.reason).filter(|reason| !reason.is_empty())),
    ] {
        if let Some(value) = value {
            suite.add_property((name, value.as_str()));
        }
    }
    suite.add_test_cases(connection.matrix.iter().map(cell));
    suite.add_test_cases(findings(&connection.findings));
    let notes = connection.notes.iter().filter(|note| note.verdict != Verdict::Pass).map(note).collect::<Vec<_>>();
    if !notes.is_empty() {
        suite.set_system_out(notes.join("\n"));
    }
    suite
}

fn cell(row: &Row) -> TestCase {
    let name = match &row.status {
        Some(status) => format!("{} {status}", row.message),
        None => row.message.clone(),
    };
    let tried = row.answered > 0;
    let passed = row.verdict == Verdict::Pass;
    let mut status = if passed && !tried { TestCaseStatus::skipped() } else { status(row.verdict) };
    if !passed || !tried {
        status.set_message(format!("{}, {} answered", row.outcome, row.answered));
    }
    case(&name, "matrix", status)
}

/// A case for each; where an id repeats, its later ones are numbered, since CI systems merge cases of one name.
fn findings(findings: &[Finding]) -> Vec<TestCase> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut cases = Vec::new();
    for finding in findings {
        let n = seen.entry(&finding.id).and_modify(|n| *n += 1).or_insert(1);
        let name = if *n == 1 { finding.id.to_string() } else { format!("{} #{n}", finding.id) };
        let mut status = status(finding.verdict);
        if finding.verdict != Verdict::Pass {
            status.set_message(line(&finding.actual)).set_description(description(finding));
        }
        cases.push(case(&name, "findings", status));
    }
    cases
}

fn description(finding: &Finding) -> String {
    let parts = [
        ("requirement", finding.requirement.to_string()),
        ("expected", finding.expected.clone()),
        ("actual", finding.actual.clone()),
        ("where", place_of(finding)),
    ];
    let lines = parts.iter().filter(|(_, text)| !text.is_empty()).map(|(what, text)| format!("{what}: {}", line(text)));
    lines.collect::<Vec<_>>().join("\n")
}

fn note(finding: &Finding) -> String {
    let Finding { about, id, verdict, severity, actual, .. } = finding;
    format!("note on the {about}: {id} {verdict} ({}): {}", severity.as_str(), line(actual))
}

fn case(name: &str, class: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(format!("dcproxy.{class}"));
    case
}

fn status(verdict: Verdict) -> TestCaseStatus {
    let (kind, name) = match verdict {
        Verdict::Pass => return TestCaseStatus::success(),
        Verdict::Fail => (NonSuccessKind::Failure, "fail"),
        Verdict::Inconclusive => (NonSuccessKind::Error, "inconclusive"),
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(name);
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn xml(report: &Report) -> String {
        let mut out = Vec::new();
        write(report, &mut out).expect("a vector takes all");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn cells_and_findings_are_cases() {
        let xml = xml(&sample::failed());
        assert_eq!(xml, EXPECTED, "\n{xml}");
    }

    #[test]
    fn each_case_of_a_probe_is_one() {
        let mut report = sample::failed();
        let ids = ["orphan/prepare/KeyEnoent", "mb-38356"];
        for (connection, id) in report.connections.iter_mut().zip(ids) {
            connection.case = Some(id.to_owned());
        }
        let xml = xml(&report);
        let cases = xml.lines().filter(|line| line.contains("classname=\"dcproxy.probe\"")).count();
        assert_eq!(
            (cases, xml.contains("<testsuite name=\"connection")),
            (report.connections.len().min(2), false),
            "{xml}"
        );
        assert!(
            xml.contains("<testcase name=\"mb-38356\"") && xml.contains("<failure message=\"connection-kept: FIN"),
            "{xml}"
        );
    }

    #[test]
    fn inconclusive_is_no_pass_in_ci() {
        let mut report = Report::new(crate::verdict::Judge::Producer);
        report.add_finding(&crate::verdict::Finding::inconclusive("connections", "one comes").actual("none came"));
        assert!(
            xml(&report)
                .contains("<testsuites name=\"dcproxy\" tests=\"2\" skipped=\"0\" failures=\"0\" errors=\"2\">")
        );
    }

    #[test]
    fn cases_of_one_id_have_their_own_names() {
        let mut report = Report::new(crate::verdict::Judge::Producer);
        for _ in 0..2 {
            report.add_finding(&crate::verdict::Finding::fail("D2", "seqnos rise").actual("\u{1b}[31m\u{0}<x>"));
        }
        let xml = xml(&report);
        assert!(xml.contains("<testcase name=\"D2\" "), "{xml}");
        assert!(xml.contains("<testcase name=\"D2 #2\" "), "{xml}");
        assert!(!xml.contains(|c: char| c.is_control() && c != '\n'), "{xml}");
    }

    const EXPECTED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="dcproxy" tests="12" skipped="1" failures="3" errors="4">
    <testsuite name="run" tests="3" skipped="0" errors="2" failures="1">
        <properties>
            <property name="version" value="1.2.3"/>
            <property name="seed" value="42"/>
            <property name="era" value="mixed"/>
            <property name="reason" value="each connection says how its own was found"/>
            <property name="judge" value="producer"/>
            <property name="scenarios" value="orphaned-responses"/>
        </properties>
        <testcase name="verdict" classname="dcproxy.run">
            <failure message="the run&apos;s verdict is fail" type="fail"/>
        </testcase>
        <testcase name="connections" classname="dcproxy.findings">
            <error message="1 of 2 did" type="inconclusive">requirement: both connections open a stream
actual: 1 of 2 did</error>
        </testcase>
        <testcase name="error 1" classname="dcproxy.run">
            <error message="dialling 127.0.0.1:1: connection refused" type="error"/>
        </testcase>
    </testsuite>
    <testsuite name="connection 1" tests="4" skipped="1" errors="0" failures="0">
        <properties>
            <property name="consumer" value="127.0.0.1:50001"/>
            <property name="producer" value="127.0.0.1:11210"/>
            <property name="name" value="replication:a-&gt;b:travel"/>
            <property name="era" value="7.0"/>
            <property name="reason" value="VERSION answered 7.0.5"/>
        </properties>
        <testcase name="DCP_MUTATION KeyEnoent" classname="dcproxy.matrix"/>
        <testcase name="DCP_PREPARE DcpStreamNotFound" classname="dcproxy.matrix"/>
        <testcase name="DCP_COMMIT Einval" classname="dcproxy.matrix">
            <skipped message="left out, 0 answered"/>
        </testcase>
        <testcase name="connection-kept" classname="dcproxy.findings"/>
    </testsuite>
    <testsuite name="connection 2" tests="5" skipped="0" errors="2" failures="2">
        <properties>
            <property name="consumer" value="127.0.0.1:50002"/>
            <property name="producer" value="[::1]:11210"/>
            <property name="era" value="2019-07"/>
            <property name="reason" value="nothing tells; the requirement of MB-35287"/>
        </properties>
        <testcase name="DCP_MUTATION KeyEnoent" classname="dcproxy.matrix">
            <failure message="disconnected, 1 answered" type="fail"/>
        </testcase>
        <testcase name="DCP_MUTATION 0x7e" classname="dcproxy.matrix"/>
        <testcase name="DCP_ABORT" classname="dcproxy.matrix">
            <error message="not exercised, 0 answered" type="inconclusive"/>
        </testcase>
        <testcase name="connection-kept" classname="dcproxy.findings">
            <failure message="FIN &lt;120 ms&gt; after DCP_MUTATION/KeyEnoent, or DCP_MUTATION/0x7e: 100%" type="fail">requirement: the producer keeps the connection after an orphaned response
expected: the connection open 2000 ms after the last orphaned response
actual: FIN &lt;120 ms&gt; after DCP_MUTATION/KeyEnoent, or DCP_MUTATION/0x7e: 100%
where: at 1234 ms, vbucket 3, seqno 1042</failure>
        </testcase>
        <testcase name="exercised" classname="dcproxy.findings">
            <error message="DCP_ABORT never came" type="inconclusive">requirement: each message type meets an orphaned response
actual: DCP_ABORT never came</error>
        </testcase>
        <system-out>note on the producer: D8 fail (warning): flags 0x00000000
note on the consumer: G3 fail (error): 340 bytes</system-out>
    </testsuite>
</testsuites>
"#;
}
