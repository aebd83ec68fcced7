//! One connection of which the tool itself plays an end: a player, the engine before it, and one socket's worth of bytes
//! on the other side. The steps of scenarios are taken between the two ends, and the judge looks on.

use std::time::Duration;

use bytes::Bytes;

use crate::Timestamp;
use crate::engine::Engine;
use crate::engine::Output;
use crate::journal::How;
use crate::journal::Side;
use crate::scenario::judge::Judge;

/// One end of a connection, as bytes and times: bytes that go out are made when they are pulled.
pub trait Play {
    /// Takes bytes that came from the live end.
    fn feed(&mut self, bytes: &[u8], now: Timestamp);

    /// Takes note that the live end closed its direction.
    fn closed(&mut self, how: How, now: Timestamp);

    /// Does what is due, when the time that [`Play::next_wakeup`] gave has come.
    fn wakeup(&mut self, now: Timestamp);

    /// When [`Play::wakeup`] is to be called, if nothing happens before.
    fn next_wakeup(&self) -> Option<Timestamp>;

    /// Appends about `budget` bytes that are ready to go out, if there are any.
    fn pull(&mut self, to: &mut Vec<u8>, budget: usize, now: Timestamp);

    /// Whether the connection is to be closed, once what was pulled has been written.
    fn closing(&self) -> Option<How>;

    /// Whether more may be read.
    fn wants_input(&self) -> bool;

    /// All steps have been taken and have settled: told once. A player that has nothing to do of its own ends now.
    fn settled(&mut self, _now: Timestamp) {}
}

/// A player with the engine before it.
#[derive(Debug)]
pub struct Stage<P> {
    player: P,
    engine: Engine<Judge>,
    /// Where the player is: the consumer has dialled.
    side: Side,
    ready: Vec<u8>,
    wakes: Option<Timestamp>,
    /// Whether the player's close has gone on.
    told: bool,
    /// Whether the player knows that all has settled.
    told_settled: bool,
    /// Until when steps of scenarios may still settle after the player has ended.
    settle_by: Option<Timestamp>,
    settle: Duration,
    closing: Option<How>,
    last: Timestamp,
}

/// The bytes that may wait for the live end before the player says more.
const READY_LIMIT: usize = 256 * 1024;
const CHUNK: usize = 64 * 1024;
/// What settling may take beyond the settling time: closes and bursts that are under way come first.
pub const SETTLE_SLACK: Duration = Duration::from_secs(8);

impl<P: Play> Stage<P> {
    /// Puts a player at one side of an engine. Once the player has ended, steps that are under way may take `settle` to be
    /// brought to their end, and 8 s more.
    pub fn new(player: P, side: Side, engine: Engine<Judge>, settle: Duration, now: Timestamp) -> Self {
        let mut stage = Self {
            player,
            engine,
            side,
            ready: Vec::new(),
            wakes: None,
            told: false,
            told_settled: false,
            settle_by: None,
            settle,
            closing: None,
            last: now,
        };
        stage.drive(now);
        stage
    }

    /// Takes bytes that came from the live end.
    pub fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        self.last = now;
        self.engine.feed(self.side.other(), Bytes::copy_from_slice(bytes), now);
        self.drive(now);
    }

    /// Takes note that the live end closed its direction.
    pub fn closed(&mut self, how: How, now: Timestamp) {
        self.last = now;
        self.engine.closed(self.side.other(), how, now);
        self.drive(now);
    }

    /// Does what is due.
    pub fn wakeup(&mut self, now: Timestamp) {
        self.last = now;
        if self.wakes.is_some_and(|at| at <= now) {
            self.wakes = None;
            self.engine.wakeup(now);
        }
        if self.player.next_wakeup().is_some_and(|at| at <= now) {
            self.player.wakeup(now);
        }
        self.drive(now);
    }

    /// When [`Stage::wakeup`] is to be called, if nothing happens before.
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        [self.wakes, self.player.next_wakeup(), self.settle_by.filter(|_| !self.told)].into_iter().flatten().min()
    }

    /// Appends bytes that are ready to go out, if there are any.
    pub fn pull(&mut self, to: &mut Vec<u8>, budget: usize, now: Timestamp) {
        self.last = now;
        self.drive(now);
        let taken = self.ready.len().min(budget);
        to.extend(self.ready.drain(..taken));
    }

    /// Whether the connection is to be closed, once what was pulled has been written.
    pub fn closing(&self) -> Option<How> {
        self.closing.filter(|_| self.ready.is_empty())
    }

    /// Whether more may be read.
    pub fn wants_input(&self) -> bool {
        self.ready.len() < READY_LIMIT && self.player.wants_input()
    }

    /// The player.
    pub const fn player(&self) -> &P {
        &self.player
    }

    /// The player, for its last words.
    pub fn into_player(self) -> P {
        self.player
    }

    /// The engine, for what its judge has seen.
    pub const fn engine(&mut self) -> &mut Engine<Judge> {
        &mut self.engine
    }

    /// When something happened last.
    pub const fn last(&self) -> Timestamp {
        self.last
    }

    /// Carries bytes between the player and the engine until nothing moves.
    fn drive(&mut self, now: Timestamp) {
        loop {
            while let Some(output) = self.engine.poll() {
                match output {
                    Output::Write { to, bytes } if to == self.side => self.player.feed(&bytes, now),
                    Output::Write { bytes, .. } => self.ready.extend_from_slice(&bytes),
                    Output::Close { side, how } if side == self.side => self.player.closed(how, now),
                    Output::Close { how, .. } => self.closing = Some(how),
                    Output::Wait(at) => self.wakes = at,
                }
            }
            if self.engine.is_armed() && self.engine.is_settled() && !std::mem::replace(&mut self.told_settled, true) {
                self.player.settled(now);
            }
            let live = self.side.other();
            if !self.told && self.ready.len().saturating_add(self.engine.held(live)) < READY_LIMIT {
                let mut said = Vec::new();
                self.player.pull(&mut said, CHUNK, now);
                if !said.is_empty() {
                    self.engine.feed(self.side, said.into(), now);
                    continue;
                }
            }
            match self.player.closing() {
                Some(how) if !self.told && self.may_close(now) => {
                    self.told = true;
                    self.engine.closed(self.side, how, now);
                }
                _ => return,
            }
        }
    }

    /// Steps of scenarios that are under way are brought to their end before the player's close goes on.
    fn may_close(&mut self, now: Timestamp) -> bool {
        if !self.engine.is_armed() || self.engine.is_settled() {
            return true;
        }
        match self.settle_by {
            None => {
                self.settle_by = Some(now + self.settle + SETTLE_SLACK);
                self.engine.settle(now);
                self.engine.is_settled()
            }
            Some(by) => by <= now,
        }
    }
}
