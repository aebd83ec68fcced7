//! Reports for the tests of the formats.

use super::*;
use crate::Timestamp;
use crate::verdict;
use crate::verdict::About;
use crate::verdict::Judge;
use crate::verdict::Severity;
use crate::verdict::Verdict;

const START: Timestamp = Timestamp(1_700_000_000_000_000_000);

fn status(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// A pass of one connection.
pub(super) fn passed() -> Report {
    let mut connection = Connection::new(1, "127.0.0.1:50001", "127.0.0.1:11210");
    connection.name = Some("replication:a->b:travel".to_owned());
    connection.era = Some("7.0".to_owned());
    connection.reason = "VERSION answered 7.0.5".to_owned();
    connection.frames = Frames { producer: 20_417, consumer: 52 };
    connection.steps = vec![Step {
        step: "close".to_owned(),
        fired: 2,
        vbucket: Some(3),
        opaque: Some("0x0000000d".to_owned()),
        seqno: Some(118),
        at_ms: Some(41),
    }];
    connection.matrix = vec![
        Row::new("DCP_MUTATION", status("KeyEnoent"), 3, Outcome::Handled),
        Row::new("DCP_PREPARE", status("DcpStreamNotFound"), 1, Outcome::Handled),
        Row::new("DCP_COMMIT", status("Einval"), 0, Outcome::LeftOut),
    ];
    for (message, status, seqno) in [("DCP_MUTATION", "KeyEnoent", 119), ("DCP_PREPARE", "DcpStreamNotFound", 122)] {
        connection.add_orphan(Orphan {
            message: message.to_owned(),
            status: status.to_owned(),
            vbucket: Some(3),
            seqno: Some(seqno),
            at_ms: 43,
            origin: OrphanOrigin::Injected,
        });
    }
    let kept =
        verdict::Finding::pass("connection-kept", "the producer keeps the connection after an orphaned response")
            .about(About::PRODUCER)
            .expected("the connection open, and a NOOP answered, 2000 ms after the last orphaned response")
            .actual("NOOP answered 2003 ms after it");
    connection.add_finding(kept, Judge::Producer, None, START);

    let mut report = Report::new(Judge::Producer);
    report.version = "1.2.3".into();
    report.seed = Some(42);
    report.scenarios = vec!["orphaned-responses".to_owned()];
    report.add_connection(connection);
    report
}

/// A failure with everything in it: a connection that failed, one that is inconclusive, notes, a finding about the run, an
/// error, and text that no format may take for its own syntax.
pub(super) fn failed() -> Report {
    let mut report = passed();
    let mut closed = Connection::new(2, "127.0.0.1:50002", "[::1]:11210");
    closed.era = Some("2019-07".to_owned());
    closed.reason = "nothing tells; the requirement of MB-35287".to_owned();
    closed.frames = Frames { producer: 12, consumer: 9 };
    closed.matrix = vec![
        Row::new("DCP_MUTATION", status("KeyEnoent"), 1, Outcome::Disconnected),
        Row::new("DCP_MUTATION", status("0x7e"), 1, Outcome::Disconnected).judged(Verdict::Pass),
        Row::new("DCP_ABORT", None, 0, Outcome::NotExercised),
    ];
    let producer = About::PRODUCER;
    for finding in [
        verdict::Finding::fail("connection-kept", "the producer keeps the connection after an orphaned response")
            .about(producer)
            .expected("the connection open 2000 ms after the last orphaned response")
            .actual("FIN <120 ms> after DCP_MUTATION/KeyEnoent,\nor DCP_MUTATION/0x7e: 100%")
            .at(START + std::time::Duration::from_millis(1234))
            .vbucket(3)
            .seqno(1042),
        verdict::Finding::inconclusive("exercised", "each message type meets an orphaned response")
            .actual("DCP_ABORT never came"),
        verdict::Finding::fail("D8", "a marker is of memory or of disk")
            .about(producer)
            .severity(Severity::Warning)
            .actual("flags 0x00000000")
            .vbucket(0),
        verdict::Finding::fail("G3", "no more is acknowledged than was charged")
            .about(About::CONSUMER)
            .expected("at most 312 bytes")
            .actual("340 bytes"),
    ] {
        closed.add_finding(finding, Judge::Producer, None, START);
    }
    report.add_connection(closed);
    report.add_finding(
        &verdict::Finding::inconclusive("connections", "both connections open a stream").actual("1 of 2 did"),
    );
    report.recording = Some(Recording {
        files: vec!["run.pcapng".to_owned()],
        frames: 1200,
        lost_frames: 3,
        lost_bytes: 400,
        error: None,
    });
    report.errors.push("dialling 127.0.0.1:1: connection refused".to_owned());
    report
}
