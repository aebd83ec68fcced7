//! Recorded connections: turns what a capture tells into journal entries, so that who judges a recording sees the same
//! as who judges a live connection.
//!
//! A recorded connection has one edge, [`Side::Upstream`]: what the end that was dialled sent is `From` it, what was sent
//! to it is `To` it.
//!
//! Where bytes are missing, a frame of which only a part of the value is lost is passed on all the same (if it can be
//! read without), and framing goes on behind it; else frames are looked for again, see [`search`].

mod framing;
mod search;

use std::collections::BTreeMap;

use super::Event;
use super::Remark;
use super::What;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::Negotiated;
use crate::journal;
use crate::journal::Act;
use crate::journal::Direction;
use crate::journal::Entry;
use crate::journal::Origin;
use crate::journal::Side;
use crate::session::Context;
use crate::session::Session;
use crate::wire::Frame;

use framing::Found;
use framing::Framing;

/// The edge of every recorded connection.
const EDGE: Side = Side::Upstream;

/// Turns what a capture tells of its connections into their journals, each seen at the edge of the end that was dialled.
///
/// ```
/// # fn judge(_: dcproxy::capture::Happened<'_>) {}
/// # let file: &[u8] = &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
/// let mut recorded = dcproxy::capture::Recorded::new(0);
/// dcproxy::capture::read(file, &mut |event| recorded.event(&event, &mut judge))?;
/// # Ok::<(), dcproxy::capture::CaptureError>(())
/// ```
#[derive(Debug)]
pub struct Recorded {
    key_seed: u64,
    assumed: Negotiated,
    connections: BTreeMap<u32, Connection>,
}

#[derive(Debug)]
struct Connection {
    session: Session,
    from: Framing,
    to: Framing,
    /// What is known to have been agreed on before the recording began.
    assumed: Negotiated,
    /// What the tool remarks of the next frame, or close, of either direction.
    remarked: [Remarked; 2],
}

/// What the tool's own recording says of a frame.
#[derive(Clone, Debug, Default)]
struct Remarked {
    tools: bool,
    fate: Option<Act>,
    /// Whether the bytes of the packet that it stands on are still to come.
    fresh: bool,
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
    /// What the frame was read with: what the two ends had agreed on before it, and what is assumed.
    pub negotiated: Negotiated,
    /// The frame's bytes, where it is one. Its value may be cut (`value()` is `None`).
    pub frame: Option<Frame<'a>>,
    /// Whether the frame is the first that was found again after framing was lost: by its looks, so without certainty.
    pub resynchronised: bool,
    /// Of a gap: bytes that its sender had sent before it, delivered or missing.
    pub gap_offset: Option<u64>,
}

/// How [`Recorded`] tells of what it finds.
pub type Sink<'a> = &'a mut dyn FnMut(Happened<'_>);

impl Recorded {
    /// `key_seed` seeds the hashes of keys.
    pub fn new(key_seed: u64) -> Self {
        Self { key_seed, assumed: Negotiated::default(), connections: BTreeMap::new() }
    }

    /// Reads frames as if this had been agreed on besides what is seen: for captures that begin after that.
    #[must_use]
    pub const fn assume(mut self, assumed: Negotiated) -> Self {
        self.assumed = assumed;
        self
    }

    /// Takes in the next event of a capture. A connection is forgotten when it has ended.
    pub fn event(&mut self, event: &Event<'_>, sink: Sink<'_>) {
        let connection = self.connections.entry(event.conn).or_insert_with(|| Connection {
            session: Session::new(EDGE),
            from: Framing::default(),
            to: Framing::default(),
            assumed: self.assumed,
            remarked: Default::default(),
        });
        let mut tell = Tell {
            conn: event.conn,
            at: event.at,
            session: &mut connection.session,
            key_seed: self.key_seed,
            assumed: &mut connection.assumed,
            sink,
            gap_offset: None,
            remarked: &mut connection.remarked,
        };
        match event.what {
            What::Opened { .. } => {}
            What::Comment { from, text } => {
                if tell.comment(from, text) {
                    connection.to.give_up();
                }
            }
            What::Data { from, bytes } => {
                let framing = if from == EDGE { &mut connection.from } else { &mut connection.to };
                framing.data(bytes, &mut |found| tell.found(from, found));
                tell.remarks_of(from).fresh = false;
            }
            What::Gap { from, offset, bytes } => {
                tell.gap_offset = Some(offset);
                let framing = if from == EDGE { &mut connection.from } else { &mut connection.to };
                let negotiated = tell.negotiated();
                let mut readable = |frame: &Frame<'_>| is_readable(frame, &negotiated);
                framing.gap(bytes, &mut readable, &mut |found| tell.found(from, found));
            }
            What::Closed { from, how } => {
                let framing = if from == EDGE { &connection.from } else { &connection.to };
                let partial = framing.partial();
                tell.remarked(from, journal::What::Closed { how, partial }, None, false);
            }
            What::Ended => {
                self.connections.remove(&event.conn);
            }
        }
    }

    /// The session of a connection that has not ended yet.
    pub fn session(&self, conn: u32) -> Option<&Session> {
        self.connections.get(&conn).map(|connection| &connection.session)
    }
}

/// Makes entries, and shows them to the session first.
struct Tell<'t> {
    conn: u32,
    at: Timestamp,
    session: &'t mut Session,
    key_seed: u64,
    assumed: &'t mut Negotiated,
    sink: Sink<'t>,
    gap_offset: Option<u64>,
    remarked: &'t mut [Remarked; 2],
}

impl Tell<'_> {
    fn found(&mut self, from: Side, found: Found<'_>) {
        match found {
            Found::Frame { frame, resynchronised } => {
                let head = dcp::head(&frame, &self.negotiated(), self.key_seed);
                self.remarked(from, journal::What::Frame(head), Some(frame), resynchronised);
            }
            Found::Gap(bytes) => {
                if !self.remarks_of(from).fresh {
                    *self.remarks_of(from) = Remarked::default();
                }
                self.entry(direction_of(from), Origin::Peer, journal::What::Gap(bytes), None, false);
            }
            Found::Lost(error) => {
                self.entry(direction_of(from), Origin::Peer, journal::What::FramingLost(error), None, false);
            }
        }
    }

    /// Takes in what the tool says in its own recording; tells whether what goes to the end is no frames from here on.
    fn comment(&mut self, from: Side, text: &str) -> bool {
        self.remarks_of(from).fresh = true;
        let remark = text.parse();
        let garbled = matches!(remark, Ok(Remark::Garbled(_)));
        match remark {
            Ok(Remark::Act(act)) => self.act(Direction::To, act),
            Ok(Remark::Joined(negotiated)) => *self.assumed = self.assumed.or(negotiated),
            Ok(Remark::Paused(paused)) => {
                self.entry(Direction::From, Origin::Tool, journal::What::Paused(paused), None, false);
            }
            Ok(Remark::Injected(_) | Remark::Withheld(_)) => self.remarks_of(from).tools = true,
            Ok(Remark::Swallowed(_)) => self.remarks_of(from).fate = Some(Act::Swallowed),
            Ok(Remark::Replaced(_)) => self.remarks_of(from).fate = Some(Act::Replaced),
            Ok(Remark::Garbled(error)) => {
                self.entry(Direction::To, Origin::Tool, journal::What::FramingLost(error), None, false);
            }
            Ok(Remark::Cut(len, _)) => self.remarks_of(from).fate = Some(Act::Cut(len)),
            Ok(Remark::Connection(_) | Remark::Terms(_) | Remark::Lost { .. } | Remark::Over(_)) | Err(_) => {}
        }
        garbled
    }

    /// A frame, or a close, with what the tool remarks of it.
    fn remarked(&mut self, from: Side, what: journal::What, frame: Option<Frame<'_>>, resynchronised: bool) {
        let Remarked { tools, fate, .. } = std::mem::take(self.remarks_of(from));
        let origin = if tools { Origin::Tool } else { Origin::Peer };
        self.entry(direction_of(from), origin, what, frame, resynchronised);
        if let Some(act) = fate {
            self.act(Direction::From, act);
        }
    }

    fn act(&mut self, direction: Direction, act: Act) {
        self.entry(direction, Origin::Tool, journal::What::Acted(act), None, false);
    }

    const fn remarks_of(&mut self, from: Side) -> &mut Remarked {
        let [dialler, upstream] = &mut *self.remarked;
        match from {
            Side::Dialler => dialler,
            Side::Upstream => upstream,
        }
    }

    fn entry(
        &mut self,
        direction: Direction,
        origin: Origin,
        what: journal::What,
        frame: Option<Frame<'_>>,
        resynchronised: bool,
    ) {
        let entry = Entry { at: self.at, edge: EDGE, direction, origin, what };
        let negotiated = self.negotiated();
        self.session.observe(&entry);
        let session = &*self.session;
        let gap_offset = self.gap_offset.filter(|_| matches!(entry.what, journal::What::Gap(_)));
        (self.sink)(Happened {
            conn: self.conn,
            entry: &entry,
            context: session.context(),
            session,
            negotiated,
            frame,
            resynchronised,
            gap_offset,
        });
    }

    fn negotiated(&self) -> Negotiated {
        self.session.negotiated().or(*self.assumed)
    }
}

fn direction_of(from: Side) -> Direction {
    if from == EDGE { Direction::From } else { Direction::To }
}

/// Whether a frame says what it has to say though its value is cut.
fn is_readable(frame: &Frame<'_>, negotiated: &Negotiated) -> bool {
    matches!(dcp::decode(frame, negotiated), Ok(message) if message != dcp::Message::Other)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::journal::How;
    use crate::wire::FrameBuilder;
    use crate::wire::Opcode;

    fn run(recorded: &mut Recorded, what: What<'_>) -> Vec<(Entry, Option<Vec<u8>>)> {
        let mut entries = Vec::new();
        recorded.event(&Event { at: Timestamp(5), conn: 3, what }, &mut |seen| {
            assert_eq!(seen.conn, 3);
            assert_eq!(seen.entry.at, Timestamp(5));
            entries.push((seen.entry.clone(), seen.frame.map(|frame| frame.bytes().to_vec())));
        });
        entries
    }

    fn opened(recorded: &mut Recorded) {
        let addr = |text: &str| text.parse().unwrap();
        let (dialler, upstream) = (addr("127.0.0.1:40000"), addr("127.0.0.1:11210"));
        assert!(run(recorded, What::Opened { dialler, upstream }).is_empty());
    }

    #[test]
    fn the_edge_is_that_of_the_end_that_was_dialled() {
        let mut recorded = Recorded::new(0);
        opened(&mut recorded);
        let open = FrameBuilder::request(Opcode::DCP_OPEN).extras([0, 0, 0, 0, 0, 0, 0, 1]).key(*b"n").build();
        let entries = run(&mut recorded, What::Data { from: Side::Dialler, bytes: &open });
        assert_eq!(entries.len(), 1);
        assert_eq!((entries[0].0.edge, entries[0].0.direction), (Side::Upstream, Direction::To));
        assert_eq!(entries[0].1.as_deref(), Some(&open[..]));
        assert_eq!(recorded.session(3).unwrap().producer(), Some(Side::Upstream));
        let noop = FrameBuilder::request(Opcode::DCP_NOOP).build();
        let entries = run(&mut recorded, What::Data { from: Side::Upstream, bytes: &noop });
        assert_eq!((entries[0].0.direction, entries[0].0.sender()), (Direction::From, Side::Upstream));
        run(&mut recorded, What::Data { from: Side::Upstream, bytes: &noop[..7] });
        let entries = run(&mut recorded, What::Closed { from: Side::Upstream, how: How::Reset });
        assert_eq!(entries[0].0.what, journal::What::Closed { how: How::Reset, partial: 7 });
        assert!(run(&mut recorded, What::Ended).is_empty());
        assert!(recorded.session(3).is_none(), "what has ended is forgotten");
    }

    #[test]
    fn entries_do_not_depend_on_where_the_bytes_are_cut() {
        let request = FrameBuilder::request(Opcode::VERSION).build();
        let mut recorded = Recorded::new(0);
        opened(&mut recorded);
        for byte in request.chunks(1).take(23) {
            assert!(run(&mut recorded, What::Data { from: Side::Dialler, bytes: byte }).is_empty());
        }
        let entries = run(&mut recorded, What::Data { from: Side::Dialler, bytes: &request[23..] });
        assert_eq!(entries[0].1.as_deref(), Some(&request[..]));
    }

    #[test]
    fn bytes_that_are_no_frame_are_told_once() {
        let mut recorded = Recorded::new(0);
        opened(&mut recorded);
        let first = run(&mut recorded, What::Data { from: Side::Upstream, bytes: &[0x79; 30] });
        assert!(matches!(first[..], [(Entry { what: journal::What::FramingLost(_), .. }, None)]), "{first:?}");
        let noop = FrameBuilder::request(Opcode::NOOP).build();
        assert!(run(&mut recorded, What::Data { from: Side::Upstream, bytes: &noop }).is_empty());
        assert_eq!(run(&mut recorded, What::Data { from: Side::Dialler, bytes: &noop }).len(), 1);
    }

    #[test]
    fn what_was_agreed_on_before_the_capture_can_be_assumed() {
        let mutation = FrameBuilder::request(Opcode::DCP_MUTATION)
            .cas(1)
            .extras(hex::decode("00000000000000010000000000000001000000000000000000000000000000").unwrap())
            .key(*b"\x08key")
            .build();
        let collection = |mut recorded: Recorded| {
            opened(&mut recorded);
            let entries = run(&mut recorded, What::Data { from: Side::Upstream, bytes: &mutation });
            let journal::What::Frame(head) = &entries[0].0.what else { panic!("{entries:?}") };
            head.collection_id
        };
        assert_eq!(collection(Recorded::new(0)), None);
        assert_eq!(
            collection(Recorded::new(0).assume(Negotiated { collections: true, ..Negotiated::default() })),
            Some(8)
        );
    }

    #[test]
    fn a_frame_that_cannot_be_read_without_its_value_is_only_a_gap() {
        let control = FrameBuilder::request(Opcode::DCP_CONTROL).key(*b"enable_noop").value(*b"true").build();
        let set = FrameBuilder::request(Opcode::DCP_MUTATION)
            .cas(1)
            .extras([&[1_u8; 28][..], &[0, 0, 1]].concat())
            .key(*b"key")
            .value(vec![7; 100])
            .build();
        for (frame, cut, entries) in [(&control, 37, 1), (&set, 100, 2)] {
            let mut recorded = Recorded::new(0);
            opened(&mut recorded);
            run(&mut recorded, What::Data { from: Side::Dialler, bytes: &frame[..cut] });
            let bytes = Some((frame.len() - cut) as u64);
            let seen = run(&mut recorded, What::Gap { from: Side::Dialler, offset: 0, bytes });
            assert_eq!(seen.len(), entries);
            assert_eq!(seen[entries - 1].0.what, journal::What::Gap(bytes));
        }
    }
}
