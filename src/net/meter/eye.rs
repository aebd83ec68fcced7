use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::block::{Block, Row, WayCells, edge_index, index, said_by};
use super::cell::{Cell, Nanos};
use super::faults::Faults;
use super::message::{Kind, Message};
use super::reading::OrphanKey;
use super::totals::Totals;
use crate::engine::Observer;
use crate::journal::{Act, Direction, Entries, Entry, How, Origin, Side, What};
use crate::net::control::Orders;
use crate::scenario::Plan;
use crate::session::{Census, Context, Session};
use crate::wire::Header;

/// Counts what happens on one connection. It is the connection's task's; what it has counted is part of the proxy's
/// [`Totals`] from the first moment, and stays so when it is dropped.
#[derive(Debug)]
pub struct Meter {
    totals: Arc<Totals>,
    id: u64,
    block: Arc<Block>,
    /// Which of `rows` counts a message, by kind and opcode: its place and one; 0 where it was not met yet.
    index: Box<[[u8; 256]; Kind::ALL.len()]>,
    rows: Vec<Arc<Row>>,
    /// Of those, which counts what has no name, by kind.
    nameless: [u8; Kind::ALL.len()],
    /// In order.
    orphans: Vec<(OrphanKey, Arc<Cell>)>,
    faults: Faults,
    steps: Vec<(String, Arc<AtomicU64>)>,
}

/// What the sockets of a connection have done so far, and what waits for them. In each pair the first is that of the dialler.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Moved {
    /// Bytes read from each.
    pub read: [u64; 2],
    /// Bytes that the kernel took for each.
    pub written: [u64; 2],
    /// Bytes that wait for each.
    pub queued: [usize; 2],
}

/// Rows of a connection; whoever has more messages than anybody knows has the rest counted among those without a name.
const MOST_ROWS: usize = 250;

impl Meter {
    pub(super) fn new(totals: Arc<Totals>, id: u64, block: Arc<Block>) -> Self {
        Self {
            totals,
            id,
            block,
            index: Box::new([[0; 256]; Kind::ALL.len()]),
            rows: Vec::new(),
            nameless: [0; Kind::ALL.len()],
            orphans: Vec::new(),
            faults: Faults::default(),
            steps: Vec::new(),
        }
    }

    /// Tells faults by the steps of this plan too.
    #[must_use]
    pub fn planned(mut self, plan: &Plan) -> Self {
        self.faults.planned(plan);
        self
    }

    /// What is wanted of the connection has changed.
    pub(in crate::net) fn ordered(&mut self, orders: &Arc<Orders>) {
        self.faults.ordered(orders);
        // A step of a name that is known may do something else now.
        self.steps.clear();
    }

    /// Takes note of an entry of the journal.
    pub(in crate::net) fn observe(&mut self, entry: &Entry, context: &Context, session: &Session) {
        match &entry.what {
            What::Frame(head) => {
                self.row(&head.header).add(entry.edge, entry.direction, entry.origin, (1, head.header.frame_len()));
                match (entry.direction, &context.orphan) {
                    (Direction::From, _) if head.message.is_err() => self.way(entry.edge).malformed.add(1),
                    (Direction::To, Some(orphan)) if session.producer() == Some(entry.edge) => {
                        self.orphan(OrphanKey::new(Message::of(&head.header), orphan.status, entry.origin));
                    }
                    (Direction::From | Direction::To, _) => {}
                }
            }
            What::FramingLost(_) if entry.direction == Direction::From => self.way(entry.edge).lost.add(1),
            What::Closed { how, .. } if entry.direction == Direction::From => {
                self.way(entry.edge).closes[usize::from(*how == How::Reset)].add(1);
            }
            What::Acted(Act::Fired { step, .. } | Act::Triggered { step, .. }) => self.fired(step),
            What::FramingLost(_) | What::Closed { .. } | What::Acted(_) | What::Gap(_) | What::Paused(_) => {}
        }
    }

    /// Reading from a side stops, or goes on.
    pub(in crate::net) fn paused(&self, from: Side, paused: bool) {
        let (way, now) = (self.way(from), Nanos::now());
        if paused {
            way.pauses.add(1);
            way.paused.start(now);
        } else {
            way.paused.stop(now);
        }
    }

    /// What was read took so long to be written to a side.
    pub(in crate::net) fn relayed(&self, to: Side, took: Duration) {
        self.way(to.other()).latency.add(took);
    }

    /// A turn is over. `sessions` are those at the edges of the dialler and the upstream, and so many bytes are held back
    /// from these.
    pub(in crate::net) fn moved(&self, moved: &Moved, sessions: [&Session; 2], held: [usize; 2]) {
        for side in [Side::Dialler, Side::Upstream] {
            let (from, to) = (self.way(side), self.way(side.other()));
            from.read.set(moved.read[edge_index(side)]);
            to.written.set(moved.written[edge_index(side)]);
            to.queued.set(moved.queued[edge_index(side)] as u64);
            to.held.set(held[edge_index(side)] as u64);
            let Census { requested, open, closing, closed, over: _ } = sessions[edge_index(side)].streams().census();
            let cells = &self.block.gauges.streams[edge_index(side)];
            cells.iter().zip([requested, open, closing, closed]).for_each(|(cell, count)| cell.set(count.into()));
        }
        let producer = sessions[edge_index(Side::Upstream)].producer().unwrap_or(Side::Upstream);
        let flow = sessions[edge_index(producer)].flow();
        self.block.gauges.window.set(flow.window().unwrap_or(0));
        self.block.gauges.outstanding.set(flow.outstanding());
    }

    fn way(&self, speaker: Side) -> &WayCells {
        &self.block.ways[index(said_by(speaker))]
    }

    fn row(&mut self, header: &Header) -> &Row {
        let (kind, opcode) = (Kind::of(header.magic) as usize, usize::from(header.opcode.0));
        match self.index[kind][opcode] {
            0 => self.meet(header),
            at => &self.rows[usize::from(at) - 1],
        }
    }

    #[cold]
    fn meet(&mut self, header: &Header) -> &Row {
        let kind = Kind::of(header.magic);
        let nameless = Message::nameless(kind);
        let message = if self.rows.len() < MOST_ROWS { Message::of(header) } else { nameless };
        let at = match self.nameless[kind as usize] {
            at if at > 0 && message == nameless => at,
            _ => {
                self.rows.push(self.block.meet(message));
                // `MOST_ROWS`, and one without a name for each kind, at the most.
                let at = u8::try_from(self.rows.len()).unwrap_or(u8::MAX);
                if message == nameless {
                    self.nameless[kind as usize] = at;
                }
                at
            }
        };
        self.index[kind as usize][usize::from(header.opcode.0)] = at;
        &self.rows[usize::from(at) - 1]
    }

    fn orphan(&mut self, key: OrphanKey) {
        let at = match self.orphans.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(at) => at,
            Err(at) => {
                self.orphans.insert(at, (key, self.block.meet_orphan(key)));
                at
            }
        };
        self.orphans[at].1.add(1);
    }

    /// Steps are taken seldom, and are counted for all connections together.
    fn fired(&mut self, step: &str) {
        if !self.steps.iter().any(|(name, _)| name == step) {
            let count = self.totals.step(self.faults.of(step), step.to_owned());
            self.steps.push((step.to_owned(), count));
        }
        for (_, count) in self.steps.iter().filter(|(name, _)| name == step) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Observer for Meter {
    fn observe(&mut self, entry: &Entry, context: &Context, session: &Session) {
        Self::observe(self, entry, context, session);
    }

    fn bears_stretch(&self, _: &Header) -> bool {
        true
    }

    fn observe_stretch(&mut self, entries: &Entries<'_>, _: &Session) {
        let stretch = entries.stretch;
        let counted = (stretch.frames(), stretch.bytes().len() as u64);
        self.row(stretch.header()).add(entries.edge, entries.direction, Origin::Peer, counted);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let now = Nanos::now();
        self.block.ways.iter().for_each(|way| way.paused.stop(now));
        self.totals.ended(self.id);
    }
}
