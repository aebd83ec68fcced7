use crate::dcp::StreamReq;
use crate::session::Session;
use crate::session::StreamKey;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;

/// Where a consumer is in a stream, and how it had asked for it: what it takes to request the stream again from there.
#[derive(Clone, Debug)]
pub(super) struct Position {
    key: StreamKey,
    flags: u32,
    end_seqno: u64,
    vb_uuid: u64,
    pub(super) seqno: u64,
    snapshot: (u64, u64),
    filter: Vec<u8>,
}

impl Position {
    /// The position of the consumer at whose edge `session` is.
    pub(super) fn of(session: &Session, key: &StreamKey, filter: Vec<u8>) -> Option<Self> {
        let stream = session.stream(*key)?;
        let seqno = stream.last_seqno;
        // A snapshot that nothing has come of is not begun: the position is still the end of the one before.
        let snapshot = stream
            .snapshot
            .map(|snapshot| (snapshot.start, snapshot.end))
            .filter(|&(start, end)| start <= seqno && seqno <= end)
            .unwrap_or((seqno, seqno));
        Some(Self {
            key: *key,
            flags: stream.request.flags & !StreamReq::TAKEOVER,
            end_seqno: stream.request.end_seqno,
            vb_uuid: stream.failover_log.first().map_or(stream.request.vb_uuid, |newest| newest.vb_uuid),
            seqno,
            snapshot,
            filter,
        })
    }

    /// The STREAM_REQ that goes on from here.
    pub(super) fn request(&self, opaque: Opaque) -> FrameBuilder {
        StreamReq {
            flags: self.flags,
            reserved: 0,
            start_seqno: self.seqno,
            end_seqno: self.end_seqno.max(self.seqno),
            vb_uuid: self.vb_uuid,
            snap_start_seqno: self.snapshot.0,
            snap_end_seqno: self.snapshot.1,
            value: None,
        }
        .request(self.key.vbucket, opaque)
        .value(self.filter.clone())
    }
}
