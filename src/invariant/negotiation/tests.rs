use super::super::rule::verdicts;
use super::*;
use crate::dcp::FrameHead;
use crate::session::script::*;
use crate::verdict::Verdict;

const PRODUCER: u32 = dcp::Open::PRODUCER;
const PASS: Option<Verdict> = Some(Verdict::Pass);
const FAIL: Option<Verdict> = Some(Verdict::Fail);

/// What the rule says of the producer that sends `head` on stream (1, 10) of such a connection.
fn after<R: Rule>(features: &[u16], flags: u32, controls: &[(&str, &str)], head: FrameHead) -> Option<Verdict> {
    let mut script = Script::with(features, PRODUCER | flags, controls);
    script.stream(1, 10, 0);
    script.p(head);
    verdicts::<R>(&script).0
}

fn prepare() -> FrameHead {
    let prepare = dcp::Prepare { by_seqno: 1, durability_level: 1, ..dcp::Prepare::default() };
    request(Opcode::DCP_PREPARE, 1, 10, Message::Prepare(prepare))
}

fn versioned(version: MarkerVersion, flags: u32) -> FrameHead {
    let marker = SnapshotMarker { version, start_seqno: 1, end_seqno: 2, flags, ..SnapshotMarker::default() };
    request(Opcode::DCP_SNAPSHOT_MARKER, 1, 10, Message::SnapshotMarker(marker))
}

fn event(event: u32, version: u8) -> FrameHead {
    let body = dcp::SystemEventBody::Scope { manifest_uid: 1, scope_id: 8 };
    request(Opcode::DCP_SYSTEM_EVENT, 1, 10, Message::SystemEvent(SystemEvent { by_seqno: 1, event, version, body }))
}

fn with_sid(mut head: FrameHead, sid: u16) -> FrameHead {
    head.header.magic = Magic::FLEX_REQUEST;
    head.header.framing_extras_len = 3;
    head.stream_id = Some(sid);
    head
}

#[test]
fn stream_ids() {
    type R = StreamIdFrames;
    assert_eq!(after::<R>(&[], 0, &[], mutation(1, 10, 1)), PASS);
    assert_eq!(after::<R>(&[], 0, &[], with_sid(mutation(1, 10, 1), 5)), FAIL);
    let of = |heads: &[FrameHead]| {
        let mut script = Script::with(&[], PRODUCER, &[("enable_stream_id", "true")]);
        let mut head = stream_req(1, 10, 0);
        if let Ok(Message::StreamReq(request)) = &mut head.message {
            request.value = Some(Box::new(dcp::StreamReqValue { sid: Some(5), ..Default::default() }));
        }
        script.c(head);
        script.p(stream_ok(10));
        for head in heads {
            script.p(head.clone());
        }
        verdicts::<R>(&script).0
    };
    assert_eq!(of(&[with_sid(mutation(1, 10, 1), 5)]), PASS);
    assert_eq!(of(&[with_sid(mutation(1, 10, 1), 6)]), FAIL);
    assert_eq!(of(&[mutation(1, 10, 1)]), FAIL);
    assert_eq!(of(&[prepare()]), None, "a PREPARE never has one");
    // 6.5.0 denies the framing extras that are there.
    let mut quirk = with_sid(mutation(1, 10, 1), 5);
    quirk.header.opcode = Opcode::DCP_DELETION;
    quirk.header.framing_extras_len = 0;
    quirk.stream_id = None;
    assert_eq!(of(&[quirk]), None);
}

#[test]
fn durability() {
    type R = DurabilityAgreed;
    assert_eq!(after::<R>(&[], 0, &[], prepare()), FAIL);
    assert_eq!(after::<R>(&[], 0, &[("enable_sync_writes", "true")], prepare()), PASS);
    assert_eq!(after::<R>(&[], 0, &[("enable_synchronous_replication", "true")], prepare()), PASS);
    assert_eq!(after::<R>(&[], 0, &[], mutation(1, 10, 1)), None);
}

#[test]
fn expirations() {
    type R = ExpirationAgreed;
    let head = || request(Opcode::DCP_EXPIRATION, 1, 10, Message::Expiration(dcp::Expiration::default()));
    let control = [("enable_expiry_opcode", "true")];
    assert_eq!(after::<R>(&[], dcp::Open::INCLUDE_DELETE_TIMES, &control, head()), PASS);
    assert_eq!(after::<R>(&[], 0, &control, head()), PASS, "6.5.0 needs no more");
    assert_eq!(after::<R>(&[], dcp::Open::INCLUDE_DELETE_TIMES, &[], head()), FAIL);
}

#[test]
fn marker_versions() {
    type R = MarkerVersionAgreed;
    let nameless = [("enable_sync_writes", "true")];
    let sync = [("enable_sync_writes", "true"), ("consumer_name", "replica")];
    let max = [("max_marker_version", "2.2")];
    for (version, controls, expected) in [
        (MarkerVersion::V1, &[][..], PASS),
        (MarkerVersion::V2_0, &[][..], FAIL),
        (MarkerVersion::V2_0, &nameless[..], FAIL),
        (MarkerVersion::V2_0, &sync[..], PASS),
        (MarkerVersion::V2_0, &max[..], PASS),
        (MarkerVersion::V2_1, &max[..], FAIL),
        (MarkerVersion::V2_2, &sync[..], FAIL),
        (MarkerVersion::V2_2, &max[..], PASS),
    ] {
        assert_eq!(after::<R>(&[], 0, controls, versioned(version, 1)), expected, "{version} {controls:?}");
    }
}

#[test]
fn collections_and_their_events() {
    let on = [Feature::COLLECTIONS];
    assert_eq!(after::<CollectionsAgreed>(&on, 0, &[], event(3, 0)), PASS);
    assert_eq!(after::<CollectionsAgreed>(&[], 0, &[], event(3, 0)), FAIL);
    let advanced = Message::SeqnoAdvanced(dcp::SeqnoAdvanced { by_seqno: 4 });
    let advanced = request(Opcode::DCP_SEQNO_ADVANCED, 1, 10, advanced);
    assert_eq!(after::<CollectionsAgreed>(&[], 0, &[], advanced), FAIL);
    let flat = [("flatbuffers_system_events", "true")];
    for (id, version, controls, expected) in [
        (3, 0, &[][..], PASS),
        (3, 1, &[][..], PASS),
        (3, 2, &[][..], FAIL),
        (5, 0, &[][..], FAIL),
        (5, 2, &flat[..], PASS),
        (3, 0, &flat[..], FAIL),
    ] {
        assert_eq!(after::<SystemEventVersion>(&on, 0, controls, event(id, version)), expected, "{id} v{version}");
    }
}

#[test]
fn oso_snapshots() {
    let head = || request(Opcode::DCP_OSO_SNAPSHOT, 1, 10, Message::OsoSnapshot(dcp::OsoSnapshot { flags: 1 }));
    assert_eq!(after::<OsoAgreed>(&[], 0, &[], head()), FAIL);
    let control = [("enable_out_of_order_snapshots", "true_with_seqno_advanced")];
    assert_eq!(after::<OsoAgreed>(&[], 0, &control, head()), PASS);
}

#[test]
fn cache_transfers() {
    for (flags, expected) in [(0, FAIL), (dcp::StreamReq::CACHE_TRANSFER, PASS)] {
        let mut script = Script::opened();
        let mut head = stream_req(1, 10, 0);
        if let Ok(Message::StreamReq(request)) = &mut head.message {
            request.flags = flags;
        }
        script.c(head);
        script.p(stream_ok(10));
        let message = Message::CacheTransferEnd(dcp::CacheTransferEnd);
        script.p(request(Opcode::DCP_CACHE_TRANSFER_END, 1, 10, message));
        assert_eq!(verdicts::<CacheTransferAsked>(&script).0, expected);
    }
}

#[test]
fn history() {
    type R = HistoryAgreed;
    let marker = || versioned(MarkerVersion::V1, SnapshotMarker::DISK | SnapshotMarker::HISTORY);
    assert_eq!(after::<R>(&[], 0, &[], marker()), FAIL);
    assert_eq!(after::<R>(&[], 0, &[("change_streams", "true")], marker()), PASS);
    assert_eq!(after::<R>(&[], 0, &[], versioned(MarkerVersion::V1, 1)), None);
}

#[test]
fn no_ops_before_streams_and_controls_before_both() {
    for (controls, status, expected) in [
        (&[][..], Status::NOT_SUPPORTED, PASS),
        (&[][..], Status::SUCCESS, FAIL),
        (&[("enable_noop", "true")][..], Status::SUCCESS, None),
    ] {
        let mut script = Script::with(&[Feature::COLLECTIONS], PRODUCER, controls);
        script.c(stream_req(1, 10, 0));
        script.p(plain(Opcode::DCP_STREAM_REQ, status, 10));
        assert_eq!(verdicts::<NoopBeforeStream>(&script).0, expected, "{controls:?} {status}");
    }
    let mut script = Script::with(&[], PRODUCER, &[("enable_noop", "true")]);
    script.stream(1, 10, 0);
    script.c(control(4, "connection_buffer_size", "10"));
    assert_eq!(verdicts::<ControlsFirst>(&script).1, PASS);
    script.c(control(5, "set_priority", "high"));
    assert_eq!(verdicts::<ControlsFirst>(&script).1, FAIL);
}
