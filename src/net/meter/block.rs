use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cell::{Cell, Nanos, Stopwatch};
use super::histogram::Histogram;
use super::message::Message;
use super::reading::{FrameKey, OrphanKey, Reading, Way};
use crate::journal::{Direction, Origin, Side};
use crate::toxic::Stream;

/// What is counted of one connection: its task alone changes it, and whoever asks reads it.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// The connection's task has these too; here they are found by those who read. It adds one where a message is met
    /// for the first time, and asks for nothing here otherwise.
    met: Mutex<Met>,
    pub(super) ways: [WayCells; 2],
    pub(super) gauges: GaugeCells,
}

#[derive(Debug, Default)]
struct Met {
    rows: Vec<(Message, Arc<Row>)>,
    orphans: Vec<(OrphanKey, Arc<Cell>)>,
}

/// What is counted of frames of one message: by edge, by direction there, by origin.
#[derive(Debug, Default)]
pub(super) struct Row {
    cells: [[[Tally; 2]; 2]; 2],
}

#[derive(Debug, Default)]
struct Tally {
    frames: Cell,
    bytes: Cell,
}

/// What is counted of one direction, by [`index`].
#[derive(Debug, Default)]
pub(super) struct WayCells {
    pub(super) read: Cell,
    pub(super) written: Cell,
    pub(super) malformed: Cell,
    pub(super) lost: Cell,
    /// FINs and RSTs of the end that speaks.
    pub(super) closes: [Cell; 2],
    pub(super) pauses: Cell,
    pub(super) paused: Stopwatch,
    pub(super) latency: Histogram,
    pub(super) held: Cell,
    pub(super) queued: Cell,
}

/// What a connection has now.
#[derive(Debug, Default)]
pub(super) struct GaugeCells {
    /// By edge, then requested, open, closing, closed.
    pub(super) streams: [[Cell; 4]; 2],
    /// Of flow control, where it is on; else 0.
    pub(super) window: Cell,
    pub(super) outstanding: Cell,
}

/// Where what goes in a direction is counted.
pub(super) const fn index(direction: Stream) -> usize {
    match direction {
        Stream::Upstream => 0,
        Stream::Downstream => 1,
    }
}

/// Which direction it is that a side speaks in.
pub(super) const fn said_by(side: Side) -> Stream {
    match side {
        Side::Dialler => Stream::Upstream,
        Side::Upstream => Stream::Downstream,
    }
}

pub(super) const fn edge_index(edge: Side) -> usize {
    index(said_by(edge))
}

impl Row {
    /// For the task that owns it.
    pub(super) fn add(&self, edge: Side, direction: Direction, origin: Origin, (frames, bytes): (u64, u64)) {
        let tally = &self.cells[edge_index(edge)][direction_index(direction)][origin_index(origin)];
        tally.frames.add(frames);
        tally.bytes.add(bytes);
    }

    fn add_to(&self, message: Message, all: &mut Reading) {
        for edge in [Side::Dialler, Side::Upstream] {
            for way in [Direction::From, Direction::To] {
                for origin in [Origin::Peer, Origin::Tool] {
                    let tally = &self.cells[edge_index(edge)][direction_index(way)][origin_index(origin)];
                    let frames = tally.frames.get();
                    if frames > 0 {
                        let sender = if way == Direction::From { edge } else { edge.other() };
                        let key = FrameKey { way, direction: said_by(sender), message, origin };
                        all.frames.entry(key).or_default().add(frames, tally.bytes.get());
                    }
                }
            }
        }
    }
}

const fn direction_index(direction: Direction) -> usize {
    match direction {
        Direction::From => 0,
        Direction::To => 1,
    }
}

const fn origin_index(origin: Origin) -> usize {
    match origin {
        Origin::Peer => 0,
        Origin::Tool => 1,
    }
}

impl Block {
    fn met(&self) -> MutexGuard<'_, Met> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn meet(&self, message: Message) -> Arc<Row> {
        let row = Arc::new(Row::default());
        self.met().rows.push((message, Arc::clone(&row)));
        row
    }

    pub(super) fn meet_orphan(&self, key: OrphanKey) -> Arc<Cell> {
        let cell = Arc::new(Cell::default());
        self.met().orphans.push((key, Arc::clone(&cell)));
        cell
    }

    /// What was counted so far; and what there is now, of a connection that is open.
    pub(super) fn add_to(&self, all: &mut Reading, is_open: bool, now: Nanos) {
        {
            let met = self.met();
            met.rows.iter().for_each(|(message, row)| row.add_to(*message, all));
            for (key, cell) in &met.orphans {
                *all.orphans.entry(*key).or_default() += cell.get();
            }
        }
        for (cells, way) in self.ways.iter().zip(&mut all.ways) {
            cells.add_to(way, is_open, now);
        }
        all.opened += 1;
        if is_open {
            all.open.connections += 1;
            self.gauges.add_to(&mut all.open);
        }
    }
}

impl WayCells {
    fn add_to(&self, way: &mut Way, is_open: bool, now: Nanos) {
        way.read += self.read.get();
        way.written += self.written.get();
        way.malformed += self.malformed.get();
        way.framing_lost += self.lost.get();
        way.fins += self.closes[0].get();
        way.resets += self.closes[1].get();
        way.pauses += self.pauses.get();
        way.paused += self.paused.read(now);
        self.latency.add_to(&mut way.latency);
        if is_open {
            way.held += self.held.get();
            way.queued += self.queued.get();
            way.paused_now += u64::from(self.paused.is_running());
        }
    }
}

impl GaugeCells {
    fn add_to(&self, open: &mut super::Open) {
        for (counts, cells) in open.streams.iter_mut().zip(&self.streams) {
            counts.iter_mut().zip(cells).for_each(|(count, cell)| *count += cell.get());
        }
        let (window, outstanding) = (self.window.get(), self.outstanding.get());
        if window > 0 {
            open.with_flow_control += 1;
            open.window += window;
            open.outstanding += outstanding;
            open.full += u64::from(outstanding >= window);
        }
    }
}
