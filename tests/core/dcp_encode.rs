//! What the tool and the node write is what they would read: every vector, decoded and encoded again, is the same
//! bytes, but for FlatBuffers, which have no canonical form.
#![allow(clippy::unwrap_used)] // helpers of tests

use dcproxy::dcp;
use dcproxy::dcp::CacheTransfer;
use dcproxy::dcp::Message;
use dcproxy::dcp::Negotiated;
use dcproxy::wire::Frame;
use dcproxy::wire::FrameBuilder;
use serde_json::Value;

fn encode(message: &Message, frame: &Frame<'_>) -> Option<FrameBuilder> {
    let header = frame.header();
    let (vbucket, opaque, opcode) = (header.vbucket().unwrap_or_default(), header.opaque, header.opcode);
    let status = header.status().unwrap_or(dcproxy::wire::Status::SUCCESS);
    let with_document = |built: FrameBuilder| {
        built.key(frame.key()).value(frame.value().unwrap()).cas(header.cas).datatype(header.datatype)
    };
    Some(match message {
        Message::Mutation(m) => with_document(m.request(vbucket, opaque)),
        Message::Deletion(m) => with_document(m.request(vbucket, opaque)),
        Message::Expiration(m) => with_document(m.request(vbucket, opaque)),
        Message::Prepare(m) => with_document(m.request(vbucket, opaque)),
        Message::Commit(m) => m.request(vbucket, opaque).key(frame.key()),
        Message::Abort(m) => m.request(vbucket, opaque).key(frame.key()),
        Message::SystemEvent(m) => m.request(frame.key(), vbucket, opaque),
        Message::SnapshotMarker(m) => m.request(vbucket, opaque),
        Message::SeqnoAdvanced(m) => m.request(vbucket, opaque),
        Message::OsoSnapshot(m) => m.request(vbucket, opaque),
        Message::CacheTransfer(m) => {
            CacheTransfer::request([(&m.items[0], &b"\0hello"[..], &b"world"[..])], vbucket, opaque)
        }
        Message::CacheTransferEnd(m) => m.request(vbucket, opaque),
        Message::SetVbucket(m) => m.request(vbucket, opaque),
        Message::SetVbucketState(m) => m.request(vbucket, opaque),
        Message::StreamEnd(m) => m.request(vbucket, opaque),
        Message::StreamReq(m) => m.request(vbucket, opaque),
        Message::StreamReqResponse(m) => m.response(opaque),
        Message::AddStream(m) => m.request(vbucket, opaque),
        Message::AddStreamResponse(m) => m.response(status, opaque),
        Message::CloseStream(m) => m.request(vbucket, opaque),
        Message::SeqnoAck(m) => m.request(vbucket, opaque),
        Message::BufferAck(m) => m.request(opaque),
        Message::DcpNoop(m) => m.request(opaque),
        Message::Control(m) => m.request(opaque),
        Message::Open(m) => m.request(opaque),
        Message::GetFailoverLog(m) => m.request(vbucket, opaque),
        Message::FailoverLog(m) => m.response(opcode, opaque),
        Message::GetAllVbSeqnos(m) => m.request(opaque),
        Message::VbSeqnos(m) => m.response(opaque),
        Message::Hello(m) => m.request(opaque),
        Message::HelloResponse(m) => m.response(opaque),
        Message::SaslListMechs(m) => m.request(opaque),
        Message::SaslMechanisms(m) => m.response(opaque),
        Message::SaslAuth(m) => m.request(opcode, frame.value().unwrap(), opaque),
        Message::SelectBucket(m) => m.request(opaque),
        Message::GetErrorMap(m) => m.request(opaque),
        Message::GetClusterConfig(m) => m.request(opaque),
        Message::Version(m) => m.request(opaque),
        Message::VersionResponse(m) => m.response(opaque),
        Message::Stat(m) => m.request(opaque),
        Message::StatResponse(m) => m.response(opaque),
        Message::Noop(m) => m.request(opaque),
        Message::ClustermapChange(m) => m.request(opaque),
        Message::ErrorResponse(_) | Message::Response if frame.value() == Some(b"") => {
            dcp::response(opcode, status, opaque)
        }
        Message::ErrorResponse(_) | Message::Response | Message::Other => return None,
    })
}

fn negotiated(vector: &Value) -> Negotiated {
    let on = |name: &str| vector["connection"][name].as_bool().unwrap_or_default();
    Negotiated {
        collections: on("collections"),
        snappy: on("snappy"),
        xattr: on("xattr"),
        stream_id: on("stream_id"),
        flatbuffers: on("flatbuffers"),
        include_delete_times: on("include_delete_times"),
    }
}

#[test]
fn every_vector_is_written_as_it_was_read() {
    let all: Value = serde_json::from_str(include_str!("../data/vectors.json")).unwrap();
    let (mut same, mut left_out) = (0, Vec::new());
    for vector in all["vectors"].as_array().unwrap() {
        let (name, negotiated) = (vector["name"].as_str().unwrap(), negotiated(vector));
        let bytes = hex::decode(vector["hex"].as_str().unwrap()).unwrap();
        let frame = Frame::whole(&bytes).unwrap();
        let message = dcp::decode(&frame, &negotiated).unwrap();
        let Some(mut built) = encode(&message, &frame) else {
            left_out.push(name);
            continue;
        };
        for info in frame.frame_infos().map(Result::unwrap).filter(|info| info.id < 15) {
            built = built.frame_info(info.id, info.data);
        }
        let written = built.build();
        let frame = Frame::whole(&written).unwrap();
        assert_eq!(dcp::decode(&frame, &negotiated).unwrap(), message, "{name}");
        if name.contains("system_event") && name.contains("_v2") {
            continue;
        }
        if matches!(name, "dcp_stream_req_with_value" | "flex_request_escaped_id_and_len") {
            continue; // the members of its JSON come in another order; an escaped frame info is not built
        }
        assert_eq!(hex::encode(&written), vector["hex"].as_str().unwrap(), "{name}");
        same += 1;
    }
    assert_eq!(
        left_out,
        [
            "sasl_auth_continue_response",
            "get_error_map_response",
            "dcp_stream_req_response_erange_json",
            "dcp_stream_req_response_not_my_vbucket",
            "server_response_authenticate",
        ]
    );
    assert_eq!(same + left_out.len(), 121 - 7);
}

fn round_trip(message: &Message, built: &FrameBuilder, negotiated: &Negotiated) {
    let bytes = built.build();
    let frame = Frame::whole(&bytes).unwrap();
    assert_eq!(dcp::decode(&frame, negotiated).as_ref(), Ok(message));
}

/// The forms that no vector shows.
#[test]
fn forms_beyond_the_vectors() {
    let opaque = dcproxy::wire::Opaque([1, 2, 3, 4]);
    let plain = Negotiated::default();
    let ack = dcp::SeqnoAck { prepared_seqno: 31 };
    round_trip(&Message::SeqnoAck(ack), &ack.request(5, opaque), &plain);
    assert_eq!(
        hex::encode(ack.request(5, opaque).build()),
        "80610000080000050000000801020304\
         0000000000000000000000000000001f"
    );
    let ack = dcp::BufferAck { bytes_to_ack: 0x1234 };
    round_trip(&Message::BufferAck(ack), &ack.request(opaque), &plain);
    let add = dcp::AddStream { flags: 1 };
    round_trip(&Message::AddStream(add), &add.request(5, opaque), &plain);
    let answer = dcp::AddStreamResponse::of(opaque);
    assert_eq!(answer.stream_opaque, 0x0403_0201);
    assert!(answer.names(opaque) && !answer.names(dcproxy::wire::Opaque([1, 2, 3, 5])));
    assert!(dcp::AddStreamResponse { stream_opaque: 0x0102_0304 }.names(opaque));
    let config = dcp::GetClusterConfig { known: Some(dcp::MapRevision { epoch: 2, revision: -1 }) };
    round_trip(&Message::GetClusterConfig(config), &config.request(opaque), &plain);
    let change = dcp::ClustermapChange { epoch: None, revision: 7, bucket: String::new() };
    round_trip(&Message::ClustermapChange(change.clone()), &change.request(opaque), &plain);
    let version = dcp::VersionResponse { version: "7.0.5-7659".into() };
    round_trip(&Message::VersionResponse(version.clone()), &version.response(opaque), &plain);
    let stat = dcp::StatResponse { key: "ep_version".into(), value: "7".into() };
    round_trip(&Message::StatResponse(stat.clone()), &stat.response(opaque), &plain);
    let rollback = dcp::StreamReqResponse::Rollback { rollback_seqno: 9 };
    round_trip(&Message::StreamReqResponse(rollback.clone()), &rollback.response(opaque), &plain);
    for (event, body) in [
        (
            1,
            dcp::SystemEventBody::DroppedCollection {
                manifest_uid: 5,
                scope_id: 9,
                collection_id: 10,
                system_collection: false,
            },
        ),
        (3, dcp::SystemEventBody::Scope { manifest_uid: 6, scope_id: 9 }),
        (4, dcp::SystemEventBody::DroppedScope { manifest_uid: 7, scope_id: 9, system_scope: false }),
    ] {
        for version in [0, 2] {
            let message = dcp::SystemEvent { by_seqno: 1, event, version, body };
            round_trip(&Message::SystemEvent(message), &message.request(b"name", 5, opaque), &plain);
        }
    }
    for version in [1, 2] {
        let body = dcp::SystemEventBody::Collection(dcp::CollectionEvent {
            manifest_uid: 5,
            scope_id: 9,
            collection_id: 10,
            ttl_valid: true,
            max_ttl: 72000,
            ..dcp::CollectionEvent::default()
        });
        let message = dcp::SystemEvent { by_seqno: 1, event: 0, version, body };
        round_trip(&Message::SystemEvent(message), &message.request(b"name", 5, opaque), &plain);
    }
    let refused = dcp::ErrorResponse::response(
        dcproxy::wire::Opcode::DCP_STREAM_REQ,
        dcproxy::wire::Status::ERANGE,
        "start beyond end",
        opaque,
    )
    .build();
    let frame = Frame::whole(&refused).unwrap();
    let members = dcp::decode(&frame, &plain).unwrap().members(&frame, &plain, false);
    assert_eq!(members["error_json"]["error"]["context"], "start beyond end");
}

/// What a message says of answers.
#[test]
fn a_marker_is_answered_only_with_the_ack_flag() {
    let opaque = dcproxy::wire::Opaque::default();
    for (flags, answered) in [(0x0d, true), (0x05, false)] {
        let marker = dcp::SnapshotMarker { end_seqno: 9, flags, ..dcp::SnapshotMarker::default() };
        let bytes = marker.request(0, opaque).build();
        let head = dcp::head(&Frame::whole(&bytes).unwrap(), &Negotiated::default(), 0);
        assert_eq!(head.expects_answer(), answered);
    }
    let bytes = dcp::DcpNoop.request(opaque).build();
    assert!(dcp::head(&Frame::whole(&bytes).unwrap(), &Negotiated::default(), 0).expects_answer());
    let bytes = dcp::response(dcproxy::wire::Opcode::DCP_NOOP, dcproxy::wire::Status::SUCCESS, opaque).build();
    assert!(!dcp::head(&Frame::whole(&bytes).unwrap(), &Negotiated::default(), 0).expects_answer());
}
