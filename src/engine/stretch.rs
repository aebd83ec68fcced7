//! Mutations that are alike to the one before them are taken in all at once: what a bulk transfer is made of costs little
//! then, and nobody who looks on can tell the difference.

use super::Engine;
use super::Observer;
use super::WHOLE_LIMIT;
use super::act::Framed;
use super::index;
use crate::Timestamp;
use crate::dcp::FrameHead;
use crate::dcp::Mould;
use crate::dcp::Stretch;
use crate::journal::Direction;
use crate::journal::Entries;
use crate::journal::Side;
use crate::wire::Frame;

impl<O: Observer> Engine<O> {
    /// What frames must be like to be alike to this one, as far as it says itself.
    #[inline]
    pub(super) fn mould(&self, from: Side, frame: &Frame<'_>, head: &FrameHead) -> Option<Mould> {
        Mould::of(frame, head, self.sessions.at(from).negotiated(), WHOLE_LIMIT, self.key_seed)
    }

    /// Whether what is alike to a frame that has just gone on may be taken in all at once, and how far.
    #[inline]
    pub(super) fn leads(&self, from: Side, mould: Mould) -> Option<Mould> {
        let (to, header) = (from.other(), mould.header());
        let goes_on = self.outbox.is_open(to)
            && !self.holds.is_held(to)
            && self.framed[index(to)] == Framed::Yes
            && self.rest[index(from)] == 0
            && self.late[index(to)].is_empty();
        if !goes_on || !self.observer.bears_stretch(header) {
            return None;
        }
        let [at_from, at_to] = [from, to].map(|edge| self.sessions.at(edge).bounds(header));
        Some(mould.within(at_from?.and(at_to?)))
    }

    /// Takes in a stretch that goes on as it came.
    pub(super) fn stretch(&mut self, from: Side, stretch: &Stretch<'_>, now: Timestamp) {
        for (edge, direction) in [(from, Direction::From), (from.other(), Direction::To)] {
            let entries = Entries { at: now, edge, direction, stretch };
            self.sessions.at_mut(edge).take_stretch(&entries);
            self.observer.observe_stretch(&entries, self.sessions.at(edge));
        }
    }
}
