use super::super::Config;
use super::super::Node;
use super::peer::EVERYTHING;
use super::peer::Peer;
use super::peer::Seen;
use super::peer::still;
use crate::dcp::CloseStream;
use crate::dcp::FailoverEntry;
use crate::dcp::GetFailoverLog;
use crate::dcp::Message;
use crate::dcp::Open;
use crate::dcp::SnapshotMarker;
use crate::dcp::StreamEnd;
use crate::dcp::StreamReq;
use crate::dcp::StreamReqResponse;
use crate::dcp::StreamReqValue;
use crate::era::Era;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

fn status(seen: &Seen) -> Status {
    seen.header.status().unwrap()
}

fn from(start: u64) -> StreamReq {
    StreamReq {
        start_seqno: start,
        end_seqno: u64::MAX,
        snap_start_seqno: start,
        snap_end_seqno: start,
        ..StreamReq::default()
    }
}

fn value(value: StreamReqValue) -> StreamReq {
    StreamReq { value: Some(Box::new(value)), ..from(0) }
}

/// A consumer of everything but sync writes, so that filters are allowed.
fn filtering(node: &Node) -> Peer {
    let mut peer = Peer::opened(node, EVERYTHING, Open::INCLUDE_XATTRS | Open::INCLUDE_DELETE_TIMES);
    peer.controls(&[("enable_noop", "true"), ("enable_expiry_opcode", "true")]);
    peer
}

fn failover_log(peer: &mut Peer, vbucket: u16) -> Vec<FailoverEntry> {
    let seen = peer.ask(GetFailoverLog.request(vbucket, Opaque([0; 4])));
    let Message::FailoverLog(log) = seen.message else { panic!("{seen:?}") };
    log.failover_log
}

fn markers(seen: &[Seen]) -> Vec<SnapshotMarker> {
    let marker = |frame: &Seen| match frame.message {
        Message::SnapshotMarker(marker) => Some(marker),
        _ => None,
    };
    seen.iter().filter_map(marker).collect()
}

#[test]
fn a_request_is_checked_in_the_order_of_real_producers() {
    let node = still(Config::default());
    let mut peer = filtering(&node);
    let refused = |peer: &mut Peer, request: StreamReq, vbucket| status(&peer.stream_req(&request, vbucket));
    let unknown_flag = StreamReq { flags: 0x40, ..from(0) };
    assert_eq!(refused(&mut peer, unknown_flag, 9), Status::EINVAL);
    assert_eq!(refused(&mut peer, StreamReq { end_seqno: 5, ..from(10) }, 9), Status::ERANGE);
    assert_eq!(refused(&mut peer, StreamReq { snap_end_seqno: 9, ..from(10) }, 9), Status::ERANGE);
    assert_eq!(refused(&mut peer, from(0), 9), Status::NOT_MY_VBUCKET);
    let collections = |ids: &[u32]| value(StreamReqValue { collections: Some(ids.to_vec()), ..Default::default() });
    assert_eq!(refused(&mut peer, collections(&[0, 0x9999]), 0), Status::UNKNOWN_COLLECTION);
    let scope = |id| value(StreamReqValue { scope: Some(id), ..Default::default() });
    assert_eq!(refused(&mut peer, scope(0x77), 0), Status::UNKNOWN_SCOPE);
    let sid = value(StreamReqValue { sid: Some(3), ..Default::default() });
    assert_eq!(refused(&mut peer, sid, 0), Status::DCP_STREAM_ID_INVALID);
    assert_eq!(refused(&mut peer, from(0), 0), Status::SUCCESS);
    peer.reads(usize::MAX);
    assert_eq!(refused(&mut peer, from(0), 0), Status::KEY_EEXISTS);
    let mut peer = Peer::opened(&node, EVERYTHING, 0);
    assert_eq!(refused(&mut peer, from(0), 0), Status::NOT_SUPPORTED, "no-ops are not on");
    let mut peer = Peer::with_everything(&node);
    assert_eq!(refused(&mut peer, collections(&[0]), 0), Status::NOT_SUPPORTED, "a filter with sync writes");
    let mut peer = Peer::opened(&node, &[], 0);
    assert_eq!(refused(&mut peer, collections(&[0]), 0), Status::EINVAL, "a filter without collections");
}

#[test]
fn a_refused_second_request_leaves_the_first_stream_alone() {
    let mut peer = Peer::with_everything(&still(Config { items: 500, ..Config::default() }));
    peer.stream(0);
    let first = peer.reads(20);
    let seen = {
        peer.says(from(0).request(0, Opaque([9; 4])));
        peer.reads(usize::MAX)
    };
    assert_eq!(seen.iter().filter(|frame| frame.header.status() == Some(Status::KEY_EEXISTS)).count(), 1);
    let last = seen.iter().rev().find_map(|frame| frame.message.by_seqno()).unwrap();
    assert_eq!(last, 500, "MB-38356: {} frames before", first.len());
}

#[test]
fn a_rollback_is_told_and_a_stream_resumed() {
    let node = still(Config { items: 900, ..Config::default() });
    let mut peer = Peer::with_everything(&node);
    let log = failover_log(&mut peer, 1);
    assert_eq!(log.iter().map(|entry| entry.seqno).collect::<Vec<_>>(), [300, 0]);
    let rollback = |seen: Seen| match seen.message {
        Message::StreamReqResponse(StreamReqResponse::Rollback { rollback_seqno }) => Some(rollback_seqno),
        _ => None,
    };
    assert_eq!(rollback(peer.stream_req(&StreamReq { vb_uuid: 77, ..from(50) }, 1)), Some(0));
    let old = StreamReq { vb_uuid: log[1].vb_uuid, snap_end_seqno: 450, ..from(400) };
    assert_eq!(rollback(peer.stream_req(&StreamReq { snap_start_seqno: 350, ..old }, 1)), Some(300));
    let beyond = StreamReq { vb_uuid: log[0].vb_uuid, ..from(901) };
    assert_eq!(rollback(peer.stream_req(&beyond, 1)), Some(900));
    let resume = StreamReq { vb_uuid: log[0].vb_uuid, snap_start_seqno: 420, snap_end_seqno: 470, ..from(450) };
    let seen = peer.stream_req(&resume, 1);
    let Message::StreamReqResponse(StreamReqResponse::FailoverLog(told)) = &seen.message else { panic!("{seen:?}") };
    assert_eq!(told, &log);
    let seen = peer.reads(usize::MAX);
    assert_eq!(markers(&seen)[0].start_seqno, 420, "the first marker starts where the consumer's snapshot did");
    let seqnos: Vec<u64> = seen.iter().filter_map(|frame| frame.message.by_seqno()).collect();
    assert!(seqnos[0] > 450 && seqnos.is_sorted() && *seqnos.last().unwrap() == 900);
}

#[test]
fn a_resumed_stream_has_the_items_that_the_first_had() {
    let node = still(Config { items: 1200, ..Config::default() });
    let mut peer = Peer::with_everything(&node);
    let vb_uuid = failover_log(&mut peer, 0)[0].vb_uuid;
    peer.stream(0);
    let whole = peer.reads(usize::MAX);
    let marker = markers(&whole).into_iter().find(|marker| marker.start_seqno > 300).unwrap();
    let start = marker.start_seqno + 20;
    let mut again = Peer::with_everything(&node);
    let request =
        StreamReq { vb_uuid, snap_start_seqno: marker.start_seqno, snap_end_seqno: marker.end_seqno, ..from(start) };
    again.stream_req(&request, 0);
    let rest = again.reads(usize::MAX);
    let items = |seen: &[Seen]| {
        let after = |frame: &&Seen| frame.message.by_seqno().is_some_and(|seqno| seqno > start);
        seen.iter().filter(after).map(|frame| frame.bytes[16..].to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(items(&whole), items(&rest));
    assert_eq!(markers(&rest)[0].end_seqno, marker.end_seqno);
}

#[test]
fn a_stream_with_an_end_ends_and_can_be_had_again() {
    let mut peer = Peer::with_everything(&still(Config { items: 700, ..Config::default() }));
    for flags in [0, StreamReq::TO_LATEST] {
        let end_seqno = if flags == 0 { 700 } else { u64::MAX };
        peer.stream_req(&StreamReq { flags, end_seqno, ..from(0) }, 2);
        let seen = peer.reads(usize::MAX);
        assert_eq!(seen.last().unwrap().message, Message::StreamEnd(StreamEnd { end_reason: 0 }));
        assert_eq!(seen.iter().filter_map(|frame| frame.message.by_seqno()).max(), Some(700));
    }
}

#[test]
fn disk_only_is_one_disk_snapshot_of_everything() {
    let mut peer = Peer::with_everything(&still(Config { items: 700, ..Config::default() }));
    peer.stream_req(&StreamReq { flags: StreamReq::DISK_ONLY, ..from(0) }, 0);
    let seen = peer.reads(usize::MAX);
    let markers = markers(&seen);
    assert_eq!(markers.len(), 1);
    assert_eq!((markers[0].start_seqno, markers[0].end_seqno, markers[0].flags), (0, 700, 6));
    assert!(seen.iter().all(|frame| frame.opcode() != Opcode::DCP_COMMIT));
    assert_eq!(seen.last().unwrap().opcode(), Opcode::DCP_STREAM_END);
}

#[test]
fn markers_have_the_version_that_was_agreed() {
    let versions = |peer: &mut Peer| {
        peer.stream(0);
        let seen = peer.reads(usize::MAX);
        markers(&seen).iter().take(2).map(|marker| (marker.version.name(), marker.flags)).collect::<Vec<_>>()
    };
    let node = still(Config { items: 300, era: Era::Master, ..Config::default() });
    assert_eq!(versions(&mut filtering(&node)), [("1", 6), ("1", 5)]);
    assert_eq!(versions(&mut Peer::with_everything(&node)), [("2.0", 6), ("2.0", 5)]);
    let mut peer = Peer::with_everything(&node);
    assert_eq!(peer.control("max_marker_version", "2.2"), Status::SUCCESS);
    assert_eq!(versions(&mut peer), [("2.2", 6), ("2.0", 5)]);
    let mut peer = filtering(&node);
    peer.control("max_marker_version", "2.2");
    assert_eq!(versions(&mut peer), [("2.2", 6), ("1", 5)]);
}

#[test]
fn filters_let_through_what_they_name() {
    let node = still(Config { items: 500, ..Config::default() });
    let collections = |seen: &[Seen]| {
        let items = seen.iter().filter(|frame| frame.header.is_request() && frame.header.key_len > 0);
        let items = items.filter(|frame| frame.opcode() != Opcode::DCP_SYSTEM_EVENT);
        let ids = items.map(|frame| crate::wire::leb128::split(frame.frame().key()).unwrap().0);
        ids.collect::<std::collections::BTreeSet<_>>()
    };
    let mut peer = filtering(&node);
    peer.stream_req(&value(StreamReqValue { collections: Some(vec![9, 0xb]), ..Default::default() }), 0);
    let seen = peer.reads(usize::MAX);
    assert_eq!(collections(&seen), [9, 11].into());
    assert_eq!(super::peer::counts(&seen)[&Opcode::DCP_SYSTEM_EVENT], 2, "their creations and no more");
    assert!(super::peer::counts(&seen)[&Opcode::DCP_SEQNO_ADVANCED] > 0);
    let mut peer = filtering(&node);
    peer.stream_req(&value(StreamReqValue { scope: Some(8), ..Default::default() }), 0);
    let seen = peer.reads(usize::MAX);
    assert!(collections(&seen).iter().all(|id| id % 2 == 1) && collections(&seen).len() > 5);
    let mut peer = filtering(&node);
    peer.stream_req(&from(0), 0);
    assert!(collections(&peer.reads(usize::MAX)).len() > 10);
}

#[test]
fn a_filter_of_a_dropped_collection_ends_the_stream() {
    // Collection 8 is dropped at seqno 64 * 32 + 21.
    let node = Node::new(Config { items: 2040, ..Config::default() });
    let mut peer = filtering(&node);
    peer.stream_req(&value(StreamReqValue { collections: Some(vec![8]), ..Default::default() }), 0);
    assert!(peer.reads(usize::MAX).iter().all(|frame| frame.opcode() != Opcode::DCP_STREAM_END));
    peer.waits(300);
    let seen = peer.reads(usize::MAX);
    assert_eq!(seen.last().unwrap().message, Message::StreamEnd(StreamEnd { end_reason: 7 }));
    assert_eq!(seen[seen.len() - 2].opcode(), Opcode::DCP_SYSTEM_EVENT);
}

#[test]
fn without_collections_there_is_the_default_one_only() {
    let mut peer = Peer::opened(&still(Config { items: 500, ..Config::default() }), &[], 0);
    peer.stream(0);
    let seen = peer.reads(usize::MAX);
    let counts = super::peer::counts(&seen);
    assert!(!counts.contains_key(&Opcode::DCP_SYSTEM_EVENT) && !counts.contains_key(&Opcode::DCP_SEQNO_ADVANCED));
    assert!(!counts.contains_key(&Opcode::DCP_PREPARE) && !counts.contains_key(&Opcode::DCP_EXPIRATION));
    let mut keys = seen.iter().filter(|frame| frame.header.is_request() && frame.header.key_len > 0);
    assert!(keys.all(|frame| frame.frame().key().starts_with(b"order-")));
    for (marker, next) in markers(&seen).iter().zip(markers(&seen).iter().skip(1)) {
        assert!(next.start_seqno > marker.end_seqno);
        assert!(seen.iter().any(|frame| frame.message.by_seqno() == Some(marker.end_seqno)), "{marker:?}");
    }
}

#[test]
fn stream_ids_make_several_streams_of_a_vbucket() {
    let mut peer = filtering(&still(Config { items: 300, ..Config::default() }));
    assert_eq!(peer.control("enable_stream_id", "true"), Status::SUCCESS);
    assert_eq!(status(&peer.stream_req(&from(0), 0)), Status::DCP_STREAM_ID_INVALID);
    for sid in [1, 0x147] {
        let request = value(StreamReqValue { sid: Some(sid), ..Default::default() });
        peer.says(request.request(0, Opaque([sid as u8; 4])));
    }
    let seen = peer.reads(usize::MAX);
    for frame in seen.iter().filter(|frame| frame.header.is_request()) {
        let sid = frame.frame().frame_infos().stream_id().unwrap();
        assert_eq!(frame.header.opaque, Opaque([sid as u8; 4]));
    }
    let close = || CloseStream.request(0, Opaque([0; 4]));
    peer.asks(close(), Status::DCP_STREAM_ID_INVALID);
    peer.asks(close().stream_id(Some(2)), Status::KEY_ENOENT);
    peer.asks(close().stream_id(Some(1)), Status::SUCCESS);
    peer.asks(close().stream_id(Some(1)), Status::KEY_ENOENT);
    peer.asks(close().stream_id(Some(0x147)), Status::SUCCESS);
}

#[test]
fn an_endless_stream_goes_on_as_time_does() {
    let node = Node::new(Config { items: 200, ..Config::default() });
    let mut peer = Peer::with_everything(&node);
    peer.stream(0);
    let last = |seen: &[Seen]| seen.iter().filter_map(|frame| frame.message.by_seqno()).max();
    assert_eq!(last(&peer.reads(usize::MAX)), Some(200));
    let due = peer.connection.next_wakeup(peer.now()).unwrap();
    assert!(due.since(peer.now()).as_millis() <= 100);
    peer.waits(100);
    assert_eq!(last(&peer.reads(usize::MAX)), Some(232));
    peer.waits(1000);
    let seen = peer.reads(usize::MAX);
    assert_eq!(last(&seen), Some(552));
    assert_eq!(markers(&seen).len(), 10);
}
