//! What a consumer asks of a producer's streams: STREAM_REQ, CLOSE_STREAM, SEQNO_ACK.

use super::Producer;
use super::Reply;
use super::answer;
use crate::dcp::FailoverEntry;
use crate::dcp::SeqnoAck;
use crate::dcp::StreamReq;
use crate::dcp::StreamReqResponse;
use crate::era::Era;
use crate::node::Quirk;
use crate::node::bucket::Bucket;
use crate::node::config::Config;
use crate::node::filter::Filter;
use crate::node::parts::Address;
use crate::node::rollback::rollback;
use crate::node::stream::Fault;
use crate::node::stream::Stream;
use crate::node::vbucket::Vbucket;
use crate::wire::Frame;
use crate::wire::Status;

/// The most streams of a connection; a vbucket has several only where stream ids are in use.
const MAX_STREAMS: usize = 4096;

/// The uuid of a failover log that there is not (quirks mb-25820 and mb-17230).
const UUID_OF_NOTHING: u64 = 1 << 40;

/// The seqno below which deletions were forgotten: the node forgets nothing.
const PURGE_SEQNO: u64 = 0;

impl Producer {
    pub(super) fn stream_req(&mut self, frame: &Frame<'_>, bucket: &mut Bucket, config: &Config) -> Reply {
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

    pub(super) fn close_stream(&mut self, frame: &Frame<'_>) -> Status {
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
    pub(super) fn seqno_ack(&mut self, frame: &Frame<'_>, bucket: &Bucket) -> Reply {
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
}

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
