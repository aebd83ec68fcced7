use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::control::Orders;
use super::meter::Moved;
use crate::Timestamp;
use crate::engine::{Engine, Observer, Output};
use crate::journal::{How, Side};

/// What a [`super::Link`] drives: it takes what the sockets say, and returns what is to be done to them. After every call
/// that changes it, [`Self::poll`] is called until it returns `None`.
pub trait Core: Send + 'static {
    /// Bytes came from a side.
    fn feed(&mut self, from: Side, bytes: Bytes, now: Timestamp);

    /// Whether bytes that came from a side go on as they are, before they are looked at: the driver writes them to the other
    /// side at once, and feeds them then all the same.
    fn passes(&mut self, _from: Side, _bytes: &Bytes) -> bool {
        false
    }

    /// A side ended its direction. After [`How::Fin`], [`How::Reset`] may follow for the same side; nothing follows that.
    /// [`How::Reset`] also tells that the side was reset as [`Output::Close`] asked.
    fn closed(&mut self, from: Side, how: How, now: Timestamp);

    /// The time that [`Output::Wait`] asked for has come.
    fn wakeup(&mut self, now: Timestamp);

    /// What is to be done next.
    fn poll(&mut self) -> Option<Output>;

    /// The bytes that it holds back and that will leave for this side without further input. They count towards the
    /// bound beyond which nothing more is read from across.
    fn held(&self, _to: Side) -> usize {
        0
    }

    /// Reading from a side has stopped, as the other side does not take what came before, or goes on.
    fn paused(&mut self, _from: Side, _paused: bool, _now: Timestamp) {}

    /// No more time will be given than is needed to bring to an end what has begun: begin nothing new.
    fn settle(&mut self, _now: Timestamp) {}

    /// What is wanted of it by whoever controls the proxy, all of it, has changed.
    fn ordered(&mut self, _orders: &Arc<Orders>, _now: Timestamp) {}

    /// Whether it wants to be told what [`Self::moved`] and [`Self::relayed`] tell.
    fn counts(&self) -> bool {
        false
    }

    /// A turn is over, and this is what the sockets have done so far.
    fn moved(&mut self, _moved: &Moved) {}

    /// The system has taken the last byte that went on to a side of what was read at once; that took so long.
    fn relayed(&mut self, _to: Side, _took: Duration) {}

    /// How far it has come.
    fn progress(&self) -> Progress {
        Progress::Unarmed
    }
}

/// How far a core has come with what it is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Nothing is armed: there is nothing to wait for.
    Unarmed,
    /// Something is armed, and is not over.
    Armed,
    /// All that was armed has fired and settled.
    Settled,
}

impl<O: Observer + 'static> Core for Engine<O> {
    fn feed(&mut self, from: Side, bytes: Bytes, now: Timestamp) {
        Self::feed(self, from, bytes, now);
    }

    fn passes(&mut self, from: Side, _: &Bytes) -> bool {
        Self::passes(self, from)
    }

    fn closed(&mut self, from: Side, how: How, now: Timestamp) {
        Self::closed(self, from, how, now);
    }

    fn wakeup(&mut self, now: Timestamp) {
        Self::wakeup(self, now);
    }

    fn poll(&mut self) -> Option<Output> {
        Self::poll(self)
    }

    fn held(&self, to: Side) -> usize {
        Self::held(self, to)
    }

    fn paused(&mut self, from: Side, paused: bool, now: Timestamp) {
        Self::paused(self, from, paused, now);
    }

    fn settle(&mut self, now: Timestamp) {
        Self::settle(self, now);
    }

    fn progress(&self) -> Progress {
        match (self.is_armed(), self.is_settled()) {
            (false, _) => Progress::Unarmed,
            (true, false) => Progress::Armed,
            (true, true) => Progress::Settled,
        }
    }
}
