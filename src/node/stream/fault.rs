use super::Step;
use super::Stream;
use crate::node::data::Kind;
use crate::node::document::Item;
use crate::node::send::Sender;
use crate::node::terms::Terms;
use crate::node::vbucket::Vbucket;

/// What a quirk does to a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::node) enum Fault {
    /// It is to stop inside a snapshot.
    Stall,
    /// It is to send its last seqnos once more.
    Repeat,
    /// It is to leave out one mutation.
    Skip,
    /// It sends nothing until it is closed.
    Stuck,
    /// It does not end at its end seqno.
    Endless,
    /// It ended, and this many messages are still to come.
    Undead(u8),
}

impl Stream {
    /// Gives it a quirk's fault.
    pub(in crate::node) const fn inflict(&mut self, fault: Fault) {
        if let Fault::Undead(_) = fault {
            self.ending = None;
            self.takeover = None;
            self.end_seqno = u64::MAX;
        }
        self.fault = Some(fault);
    }

    /// What a quirk has done to it.
    pub(in crate::node) const fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Appends the next message, if there is one.
    pub(in crate::node) fn step(
        &mut self,
        vbucket: &Vbucket,
        terms: &Terms,
        sender: &mut Sender,
        item: &mut Item,
        out: &mut Vec<u8>,
    ) -> Step {
        match self.fault {
            Some(Fault::Stuck) => return Step::Idle,
            Some(Fault::Stall) if self.is_inside() => return Step::Idle,
            Some(Fault::Repeat) if self.is_inside() => self.rewind(),
            Some(Fault::Skip) => self.skip(vbucket, terms),
            Some(Fault::Undead(0)) => return Step::Ended(0),
            Some(Fault::Undead(left)) => {
                let step = self.advance(vbucket, terms, sender, item, out);
                if let Step::Sent(_) = step {
                    self.fault = Some(Fault::Undead(left - 1));
                }
                return step;
            }
            Some(Fault::Stall | Fault::Repeat | Fault::Endless) | None => {}
        }
        self.advance(vbucket, terms, sender, item, out)
    }

    fn rewind(&mut self) {
        if let Some(open) = &mut self.snapshot {
            let oldest = open.recent.iter().copied().filter(|&seqno| seqno != 0).min();
            self.at = oldest.map_or(self.at, |seqno| seqno - 1);
            open.recent = [0; 3];
            self.fault = None;
        }
    }

    /// Passes over the next item where nothing on the wire tells: it is a mutation, which a later one may have superseded,
    /// and not the last of its snapshot.
    fn skip(&mut self, vbucket: &Vbucket, terms: &Terms) {
        let Some(open) = self.snapshot else { return };
        let Some(next) = self.next(&open, vbucket, terms).filter(|&next| next < open.last) else { return };
        if vbucket.outline(next).kind == Kind::Mutation {
            self.at = next;
            self.fault = None;
        }
    }

    /// The window is full: a stream that reads from disk is interrupted (quirk mb-31481).
    pub(in crate::node) fn interrupt(&mut self) {
        if self.fault.is_none() && self.snapshot.is_some_and(|open| open.span.disk) {
            self.fault = Some(Fault::Endless);
        }
    }

    /// The window is full: a vbucket state that is due now is taken for sent (quirk mb-45523).
    pub(in crate::node) fn lose_vbucket_state(&mut self, vbucket: &Vbucket) {
        let caught_up = self.snapshot.is_none() && self.at >= vbucket.high();
        if let Some(takeover) = self.takeover.as_mut().filter(|_| caught_up) {
            takeover.turn(true);
        }
    }
}
