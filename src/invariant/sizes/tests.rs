use super::super::rule::verdicts;
use super::*;
use crate::dcp::Feature;
use crate::dcp::FrameHead;
use crate::dcp::Negotiated;
use crate::session::script::*;
use crate::verdict::Verdict;
use crate::wire::Frame;
use crate::wire::FrameBuilder;

const PASS: Option<Verdict> = Some(Verdict::Pass);
const FAIL: Option<Verdict> = Some(Verdict::Fail);

/// What a rule says of frames that were really decoded, on stream (1, 10).
fn decoded<R: Rule>(features: &[u16], frame: &FrameBuilder) -> Option<Verdict> {
    let mut script = Script::with(features, dcp::Open::PRODUCER, &[]);
    script.stream(1, 10, 0);
    script.p(marker(1, 10, 0, 9));
    let bytes = frame.build();
    let collections = features.contains(&Feature::COLLECTIONS);
    let negotiated = Negotiated { collections, ..Negotiated::default() };
    script.p(dcp::head(&Frame::new(&bytes).unwrap(), &negotiated, 7));
    verdicts::<R>(&script).0
}

fn keyed(key: &[u8]) -> FrameBuilder {
    dcp::Mutation { by_seqno: 1, rev_seqno: 1, ..dcp::Mutation::default() }.request(1, op(10)).cas(1).key(key)
}

#[test]
fn keys_by_their_length() {
    for (len, expected) in [(0, FAIL), (1, PASS), (250, PASS), (251, FAIL)] {
        assert_eq!(decoded::<PlainKeys>(&[], &keyed(&vec![b'k'; len])), expected, "{len}");
        assert_eq!(decoded::<CollectionKeys>(&[], &keyed(&vec![b'k'; len])), None, "{len}");
    }
    let on = [Feature::COLLECTIONS];
    for (id, len, expected) in
        [(0, 250, PASS), (0, 251, FAIL), (8, 246, PASS), (8, 247, FAIL), (8, 0, FAIL), (0, 0, FAIL), (7, 3, FAIL)]
    {
        let key = dcp::collection_key(id, &vec![b'k'; len]);
        assert_eq!(decoded::<CollectionKeys>(&on, &keyed(&key)), expected, "{id} {len}");
        assert_eq!(decoded::<PlainKeys>(&on, &keyed(&key)), None);
        let broken = super::super::framing::WellFormed::ID;
        assert_ne!(
            decoded::<super::super::framing::WellFormed>(&on, &keyed(&key)),
            FAIL,
            "{broken}: one breach, one rule"
        );
    }
    assert_eq!(decoded::<CollectionKeys>(&on, &keyed(b"\x80\x00key")), FAIL, "not the shortest form");
    assert_eq!(decoded::<CollectionKeys>(&on, &keyed(b"\xff\xff\xff\xff\xff\x01k")), FAIL, "more than 5 bytes");
}

#[test]
fn keys_of_commits_and_of_cache_transfers_too() {
    let commit = dcp::Commit { prepared_seqno: 1, commit_seqno: 2 }.request(1, op(10));
    assert_eq!(decoded::<PlainKeys>(&[], &commit.key(b"")), FAIL);
    let item = dcp::CacheItem {
        cas: 1,
        by_seqno: 1,
        rev_seqno: 1,
        value_len: 0,
        flags: 0,
        expiration: 0,
        key_len: 0,
        datatype: Datatype::RAW,
        cache_hint: 40,
        collection_id: None,
    };
    for (key, expected) in [(&b"\x00k"[..], PASS), (b"\x03k", FAIL), (b"k", FAIL)] {
        let frame = dcp::CacheTransfer::request([(&item, key, &b"value"[..])], 1, op(10));
        assert_eq!(decoded::<CollectionKeys>(&[Feature::COLLECTIONS], &frame), expected, "{key:?}");
    }
}

fn of<R: Rule>(head: FrameHead) -> Option<Verdict> {
    let mut script = Script::opened();
    script.stream(1, 10, 0);
    script.p(head);
    verdicts::<R>(&script).0
}

#[test]
fn values_by_their_length() {
    let sized = |value_len: u32, datatype| {
        let mut head = mutation(1, 10, 1);
        (head.header.body_len, head.header.datatype) = (34 + value_len, datatype);
        head
    };
    for (len, datatype, expected) in [
        (21 << 20, Datatype::RAW, PASS),
        ((21 << 20) + 1, Datatype::RAW, FAIL),
        ((21 << 20) + 1, Datatype::SNAPPY, PASS),
        (25 << 20, Datatype::SNAPPY, FAIL),
    ] {
        assert_eq!(of::<ValueSize>(sized(len, datatype)), expected, "{len} {datatype:?}");
    }
    assert_eq!(of::<ValueSize>(marker(1, 10, 0, 9)), None);
}

#[test]
fn what_is_deleted_has_no_document() {
    type R = DeletionsWithoutBody;
    let with = |message, opcode, value_len: u32, datatype| {
        let mut head = request(opcode, 1, 10, message);
        (head.header.extras_len, head.header.key_len) = (21, 3);
        (head.header.body_len, head.header.datatype) = (24 + value_len, datatype);
        head
    };
    let deletion =
        |len, datatype| with(Message::Deletion(dcp::Deletion::v2(1, 1, 0)), Opcode::DCP_DELETION, len, datatype);
    for (len, datatype, expected) in [
        (0, Datatype::RAW, PASS),
        (0, Datatype::SNAPPY, PASS),
        (1, Datatype::SNAPPY, PASS),
        (1, Datatype::RAW, FAIL),
        (9, Datatype::SNAPPY, FAIL),
        (9, Datatype::XATTR, None),
        (9, Datatype::XATTR | Datatype::JSON, None),
    ] {
        assert_eq!(of::<R>(deletion(len, datatype)), expected, "{len} {datatype:?}");
    }
    let expiration = Message::Expiration(dcp::Expiration { by_seqno: 1, rev_seqno: 1, delete_time: 1 });
    assert_eq!(of::<R>(with(expiration, Opcode::DCP_EXPIRATION, 4, Datatype::RAW)), FAIL);
    for (deleted, expected) in [(0, None), (1, FAIL)] {
        let prepare = dcp::Prepare { by_seqno: 1, durability_level: 1, deleted, ..dcp::Prepare::default() };
        assert_eq!(of::<R>(with(Message::Prepare(prepare), Opcode::DCP_PREPARE, 4, Datatype::RAW)), expected);
    }
}
