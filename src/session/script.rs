//! Words for tests: a connection told frame by frame, at the edge of its producer.

use super::Census;
use super::Context;
use super::Session;
use super::StreamKey;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::FailoverEntry;
use crate::dcp::FrameHead;
use crate::dcp::Message;
use crate::dcp::StreamReqResponse;
use crate::journal::Direction;
use crate::journal::Entry;
use crate::journal::Origin;
use crate::journal::Side;
use crate::journal::What;
use crate::wire::Datatype;
use crate::wire::Header;
use crate::wire::Magic;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// The stream of a vbucket, without a stream id.
pub(crate) const fn vb(vbucket: u16) -> StreamKey {
    StreamKey { vbucket, stream_id: None }
}

/// An opaque that says `n`.
pub(crate) const fn op(n: u32) -> Opaque {
    Opaque(n.to_be_bytes())
}

/// A request with an opcode, a vbucket, an opaque and what it says.
pub(crate) fn request(opcode: Opcode, vbucket: u16, opaque: u32, message: Message) -> FrameHead {
    let (extras_len, key_len, body_len) = match opcode {
        Opcode::DCP_MUTATION | Opcode::DCP_PREPARE => (31, 3, 50),
        Opcode::DCP_SNAPSHOT_MARKER => (20, 0, 20),
        Opcode::DCP_STREAM_END => (4, 0, 4),
        _ => (0, 0, 0),
    };
    let header = Header {
        magic: Magic::REQUEST,
        opcode,
        framing_extras_len: 0,
        key_len,
        extras_len,
        datatype: Datatype::RAW,
        vbucket_or_status: vbucket,
        body_len,
        opaque: op(opaque),
        cas: if opcode == Opcode::DCP_MUTATION || opcode == Opcode::DCP_PREPARE { 1 } else { 0 },
    };
    FrameHead { header, message: Ok(message), stream_id: None, collection_id: None, key_hash: 0 }
}

/// A response with an opcode, a status, an opaque and what it says.
pub(crate) fn response(opcode: Opcode, status: Status, opaque: u32, message: Message) -> FrameHead {
    let mut head = request(opcode, status.0, opaque, message);
    head.header = Header { magic: Magic::RESPONSE, extras_len: 0, key_len: 0, body_len: 0, cas: 0, ..head.header };
    head
}

/// A response without a body.
pub(crate) fn plain(opcode: Opcode, status: Status, opaque: u32) -> FrameHead {
    response(opcode, status, opaque, Message::Response)
}

/// A request for everything of a vbucket after `start_seqno`.
pub(crate) fn stream_req(vbucket: u16, opaque: u32, start_seqno: u64) -> FrameHead {
    let request_of = dcp::StreamReq {
        flags: 0,
        reserved: 0,
        start_seqno,
        end_seqno: u64::MAX,
        vb_uuid: 7,
        snap_start_seqno: start_seqno,
        snap_end_seqno: start_seqno,
        value: None,
    };
    request(Opcode::DCP_STREAM_REQ, vbucket, opaque, Message::StreamReq(request_of))
}

/// The answer that opens a stream.
pub(crate) fn stream_ok(opaque: u32) -> FrameHead {
    let log = vec![FailoverEntry { vb_uuid: 7, seqno: 0 }];
    let message = Message::StreamReqResponse(StreamReqResponse::FailoverLog(log));
    FrameHead {
        header: Header {
            body_len: 16,
            ..response(Opcode::DCP_STREAM_REQ, Status::SUCCESS, opaque, Message::Response).header
        },
        ..response(Opcode::DCP_STREAM_REQ, Status::SUCCESS, opaque, message)
    }
}

/// A memory snapshot's marker.
pub(crate) fn marker(vbucket: u16, opaque: u32, start_seqno: u64, end_seqno: u64) -> FrameHead {
    marker_with(vbucket, opaque, start_seqno, end_seqno, dcp::SnapshotMarker::MEMORY)
}

/// A marker of version 1 with these flags.
pub(crate) fn marker_with(vbucket: u16, opaque: u32, start_seqno: u64, end_seqno: u64, flags: u32) -> FrameHead {
    let marker = dcp::SnapshotMarker { start_seqno, end_seqno, flags, ..dcp::SnapshotMarker::default() };
    request(Opcode::DCP_SNAPSHOT_MARKER, vbucket, opaque, Message::SnapshotMarker(marker))
}

/// A mutation.
pub(crate) fn mutation(vbucket: u16, opaque: u32, by_seqno: u64) -> FrameHead {
    let message = Message::Mutation(dcp::Mutation { by_seqno, rev_seqno: 1, ..dcp::Mutation::default() });
    let mut head = request(Opcode::DCP_MUTATION, vbucket, opaque, message);
    head.key_hash = by_seqno;
    head
}

/// A PREPARE (level majority) of the key with this hash.
pub(crate) fn prepare(vbucket: u16, opaque: u32, by_seqno: u64, key_hash: u64) -> FrameHead {
    let prepare = dcp::Prepare { by_seqno, rev_seqno: 1, durability_level: 1, ..dcp::Prepare::default() };
    FrameHead { key_hash, ..request(Opcode::DCP_PREPARE, vbucket, opaque, Message::Prepare(prepare)) }
}

/// A COMMIT of the key with this hash: the seqno of its prepare, and its own.
pub(crate) fn commit(vbucket: u16, opaque: u32, [prepared_seqno, commit_seqno]: [u64; 2], key_hash: u64) -> FrameHead {
    let message = Message::Commit(dcp::Commit { prepared_seqno, commit_seqno });
    FrameHead { key_hash, ..request(Opcode::DCP_COMMIT, vbucket, opaque, message) }
}

/// An ABORT of the key with this hash: the seqno of its prepare, and its own.
pub(crate) fn abort(vbucket: u16, opaque: u32, [prepared_seqno, abort_seqno]: [u64; 2], key_hash: u64) -> FrameHead {
    let message = Message::Abort(dcp::Abort { prepared_seqno, abort_seqno });
    FrameHead { key_hash, ..request(Opcode::DCP_ABORT, vbucket, opaque, message) }
}

/// SEQNO_ACK.
pub(crate) fn seqno_ack(vbucket: u16, opaque: u32, prepared_seqno: u64) -> FrameHead {
    request(Opcode::DCP_SEQNO_ACK, vbucket, opaque, Message::SeqnoAck(dcp::SeqnoAck { prepared_seqno }))
}

/// A system event of version 0.
pub(crate) fn system_event(
    vbucket: u16,
    opaque: u32,
    by_seqno: u64,
    event: u32,
    body: dcp::SystemEventBody,
) -> FrameHead {
    let message = Message::SystemEvent(dcp::SystemEvent { by_seqno, event, version: 0, body });
    request(Opcode::DCP_SYSTEM_EVENT, vbucket, opaque, message)
}

/// STREAM_END.
pub(crate) fn stream_end(vbucket: u16, opaque: u32, end_reason: u32) -> FrameHead {
    request(Opcode::DCP_STREAM_END, vbucket, opaque, Message::StreamEnd(dcp::StreamEnd { end_reason }))
}

/// CLOSE_STREAM.
pub(crate) fn close_stream(vbucket: u16, opaque: u32) -> FrameHead {
    request(Opcode::DCP_CLOSE_STREAM, vbucket, opaque, Message::CloseStream(dcp::CloseStream))
}

/// BUFFER_ACK.
pub(crate) fn buffer_ack(bytes_to_ack: u32) -> FrameHead {
    request(Opcode::DCP_BUFFER_ACK, 0, 0, Message::BufferAck(dcp::BufferAck { bytes_to_ack }))
}

/// A control.
pub(crate) fn control(opaque: u32, key: &str, value: &str) -> FrameHead {
    let message = Message::Control(dcp::Control { key: key.to_owned(), value: value.to_owned() });
    request(Opcode::DCP_CONTROL, 0, opaque, message)
}

/// DCP_OPEN.
pub(crate) fn open(opaque: u32, flags: u32, consumer_name: Option<&str>) -> FrameHead {
    let consumer_name = consumer_name.map(str::to_owned);
    let message = Message::Open(dcp::Open { name: "test".to_owned(), seqno: 0, flags, consumer_name });
    request(Opcode::DCP_OPEN, 0, opaque, message)
}

/// A connection told frame by frame. The consumer dials; the edge is the producer's.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) session: Session,
    pub(crate) origin: Origin,
    now: u64,
    log: Vec<Entry>,
}

impl Script {
    /// Nothing was said yet.
    pub(crate) fn blank() -> Self {
        Self { session: Session::new(Side::Upstream), origin: Origin::Peer, now: 0, log: Vec::new() }
    }

    /// HELLO has agreed on `features`; DCP_OPEN with `flags` and each of `controls` were accepted.
    pub(crate) fn with(features: &[u16], flags: u32, controls: &[(&str, &str)]) -> Self {
        let mut script = Self::blank();
        let hello = dcp::Hello { agent: "test".to_owned(), features: features.to_vec() };
        script.c(request(Opcode::HELLO, 0, 1, Message::Hello(hello)));
        let granted = dcp::HelloResponse { features: features.to_vec() };
        script.p(response(Opcode::HELLO, Status::SUCCESS, 1, Message::HelloResponse(granted)));
        script.c(open(2, flags, None));
        script.p(plain(Opcode::DCP_OPEN, Status::SUCCESS, 2));
        for (key, value) in controls {
            script.c(control(3, key, value));
            script.p(plain(Opcode::DCP_CONTROL, Status::SUCCESS, 3));
        }
        script
    }

    /// A producer connection with nothing agreed on.
    pub(crate) fn opened() -> Self {
        Self::with(&[], dcp::Open::PRODUCER, &[])
    }

    /// A stream from `start` on is open.
    pub(crate) fn stream(&mut self, vbucket: u16, opaque: u32, start: u64) {
        self.c(stream_req(vbucket, opaque, start));
        self.p(stream_ok(opaque));
    }

    /// The consumer says something.
    pub(crate) fn c(&mut self, head: FrameHead) -> Context {
        self.say(Direction::To, What::Frame(head))
    }

    /// The producer says something.
    pub(crate) fn p(&mut self, head: FrameHead) -> Context {
        self.say(Direction::From, What::Frame(head))
    }

    /// Something happens.
    pub(crate) fn say(&mut self, direction: Direction, what: What) -> Context {
        self.now += 1_000_000;
        let entry = Entry { at: Timestamp(self.now), edge: Side::Upstream, direction, origin: self.origin, what };
        let context = *self.session.observe(&entry);
        self.log.push(entry);
        self.count();
        context
    }

    /// The streams are counted as whoever looks through them counts them.
    fn count(&self) {
        let streams = self.session.streams();
        if streams.len() <= 64 {
            let mut counted = Census::default();
            streams.iter().for_each(|stream| counted.moved(None, Some(stream.state)));
            assert_eq!(streams.census(), counted, "after {:?}", self.log.last());
        }
    }

    /// Time passes.
    pub(crate) fn wait_ms(&mut self, ms: u64) {
        self.now += ms * 1_000_000;
    }

    /// All that was said.
    pub(crate) fn log(&self) -> &[Entry] {
        &self.log
    }
}
