use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::Pace;
use super::index;
use super::outbox::Outbox;
use crate::Timestamp;
use crate::journal::Entry;
use crate::journal::How;
use crate::journal::Side;
use crate::journal::What;
use crate::wire::FramingError;

/// Something that goes to an end, and may have to wait.
#[derive(Debug)]
pub(super) enum Held {
    /// A frame, or bytes at which an end loses its framing, with the entry that tells of that.
    Frame(Bytes, Box<Entry>),
    /// The first bytes of a frame that ends before its time: so many more of its value are to follow.
    Cut(Bytes, u64, FramingError),
    /// Bytes that are no frame, or a part of one.
    Raw(Bytes),
    /// The first bytes of a frame, of which so many are to follow.
    Piece(Bytes, u64),
    /// The close, with the entry that tells of it.
    Close(How, Box<Entry>),
}

/// What is to be told of something that was delivered.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Told {
    /// This.
    Entry(Box<Entry>),
    /// Nothing yet: whatever comes behind is taken for the rest of a frame.
    Cut(FramingError),
}

#[derive(Debug, Default)]
struct Hold {
    until: Option<Timestamp>,
    /// How what is queued leaves once it is not held, and when the next piece does.
    pace: Option<(Pace, Timestamp)>,
    /// How long each waits at least.
    lag: Option<Duration>,
    /// What waits, each with the time before which it does not leave.
    queue: VecDeque<(Timestamp, Held)>,
    bytes: usize,
    /// Bytes of the frame whose first piece has left that have not.
    inside: u64,
}

impl Hold {
    fn is_on(&self) -> bool {
        self.until.is_some() || self.pace.is_some() || self.lag.is_some() || !self.queue.is_empty()
    }
}

/// What is held back from each end, in order, its close included (law L2).
#[derive(Debug, Default)]
pub(super) struct Holds {
    sides: [Hold; 2],
    now: Timestamp,
}

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

    /// The time, for what comes next.
    pub(super) const fn at(&mut self, now: Timestamp) {
        self.now = now;
    }

    pub(super) fn is_held(&self, to: Side) -> bool {
        self.sides[index(to)].is_on()
    }

    /// Whether a piece of a frame has left, and the rest of it has not.
    pub(super) fn is_split(&self, to: Side) -> bool {
        let side = &self.sides[index(to)];
        side.is_on() && side.inside > 0
    }

    /// The rest of what has left goes on past this.
    pub(super) const fn relayed(&mut self, to: Side) {
        self.sides[index(to)].inside = 0;
    }

    pub(super) fn bytes(&self, to: Side) -> usize {
        self.sides[index(to)].bytes
    }

    pub(super) fn wakeup(&self) -> Option<Timestamp> {
        let next = |side: &Hold| match side.until {
            // For ever is no time to wake up at.
            Some(until) => Some(until).filter(|until| *until != FOR_EVER),
            None => {
                let (due, _) = side.queue.front()?;
                Some(side.pace.map_or(*due, |(_, next)| next.max(*due)))
            }
        };
        self.sides.iter().filter_map(next).min()
    }

    /// Passes something on, or queues it behind what is held; returns what is to be told of what was passed on.
    pub(super) fn pass(&mut self, to: Side, held: Held, outbox: &mut Outbox) -> Option<Told> {
        let side = &mut self.sides[index(to)];
        if !side.is_on() {
            side.inside = 0;
            return deliver(to, held, outbox);
        }
        side.bytes += held.len();
        let due = side.lag.map_or(self.now, |lag| self.now + lag);
        // Nothing overtakes: what comes later is due later.
        let due = side.queue.back().map_or(due, |(last, _)| due.max(*last));
        side.queue.push_back((due, held));
        None
    }

    /// Lets go of what has waited long enough; returns what is to be told of it, and at whose edge. Where a frame waits for
    /// the `end` of the one that is on its way, no other begins before it.
    pub(super) fn release(&mut self, now: Timestamp, end: [bool; 2], outbox: &mut Outbox) -> Vec<(Side, Told)> {
        let mut all = Vec::new();
        for to in [Side::Dialler, Side::Upstream] {
            let side = &mut self.sides[index(to)];
            if side.until.is_some_and(|until| until > now) {
                continue;
            }
            side.until = None;
            let is_due = |side: &Hold| side.queue.front().is_some_and(|(due, _)| *due <= now);
            let mut budget = match side.pace {
                None => usize::MAX,
                Some((pace, next)) if next <= now && is_due(side) => {
                    side.pace = Some((pace, now + pace.every));
                    pace.bytes.max(1)
                }
                Some(_) => continue,
            };
            while budget > 0
                && is_due(side)
                && let Some((due, held)) = side.queue.pop_front()
            {
                let held = match held.split(budget, side.inside) {
                    (first, None) => first,
                    (first, Some(rest)) => {
                        side.queue.push_front((due, rest));
                        first
                    }
                };
                let len = held.len();
                budget -= len.min(budget);
                side.bytes -= len.min(side.bytes);
                let was_inside = side.inside > 0;
                side.inside = held.inside_after(side.inside);
                let told = deliver(to, held, outbox).map(|told| match told {
                    Told::Entry(entry) => Told::Entry(Box::new(Entry { at: now, ..*entry })),
                    Told::Cut(error) => Told::Cut(error),
                });
                all.extend(told.map(|told| (to, told)));
                if end[index(to)] && side.pace.is_some() && was_inside && side.inside == 0 {
                    break;
                }
            }
        }
        all
    }
}

/// The time at which a hold ends that only a release ends.
pub const FOR_EVER: Timestamp = Timestamp(u64::MAX);

impl Held {
    const fn len(&self) -> usize {
        match self {
            Self::Frame(bytes, _) | Self::Cut(bytes, ..) | Self::Raw(bytes) | Self::Piece(bytes, _) => bytes.len(),
            Self::Close(..) => 0,
        }
    }

    /// The first `len` bytes, and the rest if there is one. The entry of a frame goes with its last piece.
    /// `before` bytes of the frame were missing so far, where it has begun.
    fn split(self, len: usize, before: u64) -> (Self, Option<Self>) {
        match self {
            Self::Frame(mut bytes, entry) if bytes.len() > len => {
                let all = if before > 0 { before } else { frame_len(&entry) };
                let value = all.saturating_sub(bytes.len() as u64);
                let first = bytes.split_to(len);
                let left = (bytes.len() as u64).saturating_add(value);
                (Self::Piece(first, left), Some(Self::Frame(bytes, entry)))
            }
            Self::Cut(mut bytes, value, error) if bytes.len() > len => {
                let first = bytes.split_to(len);
                let left = (bytes.len() as u64).saturating_add(value);
                (Self::Piece(first, left), Some(Self::Cut(bytes, value, error)))
            }
            Self::Raw(mut bytes) if bytes.len() > len => {
                let first = bytes.split_to(len);
                (Self::Raw(first), Some(Self::Raw(bytes)))
            }
            whole @ (Self::Frame(..) | Self::Cut(..) | Self::Raw(_) | Self::Piece(..) | Self::Close(..)) => {
                (whole, None)
            }
        }
    }

    /// Bytes of a frame that are missing behind this, of which so many were before.
    fn inside_after(&self, before: u64) -> u64 {
        match self {
            Self::Piece(_, left) | Self::Cut(_, left, _) => *left,
            // The last piece of a head: of its value, what flows by is missing.
            Self::Frame(bytes, entry) if before > 0 => before.saturating_sub(bytes.len() as u64).min(frame_len(entry)),
            Self::Frame(bytes, entry) => frame_len(entry).saturating_sub(bytes.len() as u64),
            Self::Raw(bytes) => before.saturating_sub(bytes.len() as u64),
            Self::Close(..) => 0,
        }
    }
}

fn frame_len(entry: &Entry) -> u64 {
    match &entry.what {
        What::Frame(head) => head.header.frame_len(),
        What::FramingLost(_) | What::Gap(_) | What::Paused(_) | What::Acted(_) | What::Closed { .. } => 0,
    }
}

fn deliver(to: Side, held: Held, outbox: &mut Outbox) -> Option<Told> {
    if !outbox.is_open(to) && !matches!(held, Held::Close(How::Reset, _)) {
        return None;
    }
    match held {
        Held::Frame(bytes, entry) => {
            outbox.write(to, bytes);
            Some(Told::Entry(entry))
        }
        Held::Cut(bytes, _, error) => {
            outbox.write(to, bytes);
            Some(Told::Cut(error))
        }
        Held::Raw(bytes) | Held::Piece(bytes, _) => {
            outbox.write(to, bytes);
            None
        }
        Held::Close(how, entry) => {
            outbox.close(to, how);
            Some(Told::Entry(entry))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Output;
    use crate::journal::Direction;
    use crate::journal::Origin;

    fn raw(bytes: &'static [u8]) -> Held {
        Held::Raw(Bytes::from_static(bytes))
    }

    fn close(how: How) -> Held {
        let what = What::Closed { how, partial: 0 };
        let (edge, direction) = (Side::Upstream, Direction::To);
        Held::Close(how, Box::new(Entry { at: Timestamp(1), edge, direction, origin: Origin::Peer, what }))
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
