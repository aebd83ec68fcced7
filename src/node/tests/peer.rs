//! A client in words: it asks, and looks at what comes.

use std::collections::BTreeMap;

use super::super::Config;
use super::super::Connection;
use super::super::Node;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::BufferAck;
use crate::dcp::Control;
use crate::dcp::Feature;
use crate::dcp::Hello;
use crate::dcp::Message;
use crate::dcp::Negotiated;
use crate::dcp::Open;
use crate::dcp::StreamReq;
use crate::invariant::Suite;
use crate::journal::Direction;
use crate::journal::Entry;
use crate::journal::Origin;
use crate::journal::Side;
use crate::journal::What;
use crate::session::Session;
use crate::verdict::Finding;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Header;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// A frame that came, in pieces.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) header: Header,
    pub(super) message: Message,
    pub(super) bytes: Vec<u8>,
}

impl Seen {
    pub(super) fn frame(&self) -> Frame<'_> {
        Frame::whole(&self.bytes).unwrap()
    }

    pub(super) fn opcode(&self) -> Opcode {
        self.header.opcode
    }

    pub(super) fn value(&self) -> &[u8] {
        self.frame().value().unwrap()
    }
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) connection: Connection,
    pub(super) negotiated: Negotiated,
    pub(super) ms: u64,
    budget: usize,
    partial: Vec<u8>,
    pub(super) charged: u64,
    pub(super) acked: u64,
    /// Gives back what it is charged at once.
    pub(super) acks: bool,
    /// What crossed the node's edge.
    pub(super) log: Vec<Entry>,
}

/// Everything that an embedded consumer asks for in order to be sent every type of message.
pub(super) const EVERYTHING: &[u16] = &[
    Feature::XATTR,
    Feature::XERROR,
    Feature::SELECT_BUCKET,
    Feature::SNAPPY,
    Feature::JSON,
    Feature::ALT_REQUESTS,
    Feature::SYNC_REPLICATION,
    Feature::COLLECTIONS,
];

impl Peer {
    pub(super) fn new(node: &Node) -> Self {
        Self {
            connection: Connection::new(node, Timestamp(0)),
            negotiated: Negotiated::default(),
            ms: 0,
            budget: 4096,
            partial: Vec::new(),
            charged: 0,
            acked: 0,
            acks: false,
            log: Vec::new(),
        }
    }

    /// Logged in, in the bucket, with these features.
    pub(super) fn in_bucket(node: &Node, features: &[u16]) -> Self {
        let mut peer = Self::new(node);
        peer.hello(features);
        let login = format!("\0{}\0{}", node.config().user, node.config().password);
        peer.asks(FrameBuilder::request(Opcode::SASL_AUTH).key(*b"PLAIN").value(login.into_bytes()), Status::SUCCESS);
        let bucket = node.config().bucket.clone().into_bytes();
        peer.asks(FrameBuilder::request(Opcode::SELECT_BUCKET).key(bucket), Status::SUCCESS);
        peer
    }

    /// A DCP consumer with everything on that the node's era has, and stream ends after closes.
    pub(super) fn with_everything(node: &Node) -> Self {
        let mut peer = Self::opened(node, EVERYTHING, Open::INCLUDE_XATTRS | Open::INCLUDE_DELETE_TIMES);
        peer.controls(&[
            ("enable_noop", "true"),
            ("send_stream_end_on_client_close_stream", "true"),
            ("enable_expiry_opcode", "true"),
            ("enable_sync_writes", "true"),
            ("enable_synchronous_replication", "true"),
            ("consumer_name", "me"),
            ("v7_dcp_status_codes", "true"),
        ]);
        peer
    }

    pub(super) fn opened(node: &Node, features: &[u16], flags: u32) -> Self {
        let mut peer = Self::in_bucket(node, features);
        peer.negotiated.include_delete_times = flags & Open::INCLUDE_DELETE_TIMES != 0;
        let open = Open { name: "test".to_owned(), flags: flags | Open::PRODUCER, ..Open::default() };
        peer.asks(open.request(Opaque([0; 4])), Status::SUCCESS);
        peer
    }

    pub(super) fn hello(&mut self, features: &[u16]) -> Vec<u16> {
        let hello = Hello { agent: "test".to_owned(), features: features.to_vec() };
        let seen = self.ask(hello.request(Opaque([0; 4])));
        let Message::HelloResponse(answer) = seen.message else { panic!("{seen:?}") };
        self.negotiated.collections = answer.features.contains(&Feature::COLLECTIONS);
        self.negotiated.snappy = answer.features.contains(&Feature::SNAPPY);
        self.negotiated.xattr = answer.features.contains(&Feature::XATTR);
        answer.features
    }

    pub(super) fn control(&mut self, key: &str, value: &str) -> Status {
        let status = self
            .ask(Control { key: key.to_owned(), value: value.to_owned() }.request(Opaque([0; 4])))
            .header
            .status()
            .unwrap();
        if key == "enable_stream_id" && status == Status::SUCCESS {
            self.negotiated.stream_id = true;
        }
        status
    }

    pub(super) fn controls(&mut self, controls: &[(&str, &str)]) {
        for (key, value) in controls {
            self.control(key, value);
        }
    }

    /// Requests a stream from 0 on, for ever.
    pub(super) fn stream(&mut self, vbucket: u16) -> Opaque {
        self.stream_to(vbucket, u64::MAX)
    }

    pub(super) fn stream_to(&mut self, vbucket: u16, end_seqno: u64) -> Opaque {
        let opaque = Opaque([0xaa, 0, 0, vbucket as u8]);
        let request = StreamReq { end_seqno, ..StreamReq::default() };
        self.says(request.request(vbucket, opaque));
        opaque
    }

    pub(super) fn stream_req(&mut self, request: &StreamReq, vbucket: u16) -> Seen {
        let opaque = Opaque([0xab, 0, 0, vbucket as u8]);
        self.ask(request.request(vbucket, opaque))
    }

    pub(super) fn says(&mut self, frame: FrameBuilder) {
        let bytes = frame.build();
        self.notes(&bytes, Direction::To);
        self.connection.feed(&bytes, self.now());
    }

    fn notes(&mut self, bytes: &[u8], direction: Direction) {
        let head = dcp::head(&Frame::whole(bytes).unwrap(), &self.negotiated, 0);
        let what = What::Frame(head);
        self.log.push(Entry { at: self.now(), edge: Side::Upstream, direction, origin: Origin::Peer, what });
    }

    pub(super) fn responds(&mut self, opcode: Opcode, status: Status, opaque: Opaque) {
        self.says(dcp::response(opcode, status, opaque));
    }

    /// Asks, and gives the answer; nothing else may come before it.
    pub(super) fn ask(&mut self, frame: FrameBuilder) -> Seen {
        self.says(frame);
        let mut seen = self.reads(1);
        assert_eq!(seen.len(), 1, "{seen:?}");
        let answer = seen.remove(0);
        assert!(answer.header.is_response(), "{answer:?}");
        answer
    }

    pub(super) fn asks(&mut self, frame: FrameBuilder, status: Status) -> Seen {
        let seen = self.ask(frame);
        assert_eq!(seen.header.status(), Some(status), "{seen:?}");
        seen
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp(1_000_000_000_000 + self.ms * 1_000_000)
    }

    /// Time goes on.
    pub(super) fn waits(&mut self, ms: u64) {
        self.ms += ms;
        self.connection.wakeup(self.now());
    }

    /// Reads frames until there are `count` of them or nothing more comes.
    pub(super) fn reads(&mut self, count: usize) -> Vec<Seen> {
        let mut seen = Vec::new();
        while seen.len() < count {
            if let Some(frame) = self.cut() {
                seen.push(frame);
                continue;
            }
            let before = self.partial.len();
            let (now, budget) = (self.now(), self.budget);
            self.connection.pull(&mut self.partial, budget, now);
            if self.partial.len() == before {
                break;
            }
        }
        seen
    }

    fn cut(&mut self) -> Option<Seen> {
        let header = Header::parse_slice(&self.partial).ok()?;
        let len = header.frame_len() as usize;
        if self.partial.len() < len {
            return None;
        }
        let bytes: Vec<u8> = self.partial.drain(..len).collect();
        self.notes(&bytes, Direction::From);
        let message = dcp::decode(&Frame::whole(&bytes).unwrap(), &self.negotiated)
            .unwrap_or_else(|error| panic!("{error}: {}", hex::encode(&bytes)));
        let charge = dcp::charge(&header);
        self.charged += u64::from(charge);
        if self.acks && charge > 0 {
            self.gives_back(charge);
        }
        Some(Seen { header, message, bytes })
    }

    pub(super) fn gives_back(&mut self, bytes: u32) {
        self.acked += u64::from(bytes);
        self.says(BufferAck { bytes_to_ack: bytes }.request(Opaque([0; 4])));
    }

    /// What the tool's own rules say to all that crossed the node's edge.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let (mut suite, mut session) = (Suite::new(), Session::new(Side::Upstream));
        for entry in &self.log {
            session.observe(entry);
            suite.observe(entry, &session);
        }
        suite.finish()
    }

    /// Whether a plain NOOP is answered; what comes before the answer is dropped.
    pub(super) fn is_alive(&mut self) -> bool {
        self.says(FrameBuilder::request(Opcode::NOOP).opaque(Opaque([1, 1, 1, 1])));
        self.reads(20_000).iter().any(|seen| seen.opcode() == Opcode::NOOP && seen.header.is_response())
    }
}

/// A small node that stays as it is.
pub(super) fn still(config: Config) -> Node {
    Node::new(Config { interval: None, ..config })
}

/// Counts of what came, by opcode.
pub(super) fn counts(seen: &[Seen]) -> BTreeMap<Opcode, usize> {
    let mut counts = BTreeMap::new();
    for frame in seen.iter().filter(|frame| frame.header.is_request()) {
        *counts.entry(frame.opcode()).or_default() += 1;
    }
    counts
}
