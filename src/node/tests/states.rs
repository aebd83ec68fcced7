use super::super::Config;
use super::peer::EVERYTHING;
use super::peer::Peer;
use super::peer::still;
use crate::dcp::Message;
use crate::dcp::StreamEnd;
use crate::dcp::StreamReq;
use crate::wire::FrameBuilder;
use crate::wire::Opcode;
use crate::wire::Status;

fn set(state: u8) -> FrameBuilder {
    FrameBuilder::request(Opcode::SET_VBUCKET).vbucket(1).extras([state])
}

fn state(peer: &mut Peer) -> Vec<u8> {
    peer.asks(FrameBuilder::request(Opcode::GET_VBUCKET).vbucket(1), Status::SUCCESS).value().to_vec()
}

const STATE_CHANGED: Message = Message::StreamEnd(StreamEnd { end_reason: 2 });

#[test]
fn a_vbucket_that_is_set_dead_ends_its_streams_and_comes_back_on_a_new_branch() {
    let node = still(Config { items: 300, ..Config::default() });
    let mut manager = Peer::in_bucket(&node, EVERYTHING);
    let mut peer = Peer::with_everything(&node);
    peer.stream(1);
    peer.reads(usize::MAX);
    manager.asks(set(4), Status::SUCCESS);
    assert_eq!(state(&mut manager), [0, 0, 0, 4]);
    assert_eq!(peer.reads(usize::MAX).pop().unwrap().message, STATE_CHANGED);
    let wanted = StreamReq { end_seqno: u64::MAX, ..StreamReq::default() };
    assert_eq!(peer.stream_req(&wanted, 1).header.status(), Some(Status::NOT_MY_VBUCKET));
    manager.asks(set(1), Status::SUCCESS);
    assert_eq!(state(&mut manager), [0, 0, 0, 1]);
    let Message::FailoverLog(log) =
        peer.asks(crate::dcp::GetFailoverLog.request(1, crate::wire::Opaque([3; 4])), Status::SUCCESS).message
    else {
        panic!()
    };
    assert_eq!(log.failover_log.len(), 3);
    assert_eq!(log.failover_log[0].seqno, 300);
    assert_eq!(peer.stream_req(&wanted, 1).header.status(), Some(Status::SUCCESS));
}

#[test]
fn a_backfill_ends_when_its_vbucket_is_deleted() {
    let node = still(Config { items: 3000, disk_items: 2000, ..Config::default() });
    let mut manager = Peer::in_bucket(&node, EVERYTHING);
    let mut peer = Peer::with_everything(&node);
    peer.stream(1);
    assert_eq!(peer.reads(20).len(), 20);
    manager.asks(FrameBuilder::request(Opcode::DEL_VBUCKET).vbucket(1), Status::SUCCESS);
    let seen = peer.reads(usize::MAX);
    assert_eq!(seen.last().unwrap().message, STATE_CHANGED);
    assert!(seen.len() < 100, "the rest of the backfill is dropped");
    for opcode in [Opcode::GET_VBUCKET, Opcode::SET_VBUCKET, Opcode::DEL_VBUCKET] {
        manager.asks(FrameBuilder::request(opcode).vbucket(1).extras([1]), Status::NOT_MY_VBUCKET);
    }
}

#[test]
fn a_vbucket_is_what_a_manager_makes_of_it() {
    let mut manager = Peer::in_bucket(&still(Config { items: 100, ..Config::default() }), EVERYTHING);
    for number in [2, 3, 4, 1] {
        manager.asks(set(number), Status::SUCCESS);
        assert_eq!(state(&mut manager), [0, 0, 0, number]);
        let write = FrameBuilder::request(Opcode::SET).vbucket(1).extras([0; 8]).key(*b"\0k").value(*b"1");
        manager.asks(write, if number == 1 { Status::SUCCESS } else { Status::NOT_MY_VBUCKET });
    }
    manager.asks(set(9), Status::EINVAL);
    manager.asks(FrameBuilder::request(Opcode::SET_VBUCKET).vbucket(1).extras([0, 0, 0, 4]), Status::SUCCESS);
    manager.asks(FrameBuilder::request(Opcode::SET_VBUCKET).vbucket(9).extras([4]), Status::NOT_MY_VBUCKET);
}

#[test]
fn a_deleted_vbucket_can_be_made_anew_as_a_replica_without_data() {
    let node = still(Config { items: 100, ..Config::default() });
    let mut manager = Peer::in_bucket(&node, EVERYTHING);
    manager.asks(FrameBuilder::request(Opcode::DEL_VBUCKET).vbucket(1), Status::SUCCESS);
    manager.asks(set(2), Status::SUCCESS);
    assert_eq!(state(&mut manager), [0, 0, 0, 2]);
    let bucket = node.bucket();
    assert_eq!(bucket.vbucket(1).unwrap().high(), 0);
    assert_eq!(bucket.vbucket(2).unwrap().high(), 100);
}
