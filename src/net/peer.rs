use std::time::Duration;

use tokio::sync::watch;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until};

use super::end::{End, Received};
use super::hint::look_at_first;
use super::{Clock, Leg, Stop};
use crate::Timestamp;
use crate::journal::How;

/// One end of a connection by itself: what a [`Peer`] drives over one socket. Bytes that go out are made when they are
/// pulled, so that an end that does not read costs nothing.
pub(super) trait Machine {
    /// Bytes came: those of one read.
    fn feed(&mut self, bytes: &[u8], now: Timestamp);

    /// The other end will send no more.
    fn closed(&mut self, how: How, now: Timestamp);

    /// The time that [`Self::next_wakeup`] gave has come.
    fn wakeup(&mut self, now: Timestamp);

    /// When to call [`Self::wakeup`], if nothing happens before.
    fn next_wakeup(&self, now: Timestamp) -> Option<Timestamp>;

    /// Appends about `budget` bytes that are ready to go out, if there are any.
    fn pull(&mut self, to: &mut Vec<u8>, budget: usize, now: Timestamp);

    /// Whether the connection is to be closed, once what was pulled is written.
    fn closing(&self) -> Option<How>;

    /// Whether more may be read.
    fn wants_input(&self) -> bool;
}

/// Drives a [`Machine`] over a socket, in one task.
#[derive(Debug)]
pub(super) struct Peer<M> {
    machine: M,
    end: End,
    clock: Clock,
    /// Whether anything has come.
    heard: bool,
}

/// How much is pulled at once, and how much may wait to be written.
const PULL_LEN: usize = 64 * 1024;
/// How long the other end may take to close its direction after this one was closed.
const LINGER: Duration = Duration::from_secs(1);

impl<M: Machine> Peer<M> {
    pub(super) fn new(machine: M, leg: impl Into<Leg>, clock: Clock) -> Self {
        Self { machine, end: End::new(leg), clock, heard: false }
    }

    /// Runs until the connection is closed or `stop` says so, and hands the machine back.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<Stop>) -> M {
        let mut close_by = None;
        while *stop.borrow_and_update() == Stop::No {
            let now = self.clock.now();
            let goes_on = self.turn(now);
            if close_by.is_none() && self.machine.closing().is_some() {
                close_by = Some(Instant::now() + LINGER);
            }
            if self.end.is_over() || close_by.is_some_and(|by| by <= Instant::now()) {
                break;
            }
            consume_budget().await;
            if goes_on {
                continue;
            }
            let wakeup = self.machine.next_wakeup(now).map(|at| self.clock.instant(at));
            let deadline = [wakeup, close_by, self.end.next_look(Instant::now())].into_iter().flatten().min();
            tokio::select! {
                ready = self.end.ready(self.reads()) => self.end.heard(ready),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
                Ok(()) = stop.changed() => {}
            }
        }
        self.machine
    }

    /// Everything that can be done at this moment; tells whether there is more to pull.
    fn turn(&mut self, now: Timestamp) -> bool {
        if self.reads() {
            match self.end.read(false, usize::MAX) {
                // What comes after the close is read, so that no reset takes the place of the FIN.
                Received::Bytes(bytes) if self.machine.closing().is_none() => {
                    if !std::mem::replace(&mut self.heard, true) {
                        look_at_first(&bytes);
                    }
                    self.machine.feed(&bytes, now);
                }
                Received::Closed(how) => {
                    if let Some(why) = self.end.refusal() {
                        tracing::warn!("the upstream refuses the TLS connection: {why}");
                    }
                    self.machine.closed(how, now);
                }
                Received::Bytes(_) | Received::Nothing => {}
            }
        }
        if self.machine.next_wakeup(now).is_some_and(|at| at <= now) {
            self.machine.wakeup(now);
        }
        let mut full = false;
        // What has nowhere to go is not made: a producer has no end.
        while !full && self.end.takes_writes() {
            let mut bytes = Vec::with_capacity(PULL_LEN);
            self.machine.pull(&mut bytes, PULL_LEN, now);
            if bytes.is_empty() {
                break;
            }
            self.end.write(bytes.into());
            full = self.end.queued() >= PULL_LEN;
        }
        if let Some(how) = self.machine.closing() {
            self.end.close(how, LINGER);
        }
        self.end.flush();
        full && self.end.queued() == 0
    }

    fn reads(&self) -> bool {
        self.end.reads() && (self.machine.wants_input() || self.end.broken_since().is_some())
    }
}
