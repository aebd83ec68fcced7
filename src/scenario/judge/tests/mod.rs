//! The judge, put to journals that are written by hand.

mod closed;
mod evidence;
mod kept;
mod resumes;
mod undisturbed;
mod window;

use std::collections::BTreeSet;
use std::time::Duration;

use super::Judge;
use super::Judgement;
use super::Source;
use super::Terms;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::Feature;
use crate::dcp::FrameHead;
use crate::dcp::Message;
use crate::dcp::Open;
use crate::engine::Observer;
use crate::era::Era;
use crate::journal::Act;
use crate::journal::Direction;
use crate::journal::Entry;
use crate::journal::How;
use crate::journal::Origin;
use crate::journal::Side;
use crate::journal::What;
use crate::session::Context;
use crate::session::Session;
pub(super) use crate::session::script::*;
pub(super) use crate::verdict::Judge as Whose;
pub(super) use crate::verdict::Verdict;
use crate::verdict::Verdict::Fail;
use crate::verdict::Verdict::Inconclusive;
use crate::verdict::Verdict::Pass;
use crate::wire::Opcode;
use crate::wire::Status;

/// Both vbuckets' streams are open with this opaque times the vbucket.
const OPAQUE: u32 = 10;
const WINDOW: &str = "10000";

/// A connection, told entry by entry to a session and to the judge that is put to the test.
pub(super) struct Stage {
    pub(super) session: Session,
    pub(super) judge: Judge,
    now: u64,
    noops: u32,
}

pub(super) fn acting() -> Terms {
    Terms {
        expected: Vec::new(),
        era: Some(Era::V7_0),
        messages: BTreeSet::from([Opcode::DCP_MUTATION]),
        settle: Duration::from_secs(2),
        judge: Whose::Producer,
        source: Source::Acting { makes_orphans: true, fatal_too: false },
    }
}

impl Stage {
    /// A connection of which nothing was said.
    pub(super) fn blank(terms: Terms) -> Self {
        let judge = Judge::new(terms, 1, "consumer", "producer");
        Self { session: Session::new(Side::Upstream), judge, now: 1_000_000_000, noops: 0x7000 }
    }

    /// A producer connection with collections and these controls.
    pub(super) fn with(terms: Terms, flags: u32, controls: &[(&str, &str)]) -> Self {
        let mut stage = Self::blank(terms);
        let features = vec![Feature::COLLECTIONS];
        let hello = dcp::Hello { agent: "test".to_owned(), features: features.clone() };
        stage.told(request(Opcode::HELLO, 0, 1, Message::Hello(hello)));
        let granted = Message::HelloResponse(dcp::HelloResponse { features });
        stage.said(response(Opcode::HELLO, Status::SUCCESS, 1, granted));
        stage.told(open(2, flags, None));
        stage.said(plain(Opcode::DCP_OPEN, Status::SUCCESS, 2));
        for (key, value) in controls {
            stage.told(control(3, key, value));
            stage.said(plain(Opcode::DCP_CONTROL, Status::SUCCESS, 3));
        }
        stage
    }

    /// Streams 1 and 2 are open and inside snapshots up to seqno 20, at seqno 2 and 1.
    pub(super) fn flowing(terms: Terms) -> Self {
        let controls = [("send_stream_end_on_client_close_stream", "true"), ("connection_buffer_size", WINDOW)];
        let mut stage = Self::with(terms, Open::PRODUCER, &controls);
        for vbucket in [1, 2] {
            let opaque = OPAQUE * u32::from(vbucket);
            stage.told(stream_req(vbucket, opaque, 0));
            stage.said(stream_ok(opaque));
            stage.said(marker(vbucket, opaque, 0, 20));
            stage.said(mutation(vbucket, opaque, 1));
        }
        stage.said(mutation(1, OPAQUE, 2));
        stage
    }

    /// Stream 1 is cut at its second mutation, which is answered, and proven.
    pub(super) fn cut(terms: Terms) -> Self {
        let mut stage = Self::flowing(terms);
        stage.fire(true);
        stage.orphan(Opcode::DCP_MUTATION, Status::KEY_ENOENT);
        stage.prove();
        stage
    }

    /// All went well: cut, answered, closed, requested again, settled.
    pub(super) fn handled(terms: Terms) -> Self {
        let mut stage = Self::cut(terms);
        stage.close(0x9001);
        stage.said(stream_end(1, OPAQUE, 1));
        stage.resume(Status::SUCCESS);
        stage.said(marker(1, REPLAY, 0, 20));
        stage.said(mutation(1, REPLAY, 2));
        stage.end_replay();
        stage.go_on();
        stage.settle();
        stage
    }

    pub(super) fn fire(&mut self, cut: bool) {
        self.acted(Act::Fired { step: "cut".into(), vbucket: 1, stream_id: None, opaque: op(OPAQUE), seqno: 1, cut });
    }

    pub(super) fn close(&mut self, opaque: u32) {
        self.told_by_tool(close_stream(1, opaque));
        self.answered(plain(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS, opaque));
    }

    /// The tool requests the cut stream again, and is answered.
    pub(super) fn resume(&mut self, status: Status) {
        self.acted(Act::Resuming { cut: op(OPAQUE), opaque: op(REPLAY), start_seqno: 1 });
        self.told_by_tool(stream_req(1, REPLAY, 1));
        if status == Status::SUCCESS {
            self.answered(stream_ok(REPLAY));
        } else {
            self.answered(plain(Opcode::DCP_STREAM_REQ, status, REPLAY));
        }
    }

    pub(super) fn end_replay(&mut self) {
        self.close(0x9002);
        self.said(stream_end(1, REPLAY, 1));
    }

    /// The other stream goes on.
    pub(super) fn go_on(&mut self) {
        let next = self.session.stream(vb(2)).unwrap().last_seqno + 1;
        self.said(mutation(2, 2 * OPAQUE, next));
    }

    /// An orphaned response of the tool's to a message of stream 1.
    pub(super) fn orphan(&mut self, message: Opcode, status: Status) {
        self.told_by_tool(plain(message, status, OPAQUE));
    }

    /// A NOOP is asked now; its opaque.
    pub(super) fn ask(&mut self) -> u32 {
        self.noops += 1;
        self.told_by_tool(request(Opcode::NOOP, 0, self.noops, Message::Noop(dcp::Noop)));
        self.noops
    }

    /// The NOOP is answered.
    pub(super) fn answer(&mut self, noop: u32) {
        self.answered(plain(Opcode::NOOP, Status::SUCCESS, noop));
    }

    /// A NOOP is asked in 150 ms, and answered.
    pub(super) fn prove(&mut self) {
        self.wait_ms(150);
        let noop = self.ask();
        self.answer(noop);
    }

    /// The settling time, and a NOOP answered at its end; the other stream goes on until then.
    pub(super) fn settle(&mut self) {
        self.acted(Act::Settling);
        self.wait_ms(1500);
        self.go_on();
        self.wait_ms(500);
        let noop = self.ask();
        self.answer(noop);
        self.acted(Act::Settled);
    }

    /// The end said it.
    pub(super) fn said(&mut self, head: FrameHead) -> Context {
        self.happens(Direction::From, Origin::Peer, What::Frame(head))
    }

    /// The end answered the tool.
    pub(super) fn answered(&mut self, head: FrameHead) -> Context {
        self.happens(Direction::From, Origin::Tool, What::Frame(head))
    }

    /// The consumer said it to the end.
    pub(super) fn told(&mut self, head: FrameHead) -> Context {
        self.happens(Direction::To, Origin::Peer, What::Frame(head))
    }

    /// The tool said it to the end.
    pub(super) fn told_by_tool(&mut self, head: FrameHead) -> Context {
        self.happens(Direction::To, Origin::Tool, What::Frame(head))
    }

    pub(super) fn acted(&mut self, act: Act) {
        self.happens(Direction::To, Origin::Tool, What::Acted(act));
    }

    /// The producer, or with `To` the consumer, closes.
    pub(super) fn closes(&mut self, direction: Direction, how: How) {
        self.happens(direction, Origin::Peer, What::Closed { how, partial: 0 });
    }

    pub(super) fn happens(&mut self, direction: Direction, origin: Origin, what: What) -> Context {
        self.now += 1_000_000;
        let entry = Entry { at: Timestamp(self.now), edge: Side::Upstream, direction, origin, what };
        let context = *self.session.observe(&entry);
        self.judge.observe(&entry, &context, &self.session);
        context
    }

    pub(super) fn wait_ms(&mut self, ms: u64) {
        self.now += ms * 1_000_000;
    }

    pub(super) fn judgement(&mut self) -> Judgement {
        self.judge.judgement(&self.session)
    }

    /// The worst finding of that id: its verdict and what was seen.
    pub(super) fn found(&mut self, id: &str) -> Option<(Verdict, String)> {
        let connection = self.judgement().connection;
        let all = connection.findings.into_iter().filter(|finding| finding.id == id);
        all.map(|finding| (finding.verdict, finding.actual)).max_by_key(|(verdict, _)| *verdict)
    }

    pub(super) fn verdict(&mut self, id: &str) -> Option<Verdict> {
        self.found(id).map(|(verdict, _)| verdict)
    }
}

/// The opaque of the tool's own stream.
pub(super) const REPLAY: u32 = 0x9000;

const KEPT: &str = "connection-kept";
const UNDISTURBED: &str = "streams-undisturbed";
const CLOSED: &str = "stream-stays-closed";
const RESUMES: &str = "stream-resumes";
const RESTORED: &str = "window-restored";
const DEMANDED: &str = "era-demands-close";
const EVIDENCE: &str = "evidence";
