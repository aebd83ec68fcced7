use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until};

use super::control::{Control, Teller};
use super::end::{End, Received};
use super::hint::Hint;
use super::meter::Moved;
use super::news::{self, Bell, Controls, Ears, News};
use super::turn;
use super::underway::Underway;
use super::{Clock, Core, Leg, Progress, Stop};
use crate::Timestamp;
use crate::engine::Output;
use crate::journal::How;
use crate::journal::Side;
use crate::stage::SETTLE_SLACK;

/// One connection: drives one core over two sockets, in one task, without locks or channels.
///
/// Bytes, FIN and RST go to the core as they come, each direction in order; what the core wants written waits in a queue
/// for each end. While more than [`Limits::queue`] waits for an end (or is held for it by the core), nothing is read from
/// the other end, whose own TCP then stops it; the opposite direction goes on (laws L2 and L4).
#[derive(Debug)]
pub struct Link<C> {
    /// It is large, and a task has room for all that it ever holds, several times over.
    core: Box<C>,
    dialler: End,
    upstream: End,
    clock: Clock,
    alarm: Option<Timestamp>,
    /// Whether reading from the dialler, and from the upstream, is paused.
    paused: [bool; 2],
    limits: Limits,
    hint: Hint,
    received: [u64; 2],
    /// What was read and has not all been written, by the side that it goes to.
    underway: [Underway; 2],
    control: Option<Control<C>>,
}

/// What a [`Link`] may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The bytes that may wait for an end before reading from the other end stops, until half of them are left. One read
    /// may go beyond.
    pub queue: usize,
    /// How long a reset waits for an end to take what was written before it.
    pub grace: Duration,
    /// How long a core may take to settle once it was told to stop.
    pub settle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue: 256 * 1024, grace: Duration::from_secs(2), settle: Duration::from_secs(2) }
    }
}

impl Limits {
    /// With so much time to settle, and what closes and bursts that are under way may take before that begins.
    pub fn settling(settle: Duration) -> Self {
        Self { settle: settle + SETTLE_SLACK, ..Self::default() }
    }
}

/// Why a link came to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Both directions of both ends are closed.
    Closed,
    /// The core had settled, and nothing else was wanted of the link.
    Settled,
    /// It was told to stop.
    Stopped,
    /// Its task crashed: what was said is inside.
    Crashed(String),
}

impl Ending {
    /// It, in a word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Settled => "settled",
            Self::Stopped => "stopped",
            Self::Crashed(_) => "crashed",
        }
    }
}

impl<C: Core> Link<C> {
    /// Joins two connected sockets by a core.
    pub fn new(core: C, dialler: impl Into<Leg>, upstream: impl Into<Leg>, limits: Limits) -> Self {
        Self {
            core: Box::new(core),
            dialler: End::new(dialler),
            upstream: End::new(upstream),
            clock: Clock::start(),
            alarm: None,
            paused: [false; 2],
            limits,
            hint: Hint::default(),
            received: [0; 2],
            underway: [Underway::default(), Underway::default()],
            control: None,
        }
    }

    /// Obeys whoever controls the proxy too.
    #[must_use]
    pub fn controlled(mut self, control: Option<Control<C>>) -> Self {
        self.control = control;
        self
    }

    /// Has the runtime of this task tell what its sockets do: they were connected in another.
    pub(super) fn move_here(&mut self) {
        self.dialler.move_here();
        self.upstream.move_here();
    }

    /// Why the upstream refused the TLS connection after all, where it did: the dial is to count as one that failed.
    pub const fn refusal(&mut self) -> Option<String> {
        self.upstream.refusal()
    }

    /// As [`Self::refusal`], of the end in the dialler's place, where that was dialled too.
    pub(super) const fn refusal_of_dialler(&mut self) -> Option<String> {
        self.dialler.refusal()
    }

    /// The bytes that came from the dialler, and from the upstream, so far.
    pub const fn received(&self) -> [u64; 2] {
        self.received
    }

    /// The core, in whatever state it is.
    pub fn into_core(self) -> Box<C> {
        self.core
    }

    /// Relays until both ends are closed, until the core has settled (if `until_settled`), or until `stop` says so. The
    /// core can be used afterwards, also where this was cancelled or has panicked.
    pub async fn run(&mut self, until_settled: bool, mut stop: watch::Receiver<Stop>) -> Ending {
        let mut sleep = pin!(sleep_until(Instant::now()));
        let mut stop_by = None;
        self.obey();
        let mut told = *stop.borrow_and_update();
        let mut teller = None;
        let mut control = None;
        if let Some(Control { mut orders, visits, progress, end }) = self.control.take() {
            // What is read first meets them.
            let wanted = Arc::clone(&orders.borrow_and_update());
            self.core.ordered(&wanted, self.clock.now());
            self.obey();
            teller = Some(Teller::new(progress));
            control = Some(Controls { orders, visits, end });
        }
        let (bell, waker) = Bell::new();
        let mut news = pin!(news::next(Ears { stop, control }));
        let mut at_once = 0;
        loop {
            let now = Instant::now();
            let before = self.received;
            self.turn(self.clock.at(now));
            if self.dialler.is_over() && self.upstream.is_over() {
                return Ending::Closed;
            }
            let progress = self.core.progress();
            if let Some(teller) = &mut teller {
                teller.tell(progress);
            }
            if until_settled && progress == Progress::Settled {
                return Ending::Settled;
            }
            if stop_by.is_none() && told == Stop::Settle {
                self.core.settle(self.clock.now());
                self.obey();
                stop_by = Some(now + self.limits.settle);
                continue;
            }
            if stop_by.is_some_and(|by| progress != Progress::Armed || by <= now) || told == Stop::Now {
                return Ending::Stopped;
            }

            at_once += self.received[0] - before[0] + self.received[1] - before[1];
            if at_once >= turn::most() as u64 {
                at_once = 0;
                turn::over().await;
            }
            consume_budget().await;
            let deadline = self.deadline(now).into_iter().chain(stop_by).min();
            if let Some(deadline) = deadline
                && deadline != sleep.deadline()
            {
                sleep.as_mut().reset(deadline);
            }
            let (heard, [dialler, upstream]) = {
                let mut ready = (
                    pin!(self.dialler.ready(self.may_read(Side::Dialler))),
                    pin!(self.upstream.ready(self.may_read(Side::Upstream))),
                );
                poll_fn(|context| {
                    let heard = ready_now(bell.poll(news.as_mut(), &waker, context));
                    let ends = [ready_now(ready.0.as_mut().poll(context)), ready_now(ready.1.as_mut().poll(context))];
                    let is_late = deadline.is_some() && sleep.as_mut().poll(context).is_ready();
                    if heard.is_some() || ends.iter().any(Option::is_some) || is_late {
                        return Poll::Ready((heard, ends));
                    }
                    at_once = 0;
                    Poll::Pending
                })
                .await
            };
            for (end, ready) in [(&mut self.dialler, dialler), (&mut self.upstream, upstream)] {
                ready.into_iter().for_each(|ready| end.heard(ready));
            }
            let Some((ears, heard)) = heard else { continue };
            news.set(news::next(ears));
            bell.ring();
            match heard {
                News::Orders(orders) => {
                    self.core.ordered(&orders, self.clock.now());
                    self.obey();
                }
                News::Visit(visit) => {
                    let answer = visit(&mut *self.core, self.clock.now());
                    self.obey();
                    if let Some(teller) = &mut teller {
                        teller.tell(self.core.progress());
                    }
                    answer();
                }
                News::End => return Ending::Stopped,
                News::Stop(stop) => told = stop,
            }
        }
    }

    /// Everything that can be done at this moment.
    fn turn(&mut self, now: Timestamp) {
        for side in [Side::Dialler, Side::Upstream] {
            match self.receive(side) {
                Received::Bytes(bytes) => {
                    self.hint.look(side, &bytes);
                    self.received[index(side)] += bytes.len() as u64;
                    if self.core.passes(side, &bytes) {
                        self.pass(side.other(), bytes.clone(), now);
                    }
                    self.core.feed(side, bytes, now);
                }
                Received::Closed(how) => self.core.closed(side, how, now),
                Received::Nothing => continue,
            }
            self.obey();
            if self.core.counts() {
                let until = self.end(side.other()).taken_up();
                self.underway[index(side.other())].read(until, now);
            }
        }
        if self.alarm.is_some_and(|at| at <= now) {
            self.alarm = None;
            self.core.wakeup(now);
            self.obey();
        }
        self.dialler.flush();
        self.upstream.flush();
        for side in [Side::Dialler, Side::Upstream] {
            // It was reset, as the core wanted: nothing more is to come from it, and the other end is to hear of that.
            if self.end(side).has_been_reset() {
                self.core.closed(side, How::Reset, now);
                self.obey();
                self.end(side.other()).flush();
            }
            self.pause(side, now);
        }
        self.account();
    }

    /// Writes what goes on before it is looked at.
    fn pass(&mut self, to: Side, bytes: Bytes, now: Timestamp) {
        let end = self.end(to);
        end.write(bytes);
        end.flush();
        if self.core.counts() {
            let until = self.end(to).taken_up();
            self.underway[index(to)].read(until, now);
            self.tell_relayed();
        }
    }

    /// Tells the core what the sockets have done, if it wants to know.
    fn account(&mut self) {
        if !self.core.counts() {
            return;
        }
        self.tell_relayed();
        let ends = [&self.dialler, &self.upstream];
        let written = ends.map(End::written_out);
        self.core.moved(&Moved { read: self.received, written, queued: ends.map(End::queued) });
    }

    /// Tells how long what was written was on its way.
    fn tell_relayed(&mut self) {
        let written = [&self.dialler, &self.upstream].map(End::written_out);
        let mut now = None;
        for side in [Side::Dialler, Side::Upstream] {
            while let Some(read) = self.underway[index(side)].written(written[index(side)]) {
                // Looked at once, and only where there is something to tell.
                let now = *now.get_or_insert_with(|| self.clock.now());
                self.core.relayed(side, now.since(read));
            }
        }
    }

    /// Stops reading from a side where too much waits for the other, or goes on.
    fn pause(&mut self, from: Side, now: Timestamp) {
        let waiting = self.end(from.other()).queued().saturating_add(self.core.held(from.other()));
        let was = self.is_paused(from);
        let is = waiting >= if was { self.limits.queue / 2 } else { self.limits.queue };
        if was != is {
            self.paused[index(from)] = is;
            self.core.paused(from, is, now);
            self.obey();
            self.end(from).flush();
            self.end(from.other()).flush();
        }
    }

    fn receive(&mut self, from: Side) -> Received {
        let (may_read, grace) = (self.may_read(from), self.limits.grace);
        let (end, other) = match from {
            Side::Dialler => (&mut self.dialler, &mut self.upstream),
            Side::Upstream => (&mut self.upstream, &mut self.dialler),
        };
        if may_read {
            return end.read(other.queued() > 0, turn::most());
        }
        // Whoever does not read what comes before a reset must still hear of it some time.
        if end.broken_since().is_some_and(|since| since.elapsed() >= grace) { end.reset() } else { Received::Nothing }
    }

    /// Does what the core wants.
    fn obey(&mut self) {
        while let Some(output) = self.core.poll() {
            match output {
                Output::Write { to, bytes } => self.end(to).write(bytes),
                Output::Close { side, how } => {
                    let grace = self.limits.grace;
                    self.end(side).close(how, grace);
                }
                Output::Wait(at) => self.alarm = at,
            }
        }
    }

    fn may_read(&self, from: Side) -> bool {
        let end = match from {
            Side::Dialler => &self.dialler,
            Side::Upstream => &self.upstream,
        };
        end.reads() && !self.is_paused(from)
    }

    const fn is_paused(&self, from: Side) -> bool {
        self.paused[index(from)]
    }

    /// When to take a turn at the latest, though nothing is heard from the sockets.
    fn deadline(&self, now: Instant) -> Option<Instant> {
        let looks = [&self.dialler, &self.upstream]
            .into_iter()
            .flat_map(|end| [end.next_look(now), end.broken_since().map(|since| (since + self.limits.grace).max(now))]);
        looks.flatten().chain(self.alarm.map(|at| self.clock.instant(at))).min()
    }

    const fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Dialler => &mut self.dialler,
            Side::Upstream => &mut self.upstream,
        }
    }
}

fn ready_now<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

const fn index(side: Side) -> usize {
    match side {
        Side::Dialler => 0,
        Side::Upstream => 1,
    }
}
