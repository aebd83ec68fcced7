use std::time::Duration;

use super::reference::Range;
use crate::Timestamp;
use crate::journal::How;
use crate::node::consumer::Client;
use crate::node::consumer::Phase;
use crate::node::consumer::Pulled;
use crate::stage::Play;

/// The consumer of a case: it streams until all steps have settled and the whole range has come, then closes.
#[derive(Debug)]
pub struct Consumer {
    pulled: Pulled,
    range: Range,
    /// Whether nothing is to be waited for but the range.
    settled: bool,
    /// When it gives up, whatever is under way.
    until: Timestamp,
    /// What had come, and when that was more than before.
    progress: (u64, Timestamp),
    ending: Option<Ending>,
}

/// How a consumer came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// All was done, and the range has come.
    Complete,
    /// The producer closed.
    Closed,
    /// All was done, and the rest of the range did not come in time.
    Stuck,
    /// The steps did not come to an end in time.
    TimedOut,
}

/// How long the producer may send nothing of the range once all has settled.
pub(super) const SILENCE: Duration = Duration::from_secs(5);

impl Consumer {
    /// Streams with this client. `acts`: whether steps are taken that are to settle first.
    pub fn new(client: Client, range: Range, acts: bool, limit: Duration, now: Timestamp) -> Self {
        let pulled = Pulled::new(client);
        Self { pulled, range, settled: !acts, until: now + limit, progress: (0, now), ending: None }
    }

    /// The client.
    pub const fn client(&self) -> &Client {
        self.pulled.client()
    }

    /// Whether what it got is to be compared.
    pub fn compares(&self) -> bool {
        self.range.vbuckets().next().is_some()
    }

    /// How it ended; `None` where it was stopped before.
    pub const fn ending(&self) -> Option<Ending> {
        self.ending
    }

    fn look(&mut self, now: Timestamp) {
        let ledger = self.pulled.client().ledger();
        // A vbucket that stands still is not waited for while others are written to.
        let come = self.range.come(ledger);
        if come > self.progress.0 {
            self.progress = (come, now);
        }
        // Before all is agreed on nothing is complete, not even a range without items.
        let streams = self.pulled.client().phase() > Phase::SettingUp;
        let ending = if streams && self.settled && self.range.is_in(ledger) {
            Ending::Complete
        } else if self.settled && now >= self.progress.1 + SILENCE {
            Ending::Stuck
        } else if now >= self.until {
            Ending::TimedOut
        } else {
            return;
        };
        self.end(ending, now);
    }

    fn end(&mut self, ending: Ending, now: Timestamp) {
        if self.ending.is_none() {
            self.ending = Some(ending);
            self.pulled.stop(now);
        }
    }
}

impl Play for Consumer {
    fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        self.pulled.feed(bytes, now);
        self.look(now);
    }

    fn closed(&mut self, _: How, now: Timestamp) {
        self.ending.get_or_insert(Ending::Closed);
        self.pulled.closed(now);
    }

    fn wakeup(&mut self, now: Timestamp) {
        if self.pulled.next_wakeup().is_some_and(|at| at <= now) {
            self.pulled.wakeup(now);
        }
        self.look(now);
    }

    fn next_wakeup(&self) -> Option<Timestamp> {
        let silence = self.settled.then(|| self.progress.1 + SILENCE);
        let own = [Some(self.until), silence].into_iter().flatten().min().filter(|_| self.ending.is_none());
        [own, self.pulled.next_wakeup()].into_iter().flatten().min()
    }

    fn pull(&mut self, to: &mut Vec<u8>, _: usize, _: Timestamp) {
        self.pulled.pull(to);
    }

    fn closing(&self) -> Option<How> {
        self.pulled.is_closing().then_some(How::Fin)
    }

    fn wants_input(&self) -> bool {
        self.pulled.wants_input()
    }

    fn settled(&mut self, now: Timestamp) {
        self.settled = true;
        self.progress.1 = now;
        self.look(now);
    }
}
