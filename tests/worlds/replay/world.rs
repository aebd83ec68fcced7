//! Two ends of a connection, joined without sockets, in simulated time.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use dcproxy::Timestamp;
use dcproxy::journal::How;
use dcproxy::journal::Role;
use dcproxy::node;
use dcproxy::node::consumer::Client;
use dcproxy::node::consumer::Output;
use dcproxy::replay::Player;
use dcproxy::replay::Recording;
use dcproxy::replay::Script;
use dcproxy::replay::Stage;

/// One end, as bytes and times.
pub trait End {
    fn feed(&mut self, bytes: &[u8], now: Timestamp);
    fn closed(&mut self, how: How, now: Timestamp);
    fn wakeup(&mut self, now: Timestamp);
    fn next_wakeup(&self, now: Timestamp) -> Option<Timestamp>;
    fn pull(&mut self, to: &mut Vec<u8>, now: Timestamp);
    fn closing(&self) -> Option<How>;
}

pub const START: Timestamp = Timestamp(1_700_000_000_000_000_000);
/// What a read brings.
const READ: usize = 2 * 1024;
/// Longer than any replay takes; a world that is not over by then hangs.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(120);

/// Runs two ends until one closes and the other has heard of it.
pub fn run(one: &mut dyn End, two: &mut dyn End) -> Timestamp {
    let mut now = START;
    let mut told = [false; 2];
    loop {
        assert!(now.since(START) < LONGEST, "it does not end");
        let mut moved = true;
        while moved {
            moved = false;
            for at in [0, 1] {
                let (from, to): (&mut dyn End, &mut dyn End) = if at == 0 { (one, two) } else { (two, one) };
                let mut bytes = Vec::new();
                if !told[at] {
                    from.pull(&mut bytes, now);
                }
                for part in bytes.chunks(READ) {
                    to.feed(part, now);
                }
                moved |= !bytes.is_empty();
                if let Some(how) = from.closing().filter(|_| !told[at]) {
                    told[at] = true;
                    to.closed(how, now);
                    moved = true;
                }
            }
        }
        if told == [true; 2] {
            return now;
        }
        let next = [one.next_wakeup(now), two.next_wakeup(now)].into_iter().flatten().min();
        let Some(next) = next else { panic!("nothing is waited for, and nothing is over") };
        now = next.max(now + std::time::Duration::from_nanos(1));
        for end in [one as &mut dyn End, two as &mut dyn End] {
            if end.next_wakeup(now).is_some_and(|at| at <= now) {
                end.wakeup(now);
            }
        }
    }
}

impl End for Player {
    fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        Self::feed(self, bytes, now);
    }
    fn closed(&mut self, how: How, now: Timestamp) {
        Self::closed(self, how, now);
    }
    fn wakeup(&mut self, now: Timestamp) {
        Self::wakeup(self, now);
    }
    fn next_wakeup(&self, _: Timestamp) -> Option<Timestamp> {
        Self::next_wakeup(self)
    }
    fn pull(&mut self, to: &mut Vec<u8>, now: Timestamp) {
        Self::pull(self, to, READ, now);
    }
    fn closing(&self) -> Option<How> {
        Self::closing(self)
    }
}

impl End for Stage {
    fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        Self::feed(self, bytes, now);
    }
    fn closed(&mut self, how: How, now: Timestamp) {
        Self::closed(self, how, now);
    }
    fn wakeup(&mut self, now: Timestamp) {
        Self::wakeup(self, now);
    }
    fn next_wakeup(&self, _: Timestamp) -> Option<Timestamp> {
        Self::next_wakeup(self)
    }
    fn pull(&mut self, to: &mut Vec<u8>, now: Timestamp) {
        Self::pull(self, to, READ, now);
    }
    fn closing(&self) -> Option<How> {
        Self::closing(self)
    }
}

impl End for node::Connection {
    fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        Self::feed(self, bytes, now);
    }
    fn closed(&mut self, how: How, now: Timestamp) {
        let how = match how {
            How::Fin => node::How::Fin,
            How::Reset => node::How::Reset,
        };
        Self::closed(self, how, now);
    }
    fn wakeup(&mut self, now: Timestamp) {
        Self::wakeup(self, now);
    }
    fn next_wakeup(&self, now: Timestamp) -> Option<Timestamp> {
        Self::next_wakeup(self, now)
    }
    fn pull(&mut self, to: &mut Vec<u8>, now: Timestamp) {
        Self::pull(self, to, READ, now);
    }
    fn closing(&self) -> Option<How> {
        Self::closing(self).map(|how| match how {
            node::How::Fin => How::Fin,
            node::How::Reset => How::Reset,
        })
    }
}

/// The embedded node, with nothing but PLAIN on offer: SCRAM takes most of a test's time.
pub struct Plain(pub node::Connection);

impl End for Plain {
    fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        End::feed(&mut self.0, bytes, now);
    }
    fn closed(&mut self, how: How, now: Timestamp) {
        End::closed(&mut self.0, how, now);
    }
    fn wakeup(&mut self, now: Timestamp) {
        End::wakeup(&mut self.0, now);
    }
    fn next_wakeup(&self, now: Timestamp) -> Option<Timestamp> {
        End::next_wakeup(&self.0, now)
    }
    fn pull(&mut self, to: &mut Vec<u8>, now: Timestamp) {
        let start = to.len();
        End::pull(&mut self.0, to, now);
        let new = &mut to[start..];
        for at in 0..new.len().saturating_sub(SCRAM.len()) {
            if new[at..].starts_with(SCRAM) {
                new[at] = b'X';
            }
        }
    }
    fn closing(&self) -> Option<How> {
        End::closing(&self.0)
    }
}

const SCRAM: &[u8] = b"SCRAM-SHA";

/// The embedded client, with what it wants done.
pub struct Embedded {
    pub client: Client,
    ready: Vec<u8>,
    waits_for: Option<Timestamp>,
    closing: Option<How>,
}

impl Embedded {
    pub fn new(client: Client) -> Self {
        let mut embedded = Self { client, ready: Vec::new(), waits_for: None, closing: None };
        embedded.drain();
        embedded
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll() {
            match output {
                Output::Write(bytes) => self.ready.extend_from_slice(&bytes),
                Output::Close => self.closing = Some(How::Fin),
                Output::Wait(at) => self.waits_for = at,
            }
        }
    }
}

impl End for Embedded {
    fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        self.client.feed(bytes, now);
        self.drain();
    }
    fn closed(&mut self, _: How, now: Timestamp) {
        self.client.closed(now);
        self.drain();
        self.closing.get_or_insert(How::Fin);
    }
    fn wakeup(&mut self, now: Timestamp) {
        self.waits_for = None;
        self.client.wakeup(now);
        self.drain();
    }
    fn next_wakeup(&self, _: Timestamp) -> Option<Timestamp> {
        self.waits_for
    }
    fn pull(&mut self, to: &mut Vec<u8>, _: Timestamp) {
        to.append(&mut self.ready);
    }
    fn closing(&self) -> Option<How> {
        self.closing.filter(|_| self.ready.is_empty())
    }
}

pub fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/captures"))
}

pub fn record(name: &str, role: Role, wanted: Option<&BTreeSet<u32>>) -> Recording {
    let file = File::open(folder().join(name)).expect("a capture of the project");
    Recording::read(file, role, wanted).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The numbers of some of the scripts, spread over all.
pub fn some(recording: &Recording, most: usize) -> BTreeSet<u32> {
    let scripts: &[Arc<Script>] = &recording.scripts;
    let every = if std::env::var_os("DCPROXY_TEST_REPLAY").is_some_and(|value| value == "all") {
        1
    } else {
        scripts.len().div_ceil(most).max(1)
    };
    scripts.iter().step_by(every).map(|script| script.number).collect()
}
