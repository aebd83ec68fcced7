//! Plays the recorded consumer against a live producer.

mod answers;
mod ending;
mod login;
mod said;
mod steps;
mod streams;
mod waits;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::login::Login;
use self::steps::Step;
use self::steps::What;
use self::streams::Live;
use self::waits::Wait;
use super::Options;
use super::differences::Differences;
use super::recording::Logs;
use super::script::Line;
use super::script::Script;
use super::talk::Talk;
use crate::Timestamp;
use crate::dcp::FailoverEntry;
use crate::dcp::Negotiated;
use crate::journal::How;
use crate::wire::Frame;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// A consumer that does what the recorded one did: step by step, each once all that it had waited for has come live.
///
/// ```text
/// Playing --all steps taken, all came--> Watching (only after orphaned responses) --> Closing
///    \------ patience is over, or the live end closed ----------------^-------------------^
/// ```
#[derive(Debug)]
pub(super) struct Consumer {
    script: Arc<Script>,
    logs: Arc<Logs>,
    options: Options,
    talk: Talk,
    steps: Vec<Step>,
    next: usize,
    /// Since when nothing but time has kept the next step from being taken.
    ready: Option<Timestamp>,
    /// What is waited for, and since when.
    waits: Option<(Wait, Timestamp)>,
    /// No-ops that were answered.
    noops: usize,
    /// Requests that the live end owes an answer to: index into the script's lines.
    pending: BTreeMap<(Opcode, Opaque), Vec<usize>>,
    login: Login,
    streams: Vec<Live>,
    by_opaque: BTreeMap<Opaque, usize>,
    /// The live failover logs.
    live_logs: BTreeMap<u16, Vec<FailoverEntry>>,
    /// The failover log that was asked for on the tool's own account.
    asked_log: Option<(Opaque, u16)>,
    negotiated: Negotiated,
    unacked: u64,
    window: u32,
    habit: Habit,
    orphans: Orphans,
    differences: Differences,
    phase: Phase,
    /// Why it could not be played to its end.
    stuck: Option<Stuck>,
    closing: Option<How>,
    /// Whether the live end stayed where the recorded one had closed.
    stayed: bool,
    last: Timestamp,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Playing,
    /// All was said; whether the live end lives is watched.
    Watching(ending::Watch),
    Closed,
}

/// Why a replay came to no good end.
#[derive(Clone, Debug)]
pub(super) struct Stuck {
    pub(super) expected: String,
    pub(super) actual: String,
    pub(super) at: Timestamp,
}

/// When the recorded consumer gave bytes back.
#[derive(Clone, Copy, Debug, Default)]
struct Habit {
    /// The most that it had owed when it did, in hundredths of its window; 0 where it never did.
    percent: u64,
}

/// Orphaned responses.
#[derive(Clone, Copy, Debug, Default)]
struct Orphans {
    given: u64,
    /// Recorded ones for which nothing came that they could have answered.
    left_out: u64,
    last_at: Timestamp,
}

impl Consumer {
    pub(super) fn new(script: Arc<Script>, logs: Arc<Logs>, options: Options, now: Timestamp) -> Self {
        let mut steps = steps::steps(&script);
        let has_login = steps.iter().any(|step| matches!(step.what, What::Login));
        if options.credentials.is_none() {
            steps.retain(|step| !matches!(step.what, What::Login));
        } else if !has_login {
            // It was on a connection that needs none, or by a certificate.
            steps.insert(0, Step { line: 0, what: What::Login });
        }
        let mut consumer = Self {
            streams: vec![Live::default(); script.streams.len()],
            habit: Habit::of(&script),
            script,
            logs,
            options,
            talk: Talk::new(),
            steps,
            next: 0,
            ready: None,
            waits: None,
            noops: 0,
            pending: BTreeMap::new(),
            login: Login::default(),
            by_opaque: BTreeMap::new(),
            live_logs: BTreeMap::new(),
            asked_log: None,
            negotiated: Negotiated::default(),
            unacked: 0,
            window: 0,
            orphans: Orphans::default(),
            differences: Differences::default(),
            phase: Phase::Playing,
            stuck: None,
            closing: None,
            stayed: false,
            last: now,
        };
        consumer.go_on(now);
        consumer
    }

    pub(super) fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        let (frames, lost) = self.talk.frames(bytes);
        for bytes in frames {
            if let Ok(frame) = Frame::new(&bytes) {
                self.take(&frame, now);
            }
        }
        if let Some(error) = lost {
            self.stop("frames of the live end", &format!("framing is lost: {error}"), now);
        }
        self.go_on(now);
    }

    pub(super) fn closed(&mut self, how: How, now: Timestamp) {
        if self.phase == Phase::Closed {
            return;
        }
        self.live_closed(how, now);
    }

    pub(super) fn wakeup(&mut self, now: Timestamp) {
        self.go_on(now);
    }

    pub(super) fn next_wakeup(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Playing => Some(self.due()),
            Phase::Watching(watch) => Some(self.watch_due(watch)),
            Phase::Closed => None,
        }
    }

    pub(super) fn pull(&mut self, to: &mut Vec<u8>, budget: usize) {
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

    fn line(&self, at: usize) -> Option<&Line> {
        self.script.lines.get(at)
    }

    /// Takes every step that can be taken now.
    fn go_on(&mut self, now: Timestamp) {
        self.last = now;
        self.give_back_by_habit();
        while self.phase == Phase::Playing {
            match self.wait() {
                Some(wait) => {
                    self.ready = None;
                    if self.waits.is_none_or(|(before, _)| before != wait) {
                        self.waits = Some((wait, now));
                    }
                    if self.until(wait) > now {
                        return;
                    }
                    self.give_up(wait, now);
                    self.waits = None;
                }
                None => {
                    self.waits = None;
                    let since = *self.ready.get_or_insert(now);
                    if since + self.gap() > now {
                        return;
                    }
                    self.ready = None;
                    if self.next >= self.steps.len() {
                        self.begin_watch(now);
                        break;
                    }
                    self.take_step(now);
                }
            }
        }
        if let Phase::Watching(watch) = self.phase {
            self.watch(watch, now);
        }
    }

    fn stop(&mut self, expected: &str, actual: &str, now: Timestamp) {
        if self.stuck.is_none() && self.phase != Phase::Closed {
            self.stuck = Some(Stuck { expected: expected.to_owned(), actual: actual.to_owned(), at: now });
        }
        if self.phase == Phase::Playing {
            self.begin_watch(now);
        }
    }
}

impl Habit {
    fn of(script: &Script) -> Self {
        use crate::dcp::Message;
        let (mut window, mut owed, mut percent) = (0_u64, 0_u64, 0);
        for line in &script.lines {
            owed += u64::from(crate::dcp::charge(&line.header));
            match line.message.as_deref() {
                Some(Message::Control(control)) if control.key == "connection_buffer_size" => {
                    window = control.value.parse().unwrap_or_default();
                }
                Some(Message::BufferAck(ack)) => {
                    let owed_then = (u64::from(ack.bytes_to_ack).min(owed) * 100).checked_div(window);
                    percent = percent.max(owed_then.unwrap_or_default());
                    owed = owed.saturating_sub(u64::from(ack.bytes_to_ack));
                }
                _ => {}
            }
        }
        Self { percent }
    }
}
