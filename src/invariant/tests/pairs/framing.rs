//! Section A.

use super::*;
use crate::dcp::MarkerVersion;
use crate::dcp::SnapshotMarker;
use crate::dcp::SystemEvent;
use crate::dcp::SystemEventBody;
use crate::journal::Direction;
use crate::journal::What;
use crate::wire::Datatype;
use crate::wire::FramingError;
use crate::wire::Magic;
use crate::wire::Opcode;
use crate::wire::Status;

fn lost(error: FramingError) -> Script {
    let mut script = Script::opened();
    script.say(Direction::From, What::FramingLost(error));
    script
}

fn typed(datatype: Datatype) -> FrameHead {
    let mut head = mutation(1, 10, 1);
    head.header.datatype = datatype;
    head
}

fn both() -> Script {
    Script::with(&[Feature::SNAPPY, Feature::XATTR], dcp::Open::PRODUCER, &[])
}

fn with_sid(mut head: FrameHead) -> FrameHead {
    head.header.magic = Magic::FLEX_REQUEST;
    head.header.framing_extras_len = 3;
    head.stream_id = Some(5);
    head
}

fn versioned(version: MarkerVersion, flags: u32) -> FrameHead {
    let marker = SnapshotMarker { version, start_seqno: 0, end_seqno: 9, flags, ..SnapshotMarker::default() };
    request(Opcode::DCP_SNAPSHOT_MARKER, 1, 10, Message::SnapshotMarker(marker))
}

fn event(version: u8) -> FrameHead {
    let body = SystemEventBody::Scope { manifest_uid: 1, scope_id: 8 };
    let event = SystemEvent { by_seqno: 1, event: SystemEvent::CREATE_SCOPE, version, body };
    request(Opcode::DCP_SYSTEM_EVENT, 1, 10, Message::SystemEvent(event))
}

fn answered(status: Status) -> Script {
    let mut script = with(&[]);
    script.c(stream_req(1, 10, 0));
    script.p(if status == Status::SUCCESS { stream_ok(10) } else { plain(Opcode::DCP_STREAM_REQ, status, 10) });
    script
}

fn controls_after() -> Script {
    let mut script = Script::opened();
    script.stream(1, 10, 0);
    script.c(control(4, "set_priority", "high"));
    script
}

pub(super) fn pairs() -> Vec<Pair> {
    let m = || mutation(1, 10, 1);
    let s = || marker(1, 10, 0, 9);
    let snappy = "expected a snappy value that inflates, found: corrupt";
    let xattr = "expected an xattr section of 9 bytes, found 3 bytes of value after its length";
    let expiration = || {
        let expiration = dcp::Expiration { by_seqno: 1, rev_seqno: 1, delete_time: 5 };
        request(Opcode::DCP_EXPIRATION, 1, 10, Message::Expiration(expiration))
    };
    let oso = |flags| request(Opcode::DCP_OSO_SNAPSHOT, 1, 10, Message::OsoSnapshot(dcp::OsoSnapshot { flags }));
    let end = || request(Opcode::DCP_CACHE_TRANSFER_END, 1, 10, Message::CacheTransferEnd(dcp::CacheTransferEnd));
    let filtered = |request: &mut StreamReq| {
        request.value = Some(Box::new(dcp::StreamReqValue { collections: Some(vec![8]), ..Default::default() }));
    };
    let sid = |request: &mut StreamReq| {
        request.value = Some(Box::new(dcp::StreamReqValue { sid: Some(5), ..Default::default() }));
    };
    vec![
        pair("a1-framing", plainly(&[s(), m()]), lost(FramingError::Magic(Magic(0x79)))),
        pair("a2-frame-size", plainly(&[s(), m()]), lost(FramingError::TooLong(1 << 40))),
        pair("a3-well-formed", plainly(&[s(), m()]), plainly(&[malformed(m(), "expected 31 bytes, found 30")])),
        pair(
            "a4-datatype-enabled",
            on(both(), &[s(), typed(Datatype::SNAPPY)]),
            plainly(&[s(), typed(Datatype::SNAPPY)]),
        ),
        pair(
            "a5-snappy-inflates",
            on(both(), &[s(), typed(Datatype::SNAPPY)]),
            on(both(), &[s(), malformed(typed(Datatype::SNAPPY), snappy)]),
        ),
        pair(
            "a6-xattr-section",
            on(both(), &[s(), typed(Datatype::XATTR)]),
            on(both(), &[s(), malformed(typed(Datatype::XATTR), xattr)]),
        ),
        pair(
            "a7-stream-id-frames",
            p(asking(with(&[("enable_stream_id", "true")]), sid), &[with_sid(s()), with_sid(m())]),
            plainly(&[with_sid(s())]),
        ),
        pair("a8-durability-agreed", on(replication(), &[s(), prepare(1, 10, 1, 7)]), plainly(&[prepare(1, 10, 1, 7)])),
        pair(
            "a9-expiration-agreed",
            on(with(&[("enable_expiry_opcode", "true")]), &[s(), expiration()]),
            plainly(&[expiration()]),
        ),
        pair(
            "a10-marker-version-agreed",
            on(replication(), &[versioned(MarkerVersion::V2_0, 1)]),
            plainly(&[versioned(MarkerVersion::V2_0, 1)]),
        ),
        pair("a11-collections-agreed", on(with(&[]), &[s(), event(0)]), plainly(&[event(0)])),
        pair("a11-system-event-version", on(with(&[]), &[s(), event(0)]), on(with(&[]), &[s(), event(2)])),
        pair(
            "a12-oso-agreed",
            p(asking(with(&[("enable_out_of_order_snapshots", "true")]), filtered), &[oso(1), oso(2)]),
            p(asking(with(&[]), filtered), &[oso(1)]),
        ),
        pair(
            "a13-cache-transfer-asked",
            p(asking(Script::opened(), |request| request.flags = StreamReq::CACHE_TRANSFER), &[end()]),
            plainly(&[end()]),
        ),
        pair(
            "a14-history-agreed",
            on(with(&[("change_streams", "true")]), &[versioned(MarkerVersion::V1, 0x16)]),
            plainly(&[versioned(MarkerVersion::V1, 0x16)]),
        ),
        pair("a15-noop-before-stream", answered(Status::NOT_SUPPORTED), answered(Status::SUCCESS)),
        pair("a16-controls-first", with(&[("set_priority", "high")]), controls_after()),
    ]
}
