//! Two embedded nodes bridged in memory, as a replication manager does, frames in flight: the producer keeps or closes
//! the connection as real servers did (real-servers.md §3 and §5).
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::time::Duration;

use dcproxy::Timestamp;
use dcproxy::dcp;
use dcproxy::dcp::AddStream;
use dcproxy::dcp::CloseStream;
use dcproxy::dcp::Feature;
use dcproxy::dcp::Hello;
use dcproxy::dcp::Open;
use dcproxy::dcp::SaslAuth;
use dcproxy::dcp::SelectBucket;
use dcproxy::era::Era;
use dcproxy::node::Config;
use dcproxy::node::Connection;
use dcproxy::node::Node;
use dcproxy::node::consumer::Output;
use dcproxy::node::consumer::PassiveConfig;
use dcproxy::node::consumer::PassiveStreams;
use dcproxy::wire::Deframer;
use dcproxy::wire::Frame;
use dcproxy::wire::FrameBuilder;
use dcproxy::wire::MAX_FRAME_LEN;
use dcproxy::wire::Opaque;
use dcproxy::wire::Opcode;
use dcproxy::wire::Piece;

/// What is done while the forwarder holds frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Done {
    Nothing,
    CloseAtConsumer,
    CloseAtBoth,
    CloseAndAddAgain,
    FailOver,
    Delete,
    /// From here on every frame is forwarded twice.
    Twice,
    /// From here on these are not forwarded.
    Withhold(Opcode),
}

/// A producer, a consumer, and the forwarder between them.
struct Bridge {
    now: Timestamp,
    producer: Connection,
    consumer: PassiveStreams,
    deframer: Deframer,
    held: VecDeque<Vec<u8>>,
    hold: bool,
    done: Done,
    answers: Vec<u16>,
    closed: bool,
}

const VBUCKET: u16 = 1;

fn bridge(producer: Era, consumer: Era, v7: bool) -> Bridge {
    let node = Node::new(Config { era: producer, seed: 3, items: 2000, interval: None, ..Config::default() });
    let now = Timestamp(1_000_000_000);
    // Sync writes go by another name in 2019-07: a consumer of the producer's own time asks.
    let config = PassiveConfig { v7, collections: true, window: 1 << 20, ..PassiveConfig::new(consumer, 4) };
    let mut bridge = Bridge {
        now,
        producer: Connection::new(&node, now),
        consumer: PassiveStreams::new(config, now),
        deframer: Deframer::new(MAX_FRAME_LEN),
        held: VecDeque::new(),
        hold: false,
        done: Done::Nothing,
        answers: Vec::new(),
        closed: false,
    };
    let opaque = Opaque([0xf0, 0, 0, 0]);
    let hello = Hello {
        agent: "manager".into(),
        features: vec![Feature::XATTR, Feature::XERROR, Feature::JSON, Feature::COLLECTIONS],
    };
    let config = node.config();
    let login = format!("\0{}\0{}", config.user, config.password);
    let open = Open {
        name: "bridge".into(),
        flags: Open::PRODUCER
            | Open::INCLUDE_XATTRS
            | Open::INCLUDE_DELETE_TIMES
            | if producer >= Era::V6_6 { Open::INCLUDE_DELETED_USER_XATTRS } else { 0 },
        ..Open::default()
    };
    for request in [
        hello.request(opaque),
        SaslAuth { mechanism: "PLAIN".into() }.request(Opcode::SASL_AUTH, login.as_bytes(), opaque),
        SelectBucket { bucket: config.bucket.clone() }.request(opaque),
        open.request(opaque),
    ] {
        bridge.producer.feed(&request.build(), now);
        let mut answer = Vec::new();
        bridge.producer.pull(&mut answer, 4096, now);
        let frame = Frame::whole(&answer).unwrap();
        assert_eq!(frame.header().status().map(|status| status.0), Some(0), "{}", frame.header().opcode);
    }
    bridge
}

impl Bridge {
    /// Forwards both ways once; whether anything moved.
    fn step(&mut self) -> bool {
        self.now = self.now + Duration::from_micros(100);
        let mut moved = false;
        while let Some(output) = self.consumer.poll() {
            match output {
                Output::Write(bytes) => {
                    moved = true;
                    let header = *Frame::whole(&bytes).unwrap().header();
                    let manager = matches!(header.opcode, Opcode::DCP_ADD_STREAM | Opcode::DCP_CLOSE_STREAM);
                    if header.is_response() && dcp::is_stream_message(header.opcode) {
                        self.answers.push(header.vbucket_or_status);
                    }
                    if !manager {
                        self.producer.feed(&bytes, self.now);
                    }
                }
                Output::Close => panic!("the consumer closes"),
                Output::Wait(_) => {}
            }
        }
        let mut bytes = Vec::new();
        self.producer.pull(&mut bytes, 2000, self.now);
        moved |= !bytes.is_empty();
        let mut input = bytes.as_slice();
        while let Some(piece) = self.deframer.next(&mut input) {
            if let Piece::Frame(frame) = piece {
                self.held.push_back(frame.bytes().to_vec());
            }
        }
        if !self.hold {
            while let Some(bytes) = self.held.pop_front() {
                self.forward(&bytes);
            }
        }
        self.closed |= self.producer.closing().is_some();
        moved
    }

    fn forward(&mut self, bytes: &[u8]) {
        let header = *Frame::whole(bytes).unwrap().header();
        let manager = header.is_response() && matches!(header.opcode, Opcode::DCP_CLOSE_STREAM);
        let data = header.is_request() && dcp::is_stream_message(header.opcode);
        if manager || self.done == Done::Withhold(header.opcode) && data {
            return;
        }
        self.consumer.feed(bytes, self.now);
        if data && self.done == Done::Twice {
            self.consumer.feed(bytes, self.now);
        }
    }

    fn tell_consumer(&mut self, frame: &FrameBuilder) {
        self.consumer.feed(&frame.build(), self.now);
    }

    /// Streams, holds the frames in flight, does it, lets them go; then waits until all is quiet for a while.
    fn run(&mut self, done: Done) {
        let add = AddStream { flags: 0 }.request(VBUCKET, Opaque([0xad; 4]));
        self.tell_consumer(&add);
        let last = |bridge: &Self| bridge.consumer.ledger().vbucket(VBUCKET).map_or(0, |held| held.last_seqno());
        if matches!(done, Done::Twice | Done::Withhold(_)) {
            self.done = done;
        }
        for _ in 0..10_000 {
            if last(self) >= 300 || self.answers.len() >= 200 || !self.step() && !self.idle() {
                break;
            }
        }
        assert!(self.closed || last(self) >= 300 || self.answers.len() >= 200, "{done:?}: stuck at {}", last(self));
        self.hold = true;
        while self.held.len() < 78 && self.step() {}
        let opaque = Opaque([0xcc; 4]);
        match done {
            Done::Nothing | Done::Twice | Done::Withhold(_) => {}
            Done::CloseAtConsumer => self.tell_consumer(&CloseStream.request(VBUCKET, opaque)),
            Done::CloseAtBoth => {
                self.tell_consumer(&CloseStream.request(VBUCKET, opaque));
                self.producer.feed(&CloseStream.request(VBUCKET, opaque).build(), self.now);
            }
            Done::CloseAndAddAgain => {
                self.tell_consumer(&CloseStream.request(VBUCKET, opaque));
                self.producer.feed(&CloseStream.request(VBUCKET, opaque).build(), self.now);
                self.tell_consumer(&add);
            }
            Done::FailOver => self.consumer.fail_over(VBUCKET),
            Done::Delete => self.consumer.delete_vbucket(VBUCKET),
        }
        self.hold = false;
        for _ in 0..400 {
            if !self.step() && !self.idle() {
                break;
            }
        }
        for _ in 0..30 {
            self.idle();
            self.step();
        }
    }

    /// Lets some time pass; false once the connection is closed.
    fn idle(&mut self) -> bool {
        self.now = self.now + Duration::from_millis(100);
        self.producer.wakeup(self.now);
        self.consumer.wakeup(self.now);
        self.closed |= self.producer.closing().is_some();
        !self.closed
    }
}

/// Rows of real-servers.md §3 (2019-07 "after" and 6.5.0) and §5 (7.0.5): what was done, by whom, the status that the
/// consumer answers, and whether the producer keeps the connection.
#[test]
fn a_producer_keeps_or_closes_as_real_ones_did() {
    use Done::*;
    let b = (Era::V2019_07, Era::V2019_07, false);
    let d = (Era::V6_5, Era::V6_5, false);
    let on = (Era::V7_0, Era::V7_0, true);
    let off = (Era::V7_0, Era::V7_0, false);
    let mixed = (Era::V6_5, Era::V7_0, true);
    let (kept, closes) = (true, false);
    let rows = [
        (CloseAtConsumer, b, None, kept),
        (CloseAtConsumer, d, None, kept),
        (CloseAtConsumer, on, None, kept),
        (CloseAtConsumer, off, None, kept),
        (CloseAtConsumer, mixed, None, kept),
        (CloseAtBoth, b, None, kept),
        (CloseAtBoth, d, None, kept),
        (CloseAtBoth, on, None, kept),
        (CloseAtBoth, off, None, kept),
        (CloseAndAddAgain, b, Some(0x01), kept),
        (CloseAndAddAgain, d, Some(0x02), kept),
        (CloseAndAddAgain, on, Some(0x0b), kept),
        (CloseAndAddAgain, off, Some(0x02), kept),
        (CloseAndAddAgain, mixed, Some(0x02), kept),
        (FailOver, b, Some(0x01), kept),
        (FailOver, d, Some(0x01), closes),
        (FailOver, on, Some(0x0a), kept),
        (FailOver, off, Some(0x01), closes),
        (Delete, on, Some(0x0a), kept),
        (Delete, off, Some(0x01), closes),
        (Delete, mixed, Some(0x01), closes),
        (Twice, b, Some(0x22), kept),
        (Twice, d, Some(0x22), kept),
        (Withhold(Opcode::DCP_SYSTEM_EVENT), b, Some(0x88), kept),
        // Not with 6.5: here prepares are in the new collections too, so that commits and aborts find none.
        (Withhold(Opcode::DCP_PREPARE), b, Some(0x01), kept),
        (Withhold(Opcode::DCP_PREPARE), d, Some(0x01), closes),
        (Nothing, b, None, kept),
        (Nothing, on, None, kept),
    ];
    for (done, (producer, consumer, v7), status, kept) in rows {
        let mut bridge = bridge(producer, consumer, v7);
        bridge.run(done);
        let what = format!("{done:?}, {producer} to {consumer}, v7 {v7}");
        match status {
            None => assert_eq!(bridge.answers, [0_u16; 0], "{what}"),
            Some(status) => assert!(bridge.answers.contains(&status), "{what}: {:x?}", bridge.answers),
        }
        assert_eq!(!bridge.closed, kept, "{what}: {:x?}", bridge.answers);
    }
}

/// The consumer from before MB-34850: its stream is gone at once, so the fix of MB-35287 is what keeps the connection.
#[test]
fn an_old_consumer_answers_everything_after_close_stream() {
    let mut bridge = bridge(Era::V2019_07, Era::V2019_07, false);
    bridge.consumer = PassiveStreams::new(
        PassiveConfig { era: Era::V6_0, collections: true, window: 1 << 20, ..PassiveConfig::new(Era::V6_0, 4) },
        bridge.now,
    );
    bridge.run(Done::CloseAtConsumer);
    assert!(!bridge.closed);
    assert!(bridge.answers.len() > 50 && bridge.answers.iter().all(|&status| status == 0x01), "{:x?}", bridge.answers);
}
