//! Events in, exact outputs out: an engine without sockets or sleeping.
//!
//! ```text
//! play.feed(D, bytes).gives([write(U, bytes)]);
//! play.closed(D, How::Fin).gives([close(U, How::Fin)]);
//! ```
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test binary uses a part; helpers of tests")]

use std::time::Duration;

use bytes::Bytes;
use dcproxy::Timestamp;
use dcproxy::engine::{Action, Actions, Engine, Event, Gate, Interceptor, Observer, Output, Sessions, Standing};
use dcproxy::journal::{Entry, How, Side, What};
use dcproxy::session::{Context, Session};
use dcproxy::wire::{Frame, FrameBuilder, Opaque, Opcode, Status};

pub const D: Side = Side::Dialler;
pub const U: Side = Side::Upstream;

/// All entries, in order.
#[derive(Debug, Default)]
pub struct Log(pub Vec<Entry>);

impl Observer for Log {
    fn observe(&mut self, entry: &Entry, _: &Context, _: &Session) {
        self.0.push(entry.clone());
    }
}

/// An interceptor made of a closure.
struct Acts<F> {
    act: F,
    wake: Option<Timestamp>,
}

impl<F: FnMut(&Event<'_>) -> Actions + Send> Interceptor for Acts<F> {
    fn on_event(&mut self, event: &Event<'_>, _: &Sessions, _: Timestamp) -> Actions {
        (self.act)(event)
    }

    fn wakeup(&self) -> Option<Timestamp> {
        self.wake
    }

    fn is_settled(&self) -> bool {
        false
    }
}

/// An engine, the time, and what it wants done.
#[derive(Debug)]
pub struct Playbook {
    pub engine: Engine<Log>,
    pub now: Timestamp,
}

/// What one event led to. It must be looked at.
#[must_use = "say what the event gives"]
#[derive(Debug)]
pub struct Gave(pub Vec<Output>);

impl Playbook {
    /// Nothing is armed.
    pub fn passive() -> Self {
        Self::with(None)
    }

    /// A closure decides.
    pub fn armed(act: impl FnMut(&Event<'_>) -> Actions + Send + 'static) -> Self {
        Self::with(Some(Box::new(Acts { act, wake: None })))
    }

    /// A closure decides, and the hashes of keys have a seed.
    pub fn armed_with_seed(seed: u64, act: impl FnMut(&Event<'_>) -> Actions + Send + 'static) -> Self {
        let acts = Acts { act, wake: None };
        Self { engine: Engine::new(Some(Box::new(acts)), Log::default(), seed), now: at(0) }
    }

    /// A closure decides, and wants to be woken at a time.
    pub fn armed_to_wake_at(ms: u64, act: impl FnMut(&Event<'_>) -> Actions + Send + 'static) -> Self {
        Self::with(Some(Box::new(Acts { act, wake: Some(at(ms)) })))
    }

    /// Something is armed that forwards everything.
    pub fn forwarding() -> Self {
        Self::armed(|_| Vec::new())
    }

    pub fn with(interceptor: Option<Box<dyn Interceptor>>) -> Self {
        Self { engine: Engine::new(interceptor, Log::default(), 7), now: at(0) }
    }

    pub fn feed(&mut self, from: Side, bytes: impl AsRef<[u8]>) -> Gave {
        self.engine.feed(from, Bytes::copy_from_slice(bytes.as_ref()), self.now);
        self.drain()
    }

    pub fn closed(&mut self, from: Side, how: How) -> Gave {
        self.engine.closed(from, how, self.now);
        self.drain()
    }

    /// It is `ms` after the beginning, and the engine is woken.
    pub fn woken_at(&mut self, ms: u64) -> Gave {
        self.now = at(ms);
        self.engine.wakeup(self.now);
        self.drain()
    }

    /// From now on a closure decides.
    pub fn arm(&mut self, act: impl FnMut(&Event<'_>) -> Actions + Send + 'static) -> Gave {
        self.engine.intercept(Some(Box::new(Acts { act, wake: None })), self.now);
        self.drain()
    }

    /// From now on nobody decides.
    pub fn let_go(&mut self) -> Gave {
        self.engine.intercept(None, self.now);
        self.drain()
    }

    /// From now on these gates stand before an end, named by their places.
    pub fn gates(&mut self, to: Side, gates: &[Gate]) -> Gave {
        let standing =
            |(at, gate): (usize, &Gate)| Standing { name: at.to_string(), seed: at as u64, gate: gate.clone() };
        self.engine.gates(to, &gates.iter().enumerate().map(standing).collect::<Vec<_>>(), self.now);
        self.drain()
    }

    pub fn journal(&mut self) -> &[Entry] {
        &self.engine.observed().0.0
    }

    /// The journal in words: who, at whose edge, what.
    pub fn story(&mut self) -> Vec<String> {
        self.journal().iter().map(told).collect()
    }

    fn drain(&mut self) -> Gave {
        Gave(std::iter::from_fn(|| self.engine.poll()).collect())
    }
}

impl Gave {
    /// Exactly this, in this order; writes to the same side that follow each other are one.
    #[track_caller]
    pub fn gives<const N: usize>(self, expected: [Output; N]) {
        let (found, expected) = (joined(self.0), joined(expected.to_vec()));
        let lines =
            |outputs: &[Output]| outputs.iter().map(|o| format!("\n    {:.300}", format!("{o:?}"))).collect::<String>();
        assert!(found == expected, "expected:{}\nfound:{}", lines(&expected), lines(&found));
    }

    #[track_caller]
    pub fn gives_nothing(self) {
        self.gives([]);
    }

    /// Whatever it gave; only for what another test looks at.
    pub fn whatever(self) {}

    /// The bytes for a side.
    pub fn bytes(&self, side: Side) -> Vec<u8> {
        bytes_to(&self.0, side)
    }
}

/// The bytes for a side.
pub fn bytes_to(outputs: &[Output], side: Side) -> Vec<u8> {
    let mut all = Vec::new();
    for output in outputs {
        if let Output::Write { to, bytes } = output
            && *to == side
        {
            all.extend_from_slice(bytes);
        }
    }
    all
}

fn joined(outputs: Vec<Output>) -> Vec<Output> {
    let mut all: Vec<Output> = Vec::new();
    for output in outputs {
        match (all.last_mut(), output) {
            (Some(Output::Write { to, bytes }), Output::Write { to: next, bytes: more }) if *to == next => {
                *bytes = [bytes.as_ref(), &more].concat().into();
            }
            (_, output) => all.push(output),
        }
    }
    all
}

/// One entry in words.
pub fn told(entry: &Entry) -> String {
    let what = match &entry.what {
        What::Frame(head) => format!("{} {}", head.header.opcode, head.header.opaque),
        what => format!("{what:?}"),
    };
    format!("{:?} {:?} {:?}: {what}", entry.origin, entry.direction, entry.edge)
}

/// A time, in milliseconds since the beginning.
pub fn at(ms: u64) -> Timestamp {
    Timestamp(1_000_000_000_000_000_000) + Duration::from_millis(ms)
}

pub fn write(to: Side, bytes: impl AsRef<[u8]>) -> Output {
    Output::Write { to, bytes: Bytes::copy_from_slice(bytes.as_ref()) }
}

pub const fn close(side: Side, how: How) -> Output {
    Output::Close { side, how }
}

pub fn wait(ms: u64) -> Output {
    Output::Wait(Some(at(ms)))
}

pub fn inject(to: Side, frame: &Bytes) -> Action {
    Action::Inject { to, frame: frame.clone() }
}

pub const fn op(n: u32) -> Opaque {
    Opaque(n.to_be_bytes())
}

/// A plain NOOP.
pub fn noop(opaque: u32) -> Bytes {
    FrameBuilder::request(Opcode::NOOP).opaque(op(opaque)).build()
}

/// An answer with Success.
pub fn ok(opcode: Opcode, opaque: u32) -> Bytes {
    FrameBuilder::response(opcode, Status::SUCCESS).opaque(op(opaque)).build()
}

/// A SET whose value is that long.
pub fn set(opaque: u32, value_len: usize) -> Bytes {
    let value: Vec<u8> = (0..value_len).map(|n| n as u8).collect();
    FrameBuilder::request(Opcode::SET).opaque(op(opaque)).key("k").extras([0; 8]).value(value).build()
}

/// Whether an event is a frame with that opcode.
pub fn is(event: &Event<'_>, opcode: Opcode) -> bool {
    matches!(event, Event::Frame { head, .. } if head.header.opcode == opcode)
}

/// The frames in bytes that hold nothing else.
#[track_caller]
pub fn frames(mut bytes: &[u8]) -> Vec<Bytes> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let header = dcproxy::wire::Header::parse_slice(bytes).expect("a header");
        let (frame, rest) = bytes.split_at(usize::try_from(header.frame_len()).unwrap());
        Frame::whole(frame).expect("a whole frame");
        all.push(Bytes::copy_from_slice(frame));
        bytes = rest;
    }
    all
}
