use std::collections::BTreeMap;

use super::Event;
use super::What;
use crate::Timestamp;
use crate::dcp;
use crate::journal;
use crate::journal::Direction;
use crate::journal::Entry;
use crate::journal::Origin;
use crate::journal::Side;
use crate::session::Context;
use crate::session::Session;
use crate::wire::Deframer;
use crate::wire::Frame;
use crate::wire::FramingError;
use crate::wire::MAX_FRAME_LEN;
use crate::wire::Piece;

/// Turns what a capture tells of its connections into their journals, each seen at the edge of the end that was dialled.
#[derive(Debug)]
pub struct Recorded {
    key_seed: u64,
    connections: BTreeMap<u32, Connection>,
}

#[derive(Debug)]
struct Connection {
    session: Session,
    /// What the dialler sends, and what the upstream sends. `None` behind a gap: framing is not found again.
    deframers: [Option<Deframer>; 2],
    lost: [bool; 2],
}

/// A frame, or something else that happened, with the state of its connection behind it.
#[derive(Debug)]
pub struct Happened<'a> {
    /// The connection's number in the capture.
    pub conn: u32,
    /// What the journal says of it.
    pub entry: &'a Entry,
    /// What it is in context.
    pub context: &'a Context,
    /// The connection's session, which has taken the entry in.
    pub session: &'a Session,
    /// The frame's bytes, where it is one.
    pub frame: Option<Frame<'a>>,
}

/// How [`Recorded`] tells of what it finds.
pub type Sink<'a> = &'a mut dyn FnMut(Happened<'_>);

impl Recorded {
    /// `key_seed` seeds the hashes of keys.
    pub const fn new(key_seed: u64) -> Self {
        Self { key_seed, connections: BTreeMap::new() }
    }

    /// Takes in the next event of a capture.
    pub fn event(&mut self, event: &Event<'_>, sink: Sink<'_>) {
        let (at, conn) = (event.at, event.conn);
        let connection = self.connections.entry(conn).or_insert_with(Connection::new);
        match event.what {
            What::Opened { .. } => {}
            What::Data { from, bytes } => connection.data(conn, at, from, bytes, self.key_seed, sink),
            What::Gap { from, bytes, .. } => connection.gap(conn, at, from, bytes, sink),
            What::Closed { from, how } => {
                let partial = connection.partial(from);
                connection.note(conn, at, from, journal::What::Closed { how, partial }, None, sink);
            }
            What::Ended => {
                self.connections.remove(&conn);
            }
        }
    }

    /// The session of a connection that has not ended yet.
    pub fn session(&self, conn: u32) -> Option<&Session> {
        self.connections.get(&conn).map(|connection| &connection.session)
    }
}

impl Connection {
    fn new() -> Self {
        Self {
            session: Session::new(Side::Upstream),
            deframers: [Some(Deframer::new(MAX_FRAME_LEN)), Some(Deframer::new(MAX_FRAME_LEN))],
            lost: [false, false],
        }
    }

    fn data(&mut self, conn: u32, at: Timestamp, from: Side, bytes: &[u8], key_seed: u64, sink: Sink<'_>) {
        let Some(mut deframer) = self.deframer_mut(from).take() else { return };
        let mut input = bytes;
        while let Some(piece) = deframer.next(&mut input) {
            match piece {
                Piece::Frame(frame) => {
                    let head = dcp::head(&frame, self.session.negotiated(), key_seed);
                    self.note(conn, at, from, journal::What::Frame(Box::new(head)), Some(frame), sink);
                }
                // No frame is longer than the limit.
                Piece::Value { .. } => {}
                Piece::Raw { error, .. } => self.lost(conn, at, from, error, sink),
            }
        }
        *self.deframer_mut(from) = Some(deframer);
    }

    fn lost(&mut self, conn: u32, at: Timestamp, from: Side, error: FramingError, sink: Sink<'_>) {
        let [dialler, upstream] = &mut self.lost;
        let lost = match from {
            Side::Dialler => dialler,
            Side::Upstream => upstream,
        };
        if !std::mem::replace(lost, true) {
            self.note(conn, at, from, journal::What::FramingLost(error), None, sink);
        }
    }

    fn gap(&mut self, conn: u32, at: Timestamp, from: Side, bytes: Option<u64>, sink: Sink<'_>) {
        *self.deframer_mut(from) = None;
        self.note(conn, at, from, journal::What::Gap(bytes), None, sink);
    }

    fn partial(&mut self, from: Side) -> u64 {
        self.deframer_mut(from).as_ref().map_or(0, |deframer| deframer.partial().len() as u64)
    }

    const fn deframer_mut(&mut self, from: Side) -> &mut Option<Deframer> {
        let [dialler, upstream] = &mut self.deframers;
        match from {
            Side::Dialler => dialler,
            Side::Upstream => upstream,
        }
    }

    fn note(
        &mut self,
        conn: u32,
        at: Timestamp,
        from: Side,
        what: journal::What,
        frame: Option<Frame<'_>>,
        sink: Sink<'_>,
    ) {
        let direction = match from {
            Side::Upstream => Direction::From,
            Side::Dialler => Direction::To,
        };
        let entry = Entry { at, edge: Side::Upstream, direction, origin: Origin::Peer, what };
        let context = self.session.observe(&entry);
        sink(Happened { conn, entry: &entry, context: &context, session: &self.session, frame });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::How;
    use crate::wire::FrameBuilder;
    use crate::wire::Opcode;
    use crate::wire::Status;

    fn feed(events: &[What<'_>]) -> Vec<String> {
        let mut recorded = Recorded::new(0);
        let mut seen = Vec::new();
        for (index, &what) in events.iter().enumerate() {
            let at = Timestamp(index as u64);
            recorded.event(&Event { at, conn: 7, what }, &mut |happened| {
                assert_eq!((happened.conn, happened.entry.at), (7, at));
                seen.push(match &happened.entry.what {
                    journal::What::Frame(head) => {
                        assert!(happened.frame.is_some());
                        format!("{:?} {}", happened.entry.direction, head.header.opcode)
                    }
                    other => format!("{:?} {other:?}", happened.entry.direction),
                });
            });
        }
        seen
    }

    #[test]
    fn directions_are_seen_from_the_end_that_was_dialled() {
        let request = FrameBuilder::request(Opcode::VERSION).build();
        let response = FrameBuilder::response(Opcode::VERSION, Status::SUCCESS).build();
        let (first, second) = request.split_at(10);
        let seen = feed(&[
            What::Data { from: Side::Dialler, bytes: first },
            What::Data { from: Side::Dialler, bytes: second },
            What::Data { from: Side::Upstream, bytes: &response },
            What::Closed { from: Side::Upstream, how: How::Fin },
        ]);
        assert_eq!(seen, ["To VERSION", "From VERSION", "From Closed { how: Fin, partial: 0 }"]);
    }

    #[test]
    fn what_comes_behind_a_gap_is_not_guessed_at() {
        let frame = FrameBuilder::request(Opcode::NOOP).build();
        let seen = feed(&[
            What::Gap { from: Side::Dialler, offset: 0, bytes: Some(5) },
            What::Data { from: Side::Dialler, bytes: &frame },
            What::Data { from: Side::Upstream, bytes: &[0x79; 30] },
            What::Data { from: Side::Upstream, bytes: &frame },
        ]);
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert!(seen.iter().any(|line| line.starts_with("From FramingLost")), "{seen:?}");
    }
}
