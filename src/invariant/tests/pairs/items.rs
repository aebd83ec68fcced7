//! Sections B, E and F.

use super::*;
use crate::dcp::CollectionEvent;
use crate::dcp::SystemEvent;
use crate::dcp::SystemEventBody;
use crate::wire::Opcode;

fn in_collection(mut head: FrameHead, id: u32) -> FrameHead {
    head.collection_id = Some(id);
    head
}

fn begin(seqno: u64, uid: u64, scope_id: u32, collection_id: u32) -> FrameHead {
    let event = CollectionEvent { manifest_uid: uid, scope_id, collection_id, ..CollectionEvent::default() };
    system_event(1, 10, seqno, SystemEvent::BEGIN_COLLECTION, SystemEventBody::Collection(event))
}

fn ends(seqno: u64, uid: u64, collection_id: u32) -> FrameHead {
    let body =
        SystemEventBody::DroppedCollection { manifest_uid: uid, scope_id: 0, collection_id, system_collection: false };
    system_event(1, 10, seqno, SystemEvent::END_COLLECTION, body)
}

fn scope(seqno: u64, uid: u64, scope_id: u32) -> FrameHead {
    let body = SystemEventBody::Scope { manifest_uid: uid, scope_id };
    system_event(1, 10, seqno, SystemEvent::CREATE_SCOPE, body)
}

fn filtered() -> Script {
    asking(with(&[]), |request| {
        request.value = Some(Box::new(dcp::StreamReqValue { collections: Some(vec![8]), ..Default::default() }));
    })
}

fn deletion(value_len: u32) -> FrameHead {
    let mut head = request(Opcode::DCP_DELETION, 1, 10, Message::Deletion(dcp::Deletion::v2(1, 1, 0)));
    (head.header.extras_len, head.header.key_len, head.header.body_len) = (21, 3, 24 + value_len);
    head
}

fn sized(value_len: u32) -> FrameHead {
    let mut head = mutation(1, 10, 1);
    head.header.body_len = 34 + value_len;
    head
}

/// A stream, and the same from seqno 0 again, with `head` for its first item.
fn again(head: FrameHead) -> Script {
    let mut script = plainly(&[marker(1, 10, 0, 1), mutation(1, 10, 1)]);
    script.p(stream_end(1, 10, 0));
    script.stream(1, 11, 0);
    p(script, &[marker(1, 11, 0, 1), head])
}

fn acks(seqno: u64) -> Script {
    let mut script = on(replication(), &[marker(1, 10, 0, 1), prepare(1, 10, 1, 7)]);
    script.wait_ms(1_000);
    script.c(seqno_ack(1, 10, seqno));
    script
}

fn never_acked() -> Script {
    let mut script = on(replication(), &[marker(1, 10, 0, 1), prepare(1, 10, 1, 7)]);
    script.wait_ms(11_000);
    script.c(buffer_ack(1));
    script
}

pub(super) fn pairs() -> Vec<Pair> {
    let m = |seqno, key_hash| FrameHead { key_hash, ..mutation(1, 10, seqno) };
    let s = || marker(1, 10, 0, 9);
    let durable = |heads: &[FrameHead]| on(replication(), &[&[s()], heads].concat());
    let collected = |heads: &[FrameHead]| on(with(&[]), &[&[s()], heads].concat());
    let pre = |seqno, key| prepare(1, 10, seqno, key);
    let com = |seqnos, key| commit(1, 10, seqnos, key);
    let abo = |seqnos, key| abort(1, 10, seqnos, key);
    let other_cas = {
        let mut head = mutation(1, 11, 1);
        head.header.cas = 9;
        head
    };
    let short = "expected DCP_SYSTEM_EVENT to have 16 bytes of value, found 12";
    vec![
        pair(
            "b1-plain-keys",
            plainly(&[s(), m(1, 1)]),
            plainly(&[malformed(m(1, 1), "expected a key of 1 to 250 bytes (no collections), found 251")]),
        ),
        pair(
            "b2-collection-keys",
            collected(&[m(1, 1)]),
            collected(&[malformed(m(1, 1), "expected a collection id of 0 or above 7, found 3, which is reserved")]),
        ),
        pair("b3-value-size", plainly(&[s(), sized(21 << 20)]), plainly(&[s(), sized((21 << 20) + 1)])),
        pair("b4-deletions-without-body", plainly(&[s(), deletion(0)]), plainly(&[s(), deletion(1)])),
        pair("b5-same-meta", again(mutation(1, 11, 1)), again(other_cas)),
        pair("d22-same-content", again(mutation(1, 11, 1)), again(FrameHead { key_hash: 99, ..mutation(1, 11, 1) })),
        pair("e1-commit-of-prepare", durable(&[pre(1, 7), com([1, 2], 7)]), durable(&[pre(1, 7), com([1, 2], 8)])),
        pair("e2-abort-of-prepare", durable(&[pre(1, 7), abo([1, 2], 7)]), durable(&[pre(1, 7), abo([1, 2], 8)])),
        pair("e3-prepared-seqno", durable(&[pre(1, 7), com([1, 3], 7)]), durable(&[pre(1, 7), com([2, 3], 7)])),
        pair("e4-prepared-below-own", durable(&[pre(1, 7), com([1, 2], 7)]), durable(&[pre(1, 7), com([2, 2], 7)])),
        pair(
            "e5-one-prepare-at-a-time",
            durable(&[pre(1, 7), com([1, 2], 7), pre(3, 7)]),
            durable(&[pre(1, 7), pre(3, 7)]),
        ),
        pair(
            "e6-no-write-while-pending",
            durable(&[pre(1, 7), m(2, 8), com([1, 3], 7), m(4, 7)]),
            durable(&[pre(1, 7), m(2, 7)]),
        ),
        pair("e7-ack-of-what-was-sent", acks(1), acks(2)),
        pair("e8-prepare-acked", acks(1), never_acked()),
        pair(
            "e9-prepare-form",
            durable(&[pre(1, 7)]),
            durable(&[malformed(pre(1, 7), "expected a durability level of 1 to 3, found 4")]),
        ),
        pair(
            "f1-items-after-begin",
            collected(&[begin(1, 1, 0, 8), in_collection(m(2, 1), 8)]),
            collected(&[in_collection(m(9, 1), 8), marker(1, 10, 10, 19)]),
        ),
        pair(
            "f2-no-item-after-end",
            collected(&[begin(1, 1, 0, 8), begin(2, 1, 0, 9), ends(3, 2, 9), in_collection(m(4, 1), 8)]),
            collected(&[begin(1, 1, 0, 8), ends(3, 2, 8), in_collection(m(4, 1), 8)]),
        ),
        pair(
            "f3-only-filtered",
            p(filtered(), &[s(), begin(1, 1, 0, 8), in_collection(m(2, 1), 8)]),
            p(filtered(), &[s(), begin(1, 1, 0, 8), in_collection(m(2, 1), 9)]),
        ),
        pair(
            "f4-filter-emptied",
            p(filtered(), &[s(), begin(1, 1, 0, 8), ends(9, 2, 8), stream_end(1, 10, 7)]),
            p(filtered(), &[s(), begin(1, 1, 0, 8), stream_end(1, 10, 7)]),
        ),
        pair(
            "f5-manifest-uid-grows",
            collected(&[begin(1, 1, 0, 8), begin(2, 1, 0, 9), ends(3, 2, 9)]),
            collected(&[begin(1, 2, 0, 8), begin(2, 1, 0, 9)]),
        ),
        pair(
            "f6-scopes-hold-collections",
            collected(&[scope(1, 1, 20), begin(2, 2, 20, 8)]),
            collected(&[begin(1, 1, 20, 8), begin(2, 2, 0, 9), begin(3, 3, 0, 10)]),
        ),
        pair(
            "f7-event-value-length",
            collected(&[begin(1, 1, 0, 8)]),
            collected(&[malformed(begin(1, 1, 0, 8), short)]),
        ),
    ]
}
