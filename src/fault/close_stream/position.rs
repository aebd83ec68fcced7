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

/// Flags that would have the stream begin elsewhere, or do more than to go on.
const NOT_AGAIN: u32 = StreamReq::TAKEOVER | StreamReq::FROM_LATEST | StreamReq::CACHE_TRANSFER;

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
            flags: stream.request.flags & !NOT_AGAIN,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcp::Message;
    use crate::dcp::Negotiated;
    use crate::session::script::Script;
    use crate::session::script::marker;
    use crate::session::script::mutation;
    use crate::session::script::op;
    use crate::session::script::stream_ok;
    use crate::session::script::stream_req;
    use crate::session::script::vb;
    use crate::wire::Frame;

    /// The request that goes on from where a script stands.
    fn request(script: &Script) -> StreamReq {
        let position = Position::of(&script.session, &vb(1), Vec::new()).unwrap();
        let frame = position.request(op(9)).build();
        let frame = Frame::whole(&frame).unwrap();
        assert_eq!((frame.header().vbucket(), frame.header().opaque), (Some(1), op(9)));
        match crate::dcp::decode(&frame, &Negotiated::default()) {
            Ok(Message::StreamReq(request)) => request,
            other => panic!("expected a stream request, found {other:?}"),
        }
    }

    fn place(script: &Script) -> (u64, u64, u64) {
        let request = request(script);
        (request.start_seqno, request.snap_start_seqno, request.snap_end_seqno)
    }

    #[test]
    fn inside_a_snapshot_it_is_that_snapshot() {
        let mut script = Script::opened();
        script.stream(1, 5, 10);
        assert_eq!(place(&script), (10, 10, 10));
        script.p(marker(1, 5, 10, 20));
        script.p(mutation(1, 5, 13));
        assert_eq!(place(&script), (13, 10, 20));
        script.p(mutation(1, 5, 20));
        assert_eq!(place(&script), (20, 10, 20));
    }

    #[test]
    fn a_snapshot_that_nothing_has_come_of_is_not_begun() {
        let mut script = Script::opened();
        script.stream(1, 5, 0);
        script.p(marker(1, 5, 0, 20));
        script.p(mutation(1, 5, 20));
        script.p(marker(1, 5, 21, 30));
        assert_eq!(place(&script), (20, 20, 20));
    }

    #[test]
    fn it_is_the_newest_branch_of_history_and_no_takeover() {
        let mut script = Script::opened();
        script.stream(1, 5, 10);
        let asked = request(&script);
        assert_eq!((asked.vb_uuid, asked.end_seqno, asked.flags), (7, u64::MAX, 0));
        let mut head = stream_req(1, 6, 10);
        let Ok(Message::StreamReq(request_of)) = &mut head.message else { panic!("a stream request") };
        request_of.flags = StreamReq::TAKEOVER | StreamReq::FROM_LATEST | StreamReq::STRICT_VB_UUID;
        script.c(head);
        script.p(stream_ok(6));
        assert_eq!(request(&script).flags, StreamReq::STRICT_VB_UUID);
        assert!(Position::of(&script.session, &vb(2), Vec::new()).is_none());
    }

    #[test]
    fn the_value_is_repeated_to_the_byte() {
        let mut script = Script::opened();
        script.stream(1, 5, 10);
        let filter = br#"{"collections":["8"] }"#.to_vec();
        let position = Position::of(&script.session, &vb(1), filter.clone()).unwrap();
        let frame = position.request(op(9)).build();
        assert_eq!(Frame::whole(&frame).unwrap().value(), Some(&filter[..]));
    }
}
