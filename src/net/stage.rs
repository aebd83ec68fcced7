use super::peer::Machine;
use crate::Timestamp;
use crate::journal::How;
use crate::stage::{Play, Stage};

impl<P: Play> Machine for Stage<P> {
    fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        Self::feed(self, bytes, now);
    }

    fn closed(&mut self, how: How, now: Timestamp) {
        Self::closed(self, how, now);
    }

    fn wakeup(&mut self, now: Timestamp) {
        Self::wakeup(self, now);
    }

    fn next_wakeup(&self, _: Timestamp) -> Option<Timestamp> {
        Self::next_wakeup(self)
    }

    fn pull(&mut self, to: &mut Vec<u8>, budget: usize, now: Timestamp) {
        Self::pull(self, to, budget, now);
    }

    fn closing(&self) -> Option<How> {
        Self::closing(self)
    }

    fn wants_input(&self) -> bool {
        Self::wants_input(self)
    }
}
