//! What a connection's journal proves: the same judge for a live connection and a recorded one.
//!
//! It sees nothing but entries, those of the producer's edge and, where the consumer is judged, of its own (laws L5 and L6),
//! and has what "the producer handles it" means (design.md §5) in one file for each finding; `consumer/` has the consumer's.

mod closed;
mod consumer;
mod kept;
mod resumes;
mod story;
#[cfg(test)]
mod tests;
mod undisturbed;
mod window;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use super::expect::Cases;
use super::expect::Expected;
use crate::Timestamp;
use crate::dcp;
use crate::engine::Observer;
use crate::engine::Sessions;
use crate::era;
use crate::era::Cell;
use crate::era::Era;
use crate::invariant::Suite;
use crate::journal::Act;
use crate::journal::Direction;
use crate::journal::Entries;
use crate::journal::Entry;
use crate::journal::Origin;
use crate::journal::Side;
use crate::journal::What;
use crate::report;
use crate::report::Outcome;
use crate::report::Row;
use crate::session::Context;
use crate::session::Session;
use crate::session::StreamKey;
use crate::verdict::About;
use crate::verdict::Finding;
use crate::verdict::Judge as Judged;
use crate::verdict::Verdict;
use crate::wire::Header;
use crate::wire::Opcode;
use closed::StaysClosed;
use consumer::Consumers;
use kept::Kept;
use resumes::Resumes;
use story::ReplayStory;
use story::Story;
use undisturbed::Undisturbed;
use window::Window;

/// How a connection is to be judged.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The era to go by; `None` to find it out.
    pub era: Option<Era>,
    /// The message types that are to meet an orphaned response.
    pub messages: BTreeSet<Opcode>,
    /// How long the producer is watched after the last orphaned response.
    pub settle: Duration,
    /// Whose faults decide.
    pub judge: Judged,
    /// What there is to judge.
    pub source: Source,
    /// What scenarios expect after their steps.
    pub expected: Vec<Expected>,
}

/// Where a journal comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// A recording: what it holds is judged, and what was never recorded is said of the whole run.
    Recording,
    /// A live connection on which nothing is armed: nothing is expected of it.
    Watching,
    /// A live connection on which steps are taken; `makes_orphans` where these are to lead to orphaned responses.
    Acting {
        /// Whether the steps are there to make orphaned responses.
        makes_orphans: bool,
        /// Whether answers at which the era's producer may or must close are given too, so that none is left out.
        fatal_too: bool,
    },
}

/// One entry, and what is known at it.
struct Seen<'a> {
    entry: &'a Entry,
    context: &'a Context,
    session: &'a Session,
    story: &'a Story,
    /// The tool's own stream as it was before the entry.
    before: Option<ReplayStory>,
}

/// What is known at the end.
struct End<'a> {
    era: Era,
    v7: bool,
    story: &'a Story,
}

/// The judge of one connection.
pub struct Judge {
    terms: Terms,
    id: u64,
    dialler: String,
    upstream: String,
    start: Option<Timestamp>,
    story: Story,
    kept: Kept,
    undisturbed: Undisturbed,
    closed: StaysClosed,
    resumes: Resumes,
    window: Window,
    invariants: Suite,
    cases: Cases,
    /// Those of the consumer, where its faults decide.
    consumers: Option<Consumers>,
    orphans: Vec<report::Orphan>,
    orphans_total: u64,
    frames: [u64; 2],
    seen: [bool; 256],
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge").field("id", &self.id).field("terms", &self.terms).finish_non_exhaustive()
    }
}

/// What a connection came to.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// As it stands in the report.
    pub connection: report::Connection,
    /// The message types that the producer sent.
    pub seen: BTreeSet<Opcode>,
    /// Whether the connection has a producer that is judged.
    pub has_producer: bool,
    /// Whether it has a consumer that is judged: where the terms say so.
    pub has_consumer: bool,
    /// Whether an orphaned response was delivered to it.
    pub has_orphans: bool,
}

/// The end that was dialled is the only producer that is judged (design.md §6); the consumer is, at its own edge.
const EDGE: Side = Side::Upstream;

impl Judge {
    /// A judge for the connection `id`, between these two addresses.
    pub fn new(terms: Terms, id: u64, dialler: impl Into<String>, upstream: impl Into<String>) -> Self {
        Self {
            kept: Kept::new(!matches!(terms.source, Source::Acting { .. }), terms.era, terms.settle),
            undisturbed: Undisturbed::new(terms.settle),
            id,
            dialler: dialler.into(),
            upstream: upstream.into(),
            start: None,
            story: Story::default(),
            closed: StaysClosed::new(terms.settle),
            resumes: Resumes::new(terms.settle),
            window: Window::new(terms.settle),
            invariants: Suite::new(),
            cases: Cases::new(&terms.expected, terms.settle),
            consumers: terms.judge.judges(About::CONSUMER).then(|| Consumers::new(terms.era)),
            orphans: Vec::new(),
            orphans_total: 0,
            frames: [0; 2],
            seen: [false; 256],
            terms,
        }
    }

    /// Takes note of what is expected after steps that are armed while the connection is open; `sessions` are those at its
    /// edges. What is expected already is not expected twice.
    pub fn expect(&mut self, expected: &[Expected], sessions: &Sessions) {
        self.cases.expect(expected, self.terms.settle, sessions);
    }

    /// Steps were armed, on a connection on which none may have been so far.
    fn armed(&mut self, orphans: bool, fatal_too: bool, messages: &[Opcode]) {
        let orphans = orphans && self.terms.judge.judges(About::PRODUCER);
        self.terms.source = match self.terms.source {
            // What a recording holds is judged.
            Source::Recording => return,
            Source::Acting { makes_orphans, fatal_too } => {
                Source::Acting { makes_orphans: makes_orphans || orphans, fatal_too }
            }
            Source::Watching => {
                // What was wanted where nothing was done was never to come.
                self.terms.messages.clear();
                self.kept.act();
                Source::Acting { makes_orphans: orphans, fatal_too }
            }
        };
        self.terms.messages.extend(messages);
    }

    /// When the first entry was made, which times are counted from.
    pub const fn began(&self) -> Option<Timestamp> {
        self.start
    }

    /// What the journal so far comes to; `session` is that of the edge of the end that was dialled.
    pub fn judgement(&mut self, session: &Session) -> Judgement {
        let start = self.start.unwrap_or_default();
        let producer = session.producer();
        let judged = producer == Some(EDGE) && session.open().is_some_and(|open| open.accepted);
        let (consumer_addr, producer_addr) = match producer {
            Some(Side::Dialler) => (&self.upstream, &self.dialler),
            Some(Side::Upstream) | None => (&self.dialler, &self.upstream),
        };
        let mut connection = report::Connection::new(self.id, consumer_addr.clone(), producer_addr.clone());
        connection.name = session.open().map(|open| open.name.clone());
        connection.frames = match producer {
            Some(Side::Dialler) => report::Frames { producer: self.frames[0], consumer: self.frames[1] },
            Some(Side::Upstream) | None => report::Frames { producer: self.frames[1], consumer: self.frames[0] },
        };
        let mut findings = self.invariants.finish();
        if judged {
            let (era, reason) = match self.terms.era {
                Some(era) => (era, "asked for with --era".to_owned()),
                None => super::era_of(session),
            };
            connection.era = Some(era.to_string());
            connection.reason = reason;
            let end = End { era, v7: session.v7(), story: &self.story };
            connection.matrix = self.kept.rows(&end);
            connection.matrix.extend(self.rows_of_missing(&end));
            findings.extend(self.kept.findings(&end));
            findings.extend(self.undisturbed.findings(&end));
            findings.extend(self.closed.findings(&end));
            findings.extend(self.resumes.findings(&end));
            findings.extend(self.window.findings(&end));
        }
        let has_consumer = self.consumers.as_mut().is_some_and(|consumers| consumers.judge(&mut findings, producer));
        // Behind what takes the place of the rules about the consumer: expectations saw it at its own edge.
        if judged || session.producer().is_some() {
            findings.extend(self.cases.findings());
        }
        if judged || has_consumer {
            findings.extend(self.evidence(session, &connection.matrix, judged));
        }
        let acting = matches!(self.terms.source, Source::Acting { .. });
        if has_consumer && acting && !findings.iter().any(|finding| finding.id.starts_with("consumer-")) {
            findings.push(not_enough("something that puts the consumer to the test", "nothing was sent to it"));
        }
        for finding in findings {
            connection.add_finding(finding, self.terms.judge, producer, start);
        }
        self.add_story(&mut connection, start, judged);
        Judgement {
            connection,
            seen: self.seen(),
            has_producer: judged,
            has_consumer,
            has_orphans: judged && self.kept.any(),
        }
    }

    fn seen(&self) -> BTreeSet<Opcode> {
        (0..=u8::MAX).filter(|&opcode| self.seen[usize::from(opcode)]).map(Opcode).collect()
    }

    fn add_story(&self, connection: &mut report::Connection, start: Timestamp, judged: bool) {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for step in &self.story.steps {
            *counts.entry(&step.step).or_default() += step.times;
        }
        for (name, fired) in counts {
            let Some(first) = self.story.steps.iter().find(|step| step.step == name) else { continue };
            connection.steps.push(report::Step {
                step: name.to_owned(),
                fired,
                vbucket: first.stream.map(|(key, ..)| key.vbucket),
                opaque: first.stream.map(|(_, opaque, _)| opaque.to_string()),
                seqno: first.stream.map(|(.., seqno)| seqno),
                at_ms: Some(report::millis(first.at, start)),
            });
        }
        if !judged {
            return;
        }
        connection.orphans.clone_from(&self.orphans);
        connection.orphans_total = self.orphans_total;
    }

    /// Rows for the wanted types that no orphaned response answers, where it was the tool's to make one.
    fn rows_of_missing(&self, end: &End<'_>) -> Vec<Row> {
        let Source::Acting { makes_orphans: true, fatal_too } = self.terms.source else { return Vec::new() };
        let missing = self.terms.messages.iter().filter(|&&message| !self.kept.has(message));
        missing
            .map(|&message| {
                let answer = era::cut_status(end.era, end.v7, message);
                let tried = fatal_too || answer.cell == Cell::Keep;
                if tried && !self.story.left_out.contains_key(&message) {
                    Row::new(message.to_string(), None, 0, Outcome::NotExercised)
                } else {
                    Row::new(message.to_string(), Some(answer.own.to_string()), 0, Outcome::LeftOut)
                }
            })
            .collect()
    }

    /// What is missing for a verdict (law L7); orphaned responses where a producer is `judged` by them.
    fn evidence(&self, session: &Session, matrix: &[Row], judged: bool) -> Vec<Finding> {
        let mut missing = Vec::new();
        if session.framing_lost() {
            missing.push(not_enough("frames up to the end", "framing was lost"));
        }
        if session.gap() {
            missing.push(not_enough("a recording without gaps", "bytes are missing"));
        }
        let Source::Acting { makes_orphans, .. } = self.terms.source else { return missing };
        if self.story.steps.is_empty() {
            missing.push(not_enough(
                "a step to fire",
                "no message of a wanted type came in the middle of a transfer, or none that a trigger waits for",
            ));
        } else if self.story.settled.is_none()
            && !self.kept.has_disconnected()
            && !self.cases.expects_close()
            && !self.story.closed_by_tool
        {
            missing.push(not_enough("a connection that lasts until all has settled", "it was over before"));
        }
        if !self.story.steps.is_empty() && !self.story.never_fired.is_empty() {
            let steps = self.story.never_fired.join(", ");
            missing.push(not_enough("each step to fire", &format!("never fired: {steps}")));
        }
        if judged && makes_orphans && !self.story.steps.is_empty() {
            if !self.kept.any() {
                missing.push(not_enough("an orphaned response", "none was delivered"));
            }
            let rows = || matrix.iter().filter(|row| row.outcome == Outcome::NotExercised);
            let never: Vec<_> = rows().filter(|row| row.answered == 0).map(|row| row.message.as_str()).collect();
            if !never.is_empty() {
                missing.push(never_came(&never));
            }
            let unknown: Vec<_> = rows().filter(|row| row.answered > 0).map(|row| row.message.as_str()).collect();
            if !unknown.is_empty() {
                missing.push(not_enough(
                    "a proof of life, or a close, after each orphaned response",
                    &format!("nothing is known after those to: {}", unknown.join(", ")),
                ));
            }
        }
        missing
    }
}

/// The finding that messages of some wanted types never came.
pub fn never_came(messages: &[&str]) -> Finding {
    not_enough("an orphaned response to each wanted message type", &format!("never came: {}", messages.join(", ")))
}

/// The finding that evidence is missing.
pub fn not_enough(expected: &str, actual: &str) -> Finding {
    Finding::new("evidence", "no verdict without evidence", Verdict::Inconclusive)
        .about(About::Run)
        .expected(expected)
        .actual(actual)
}

impl Judge {
    /// Whether nothing is watched for or to be proven by a mutation of the stream that this header is of.
    fn is_at_rest(&self, header: &Header) -> bool {
        let key = StreamKey { vbucket: header.vbucket_or_status, stream_id: None };
        self.cases.is_at_rest()
            && self.consumers.is_none()
            && self.kept.is_at_rest()
            && self.window.is_at_rest()
            && !self.story.is_tools(key, header.opaque)
    }
}

impl Observer for Judge {
    fn bears_stretch(&self, header: &Header) -> bool {
        self.is_at_rest(header) && self.invariants.bears_stretch(header)
    }

    fn observe_stretch(&mut self, entries: &Entries<'_>, session: &Session) {
        if entries.edge != EDGE {
            return;
        }
        self.frames[usize::from(entries.direction == Direction::From)] += entries.stretch.frames();
        self.invariants.observe_stretch(entries, session);
        if entries.direction == Direction::From && !self.story.steps.is_empty() {
            self.undisturbed.observe_stretch(entries.stretch);
        }
    }

    fn observe(&mut self, entry: &Entry, context: &Context, session: &Session) {
        self.start.get_or_insert(entry.at);
        self.cases.observe(entry, context, session);
        if let Some(consumers) = &mut self.consumers {
            consumers.observe(entry, context, session);
        }
        if entry.edge != EDGE {
            return;
        }
        if let What::Frame(head) = &entry.what
            && entry.origin == Origin::Peer
        {
            let sender = usize::from(entry.direction == Direction::From);
            self.frames[sender] += 1;
            if sender == 1 && head.header.is_request() && dcp::is_stream_message(head.header.opcode) {
                self.seen[usize::from(head.header.opcode.0)] = true;
            }
        }
        let before =
            matches!(entry.what, What::Acted(_) | What::Closed { .. }).then(|| self.story.replay.clone()).flatten();
        self.story.observe(entry);
        if let What::Acted(Act::Armed { orphans, fatal_too, messages, .. }) = &entry.what {
            self.armed(*orphans, *fatal_too, messages);
        }
        let seen = Seen { entry, context, session, story: &self.story, before };
        self.kept.observe(&seen);
        self.undisturbed.observe(&seen);
        self.closed.observe(&seen);
        self.resumes.observe(&seen);
        self.window.observe(&seen);
        self.invariants.observe(entry, session);
        if let (What::Frame(head), Some(orphan)) = (&entry.what, &context.orphan)
            && session.producer() == Some(EDGE)
        {
            self.orphans_total += 1;
            let seqno = self.story.answered(head.header.opcode, head.header.opaque, entry.origin);
            if self.orphans.len() < report::MAX_ORPHANS {
                self.orphans.push(report::Orphan {
                    message: head.header.opcode.to_string(),
                    status: orphan.status.to_string(),
                    vbucket: orphan.stream.map(|key| key.vbucket),
                    seqno,
                    at_ms: report::millis(entry.at, self.start.unwrap_or_default()),
                    origin: kept::origin(entry.origin),
                });
            }
        }
    }
}
