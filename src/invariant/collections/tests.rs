use super::super::rule::verdicts;
use super::*;
use crate::dcp::CollectionEvent;
use crate::dcp::Feature;
use crate::dcp::FrameHead;
use crate::dcp::Malformed;
use crate::dcp::OsoSnapshot;
use crate::dcp::SnapshotMarker;
use crate::dcp::StreamReqValue;
use crate::dcp::SystemEventBody;
use crate::session::script::*;
use crate::verdict::Verdict;

const PASS: Option<Verdict> = Some(Verdict::Pass);
const FAIL: Option<Verdict> = Some(Verdict::Fail);

fn asked<R: Rule>(change: impl FnOnce(&mut StreamReq), heads: &[FrameHead]) -> Option<Verdict> {
    let mut script = Script::with(&[Feature::COLLECTIONS], dcp::Open::PRODUCER, &[]);
    let mut head = stream_req(1, 10, 0);
    if let Ok(Message::StreamReq(request)) = &mut head.message {
        change(request);
    }
    script.c(head);
    script.p(stream_ok(10));
    for head in heads {
        script.p(head.clone());
    }
    verdicts::<R>(&script).0
}

fn of<R: Rule>(heads: &[FrameHead]) -> Option<Verdict> {
    asked::<R>(|_| {}, heads)
}

fn of_collections<R: Rule>(ids: &[u32], heads: &[FrameHead]) -> Option<Verdict> {
    let value = StreamReqValue { collections: Some(ids.to_vec()), ..StreamReqValue::default() };
    asked::<R>(|request| request.value = Some(Box::new(value)), heads)
}

fn of_scope<R: Rule>(scope: u32, heads: &[FrameHead]) -> Option<Verdict> {
    let value = StreamReqValue { scope: Some(scope), ..StreamReqValue::default() };
    asked::<R>(|request| request.value = Some(Box::new(value)), heads)
}

fn memory(start: u64, end: u64) -> FrameHead {
    marker(1, 10, start, end)
}

fn disk(start: u64, end: u64) -> FrameHead {
    marker_with(1, 10, start, end, SnapshotMarker::DISK)
}

fn oso(flags: u32) -> FrameHead {
    request(Opcode::DCP_OSO_SNAPSHOT, 1, 10, Message::OsoSnapshot(OsoSnapshot { flags }))
}

fn begin_in(seqno: u64, scope_id: u32, collection_id: u32) -> FrameHead {
    let event = CollectionEvent { manifest_uid: 1, scope_id, collection_id, ..CollectionEvent::default() };
    system_event(1, 10, seqno, SystemEvent::BEGIN_COLLECTION, SystemEventBody::Collection(event))
}

fn begin(seqno: u64, collection_id: u32) -> FrameHead {
    begin_in(seqno, 0, collection_id)
}

fn ends(seqno: u64, collection_id: u32) -> FrameHead {
    let body =
        SystemEventBody::DroppedCollection { manifest_uid: 1, scope_id: 0, collection_id, system_collection: false };
    system_event(1, 10, seqno, SystemEvent::END_COLLECTION, body)
}

fn drops(seqno: u64, scope_id: u32) -> FrameHead {
    let body = SystemEventBody::DroppedScope { manifest_uid: 1, scope_id, system_scope: false };
    system_event(1, 10, seqno, SystemEvent::DROP_SCOPE, body)
}

fn unread(head: FrameHead) -> FrameHead {
    FrameHead { message: Err(Malformed("cut".to_owned())), ..head }
}

fn item(seqno: u64, collection_id: u32) -> FrameHead {
    FrameHead { collection_id: Some(collection_id), ..mutation(1, 10, seqno) }
}

#[test]
fn a_collection_begins_before_its_items() {
    type R = ItemsAfterBegin;
    assert_eq!(of::<R>(&[memory(0, 9), begin(1, 8), item(2, 8)]), PASS);
    assert_eq!(of::<R>(&[memory(0, 9), item(9, 8), memory(10, 19)]), FAIL);
    assert_eq!(of::<R>(&[memory(0, 9), begin(1, 9), item(9, 8), memory(10, 19)]), FAIL, "another one begins");
    assert_eq!(of::<R>(&[disk(0, 9), item(9, 8), stream_end(1, 10, 0)]), FAIL);
    assert_eq!(of::<R>(&[memory(0, 9), item(2, 0), item(9, 0), memory(10, 19)]), None, "the default collection");
}

#[test]
fn items_that_need_no_begin_event() {
    type R = ItemsAfterBegin;
    for snapshot in [disk(0, 9), memory(0, 9)] {
        let flushed = [snapshot, item(2, 8), begin(9, 8), memory(10, 19), item(10, 8)];
        assert_eq!(of::<R>(&flushed), PASS, "it was flushed");
    }
    let dropped = [disk(0, 9), item(2, 8), ends(9, 8), memory(10, 19)];
    assert_eq!(of::<R>(&dropped), None, "it was dropped");
    let cut = [memory(0, 9), item(2, 8), disk(3, 19), begin(19, 8), memory(20, 29)];
    assert_eq!(of::<R>(&cut), None, "the rest of the snapshot comes from disk");
    let resumed = asked::<R>(
        |request| (request.start_seqno, request.snap_end_seqno) = (5, 5),
        &[memory(5, 9), item(9, 8), memory(10, 19)],
    );
    assert_eq!(resumed, None, "it began before");
    let latest = [memory(0, 9), item(9, 8), memory(10, 19)];
    assert_eq!(asked::<R>(|request| request.flags = StreamReq::FROM_LATEST, &latest), None);
    assert_eq!(of::<R>(&[oso(1), item(9, 8), oso(2), memory(10, 19), item(19, 8), memory(20, 29)]), None);
    assert_eq!(of::<R>(&[memory(0, 9), unread(begin(1, 8)), item(9, 8), memory(10, 19)]), None);
    let legacy = FrameHead { collection_id: None, ..item(9, 8) };
    assert_eq!(of::<R>(&[memory(0, 9), legacy, memory(10, 19)]), None);
}

#[test]
fn nothing_of_a_collection_that_has_ended() {
    type R = NoItemAfterEnd;
    let both = [memory(0, 9), begin(1, 8), begin(2, 9), ends(3, 9)];
    assert_eq!(of::<R>(&[&both[..], &[item(4, 8)]].concat()), PASS);
    assert_eq!(of::<R>(&[&both[..], &[item(4, 9)]].concat()), FAIL);
    assert_eq!(of::<R>(&[&both[..], &[begin(4, 9), item(5, 9)]].concat()), None, "it has begun anew");
    let completed = FrameHead { collection_id: Some(9), ..commit(1, 10, [2, 4], 7) };
    assert_eq!(of::<R>(&[&both[..], &[completed]].concat()), None);
    assert_eq!(of::<R>(&[oso(1), ends(3, 9), item(2, 9)]), None, "keys are out of order");
    assert_eq!(of::<R>(&[&both[..], &[unread(begin(4, 9)), item(5, 9)]].concat()), None);
    assert_eq!(of::<R>(&both), None);
}

#[test]
fn a_filter_is_kept_to() {
    type R = OnlyFiltered;
    let of8 = |heads: &[FrameHead]| of_collections::<R>(&[8, 9], heads);
    assert_eq!(of8(&[memory(0, 9), begin(1, 8), item(2, 8), item(3, 9)]), PASS);
    assert_eq!(of8(&[memory(0, 9), item(2, 10)]), FAIL);
    assert_eq!(of8(&[memory(0, 9), item(2, 0)]), FAIL, "the default collection was not asked for");
    assert_eq!(of8(&[memory(0, 9), begin(1, 10)]), FAIL);
    assert_eq!(of8(&[memory(0, 9), drops(1, 3)]), None, "a scope's event");
    assert_eq!(of8(&[memory(0, 9), unread(begin(1, 10))]), None);
    assert_eq!(of::<R>(&[memory(0, 9), begin(1, 10), item(2, 10)]), None, "no filter");
    assert_eq!(of_collections::<R>(&[], &[memory(0, 9), item(2, 10)]), None, "an empty list is no filter");
    let of3 = |heads: &[FrameHead]| of_scope::<R>(3, heads);
    assert_eq!(of3(&[memory(0, 9), begin_in(1, 3, 8), item(2, 8), drops(3, 3)]), PASS);
    assert_eq!(of3(&[memory(0, 9), begin_in(1, 4, 8)]), FAIL);
    assert_eq!(of3(&[memory(0, 9), drops(1, 4)]), FAIL);
    assert_eq!(of3(&[memory(0, 9), item(1, 0)]), FAIL, "the default collection is in scope 0");
    assert_eq!(of3(&[memory(0, 9), item(1, 12)]), None, "it may be in the scope");
    assert_eq!(of_scope::<R>(0, &[memory(0, 9), item(1, 0)]), PASS);
}

#[test]
fn each_stream_has_its_filter() {
    let mut script = Script::with(&[Feature::COLLECTIONS], dcp::Open::PRODUCER, &[]);
    for (vbucket, opaque, id) in [(1, 10, 8), (2, 20, 9)] {
        let mut head = stream_req(vbucket, opaque, 0);
        if let Ok(Message::StreamReq(request)) = &mut head.message {
            let value = StreamReqValue { collections: Some(vec![id]), ..StreamReqValue::default() };
            request.value = Some(Box::new(value));
        }
        script.c(head);
    }
    script.p(stream_ok(20));
    script.p(stream_ok(10));
    script.p(marker(2, 20, 0, 9));
    script.p(FrameHead { collection_id: Some(9), ..mutation(2, 20, 1) });
    assert_eq!(verdicts::<OnlyFiltered>(&script).0, PASS);
    script.p(memory(0, 9));
    script.p(item(1, 9));
    assert_eq!(verdicts::<OnlyFiltered>(&script).0, FAIL);
}

#[test]
fn a_filter_is_empty_when_all_of_it_has_ended() {
    type R = FilterEmptied;
    let end = || stream_end(1, 10, StreamEnd::FILTER_EMPTY);
    let of89 = |heads: &[FrameHead]| of_collections::<R>(&[8, 9], &[&[memory(0, 9)], heads].concat());
    assert_eq!(of89(&[begin(1, 8), begin(2, 9), ends(3, 8), ends(4, 9), end()]), PASS);
    assert_eq!(of89(&[begin(1, 8), begin(2, 9), ends(3, 8), end()]), FAIL);
    assert_eq!(of89(&[ends(3, 8), ends(4, 10), end()]), FAIL, "10 was not asked for");
    assert_eq!(of89(&[unread(ends(3, 8)), end()]), None);
    assert_eq!(of89(&[ends(3, 8), stream_end(1, 10, 0)]), None);
    assert_eq!(of::<R>(&[memory(0, 9), end()]), FAIL, "no filter");
    let of3 = |heads: &[FrameHead]| of_scope::<R>(3, &[&[memory(0, 9)], heads].concat());
    assert_eq!(of3(&[begin_in(1, 3, 8), ends(2, 8), end()]), FAIL, "the scope is still there");
    assert_eq!(of3(&[begin_in(1, 3, 8), ends(2, 8), drops(3, 3), end()]), PASS);
}
