use std::collections::VecDeque;

use bytes::Bytes;

use super::index;
use super::outbox::Outbox;
use crate::Timestamp;
use crate::journal::Entry;
use crate::journal::How;
use crate::journal::Side;

/// Something that goes to an end, and may have to wait.
#[derive(Debug)]
pub(super) enum Held {
    /// A frame, with the entry that tells of its delivery.
    Frame(Bytes, Box<Entry>),
    /// Bytes that are no frame, or a part of one.
    Raw(Bytes),
    /// The close, with the entry that tells of it.
    Close(How, Box<Entry>),
}

#[derive(Debug, Default)]
struct Hold {
    until: Option<Timestamp>,
    queue: VecDeque<Held>,
    bytes: usize,
}

/// What is held back from each end, in order, its close included (law L2).
#[derive(Debug, Default)]
pub(super) struct Holds {
    sides: [Hold; 2],
}

impl Holds {
    pub(super) fn hold(&mut self, to: Side, until: Timestamp) {
        self.sides[index(to)].until = Some(until);
    }

    pub(super) fn is_held(&self, to: Side) -> bool {
        self.sides[index(to)].until.is_some()
    }

    pub(super) fn bytes(&self, to: Side) -> usize {
        self.sides[index(to)].bytes
    }

    pub(super) fn wakeup(&self) -> Option<Timestamp> {
        self.sides.iter().filter_map(|side| side.until).min()
    }

    /// Passes something on, or queues it behind what is held; returns the entry of what was passed on.
    pub(super) fn pass(&mut self, to: Side, held: Held, outbox: &mut Outbox) -> Option<Entry> {
        let side = &mut self.sides[index(to)];
        if side.until.is_none() {
            return deliver(to, held, outbox);
        }
        side.bytes += match &held {
            Held::Frame(bytes, _) | Held::Raw(bytes) => bytes.len(),
            Held::Close(..) => 0,
        };
        side.queue.push_back(held);
        None
    }

    /// Lets go of what has waited long enough; returns the entries of what is delivered with that.
    pub(super) fn release(&mut self, now: Timestamp, outbox: &mut Outbox) -> Vec<Entry> {
        let mut entries = Vec::new();
        for to in [Side::Dialler, Side::Upstream] {
            let side = &mut self.sides[index(to)];
            if side.until.is_none_or(|until| until > now) {
                continue;
            }
            let released = std::mem::take(side);
            for held in released.queue {
                entries.extend(deliver(to, held, outbox).map(|entry| Entry { at: now, ..entry }));
            }
        }
        entries
    }
}

fn deliver(to: Side, held: Held, outbox: &mut Outbox) -> Option<Entry> {
    if !outbox.is_open(to) && !matches!(held, Held::Close(How::Reset, _)) {
        return None;
    }
    match held {
        Held::Frame(bytes, entry) => {
            outbox.write(to, bytes);
            Some(*entry)
        }
        Held::Raw(bytes) => {
            outbox.write(to, bytes);
            None
        }
        Held::Close(how, entry) => {
            outbox.close(to, how);
            Some(*entry)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Output;
    use crate::journal::Direction;
    use crate::journal::Origin;
    use crate::journal::What;

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

        assert!(holds.release(Timestamp(99), &mut outbox).is_empty());
        assert!(popped(&mut outbox).is_empty());
        let entries = holds.release(Timestamp(100), &mut outbox);
        assert_eq!(entries.iter().map(|entry| entry.at).collect::<Vec<_>>(), [Timestamp(100)]);
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
