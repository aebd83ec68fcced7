use super::super::rule::verdicts;
use super::*;
use crate::dcp;
use crate::dcp::FrameHead;
use crate::dcp::MarkerVersion;
use crate::session::script::*;
use crate::verdict::Verdict;

const PASS: Option<Verdict> = Some(Verdict::Pass);
const FAIL: Option<Verdict> = Some(Verdict::Fail);
const MEMORY: u32 = SnapshotMarker::MEMORY;
const DISK: u32 = SnapshotMarker::DISK;
const SYNC: &[(&str, &str)] = &[("enable_sync_writes", "true"), ("consumer_name", "replica")];

fn s(start: u64, end: u64) -> FrameHead {
    marker_with(1, 10, start, end, MEMORY)
}

fn m(seqno: u64) -> FrameHead {
    mutation(1, 10, seqno)
}

fn said(marker: SnapshotMarker) -> FrameHead {
    request(Opcode::DCP_SNAPSHOT_MARKER, 1, 10, Message::SnapshotMarker(marker))
}

fn asked(start: u64, flags: u32, filtered: bool, controls: &[(&str, &str)]) -> Script {
    let mut script = Script::with(&[Feature::COLLECTIONS], dcp::Open::PRODUCER, controls);
    let mut head = stream_req(1, 10, start);
    if let Ok(Message::StreamReq(request)) = &mut head.message {
        request.flags = flags;
        let value = dcp::StreamReqValue { collections: Some(vec![8]), ..Default::default() };
        request.value = filtered.then(|| Box::new(value));
    }
    script.c(head);
    script.p(stream_ok(10));
    script
}

fn told<R: Rule>(mut script: Script, heads: &[FrameHead]) -> Option<Verdict> {
    for head in heads {
        script.p(head.clone());
    }
    verdicts::<R>(&script).0
}

fn of<R: Rule>(start: u64, heads: &[FrameHead]) -> Option<Verdict> {
    told::<R>(asked(start, StreamReq::ACTIVE_VB_ONLY, false, &[]), heads)
}

#[test]
fn bounds() {
    assert_eq!(of::<MarkerBounds>(0, &[s(3, 3)]), PASS);
    assert_eq!(of::<MarkerBounds>(0, &[s(4, 3)]), FAIL);
    assert_eq!(of::<FirstMarker>(5, &[s(5, 9), m(9), s(10, 12)]), PASS);
    assert_eq!(of::<FirstMarker>(5, &[s(6, 9)]), FAIL);
    assert_eq!(of::<MarkerEnd>(5, &[s(0, 5)]), PASS);
    assert_eq!(of::<MarkerEnd>(5, &[s(0, 4)]), FAIL);
}

#[test]
fn markers_of_an_active_vbucket_ascend() {
    type R = MarkersAscend;
    assert_eq!(of::<R>(0, &[s(0, 4), s(5, 9)]), PASS);
    assert_eq!(of::<R>(0, &[s(0, 4), s(4, 9)]), FAIL);
    let replica = asked(0, 0, false, &[]);
    assert_eq!(told::<R>(replica, &[s(0, 4), s(4, 9)]), None, "it may be of a replica");
    let pair = [marker_with(1, 10, 0, 4, DISK), marker_with(1, 10, 0, 4, DISK | SnapshotMarker::HISTORY)];
    assert_eq!(of::<R>(0, &pair), None, "the history of the same snapshot");
    let sync = asked(0, 0, false, SYNC);
    assert_eq!(told::<R>(sync, &[s(0, 4), s(4, 9)]), FAIL);
}

#[test]
fn flags() {
    let with = |flags| marker_with(1, 10, 0, 4, flags);
    for (flags, one, checkpoint) in [
        (MEMORY, PASS, None),
        (0, FAIL, None),
        (MEMORY | DISK, FAIL, FAIL),
        (DISK, PASS, FAIL),
        (DISK | SnapshotMarker::CHECKPOINT, PASS, PASS),
    ] {
        assert_eq!(of::<MemoryOrDisk>(0, &[with(flags)]), one, "{flags}");
        assert_eq!(of::<DiskIsCheckpoint>(0, &[with(flags)]), checkpoint, "{flags}");
    }
    let ack = with(MEMORY | SnapshotMarker::ACK);
    assert_eq!(of::<AckInTakeover>(0, std::slice::from_ref(&ack)), FAIL);
    assert_eq!(told::<AckInTakeover>(asked(0, StreamReq::TAKEOVER, false, &[]), &[ack]), PASS);
}

#[test]
fn an_ack_comes_once_and_after_the_end() {
    let answer = || plain(Opcode::DCP_SNAPSHOT_MARKER, Status::SUCCESS, 10);
    let mut early = asked(0, StreamReq::TAKEOVER, false, &[]);
    early.p(marker_with(1, 10, 0, 2, MEMORY | SnapshotMarker::ACK));
    early.p(m(1));
    early.c(answer());
    assert_eq!(verdicts::<AckAnswered>(&early).1, FAIL);
    let mut right = asked(0, StreamReq::TAKEOVER, false, &[]);
    right.p(marker_with(1, 10, 0, 2, MEMORY | SnapshotMarker::ACK));
    right.p(m(1));
    right.p(m(2));
    right.c(answer());
    assert_eq!(verdicts::<AckAnswered>(&right).1, PASS);
    right.c(answer());
    assert_eq!(verdicts::<AckAnswered>(&right).1, FAIL);
}

#[test]
fn two_acks_under_way_are_answered_in_order() {
    let answer = || plain(Opcode::DCP_SNAPSHOT_MARKER, Status::SUCCESS, 10);
    let mut script = asked(0, StreamReq::TAKEOVER, false, &[]);
    script.p(marker_with(1, 10, 0, 1, MEMORY | SnapshotMarker::ACK));
    script.p(m(1));
    script.p(marker_with(1, 10, 2, 3, MEMORY | SnapshotMarker::ACK));
    script.c(answer());
    assert_eq!(verdicts::<AckAnswered>(&script).1, PASS);
}

#[test]
fn snapshots_complete() {
    type R = SnapshotCompletes;
    assert_eq!(of::<R>(0, &[s(0, 2), m(1), m(2), s(3, 4)]), PASS);
    assert_eq!(of::<R>(0, &[s(0, 2), m(1), s(3, 4)]), FAIL);
    assert_eq!(told::<R>(asked(0, 0, true, &[]), &[s(0, 2), m(1), s(3, 4)]), None, "filtered");
    let undecoded = FrameHead { message: Err(dcp::Malformed("of 6.5.0".to_owned())), ..m(2) };
    assert_eq!(of::<R>(0, &[s(0, 2), m(1), undecoded, s(3, 4)]), None);
    let mut script = Script::opened();
    script.stream(1, 10, 0);
    assert_eq!(told::<R>(script, &[s(0, 2), m(1), s(3, 4)]), None, "no collections");
}

#[test]
fn seqnos_in_markers() {
    let v2 = SnapshotMarker {
        version: MarkerVersion::V2_2,
        start_seqno: 1,
        end_seqno: 9,
        flags: DISK,
        max_visible_seqno: Some(9),
        high_completed_seqno: Some(4),
        purge_seqno: Some(2),
        high_prepared_seqno: Some(5),
        ..SnapshotMarker::default()
    };
    assert_eq!(of::<MarkerSeqnos>(0, &[said(v2)]), PASS);
    assert_eq!(of::<MarkerSeqnos>(0, &[s(0, 9)]), None);
    for broken in [
        SnapshotMarker { max_visible_seqno: Some(10), ..v2 },
        SnapshotMarker { purge_seqno: Some(10), ..v2 },
        SnapshotMarker { high_prepared_seqno: Some(10), ..v2 },
    ] {
        assert_eq!(of::<MarkerSeqnos>(0, &[said(broken)]), FAIL);
    }
    let memory = SnapshotMarker { high_prepared_seqno: Some(10), flags: MEMORY, ..v2 };
    assert_eq!(of::<MarkerSeqnos>(0, &[said(memory)]), PASS, "only disk markers have an HPS");
    assert_eq!(of::<HcsBelowHps>(0, &[said(v2)]), PASS);
    assert_eq!(of::<HcsBelowHps>(0, &[said(SnapshotMarker { high_completed_seqno: Some(6), ..v2 })]), FAIL);
    assert_eq!(of::<HcsBelowHps>(0, &[said(SnapshotMarker { high_prepared_seqno: Some(0), ..v2 })]), None);
    let next = SnapshotMarker { start_seqno: 10, end_seqno: 20, ..v2 };
    assert_eq!(of::<MvsGrows>(0, &[said(v2), said(next)]), PASS);
    let lower = SnapshotMarker { max_visible_seqno: Some(8), ..next };
    assert_eq!(of::<MvsGrows>(0, &[said(v2), said(lower)]), FAIL);
    let purged = SnapshotMarker { purge_seqno: Some(1), ..next };
    assert_eq!(of::<MvsGrows>(0, &[said(v2), said(purged)]), FAIL);
    let absent = SnapshotMarker { max_visible_seqno: Some(0), ..next };
    assert_eq!(of::<MvsGrows>(0, &[said(v2), said(absent)]), PASS);
}

#[test]
fn disk_markers_for_replicas_have_an_hcs() {
    type R = DiskHasHcs;
    let v1 = marker_with(1, 10, 0, 4, DISK);
    assert_eq!(told::<R>(asked(0, 0, false, SYNC), std::slice::from_ref(&v1)), FAIL);
    assert_eq!(told::<R>(asked(0, 0, false, &SYNC[..1]), &[v1]), None);
    let v2 = SnapshotMarker {
        version: MarkerVersion::V2_0,
        start_seqno: 1,
        end_seqno: 9,
        flags: DISK,
        high_completed_seqno: Some(0),
        ..SnapshotMarker::default()
    };
    assert_eq!(told::<R>(asked(0, 0, false, SYNC), &[said(v2)]), PASS);
}

#[test]
fn oso_snapshots_are_paired() {
    type R = OsoPaired;
    let oso = |flags| request(Opcode::DCP_OSO_SNAPSHOT, 1, 10, Message::OsoSnapshot(OsoSnapshot { flags }));
    let filtered = |heads: &[FrameHead]| told::<R>(asked(0, 0, true, &[]), heads);
    assert_eq!(filtered(&[oso(1), m(3), oso(2), s(4, 5)]), PASS);
    assert_eq!(filtered(&[oso(1), oso(1)]), FAIL);
    assert_eq!(filtered(&[oso(2)]), FAIL);
    assert_eq!(filtered(&[oso(1), marker(1, 10, 0, 4)]), FAIL);
    assert_eq!(told::<R>(asked(0, 0, false, &[]), &[oso(1)]), FAIL);
    assert_eq!(told::<R>(asked(3, 0, true, &[]), &[oso(1)]), FAIL);
}
