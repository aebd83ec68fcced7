use std::borrow::Cow;

use serde::Deserialize;
use serde::Serialize;

use super::matrix;
use super::matrix::Row;
use crate::Timestamp;
use crate::verdict;
use crate::verdict::About;
use crate::verdict::Judge;
use crate::verdict::Severity;
use crate::verdict::Side;
use crate::verdict::Verdict;

/// The version of the JSON object. Keys may be added under the same number; one that changes or goes raises it.
pub const SCHEMA: u32 = 1;

/// Orphaned responses listed for a connection; the others are counted.
pub const MAX_ORPHANS: usize = 10_000;

/// What a run came to: the JSON object of `docs/REPORT.md`. The names and the order of the fields are a contract.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `dcproxy`.
    pub tool: Cow<'static, str>,
    /// The tool's version.
    pub version: Cow<'static, str>,
    /// The worst verdict of the connections and of the run's own findings.
    pub verdict: Verdict,
    /// The seed that repeats the run, where there is one.
    pub seed: Option<u64>,
    /// The era judged by: one of the six, `mixed` where connections differ, none where nothing was judged.
    pub era: Option<String>,
    /// How the era was found.
    pub reason: String,
    /// The scenarios that ran, by name.
    pub scenarios: Vec<String>,
    /// One row for each (message, status), over all connections.
    pub matrix: Vec<Row>,
    /// One for each connection, by id.
    pub connections: Vec<Connection>,
    /// Whose faults decide.
    pub judge: Judge,
    /// Findings about the run as a whole, such as that no connection came.
    pub findings: Vec<Finding>,
    /// What kept the run from being whole, one line each: a failed dial, a cut-off file.
    pub errors: Vec<String>,
    /// What became of the recording, where one was asked for.
    #[serde(default)]
    pub recording: Option<Recording>,
}

/// What became of a recording.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// Its files, in order.
    pub files: Vec<String>,
    /// Frames that are in it, at both edges.
    pub frames: u64,
    /// Frames that could not be recorded, as the disk was slow or full.
    pub lost_frames: u64,
    /// Their bytes.
    pub lost_bytes: u64,
    /// What went wrong first.
    pub error: Option<String>,
}

impl Report {
    /// The report of a run without connections, findings or errors: a pass that nothing supports. Whoever expected
    /// something adds it, or the finding that it is missing (law L7).
    pub fn new(judge: Judge) -> Self {
        Self {
            schema: SCHEMA,
            tool: Cow::Borrowed("dcproxy"),
            version: Cow::Borrowed(env!("CARGO_PKG_VERSION")),
            verdict: Verdict::Pass,
            seed: None,
            era: None,
            reason: String::new(),
            judge,
            scenarios: Vec::new(),
            matrix: Vec::new(),
            findings: Vec::new(),
            errors: Vec::new(),
            recording: None,
            connections: Vec::new(),
        }
    }

    /// Adds a connection: its verdict and its matrix become part of the run's, and its era where it is the only one so far.
    pub fn add_connection(&mut self, connection: Connection) {
        self.verdict = self.verdict.worst(connection.verdict);
        matrix::merge(&mut self.matrix, &connection.matrix);
        match (&self.era, &connection.era) {
            (None, Some(_)) => {
                self.era.clone_from(&connection.era);
                self.reason.clone_from(&connection.reason);
            }
            (Some(ours), Some(theirs)) if ours != theirs => {
                self.era = Some("mixed".to_owned());
                "each connection says how its own was found".clone_into(&mut self.reason);
            }
            _ => {}
        }
        self.connections.push(connection);
    }

    /// Adds a finding about the run as a whole. It decides, whoever is judged.
    pub fn add_finding(&mut self, finding: &verdict::Finding) {
        self.verdict = self.verdict.worst(finding.verdict);
        self.findings.push(Finding::new(finding, None));
    }
}

/// One connection through the tool, or one recorded connection.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// Counts from 1 in the order in which they began.
    pub id: u64,
    /// The consumer's address; the dialler's where no DCP_OPEN told the roles.
    pub consumer: String,
    /// The producer's address; the dialled one where no DCP_OPEN told the roles.
    pub producer: String,
    /// The name given in DCP_OPEN.
    pub name: Option<String>,
    /// The era judged by; none where nothing was judged.
    pub era: Option<String>,
    /// The worst verdict of the deciding findings.
    pub verdict: Verdict,
    /// Frames that the two ends sent.
    pub frames: Frames,
    /// What the scenario's steps did.
    pub steps: Vec<Step>,
    /// Orphaned responses, the first [`MAX_ORPHANS`].
    pub orphans: Vec<Orphan>,
    /// What decides the verdict, the passed too.
    pub findings: Vec<Finding>,
    /// How the era was found.
    pub reason: String,
    /// One row for each (message, status).
    pub matrix: Vec<Row>,
    /// How many orphaned responses there were.
    pub orphans_total: u64,
    /// What decides nothing: about the end that is not judged, or about what is customary only.
    pub notes: Vec<Finding>,
    /// Which of `probe`'s cases it is for.
    #[serde(default)]
    pub case: Option<String>,
}

impl Connection {
    /// A connection about which nothing is known but its two ends.
    pub fn new(id: u64, consumer: impl Into<String>, producer: impl Into<String>) -> Self {
        Self {
            id,
            consumer: consumer.into(),
            producer: producer.into(),
            name: None,
            era: None,
            reason: String::new(),
            verdict: Verdict::Pass,
            frames: Frames::default(),
            matrix: Vec::new(),
            steps: Vec::new(),
            orphans: Vec::new(),
            orphans_total: 0,
            findings: Vec::new(),
            notes: Vec::new(),
            case: None,
        }
    }

    /// Adds a finding: to [`Self::findings`] and the verdict if it decides, else to [`Self::notes`]. `producer` is the side
    /// that produces, once known; `start` when the connection began.
    pub fn add_finding(&mut self, finding: verdict::Finding, judge: Judge, producer: Option<Side>, start: Timestamp) {
        let finding = finding.resolved(producer);
        let written = Finding::new(&finding, Some(start));
        if finding.decides(judge) {
            self.verdict = self.verdict.worst(finding.verdict);
            self.findings.push(written);
        } else {
            self.notes.push(written);
        }
    }

    /// Adds an orphaned response, or only counts it where [`MAX_ORPHANS`] are listed.
    pub fn add_orphan(&mut self, orphan: Orphan) {
        self.orphans_total = self.orphans_total.saturating_add(1);
        if self.orphans.len() < MAX_ORPHANS {
            self.orphans.push(orphan);
        }
    }
}

/// Frames by who sent them; those of the tool are in neither.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frames {
    /// Sent by the producer.
    pub producer: u64,
    /// Sent by the consumer.
    pub consumer: u64,
}

/// What a step of a scenario did; the place is that of its first firing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name.
    pub step: String,
    /// How often its fault fired.
    pub fired: u64,
    /// On which vbucket.
    pub vbucket: Option<u16>,
    /// On the stream with this opaque: `0x` and the four bytes as on the wire, in hex.
    pub opaque: Option<String>,
    /// After which seqno.
    pub seqno: Option<u64>,
    /// Milliseconds after the connection's start.
    pub at_ms: Option<u64>,
}

/// A response that met no stream or no request at the end which got it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orphan {
    /// The message answered: `DCP_PREPARE`.
    pub message: String,
    /// The answer: `KeyEnoent`, unknown ones as `0x7e`.
    pub status: String,
    /// The vbucket of the message answered, where it is known.
    pub vbucket: Option<u16>,
    /// Its seqno, where it has one.
    pub seqno: Option<u64>,
    /// Milliseconds after the connection's start.
    pub at_ms: u64,
    /// Whose answer it is.
    pub origin: OrphanOrigin,
}

/// Whose an orphaned response is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrphanOrigin {
    /// The tool's.
    Injected,
    /// The consumer's own.
    Consumer,
}

/// A finding as it is written down.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The rule's stable id.
    pub id: Cow<'static, str>,
    /// The rule as text.
    pub requirement: Cow<'static, str>,
    /// What the evidence says.
    pub verdict: Verdict,
    /// What the rule demands in this case.
    pub expected: String,
    /// What was seen, or what is missing.
    pub actual: String,
    /// Milliseconds after the connection's start.
    pub at_ms: Option<u64>,
    /// On which vbucket.
    pub vbucket: Option<u16>,
    /// At which seqno.
    pub seqno: Option<u64>,
    /// How much the rule weighs.
    pub severity: Severity,
    /// Whom it tells of: `producer`, `consumer`, `run`; `dialler` or `upstream` where no DCP_OPEN told the roles.
    pub about: Cow<'static, str>,
}

impl Finding {
    /// The finding with its time counted from `start`; without one it has no time.
    pub fn new(finding: &verdict::Finding, start: Option<Timestamp>) -> Self {
        let since = |start| finding.at.map(|at| millis(at, start));
        Self {
            id: finding.id.clone(),
            requirement: finding.requirement.clone(),
            verdict: finding.verdict,
            expected: finding.expected.clone(),
            actual: finding.actual.clone(),
            at_ms: start.and_then(since),
            vbucket: finding.vbucket,
            seqno: finding.seqno,
            severity: finding.severity,
            about: Cow::Borrowed(About::as_str(finding.about)),
        }
    }
}

/// The `at_ms` of something at `at` on a connection that began at `start`: whole milliseconds, rounded down.
pub fn millis(at: Timestamp, start: Timestamp) -> u64 {
    u64::try_from(at.since(start).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_000_000_000);

    fn connection(findings: &[verdict::Finding], judge: Judge) -> Connection {
        let mut connection = Connection::new(1, "c", "p");
        for finding in findings {
            connection.add_finding(finding.clone(), judge, Some(Side::Upstream), START);
        }
        connection
    }

    fn failed(about: About) -> verdict::Finding {
        verdict::Finding::fail("x", "y").about(about).at(Timestamp(1_123_999_999))
    }

    #[test]
    fn only_findings_about_the_judged_end_decide() {
        let both = [failed(About::Side(Side::Dialler)), failed(About::PRODUCER)];
        let by_producer = connection(&both, Judge::Producer);
        assert_eq!(by_producer.findings.iter().map(|f| f.about.as_ref()).collect::<Vec<_>>(), ["producer"]);
        assert_eq!(by_producer.notes.iter().map(|f| f.about.as_ref()).collect::<Vec<_>>(), ["consumer"]);
        assert_eq!(by_producer.verdict, Verdict::Fail);
        let of_consumer = connection(&both[..1], Judge::Producer);
        assert_eq!((of_consumer.verdict, of_consumer.notes.len()), (Verdict::Pass, 1));
        let customary = connection(&[both[1].clone().severity(Severity::Warning)], Judge::Both);
        assert_eq!((customary.verdict, customary.notes.len()), (Verdict::Pass, 1));
    }

    #[test]
    fn time_is_counted_from_the_start() {
        assert_eq!(connection(&[failed(About::Run)], Judge::Producer).findings[0].at_ms, Some(123));
        assert_eq!(Finding::new(&failed(About::Run), None).at_ms, None);
    }

    #[test]
    fn the_run_has_the_worst_verdict_and_the_common_era() {
        let with = |verdict, era: &str| Connection {
            verdict,
            era: Some(era.to_owned()),
            reason: format!("how {era}"),
            ..Connection::new(1, "c", "p")
        };
        let mut report = Report::new(Judge::Producer);
        report.add_connection(Connection::new(1, "c", "p"));
        assert_eq!((report.verdict, report.era.as_deref()), (Verdict::Pass, None));
        report.add_connection(with(Verdict::Inconclusive, "6.5"));
        report.add_connection(with(Verdict::Pass, "6.5"));
        assert_eq!((report.verdict, report.era.as_deref()), (Verdict::Inconclusive, Some("6.5")));
        assert_eq!(report.reason, "how 6.5");
        report.add_connection(with(Verdict::Fail, "7.0"));
        assert_eq!((report.verdict, report.era.as_deref()), (Verdict::Fail, Some("mixed")));

        let mut report = Report::new(Judge::Producer);
        report.add_finding(&verdict::Finding::inconclusive("evidence", "a connection comes"));
        assert_eq!(report.verdict, Verdict::Inconclusive);
    }

    #[test]
    fn orphans_beyond_the_limit_are_counted() {
        let orphan = Orphan {
            message: "DCP_MUTATION".to_owned(),
            status: "KeyEnoent".to_owned(),
            vbucket: None,
            seqno: None,
            at_ms: 0,
            origin: OrphanOrigin::Consumer,
        };
        let mut connection = Connection::new(1, "c", "p");
        for _ in 0..=MAX_ORPHANS {
            connection.add_orphan(orphan.clone());
        }
        assert_eq!((connection.orphans.len(), connection.orphans_total), (MAX_ORPHANS, 10_001));
    }
}
