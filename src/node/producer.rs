use std::time::Duration;

use super::Quirk;
use super::bucket::Bucket;
use super::config::Config;
use super::controls;
use super::document::Item;
use super::filter::Filter;
use super::flow::Flow;
use super::noops::Noops;
use super::parts::Address;
use super::rollback::rollback;
use super::send::Sender;
use super::stream::Fault;
use super::stream::Step;
use super::stream::Stream;
use super::terms::Terms;
use super::vbucket::Vbucket;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::BufferAck;
use crate::dcp::Control;
use crate::dcp::FailoverEntry;
use crate::dcp::SeqnoAck;
use crate::dcp::StreamReq;
use crate::dcp::StreamReqResponse;
use crate::era::Era;
use crate::wire::Frame;
use crate::wire::Header;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// A connection that DCP_OPEN made a producer: its terms, its streams, its window.
#[derive(Debug)]
pub(super) struct Producer {
    pub(super) terms: Terms,
    pub(super) noops: Noops,
    pub(super) flow: Flow,
    pub(super) streams: Vec<Stream>,
    /// The stream whose turn is next.
    turn: usize,
    /// Highest seqno that a vbucket's stream has come to on this connection: what a SEQNO_ACK may be about.
    streamed: Vec<(u16, u64)>,
    /// What was acknowledged on streams that were dead already (quirk mb-35226).
    stale_acks: Vec<(u16, u64)>,
    sender: Sender,
    item: Item,
}

/// What becomes of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Reply {
    /// It is answered with this frame.
    Frame(Vec<u8>),
    /// It is not answered.
    Silence,
    /// The connection is closed.
    Close,
}

/// The most streams of a connection; a vbucket has several only where stream ids are in use.
const MAX_STREAMS: usize = 4096;

/// Nothing was received for so long: the producer gives up (dcp-protocol.md §6).
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(360);

/// The uuid of a failover log that there is not (quirks mb-25820 and mb-17230).
const UUID_OF_NOTHING: u64 = 1 << 40;

/// The seqno below which deletions were forgotten: the node forgets nothing.
const PURGE_SEQNO: u64 = 0;

impl Producer {
    pub(super) fn new(terms: Terms) -> Self {
        Self {
            terms,
            noops: Noops::new(),
            flow: Flow::default(),
            streams: Vec::new(),
            turn: 0,
            streamed: Vec::new(),
            stale_acks: Vec::new(),
            sender: Sender::new(),
            item: Item::empty(),
        }
    }

    /// Answers a request, if it is one that only a DCP connection may make; `None` for all others.
    pub(super) fn request(&mut self, frame: &Frame<'_>, bucket: &mut Bucket, config: &Config) -> Option<Reply> {
        let header = frame.header();
        Some(match header.opcode {
            Opcode::DCP_CONTROL => {
                let status =
                    Control::parse(frame).map_or(Status::EINVAL, |asked| controls::apply(&asked, &mut self.terms));
                answer(header, status)
            }
            Opcode::DCP_STREAM_REQ => self.stream_req(frame, bucket, config),
            Opcode::DCP_CLOSE_STREAM => answer(header, self.close_stream(frame)),
            Opcode::DCP_BUFFER_ACK => match BufferAck::parse(frame) {
                Ok(ack) => {
                    self.flow.acknowledge(ack.bytes_to_ack);
                    Reply::Silence
                }
                Err(_) => answer(header, Status::EINVAL),
            },
            Opcode::DCP_SEQNO_ACK => self.seqno_ack(frame, bucket),
            Opcode::DCP_GET_FAILOVER_LOG => bucket.failover_log(header),
            // dcp-protocol.md §2.1, §3.3, §3.7: opened twice; what only consumers are sent.
            Opcode::DCP_OPEN => answer(header, Status::EINVAL),
            Opcode::DCP_ADD_STREAM | Opcode::DCP_NOOP => Reply::Close,
            opcode if dcp::is_stream_message(opcode) => Reply::Close,
            _ => return None,
        })
    }

    fn stream_req(&mut self, frame: &Frame<'_>, bucket: &mut Bucket, config: &Config) -> Reply {
        let header = frame.header();
        match self.admit(frame, bucket) {
            Ok(stream) => {
                let log = bucket.vbucket(header.vbucket_or_status).map(Vbucket::failover_log);
                self.streams.push(stream);
                let response = StreamReqResponse::FailoverLog(log.unwrap_or_default());
                Reply::Frame(response.response(header.opaque).build().to_vec())
            }
            Err(Refusal::Rollback(rollback_seqno)) => {
                let response = StreamReqResponse::Rollback { rollback_seqno };
                Reply::Frame(response.response(header.opaque).build().to_vec())
            }
            Err(Refusal::Status(Status::NOT_MY_VBUCKET)) => self.not_my_vbucket(frame, bucket, config),
            Err(Refusal::Duplicate(at)) => {
                if self.terms.has(Quirk::Mb38356) {
                    self.streams[at].inflict(Fault::Stuck);
                }
                answer(header, Status::KEY_EEXISTS)
            }
            Err(Refusal::Status(status)) => answer(header, status),
        }
    }

    /// Refuses a stream of a vbucket that is not there or dead.
    fn not_my_vbucket(&mut self, frame: &Frame<'_>, bucket: &Bucket, config: &Config) -> Reply {
        let header = frame.header();
        let refusal = bucket.not_my_vbucket(header, config);
        let twice = self.terms.has(Quirk::Mb25820);
        if !twice && !self.terms.has(Quirk::Mb17230) {
            return refusal;
        }
        let log = bucket.vbucket(header.vbucket_or_status).map(Vbucket::failover_log);
        let log = log.unwrap_or_else(|| vec![FailoverEntry { vb_uuid: UUID_OF_NOTHING, seqno: 0 }]);
        let mut frames = StreamReqResponse::FailoverLog(log).response(header.opaque).build().to_vec();
        match (refusal, StreamReq::parse(frame)) {
            (Reply::Frame(refusal), _) if twice => frames.extend(refusal),
            (_, Ok(request)) if self.streams.len() < MAX_STREAMS => {
                let to = Address {
                    vbucket: header.vbucket_or_status,
                    opaque: header.opaque,
                    stream_id: request.stream_id(),
                };
                let mut stream = Stream::new(to, Filter::All, &request, 0, &self.terms);
                stream.inflict(Fault::Stuck);
                self.streams.push(stream);
            }
            _ => {}
        }
        Reply::Frame(frames)
    }

    /// The order of these checks is that of real producers (dcp-protocol.md §3.1).
    fn admit(&self, frame: &Frame<'_>, bucket: &Bucket) -> Result<Stream, Refusal> {
        let header = frame.header();
        let request = StreamReq::parse(frame).map_err(|_| Status::EINVAL)?;
        let known = match self.terms.era {
            Era::Master => 0x1f7,
            Era::V6_0 | Era::V2019_07 | Era::V6_5 | Era::V6_6 | Era::V7_0 => 0x37,
        };
        if request.flags & !known != 0 || (request.value.is_some() && !self.terms.collections) {
            return Err(Status::EINVAL.into());
        }
        let snapshot = request.snap_start_seqno..=request.snap_end_seqno;
        if request.start_seqno > request.end_seqno || !snapshot.contains(&request.start_seqno) {
            return Err(Status::ERANGE.into());
        }
        if !self.terms.noop && (self.terms.xattrs || self.terms.collections) {
            return Err(Status::NOT_SUPPORTED.into());
        }
        let vbucket = bucket.vbucket(header.vbucket_or_status).filter(|vbucket| !vbucket.is_dead());
        let vbucket = vbucket.ok_or(Status::NOT_MY_VBUCKET)?;
        let filter = Filter::new(self.terms.collections, request.value.as_deref(), vbucket)?;
        let stream_id = request.stream_id();
        if self.terms.stream_ids != stream_id.is_some() {
            return Err(Status::DCP_STREAM_ID_INVALID.into());
        }
        if filter.is_narrow() && self.terms.sync_writes {
            return Err(Status::NOT_SUPPORTED.into());
        }
        let to = Address { vbucket: header.vbucket_or_status, opaque: header.opaque, stream_id };
        if let Some(at) = self.find(to.vbucket, stream_id) {
            return Err(Refusal::Duplicate(at));
        }
        let closing =
            self.streams.iter().any(|stream| (stream.to.vbucket, stream.to.stream_id) == (to.vbucket, stream_id));
        if closing && self.terms.has(Quirk::RefuseReadd) {
            return Err(Status::KEY_EEXISTS.into());
        }
        if let Some(seqno) = rollback(&request, &vbucket.failover_log(), vbucket.high(), PURGE_SEQNO) {
            return Err(Refusal::Rollback(seqno));
        }
        if request.start_seqno > 0 && self.terms.has(Quirk::RollbackStorm) {
            return Err(Refusal::Rollback(request.start_seqno - 1));
        }
        let latest = request.flags & (StreamReq::TO_LATEST | StreamReq::DISK_ONLY) != 0;
        if request.start_seqno > vbucket.high()
            || (latest && request.start_seqno > request.end_seqno.min(vbucket.high()))
        {
            return Err(Status::ERANGE.into());
        }
        if self.streams.len() >= MAX_STREAMS {
            return Err(Status::ENOMEM.into());
        }
        Ok(Stream::new(to, filter, &request, vbucket.high(), &self.terms))
    }

    fn find(&self, vbucket: u16, stream_id: Option<u16>) -> Option<usize> {
        self.streams
            .iter()
            .position(|stream| stream.is_active() && stream.to.vbucket == vbucket && stream.to.stream_id == stream_id)
    }

    fn close_stream(&mut self, frame: &Frame<'_>) -> Status {
        let stream_id = frame.frame_infos().stream_id();
        if self.terms.stream_ids != stream_id.is_some() {
            return Status::DCP_STREAM_ID_INVALID;
        }
        let Some(at) = self.find(frame.header().vbucket_or_status, stream_id) else { return Status::KEY_ENOENT };
        if self.terms.stream_end_on_close && !self.terms.has(Quirk::Mb26363) {
            self.streams[at].close();
        } else {
            self.remove(at);
        }
        Status::SUCCESS
    }

    /// dcp-protocol.md §4.7, and MB-35378 for a stream that is gone.
    fn seqno_ack(&mut self, frame: &Frame<'_>, bucket: &Bucket) -> Reply {
        let header = frame.header();
        let Ok(ack) = SeqnoAck::parse(frame) else { return answer(header, Status::EINVAL) };
        if !self.terms.sync_replication() {
            return answer(header, Status::EINVAL);
        }
        if bucket.vbucket(header.vbucket_or_status).is_none_or(Vbucket::is_deleted) {
            return answer(header, Status::NOT_MY_VBUCKET);
        }
        let number = header.vbucket_or_status;
        match self.streamed.iter().find(|(vbucket, _)| *vbucket == number) {
            Some(&(_, last)) if ack.prepared_seqno <= last => {}
            Some(_) | None => return Reply::Close,
        }
        let mut streams = self.streams.iter().filter(|stream| stream.to.vbucket == number);
        let (gone, live) = (streams.clone().next().is_none(), streams.any(Stream::is_active));
        if gone && self.terms.has(Quirk::Mb35378) {
            return Reply::Close;
        }
        if self.terms.has(Quirk::Mb35226) {
            match self.stale_acks.iter().find(|(vbucket, _)| *vbucket == number) {
                Some(&(_, stale)) if live && ack.prepared_seqno < stale => return Reply::Close,
                None if !live && !gone => self.stale_acks.push((number, ack.prepared_seqno)),
                Some(_) | None => {}
            }
        }
        Reply::Silence
    }

    fn remove(&mut self, at: usize) {
        self.streams.remove(at);
        if self.turn > at {
            self.turn -= 1;
        }
    }

    /// Appends messages of the streams, each in its turn, until `to` has about `limit` bytes or nothing may go.
    pub(super) fn pull(&mut self, to: &mut Vec<u8>, limit: usize, bucket: &Bucket) {
        let mut idle = 0;
        while to.len() < limit && idle < self.streams.len() && self.flow.may_send(self.terms.window) {
            if self.turn >= self.streams.len() {
                self.turn = 0;
            }
            match self.step(bucket, to) {
                Some(Step::Sent(charge)) => {
                    self.flow.charge(charge);
                    self.turn += 1;
                    idle = 0;
                }
                Some(Step::Ended(charge)) => {
                    self.flow.charge(charge);
                    idle = 0;
                    let undead = charge > 0 && self.terms.has(Quirk::Mb18625);
                    if undead {
                        self.streams[self.turn].inflict(Fault::Undead(UNDEAD_MESSAGES));
                        self.turn += 1;
                    } else {
                        self.remove(self.turn);
                    }
                }
                Some(Step::Idle) | None => {
                    self.turn += 1;
                    idle += 1;
                }
            }
        }
        if !self.flow.may_send(self.terms.window) {
            self.window_is_full(bucket);
        }
    }

    fn window_is_full(&mut self, bucket: &Bucket) {
        for stream in &mut self.streams {
            if self.terms.has(Quirk::Mb31481) {
                stream.interrupt();
            }
            if self.terms.has(Quirk::Mb45523)
                && let Some(vbucket) = bucket.vbucket(stream.to.vbucket)
            {
                stream.lose_vbucket_state(vbucket);
            }
        }
    }

    fn step(&mut self, bucket: &Bucket, to: &mut Vec<u8>) -> Option<Step> {
        let stream = &mut self.streams[self.turn];
        let leaks = self.terms.has(Quirk::LeakWindow);
        if leaks
            && stream.is_active()
            && stream.is_inside()
            && !stream.was_answered()
            && !self.flow.may_send_with_leak(self.terms.window)
        {
            return None;
        }
        let vbucket = bucket.vbucket(stream.to.vbucket)?;
        let step = stream.step(vbucket, &self.terms, &mut self.sender, &mut self.item, to);
        if step != Step::Idle {
            let (number, last) = (stream.to.vbucket, stream.last_seqno());
            match self.streamed.iter_mut().find(|(vbucket, _)| *vbucket == number) {
                Some((_, known)) => *known = last.max(*known),
                None => self.streamed.push((number, last)),
            }
        }
        Some(step)
    }

    /// Whether any stream waits for its vbucket to get more.
    pub(super) fn is_waiting(&self, bucket: &Bucket) -> bool {
        self.streams
            .iter()
            .any(|stream| bucket.vbucket(stream.to.vbucket).is_some_and(|vbucket| stream.is_waiting(vbucket.high())))
    }

    /// The stream with this opaque that is not at its end.
    pub(super) fn by_opaque(&mut self, opaque: Opaque) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.to.opaque == opaque)
    }

    /// When something is to happen that no bytes bring about.
    pub(super) fn next_wakeup(&self, last_heard: Timestamp) -> Option<Timestamp> {
        let idle = self.terms.noop.then(|| last_heard + IDLE_TIMEOUT);
        self.noops.next(&self.terms).into_iter().chain(idle).min()
    }
}

/// How many messages a stream still sends after its end.
const UNDEAD_MESSAGES: u8 = 8;

enum Refusal {
    Status(Status),
    Rollback(u64),
    /// This stream is open already.
    Duplicate(usize),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// A response without a body.
pub(super) fn answer(header: &Header, status: Status) -> Reply {
    Reply::Frame(dcp::response(header.opcode, status, header.opaque).build().to_vec())
}
