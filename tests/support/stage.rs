//! A consumer, the tool with a plan, and a producer, told frame by frame; time passes only when it is told to.
//!
//! ```text
//! stage.p(mutation(0, 17, 3));                        // the producer says something
//! assert_eq!(stage.at_consumer(), ["..."]);           // what the consumer got since it was last asked
//! assert_eq!(stage.at_producer(), ["..."]);           // what the producer got
//! ```
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use dcproxy::Timestamp;
use dcproxy::dcp;
use dcproxy::dcp::{Negotiated, SystemEventBody};
use dcproxy::engine::{Engine, Observer, Output};
use dcproxy::era::Era;
use dcproxy::journal::{Act, Entry, How, Origin, Side, What};
use dcproxy::report::Report;
use dcproxy::scenario::judge::Judge;
use dcproxy::scenario::{Course, MESSAGES, Plan, Runner, Scenario};
use dcproxy::session::{Context, Session};
use dcproxy::wire::{Frame, FrameBuilder, Header, Opaque, Opcode, Status};

/// The consumer dials, the producer is dialled.
pub const CONSUMER: Side = Side::Dialler;
pub const PRODUCER: Side = Side::Upstream;

/// All entries, in order, and the judge who saw them too.
#[derive(Debug)]
pub struct Witness {
    pub log: Vec<Entry>,
    pub judge: Judge,
}

impl Observer for Witness {
    fn observe(&mut self, entry: &Entry, context: &Context, session: &Session) {
        self.log.push(entry.clone());
        self.judge.observe(entry, context, session);
    }
}

/// The stage of one connection.
#[derive(Debug)]
pub struct Stage {
    pub engine: Engine<Witness>,
    pub now: Timestamp,
    alarm: Option<Timestamp>,
    to: [Vec<u8>; 2],
    closes: Vec<(Side, How)>,
    acts_told: usize,
    /// Bytes are read in chunks of this size; 0 for whole frames.
    pub chunk: usize,
}

/// A plan for the built-in scenario `name`.
pub fn plan(name: &str, era: Option<Era>) -> Plan {
    Plan {
        scenarios: vec![Scenario::named(name).expect("a built-in scenario")],
        messages: MESSAGES.into_iter().collect(),
        era,
        settle: Duration::from_secs(2),
        fatal_too: false,
        seed: 0,
    }
}

/// As [`plan`], for these messages alone.
pub fn plan_for(name: &str, era: Era, messages: impl IntoIterator<Item = Opcode>) -> Plan {
    Plan { messages: messages.into_iter().collect::<BTreeSet<_>>(), ..plan(name, Some(era)) }
}

impl Stage {
    pub fn new(plan: Plan) -> Self {
        let terms = plan.terms(dcproxy::verdict::Judge::Producer);
        let witness = Witness { log: Vec::new(), judge: Judge::new(terms, 1, "consumer:1", "producer:2") };
        Self {
            engine: Engine::new(Some(Box::new(Runner::new(plan, 1))), witness, 7),
            now: at(0),
            alarm: None,
            to: [Vec::new(), Vec::new()],
            closes: Vec::new(),
            acts_told: 0,
            chunk: 0,
        }
    }

    /// What is armed from now on, all of it.
    pub fn arm(&mut self, courses: &[Course]) {
        let (witness, sessions) = self.engine.observed();
        for course in courses {
            witness.judge.expect(&course.expected, sessions);
        }
        self.runner().wanted(courses.to_vec());
        self.engine.wakeup(self.now);
        self.drain();
    }

    pub fn runner(&mut self) -> &mut Runner {
        self.engine.stepper().and_then(|stepper| stepper.downcast_mut()).expect("a runner")
    }

    /// The connection is opened, the controls are accepted, and nobody looks at how.
    pub fn opened(plan: Plan, controls: &[(&str, &str)]) -> Self {
        let mut stage = Self::new(plan);
        stage.c(dcp::Hello { agent: "c".into(), features: vec![dcp::Feature::COLLECTIONS] }.request(op(1)));
        stage.p(dcp::HelloResponse { features: vec![dcp::Feature::COLLECTIONS] }.response(op(1)));
        stage.c(open(2));
        stage.p(ok(Opcode::DCP_OPEN, 2));
        for (n, (key, value)) in controls.iter().enumerate() {
            let opaque = 0x300 + u32::try_from(n).expect("a few");
            stage.c(dcp::Control { key: (*key).into(), value: (*value).into() }.request(op(opaque)));
            stage.p(ok(Opcode::DCP_CONTROL, opaque));
        }
        stage.forget();
        stage
    }

    /// The consumer has a stream.
    pub fn stream(&mut self, vbucket: u16, opaque: u32, start: u64) {
        self.c(stream_req(vbucket, opaque, start));
        self.p(stream_ok(opaque));
        self.forget();
    }

    /// The consumer says something.
    pub fn c(&mut self, frame: FrameBuilder) {
        self.feed(CONSUMER, frame.build());
    }

    /// The producer says something.
    pub fn p(&mut self, frame: FrameBuilder) {
        self.feed(PRODUCER, frame.build());
    }

    pub fn feed(&mut self, from: Side, mut bytes: Bytes) {
        let chunk = if self.chunk == 0 { bytes.len() } else { self.chunk };
        while !bytes.is_empty() {
            self.engine.feed(from, bytes.split_to(chunk.min(bytes.len())), self.now);
            self.drain();
        }
    }

    /// What the judge says, as a report.
    pub fn report(&mut self) -> Report {
        let (witness, sessions) = self.engine.observed();
        let judgement = witness.judge.judgement(sessions.at(PRODUCER));
        let mut report = Report::new(dcproxy::verdict::Judge::Producer);
        report.add_connection(judgement.connection);
        report
    }

    pub fn closed(&mut self, from: Side, how: How) {
        self.engine.closed(from, how, self.now);
        self.drain();
    }

    /// The user wants an end.
    pub fn settle(&mut self) {
        self.engine.settle(self.now);
        self.drain();
    }

    /// Time passes; the engine is woken when it asked for it.
    pub fn wait_ms(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        let mut woken = 0;
        while let Some(alarm) = self.alarm.filter(|alarm| *alarm <= until) {
            woken = if alarm <= self.now { woken + 1 } else { 0 };
            assert!(woken < 100, "it wants to be woken for ever, at {:?} ms", self.ms());
            self.now = self.now.max(alarm);
            self.alarm = None;
            self.engine.wakeup(self.now);
            self.drain();
        }
        self.now = until;
    }

    /// Time passes until the producer gets something, at most `ms`; says how long that was.
    pub fn wait_for_producer(&mut self, ms: u64) -> u64 {
        let begin = self.ms();
        while self.to[index(PRODUCER)].is_empty() && self.ms() < begin + ms {
            self.wait_ms(1);
        }
        self.ms() - begin
    }

    /// Milliseconds since the beginning.
    pub fn ms(&self) -> u64 {
        (self.now.0 - at(0).0) / 1_000_000
    }

    /// What the producer got since it was last asked.
    #[track_caller]
    pub fn at_producer(&mut self) -> Vec<String> {
        self.frames_at(PRODUCER).iter().map(|frame| say(frame)).collect()
    }

    /// What the consumer got since it was last asked.
    #[track_caller]
    pub fn at_consumer(&mut self) -> Vec<String> {
        self.frames_at(CONSUMER).iter().map(|frame| say(frame)).collect()
    }

    /// The frames that a side got since it was last asked.
    #[track_caller]
    pub fn frames_at(&mut self, side: Side) -> Vec<Bytes> {
        let bytes = std::mem::take(&mut self.to[index(side)]);
        frames(&bytes)
    }

    /// The bytes that a side got since it was last asked, frames or not.
    pub fn bytes_at(&mut self, side: Side) -> Vec<u8> {
        std::mem::take(&mut self.to[index(side)])
    }

    /// The closes since they were last asked for.
    pub fn closes(&mut self) -> Vec<(Side, How)> {
        std::mem::take(&mut self.closes)
    }

    /// What the tool has told the journal of its acts since it was last asked, but for the fate of single frames.
    pub fn acts(&mut self) -> Vec<Act> {
        let acts: Vec<Act> = self
            .journal()
            .iter()
            .filter_map(|entry| match &entry.what {
                What::Acted(Act::Swallowed | Act::Cut(_) | Act::Replaced) => None,
                What::Acted(act) => Some(act.clone()),
                What::Frame(_) | What::FramingLost(_) | What::Gap(_) | What::Paused(_) | What::Closed { .. } => None,
            })
            .collect();
        let new = acts[self.acts_told..].to_vec();
        self.acts_told = acts.len();
        new
    }

    pub fn journal(&mut self) -> &[Entry] {
        &self.engine.observed().0.log
    }

    /// Nobody looks at what the ends have got so far.
    pub fn forget(&mut self) {
        self.to = [Vec::new(), Vec::new()];
        self.acts();
    }

    /// The producer answers a request of the tool's that it has got: the oldest with that opcode.
    #[track_caller]
    pub fn answer(&mut self, opcode: Opcode, status: Status) {
        let request = self.request_of_tool(opcode);
        self.p(FrameBuilder::response(opcode, status).opaque(request.opaque));
    }

    /// The last request of the tool's with that opcode that the producer got.
    #[track_caller]
    pub fn request_of_tool(&mut self, opcode: Opcode) -> Header {
        let found = self.journal().iter().rev().find_map(|entry| match &entry.what {
            What::Frame(head)
                if entry.origin == Origin::Tool
                    && entry.edge == PRODUCER
                    && head.header.is_request()
                    && head.header.opcode == opcode =>
            {
                Some(head.header)
            }
            _ => None,
        });
        found.unwrap_or_else(|| panic!("the tool has asked no {opcode}"))
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Write { to, bytes } => {
                    assert!(!self.is_closed(to), "written to {to:?} after its close");
                    self.to[index(to)].extend_from_slice(&bytes);
                }
                Output::Close { side, how } => self.closes.push((side, how)),
                Output::Wait(at) => self.alarm = at,
            }
        }
    }

    fn is_closed(&self, side: Side) -> bool {
        self.closes.iter().any(|(closed, _)| *closed == side)
    }
}

const fn index(side: Side) -> usize {
    match side {
        Side::Dialler => 0,
        Side::Upstream => 1,
    }
}

/// A time, in milliseconds since the beginning.
pub fn at(ms: u64) -> Timestamp {
    Timestamp(1_000_000_000_000_000_000) + Duration::from_millis(ms)
}

/// The frames in bytes that hold nothing else.
#[track_caller]
pub fn frames(mut bytes: &[u8]) -> Vec<Bytes> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let header = Header::parse_slice(bytes).expect("a header");
        let len = usize::try_from(header.frame_len()).expect("a frame's length");
        let (frame, rest) = bytes.split_at_checked(len).expect("a whole frame");
        Frame::whole(frame).expect("a frame");
        all.push(Bytes::copy_from_slice(frame));
        bytes = rest;
    }
    all
}

/// What connections of these tests have agreed on.
pub const AGREED: Negotiated = Negotiated {
    collections: true,
    snappy: false,
    xattr: false,
    stream_id: false,
    flatbuffers: false,
    include_delete_times: false,
};

/// A frame in words: opcode, vbucket or status, opaque, and what it says but for documents.
pub fn say(bytes: &[u8]) -> String {
    let frame = Frame::whole(bytes).expect("a frame");
    let header = frame.header();
    let place = match header.status() {
        Some(status) => status.to_string(),
        None => format!("vb{}", header.vbucket_or_status),
    };
    let what = match dcp::decode(&frame, &AGREED) {
        Err(error) => format!(" MALFORMED {error}"),
        Ok(message) => match message.by_seqno() {
            Some(seqno) => format!(" seqno {seqno}"),
            None => {
                let members = message.members(&frame, &AGREED, false);
                let said: Vec<_> = members.iter().map(|(name, value)| format!(" {name}={value}")).collect();
                said.concat()
            }
        },
    };
    format!("{} {place} {}{what}", header.opcode, header.opaque)
}

pub const fn op(n: u32) -> Opaque {
    Opaque(n.to_be_bytes())
}

/// The `n`th opaque of the tool's own.
pub const fn tool(n: u16) -> Opaque {
    let [a, b] = n.to_be_bytes();
    Opaque([0xdc, 0x0d, a, b])
}

/// DCP_OPEN of a consumer.
pub fn open(opaque: u32) -> FrameBuilder {
    dcp::Open { name: "test".into(), seqno: 0, flags: dcp::Open::PRODUCER, consumer_name: None }.request(op(opaque))
}

/// An answer with Success.
pub fn ok(opcode: Opcode, opaque: u32) -> FrameBuilder {
    FrameBuilder::response(opcode, Status::SUCCESS).opaque(op(opaque))
}

/// A request for everything of a vbucket after `start`.
pub fn stream_req(vbucket: u16, opaque: u32, start: u64) -> FrameBuilder {
    dcp::StreamReq {
        flags: 0,
        reserved: 0,
        start_seqno: start,
        end_seqno: u64::MAX,
        vb_uuid: 7,
        snap_start_seqno: start,
        snap_end_seqno: start,
        value: None,
    }
    .request(vbucket, op(opaque))
}

/// The answer that opens a stream.
pub fn stream_ok(opaque: u32) -> FrameBuilder {
    stream_opened(op(opaque))
}

pub fn stream_opened(opaque: Opaque) -> FrameBuilder {
    let log = vec![dcp::FailoverEntry { vb_uuid: 0xabc, seqno: 3 }, dcp::FailoverEntry { vb_uuid: 7, seqno: 0 }];
    dcp::StreamReqResponse::FailoverLog(log).response(opaque)
}

pub fn marker(vbucket: u16, opaque: Opaque, start: u64, end: u64) -> FrameBuilder {
    dcp::SnapshotMarker {
        start_seqno: start,
        end_seqno: end,
        flags: dcp::SnapshotMarker::MEMORY,
        ..dcp::SnapshotMarker::default()
    }
    .request(vbucket, opaque)
}

pub fn mutation(vbucket: u16, opaque: Opaque, by_seqno: u64) -> FrameBuilder {
    let message = dcp::Mutation { by_seqno, rev_seqno: 1, ..dcp::Mutation::default() };
    document(message.request(vbucket, opaque), by_seqno).value("{\"a\":1}")
}

pub fn deletion(vbucket: u16, opaque: Opaque, by_seqno: u64) -> FrameBuilder {
    let message = dcp::Deletion { version: 1, by_seqno, rev_seqno: 2, nmeta: Some(0), ..dcp::Deletion::default() };
    document(message.request(vbucket, opaque), by_seqno)
}

pub fn expiration(vbucket: u16, opaque: Opaque, by_seqno: u64) -> FrameBuilder {
    document(dcp::Expiration { by_seqno, rev_seqno: 3, delete_time: 4 }.request(vbucket, opaque), by_seqno)
}

pub fn prepare(vbucket: u16, opaque: Opaque, by_seqno: u64) -> FrameBuilder {
    let message = dcp::Prepare { by_seqno, rev_seqno: 1, durability_level: 1, ..dcp::Prepare::default() };
    document(message.request(vbucket, opaque), by_seqno).value("{\"a\":1}")
}

pub fn commit(vbucket: u16, opaque: Opaque, commit_seqno: u64) -> FrameBuilder {
    let prepared_seqno = commit_seqno - 1;
    dcp::Commit { prepared_seqno, commit_seqno }.request(vbucket, opaque).key(key(prepared_seqno))
}

pub fn abort(vbucket: u16, opaque: Opaque, abort_seqno: u64) -> FrameBuilder {
    let prepared_seqno = abort_seqno - 1;
    dcp::Abort { prepared_seqno, abort_seqno }.request(vbucket, opaque).key(key(prepared_seqno))
}

pub fn system_event(vbucket: u16, opaque: Opaque, by_seqno: u64) -> FrameBuilder {
    let body = SystemEventBody::DroppedScope { manifest_uid: 9, scope_id: 8, system_scope: false };
    let event = dcp::SystemEvent::DROP_SCOPE;
    dcp::SystemEvent { by_seqno, event, version: 0, body }.request(b"", vbucket, opaque)
}

pub fn stream_end(vbucket: u16, opaque: Opaque, end_reason: u32) -> FrameBuilder {
    dcp::StreamEnd { end_reason }.request(vbucket, opaque)
}

pub fn buffer_ack(bytes_to_ack: u32) -> FrameBuilder {
    dcp::BufferAck { bytes_to_ack }.request(op(0))
}

/// The charge of a frame to the window.
pub fn charge(frame: &FrameBuilder) -> u32 {
    dcp::charge(&Header::parse_slice(&frame.build()).expect("a header"))
}

fn document(frame: FrameBuilder, by_seqno: u64) -> FrameBuilder {
    frame.key(key(by_seqno)).cas(by_seqno)
}

fn key(by_seqno: u64) -> String {
    format!("\0k{by_seqno}")
}
