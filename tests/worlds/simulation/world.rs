//! Two ends and an engine between them, without sockets or clocks: a seeded scheduler moves the bytes.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use dcproxy::Timestamp;
use dcproxy::engine::Engine;
use dcproxy::engine::Observer;
use dcproxy::engine::Output;
use dcproxy::journal::How;
use dcproxy::journal::Side;

use super::dice::Dice;

/// One of the two ends.
pub(crate) trait Peer {
    fn feed(&mut self, bytes: Bytes, now: Timestamp);
    fn closed(&mut self, how: How, now: Timestamp);
    fn wakeup(&mut self, now: Timestamp);
    fn poll(&mut self) -> Option<Said>;

    /// What it makes only when there is room for it.
    fn pull(&mut self, _room: usize, _now: Timestamp) -> Option<Bytes> {
        None
    }

    /// Whether it reads.
    fn wants_input(&self) -> bool {
        true
    }
}

/// What an end does.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Said {
    Write(Bytes),
    Close(How),
    Wait(Option<Timestamp>),
}

/// Bytes that may wait for an end before the other is not read from, as in `net`.
pub(crate) const QUEUE: usize = 16 * 1024;
/// The most that is read at once.
pub(crate) const READ: usize = 8 * 1024;
/// The start of every run.
pub(crate) const START: Timestamp = Timestamp(1_800_000_000_000_000_000);

/// One direction of a socket: bytes, then perhaps a close.
#[derive(Debug, Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    close: Option<How>,
    done: bool,
}

impl Pipe {
    fn is_ready(&self) -> bool {
        !self.done && (!self.bytes.is_empty() || self.close.is_some())
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.close.is_none() && !self.done {
            self.bytes.extend(bytes);
        }
    }

    fn end(&mut self, how: How) {
        if self.close != Some(How::Reset) {
            self.close = Some(how);
        }
    }

    /// Nobody will take what is in it.
    fn give_up(&mut self) {
        self.bytes.clear();
        self.done = true;
    }

    fn take(&mut self, len: usize) -> Bytes {
        let len = len.min(self.bytes.len());
        self.bytes.drain(..len).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Move {
    /// The tool reads from an end.
    Read(Side),
    /// An end takes what the tool has written to it.
    Hand(Side),
}

/// How the run is to be disturbed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Bytes cut at most so long; 1 is one byte at a time.
    pub(crate) cut: usize,
    /// Once in so many moves an end stops reading for a while.
    pub(crate) stall_once_in: u64,
    /// An end that never reads.
    pub(crate) deaf: Option<Side>,
    /// How much time passes with each move, at most.
    pub(crate) tick: Duration,
    /// When the run is to be over.
    pub(crate) until: Duration,
}

impl Manner {
    /// Bytes cut anywhere, either side slow at times.
    pub(crate) fn any(dice: &mut Dice) -> Self {
        Self {
            cut: *dice.pick(&[1, 7, 24, 100, 1000, READ]),
            stall_once_in: *dice.pick(&[20, 200, 100_000]),
            deaf: None,
            tick: Duration::from_micros(20),
            until: Duration::from_secs(600),
        }
    }
}

/// The world: what an end says goes into `to_tool`, what the engine writes into `to_end`.
pub(crate) struct World<O: Observer> {
    pub(crate) engine: Engine<O>,
    pub(crate) now: Timestamp,
    /// The most that has waited for an end.
    pub(crate) most_waiting: usize,
    /// Moves made: a measure of the run, and of its likeness to another.
    pub(crate) moves: u64,
    dice: Dice,
    manner: Manner,
    to_tool: [Pipe; 2],
    to_end: [Pipe; 2],
    stalled: [Option<Timestamp>; 2],
    paused: [bool; 2],
    alarm: Option<Timestamp>,
    alarms: [Option<Timestamp>; 2],
}

const SIDES: [Side; 2] = [Side::Dialler, Side::Upstream];

fn at(side: Side) -> usize {
    match side {
        Side::Dialler => 0,
        Side::Upstream => 1,
    }
}

impl<O: Observer> World<O> {
    pub(crate) fn new(engine: Engine<O>, manner: Manner, dice: Dice) -> Self {
        Self {
            engine,
            now: START,
            most_waiting: 0,
            moves: 0,
            dice,
            manner,
            to_tool: Default::default(),
            to_end: Default::default(),
            stalled: [None, None],
            paused: [false, false],
            alarm: None,
            alarms: [None, None],
        }
    }

    /// Runs until nothing can happen any more, until `enough` says so, or the time is over; tells whether it was not.
    pub(crate) fn run(
        &mut self,
        dialler: &mut dyn Peer,
        upstream: &mut dyn Peer,
        enough: impl Fn(&Self) -> bool,
    ) -> bool {
        let mut ends: [&mut dyn Peer; 2] = [dialler, upstream];
        for side in SIDES {
            self.listen(side, &mut *ends[at(side)]);
        }
        self.obey();
        while self.now < START + self.manner.until {
            if enough(self) || !self.step(&mut ends) {
                return true;
            }
        }
        false
    }

    /// Whether both directions of both ends are closed and all was taken.
    pub(crate) fn is_over(&self) -> bool {
        self.to_tool.iter().chain(&self.to_end).all(|pipe| pipe.done)
    }

    fn step(&mut self, ends: &mut [&mut dyn Peer; 2]) -> bool {
        self.tell_paused();
        let due = self.next_alarm().filter(|due| *due <= self.now);
        let moves = self.possible(ends);
        if due.is_some() && (moves.is_empty() || self.dice.once_in(2)) {
            self.ring(ends);
            return true;
        }
        if moves.is_empty() {
            let Some(next) = self.next_alarm() else { return false };
            self.now = self.now.max(next);
            self.ring(ends);
            return true;
        }
        self.moves += 1;
        self.now = self.now + Duration::from_nanos(self.dice.of(0..self.manner.tick.as_nanos() as u64 + 1));
        if self.dice.once_in(self.manner.stall_once_in) {
            let side = *self.dice.pick(&SIDES);
            self.stalled[at(side)] = Some(self.now + Duration::from_micros(self.dice.of(0..3_000)));
        }
        let chosen = *self.dice.pick(&moves);
        let len = self.dice.size(1..self.manner.cut + 1);
        match chosen {
            Move::Read(side) => {
                let pipe = &mut self.to_tool[at(side)];
                let bytes = pipe.take(len);
                if bytes.is_empty() {
                    let how = pipe.close.take().expect("a pipe that is ready has bytes or a close");
                    pipe.done = true;
                    self.engine.closed(side, how, self.now);
                } else {
                    self.engine.feed(side, bytes, self.now);
                }
                self.obey();
                self.listen(side, &mut *ends[at(side)]);
            }
            Move::Hand(side) => {
                let end = &mut *ends[at(side)];
                let pipe = &mut self.to_end[at(side)];
                let bytes = pipe.take(len);
                if bytes.is_empty() {
                    let how = pipe.close.take().expect("a pipe that is ready has bytes or a close");
                    pipe.done = true;
                    end.closed(how, self.now);
                } else {
                    end.feed(bytes, self.now);
                }
                self.listen(side, &mut *ends[at(side)]);
            }
        }
        true
    }

    fn possible(&self, ends: &[&mut dyn Peer; 2]) -> Vec<Move> {
        let reads = SIDES.into_iter().filter(|side| self.to_tool[at(*side)].is_ready() && self.may_read(*side));
        let hands = SIDES.into_iter().filter(|side| {
            let stalled = self.stalled[at(*side)].is_some_and(|until| until > self.now);
            let deaf = self.manner.deaf == Some(*side) || !ends[at(*side)].wants_input();
            self.to_end[at(*side)].is_ready() && !stalled && !deaf
        });
        reads.map(Move::Read).chain(hands.map(Move::Hand)).collect()
    }

    fn may_read(&self, side: Side) -> bool {
        self.to_end[at(side.other())].bytes.len() + self.engine.held(side.other()) < QUEUE
    }

    fn tell_paused(&mut self) {
        for side in SIDES {
            let paused = !self.may_read(side);
            if std::mem::replace(&mut self.paused[at(side)], paused) != paused {
                self.engine.paused(side, paused, self.now);
                self.obey();
            }
        }
    }

    fn next_alarm(&self) -> Option<Timestamp> {
        let stalls = self.stalled.iter().flatten().filter(|until| **until > self.now);
        self.alarm.iter().chain(self.alarms.iter().flatten()).chain(stalls).min().copied()
    }

    fn ring(&mut self, ends: &mut [&mut dyn Peer; 2]) {
        if self.alarm.is_some_and(|due| due <= self.now) {
            self.alarm = None;
            self.engine.wakeup(self.now);
            self.obey();
        }
        for side in SIDES {
            if self.alarms[at(side)].is_some_and(|due| due <= self.now) {
                self.alarms[at(side)] = None;
                ends[at(side)].wakeup(self.now);
                self.listen(side, &mut *ends[at(side)]);
            }
        }
    }

    /// Takes what an end says, and as much of what it could say as a socket would hold.
    fn listen(&mut self, side: Side, end: &mut dyn Peer) {
        let room = QUEUE.saturating_sub(self.to_tool[at(side)].bytes.len());
        if room > 0
            && let Some(bytes) = end.pull(room, self.now)
        {
            self.to_tool[at(side)].write(&bytes);
        }
        while let Some(said) = end.poll() {
            match said {
                Said::Write(bytes) => self.to_tool[at(side)].write(&bytes),
                Said::Close(how) => {
                    self.to_tool[at(side)].end(how);
                    if how == How::Reset {
                        self.to_end[at(side)].give_up();
                    }
                }
                Said::Wait(until) => self.alarms[at(side)] = until,
            }
        }
    }

    /// Does what the engine wants.
    fn obey(&mut self) {
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Write { to, bytes } => self.to_end[at(to)].write(&bytes),
                Output::Close { side, how } => {
                    self.to_end[at(side)].end(how);
                    if how == How::Reset {
                        self.to_tool[at(side)].done = true;
                    }
                }
                Output::Wait(until) => self.alarm = until,
            }
        }
        let waiting = SIDES.map(|side| self.to_end[at(side)].bytes.len() + self.engine.held(side));
        self.most_waiting = self.most_waiting.max(waiting[0]).max(waiting[1]);
    }
}
