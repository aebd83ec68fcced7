//! What real consumers answered, frame by frame, is what the embedded consumer of their era answers to the same frames.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs::File;

use dcproxy::capture;
use dcproxy::dcp;
use dcproxy::dcp::Feature;
use dcproxy::dcp::HelloResponse;
use dcproxy::dcp::Open;
use dcproxy::era::Era;
use dcproxy::journal::Side;
use dcproxy::node::consumer::Output;
use dcproxy::node::consumer::PassiveConfig;
use dcproxy::node::consumer::PassiveStreams;
use dcproxy::node::consumer::VbucketState;
use dcproxy::wire::Deframer;
use dcproxy::wire::Frame;
use dcproxy::wire::MAX_FRAME_LEN;
use dcproxy::wire::Opaque;
use dcproxy::wire::Opcode;
use dcproxy::wire::Piece;

/// An answer: opcode, status, and the opaque of what it answers.
type Answer = (Opcode, u16, Opaque);

/// One recorded connection to a consumer node, and ours beside it.
#[derive(Default)]
struct Conversation {
    name: String,
    era: Option<Era>,
    port: u16,
    from: [Option<Deframer>; 2],
    features: Vec<u16>,
    ours: Option<PassiveStreams>,
    /// Real opaques of the consumer's requests, to ours: streams by the order of their requests, controls by key.
    opaques: BTreeMap<Opaque, Opaque>,
    our_controls: BTreeMap<Vec<u8>, Opaque>,
    real_controls: BTreeSet<Vec<u8>>,
    our_streams: Vec<Opaque>,
    real_streams: Vec<Opaque>,
    expected: Vec<Answer>,
    found: Vec<Answer>,
    /// Of the real one and of ours: by vbucket, the prepare up to which the producer was told; bytes given back.
    prepared: [BTreeMap<u16, u64>; 2],
    acked: [u64; 2],
    held: Vec<Vec<u8>>,
    ours_closed: bool,
    /// Whether the real one closed first; `None` while neither has.
    real_closed: Option<bool>,
}

struct Node {
    era: Era,
    ports: Vec<u16>,
    vbuckets: BTreeMap<u16, Option<VbucketState>>,
}

#[test]
fn a_consumer_of_7_0_5_in_eleven_situations() {
    let answers = replay("consumer-answers.7.0.5.pcap.gz", Era::V7_0, &[13030]);
    assert!(answers > 250, "{answers} answers");
}

#[test]
fn consumers_behind_a_bridge() {
    let mut answers = 0;
    for (file, era, port) in [
        ("bridged-close-both-then-readd.2019-07-after.pcap", Era::V2019_07, 12020),
        ("bridged-readd-producer-open.2019-07-after.pcap", Era::V2019_07, 12020),
        ("bridged-close-at-consumer.2019-07-after.pcap", Era::V2019_07, 12020),
        ("bridged-failover.2019-07-after.pcap", Era::V2019_07, 12020),
        ("bridged-stream-end-first.2019-07-after.pcap", Era::V2019_07, 12020),
        ("bridged-every-frame-twice.2019-07-after.pcap", Era::V2019_07, 12020),
        ("bridged-system-events-withheld.2019-07-after.pcap", Era::V2019_07, 12020),
        ("bridged-prepares-withheld.2019-07-after.pcap", Era::V2019_07, 12020),
        ("bridged-close-at-consumer.2019-07-after_old-consumer.pcap", Era::V6_0, 12020),
        ("bridged-close-at-both.2019-07-before_old-consumer.pcap", Era::V6_0, 12020),
        ("bridged-close-both-then-readd.6.5.0.pcap", Era::V6_5, 12020),
        ("bridged-failover.6.5.0.pcap", Era::V6_5, 12020),
        ("bridged-every-frame-twice.6.5.0.pcap", Era::V6_5, 12020),
        ("bridged-close-both-then-readd.7.0.5-v7on.pcap", Era::V7_0, 13030),
        ("bridged-failover.7.0.5-v7off.pcap", Era::V7_0, 13030),
        ("bridged-stream-end-first.7.0.5-v7on.pcap", Era::V7_0, 13030),
        ("bridged-without-delete-times.7.0.5.pcap", Era::V7_0, 13030),
    ] {
        answers += replay(file, era, &[port, 13020]);
    }
    assert!(answers > 1000, "{answers} answers");
}

/// Replays every conversation of a consumer in the capture; how many answers were compared.
fn replay(file: &str, era: Era, ports: &[u16]) -> usize {
    let path = format!("{}/captures/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut node = Node { era, ports: ports.to_vec(), vbuckets: BTreeMap::new() };
    let mut talks: BTreeMap<u32, Conversation> = BTreeMap::new();
    capture::read(File::open(&path).unwrap(), &mut |event| {
        let talk = talks.entry(event.conn).or_default();
        match event.what {
            capture::What::Opened { upstream, .. } => talk.port = upstream.port(),
            capture::What::Data { from, mut bytes } => {
                let index = usize::from(from == Side::Upstream);
                let mut deframer = talk.from[index].take().unwrap_or_else(|| Deframer::new(MAX_FRAME_LEN));
                let mut frames = Vec::new();
                while let Some(piece) = deframer.next(&mut bytes) {
                    if let Piece::Frame(frame) = piece {
                        frames.push(frame.bytes().to_vec());
                    }
                }
                talk.from[index] = Some(deframer);
                for bytes in frames {
                    let frame = Frame::whole(&bytes).unwrap();
                    let Some(talk) = talks.get_mut(&event.conn) else { continue };
                    if !node.ports.contains(&talk.port) {
                        continue;
                    }
                    if from == Side::Dialler {
                        if let Some((vbucket, state)) = vbucket_command(&frame) {
                            node.vbuckets.insert(vbucket, state);
                            for other in talks.values_mut() {
                                other.vbucket(vbucket, state);
                            }
                        } else {
                            talk.told(&frame, &node);
                        }
                    } else {
                        talk.said(&frame);
                    }
                }
            }
            capture::What::Closed { from, .. } => {
                talk.real_closed.get_or_insert(from == Side::Upstream);
            }
            capture::What::Comment { .. } | capture::What::Gap { .. } | capture::What::Ended => {}
        }
    })
    .unwrap();
    let mut answers = 0;
    for talk in talks.values_mut() {
        if let Some(ours) = &mut talk.ours {
            ours.acknowledge_all(dcproxy::Timestamp(0));
            talk.drain();
        }
    }
    for talk in talks.values().filter(|talk| talk.ours.is_some()) {
        answers += talk.expected.len();
        // The real one answers its manager's commands from a task of their own, so that only their order is theirs.
        let kind = |opcode| (dcp::is_stream_message(opcode), opcode == Opcode::DCP_NOOP);
        for wanted in [(true, false), (false, true), (false, false)] {
            let of = |answers: &[Answer]| -> Vec<Answer> {
                answers.iter().copied().filter(|answer| kind(answer.0) == wanted).collect()
            };
            assert_eq!(of(&talk.found), of(&talk.expected), "{file}: {}", talk.name);
        }
        assert_eq!(talk.prepared[1], talk.prepared[0], "{file}: {}: prepares acknowledged", talk.name);
        let more = talk.our_controls.keys().filter(|key| !talk.real_controls.contains(*key));
        let more: Vec<_> = more.map(|key| String::from_utf8_lossy(key)).collect();
        assert!(more.is_empty() || talk.real_streams.is_empty(), "{file}: {}: ours also asks for {more:?}", talk.name);
        // A real one closes when an ABORT meets its prepare in a snapshot that is not complete; ours takes it.
        let known = ["cons_live_v0_0", "cons_live_v1_0", "cons_deadprep_v0_0", "cons_deadprep_v1_0"];
        if !known.contains(&talk.name.as_str()) {
            assert_eq!(talk.ours_closed, talk.real_closed == Some(true), "{file}: {}: closed first", talk.name);
        }
        if talk.acked[0] != 0 && !talk.ours_closed {
            assert_eq!(talk.acked[1], talk.acked[0], "{file}: {}: bytes given back", talk.name);
        }
    }
    answers
}

/// SET_VBUCKET and DEL_VBUCKET, by which the recorded nodes' vbuckets changed.
fn vbucket_command(frame: &Frame<'_>) -> Option<(u16, Option<VbucketState>)> {
    let vbucket = frame.header().vbucket_or_status;
    match frame.header().opcode {
        Opcode::DEL_VBUCKET => Some((vbucket, None)),
        Opcode::SET_VBUCKET => {
            let state = match frame.extras().last().or(frame.value()?.last())? {
                1 => VbucketState::Active,
                2 => VbucketState::Replica,
                3 => VbucketState::Pending,
                _ => VbucketState::Dead,
            };
            Some((vbucket, Some(state)))
        }
        _ => None,
    }
}

impl Conversation {
    /// The manager said this to the real consumer: ours hears it too.
    fn told(&mut self, frame: &Frame<'_>, node: &Node) {
        let header = frame.header();
        if header.opcode == Opcode::DCP_OPEN && header.is_request() {
            let open = Open::parse(frame).unwrap();
            if open.flags & Open::PRODUCER == 0 {
                self.name = open.name.clone();
                self.era = Some(node.era);
                let config = PassiveConfig {
                    collections: self.features.contains(&Feature::COLLECTIONS),
                    snappy: self.features.contains(&Feature::SNAPPY),
                    delete_times: open.flags & Open::INCLUDE_DELETE_TIMES != 0,
                    consumer_name: open.consumer_name,
                    ..PassiveConfig::new(node.era, 1024)
                };
                let mut ours = PassiveStreams::new(config, dcproxy::Timestamp(0));
                for (&vbucket, &state) in &node.vbuckets {
                    set(&mut ours, vbucket, state);
                }
                self.ours = Some(ours);
                self.drain();
            }
            return;
        }
        if self.ours.is_none() {
            return;
        }
        self.held.push(frame.bytes().to_vec());
        self.deliver();
    }

    /// Delivers what ours can be told: an answer waits until both have asked.
    fn deliver(&mut self) {
        while let Some(bytes) = self.held.first().cloned() {
            let frame = Frame::whole(&bytes).unwrap();
            let header = *frame.header();
            let mut bytes = bytes.clone();
            if header.is_response() || dcp::is_stream_message(header.opcode) {
                match self.opaques.get(&header.opaque) {
                    Some(ours) => bytes[12..16].copy_from_slice(&ours.0),
                    // A message of a stream that never was, or an answer that the real one is still to ask for.
                    None if header.is_response() && header.opcode != Opcode::GET_ERROR_MAP => return,
                    None => {}
                }
            }
            self.held.remove(0);
            let frame = Frame::whole(&bytes).unwrap();
            if let Some(ours) = &mut self.ours {
                ours.frame(&frame, dcproxy::Timestamp(0));
            }
            self.drain();
        }
    }

    /// What ours has said.
    fn drain(&mut self) {
        while let Some(output) = self.ours.as_mut().and_then(PassiveStreams::poll) {
            match output {
                Output::Write(bytes) => {
                    let frame = Frame::whole(&bytes).unwrap();
                    let header = *frame.header();
                    match header.opcode {
                        Opcode::DCP_CONTROL => {
                            self.our_controls.insert(frame.key().to_vec(), header.opaque);
                        }
                        Opcode::DCP_SEQNO_ACK | Opcode::DCP_BUFFER_ACK => self.acknowledged(1, &frame),
                        Opcode::DCP_STREAM_REQ => self.our_streams.push(header.opaque),
                        _ if header.is_response() => {
                            let real = self
                                .opaques
                                .iter()
                                .find(|(_, ours)| **ours == header.opaque && compared(header.opcode));
                            let stream = dcp::is_stream_message(header.opcode);
                            let opaque = real.filter(|_| stream).map_or(header.opaque, |(real, _)| *real);
                            self.found.push((header.opcode, header.vbucket_or_status, opaque));
                        }
                        _ => {}
                    }
                }
                Output::Close => self.ours_closed = true,
                Output::Wait(_) => {}
            }
        }
        self.pair();
    }

    fn acknowledged(&mut self, whose: usize, frame: &Frame<'_>) {
        if frame.header().opcode == Opcode::DCP_SEQNO_ACK {
            let ack = dcp::SeqnoAck::parse(frame).unwrap();
            self.prepared[whose].insert(frame.header().vbucket_or_status, ack.prepared_seqno);
        } else {
            self.acked[whose] += u64::from(dcp::BufferAck::parse(frame).unwrap().bytes_to_ack);
        }
    }

    /// The real consumer said this.
    fn said(&mut self, frame: &Frame<'_>) {
        let header = *frame.header();
        if header.opcode == Opcode::HELLO {
            self.features = HelloResponse::parse(frame).unwrap().features;
        }
        match header.opcode {
            Opcode::DCP_CONTROL if header.is_request() => {
                let ours = self.our_controls.get(frame.key()).copied();
                self.real_controls.insert(frame.key().to_vec());
                let key = String::from_utf8_lossy(frame.key()).into_owned();
                assert!(ours.is_some() || self.era == Some(Era::V6_0), "{}: ours does not ask for {key}", self.name);
                self.opaques.insert(header.opaque, ours.unwrap_or(Opaque([0xff; 4])));
            }
            Opcode::DCP_SEQNO_ACK | Opcode::DCP_BUFFER_ACK => self.acknowledged(0, frame),
            Opcode::DCP_STREAM_REQ if header.is_request() => self.real_streams.push(header.opaque),
            opcode if header.is_response() && compared(opcode) && self.ours.is_some() => {
                self.expected.push((opcode, header.vbucket_or_status, header.opaque));
            }
            _ => {}
        }
        self.pair();
        self.deliver();
    }

    /// The n-th stream that the real one asked for is the n-th of ours.
    fn pair(&mut self) {
        for (real, ours) in self.real_streams.iter().zip(&self.our_streams) {
            self.opaques.insert(*real, *ours);
        }
    }

    fn vbucket(&mut self, vbucket: u16, state: Option<VbucketState>) {
        if let Some(ours) = &mut self.ours {
            set(ours, vbucket, state);
        }
    }
}

/// What the streams' consumer answers, not its front.
fn compared(opcode: Opcode) -> bool {
    dcp::is_stream_message(opcode)
        || matches!(opcode, Opcode::DCP_ADD_STREAM | Opcode::DCP_CLOSE_STREAM | Opcode::DCP_NOOP)
}

fn set(ours: &mut PassiveStreams, vbucket: u16, state: Option<VbucketState>) {
    match state {
        Some(state) => ours.set_vbucket(vbucket, state),
        None => ours.delete_vbucket(vbucket),
    }
}
