//! A session takes in data messages without allocating.

use dcproxy::Timestamp;
use dcproxy::dcp;
use dcproxy::dcp::Negotiated;
use dcproxy::journal::Direction;
use dcproxy::journal::Entry;
use dcproxy::journal::Origin;
use dcproxy::journal::Side;
use dcproxy::journal::What;
use dcproxy::session::Session;
use dcproxy::wire::Frame;
use dcproxy::wire::FrameBuilder;
use dcproxy::wire::Opaque;
use dcproxy::wire::Opcode;
use dcproxy::wire::Status;

use super::allocations;

fn entry(direction: Direction, built: &FrameBuilder) -> Entry {
    let bytes = built.build();
    let head = dcp::head(&Frame::whole(&bytes).unwrap(), &Negotiated::default(), 0);
    assert!(head.message.is_ok(), "{head:?}");
    let what = What::Frame(head);
    Entry { at: Timestamp(0), edge: Side::Upstream, direction, origin: Origin::Peer, what }
}

#[test]
fn data_messages_are_taken_in_without_allocating() {
    let mut session = Session::new(Side::Upstream);
    let open = dcp::Open { name: "n".to_owned(), seqno: 0, flags: dcp::Open::PRODUCER, consumer_name: None };
    session.observe(&entry(Direction::To, &open.request(Opaque([1; 4]))));
    session.observe(&entry(Direction::From, &dcp::response(Opcode::DCP_OPEN, Status::SUCCESS, Opaque([1; 4]))));
    let opaque = |vbucket: u16| Opaque(u32::from(vbucket).to_be_bytes());
    for vbucket in 0..1_024 {
        let request = dcp::StreamReq { end_seqno: u64::MAX, vb_uuid: 1, ..dcp::StreamReq::default() };
        session.observe(&entry(Direction::To, &request.request(vbucket, opaque(vbucket))));
        let log = vec![dcp::FailoverEntry { vb_uuid: 1, seqno: 0 }];
        session.observe(&entry(Direction::From, &dcp::StreamReqResponse::FailoverLog(log).response(opaque(vbucket))));
    }
    assert_eq!(session.streams().live().count(), 1_024);
    let mut entries = Vec::new();
    for vbucket in (0..1_024).step_by(100) {
        let marker = dcp::SnapshotMarker { end_seqno: 9, ..dcp::SnapshotMarker::default() };
        entries.push(entry(Direction::From, &marker.request(vbucket, opaque(vbucket))));
        for by_seqno in 1..9 {
            let mutation = dcp::Mutation { by_seqno, ..dcp::Mutation::default() };
            entries.push(entry(Direction::From, &mutation.request(vbucket, opaque(vbucket)).key(*b"k").cas(1)));
        }
        entries.push(entry(Direction::To, &dcp::BufferAck { bytes_to_ack: 9 }.request(opaque(0))));
        entries.push(entry(Direction::From, &dcp::StreamEnd { end_reason: 0 }.request(vbucket, opaque(vbucket))));
    }
    let count = allocations(|| {
        for entry in &entries {
            session.observe(entry);
        }
    });
    assert_eq!(count, 0);
    assert_eq!(session.streams().live().count(), 1_024 - 11, "they were taken in");
}
