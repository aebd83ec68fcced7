//! A manager with a producer behind it, as ns_server in a rebalance: it dials a consumer node, opens it without the producer
//! flag, adds streams, and forwards the producer's frames and the node's.

use std::collections::VecDeque;

use bytes::Bytes;
use dcproxy::Timestamp;
use dcproxy::dcp::AddStream;
use dcproxy::dcp::Feature;
use dcproxy::dcp::Hello;
use dcproxy::dcp::Open;
use dcproxy::dcp::SaslAuth;
use dcproxy::dcp::SelectBucket;
use dcproxy::dcp::SetVbucket;
use dcproxy::dcp::SetVbucketState;
use dcproxy::era::Era;
use dcproxy::journal::How;
use dcproxy::node;
use dcproxy::node::Node;
use dcproxy::wire::Deframer;
use dcproxy::wire::FrameBuilder;
use dcproxy::wire::MAX_FRAME_LEN;
use dcproxy::wire::Opaque;
use dcproxy::wire::Opcode;
use dcproxy::wire::Piece;

use crate::simulation::world::Peer;
use crate::simulation::world::START;
use crate::simulation::world::Said;

/// When the streams are added: long after the controls were agreed on.
const ADDS_AT: Timestamp = Timestamp(START.0 + 1_000_000_000);

#[derive(Debug)]
pub(crate) struct Manager {
    producer: node::Connection,
    vbuckets: u16,
    deframer: Deframer,
    queue: VecDeque<Said>,
    /// What opens the node, one by one.
    opening: VecDeque<FrameBuilder>,
    opened: bool,
    added: bool,
    announced: Option<Timestamp>,
    now: Timestamp,
}

fn opening(node: &Node, open: Open) -> VecDeque<FrameBuilder> {
    let opaque = Opaque([0xf0, 0, 0, 0]);
    let features = vec![Feature::XATTR, Feature::XERROR, Feature::JSON, Feature::COLLECTIONS];
    let config = node.config();
    let login = format!("\0{}\0{}", config.user, config.password);
    VecDeque::from([
        Hello { agent: "manager".into(), features }.request(opaque),
        SaslAuth { mechanism: "PLAIN".into() }.request(Opcode::SASL_AUTH, login.as_bytes(), opaque),
        SelectBucket { bucket: config.bucket.clone() }.request(opaque),
        open.request(opaque),
    ])
}

impl Manager {
    /// Of a producer like `node`, and a consumer node of that era.
    pub(crate) fn new(node: &Node, era: Era) -> Self {
        let mut producer = node::Connection::new(node, START);
        let open = Open {
            name: "bridge".into(),
            flags: Open::PRODUCER | Open::INCLUDE_XATTRS | Open::INCLUDE_DELETE_TIMES,
            ..Open::default()
        };
        let open = if era >= Era::V6_6 {
            Open { flags: open.flags | Open::INCLUDE_DELETED_USER_XATTRS, ..open }
        } else {
            open
        };
        for request in opening(node, open) {
            producer.feed(&request.build(), START);
            producer.pull(&mut Vec::new(), 4096, START);
        }
        let consumer_name = (era >= Era::V6_5).then(|| "replica".to_owned());
        let open = Open { name: "bridge".into(), flags: Open::INCLUDE_DELETE_TIMES, consumer_name, ..Open::default() };
        let mut opening = opening(node, open);
        // Before DCP_OPEN: its vbuckets are to follow the producer's.
        let open = opening.pop_back().expect("DCP_OPEN is last");
        for vbucket in 0..node.config().vbuckets {
            let set = SetVbucket { state: SetVbucketState::REPLICA };
            opening.push_back(set.request(vbucket, Opaque([0xf0, 0, 0, 1])));
        }
        opening.push_back(open);
        let first = opening.pop_front().expect("HELLO is first");
        Self {
            producer,
            vbuckets: node.config().vbuckets,
            deframer: Deframer::new(MAX_FRAME_LEN),
            queue: VecDeque::from([Said::Write(first.build())]),
            opening,
            opened: false,
            added: false,
            announced: None,
            now: START,
        }
    }
}

impl Peer for Manager {
    fn feed(&mut self, bytes: Bytes, now: Timestamp) {
        self.now = now;
        let mut input: &[u8] = &bytes;
        while let Some(piece) = self.deframer.next(&mut input) {
            let Piece::Frame(frame) = piece else { panic!("expected whole frames") };
            if self.opened {
                // What it asked itself it is answered.
                let own = [Opcode::DCP_ADD_STREAM, Opcode::DCP_CLOSE_STREAM].contains(&frame.header().opcode);
                if !(own && frame.header().is_response()) {
                    self.producer.feed(frame.bytes(), now);
                }
            } else if let Some(next) = self.opening.pop_front() {
                self.queue.push_back(Said::Write(next.build()));
            } else {
                self.opened = true;
            }
        }
    }

    fn closed(&mut self, _: How, _: Timestamp) {
        self.queue.push_back(Said::Close(How::Fin));
    }

    fn wakeup(&mut self, now: Timestamp) {
        self.now = now;
        self.announced = None;
        self.producer.wakeup(now);
        if now >= ADDS_AT && !std::mem::replace(&mut self.added, true) {
            for vbucket in 0..self.vbuckets {
                let opaque = Opaque([0, 0, 0xad, vbucket.to_be_bytes()[1]]);
                let add = AddStream { flags: 0 }.request(vbucket, opaque);
                self.queue.push_back(Said::Write(add.build()));
            }
        }
    }

    fn poll(&mut self) -> Option<Said> {
        if let Some(said) = self.queue.pop_front() {
            return Some(said);
        }
        let wanted = self.producer.next_wakeup(self.now);
        let wanted = if self.added { wanted } else { Some(wanted.map_or(ADDS_AT, |due| due.min(ADDS_AT))) };
        (self.announced != wanted).then(|| {
            self.announced = wanted;
            Said::Wait(wanted)
        })
    }

    fn pull(&mut self, room: usize, now: Timestamp) -> Option<Bytes> {
        let mut bytes = Vec::new();
        self.now = now;
        if self.opened && self.queue.is_empty() {
            self.producer.pull(&mut bytes, room, now);
        }
        (!bytes.is_empty()).then(|| bytes.into())
    }

    fn wants_input(&self) -> bool {
        self.producer.wants_input()
    }
}
