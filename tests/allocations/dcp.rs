//! Decoding a data message into its journal form allocates nothing.

use dcproxy::dcp;
use dcproxy::dcp::Negotiated;
use dcproxy::wire::Datatype;
use dcproxy::wire::Frame;
use dcproxy::wire::FrameBuilder;
use dcproxy::wire::Opaque;

use super::allocations;

#[test]
fn data_messages_are_decoded_without_allocating() {
    let (vbucket, opaque) = (7, Opaque([1, 2, 3, 4]));
    let negotiated = Negotiated { collections: true, snappy: true, xattr: true, ..Negotiated::default() };
    let document = |built: FrameBuilder, datatype: Datatype, value: &[u8]| {
        built.key(dcp::collection_key(8, b"key")).value(value).cas(1).datatype(datatype).stream_id(Some(71)).build()
    };
    let packed = snap::raw::Encoder::new().compress_vec(&b"{\"a\":1}".repeat(500)).unwrap();
    let xattrs = b"\0\0\0\x12\0\0\0\x0e_sync\0{\"x\":1}\0{}";
    let event = dcp::SystemEventBody::Scope { manifest_uid: 1, scope_id: 8 };
    let frames = [
        document(
            dcp::Mutation { by_seqno: 1, ..dcp::Mutation::default() }.request(vbucket, opaque),
            Datatype::SNAPPY,
            &packed,
        ),
        document(
            dcp::Mutation { by_seqno: 1, ..dcp::Mutation::default() }.request(vbucket, opaque),
            Datatype::XATTR,
            xattrs,
        ),
        document(
            dcp::Prepare { by_seqno: 1, durability_level: 1, ..dcp::Prepare::default() }.request(vbucket, opaque),
            Datatype::SNAPPY,
            &packed,
        ),
        document(dcp::Deletion::v2(1, 1, 1).request(vbucket, opaque), Datatype::XATTR, xattrs),
        document(
            dcp::Expiration { by_seqno: 1, rev_seqno: 1, delete_time: 1 }.request(vbucket, opaque),
            Datatype::RAW,
            b"",
        ),
        dcp::Commit { prepared_seqno: 1, commit_seqno: 2 }
            .request(vbucket, opaque)
            .key(dcp::collection_key(8, b"key"))
            .build(),
        dcp::Abort { prepared_seqno: 1, abort_seqno: 2 }
            .request(vbucket, opaque)
            .key(dcp::collection_key(8, b"key"))
            .build(),
        dcp::SystemEvent { by_seqno: 1, event: 3, version: 2, body: event }.request(b"scope", vbucket, opaque).build(),
        dcp::SnapshotMarker { version: dcp::MarkerVersion::V2_2, end_seqno: 9, ..dcp::SnapshotMarker::default() }
            .request(vbucket, opaque)
            .build(),
        dcp::StreamEnd { end_reason: 2 }.request(vbucket, opaque).stream_id(Some(71)).build(),
        dcp::BufferAck { bytes_to_ack: 9 }.request(opaque).build(),
        dcp::response(dcproxy::wire::Opcode::DCP_MUTATION, dcproxy::wire::Status::KEY_ENOENT, opaque).build(),
    ];
    for bytes in &frames {
        let frame = Frame::whole(bytes).unwrap();
        let mut head = None;
        let count = allocations(|| head = Some(dcp::head(&frame, &negotiated, 7)));
        assert!(head.unwrap().message.is_ok(), "{frame:?}");
        assert_eq!(count, 0, "{:?}", frame.header());
    }
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(7)))), 1);
}

#[test]
fn xattrs_in_snappy_allocate_no_more_than_their_section() {
    let xattrs = b"\0\0\0\x12\0\0\0\x0e_sync\0{\"x\":1}\0";
    let value = [&xattrs[..], &b"x".repeat(1 << 20)].concat();
    let packed = snap::raw::Encoder::new().compress_vec(&value).unwrap();
    let bytes = dcp::Mutation { by_seqno: 1, ..dcp::Mutation::default() }
        .request(7, Opaque::default())
        .key(*b"key")
        .value(packed)
        .datatype(Datatype::SNAPPY | Datatype::XATTR)
        .build();
    let frame = Frame::whole(&bytes).unwrap();
    let count = allocations(|| assert!(dcp::decode(&frame, &Negotiated::default()).is_ok()));
    assert_eq!(count, 2); // the section's length, and the section
}
