use std::collections::VecDeque;
use std::time::Duration;

use super::Pace;
use super::Standing;
use super::course::Changed;
use super::course::Course;
use super::course::Next;
use super::held::Held;
use super::held::Told;
use super::index;
use super::outbox::Outbox;
use crate::Timestamp;
use crate::journal::How;
use crate::journal::Side;

#[derive(Debug, Default)]
struct Hold {
    until: Option<Timestamp>,
    /// How what is queued leaves once it is not held, and when the next piece does.
    pace: Option<(Pace, Timestamp)>,
    /// How long each waits at least.
    lag: Option<Duration>,
    /// What all of it goes through last.
    course: Course,
    /// What waits, each with the time before which it does not come to the gates.
    queue: VecDeque<(Timestamp, Held)>,
    /// What the gates say of the first that waits.
    next: Option<Next>,
    bytes: usize,
    /// Whether the last byte that has left is inside a frame.
    inside: bool,
}

impl Hold {
    fn is_on(&self) -> bool {
        let waits = self.until.is_some() || self.pace.is_some() || self.lag.is_some();
        waits || !self.queue.is_empty() || !self.course.is_empty()
    }

    /// Asks the gates about the first that waits, where they have not been.
    fn ask(&mut self) {
        if self.next.is_none()
            && let Some((came, held)) = self.queue.front()
        {
            self.next =
                Some(if held.is_close() { self.course.close(*came) } else { self.course.next(*came, held.len()) });
        }
    }

    /// When the first that waits leaves, if nothing changes.
    fn due(&self) -> Option<Timestamp> {
        let due = self.next?.due?;
        match self.until {
            // For ever is no time to wake up at.
            Some(FOR_EVER) => None,
            Some(until) => Some(due.max(until)),
            None => Some(due),
        }
    }

    fn push(&mut self, came: Timestamp, held: Held) {
        self.bytes += held.len();
        self.queue.push_back((came, held));
        self.ask();
    }

    /// Takes the first that waits, or the piece of it that leaves now, which is not longer than `most`; and tells whether it
    /// is the last that may leave.
    fn take(&mut self, most: usize) -> Option<(Held, bool)> {
        let (next, (came, held)) = (self.next.take()?, self.queue.pop_front()?);
        let (first, rest) = held.split(next.len.min(most));
        self.bytes = self.bytes.saturating_sub(first.len());
        if let Some(rest) = rest {
            self.queue.push_front((came, rest));
            // The gates have let go of more.
            let left = next.len.saturating_sub(first.len());
            self.next = (left > 0).then_some(Next { len: left, is_apart: false, ..next });
        }
        self.inside = first.is_inside_after(self.inside);
        let is_last = self.course.left(first.len()) && first.len() > 0;
        self.ask();
        Some((first, is_last))
    }

    /// Closes are all that is left of what waits.
    fn drop_bytes(&mut self) {
        self.queue.retain(|(_, held)| held.is_close());
        self.bytes = 0;
        self.next = None;
        self.ask();
    }
}

/// What is held back from each end, in order, its close included (law L2).
#[derive(Debug, Default)]
pub(super) struct Holds {
    sides: [Hold; 2],
    now: Timestamp,
}

/// The time at which a hold ends that only a release ends.
pub const FOR_EVER: Timestamp = Timestamp(u64::MAX);

/// Bytes that may be on their way under a latency, so that it makes a connection late and not slow: those of 20 MB/s at
/// 200 ms. Beyond them the driver stops reading, as it does of all that waits.
const IN_FLIGHT: usize = 4 * 1024 * 1024;
/// What each thing that waits costs besides its bytes, as far as memory goes.
const COST: usize = 256;

impl Holds {
    pub(super) fn hold(&mut self, to: Side, until: Timestamp) {
        self.sides[index(to)].until = Some(until);
    }

    /// The hold ends, when it is next looked at.
    pub(super) fn let_go(&mut self, to: Side, now: Timestamp) {
        let until = &mut self.sides[index(to)].until;
        *until = until.map(|until| until.min(now));
    }

    /// What goes to an end leaves in pieces from now on, or as it comes again.
    pub(super) fn pace(&mut self, to: Side, pace: Option<Pace>, now: Timestamp) {
        let side = &mut self.sides[index(to)];
        match (pace, side.pace) {
            (Some(pace), Some((_, next))) => side.pace = Some((pace, next)),
            (Some(pace), None) => side.pace = Some((pace, now)),
            // What is queued still leaves in its order, at once.
            (None, _) => side.pace = None,
        }
    }

    /// What goes to an end from now on leaves so much later; `None`: at once again, behind what waits.
    pub(super) fn lag(&mut self, to: Side, by: Option<Duration>) {
        self.sides[index(to)].lag = by;
    }

    /// These gates stand before an end from now on; returns whether that ends the connection.
    pub(super) fn gates(&mut self, to: Side, gates: &[Standing], now: Timestamp) -> bool {
        let side = &mut self.sides[index(to)];
        let Some(changed) = side.course.change(gates, now) else { return false };
        if side.course.drops() {
            side.drop_bytes();
        }
        side.next = None;
        side.ask();
        changed == Changed::Over
    }

    /// The time, for what comes next.
    pub(super) const fn at(&mut self, now: Timestamp) {
        self.now = now;
    }

    pub(super) fn is_held(&self, to: Side) -> bool {
        self.sides[index(to)].is_on()
    }

    /// Whether gates stand before an end.
    pub(super) fn has_gates(&self, to: Side) -> bool {
        !self.sides[index(to)].course.is_empty()
    }

    /// Whether the last byte that has left for an end is inside a frame.
    pub(super) const fn is_inside(&self, to: Side) -> bool {
        self.sides[index(to)].inside
    }

    /// Something has left for an end without waiting, and its last byte is inside a frame or not.
    pub(super) const fn relayed(&mut self, to: Side, inside: bool) {
        self.sides[index(to)].inside = inside;
    }

    /// Bytes that wait, besides those that are on their way.
    pub(super) fn bytes(&self, to: Side) -> usize {
        let side = &self.sides[index(to)];
        match side.course.in_flight(IN_FLIGHT) {
            0 => side.bytes,
            most => side.bytes.saturating_add(side.queue.len().saturating_mul(COST)).saturating_sub(most),
        }
    }

    /// All bytes that wait.
    pub(super) const fn all_bytes(&self, to: Side) -> usize {
        self.sides[index(to)].bytes
    }

    pub(super) fn wakeup(&self) -> Option<Timestamp> {
        let next = |side: &Hold| {
            let due = side.due();
            let due = due.map(|due| side.pace.map_or(due, |(_, next)| next.max(due)));
            // A hold is over at its time, though nothing waits.
            let until = side.until.filter(|until| *until != FOR_EVER && side.queue.is_empty());
            let ends = side.course.ends().map(|(at, _)| at);
            [due, until, ends].into_iter().flatten().min()
        };
        self.sides.iter().filter_map(next).min()
    }

    /// Passes something on, or queues it behind what is held; returns what is to be told of what was passed on.
    pub(super) fn pass(&mut self, to: Side, held: Held, outbox: &mut Outbox) -> Option<Told> {
        let side = &mut self.sides[index(to)];
        if !side.is_on() {
            side.inside = held.is_inside_after(side.inside);
            return held.deliver(to, None, outbox);
        }
        if !held.is_close() && (side.course.drops() || !outbox.is_open(to)) {
            return None;
        }
        let came = side.lag.map_or(self.now, |lag| self.now + lag);
        // Nothing overtakes: what comes later is due later.
        let came = side.queue.back().map_or(came, |(last, _)| came.max(*last));
        side.push(came, held);
        None
    }

    /// Lets go of what has waited long enough; returns what is to be told of it, and at whose edge. Where a frame waits for
    /// the `end` of the one that is on its way, no other begins before it. What is to leave by itself does so alone.
    pub(super) fn release(&mut self, now: Timestamp, end: [bool; 2], outbox: &mut Outbox) -> Vec<(Side, Told)> {
        let mut all = Vec::new();
        for to in [Side::Dialler, Side::Upstream] {
            let side = &mut self.sides[index(to)];
            if let Some((_, how)) = side.course.ends().filter(|(at, _)| *at <= now) {
                all.push((to, Told::Over(how)));
                continue;
            }
            if side.until.is_some_and(|until| until > now) {
                continue;
            }
            side.until = None;
            let is_due = |side: &Hold| side.due().is_some_and(|due| due <= now);
            let mut budget = match side.pace {
                None => usize::MAX,
                Some((pace, next)) if next <= now && is_due(side) => {
                    side.pace = Some((pace, now + pace.every));
                    pace.bytes.max(1)
                }
                Some(_) => continue,
            };
            let mut has_left = false;
            while budget > 0 && is_due(side) {
                if has_left && side.next.is_some_and(|next| next.is_apart) {
                    break;
                }
                let is_full = side.course.is_full() && side.queue.front().is_some_and(|(_, held)| !held.is_close());
                if is_full {
                    all.push((to, Told::Over(How::Fin)));
                    break;
                }
                let was_inside = side.inside;
                let Some((held, is_last)) = side.take(budget) else { break };
                let len = held.len();
                has_left |= len > 0;
                budget -= len.min(budget);
                all.extend(held.deliver(to, Some(now), outbox).map(|told| (to, told)));
                if is_last {
                    all.push((to, Told::Over(How::Fin)));
                    break;
                }
                if end[index(to)] && was_inside && !side.inside && (side.pace.is_some() || !side.course.is_empty()) {
                    break;
                }
            }
        }
        all
    }

    /// Nothing that waits for an end leaves any more.
    pub(super) fn give_up(&mut self, to: Side) {
        let side = &mut self.sides[index(to)];
        *side = Hold { inside: side.inside, ..Hold::default() };
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::engine::Output;
    use crate::journal::Direction;
    use crate::journal::Entry;
    use crate::journal::Origin;
    use crate::journal::What;

    fn raw(bytes: &'static [u8]) -> Held {
        Held::raw(Bytes::from_static(bytes), true)
    }

    fn close(how: How) -> Held {
        let what = What::Closed { how, partial: 0 };
        let (edge, direction) = (Side::Upstream, Direction::To);
        Held::close(how, Entry { at: Timestamp(1), edge, direction, origin: Origin::Peer, what })
    }

    fn popped(outbox: &mut Outbox) -> Vec<Output> {
        std::iter::from_fn(|| outbox.pop()).collect()
    }

    #[test]
    fn all_waits_in_order_and_is_let_go_at_its_time() {
        let (mut holds, mut outbox) = (Holds::default(), Outbox::default());
        holds.hold(Side::Upstream, Timestamp(100));
        assert_eq!((holds.is_held(Side::Upstream), holds.is_held(Side::Dialler)), (true, false));
        assert_eq!(holds.wakeup(), Some(Timestamp(100)));
        holds.pass(Side::Upstream, raw(b"ab"), &mut outbox);
        holds.pass(Side::Upstream, raw(b"c"), &mut outbox);
        assert!(holds.pass(Side::Upstream, close(How::Fin), &mut outbox).is_none());
        holds.pass(Side::Dialler, raw(b"x"), &mut outbox);
        assert_eq!((holds.bytes(Side::Upstream), holds.bytes(Side::Dialler)), (3, 0));
        assert_eq!(popped(&mut outbox).len(), 1, "the other end is not held");

        assert!(holds.release(Timestamp(99), [false; 2], &mut outbox).is_empty());
        assert!(popped(&mut outbox).is_empty());
        let told = holds.release(Timestamp(100), [false; 2], &mut outbox);
        let [(Side::Upstream, Told::Entry(entry))] = &told[..] else { panic!("{told:?}") };
        assert_eq!(entry.at, Timestamp(100));
        let write = |bytes| Output::Write { to: Side::Upstream, bytes: Bytes::from_static(bytes) };
        let closed = Output::Close { side: Side::Upstream, how: How::Fin };
        assert_eq!(popped(&mut outbox), [write(b"ab"), write(b"c"), closed]);
        assert_eq!((holds.bytes(Side::Upstream), holds.wakeup()), (0, None));
    }

    #[test]
    fn behind_a_close_only_a_reset_goes_on() {
        let (mut holds, mut outbox) = (Holds::default(), Outbox::default());
        assert!(holds.pass(Side::Upstream, close(How::Fin), &mut outbox).is_some());
        assert!(holds.pass(Side::Upstream, raw(b"late"), &mut outbox).is_none());
        assert!(holds.pass(Side::Upstream, close(How::Fin), &mut outbox).is_none());
        assert!(holds.pass(Side::Upstream, close(How::Reset), &mut outbox).is_some());
        let closed = |how| Output::Close { side: Side::Upstream, how };
        assert_eq!(popped(&mut outbox), [closed(How::Fin), closed(How::Reset)]);
    }
}
