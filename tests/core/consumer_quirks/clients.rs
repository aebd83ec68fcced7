//! A client that dials, and a producer that is a script.

use std::collections::BTreeMap;

use bytes::Bytes;
use dcproxy::Timestamp;
use dcproxy::dcp;
use dcproxy::dcp::DcpNoop;
use dcproxy::dcp::Deletion;
use dcproxy::dcp::FailoverEntry;
use dcproxy::dcp::FailoverLog;
use dcproxy::dcp::Hello;
use dcproxy::dcp::HelloResponse;
use dcproxy::dcp::MarkerVersion;
use dcproxy::dcp::Mutation;
use dcproxy::dcp::SnapshotMarker;
use dcproxy::dcp::StreamEnd;
use dcproxy::dcp::StreamReq;
use dcproxy::engine::Engine;
use dcproxy::engine::Output;
use dcproxy::era::Era;
use dcproxy::journal::How;
use dcproxy::journal::Side;
use dcproxy::node::Quirk;
use dcproxy::node::consumer;
use dcproxy::node::consumer::Client;
use dcproxy::node::consumer::ClientConfig;
use dcproxy::report::Finding;
use dcproxy::verdict::Verdict;
use dcproxy::wire::Frame;
use dcproxy::wire::FrameBuilder;
use dcproxy::wire::Opaque;
use dcproxy::wire::Opcode;
use dcproxy::wire::Status;

use super::Eyes;
use super::engine;
use super::judged;

pub(super) type Run = fn(&[Quirk]) -> (Verdict, Vec<Finding>);

pub(super) fn provocations() -> BTreeMap<Quirk, Run> {
    let all: [(Quirk, Run); 17] = [
        (Quirk::Mb28573, |quirks| {
            let mut rig = Rig::new(quirks, |_| {});
            rig.items(0, 1..=3);
            let old = rig.streams[&0];
            rig.end(0, StreamEnd::STATE_CHANGED);
            rig.say(mutation(0, 4, old));
            rig.done()
        }),
        (Quirk::Mb18661, |quirks| {
            let mut rig = Rig::new(quirks, |config| config.window = 2000);
            rig.items(0, 1..=40);
            rig.done()
        }),
        (Quirk::Mb60468, dies),
        (Quirk::Mb56275, dies),
        (Quirk::Mb72321, |quirks| deletes(quirks, false)),
        (Quirk::Mb28502, |quirks| deletes(quirks, true)),
        (Quirk::Mb64936, |quirks| {
            let control = ("max_marker_version".to_owned(), "2.2".to_owned());
            let mut rig = Rig::new_of(Era::Master, quirks, |config| config.more_controls.push(control));
            rig.marker = MarkerVersion::V2_2;
            rig.items(0, 1..=3);
            rig.done()
        }),
        (Quirk::Mb59474, streams),
        (Quirk::Mb72652, |quirks| {
            let mut rig = Rig::new(quirks, |config| *config = config.clone().with_stream_ids());
            rig.items(0, 1..=3);
            rig.done()
        }),
        (Quirk::MuteNoop, streams),
        (Quirk::NoopTwice, streams),
        (Quirk::GoDcp151, |quirks| ends(quirks, StreamEnd::BACKFILL_FAIL)),
        (Quirk::SyncGateway969, |quirks| ends(quirks, StreamEnd::SLOW)),
        (Quirk::SyncGateway5597, |quirks| ends(quirks, StreamEnd::STATE_CHANGED)),
        (Quirk::KafkaConnector8, |quirks| {
            let mut rig = Rig::new(quirks, |_| {});
            rig.items(0, 1..=6000);
            rig.done()
        }),
        (Quirk::KafkaConnector11, |quirks| {
            let mut rig = Rig::new(quirks, |_| {});
            rig.items(0, 1..=3);
            rig.end(0, StreamEnd::STATE_CHANGED);
            rig.items(0, 4..=5);
            rig.end(0, StreamEnd::STATE_CHANGED);
            rig.done()
        }),
        (Quirk::JavaDcpClient10, |quirks| {
            let mut rig = Rig::new(quirks, |_| {});
            rig.items(0, 1..=10);
            rig.highest = 4;
            rig.end(0, StreamEnd::STATE_CHANGED);
            rig.done()
        }),
    ];
    all.into()
}

/// Some items, and no-ops.
fn streams(quirks: &[Quirk]) -> (Verdict, Vec<Finding>) {
    let mut rig = Rig::new(quirks, |_| {});
    rig.items(0, 1..=3);
    rig.done()
}

/// A stream that dies with bytes of it not given back.
fn dies(quirks: &[Quirk]) -> (Verdict, Vec<Finding>) {
    let mut rig = Rig::new(quirks, |_| {});
    rig.items(0, 1..=3);
    rig.items(1, 1..=3);
    rig.end(0, StreamEnd::STATE_CHANGED);
    rig.done()
}

fn ends(quirks: &[Quirk], reason: u32) -> (Verdict, Vec<Finding>) {
    let mut rig = Rig::new(quirks, |_| {});
    rig.items(0, 1..=3);
    rig.end(0, reason);
    rig.done()
}

fn deletes(quirks: &[Quirk], delete_times: bool) -> (Verdict, Vec<Finding>) {
    let mut rig = Rig::new(quirks, |config| {
        config.delete_times = delete_times;
        config.expirations = false;
        config.collections = false;
    });
    rig.items(0, 1..=3);
    let opaque = rig.streams[&0];
    let (version, delete_time, nmeta, unused) =
        if delete_times { (2, Some(0), None, Some(0)) } else { (1, None, Some(0), None) };
    let deletion = Deletion { version, by_seqno: 4, rev_seqno: 1, delete_time, nmeta, unused };
    rig.say(deletion.request(0, opaque).key(*b"key").cas(5));
    rig.done()
}

fn mutation(vbucket: u16, by_seqno: u64, opaque: Opaque) -> FrameBuilder {
    let key = format!("\0key{by_seqno}");
    Mutation { by_seqno, rev_seqno: 1, ..Mutation::default() }.request(vbucket, opaque).key(key).value(*b"v").cas(5)
}

/// A client of two vbuckets, and a producer that agrees to all and streams what it is told to.
struct Rig {
    client: Client,
    engine: Engine<Eyes>,
    now: Timestamp,
    due: Option<Timestamp>,
    /// The opaques of open streams.
    streams: BTreeMap<u16, Opaque>,
    ids: bool,
    marker: MarkerVersion,
    /// Whether a snapshot is open on the vbucket's stream.
    marked: BTreeMap<u16, bool>,
    /// Who asks for more than this is told to roll back to it.
    highest: u64,
    noops: u32,
}

impl Rig {
    fn new(quirks: &[Quirk], change: impl FnOnce(&mut ClientConfig)) -> Self {
        Self::new_of(Era::V7_0, quirks, change)
    }

    fn new_of(era: Era, quirks: &[Quirk], change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut config = ClientConfig { quirks: quirks.iter().copied().collect(), ..ClientConfig::new(era, [0, 1]) };
        config.sync_writes = false;
        change(&mut config);
        let now = Timestamp(1_000_000_000);
        let mut rig = Self {
            ids: config.stream_ids,
            client: Client::new(config, now),
            engine: engine(era),
            now,
            due: None,
            streams: BTreeMap::new(),
            marker: MarkerVersion::V1,
            marked: BTreeMap::new(),
            highest: u64::MAX,
            noops: 0,
        };
        rig.pump();
        assert_eq!(rig.streams.len(), 2);
        rig
    }

    /// Moves bytes until none are left.
    fn pump(&mut self) {
        loop {
            let mut moved = false;
            while let Some(output) = self.client.poll() {
                moved = true;
                match output {
                    consumer::Output::Write(bytes) => self.engine.feed(Side::Dialler, bytes, self.now),
                    consumer::Output::Close => self.engine.closed(Side::Dialler, How::Fin, self.now),
                    consumer::Output::Wait(until) => self.due = until,
                }
            }
            while let Some(output) = self.engine.poll() {
                moved = true;
                match output {
                    Output::Write { to: Side::Dialler, bytes } => self.client.feed(&bytes, self.now),
                    Output::Write { to: Side::Upstream, bytes } => self.read(&bytes),
                    Output::Close { .. } | Output::Wait(_) => {}
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn read(&mut self, mut bytes: &[u8]) {
        let mut deframer = dcproxy::wire::Deframer::new(1 << 20);
        let mut answers = Vec::new();
        while let Some(piece) = deframer.next(&mut bytes) {
            let dcproxy::wire::Piece::Frame(frame) = piece else { panic!("expected whole frames") };
            answers.extend(self.answer(&frame));
        }
        for answer in answers {
            self.engine.feed(Side::Upstream, answer.build(), self.now);
        }
    }

    fn answer(&mut self, frame: &Frame<'_>) -> Option<FrameBuilder> {
        let header = frame.header();
        let (opcode, opaque) = (header.opcode, header.opaque);
        if header.is_response() || opcode == Opcode::DCP_BUFFER_ACK {
            return None;
        }
        let log = vec![FailoverEntry { vb_uuid: 7, seqno: 0 }];
        Some(match opcode {
            Opcode::HELLO => HelloResponse { features: Hello::parse(frame).unwrap().features }.response(opaque),
            Opcode::DCP_GET_FAILOVER_LOG => FailoverLog { failover_log: log }.response(opcode, opaque),
            Opcode::DCP_STREAM_REQ => {
                let request = StreamReq::parse(frame).unwrap();
                if request.start_seqno > self.highest {
                    let value = self.highest.to_be_bytes().to_vec();
                    return Some(dcp::response(opcode, Status::ROLLBACK, opaque).value(value));
                }
                self.streams.insert(header.vbucket_or_status, opaque);
                self.marked.insert(header.vbucket_or_status, false);
                let value = [7_u64.to_be_bytes(), 0_u64.to_be_bytes()].concat();
                dcp::response(opcode, Status::SUCCESS, opaque).value(value)
            }
            _ => dcp::response(opcode, Status::SUCCESS, opaque),
        })
    }

    fn say(&mut self, frame: FrameBuilder) {
        let bytes: Bytes = frame.build();
        self.engine.feed(Side::Upstream, bytes, self.now);
        self.pump();
    }

    /// Items of a snapshot that goes on for long.
    fn items(&mut self, vbucket: u16, seqnos: std::ops::RangeInclusive<u64>) {
        let opaque = self.streams[&vbucket];
        let id = self.ids.then_some(vbucket + 1);
        if !std::mem::replace(self.marked.get_mut(&vbucket).unwrap(), true) {
            let two = |value| Some(value).filter(|_| self.marker != MarkerVersion::V1);
            let marker = SnapshotMarker {
                version: self.marker,
                start_seqno: seqnos.start() - 1,
                end_seqno: 10_000,
                flags: SnapshotMarker::MEMORY,
                max_visible_seqno: two(10_000),
                purge_seqno: two(0),
                ..SnapshotMarker::default()
            };
            self.say(marker.request(vbucket, opaque).stream_id(id));
        }
        for seqno in seqnos {
            self.say(mutation(vbucket, seqno, opaque).stream_id(id));
        }
    }

    fn end(&mut self, vbucket: u16, end_reason: u32) {
        let opaque = self.streams.remove(&vbucket).unwrap();
        self.say(StreamEnd { end_reason }.request(vbucket, opaque));
    }

    /// Fourteen seconds pass, with no-ops, and the judge speaks.
    fn done(mut self) -> (Verdict, Vec<Finding>) {
        for _ in 0..140 {
            self.now = self.now + std::time::Duration::from_millis(100);
            if self.due.is_some_and(|due| due <= self.now) {
                self.due = None;
                self.client.wakeup(self.now);
            }
            self.pump();
            self.noops += 1;
            if self.noops.is_multiple_of(10) {
                self.say(DcpNoop.request(Opaque(self.noops.to_be_bytes())));
            }
        }
        judged(&mut self.engine)
    }
}
