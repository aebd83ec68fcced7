use std::collections::VecDeque;

use bytes::Bytes;
use bytes::BytesMut;

use super::Ends;
use super::Kind;
use super::Part;
use super::Queue;
use super::Record;
use crate::Timestamp;
use crate::capture::Identity;
use crate::capture::Remark;
use crate::dcp::FrameHead;
use crate::dcp::Negotiated;
use crate::journal::Act;
use crate::journal::Direction;
use crate::journal::Entry;
use crate::journal::How;
use crate::journal::Origin;
use crate::journal::Side;
use crate::journal::What;
use crate::session::Session;
use crate::wire::HEADER_LEN;
use crate::wire::Header;
use crate::wire::Opcode;

/// Bytes of one direction after which the other acknowledges, though it says nothing.
const ACK_EVERY: u64 = 256 * 1024;
/// Remarks that wait for a packet that takes them, at one edge; the oldest go.
const MAX_WAITING_REMARKS: usize = 4096;
const WINDOW: u16 = u16::MAX;
/// Bytes of a direction that wait for the first whole frame.
const MAX_JOINING: u64 = 256 * 1024;

/// Follows one connection and makes records of it: a frame, a close, a thing that the tool did, each at its edge, in the
/// order of the journal.
///
/// The driver tells what came and went, and the journal's entries, as they happen; then [`Self::turn`], once the engine
/// has nothing more to say. Between two turns all has the same time. Of a frame that has not wholly crossed nothing is
/// recorded until it has, or until its direction ends: what is in no frame waits no longer than its turn.
pub struct Tape {
    conn: u64,
    ends: Ends,
    terms: String,
    edges: [Edge; 2],
    items: Vec<Item>,
    /// The step that is under way.
    step: Option<String>,
    /// What had been agreed on at each edge before this begun, where it begins in the middle.
    joined: Option<[Negotiated; 2]>,
    queue: Box<dyn Queue>,
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tape").field("conn", &self.conn).field("ends", &self.ends).finish_non_exhaustive()
    }
}

/// One edge: what its end said, and what it was told.
#[derive(Debug, Default)]
struct Edge {
    opened: bool,
    from: Pipe,
    to: Pipe,
    /// Remarks that no packet has taken yet.
    remarks: Vec<Remark>,
}

/// One direction of an edge.
#[derive(Debug, Default)]
struct Pipe {
    /// Bytes of which no entry has told yet.
    waiting: VecDeque<Bytes>,
    waiting_len: u64,
    /// The frame that flows by: its entry came, and some of its bytes are still to come.
    part: Option<Part>,
    /// Whether the first whole frame has yet to come, as this begins in the middle.
    joining: bool,
    /// Whether entries and bytes do not tell of the same: nothing is known of where frames are.
    unframed: bool,
    /// Bytes recorded, or lost.
    offset: u64,
    closed: Option<How>,
    /// What is lost since the last packet that was recorded: frames, bytes.
    lost: (u64, u64),
    /// What the last packet of this direction acknowledged, and the window that it told.
    acked: u64,
    window: u16,
}

#[derive(Debug)]
enum Item {
    Frame { edge: Side, direction: Direction, header: Header, collections: bool, remark: Option<Remark> },
    Closed { edge: Side, direction: Direction, how: How, remark: Option<Remark> },
    Lost { edge: Side, direction: Direction },
    Remark { edge: Side, remark: Remark },
}

impl Tape {
    /// A tape of the connection `conn`, which was opened at `at`. `terms` are how it is judged: text for whoever reads the
    /// recording back.
    pub fn new(conn: u64, ends: Ends, terms: String, at: Timestamp, queue: Box<dyn Queue>) -> Self {
        let mut tape = Self::unopened(conn, ends, terms, queue);
        for edge in [Side::Dialler, Side::Upstream] {
            tape.open(edge, at);
        }
        tape
    }

    /// A tape that begins in the middle of a connection, once it has [joined](Self::join) it.
    pub fn joining(conn: u64, ends: Ends, terms: String, queue: Box<dyn Queue>) -> Self {
        Self::unopened(conn, ends, terms, queue)
    }

    fn unopened(conn: u64, ends: Ends, terms: String, queue: Box<dyn Queue>) -> Self {
        let mut tape =
            Self { conn, ends, terms, edges: Default::default(), items: Vec::new(), step: None, joined: None, queue };
        for edge in &mut tape.edges {
            (edge.from.window, edge.to.window) = (WINDOW, WINDOW);
        }
        tape
    }

    /// Begins, with the next whole frame of each direction. These are the sessions at the dialler's edge and the upstream's.
    pub fn join(&mut self, sessions: [&Session; 2], at: Timestamp) {
        self.joined = Some(sessions.map(|session| *session.negotiated()));
        for (edge, session) in [Side::Dialler, Side::Upstream].into_iter().zip(sessions) {
            for direction in [Direction::From, Direction::To] {
                let pipe = self.pipe(edge, direction);
                pipe.unframed = session.framing_lost();
                pipe.joining = !pipe.unframed;
            }
            self.open(edge, at);
        }
    }

    /// Bytes came from an end.
    pub fn came(&mut self, from: Side, bytes: Bytes) {
        self.pipe(from, Direction::From).push(bytes);
    }

    /// Bytes are handed to the socket of an end.
    pub fn went(&mut self, to: Side, bytes: Bytes) {
        self.pipe(to, Direction::To).push(bytes);
    }

    /// Takes in an entry of the journal; `session` is that of its edge.
    pub fn entry(&mut self, entry: &Entry, session: &Session) {
        let (edge, direction) = (entry.edge, entry.direction);
        let tools = entry.origin == Origin::Tool;
        let item = match &entry.what {
            What::Frame(head) => {
                let remark = tools.then(|| self.why(direction, head));
                let collections = session.negotiated().collections;
                Item::Frame { edge, direction, header: head.header, collections, remark }
            }
            What::Closed { how, .. } => {
                let remark = tools.then(|| Remark::Injected(self.by_step("the close")));
                Item::Closed { edge, direction, how: *how, remark }
            }
            What::Acted(Act::Swallowed) => {
                let why = Remark::Swallowed(self.by_step("it goes no further"));
                return self.remark_last(edge, why);
            }
            What::Acted(Act::Replaced) => {
                let why = Remark::Replaced(self.by_step("other bytes go on in its place"));
                return self.remark_last(edge, why);
            }
            What::Acted(Act::Cut(len)) => {
                let why = Remark::Cut(*len, self.by_step("it does not go on whole"));
                return self.remark_last(edge, why);
            }
            What::Acted(act) => {
                match act {
                    Act::Fired { step, .. } | Act::Triggered { step, .. } => self.step = Some(step.clone()),
                    Act::Settling | Act::Settled => self.step = None,
                    Act::Resuming { .. }
                    | Act::Narrowed(_)
                    | Act::LeftOut { .. }
                    | Act::Armed { .. }
                    | Act::NeverFired { .. }
                    | Act::Swallowed
                    | Act::Replaced
                    | Act::Cut(_) => {}
                }
                Item::Remark { edge, remark: Remark::Act(act.clone()) }
            }
            What::Paused(paused) => Item::Remark { edge, remark: Remark::Paused(*paused) },
            What::FramingLost(error) => {
                self.items.push(Item::Lost { edge, direction });
                if !tools {
                    return;
                }
                // The bytes that are in no frame have waited for an entry till now: it comes before them.
                Item::Remark { edge, remark: Remark::Garbled(*error) }
            }
            What::Gap(_) => Item::Lost { edge, direction },
        };
        self.items.push(item);
    }

    /// Records what has happened since the last turn.
    pub fn turn(&mut self, now: Timestamp) {
        for item in std::mem::take(&mut self.items) {
            match item {
                Item::Frame { edge, direction, header, collections, remark } => {
                    self.flow(edge, direction, now);
                    let part = Part { header, start: 0, collections };
                    let remarks = remark.into_iter().collect();
                    self.frame(edge, direction, part, remarks, now);
                }
                Item::Closed { edge, direction, how, remark } => {
                    self.flow(edge, direction, now);
                    self.rest(edge, direction, now);
                    let pipe = self.pipe(edge, direction);
                    if pipe.closed.is_none() || how == How::Reset && pipe.closed == Some(How::Fin) {
                        pipe.closed = Some(how);
                        self.put(edge, direction, Kind::Closed(how), remark.into_iter().collect(), now);
                    }
                }
                Item::Lost { edge, direction } => {
                    self.flow(edge, direction, now);
                    let pipe = self.pipe(edge, direction);
                    (pipe.joining, pipe.unframed) = (false, true);
                }
                Item::Remark { edge, remark } => self.wait(edge, remark),
            }
        }
        for edge in [Side::Dialler, Side::Upstream] {
            for direction in [Direction::From, Direction::To] {
                self.flow(edge, direction, now);
                self.pipe(edge, direction).forget_what_is_too_old();
                if self.pipe(edge, direction).unframed {
                    self.rest(edge, direction, now);
                }
            }
            if !self.edge(edge).remarks.is_empty() {
                self.put(edge, Direction::To, Kind::Empty, Vec::new(), now);
            }
            self.acknowledge(edge, now);
        }
    }

    /// The tool lets the connection go: what is left is recorded, and `how` it ended.
    pub fn over(&mut self, how: &str, now: Timestamp) {
        self.turn(now);
        for edge in [Side::Dialler, Side::Upstream] {
            for direction in [Direction::From, Direction::To] {
                self.rest(edge, direction, now);
            }
            self.wait(edge, Remark::Over(how.to_owned()));
            self.put(edge, Direction::To, Kind::Empty, Vec::new(), now);
            // What the other direction has lost at its very end shows by an acknowledgement.
            self.put(edge, Direction::From, Kind::Empty, Vec::new(), now);
        }
    }

    /// The bytes of a frame of which an entry tells.
    fn frame(&mut self, edge: Side, direction: Direction, part: Part, remarks: Vec<Remark>, now: Timestamp) {
        let pipe = self.pipe(edge, direction);
        if pipe.joining && !pipe.begin_at(&part.header) {
            // Its front came before the tape did.
            return;
        }
        let bytes = pipe.pull(part.header.frame_len());
        let is_it = Header::parse_slice(&bytes).is_ok_and(|header| header == part.header);
        pipe.unframed |= !is_it;
        if pipe.unframed {
            return self.data(edge, direction, bytes, None, remarks, now);
        }
        let left = part.header.frame_len().saturating_sub(bytes.len() as u64);
        pipe.part = (left > 0).then(|| Part { start: bytes.len() as u64, ..part });
        self.data(edge, direction, bytes, Some(part), remarks, now);
    }

    /// The bytes that have come of the frame that flows by.
    fn flow(&mut self, edge: Side, direction: Direction, now: Timestamp) {
        let pipe = self.pipe(edge, direction);
        let Some(part) = pipe.part else { return };
        let left = part.header.frame_len().saturating_sub(part.start);
        let bytes = pipe.pull(left);
        if bytes.is_empty() {
            return;
        }
        let start = part.start.saturating_add(bytes.len() as u64);
        pipe.part = (start < part.header.frame_len()).then_some(Part { start, ..part });
        self.data(edge, direction, bytes, Some(part), Vec::new(), now);
    }

    /// Bytes that no entry will tell of: in no frame, or in one that never ends.
    fn rest(&mut self, edge: Side, direction: Direction, now: Timestamp) {
        let pipe = self.pipe(edge, direction);
        let bytes = pipe.pull(u64::MAX);
        if pipe.joining {
            return;
        }
        let header = Header::parse_slice(&bytes).ok().filter(|header| !pipe.unframed && header.check().is_ok());
        let part = header.map(|header| Part { header, start: 0, collections: true });
        self.data(edge, direction, bytes, part, Vec::new(), now);
    }

    fn data(
        &mut self,
        edge: Side,
        direction: Direction,
        bytes: Bytes,
        part: Option<Part>,
        remarks: Vec<Remark>,
        now: Timestamp,
    ) {
        if !bytes.is_empty() {
            self.put(edge, direction, Kind::Data(bytes, part), remarks, now);
        }
    }

    /// Acknowledges what has not been for long.
    fn acknowledge(&mut self, edge: Side, now: Timestamp) {
        for direction in [Direction::From, Direction::To] {
            let told = self.edge(edge).pipe(across(direction)).offset;
            if told.saturating_sub(self.pipe(edge, direction).acked) >= ACK_EVERY {
                self.put(edge, direction, Kind::Empty, Vec::new(), now);
            }
        }
    }

    fn open(&mut self, edge: Side, at: Timestamp) {
        let (_, dialled) = self.ends.at(edge);
        let Ends { dialler, upstream, .. } = self.ends;
        let identity = Identity { id: self.conn, edge, dialler, upstream, dialled };
        let mut remarks = vec![Remark::Connection(identity), Remark::Terms(self.terms.clone())];
        let joined = self.joined.map(|[dialler, upstream]| if edge == Side::Dialler { dialler } else { upstream });
        remarks.extend(joined.map(Remark::Joined));
        let record = Record {
            at,
            conn: self.conn,
            ends: self.ends,
            edge,
            by_dialler: true,
            offset: 0,
            ack: 0,
            window: WINDOW,
            kind: if joined.is_some() { Kind::Joined } else { Kind::Opened },
            remarks,
        };
        self.edge(edge).opened = self.queue.put(record).is_none();
    }

    fn put(&mut self, edge: Side, direction: Direction, kind: Kind, remarks: Vec<Remark>, at: Timestamp) {
        if !self.edge(edge).opened {
            self.open(edge, at);
        }
        let (conn, ends) = (self.conn, self.ends);
        let this = self.edge(edge);
        let other = this.pipe(across(direction));
        let ack = other.offset.saturating_add(u64::from(other.closed == Some(How::Fin)));
        let pipe = this.pipe(direction);
        let offset = pipe.offset;
        // A second empty segment that acknowledges the same would be taken for a complaint that something was lost.
        let empty = matches!(kind, Kind::Empty);
        let window = if empty && ack == pipe.acked {
            if pipe.window == WINDOW { WINDOW - 1 } else { WINDOW }
        } else {
            pipe.window
        };
        let lost = pipe.lost;
        // Behind a FIN, which takes a number too.
        let offset = offset.saturating_add(u64::from(empty && pipe.closed == Some(How::Fin)));
        if let Kind::Data(bytes, _) = &kind {
            pipe.offset = pipe.offset.saturating_add(bytes.len() as u64);
        }
        let waiting = this.remarks.len();
        let mut all = std::mem::take(&mut this.remarks);
        if lost != (0, 0) {
            all.push(Remark::Lost { frames: lost.0, bytes: lost.1 });
        }
        all.extend(remarks);
        let by_dialler = (edge == Side::Dialler) == (direction == Direction::From);
        let record = Record { at, conn, ends, edge, by_dialler, offset, ack, window, kind, remarks: all };
        let (frames, bytes) = record.size();
        let refused = self.queue.put(record);
        let this = self.edge(edge);
        let pipe = this.pipe(direction);
        match refused {
            None => {
                (pipe.acked, pipe.window, pipe.lost) = (ack, window, (0, 0));
            }
            Some(mut record) => {
                pipe.lost = (lost.0.saturating_add(frames), lost.1.saturating_add(bytes));
                // A reader can do without the bytes, but not without knowing what the tool did.
                record.remarks.truncate(waiting);
                this.remarks = record.remarks;
            }
        }
    }

    fn wait(&mut self, edge: Side, remark: Remark) {
        let remarks = &mut self.edge(edge).remarks;
        if remarks.len() >= MAX_WAITING_REMARKS {
            remarks.remove(0);
        }
        remarks.push(remark);
    }

    /// What is remarked of a frame that is the tool's, or that answers it.
    fn why(&self, direction: Direction, head: &FrameHead) -> Remark {
        let header = &head.header;
        match (direction, header.status()) {
            (Direction::From, _) => Remark::Withheld(format!("answer to the tool's own {}", header.opcode)),
            (Direction::To, Some(status)) => {
                Remark::Injected(self.by_step(&format!("answer {status} to {}", header.opcode)))
            }
            (Direction::To, None) => {
                let what = match header.opcode {
                    Opcode::NOOP => "NOOP, to see that the end lives".to_owned(),
                    Opcode::VERSION => "VERSION, to find the era".to_owned(),
                    opcode => opcode.to_string(),
                };
                Remark::Injected(self.by_step(&what))
            }
        }
    }

    fn by_step(&self, what: &str) -> String {
        match &self.step {
            Some(step) => format!("step {step}: {what}"),
            None => what.to_owned(),
        }
    }

    /// Remarks something of what the end at an edge said last.
    fn remark_last(&mut self, of: Side, why: Remark) {
        let last = self.items.iter_mut().rev().find_map(|item| match item {
            Item::Frame { edge, direction: Direction::From, remark, .. }
            | Item::Closed { edge, direction: Direction::From, remark, .. }
                if *edge == of =>
            {
                Some(remark)
            }
            Item::Frame { .. } | Item::Closed { .. } | Item::Lost { .. } | Item::Remark { .. } => None,
        });
        if let Some(remark) = last {
            *remark = Some(why);
        }
    }

    const fn edge(&mut self, edge: Side) -> &mut Edge {
        let [dialler, upstream] = &mut self.edges;
        match edge {
            Side::Dialler => dialler,
            Side::Upstream => upstream,
        }
    }

    const fn pipe(&mut self, edge: Side, direction: Direction) -> &mut Pipe {
        self.edge(edge).pipe(direction)
    }
}

impl Edge {
    const fn pipe(&mut self, direction: Direction) -> &mut Pipe {
        match direction {
            Direction::From => &mut self.from,
            Direction::To => &mut self.to,
        }
    }
}

impl Pipe {
    fn push(&mut self, bytes: Bytes) {
        // What is written after a close goes nowhere.
        if self.closed.is_none() && !bytes.is_empty() {
            self.waiting_len = self.waiting_len.saturating_add(bytes.len() as u64);
            self.waiting.push_back(bytes);
        }
    }

    /// Begins with the frame of this header, if all of it is here.
    fn begin_at(&mut self, header: &Header) -> bool {
        let mut bytes = self.pull(u64::MAX);
        let place = bytes
            .windows(HEADER_LEN)
            .position(|window| Header::parse_slice(window).is_ok_and(|found| found == *header));
        self.joining = place.is_none();
        self.push(bytes.split_off(place.unwrap_or(0)));
        !self.joining
    }

    /// Until it begins, no more is kept than the longest frame that comes whole, and a read.
    fn forget_what_is_too_old(&mut self) {
        while self.joining
            && self.waiting_len > MAX_JOINING
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.waiting_len = self.waiting_len.saturating_sub(oldest.len() as u64);
        }
    }

    /// Takes up to `len` bytes; copies only where they came in several pieces.
    fn pull(&mut self, len: u64) -> Bytes {
        let len = usize::try_from(len.min(self.waiting_len)).unwrap_or(usize::MAX);
        self.waiting_len = self.waiting_len.saturating_sub(len as u64);
        let Some(first) = self.waiting.front_mut() else { return Bytes::new() };
        if len < first.len() {
            return first.split_to(len);
        }
        if len == first.len() {
            return self.waiting.pop_front().unwrap_or_default();
        }
        let mut all = BytesMut::with_capacity(len);
        while all.len() < len
            && let Some(mut next) = self.waiting.pop_front()
        {
            let piece = next.split_to(next.len().min(len.saturating_sub(all.len())));
            all.extend_from_slice(&piece);
            if !next.is_empty() {
                self.waiting.push_front(next);
            }
        }
        all.freeze()
    }
}

const fn across(direction: Direction) -> Direction {
    match direction {
        Direction::From => Direction::To,
        Direction::To => Direction::From,
    }
}
