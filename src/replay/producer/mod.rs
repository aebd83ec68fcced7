//! Plays the recorded producer to a live consumer.

mod asked;
mod ending;
mod lanes;
mod login;
mod requests;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::sync::Arc;

use self::asked::Asked;
use self::lanes::Lane;
use super::Options;
use super::differences::Differences;
use super::recording::Logs;
use super::script::Line;
use super::script::Script;
use super::talk::Talk;
use crate::Timestamp;
use crate::dcp::Message;
use crate::journal::How;
use crate::journal::Role;
use crate::node::auth::Scram;
use crate::node::flow::Flow;
use crate::wire::Frame;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// A producer that answers as the recorded one did, and sends what that one sent: each stream in its order, once it was
/// requested and as far as the live consumer's window allows.
///
/// ```text
/// Playing --all was sent, all came that was waited for--> Lingering --the consumer closed, or is quiet--> Closed
///    \------------ patience is over, or the consumer closed ------------------------------------------------^
/// ```
#[derive(Debug)]
pub(super) struct Producer {
    script: Arc<Script>,
    logs: Arc<Logs>,
    options: Options,
    talk: Talk,
    /// The recorded requests that the live consumer has not made yet.
    asked: Asked,
    /// The recorded request that came last, of the set-up and of each vbucket.
    matched_last: BTreeMap<Option<u16>, usize>,
    lanes: Vec<Lane>,
    by_opaque: BTreeMap<Opaque, usize>,
    /// What the recorded producer asked for beside its streams, no-ops above all: indexes into the script's lines.
    of_connection: VecDeque<usize>,
    connection_ready: Option<Timestamp>,
    /// Requests of the player's that the live consumer owes an answer to.
    pending: BTreeMap<(Opcode, Opaque), VecDeque<usize>>,
    opened: bool,
    noop: bool,
    stream_end_on_close: bool,
    window: u64,
    flow: Flow,
    scram: Option<Scram>,
    nonces: u64,
    /// Requests that are neither waited for nor compared: how many came, and how many had come in the recording before
    /// its producer closed.
    free: usize,
    recorded_free: usize,
    /// The recorded orphaned responses: indexes into the script's lines.
    recorded_orphans: Vec<usize>,
    /// Orphaned responses that came.
    orphans: BTreeSet<(Opcode, Status)>,
    orphans_total: usize,
    differences: Differences,
    phase: Phase,
    stuck: Option<Stuck>,
    closing: Option<How>,
    /// When something came that was waited for, or something was sent.
    progress: Timestamp,
    last: Timestamp,
}

/// What may be made before it is pulled.
const READY_LEN: usize = 64 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Playing,
    /// All was sent; since when.
    Lingering,
    Closed,
}

/// Why a replay came to no good end.
#[derive(Clone, Debug)]
struct Stuck {
    expected: String,
    actual: String,
    at: Timestamp,
}

impl Producer {
    pub(super) fn new(script: Arc<Script>, logs: Arc<Logs>, options: Options, now: Timestamp) -> Self {
        let is_orphan = |line: &Line| line.is_orphan() && line.from == Role::Consumer;
        let of_connection =
            |line: &Line| line.from == Role::Producer && line.header.magic.is_request() && !line.is_stream_message();
        Self {
            asked: Asked::new(&script),
            matched_last: BTreeMap::new(),
            lanes: vec![Lane::default(); script.streams.len()],
            of_connection: (0..script.lines.len())
                .filter(|&at| script.lines.get(at).is_some_and(of_connection))
                .collect(),
            free: 0,
            recorded_free: asked::recorded_free(&script),
            recorded_orphans: (0..script.lines.len())
                .filter(|&at| script.lines.get(at).is_some_and(is_orphan))
                .collect(),
            script,
            logs,
            options,
            talk: Talk::new(),
            by_opaque: BTreeMap::new(),
            connection_ready: None,
            pending: BTreeMap::new(),
            opened: false,
            noop: false,
            stream_end_on_close: false,
            window: 0,
            flow: Flow::default(),
            scram: None,
            nonces: 0,
            orphans: BTreeSet::new(),
            orphans_total: 0,
            differences: Differences::default(),
            phase: Phase::Playing,
            stuck: None,
            closing: None,
            progress: now,
            last: now,
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        self.last = now;
        let (frames, lost) = self.talk.frames(bytes);
        for bytes in frames {
            let Ok(frame) = Frame::new(&bytes) else { continue };
            let header = *frame.header();
            if header.is_response() {
                self.response(&header, now);
            } else if header.is_request() {
                self.request(&frame, now);
            }
        }
        if let Some(error) = lost {
            self.stop("frames of the live end", &format!("framing is lost: {error}"), now);
            self.finish(How::Fin, now);
        }
        self.go_on(now);
    }

    pub(super) fn closed(&mut self, how: How, now: Timestamp) {
        self.last = now;
        if self.phase == Phase::Closed {
            return;
        }
        self.live_closed(how, now);
    }

    pub(super) fn wakeup(&mut self, now: Timestamp) {
        self.go_on(now);
    }

    pub(super) fn next_wakeup(&self) -> Option<Timestamp> {
        (self.phase != Phase::Closed).then(|| self.due())
    }

    pub(super) fn pull(&mut self, to: &mut Vec<u8>, budget: usize, now: Timestamp) {
        if self.talk.waiting() < budget {
            self.send(budget, now);
            self.look_for_the_end(now);
        }
        self.talk.pull(to, budget);
    }

    pub(super) fn closing(&self) -> Option<How> {
        self.closing.filter(|_| self.talk.waiting() == 0)
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Closed
    }

    pub(super) fn waiting(&self) -> usize {
        self.talk.waiting()
    }

    /// Whether the live end has opened DCP.
    pub(super) const fn has_opened(&self) -> bool {
        self.opened
    }

    fn line(&self, at: usize) -> Option<&Line> {
        self.script.lines.get(at)
    }

    fn go_on(&mut self, now: Timestamp) {
        self.last = now;
        self.send(READY_LEN, now);
        self.look_for_the_end(now);
    }

    fn stop(&mut self, expected: &str, actual: &str, now: Timestamp) {
        if self.stuck.is_none() {
            self.stuck = Some(Stuck { expected: expected.to_owned(), actual: actual.to_owned(), at: now });
        }
    }

    /// A response of the live consumer: to a request of the player's, or an orphaned one.
    fn response(&mut self, header: &crate::wire::Header, now: Timestamp) {
        let status = header.status().unwrap_or(Status::SUCCESS);
        let key = (header.opcode, header.opaque);
        let Some(waiting) = self.pending.get_mut(&key) else {
            self.orphans.insert((header.opcode, status));
            self.orphans_total += 1;
            if self.orphans_total <= self.recorded_orphans.len() {
                self.progress = now;
            }
            return;
        };
        let at = waiting.pop_front();
        if waiting.is_empty() {
            self.pending.remove(&key);
        }
        self.progress = now;
        let Some(line) = at.and_then(|at| self.script.lines.get(at)).cloned() else { return };
        if let Some(recorded) = line.answered.and_then(|answer| self.line(answer)).map(Line::status)
            && recorded != status
        {
            self.differences.status(&line, &recorded.to_string(), &status.to_string(), now);
        }
    }

    /// Says a recorded request of the producer's.
    fn say_line(&mut self, at: usize, opaque: Opaque) {
        let Some(line) = self.script.lines.get(at) else { return };
        let header = line.header;
        self.talk.say_again(&line.bytes, opaque);
        let answers = match line.message.as_deref() {
            Some(message) => Message::expects_answer(message, &header),
            None => crate::dcp::expects_answer(header.opcode),
        };
        if answers && header.is_request() {
            self.pending.entry((header.opcode, opaque)).or_default().push_back(at);
        }
    }
}
