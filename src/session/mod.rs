//! State of one connection as seen at one edge: roles, what was agreed on, streams, outstanding requests, flow control,
//! no-ops. Fed with journal entries, sans-IO; whoever acts or judges asks it what a frame is in context.
//!
//! Everything is bounded, whatever the peers do. What crossed the edge counts, whoever originated it: a STREAM_END that
//! the tool forges ends the stream at the consumer's edge, and leaves it open at the producer's.

mod agreed;
mod context;
mod flow;
mod noop;
mod open;
mod outstanding;
#[cfg(test)]
pub(crate) mod script;
mod snapshot;
mod stream;
mod streams;
#[cfg(test)]
mod tests;

pub use agreed::Control;
pub use agreed::Controls;
pub use agreed::Features;
pub use context::Before;
pub use context::Context;
pub use context::Orphan;
pub use context::OrphanOf;
pub use context::StreamContext;
pub use flow::Flow;
pub use noop::Noop;
pub use open::Open;
pub use outstanding::Asked;
pub use outstanding::Outstanding;
pub use snapshot::Counts;
pub use snapshot::Snapshot;
pub use snapshot::SnapshotKind;
pub use stream::Close;
pub use stream::End;
pub use stream::Request;
pub use stream::State;
pub use stream::Stream;
pub use stream::StreamKey;
pub use streams::Gone;
pub use streams::Owner;
pub use streams::Streams;

use crate::dcp;
use crate::dcp::FrameHead;
use crate::dcp::Message;
use crate::dcp::Negotiated;
use crate::dcp::StreamReqResponse;
use crate::journal::Direction;
use crate::journal::Entry;
use crate::journal::Role;
use crate::journal::Side;
use crate::journal::What;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// Bytes of a VERSION answer or a connection name that are worth keeping.
const MAX_TEXT: usize = 1_024;
/// Entries of a failover log that are kept; kv_engine has at most 25.
const MAX_FAILOVER_LOG: usize = 64;

/// What is known of a connection at one edge.
#[derive(Clone, Debug)]
pub struct Session {
    edge: Side,
    open: Option<Open>,
    opening: Vec<(u64, Open)>,
    features: Features,
    controls: Controls,
    negotiated: Negotiated,
    v7: bool,
    version: Option<String>,
    streams: Streams,
    generation: u64,
    outstanding: Outstanding,
    flow: Flow,
    noop: Noop,
    frames: [u64; 2],
    lost: bool,
    gap: bool,
    context: Context,
}

impl Session {
    /// A connection of which nothing was seen yet, at the edge of `edge`.
    pub fn new(edge: Side) -> Self {
        Self {
            edge,
            open: None,
            opening: Vec::new(),
            features: Features::default(),
            controls: Controls::default(),
            negotiated: Negotiated::default(),
            v7: false,
            version: None,
            streams: Streams::default(),
            generation: 0,
            outstanding: Outstanding::default(),
            flow: Flow::default(),
            noop: Noop::default(),
            frames: [0; 2],
            lost: false,
            gap: false,
            context: Context::default(),
        }
    }

    /// Takes in an entry of this edge and tells what it is in context. Entries of the other edge are passed over.
    pub fn observe(&mut self, entry: &Entry) -> Context {
        self.context = Context::default();
        if entry.edge != self.edge {
            return self.context;
        }
        match &entry.what {
            What::Frame(head) => self.frame(entry, head),
            What::FramingLost(_) => self.lost = true,
            What::Gap(_) => self.gap = true,
            What::Closed { .. } | What::Paused(_) | What::Acted(_) => {}
        }
        self.context
    }

    /// What the last entry observed is in context.
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// At whose edge this is.
    pub const fn edge(&self) -> Side {
        self.edge
    }

    /// The side that sends mutations; `None` before DCP_OPEN, provisional till its answer.
    pub fn producer(&self) -> Option<Side> {
        self.open_or_opening().map(Open::producer)
    }

    /// What the end at `side` is; `None` before DCP_OPEN.
    pub fn role(&self, side: Side) -> Option<Role> {
        self.producer().map(|producer| if producer == side { Role::Producer } else { Role::Consumer })
    }

    /// The DCP_OPEN that was accepted, or the first that awaits its answer.
    pub fn open(&self) -> Option<&Open> {
        self.open_or_opening()
    }

    /// The features of the last HELLO.
    pub const fn features(&self) -> &Features {
        &self.features
    }

    /// The controls that were asked for, refused ones among them.
    pub const fn controls(&self) -> &Controls {
        &self.controls
    }

    /// What became of the control `key`; `None` where it was never asked for.
    pub fn control(&self, key: &str) -> Option<Control<'_>> {
        self.controls.control(key)
    }

    /// What the two ends have agreed on, as far as it changes how frames are read.
    pub const fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    /// Whether `v7_dcp_status_codes` was accepted.
    pub const fn v7(&self) -> bool {
        self.v7
    }

    /// The text of the last VERSION answer.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The streams.
    pub const fn streams(&self) -> &Streams {
        &self.streams
    }

    /// The stream of `key`.
    pub fn stream(&self, key: StreamKey) -> Option<&Stream> {
        self.streams.at(key)
    }

    /// The requests that await an answer.
    pub const fn outstanding(&self) -> &Outstanding {
        &self.outstanding
    }

    /// The producer's flow-control window.
    pub const fn flow(&self) -> &Flow {
        &self.flow
    }

    /// The producer's no-ops.
    pub const fn noop(&self) -> &Noop {
        &self.noop
    }

    /// Frames that crossed this edge in `direction`.
    pub const fn frames(&self, direction: Direction) -> u64 {
        match direction {
            Direction::From => self.frames[0],
            Direction::To => self.frames[1],
        }
    }

    /// Whether the framing of a direction was lost: from there on what it says is not seen.
    pub const fn framing_lost(&self) -> bool {
        self.lost
    }

    /// Whether bytes were missing: frames may have crossed that were not seen, so counts are too low.
    pub const fn gap(&self) -> bool {
        self.gap
    }

    /// Whether all that crossed this edge was seen and could be kept track of.
    pub const fn is_reliable(&self) -> bool {
        !self.lost && !self.gap && !self.streams.overflowed() && !self.outstanding.overflowed()
    }

    fn open_or_opening(&self) -> Option<&Open> {
        self.open.as_ref().or_else(|| self.opening.first().map(|(_, open)| open))
    }

    fn frame(&mut self, entry: &Entry, head: &FrameHead) {
        let count = match entry.direction {
            Direction::From => &mut self.frames[0],
            Direction::To => &mut self.frames[1],
        };
        *count = count.saturating_add(1);
        let header = &head.header;
        self.context.sender = self.role(entry.sender());
        if header.is_response() {
            self.response(entry, head, header.status().unwrap_or(Status::SUCCESS));
        } else if header.is_request() {
            if self.context.sender == Some(Role::Producer) {
                self.produced(entry, head);
            } else {
                self.request(entry, head);
            }
        }
    }

    /// A request of the producer: what streams are made of, and its no-ops.
    fn produced(&mut self, entry: &Entry, head: &FrameHead) {
        let header = &head.header;
        let charge = dcp::charge(header);
        if charge > 0 {
            self.context.charge = charge;
            self.flow.charge(charge);
        }
        if !dcp::is_stream_message(header.opcode) {
            if header.opcode == Opcode::DCP_NOOP {
                self.noop.sent(header.opaque, entry.at);
            }
            return self.request(entry, head);
        }
        let mut key = StreamKey { vbucket: header.vbucket_or_status, stream_id: head.stream_id };
        if self.negotiated.stream_id && key.stream_id.is_none() {
            key = self.streams.without_id(key.vbucket, header.opaque).unwrap_or(key);
        }
        let Some(stream) = self.streams.of_mut(key, header.opaque) else {
            let owner = self.streams.owner(key, header.opaque);
            self.context.stream = Some(StreamContext { key, owner, older: None, before: None });
            self.ask(entry, head, None);
            return;
        };
        let owner = if stream.state == State::Requested { Owner::Requested } else { Owner::Current(stream.state) };
        self.context.stream = Some(StreamContext { key, owner, older: None, before: Some(stream.before()) });
        let named = (key, stream.generation);
        if self.gap && stream.state == State::Requested {
            stream.opened(Vec::new());
        }
        stream.take(entry, head, charge);
        self.ask(entry, head, Some(named));
    }

    /// Any other request, and all before DCP_OPEN.
    fn request(&mut self, entry: &Entry, head: &FrameHead) {
        let header = &head.header;
        let to = self.role(entry.sender().other());
        let key = StreamKey { vbucket: header.vbucket_or_status, stream_id: head.stream_id };
        let named = match &head.message {
            Ok(Message::StreamReq(request)) => {
                let key = StreamKey { stream_id: request.value.as_deref().and_then(|value| value.sid), ..key };
                self.generation = self.generation.saturating_add(1);
                let stream = Stream::new(key, header.opaque, self.generation, Request::new(entry, request));
                self.context.stream = Some(self.stream_context(key, &stream));
                self.streams.request(stream);
                Some((key, self.generation))
            }
            Ok(Message::CloseStream(_)) => {
                let before = self.streams.closable(key).map(|stream| (stream.opaque, stream.before()));
                let owner = before.map_or(Owner::Unknown, |(_, before)| Owner::Current(before.state));
                self.context.stream =
                    Some(StreamContext { key, owner, older: None, before: before.map(|(_, before)| before) });
                let close =
                    Close { to: to.unwrap_or(Role::Producer), origin: entry.origin, at: entry.at, answered: None };
                self.streams.closable(key).map(|stream| {
                    stream.close_sent(close);
                    (key, stream.generation)
                })
            }
            Ok(Message::SeqnoAck(_)) => {
                let owner = self.streams.owner(key, header.opaque);
                let before = self.streams.of(key, header.opaque).map(Stream::before);
                self.context.stream = Some(StreamContext { key, owner, older: None, before });
                None
            }
            Ok(Message::BufferAck(ack)) if self.context.sender == Some(Role::Consumer) => {
                self.flow.ack(ack.bytes_to_ack, entry.at);
                None
            }
            _ => None,
        };
        let Some(serial) = self.ask(entry, head, named) else { return };
        match &head.message {
            Ok(Message::Open(open)) if self.opening.len() < 16 => {
                let mut name = open.name.clone();
                truncate(&mut name);
                let consumer_name = open.consumer_name.clone();
                let (by, flags) = (entry.sender(), open.flags);
                self.opening.push((serial, Open { by, name, flags, consumer_name, accepted: false }));
                self.context.sender = self.role(entry.sender());
                self.agree();
            }
            Ok(Message::Control(control)) => self.controls.ask(serial, &control.key, &control.value),
            Ok(Message::Hello(hello)) => {
                self.features.asked_for(hello.features.iter().copied());
                self.agree();
            }
            _ => {}
        }
    }

    fn ask(&mut self, entry: &Entry, head: &FrameHead, stream: Option<(StreamKey, u64)>) -> Option<u64> {
        let header = &head.header;
        head.expects_answer().then(|| {
            self.outstanding.ask(Asked {
                by: entry.sender(),
                origin: entry.origin,
                opcode: header.opcode,
                opaque: header.opaque,
                at: entry.at,
                stream,
                serial: 0,
            })
        })
    }

    fn response(&mut self, entry: &Entry, head: &FrameHead, status: Status) {
        let header = &head.header;
        let receiver = entry.sender().other();
        // STAT alone has many answers; the last has no key.
        let more = header.opcode == Opcode::STAT && status == Status::SUCCESS && header.key_len > 0;
        let answers = if more {
            self.outstanding.find(receiver, header.opcode, header.opaque).copied()
        } else {
            self.outstanding.answer(receiver, header.opcode, header.opaque)
        };
        self.context.answers = answers;
        self.context.unasked = answers.is_none();
        if let Some(asked) = answers {
            self.answered(entry, head, status, asked);
        }
        if self.role(receiver) == Some(Role::Producer) {
            self.orphan(entry, head, status);
        }
    }

    fn answered(&mut self, entry: &Entry, head: &FrameHead, status: Status, asked: Asked) {
        let success = status == Status::SUCCESS;
        if let Some((key, generation)) = asked.stream {
            let owner = self.streams.owner(key, asked.opaque);
            let stream = self.streams.generation_mut(key, generation);
            let before = stream.map(|stream| stream.before());
            let older = self.streams.at(key).filter(|older| older.generation != generation).map(|older| older.state);
            self.context.stream = Some(StreamContext { key, owner, older, before });
        }
        match asked.opcode {
            Opcode::DCP_OPEN => {
                let Some(at) = self.opening.iter().position(|(serial, _)| *serial == asked.serial) else { return };
                let (_, open) = self.opening.remove(at);
                if success {
                    self.open = Some(Open { accepted: true, ..open });
                }
                self.agree();
            }
            Opcode::DCP_CONTROL => {
                let accepted = self.controls.answered(asked.serial, status);
                if let Some(("connection_buffer_size", value)) = accepted
                    && let Ok(window) = value.parse()
                {
                    self.flow.set_window(window);
                }
                self.agree();
            }
            Opcode::HELLO => {
                if let Ok(Message::HelloResponse(response)) = &head.message {
                    self.features.granted(response.features.iter().copied());
                }
                self.agree();
            }
            Opcode::VERSION => {
                if let Ok(Message::VersionResponse(response)) = &head.message {
                    let mut text = response.version.clone();
                    truncate(&mut text);
                    self.version = Some(text);
                }
            }
            Opcode::DCP_STREAM_REQ => {
                let Some((key, generation)) = asked.stream else { return };
                self.streams.answered(key, generation, |stream| match &head.message {
                    Ok(Message::StreamReqResponse(StreamReqResponse::FailoverLog(log))) => {
                        stream.opened(log.iter().take(MAX_FAILOVER_LOG).copied().collect());
                    }
                    Ok(Message::StreamReqResponse(StreamReqResponse::Rollback { rollback_seqno })) => {
                        stream.state = State::RolledBack(Some(*rollback_seqno));
                    }
                    _ if success => stream.opened(Vec::new()),
                    _ if status == Status::ROLLBACK => stream.state = State::RolledBack(None),
                    _ => stream.state = State::Refused(status),
                });
            }
            Opcode::DCP_CLOSE_STREAM => {
                let Some((key, generation)) = asked.stream else { return };
                if let Some(stream) = self.streams.generation_mut(key, generation) {
                    stream.close_answered(status, entry.at);
                }
            }
            _ => {}
        }
    }

    /// A response to the producer: an answer it awaits, or an orphan.
    fn orphan(&mut self, entry: &Entry, head: &FrameHead, status: Status) {
        let header = &head.header;
        let of_stream = dcp::is_stream_message(header.opcode);
        if header.opcode == Opcode::DCP_NOOP {
            self.noop.answered(header.opaque, entry.at);
        }
        if !self.context.unasked && (!of_stream || status == Status::SUCCESS) {
            return;
        }
        if !of_stream {
            self.context.orphan = Some(Orphan { status, to: OrphanOf::Connection, stream: None });
            return;
        }
        let (to, stream) = self.trace(header.opaque);
        if self.context.stream.is_none()
            && let Some(key) = stream
        {
            let before = self.streams.of(key, header.opaque).map(Stream::before);
            let owner = self.streams.owner(key, header.opaque);
            self.context.stream = Some(StreamContext { key, owner, older: None, before });
        }
        self.context.orphan = Some(Orphan { status, to, stream });
    }

    /// Whose an opaque is, when there is no vbucket to tell.
    fn trace(&self, opaque: Opaque) -> (OrphanOf, Option<StreamKey>) {
        let mut found: Option<(OrphanOf, Option<StreamKey>)> = None;
        for stream in self.streams.with_opaque(opaque) {
            let to = match stream.state {
                State::Open => OrphanOf::Live,
                State::Closing | State::Closed => OrphanOf::Closing,
                State::Requested => OrphanOf::Unknown,
                State::Ended(_) | State::RolledBack(_) | State::Refused(_) => OrphanOf::Gone,
            };
            found = Some(match found {
                Some((best, _)) if rank(best) < rank(to) => continue,
                Some((best, _)) if rank(best) == rank(to) => (best, None),
                _ => (to, Some(stream.key)),
            });
        }
        found
            .filter(|(to, _)| *to != OrphanOf::Unknown)
            .or_else(|| {
                let gone = self.streams.gone().rev().find(|gone| gone.opaque == opaque)?;
                Some((OrphanOf::Gone, Some(gone.key)))
            })
            .unwrap_or((OrphanOf::Unknown, None))
    }

    fn stream_context(&self, key: StreamKey, requested: &Stream) -> StreamContext {
        match self.streams.at(key) {
            Some(old) => StreamContext {
                key,
                owner: if old.opaque == requested.opaque {
                    Owner::Current(old.state)
                } else {
                    Owner::OtherOpaque(old.state)
                },
                older: Some(old.state),
                before: Some(old.before()),
            },
            None => StreamContext { key, owner: Owner::Unknown, older: None, before: None },
        }
    }

    fn agree(&mut self) {
        let flags = self.open_or_opening().map_or(0, |open| open.flags);
        self.negotiated = agreed::negotiated(&self.features, &self.controls, flags);
        self.v7 = self.controls.is_true("v7_dcp_status_codes");
    }
}

const fn rank(to: OrphanOf) -> u8 {
    match to {
        OrphanOf::Live => 0,
        OrphanOf::Closing => 1,
        OrphanOf::Gone => 2,
        OrphanOf::Unknown | OrphanOf::Connection => 3,
    }
}

fn truncate(text: &mut String) {
    let end = (0..=MAX_TEXT.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text.truncate(end);
}
