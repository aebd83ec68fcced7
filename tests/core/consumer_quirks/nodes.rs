//! A node that is told to be a consumer, and a manager with a producer behind it that are a script.

use std::collections::BTreeMap;
use std::time::Duration;

use dcproxy::Timestamp;
use dcproxy::dcp;
use dcproxy::dcp::AddStream;
use dcproxy::dcp::CloseStream;
use dcproxy::dcp::DcpNoop;
use dcproxy::dcp::Deletion;
use dcproxy::dcp::Feature;
use dcproxy::dcp::Hello;
use dcproxy::dcp::Mutation;
use dcproxy::dcp::Open;
use dcproxy::dcp::Prepare;
use dcproxy::dcp::SaslAuth;
use dcproxy::dcp::SelectBucket;
use dcproxy::dcp::SetVbucket;
use dcproxy::dcp::SetVbucketState;
use dcproxy::dcp::SnapshotMarker;
use dcproxy::dcp::StreamEnd;
use dcproxy::dcp::StreamReq;
use dcproxy::engine::Engine;
use dcproxy::engine::Output;
use dcproxy::era::Era;
use dcproxy::journal::How;
use dcproxy::journal::Side;
use dcproxy::node::Config;
use dcproxy::node::Connection;
use dcproxy::node::Node;
use dcproxy::node::Quirk;
use dcproxy::report::Finding;
use dcproxy::verdict::Verdict;
use dcproxy::wire::Deframer;
use dcproxy::wire::Frame;
use dcproxy::wire::FrameBuilder;
use dcproxy::wire::Opaque;
use dcproxy::wire::Opcode;
use dcproxy::wire::Piece;
use dcproxy::wire::Status;

use super::Eyes;
use super::clients::Run;
use super::engine;
use super::judged;

const ADD: Opaque = Opaque([0, 0, 0, 0xad]);

pub(super) fn provocations() -> BTreeMap<Quirk, Run> {
    let all: [(Quirk, Run); 19] = [
        (Quirk::Mb28573, |quirks| {
            let mut rig = Rig::new(quirks);
            let opaque = rig.add();
            rig.items(opaque, 1..=3);
            // A seqno again is refused.
            rig.say(mutation(2, opaque));
            rig.done()
        }),
        (Quirk::Mb18661, streams),
        (Quirk::Mb47318, |quirks| {
            let mut rig = Rig::new(quirks);
            let opaque = rig.add();
            rig.items(opaque, 1..=3);
            rig.close();
            rig.done()
        }),
        (Quirk::Mb60468, dies),
        (Quirk::Mb56275, dies),
        (Quirk::Mb72321, deletes),
        (Quirk::Mb28502, deletes),
        (Quirk::Mb59474, streams),
        (Quirk::Mb72652, |quirks| {
            let mut rig = Rig::new(quirks);
            let opaque = rig.add();
            rig.items(opaque, 1..=3);
            rig.say(mutation(4, opaque).stream_id(Some(2)));
            rig.done()
        }),
        (Quirk::Mb34850, |quirks| {
            let mut rig = Rig::new(quirks);
            let opaque = rig.add();
            rig.items(opaque, 1..=3);
            rig.close();
            rig.say(mutation(4, opaque));
            rig.say(StreamEnd { end_reason: StreamEnd::CLOSED }.request(1, opaque));
            rig.done()
        }),
        (Quirk::Mb34951, |quirks| {
            let mut rig = Rig::new(quirks);
            let old = rig.add();
            rig.items(old, 1..=3);
            rig.close();
            let new = rig.add();
            rig.say(StreamEnd { end_reason: StreamEnd::CLOSED }.request(1, old));
            rig.items(new, 4..=5);
            rig.done()
        }),
        (Quirk::Mb42256, |quirks| {
            let mut rig = Rig::new(quirks);
            let opaque = rig.add();
            rig.say(marker(0, 2, SnapshotMarker::MEMORY, opaque));
            rig.say(mutation(1, opaque));
            rig.say(prepare(2, opaque));
            assert!(rig.heard.contains(&Opcode::DCP_SEQNO_ACK));
            rig.say(dcp::response(Opcode::DCP_SEQNO_ACK, Status::NOT_MY_VBUCKET, opaque));
            rig.done()
        }),
        (Quirk::Mb22241, |quirks| Rig::new(quirks).done()),
        (Quirk::Mb69524, |quirks| {
            let mut rig = Rig::holding(quirks);
            rig.ask();
            rig.hold = false;
            for answer in std::mem::take(&mut rig.held) {
                rig.say(answer);
            }
            rig.done()
        }),
        (Quirk::Mb41024, |quirks| {
            let mut rig = Rig::new(quirks);
            let opaque = rig.add();
            rig.say(marker(0, 2, SnapshotMarker::MEMORY | SnapshotMarker::ACK, opaque));
            rig.say(mutation(1, opaque));
            rig.say(prepare(2, opaque));
            rig.done()
        }),
        (Quirk::Mb17766, |quirks| {
            let mut rig = Rig::new(quirks);
            let opaque = rig.add();
            rig.items(opaque, 1..=3);
            rig.say(SetVbucket { state: SetVbucketState::ACTIVE }.request(1, Opaque([0, 0, 0, 0x5e])));
            rig.say(mutation(4, opaque));
            rig.done()
        }),
        (Quirk::LateStreamAnswer, |quirks| {
            let mut rig = Rig::new(quirks);
            let opaque = rig.ask();
            rig.close();
            rig.agree(opaque);
            rig.done()
        }),
        (Quirk::MuteNoop, streams),
        (Quirk::NoopTwice, streams),
    ];
    all.into()
}

/// Some items, and no-ops.
fn streams(quirks: &[Quirk]) -> (Verdict, Vec<Finding>) {
    let mut rig = Rig::new(quirks);
    let opaque = rig.add();
    rig.items(opaque, 1..=3);
    rig.done()
}

fn dies(quirks: &[Quirk]) -> (Verdict, Vec<Finding>) {
    let mut rig = Rig::new(quirks);
    let opaque = rig.add();
    rig.items(opaque, 1..=3);
    rig.say(StreamEnd { end_reason: StreamEnd::STATE_CHANGED }.request(1, opaque));
    rig.done()
}

fn deletes(quirks: &[Quirk]) -> (Verdict, Vec<Finding>) {
    let mut rig = Rig::new(quirks);
    let opaque = rig.add();
    rig.items(opaque, 1..=3);
    let deletion =
        Deletion { version: 2, by_seqno: 4, rev_seqno: 1, delete_time: Some(0), nmeta: None, unused: Some(0) };
    rig.say(deletion.request(1, opaque).key(*b"\0key1").cas(5));
    rig.done()
}

fn marker(start_seqno: u64, end_seqno: u64, flags: u32, opaque: Opaque) -> FrameBuilder {
    SnapshotMarker { start_seqno, end_seqno, flags, ..SnapshotMarker::default() }.request(1, opaque)
}

fn mutation(by_seqno: u64, opaque: Opaque) -> FrameBuilder {
    let key = format!("\0key{by_seqno}");
    Mutation { by_seqno, rev_seqno: 1, ..Mutation::default() }.request(1, opaque).key(key).value(*b"v").cas(5)
}

fn prepare(by_seqno: u64, opaque: Opaque) -> FrameBuilder {
    let prepare = Prepare { by_seqno, rev_seqno: 1, durability_level: 1, ..Prepare::default() };
    prepare.request(1, opaque).key(*b"\0durable").cas(5)
}

/// A consumer node of 7.0 on a connection without v7 status codes, opened by a script that has agreed to its controls.
struct Rig {
    engine: Engine<Eyes>,
    node: Connection,
    now: Timestamp,
    /// What the node has said.
    heard: Vec<Opcode>,
    /// The opaque of its last STREAM_REQ.
    asked: Option<Opaque>,
    /// Whether answers to its controls are kept back.
    hold: bool,
    held: Vec<FrameBuilder>,
    closed: bool,
}

impl Rig {
    fn new(quirks: &[Quirk]) -> Self {
        Self::with(quirks, false)
    }

    fn holding(quirks: &[Quirk]) -> Self {
        Self::with(quirks, true)
    }

    fn with(quirks: &[Quirk], hold: bool) -> Self {
        let era = Era::V7_0;
        let quirks = quirks.iter().copied().collect();
        let node = Node::new(Config { era, items: 0, interval: None, quirks, ..Config::default() });
        let now = Timestamp(1_000_000_000);
        let mut rig = Self {
            engine: engine(era),
            node: Connection::new(&node, now),
            now,
            heard: Vec::new(),
            asked: None,
            hold,
            held: Vec::new(),
            closed: false,
        };
        let opaque = Opaque([0xf0, 0, 0, 0]);
        let features = vec![Feature::XATTR, Feature::XERROR, Feature::JSON, Feature::COLLECTIONS];
        let config = node.config();
        let login = format!("\0{}\0{}", config.user, config.password);
        let consumer_name = Some("replica".to_owned());
        let open = Open { name: "bridge".into(), flags: Open::INCLUDE_DELETE_TIMES, consumer_name, ..Open::default() };
        for request in [
            Hello { agent: "manager".into(), features }.request(opaque),
            SaslAuth { mechanism: "PLAIN".into() }.request(Opcode::SASL_AUTH, login.as_bytes(), opaque),
            SelectBucket { bucket: config.bucket.clone() }.request(opaque),
            SetVbucket { state: SetVbucketState::REPLICA }.request(1, opaque),
            open.request(opaque),
        ] {
            rig.say(request);
        }
        rig
    }

    fn say(&mut self, frame: FrameBuilder) {
        self.engine.feed(Side::Dialler, frame.build(), self.now);
        self.pump();
    }

    fn pump(&mut self) {
        loop {
            let mut bytes = Vec::new();
            self.node.pull(&mut bytes, 1 << 16, self.now);
            if !bytes.is_empty() {
                self.engine.feed(Side::Upstream, bytes.into(), self.now);
            }
            if self.node.closing().is_some() && !self.closed {
                self.closed = true;
                self.engine.closed(Side::Upstream, How::Fin, self.now);
            }
            let mut moved = false;
            while let Some(output) = self.engine.poll() {
                moved = true;
                match output {
                    Output::Write { to: Side::Upstream, bytes } => self.node.feed(&bytes, self.now),
                    Output::Write { to: Side::Dialler, bytes } => self.read(&bytes),
                    Output::Close { .. } | Output::Wait(_) => {}
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn read(&mut self, mut bytes: &[u8]) {
        let mut deframer = Deframer::new(1 << 20);
        let mut answers = Vec::new();
        while let Some(piece) = deframer.next(&mut bytes) {
            let Piece::Frame(frame) = piece else { panic!("expected whole frames") };
            answers.extend(self.answer(&frame));
        }
        for answer in answers {
            if self.hold {
                self.held.push(answer);
            } else {
                self.engine.feed(Side::Dialler, answer.build(), self.now);
            }
        }
    }

    /// The producer accepts every control but that of v7 status codes.
    fn answer(&mut self, frame: &Frame<'_>) -> Option<FrameBuilder> {
        let header = frame.header();
        let (opcode, opaque) = (header.opcode, header.opaque);
        self.heard.push(opcode);
        match opcode {
            _ if header.is_response() => None,
            Opcode::DCP_CONTROL if frame.key() == b"v7_dcp_status_codes" => {
                Some(dcp::response(opcode, Status::EINVAL, opaque))
            }
            Opcode::DCP_CONTROL => Some(dcp::response(opcode, Status::SUCCESS, opaque)),
            Opcode::GET_ERROR_MAP => Some(dcp::response(opcode, Status::UNKNOWN_COMMAND, opaque)),
            Opcode::DCP_STREAM_REQ => {
                StreamReq::parse(frame).unwrap();
                self.asked = Some(opaque);
                None
            }
            _ => None,
        }
    }

    /// ADD_STREAM; the opaque of the node's STREAM_REQ.
    fn ask(&mut self) -> Opaque {
        self.say(AddStream { flags: 0 }.request(1, ADD));
        self.asked.take().unwrap_or_default()
    }

    fn add(&mut self) -> Opaque {
        let opaque = self.ask();
        self.agree(opaque);
        opaque
    }

    /// STREAM_REQ is answered with Success.
    fn agree(&mut self, opaque: Opaque) {
        let value = [7_u64.to_be_bytes(), 0_u64.to_be_bytes()].concat();
        self.say(dcp::response(Opcode::DCP_STREAM_REQ, Status::SUCCESS, opaque).value(value));
    }

    fn close(&mut self) {
        self.say(CloseStream.request(1, Opaque([0xc1, 0, 0, 0])));
    }

    fn items(&mut self, opaque: Opaque, seqnos: std::ops::RangeInclusive<u64>) {
        self.say(marker(seqnos.start() - 1, 10_000, SnapshotMarker::MEMORY, opaque));
        for seqno in seqnos {
            self.say(mutation(seqno, opaque));
        }
    }

    /// Fourteen seconds pass, with no-ops, and the judge speaks.
    fn done(mut self) -> (Verdict, Vec<Finding>) {
        for n in 0..140_u32 {
            self.now = self.now + Duration::from_millis(100);
            self.node.wakeup(self.now);
            self.pump();
            if n % 10 == 9 {
                self.say(DcpNoop.request(Opaque(n.to_be_bytes())));
            }
        }
        judged(&mut self.engine)
    }
}
