use std::ops::Range;

use bytes::Bytes;

use super::Ends;
use super::Kind;
use super::Part;
use super::Queue;
use super::Record;
use super::Run;
use super::pipe::Edge;
use super::pipe::Pipe;
use super::record::frames;
use super::redact::is_login;
use crate::Timestamp;
use crate::capture::Identity;
use crate::capture::Remark;
use crate::dcp::FrameHead;
use crate::dcp::Negotiated;
use crate::journal::Act;
use crate::journal::Direction;
use crate::journal::Entries;
use crate::journal::Entry;
use crate::journal::How;
use crate::journal::Origin;
use crate::journal::Side;
use crate::journal::What;
use crate::session::Session;
use crate::wire::Header;
use crate::wire::Opcode;

/// Bytes of one direction after which the other acknowledges, though it says nothing.
const ACK_EVERY: u64 = 256 * 1024;
/// Remarks that wait for a packet that takes them, at one edge; the oldest go.
const MAX_WAITING_REMARKS: usize = 4096;
const WINDOW: u16 = u16::MAX;
/// The room for what happens in a turn that is kept for the next.
const KEPT_ITEMS: usize = 16;

/// Follows one connection and makes records of it: a frame, a close, a thing that the tool did, each at its edge, in the
/// order of the journal.
///
/// The driver tells what came and went, and the journal's entries, as they happen; then [`Self::turn`], once the engine
/// has nothing more to say. Between two turns all has the same time, and frames of which there is nothing to say, and
/// nothing between them at their edge, are one record. Of a frame that has not wholly crossed nothing is
/// recorded until it has, or until its direction ends: what is in no frame waits no longer than its turn.
pub struct Tape {
    conn: u64,
    ends: Ends,
    terms: String,
    edges: [Edge; 2],
    items: Vec<Item>,
    /// Where a run is under way, in the order in which they began: at each edge one at most.
    runs: Vec<(Side, Direction)>,
    /// What was read in this turn, and whether a record was charged for it.
    read: (Bytes, bool),
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

#[derive(Debug)]
enum Item {
    Frame {
        edge: Side,
        direction: Direction,
        header: Header,
        collections: bool,
        remark: Option<Remark>,
    },
    /// Whole frames, and their bytes.
    Stretch {
        edge: Side,
        direction: Direction,
        bytes: Bytes,
        run: Run,
    },
    Closed {
        edge: Side,
        direction: Direction,
        how: How,
        remark: Option<Remark>,
    },
    Lost {
        edge: Side,
        direction: Direction,
    },
    Remark {
        edge: Side,
        remark: Remark,
    },
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
        let mut tape = Self {
            conn,
            ends,
            terms,
            edges: Default::default(),
            items: Vec::new(),
            runs: Vec::new(),
            read: (Bytes::new(), false),
            step: None,
            joined: None,
            queue,
        };
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
        self.read = (bytes.clone(), false);
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

    /// Takes in entries of the journal that are alike: as if each was told by itself.
    pub fn entries(&mut self, entries: &Entries<'_>, session: &Session) {
        let (edge, direction, stretch) = (entries.edge, entries.direction, entries.stretch);
        let run = Run { frames: stretch.frames(), collections: session.negotiated().collections };
        let bytes = match self.place_in_read(stretch.bytes()) {
            Some(place) => self.read.0.slice(place),
            None => Bytes::copy_from_slice(stretch.bytes()),
        };
        self.items.push(Item::Stretch { edge, direction, bytes, run });
    }

    /// Records what has happened since the last turn.
    pub fn turn(&mut self, now: Timestamp) {
        let mut items = std::mem::take(&mut self.items);
        for item in items.drain(..) {
            match item {
                Item::Frame { edge, direction, header, collections, remark } => {
                    self.flow(edge, direction, now);
                    let part = Part { header, start: 0, collections };
                    self.frame(edge, direction, part, remark, now);
                }
                Item::Stretch { edge, direction, bytes, run } => {
                    self.flow(edge, direction, now);
                    self.stretch(edge, direction, &bytes, run, now);
                }
                Item::Closed { edge, direction, how, remark } => {
                    self.end_runs(now);
                    self.flow(edge, direction, now);
                    self.rest(edge, direction, now);
                    let pipe = self.pipe(edge, direction);
                    if pipe.closed.is_none() || how == How::Reset && pipe.closed == Some(How::Fin) {
                        pipe.closed = Some(how);
                        self.put(edge, direction, Kind::Closed(how), remark.into_iter().collect(), now);
                    }
                }
                Item::Lost { edge, direction } => {
                    self.end_runs(now);
                    self.flow(edge, direction, now);
                    let pipe = self.pipe(edge, direction);
                    (pipe.joining, pipe.unframed) = (false, true);
                }
                Item::Remark { edge, remark } => {
                    self.end_runs(now);
                    self.wait(edge, remark);
                }
            }
        }
        // A connection that is idle keeps little.
        if items.capacity() <= KEPT_ITEMS {
            self.items = items;
        }
        self.end_runs(now);
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
        self.read = (Bytes::new(), false);
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
    fn frame(&mut self, edge: Side, direction: Direction, part: Part, remark: Option<Remark>, now: Timestamp) {
        let header = part.header;
        if remark.is_none() && !is_login(&part) {
            let run = Run { frames: 1, collections: part.collections };
            let is_it = |bytes: &[u8]| Header::parse_slice(bytes).is_ok_and(|found| found == header);
            let len = usize::try_from(header.frame_len()).unwrap_or(usize::MAX);
            if self.goes_on(edge, direction, run, len, is_it, now) {
                return;
            }
        }
        self.end_runs(now);
        let remarks = remark.into_iter().collect();
        let pipe = self.pipe(edge, direction);
        if pipe.joining && !pipe.begin_at(&header) {
            // Its front came before the tape did.
            return;
        }
        let bytes = pipe.pull(header.frame_len());
        pipe.unframed |= !Header::parse_slice(&bytes).is_ok_and(|found| found == header);
        if pipe.unframed {
            return self.data(edge, direction, bytes, None, remarks, now);
        }
        let left = header.frame_len().saturating_sub(bytes.len() as u64);
        pipe.part = (left > 0).then(|| Part { start: bytes.len() as u64, ..part });
        self.data(edge, direction, bytes, Some(part), remarks, now);
    }

    /// The bytes of frames of which entries tell.
    fn stretch(&mut self, edge: Side, direction: Direction, bytes: &Bytes, run: Run, now: Timestamp) {
        // What is read and goes on is the same memory.
        let is_it = |found: &[u8]| found.as_ptr() == bytes.as_ptr() || found == bytes;
        if self.goes_on(edge, direction, run, bytes.len(), is_it, now) {
            return;
        }
        for (header, _) in frames(bytes) {
            let part = Part { header, start: 0, collections: run.collections };
            self.frame(edge, direction, part, None, now);
        }
    }

    /// Lets a run go on with frames of which nothing is to be said, or begin with them; whether it does.
    fn goes_on(
        &mut self,
        edge: Side,
        direction: Direction,
        frames: Run,
        len: usize,
        is_it: impl Fn(&[u8]) -> bool,
        now: Timestamp,
    ) -> bool {
        if !self.edge(edge).remarks.is_empty() {
            return false;
        }
        if self.runs.contains(&(edge, direction)) {
            if self.pipe(edge, direction).goes_on(frames, len, &is_it) {
                return true;
            }
            self.end_runs(now);
        } else if self.runs.contains(&(edge, across(direction))) {
            self.end_runs(now);
        }
        let begins = self.pipe(edge, direction).goes_on(frames, len, is_it);
        if begins {
            self.runs.push((edge, direction));
        }
        begins
    }

    /// Records the runs that are under way: before anything else is recorded.
    fn end_runs(&mut self, now: Timestamp) {
        let mut runs = std::mem::take(&mut self.runs);
        for (edge, direction) in runs.drain(..) {
            if let Some((bytes, run)) = self.pipe(edge, direction).pull_run() {
                self.put(edge, direction, Kind::Run(bytes, run), Vec::new(), now);
            }
        }
        self.runs = runs;
    }

    /// The bytes that have come of the frame that flows by.
    fn flow(&mut self, edge: Side, direction: Direction, now: Timestamp) {
        let pipe = self.pipe(edge, direction);
        let Some(part) = pipe.part else { return };
        self.end_runs(now);
        let pipe = self.pipe(edge, direction);
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
            pins: 0,
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
        let waiting = this.remarks.len();
        let mut all = std::mem::take(&mut this.remarks);
        if lost != (0, 0) {
            all.push(Remark::Lost { frames: lost.0, bytes: lost.1 });
        }
        all.extend(remarks);
        let by_dialler = (edge == Side::Dialler) == (direction == Direction::From);
        let mut record = Record { at, conn, ends, edge, by_dialler, offset, ack, window, kind, remarks: all, pins: 0 };
        let (frames, bytes) = record.size();
        let of_read = record.bytes().is_some_and(|bytes| self.place_in_read(bytes).is_some());
        record.pins = match self.read {
            (_, true) if of_read => 0,
            (ref read, false) if of_read => read.len(),
            _ => usize::try_from(bytes).unwrap_or(usize::MAX),
        };
        let refused = self.queue.put(record);
        self.read.1 |= of_read && refused.is_none();
        let this = self.edge(edge);
        let pipe = this.pipe(direction);
        pipe.offset = pipe.offset.saturating_add(bytes);
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
        for item in self.items.iter_mut().rev() {
            match item {
                Item::Frame { edge, direction: Direction::From, remark, .. }
                | Item::Closed { edge, direction: Direction::From, remark, .. }
                    if *edge == of =>
                {
                    *remark = Some(why);
                    return;
                }
                // Those of a stretch go on as they came.
                Item::Stretch { edge, direction: Direction::From, .. } if *edge == of => return,
                Item::Frame { .. }
                | Item::Stretch { .. }
                | Item::Closed { .. }
                | Item::Lost { .. }
                | Item::Remark { .. } => {}
            }
        }
    }

    /// Where bytes are in what was read in this turn, if they are a part of it.
    fn place_in_read(&self, bytes: &[u8]) -> Option<Range<usize>> {
        let (read, _) = &self.read;
        let start = (bytes.as_ptr() as usize).checked_sub(read.as_ptr() as usize)?;
        let end = start.checked_add(bytes.len())?;
        (end <= read.len()).then_some(start..end)
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

const fn across(direction: Direction) -> Direction {
    match direction {
        Direction::From => Direction::To,
        Direction::To => Direction::From,
    }
}
