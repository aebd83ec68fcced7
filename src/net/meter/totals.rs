use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::block::Block;
use super::cell::Nanos;
use super::eye::Meter;
use super::message::OTHER;
use super::reading::Reading;
use crate::net::record::Losses;
use crate::net::{DialError, Ending};
use crate::verdict::Verdict;

/// What was counted of a proxy. It outlives the proxy's connections, and its being disabled or read again from a file.
#[derive(Debug, Default)]
pub struct Totals {
    connections: Mutex<Connections>,
    events: Mutex<Events>,
    steps: Mutex<BTreeMap<(String, String), Arc<AtomicU64>>>,
    recordings: Mutex<(Recorded, Vec<Losses>)>,
    /// What was last told of how long reading was paused: a clock that is looked at twice never makes it less.
    told: Mutex<[Duration; 2]>,
}

#[derive(Debug, Default)]
struct Connections {
    next: u64,
    open: BTreeMap<u64, Arc<Block>>,
    /// What those that have ended left.
    ended: Reading,
}

/// What happened to connections from outside them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Events {
    /// Connections that were accepted.
    pub accepted: u64,
    /// Dials that failed, by why.
    pub dials_failed: BTreeMap<&'static str, u64>,
    /// Diallers that did not agree on TLS.
    pub handshakes_refused: u64,
    /// Connections that have ended, by how.
    pub endings: BTreeMap<&'static str, u64>,
    /// Verdicts: on each connection that has ended, and on all of them whenever one was demanded.
    pub verdicts: BTreeMap<(Occasion, Verdict), u64>,
    /// Findings that were not passes, of connections that have ended, and decided their verdict: by id.
    pub findings: BTreeMap<(String, Verdict), u64>,
}

/// When a verdict was given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Occasion {
    /// The connection had ended.
    Ended,
    /// Somebody asked for it, on all connections.
    Demanded,
}

impl Occasion {
    /// As a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Demanded => "demanded",
        }
    }
}

/// What became of what was to be recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Recorded {
    /// Frames in the files.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that are not in them, though they should.
    pub lost_frames: u64,
    /// Their bytes.
    pub lost_bytes: u64,
    /// Bytes that wait for the disk, about.
    pub waiting: u64,
}

/// Names that users choose are told apart up to so many of a proxy; the rest is one.
const MOST_NAMES: usize = 256;
/// Recordings that are looked at; what an older one has lost changes no more.
const MOST_RECORDINGS: usize = 8;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Totals {
    /// Counts one more connection, which begins.
    pub fn meter(self: &Arc<Self>) -> Meter {
        let block = Arc::new(Block::default());
        let mut connections = lock(&self.connections);
        let id = connections.next;
        connections.next += 1;
        connections.open.insert(id, Arc::clone(&block));
        Meter::new(Arc::clone(self), id, block)
    }

    /// What was counted of its connections. Each is in it once, also one that ends meanwhile; no number is ever less than it
    /// was, but for those of [`Reading::open`].
    pub fn read(&self) -> Reading {
        let now = Nanos::now();
        let (mut all, open) = {
            let connections = lock(&self.connections);
            (connections.ended.clone(), connections.open.values().cloned().collect::<Vec<_>>())
        };
        open.iter().for_each(|block| block.add_to(&mut all, true, now));
        for (way, told) in all.ways.iter_mut().zip(lock(&self.told).iter_mut()) {
            way.paused = way.paused.max(*told);
            *told = way.paused;
        }
        all
    }

    pub(super) fn ended(&self, id: u64) {
        let connections = &mut *lock(&self.connections);
        if let Some(block) = connections.open.remove(&id) {
            block.add_to(&mut connections.ended, false, Nanos::now());
        }
    }

    /// What happened from outside its connections.
    pub fn events(&self) -> Events {
        lock(&self.events).clone()
    }

    /// A connection is accepted.
    pub(in crate::net) fn accepted(&self) {
        lock(&self.events).accepted += 1;
    }

    /// The upstream cannot be dialled.
    pub(in crate::net) fn dial_failed(&self, error: &DialError) {
        let why = match error {
            DialError::Unknown { .. } => "unknown_host",
            DialError::Refused { .. } => "refused",
            DialError::TimedOut { .. } => "timed_out",
            DialError::NoTls { .. } => "tls",
            DialError::Misdirected(_) => "misdirected",
        };
        *lock(&self.events).dials_failed.entry(why).or_default() += 1;
    }

    /// A dialler does not agree on TLS.
    pub(in crate::net) fn handshake_refused(&self) {
        lock(&self.events).handshakes_refused += 1;
    }

    /// A connection has ended, and this is what is to be said of it: its verdict, and the findings that decided it.
    pub(in crate::net) fn judged<'a>(
        &self,
        ending: &Ending,
        verdict: Verdict,
        findings: impl IntoIterator<Item = (&'a str, Verdict)>,
    ) {
        let how = ending.name();
        let events = &mut *lock(&self.events);
        *events.endings.entry(how).or_default() += 1;
        *events.verdicts.entry((Occasion::Ended, verdict)).or_default() += 1;
        for (id, verdict) in findings.into_iter().filter(|(_, verdict)| *verdict != Verdict::Pass) {
            let is_known = events.findings.contains_key(&(id.to_owned(), verdict));
            let id = if is_known || events.findings.len() < MOST_NAMES { id } else { OTHER };
            *events.findings.entry((id.to_owned(), verdict)).or_default() += 1;
        }
    }

    /// Somebody asked for the verdict on all connections.
    pub fn demanded(&self, verdict: Verdict) {
        *lock(&self.events).verdicts.entry((Occasion::Demanded, verdict)).or_default() += 1;
    }

    /// Where a step is counted, by its faults and its name.
    pub(super) fn step(&self, fault: String, step: String) -> Arc<AtomicU64> {
        let mut steps = lock(&self.steps);
        let (key, other) = ((fault, step), (OTHER.to_owned(), OTHER.to_owned()));
        let key = if steps.contains_key(&key) || steps.len() < MOST_NAMES { key } else { other };
        Arc::clone(steps.entry(key).or_default())
    }

    /// How often each step was taken, by its faults and its name.
    pub fn steps(&self) -> BTreeMap<(String, String), u64> {
        lock(&self.steps).iter().map(|(key, count)| (key.clone(), count.load(Ordering::Relaxed))).collect()
    }

    /// Its connections are recorded from now on.
    pub fn recorded(&self, losses: Losses) {
        let (before, watched) = &mut *lock(&self.recordings);
        if watched.len() >= MOST_RECORDINGS {
            let over = watched.remove(0).recorded();
            before.add(Recorded { waiting: 0, ..over });
        }
        watched.push(losses);
    }

    /// What was recorded, and what was not; `None` where nothing ever was to be.
    pub fn recording(&self) -> Option<Recorded> {
        let (before, watched) = &*lock(&self.recordings);
        let mut all = *before;
        watched.iter().for_each(|losses| all.add(losses.recorded()));
        (!watched.is_empty()).then_some(all)
    }
}

impl Recorded {
    const fn add(&mut self, more: Self) {
        self.frames += more.frames;
        self.bytes += more.bytes;
        self.lost_frames += more.lost_frames;
        self.lost_bytes += more.lost_bytes;
        self.waiting += more.waiting;
    }
}

#[cfg(test)]
mod tests;
