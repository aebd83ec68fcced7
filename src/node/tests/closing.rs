use super::super::Config;
use super::super::Node;
use super::peer::Peer;
use super::peer::Seen;
use super::peer::still;
use crate::dcp::CloseStream;
use crate::dcp::Control;
use crate::dcp::Message;
use crate::dcp::StreamEnd;
use crate::dcp::StreamReq;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

const CLOSED: Message = Message::StreamEnd(StreamEnd { end_reason: 1 });

fn close(peer: &mut Peer, vbucket: u16) -> Vec<Seen> {
    peer.says(CloseStream.request(vbucket, Opaque([5; 4])));
    peer.reads(usize::MAX)
}

/// Reads until the stream is some frames inside a memory snapshot.
fn into_memory_snapshot(peer: &mut Peer) -> u64 {
    let mut end = 0;
    loop {
        let frame = peer.reads(1).remove(0);
        if let Message::SnapshotMarker(marker) = frame.message
            && marker.flags & 1 != 0
        {
            end = marker.end_seqno;
        }
        if end != 0 && frame.message.by_seqno().is_some() {
            return end;
        }
    }
}

#[test]
fn what_is_queued_of_a_memory_snapshot_still_goes_and_stream_end_last() {
    let mut peer = Peer::with_everything(&still(Config { items: 5000, ..Config::default() }));
    let opaque = peer.stream(1);
    let end = into_memory_snapshot(&mut peer);
    let seen = close(&mut peer, 1);
    let answer = seen.iter().position(|frame| frame.header.is_response()).unwrap();
    assert_eq!(seen[answer].header.status(), Some(Status::SUCCESS));
    let after: Vec<_> = seen[answer + 1..].iter().collect();
    assert_eq!(after.last().unwrap().message, CLOSED);
    assert_eq!(after[after.len() - 2].message.by_seqno(), Some(end));
    assert!(after.iter().all(|frame| frame.opcode() != Opcode::DCP_SNAPSHOT_MARKER && frame.header.opaque == opaque));
    assert!(close(&mut peer, 1)[0].header.status() == Some(Status::KEY_ENOENT));
}

#[test]
fn a_backfill_is_dropped() {
    let mut peer = Peer::with_everything(&still(Config { items: 5000, disk_items: 2000, ..Config::default() }));
    peer.stream(1);
    let before = peer.reads(30);
    assert!(before.len() == 30);
    let seen = close(&mut peer, 1);
    let answer = seen.iter().position(|frame| frame.header.is_response()).unwrap();
    assert_eq!(seen[answer + 1..].len(), 1);
    assert_eq!(seen[answer + 1].message, CLOSED);
}

#[test]
fn without_the_control_nothing_follows() {
    let mut peer = Peer::opened(&still(Config::default()), &[], 0);
    peer.stream(1);
    into_memory_snapshot(&mut peer);
    let seen = close(&mut peer, 1);
    let answer = seen.iter().position(|frame| frame.header.is_response()).unwrap();
    assert_eq!(answer + 1, seen.len());
    peer.waits(500);
    assert!(peer.reads(1).is_empty());
}

#[test]
fn what_is_queued_waits_for_the_window() {
    let mut peer = Peer::with_everything(&still(Config { items: 5000, ..Config::default() }));
    peer.control("connection_buffer_size", "1000");
    peer.stream(0);
    let mut given = 0;
    let seen = loop {
        let seen = peer.reads(usize::MAX);
        let inside = seen.iter().any(|frame| matches!(frame.message, Message::SnapshotMarker(m) if m.flags & 1 != 0));
        if inside {
            break seen;
        }
        let bytes = (peer.charged - given) as u32;
        given = peer.charged;
        peer.gives_back(bytes);
    };
    assert!(!seen.is_empty());
    let seen = close(&mut peer, 0);
    assert_eq!(seen.len(), 1, "only the answer fits: {seen:?}");
    let mut rest = Vec::new();
    while rest.last().is_none_or(|frame: &Seen| frame.message != CLOSED) {
        let bytes = (peer.charged - given) as u32;
        given = peer.charged;
        peer.gives_back(bytes);
        let more = peer.reads(usize::MAX);
        assert!(!more.is_empty());
        rest.extend(more);
    }
    assert!(rest.len() > 10);
}

#[test]
fn a_closed_stream_can_be_requested_again() {
    let mut peer = Peer::with_everything(&still(Config { items: 500, ..Config::default() }));
    peer.stream(1);
    peer.reads(40);
    close(&mut peer, 1);
    let again = peer.stream_req(&StreamReq { end_seqno: u64::MAX, ..StreamReq::default() }, 1);
    assert_eq!(again.header.status(), Some(Status::SUCCESS));
    assert_eq!(peer.reads(usize::MAX).iter().filter_map(|frame| frame.message.by_seqno()).max(), Some(500));
}

#[test]
fn a_stream_whose_end_is_still_queued_is_closed_already() {
    let mut peer = Peer::with_everything(&still(Config { items: 5000, ..Config::default() }));
    let old = peer.stream(0);
    into_memory_snapshot(&mut peer);
    let window = Control { key: "connection_buffer_size".to_owned(), value: "1".to_owned() };
    peer.says(window.request(Opaque([0; 4])));
    peer.reads(usize::MAX);
    peer.asks(CloseStream.request(0, Opaque([5; 4])), Status::SUCCESS);
    peer.asks(CloseStream.request(0, Opaque([5; 4])), Status::KEY_ENOENT);
    let request = StreamReq { end_seqno: 10, ..StreamReq::default() };
    assert_eq!(peer.stream_req(&request, 0).header.status(), Some(Status::SUCCESS));
    assert!(peer.reads(usize::MAX).is_empty(), "the window is full");
    peer.control("connection_buffer_size", "0");
    let seen = peer.reads(usize::MAX);
    let ends: Vec<Opaque> =
        seen.iter().filter(|frame| frame.opcode() == Opcode::DCP_STREAM_END).map(|frame| frame.header.opaque).collect();
    assert_eq!(ends.len(), 2, "each of the two has its end");
    assert!(ends.contains(&old));
}

#[test]
fn other_streams_go_on() {
    let mut peer = Peer::with_everything(&still(Config { items: 500, ..Config::default() }));
    peer.stream(0);
    let other = peer.stream(1);
    peer.reads(100);
    let seen = close(&mut peer, 0);
    let last = seen.iter().filter(|frame| frame.header.opaque == other).filter_map(|frame| frame.message.by_seqno());
    assert_eq!(last.max(), Some(500));
}

#[test]
fn a_takeover_goes_its_way() {
    let node = Node::new(Config { items: 200, ..Config::default() });
    let mut peer = Peer::with_everything(&node);
    let opaque = Opaque([0xab, 0, 0, 0]);
    let request = StreamReq { flags: StreamReq::TAKEOVER, end_seqno: u64::MAX, ..StreamReq::default() };
    assert_eq!(peer.stream_req(&request, 0).header.status(), Some(Status::SUCCESS));
    let states = |seen: &[Seen]| {
        let state = |frame: &Seen| match frame.message {
            Message::SetVbucketState(set) => Some(set.state),
            _ => None,
        };
        seen.iter().filter_map(state).collect::<Vec<_>>()
    };
    let ack_markers = |seen: &[Seen]| {
        let asks = |frame: &&Seen| matches!(frame.message, Message::SnapshotMarker(m) if m.flags & 8 != 0);
        seen.iter().filter(asks).count()
    };
    let seen = peer.reads(usize::MAX);
    assert!(states(&seen).is_empty(), "markers are not answered");
    let disk_asks = |frame: &Seen| matches!(frame.message, Message::SnapshotMarker(m) if m.flags & 0xa == 0xa);
    assert!(!seen.iter().any(disk_asks));
    for _ in 0..ack_markers(&seen) {
        peer.responds(Opcode::DCP_SNAPSHOT_MARKER, Status::SUCCESS, opaque);
    }
    let seen = peer.reads(usize::MAX);
    assert_eq!(states(&seen), [3]);
    peer.waits(1000);
    assert!(peer.reads(1).is_empty(), "the answer is awaited");
    peer.responds(Opcode::DCP_SET_VBUCKET_STATE, Status::SUCCESS, opaque);
    let seen = peer.reads(usize::MAX);
    for _ in 0..ack_markers(&seen) {
        peer.responds(Opcode::DCP_SNAPSHOT_MARKER, Status::KEY_ENOENT, opaque);
    }
    let seen = [seen, peer.reads(usize::MAX)].concat();
    assert_eq!(states(&seen), [1]);
    peer.responds(Opcode::DCP_SET_VBUCKET_STATE, Status::EINVAL, opaque);
    let seen = peer.reads(usize::MAX);
    assert_eq!(seen.last().unwrap().message, Message::StreamEnd(StreamEnd { end_reason: 0 }));
    let request = StreamReq { flags: 0, ..request };
    assert_eq!(peer.stream_req(&request, 0).header.status(), Some(Status::NOT_MY_VBUCKET), "it is dead");
}

#[test]
fn other_streams_of_a_vbucket_that_was_handed_over_end() {
    let node = still(Config { items: 100, disk_items: 100, ..Config::default() });
    let mut watcher = Peer::with_everything(&node);
    watcher.stream(0);
    watcher.reads(usize::MAX);
    let mut peer = Peer::with_everything(&node);
    let request = StreamReq { flags: StreamReq::TAKEOVER, end_seqno: u64::MAX, ..StreamReq::default() };
    peer.stream_req(&request, 0);
    peer.reads(usize::MAX);
    peer.responds(Opcode::DCP_SET_VBUCKET_STATE, Status::SUCCESS, Opaque([0xab, 0, 0, 0]));
    let seen = watcher.reads(usize::MAX);
    assert_eq!(seen.last().unwrap().message, Message::StreamEnd(StreamEnd { end_reason: 2 }));
}
