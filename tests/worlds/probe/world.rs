//! A node, and connections to it that are driven in simulated time.

use std::time::Duration;

use dcproxy::Timestamp;
use dcproxy::journal::How;
use dcproxy::node;
use dcproxy::node::Config;
use dcproxy::node::Connection;
use dcproxy::node::Node;
use dcproxy::node::consumer::Pulled;
use dcproxy::probe::Consumer;
use dcproxy::probe::Errand;
use dcproxy::probe::Probe;
use dcproxy::probe::Script;
use dcproxy::stage::Stage;

const START: Timestamp = Timestamp(1_800_000_000_000_000_000);
const READ: usize = 16 * 1024;
/// Longer than any connection takes.
const LONGEST: Duration = Duration::from_secs(120);

/// The end of a connection that the tool plays.
pub(crate) trait End {
    fn feed(&mut self, bytes: &[u8], now: Timestamp);
    fn closed(&mut self, now: Timestamp);
    fn wakeup(&mut self, now: Timestamp);
    fn next_wakeup(&self) -> Option<Timestamp>;
    fn pull(&mut self, to: &mut Vec<u8>, now: Timestamp);
    fn is_closing(&self) -> bool;
}

pub(crate) struct World {
    node: Node,
    pub(crate) now: Timestamp,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        Self { node: Node::new(config), now: START }
    }

    /// All that comes before the cases.
    pub(crate) fn prepare(&mut self, probe: &mut Probe) -> Result<(), String> {
        let errand = probe.survey(self.now);
        let (survey, outcome) = self.run(errand).into_outcome();
        outcome.map_err(|failure| failure.to_string())?;
        probe.take_survey(&survey, &Default::default())?;
        if let Some(client) = probe.era_client(self.now) {
            let client = self.run(client);
            probe.take_era(client.client())?;
        }
        self.reference(probe)
    }

    /// What comes after them.
    pub(crate) fn confirm(&mut self, probe: &mut Probe) -> Result<(), String> {
        let errand = probe.survey(self.now);
        let (survey, outcome) = self.run(errand).into_outcome();
        outcome.map_err(|failure| failure.to_string())?;
        probe.extend(&survey);
        self.reference(probe)
    }

    fn reference(&mut self, probe: &mut Probe) -> Result<(), String> {
        let stage = probe.reference("consumer", "producer", self.now);
        let stage = self.run(stage);
        probe.take_reference(stage)
    }

    pub(crate) fn run_stage(&mut self, stage: Stage<Consumer>) -> Stage<Consumer> {
        self.run(stage)
    }

    /// Runs a connection until one end closes and the other has heard of it.
    pub(crate) fn run<E: End>(&mut self, mut end: E) -> E {
        let mut server = Connection::new(&self.node, self.now);
        let began = self.now;
        let (mut end_closed, mut server_closed) = (false, false);
        loop {
            assert!(self.now.since(began) < LONGEST, "it does not end");
            let mut moved = true;
            while moved {
                moved = false;
                let mut bytes = Vec::new();
                end.pull(&mut bytes, self.now);
                if !server_closed && !bytes.is_empty() {
                    server.feed(&bytes, self.now);
                    moved = true;
                }
                if end.is_closing() && !std::mem::replace(&mut end_closed, true) {
                    server.closed(node::How::Fin, self.now);
                    return end;
                }
                let mut bytes = Vec::new();
                if !server_closed {
                    server.pull(&mut bytes, READ, self.now);
                }
                if !bytes.is_empty() {
                    end.feed(&bytes, self.now);
                    moved = true;
                }
                if server.closing().is_some() && !std::mem::replace(&mut server_closed, true) {
                    end.closed(self.now);
                    moved = true;
                }
            }
            let of_server = server.next_wakeup(self.now).filter(|_| !server_closed);
            let next = [of_server, end.next_wakeup()].into_iter().flatten().min();
            let Some(next) = next else { panic!("nothing is waited for, and nothing is over") };
            self.now = next.max(self.now + Duration::from_micros(10));
            if end.next_wakeup().is_some_and(|at| at <= self.now) {
                end.wakeup(self.now);
            }
            if !server_closed && server.next_wakeup(self.now).is_some_and(|at| at <= self.now) {
                server.wakeup(self.now);
            }
        }
    }
}

impl End for Stage<Consumer> {
    fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        Self::feed(self, bytes, now);
    }
    fn closed(&mut self, now: Timestamp) {
        Self::closed(self, How::Fin, now);
    }
    fn wakeup(&mut self, now: Timestamp) {
        Self::wakeup(self, now);
    }
    fn next_wakeup(&self) -> Option<Timestamp> {
        Self::next_wakeup(self)
    }
    fn pull(&mut self, to: &mut Vec<u8>, now: Timestamp) {
        Self::pull(self, to, usize::MAX, now);
    }
    fn is_closing(&self) -> bool {
        self.closing().is_some()
    }
}

impl<S: Script> End for Errand<S> {
    fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        Self::feed(self, bytes, now);
    }
    fn closed(&mut self, _: Timestamp) {
        Self::closed(self);
    }
    fn wakeup(&mut self, now: Timestamp) {
        Self::wakeup(self, now);
    }
    fn next_wakeup(&self) -> Option<Timestamp> {
        Self::next_wakeup(self)
    }
    fn pull(&mut self, to: &mut Vec<u8>, _: Timestamp) {
        Self::pull(self, to);
    }
    fn is_closing(&self) -> bool {
        self.is_over()
    }
}

impl End for Pulled {
    fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        Self::feed(self, bytes, now);
    }
    fn closed(&mut self, now: Timestamp) {
        Self::closed(self, now);
    }
    fn wakeup(&mut self, now: Timestamp) {
        Self::wakeup(self, now);
    }
    fn next_wakeup(&self) -> Option<Timestamp> {
        Self::next_wakeup(self)
    }
    fn pull(&mut self, to: &mut Vec<u8>, _: Timestamp) {
        Self::pull(self, to);
    }
    fn is_closing(&self) -> bool {
        Self::is_closing(self)
    }
}
