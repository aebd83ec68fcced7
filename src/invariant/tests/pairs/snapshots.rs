//! Section D.

use super::*;
use crate::dcp::MarkerVersion;
use crate::dcp::SnapshotMarker;
use crate::wire::Datatype;
use crate::wire::Opcode;
use crate::wire::Status;

const DISK: u32 = SnapshotMarker::DISK | SnapshotMarker::CHECKPOINT;
const ACK: u32 = SnapshotMarker::MEMORY | SnapshotMarker::ACK;

fn said(marker: SnapshotMarker) -> FrameHead {
    request(Opcode::DCP_SNAPSHOT_MARKER, 1, 10, Message::SnapshotMarker(marker))
}

fn oso(flags: u32) -> FrameHead {
    request(Opcode::DCP_OSO_SNAPSHOT, 1, 10, Message::OsoSnapshot(dcp::OsoSnapshot { flags }))
}

fn advance(by_seqno: u64) -> FrameHead {
    request(Opcode::DCP_SEQNO_ADVANCED, 1, 10, Message::SeqnoAdvanced(dcp::SeqnoAdvanced { by_seqno }))
}

fn active(heads: &[FrameHead]) -> Script {
    p(asking(with(&[]), |request| request.flags = StreamReq::ACTIVE_VB_ONLY), heads)
}

fn takeover(heads: &[FrameHead]) -> Script {
    p(asking(Script::opened(), |request| request.flags = StreamReq::TAKEOVER), heads)
}

fn out_of_order(heads: &[FrameHead]) -> Script {
    let script = with(&[("enable_out_of_order_snapshots", "true")]);
    let script = asking(script, |request| {
        request.value = Some(Box::new(dcp::StreamReqValue { collections: Some(vec![0]), ..Default::default() }));
    });
    p(script, heads)
}

fn acked(items: &[FrameHead]) -> Script {
    let mut script = takeover(&[&[marker_with(1, 10, 0, 2, ACK)], items].concat());
    script.c(plain(Opcode::DCP_SNAPSHOT_MARKER, Status::SUCCESS, 10));
    script
}

fn transfer(by_seqno: u64) -> FrameHead {
    let item = dcp::CacheItem {
        cas: 1,
        by_seqno,
        rev_seqno: 1,
        value_len: 0,
        flags: 0,
        expiration: 0,
        key_len: 2,
        datatype: Datatype::RAW,
        cache_hint: 0,
        collection_id: Some(0),
    };
    let message = Message::CacheTransfer(dcp::CacheTransfer { items: vec![item] });
    request(Opcode::DCP_CACHE_TRANSFER, 1, 10, message)
}

fn cached(heads: &[FrameHead]) -> Script {
    let script = asking(with(&[]), |request| {
        request.flags = StreamReq::CACHE_TRANSFER;
        (request.start_seqno, request.snap_start_seqno, request.snap_end_seqno) = (5, 5, 5);
    });
    p(script, heads)
}

pub(super) fn pairs() -> Vec<Pair> {
    let s = |start, end| marker(1, 10, start, end);
    let m = |seqno| mutation(1, 10, seqno);
    let keyed = |seqno, key_hash| FrameHead { key_hash, ..mutation(1, 10, seqno) };
    let v2 = SnapshotMarker {
        version: MarkerVersion::V2_2,
        start_seqno: 0,
        end_seqno: 9,
        flags: DISK,
        max_visible_seqno: Some(9),
        high_completed_seqno: Some(4),
        high_prepared_seqno: Some(5),
        purge_seqno: Some(2),
        ..SnapshotMarker::default()
    };
    let newest = |heads: &[FrameHead]| {
        let script = with(&[("enable_sync_writes", "true"), ("consumer_name", "r"), ("max_marker_version", "2.2")]);
        on(script, heads)
    };
    let next = SnapshotMarker { start_seqno: 10, end_seqno: 20, ..v2 };
    let flat = |heads: &[FrameHead]| {
        let sync = [("enable_sync_writes", "true"), ("consumer_name", "r"), ("flatbuffers_system_events", "true")];
        on(with(&sync), heads)
    };
    let deletion =
        |delete_time| request(Opcode::DCP_DELETION, 1, 10, Message::Deletion(dcp::Deletion::v2(1, 1, delete_time)));
    let end = || request(Opcode::DCP_CACHE_TRANSFER_END, 1, 10, Message::CacheTransferEnd(dcp::CacheTransferEnd));
    let disk = || marker_with(1, 10, 0, 9, DISK);
    vec![
        pair("d1-marker-first", plainly(&[s(0, 9), m(1)]), plainly(&[m(1)])),
        pair("d2-seqno-increases", plainly(&[s(0, 9), m(1), m(3)]), plainly(&[s(0, 9), m(3), m(3)])),
        pair("d2-oso-seqnos-distinct", out_of_order(&[oso(1), m(3), m(2)]), out_of_order(&[oso(1), m(3), m(3)])),
        pair("d3-seqno-in-snapshot", plainly(&[s(0, 9), m(9)]), plainly(&[s(0, 9), m(10)])),
        pair("d4-marker-bounds", plainly(&[s(0, 9)]), plainly(&[s(9, 8)])),
        pair("d5-first-marker", plainly(&[s(0, 9)]), plainly(&[s(1, 9)])),
        pair("d6-markers-ascend", active(&[s(0, 4), m(4), s(5, 9)]), active(&[s(0, 4), m(4), s(4, 9)])),
        pair("d7-marker-end", plainly(&[s(0, 4), m(4), s(5, 9)]), plainly(&[s(0, 4), m(4), s(2, 3)])),
        pair("d8-memory-or-disk", plainly(&[s(0, 9)]), plainly(&[marker_with(1, 10, 0, 9, 0)])),
        pair("d9-disk-is-checkpoint", plainly(&[disk()]), plainly(&[marker_with(1, 10, 0, 9, SnapshotMarker::DISK)])),
        pair(
            "d10-ack-in-takeover",
            takeover(&[marker_with(1, 10, 0, 9, ACK)]),
            plainly(&[marker_with(1, 10, 0, 9, ACK)]),
        ),
        pair("d11-ack-answered", acked(&[m(1), m(2)]), acked(&[m(1)])),
        pair("d12-snapshot-completes", active(&[s(0, 4), m(4), s(5, 9)]), active(&[s(0, 4), m(3), s(5, 9)])),
        pair("d13-marker-seqnos", newest(&[said(v2)]), newest(&[said(SnapshotMarker { purge_seqno: Some(10), ..v2 })])),
        pair("d14-disk-has-hcs", newest(&[said(v2)]), newest(&[disk()])),
        pair(
            "d14-hcs-below-hps",
            newest(&[said(v2)]),
            newest(&[said(SnapshotMarker { high_completed_seqno: Some(6), ..v2 })]),
        ),
        pair(
            "d15-mvs-grows",
            newest(&[said(v2), m(9), said(next)]),
            newest(&[said(v2), m(9), said(SnapshotMarker { purge_seqno: Some(1), ..next })]),
        ),
        pair(
            "d16-keys-once",
            plainly(&[disk(), keyed(1, 5), keyed(2, 6)]),
            plainly(&[disk(), keyed(1, 5), keyed(2, 5)]),
        ),
        pair("d18-oso-paired", out_of_order(&[oso(1), m(3), oso(2)]), out_of_order(&[oso(1), oso(1)])),
        pair(
            "d19-oso-keys-once",
            out_of_order(&[oso(1), keyed(3, 5), keyed(2, 6)]),
            out_of_order(&[oso(1), keyed(3, 5), keyed(2, 5)]),
        ),
        pair("d20-seqno-advanced", on(with(&[]), &[s(0, 9), advance(9)]), on(with(&[]), &[s(0, 9), advance(10)])),
        pair("d21-seqno-advanced-uncalled-for", flat(&[s(0, 9), m(9)]), flat(&[s(0, 9), advance(9)])),
        pair("d23-cache-before-snapshots", cached(&[transfer(5), end()]), cached(&[transfer(6)])),
        pair("d24-cache-transfer-ends", cached(&[transfer(5), end(), s(5, 9)]), cached(&[transfer(5), s(5, 9)])),
        pair("d25-delete-times", plainly(&[disk(), deletion(7)]), plainly(&[disk(), deletion(0)])),
    ]
}
