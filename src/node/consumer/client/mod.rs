mod config;
mod handshake;
mod messages;
mod stream;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;

use self::stream::State;
use self::stream::Stream;
use super::Ledger;
use super::Output;
use super::acks::Acks;
use super::books::Books;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::BufferAck;
use crate::dcp::CloseStream;
use crate::dcp::Feature;
use crate::dcp::Negotiated;
use crate::node::Quirk;
use crate::node::auth::SignOn;
use crate::wire::Deframer;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::MAX_FRAME_LEN;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Piece;
use crate::wire::Status;

pub use self::config::ClientConfig;
pub use self::config::End;

/// How far a client has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// Features, login, bucket, DCP_OPEN, controls.
    SettingUp,
    /// It asks for streams and takes in what they bring.
    Streaming,
    /// Every stream has ended, or enough items came: the connection is closed.
    Done,
    /// It could not be set up, framing was lost, or the producer closed the connection before it was done.
    Failed,
}

/// Something that a producer must not do, or that kept the client from its work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// When.
    pub at: Timestamp,
    /// In which vbucket, if in one.
    pub vbucket: Option<u16>,
    /// What was expected and what was found.
    pub what: String,
}

/// A DCP client that dials a producer, as this project's own consumer: it asks for streams, takes in what they bring,
/// gives back what it is charged, goes on after every interruption from where it was, and keeps a [`Ledger`].
///
/// It believes nothing: whatever a producer must not do is noted as a [`Violation`], and it goes on as well as it can.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    deframer: Deframer,
    out: VecDeque<Output>,
    waiting_for: Option<Timestamp>,
    phase: Phase,
    acks: Books,
    next_opaque: u32,
    requests: BTreeMap<Opaque, Request>,
    features: BTreeSet<u16>,
    controls: BTreeMap<String, bool>,
    streams: BTreeMap<u16, Stream>,
    ledger: Ledger,
    violations: Vec<Violation>,
    violation_count: u64,
    noops: u64,
    /// STREAM_ENDs that came.
    ends: usize,
    login: Option<SignOn>,
}

/// A request of the client's that awaits its answer.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Request {
    Hello,
    Login(Opcode),
    SelectBucket,
    Open,
    Control(String),
    FailoverLog(u16),
    Stream(u16),
    Close(u16),
}

/// Violations that are kept; of the others only their number is.
const VIOLATIONS_KEPT: usize = 256;

impl Client {
    /// A client that has just connected: it says HELLO.
    pub fn new(config: ClientConfig, now: Timestamp) -> Self {
        Self::resume(config, Ledger::default(), now)
    }

    /// A client that goes on from what another connection has brought.
    pub fn resume(config: ClientConfig, ledger: Ledger, now: Timestamp) -> Self {
        let mut client = Self {
            deframer: Deframer::new(MAX_FRAME_LEN),
            out: VecDeque::new(),
            waiting_for: None,
            phase: Phase::SettingUp,
            acks: Books::new(Acks::new(config.window, config.ack_percent, now), &config.quirks),
            next_opaque: 1,
            requests: BTreeMap::new(),
            features: BTreeSet::new(),
            controls: BTreeMap::new(),
            streams: BTreeMap::new(),
            ledger,
            violations: Vec::new(),
            violation_count: 0,
            noops: 0,
            ends: 0,
            login: None,
            config,
        };
        client.hello();
        client
    }

    /// Bytes from the producer.
    pub fn feed(&mut self, mut bytes: &[u8], now: Timestamp) {
        let mut deframer = std::mem::replace(&mut self.deframer, Deframer::new(MAX_FRAME_LEN));
        while !self.is_over()
            && let Some(piece) = deframer.next(&mut bytes)
        {
            match piece {
                Piece::Frame(frame) => self.frame(&frame, now),
                Piece::Value { .. } => {}
                Piece::Raw { error, .. } => self.fail(now, &error.to_string()),
            }
        }
        self.deframer = deframer;
        self.settle(now);
    }

    /// The producer will send no more.
    pub fn closed(&mut self, now: Timestamp) {
        if !self.deframer.at_boundary() {
            let partial = self.deframer.partial().len();
            self.violation(now, None, format!("expected the end between two frames, found {partial} bytes of one"));
        }
        if !self.is_over() {
            self.fail(now, "expected the connection to stay, found it closed");
        }
    }

    /// The time asked for by [`Output::Wait`] has come.
    pub fn wakeup(&mut self, now: Timestamp) {
        let due: Vec<u16> = self
            .streams
            .iter()
            .filter(|(_, stream)| matches!(stream.state, State::Later(at) if at <= now))
            .map(|(&vbucket, _)| vbucket)
            .collect();
        for vbucket in due {
            self.request_stream(vbucket, now);
        }
        self.settle(now);
    }

    /// What is to be done next; `None` once there is nothing more.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Closes the connection, as when enough has come.
    pub fn stop(&mut self) {
        if !self.is_over() {
            self.phase = Phase::Done;
            self.out.push_back(Output::Close);
        }
    }

    /// Asks the producer to close a vbucket's stream, which is not asked for again.
    pub fn close_stream(&mut self, vbucket: u16) {
        let Some(stream) = self.streams.get_mut(&vbucket).filter(|stream| stream.state == State::Open) else { return };
        stream.state = State::Closing;
        let stream_id = self.stream_id(vbucket);
        let opaque = self.ask(Request::Close(vbucket));
        self.write(&CloseStream.request(vbucket, opaque).stream_id(stream_id));
    }

    /// Gives back every byte that is due, without waiting for the share of the window or the five seconds.
    pub fn acknowledge_all(&mut self, now: Timestamp) {
        if let Some(bytes) = self.acks.all(now) {
            self.give_back(bytes);
        }
    }

    /// How far it has come.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether the connection is closed, or to be closed.
    pub const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::Failed)
    }

    /// What it has received.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Ends the client and keeps what it has received, for [`Client::resume`].
    pub fn into_ledger(self) -> Ledger {
        self.ledger
    }

    /// What the producer must not have done, or what kept the client from its work: the first 256.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How many violations there were.
    pub const fn violation_count(&self) -> u64 {
        self.violation_count
    }

    /// Whether the vbucket's stream is open.
    pub fn is_streaming(&self, vbucket: u16) -> bool {
        self.streams.get(&vbucket).is_some_and(|stream| stream.state == State::Open)
    }

    /// What the producer answered to a control: accepted or refused; `None` before it did.
    pub fn accepted(&self, control: &str) -> Option<bool> {
        self.controls.get(control).copied()
    }

    /// Bytes that were received and not given back yet.
    pub const fn unacked(&self) -> u32 {
        self.acks.unacked()
    }

    /// How many no-ops the producer has sent.
    pub const fn noops(&self) -> u64 {
        self.noops
    }

    /// What was agreed on, as far as it changes how frames are read.
    pub fn negotiated(&self) -> Negotiated {
        let accepted = |control| self.accepted(control) == Some(true);
        Negotiated {
            collections: self.features.contains(&Feature::COLLECTIONS),
            snappy: self.features.contains(&Feature::SNAPPY),
            xattr: self.features.contains(&Feature::XATTR),
            stream_id: accepted("enable_stream_id"),
            flatbuffers: accepted("flatbuffers_system_events"),
            include_delete_times: self.config.delete_times,
        }
    }

    /// The id of a vbucket's stream, where ids were agreed on.
    fn stream_id(&self, vbucket: u16) -> Option<u16> {
        self.config.stream_id(vbucket).filter(|_| self.negotiated().stream_id)
    }

    fn has(&self, quirk: Quirk) -> bool {
        self.config.quirks.contains(&quirk)
    }

    fn sync_writes(&self) -> bool {
        let control = self.config.era.sync_writes_control().unwrap_or("enable_sync_writes");
        self.accepted(control) == Some(true)
    }

    fn frame(&mut self, frame: &Frame<'_>, now: Timestamp) {
        let header = *frame.header();
        if header.is_response() {
            self.response(frame, now);
        } else if header.is_request() {
            let charge = dcp::charge(&header);
            if charge > 0 && self.acks.is_full() {
                let unacked = self.acks.unacked();
                let window = self.config.window;
                self.violation(
                    now,
                    header.vbucket(),
                    format!("expected nothing once {window} bytes are out, found {} at {unacked}", header.opcode),
                );
            }
            let refused = !self.request(frame, now);
            if let Some(bytes) = self.acks.came(&header, refused, now) {
                self.give_back(bytes);
            }
        }
    }

    /// After every change: whether all is done, and what is waited for.
    fn settle(&mut self, now: Timestamp) {
        let enough = self.config.max_items.is_some_and(|max| self.ledger.items() >= max);
        let ended = self.phase == Phase::Streaming && self.streams.values().all(|s| s.state == State::Ended);
        if enough || ended {
            self.stop();
        }
        if self.is_over() {
            return;
        }
        if self.acks.deadline().is_some_and(|deadline| deadline <= now)
            && let Some(bytes) = self.acks.due(now)
        {
            self.give_back(bytes);
        }
        let later = self.streams.values().filter_map(|stream| match stream.state {
            State::Later(at) => Some(at),
            State::AwaitingLog | State::Requested | State::Open | State::Closing | State::Forgotten | State::Ended => {
                None
            }
        });
        let until = later.chain(self.acks.deadline()).min();
        if self.waiting_for != until {
            self.waiting_for = until;
            self.out.push_back(Output::Wait(until));
        }
    }

    fn fail(&mut self, now: Timestamp, what: &str) {
        self.violation(now, None, what.to_owned());
        if !self.is_over() {
            self.phase = Phase::Failed;
            self.out.push_back(Output::Close);
        }
    }

    fn violation(&mut self, at: Timestamp, vbucket: Option<u16>, what: String) {
        self.violation_count = self.violation_count.saturating_add(1);
        if self.violations.len() < VIOLATIONS_KEPT {
            self.violations.push(Violation { at, vbucket, what });
        }
    }

    fn give_back(&mut self, bytes: u32) {
        let opaque = self.opaque();
        self.write(&BufferAck { bytes_to_ack: bytes }.request(opaque));
    }

    const fn opaque(&mut self) -> Opaque {
        let opaque = Opaque(self.next_opaque.to_be_bytes());
        self.next_opaque = self.next_opaque.wrapping_add(1);
        opaque
    }

    fn ask(&mut self, request: Request) -> Opaque {
        let opaque = self.opaque();
        self.requests.insert(opaque, request);
        opaque
    }

    fn respond(&mut self, opcode: Opcode, status: Status, opaque: Opaque) {
        self.write(&dcp::response(opcode, status, opaque));
    }

    fn write(&mut self, frame: &FrameBuilder) {
        if !self.is_over() {
            self.out.push_back(Output::Write(frame.build()));
        }
    }
}
