use super::super::framing::WellFormed;
use super::super::rule::verdicts;
use super::*;
use crate::dcp;
use crate::dcp::CollectionEvent;
use crate::dcp::Feature;
use crate::dcp::FrameHead;
use crate::dcp::Message;
use crate::dcp::Negotiated;
use crate::dcp::OsoSnapshot;
use crate::dcp::StreamReqValue;
use crate::dcp::SystemEventBody;
use crate::session::script::*;
use crate::verdict::Verdict;
use crate::wire::Frame;

const PASS: Option<Verdict> = Some(Verdict::Pass);
const FAIL: Option<Verdict> = Some(Verdict::Fail);

fn told<R: Rule>(start: u64, filtered: bool, heads: &[FrameHead]) -> Option<Verdict> {
    let mut script = Script::with(&[Feature::COLLECTIONS], dcp::Open::PRODUCER, &[]);
    let mut head = stream_req(1, 10, start);
    if let Ok(Message::StreamReq(request)) = &mut head.message {
        let value = StreamReqValue { collections: Some(vec![8]), ..StreamReqValue::default() };
        request.value = filtered.then(|| Box::new(value));
    }
    script.c(head);
    script.p(stream_ok(10));
    script.p(marker(1, 10, start, 100));
    for head in heads {
        script.p(head.clone());
    }
    verdicts::<R>(&script).0
}

fn of<R: Rule>(heads: &[FrameHead]) -> Option<Verdict> {
    told::<R>(0, false, heads)
}

fn begin(seqno: u64, manifest_uid: u64, scope_id: u32, collection_id: u32) -> FrameHead {
    let event = CollectionEvent { manifest_uid, scope_id, collection_id, ..CollectionEvent::default() };
    system_event(1, 10, seqno, SystemEvent::BEGIN_COLLECTION, SystemEventBody::Collection(event))
}

fn ends(seqno: u64, manifest_uid: u64, scope_id: u32, collection_id: u32) -> FrameHead {
    let body = SystemEventBody::DroppedCollection { manifest_uid, scope_id, collection_id, system_collection: false };
    system_event(1, 10, seqno, SystemEvent::END_COLLECTION, body)
}

fn creates(seqno: u64, manifest_uid: u64, scope_id: u32) -> FrameHead {
    system_event(1, 10, seqno, SystemEvent::CREATE_SCOPE, SystemEventBody::Scope { manifest_uid, scope_id })
}

fn drops(seqno: u64, manifest_uid: u64, scope_id: u32) -> FrameHead {
    let body = SystemEventBody::DroppedScope { manifest_uid, scope_id, system_scope: false };
    system_event(1, 10, seqno, SystemEvent::DROP_SCOPE, body)
}

fn oso() -> FrameHead {
    request(Opcode::DCP_OSO_SNAPSHOT, 1, 10, Message::OsoSnapshot(OsoSnapshot { flags: 1 }))
}

#[test]
fn the_uid_grows() {
    type R = ManifestUidGrows;
    assert_eq!(of::<R>(&[begin(1, 4, 0, 8), begin(2, 4, 0, 9), begin(3, 5, 0, 10)]), PASS, "one change has one uid");
    assert_eq!(of::<R>(&[begin(1, 4, 0, 8), begin(2, 3, 0, 9)]), FAIL);
    assert_eq!(of::<R>(&[oso(), begin(1, 4, 0, 8), begin(2, 3, 0, 9)]), None);
    assert_eq!(told::<R>(7, false, &[begin(8, 4, 0, 8)]), PASS);
}

#[test]
fn scopes_are_there_before_their_collections() {
    type R = ScopesHoldCollections;
    assert_eq!(of::<R>(&[creates(1, 1, 20), begin(2, 2, 20, 8), begin(3, 3, 0, 9)]), PASS);
    let later = [begin(2, 2, 0, 9), begin(3, 3, 0, 10)];
    assert_eq!(of::<R>(&[&[begin(1, 1, 20, 8)], &later[..]].concat()), FAIL);
    assert_ne!(of::<R>(&[&[begin(1, 1, 20, 8)], &later[..1]].concat()), FAIL, "it may be of the same change");
    let swapped = [begin(1, 1, 20, 8), creates(2, 2, 20), begin(3, 3, 0, 10), begin(4, 4, 0, 11)];
    assert_eq!(of::<R>(&swapped), PASS, "the order in a change");
    assert_eq!(told::<R>(5, false, &[&[begin(6, 1, 20, 8)], &later[..]].concat()), None, "it was created before");
    assert_eq!(told::<R>(0, true, &[&[begin(1, 1, 20, 8)], &later[..]].concat()), None, "a filter leaves scopes out");
    assert_eq!(of::<R>(&[&[oso(), begin(1, 1, 20, 8)], &later[..]].concat()), None);
}

#[test]
fn scopes_are_dropped_after_their_collections() {
    type R = ScopesHoldCollections;
    let both = [creates(1, 1, 20), begin(2, 2, 20, 8)];
    let later = [begin(7, 6, 0, 9), begin(8, 7, 0, 10)];
    let of = |middle: &[FrameHead]| of::<R>(&[&both[..], middle, &later[..]].concat());
    assert_eq!(of(&[ends(3, 3, 20, 8), drops(4, 3, 20)]), PASS);
    assert_eq!(of(&[drops(4, 3, 20)]), FAIL);
    assert_eq!(of(&[drops(3, 3, 20), ends(4, 4, 20, 8)]), PASS, "the order in a change");
}

#[test]
fn values_have_their_length() {
    type R = EventValueLength;
    let decoded = |frame: crate::wire::FrameBuilder| {
        let bytes = frame.build();
        let collections = Negotiated { collections: true, ..Negotiated::default() };
        dcp::head(&Frame::new(&bytes).unwrap(), &collections, 7)
    };
    let event = |event, version, body| SystemEvent { by_seqno: 1, event, version, body };
    let collection = || SystemEventBody::Collection(CollectionEvent::default());
    let scope = || SystemEventBody::Scope { manifest_uid: 1, scope_id: 8 };
    for (event, len, expected) in [
        (event(SystemEvent::BEGIN_COLLECTION, 0, collection()), 16, PASS),
        (event(SystemEvent::BEGIN_COLLECTION, 0, collection()), 20, FAIL),
        (event(SystemEvent::BEGIN_COLLECTION, 1, collection()), 20, PASS),
        (event(SystemEvent::BEGIN_COLLECTION, 1, collection()), 16, FAIL),
        (event(SystemEvent::END_COLLECTION, 0, collection()), 16, PASS),
        (event(SystemEvent::END_COLLECTION, 0, collection()), 15, FAIL),
        (event(SystemEvent::CREATE_SCOPE, 0, scope()), 12, PASS),
        (event(SystemEvent::CREATE_SCOPE, 0, scope()), 16, FAIL),
        (event(SystemEvent::DROP_SCOPE, 0, scope()), 12, PASS),
        (event(SystemEvent::DROP_SCOPE, 0, scope()), 0, FAIL),
    ] {
        let head = decoded(event.request(b"name", 1, op(10)).value(vec![0; len]));
        assert_eq!(of::<R>(std::slice::from_ref(&head)), expected, "{event:?} {len}");
        assert_eq!(of::<WellFormed>(&[head]), PASS, "one breach, one rule");
    }
    let flat = decoded(event(SystemEvent::BEGIN_COLLECTION, 2, collection()).request(b"name", 1, op(10)));
    assert_eq!(of::<R>(&[flat]), None, "FlatBuffers");
}
