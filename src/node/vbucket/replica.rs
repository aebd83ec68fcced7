//! A vbucket that follows another node's.

use super::State;
use super::Vbucket;
use super::copied::Copied;
use crate::dcp::FailoverEntry;
use crate::node::consumer::Snapshot;
use crate::node::consumer::Taken;
use crate::node::consumer::VbucketState;
use crate::node::data::Outline;
use crate::node::document::Item;

impl Vbucket {
    /// What a manager makes of it. One that was deleted can be made anew as a replica, without data.
    pub(in crate::node) fn set_state(&mut self, state: VbucketState) {
        match (state, self.state) {
            (VbucketState::Replica | VbucketState::Pending, State::Deleted) => {
                let log = vec![FailoverEntry { vb_uuid: self.author.uuid(4), seqno: 0 }];
                self.copy = Some(Box::new(Copied::with_log(log)));
                self.state = if state == VbucketState::Replica { State::Replica } else { State::Pending };
            }
            (_, State::Deleted) => {}
            (VbucketState::Active, _) => self.revive(),
            (VbucketState::Dead, _) => self.die(),
            (VbucketState::Replica, _) => self.state = State::Replica,
            (VbucketState::Pending, _) => self.state = State::Pending,
        }
    }

    /// What it is; `None` where it was deleted.
    pub(in crate::node) const fn state(&self) -> Option<VbucketState> {
        Some(match self.state {
            State::Active => VbucketState::Active,
            State::Replica => VbucketState::Replica,
            State::Pending => VbucketState::Pending,
            State::Dead => VbucketState::Dead,
            State::Deleted => return None,
        })
    }

    /// Takes in what a consumer's stream has brought.
    pub(in crate::node) fn take(&mut self, taken: Taken) {
        match taken {
            Taken::Log(log) => self.copy().set_log(log),
            Taken::RolledBack(seqno) => self.copy().roll_back(seqno),
            Taken::Marker(marker) => self.copy().marker(&marker),
            Taken::Item(item) => self.copy().push(*item),
            Taken::State(state) => self.set_state(state),
            Taken::Deleted => self.delete(),
        }
    }

    /// The bytes that it keeps of what it has taken in.
    pub(in crate::node) fn taken_bytes(&self) -> usize {
        self.copy.as_ref().map_or(0, |copy| copy.bytes())
    }

    /// The snapshot that its end is in, as far as it was told.
    pub(in crate::node) fn snapshot(&self) -> Option<Snapshot> {
        self.copy.as_ref().and_then(|copy| copy.snapshot())
    }

    /// The last items, for whoever has to know which prepares are pending: all of a copy, of its own as many as matter.
    pub(in crate::node) fn recent(&self, mut visit: impl FnMut(&Outline, &[u8])) {
        if let Some(copy) = &self.copy {
            copy.items().iter().for_each(|item| visit(&item.outline, &item.key));
            return;
        }
        let mut item = Item::empty();
        for seqno in self.high().saturating_sub(PREPARES_LIVE) + 1..=self.high() {
            self.read(seqno, &mut item);
            visit(&item.outline, &item.key);
        }
    }

    fn copy(&mut self) -> &mut Copied {
        if self.copy.is_none() {
            self.copy = Some(Box::new(self.copied()));
        }
        self.copy.get_or_insert_default()
    }

    /// What it holds so far, as a copy.
    fn copied(&self) -> Copied {
        let mut copy = Copied::with_log(self.failover_log());
        let (mut at, mut item) = (0, Item::empty());
        while let Some(span) = self.snapshot_behind(at) {
            copy.span(span);
            for seqno in at + 1..=span.end {
                if !self.outline(seqno).is_left_out(span.end, span.disk) {
                    self.read(seqno, &mut item);
                    copy.push(item.clone());
                }
            }
            at = span.end;
        }
        copy
    }
}

/// Behind so many seqnos what the node itself has prepared is complete.
const PREPARES_LIVE: u64 = 128;
