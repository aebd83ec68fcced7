use super::super::Config;
use super::super::How;
use super::peer::Peer;
use super::peer::still;
use crate::dcp;
use crate::era::Action;
use crate::era::Era;
use crate::era::producer_action;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

const OPCODES: &[Opcode] = &[
    Opcode::DCP_MUTATION,
    Opcode::DCP_DELETION,
    Opcode::DCP_EXPIRATION,
    Opcode::DCP_SYSTEM_EVENT,
    Opcode::DCP_PREPARE,
    Opcode::DCP_COMMIT,
    Opcode::DCP_ABORT,
    Opcode::DCP_STREAM_END,
    Opcode::DCP_SNAPSHOT_MARKER,
    Opcode::DCP_SET_VBUCKET_STATE,
    Opcode::DCP_NOOP,
    Opcode::DCP_SEQNO_ACK,
    Opcode::DCP_BUFFER_ACK,
    Opcode::DCP_STREAM_REQ,
    Opcode::DCP_SEQNO_ADVANCED,
    Opcode::DCP_CACHE_TRANSFER,
    Opcode::NOOP,
    Opcode::SET,
];
const STATUSES: &[u16] = &[0, 1, 2, 4, 7, 0x0a, 0x0b, 0x0d, 0x22, 0x81, 0x82, 0x86, 0x88, 0x7f, 0x49];

fn small(era: Era) -> Peer {
    let mut peer = Peer::with_everything(&still(Config { era, items: 40, ..Config::default() }));
    peer.stream(0);
    peer.reads(10);
    peer
}

#[test]
fn every_cell_of_every_era_is_as_its_table_says() {
    for era in Era::ALL {
        for &opcode in OPCODES {
            for status in STATUSES.iter().copied().map(Status) {
                let mut peer = small(era);
                peer.responds(opcode, status, Opaque([0x66; 4]));
                let v7 = era >= Era::V7_0;
                let kept = matches!(producer_action(era, v7, opcode, status, false), Action::Ignore | Action::Ack);
                assert_eq!(peer.is_alive(), kept, "{era} {opcode} {status}");
                peer.waits(1000);
                assert_eq!(peer.connection.closing(), (!kept).then_some(How::Fin), "{era} {opcode} {status}");
            }
        }
    }
}

#[test]
fn without_v7_the_other_table_holds() {
    let node = still(Config { items: 40, ..Config::default() });
    for (status, alive) in [(1, true), (2, true), (0x0a, true), (4, false)] {
        let mut peer = Peer::opened(&node, &[], 0);
        peer.responds(Opcode::DCP_MUTATION, Status(status), Opaque([0x66; 4]));
        assert_eq!(peer.is_alive(), alive, "{status:#x}");
    }
}

#[test]
fn its_own_no_op_may_be_answered_with_anything() {
    let mut peer = Peer::opened(&still(Config::default()), &[], 0);
    peer.controls(&[("set_noop_interval", "1"), ("enable_noop", "true")]);
    peer.waits(1000);
    let noop = peer.reads(1).remove(0);
    peer.responds(Opcode::DCP_NOOP, Status::EINVAL, noop.header.opaque);
    assert!(peer.is_alive());
    peer.responds(Opcode::DCP_NOOP, Status::SUCCESS, Opaque([1; 4]));
    assert!(!peer.is_alive());
}

#[test]
fn it_decides_at_once_and_closes_at_the_next_tick() {
    let mut at = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let mut peer = Peer::with_everything(&still(Config { seed, items: 40_000, ..Config::default() }));
        peer.stream(0);
        peer.reads(50);
        peer.responds(Opcode::DCP_MUTATION, Status::EINVAL, Opaque([0x66; 4]));
        while peer.reads(1).len() == 1 {}
        assert!(!peer.is_alive(), "it is mute");
        let due = peer.connection.next_wakeup(peer.now()).unwrap();
        let left = due.since(peer.now()).as_millis() as u64;
        assert!(left <= 1000);
        peer.waits(left.saturating_sub(1));
        assert_eq!(peer.connection.closing(), None);
        peer.waits(2);
        assert_eq!(peer.connection.closing(), Some(How::Fin));
        at.insert(left);
    }
    assert!(at.len() > 15, "the tick's phase comes from the seed: {at:?}");
}

#[test]
fn a_no_op_of_the_same_burst_is_answered_from_7_0_on() {
    for era in Era::ALL {
        let mut peer = small(era);
        let mut burst = dcp::response(Opcode::DCP_CONTROL, Status::EINVAL, Opaque([0x66; 4])).build().to_vec();
        burst.extend(FrameBuilder::request(Opcode::NOOP).opaque(Opaque([7; 4])).build());
        let now = peer.now();
        peer.connection.feed(&burst, now);
        let answered = peer.reads(usize::MAX).iter().any(|frame| frame.header.opaque == Opaque([7; 4]));
        assert_eq!(answered, era >= Era::V7_0, "{era}");
        assert!(!peer.is_alive(), "{era}: a later one is not");
    }
}

#[test]
fn odd_responses_are_taken_too() {
    let mut peer = small(Era::V7_0);
    let orphan = dcp::response(Opcode::DCP_MUTATION, Status::NOT_MY_VBUCKET, Opaque([0x66; 4]));
    peer.says(orphan.clone().value(vec![b'x'; 100 * 1024]));
    peer.says(orphan.clone().value(vec![b'x'; 3 * 1024 * 1024]));
    peer.says(orphan.clone().extras([1, 2, 3]).key(*b"key").frame_info(0, &[1, 2]));
    let now = peer.now();
    peer.connection.feed(&orphan.build().repeat(5000), now);
    assert!(peer.is_alive());
}

#[test]
fn an_orphan_before_open_closes() {
    let mut peer = Peer::in_bucket(&still(Config::default()), &[]);
    peer.responds(Opcode::DCP_MUTATION, Status::SUCCESS, Opaque([0x66; 4]));
    assert!(!peer.is_alive());
}

#[test]
fn acks_of_prepares_are_judged_as_documented() {
    let ack = |seqno, vbucket| dcp::SeqnoAck { prepared_seqno: seqno }.request(vbucket, Opaque([9; 4]));
    let mut peer = small(Era::V7_0);
    peer.reads(usize::MAX);
    peer.says(ack(30, 0));
    assert!(peer.is_alive());
    let answer = peer.ask(ack(30, 900));
    assert_eq!(answer.header.status(), Some(Status::NOT_MY_VBUCKET));
    peer.says(ack(41, 0));
    assert!(!peer.is_alive(), "beyond the last seqno sent");
    let mut peer = small(Era::V7_0);
    peer.says(ack(1, 1));
    assert!(!peer.is_alive(), "never streamed");
}
