use super::super::rule::verdicts;
use super::*;
use crate::dcp;
use crate::dcp::FrameHead;
use crate::dcp::Negotiated;
use crate::dcp::OsoSnapshot;
use crate::dcp::SnapshotMarker;
use crate::session::script::*;
use crate::verdict::Verdict;
use crate::wire::Frame;

const PASS: Option<Verdict> = Some(Verdict::Pass);
const FAIL: Option<Verdict> = Some(Verdict::Fail);

fn from<R: Rule>(start: u64, heads: &[FrameHead]) -> Option<Verdict> {
    let mut script = Script::with(&[], dcp::Open::PRODUCER, &[("enable_sync_writes", "true")]);
    script.stream(1, 10, start);
    for head in heads {
        script.p(head.clone());
    }
    verdicts::<R>(&script).0
}

fn memory(start: u64, end: u64) -> FrameHead {
    marker(1, 10, start, end)
}

fn disk(start: u64, end: u64) -> FrameHead {
    marker_with(1, 10, start, end, SnapshotMarker::DISK | SnapshotMarker::CHECKPOINT)
}

fn oso(flags: u32) -> FrameHead {
    request(Opcode::DCP_OSO_SNAPSHOT, 1, 10, Message::OsoSnapshot(OsoSnapshot { flags }))
}

fn pre(seqno: u64, key: u64) -> FrameHead {
    prepare(1, 10, seqno, key)
}

fn com(seqnos: [u64; 2], key: u64) -> FrameHead {
    commit(1, 10, seqnos, key)
}

fn abo(seqnos: [u64; 2], key: u64) -> FrameHead {
    abort(1, 10, seqnos, key)
}

fn m(seqno: u64, key_hash: u64) -> FrameHead {
    FrameHead { key_hash, ..mutation(1, 10, seqno) }
}

#[test]
fn what_completes_a_prepare_follows_it() {
    for (completes, rule) in [
        (com as fn([u64; 2], u64) -> FrameHead, from::<CommitOfPrepare> as fn(u64, &[FrameHead]) -> Option<Verdict>),
        (abo, from::<AbortOfPrepare>),
    ] {
        assert_eq!(rule(0, &[memory(0, 9), pre(1, 7), completes([1, 2], 7)]), PASS);
        assert_eq!(rule(0, &[memory(0, 9), completes([1, 2], 7)]), FAIL);
        assert_eq!(rule(0, &[memory(0, 9), pre(1, 7), completes([1, 2], 8)]), FAIL, "another key");
        assert_eq!(rule(0, &[memory(0, 9), pre(1, 7), completes([1, 2], 7), completes([1, 3], 7)]), FAIL, "twice");
        assert_eq!(rule(5, &[memory(5, 9), completes([5, 6], 7)]), None, "the consumer has the prepare");
        assert_eq!(rule(5, &[memory(5, 9), completes([6, 7], 7)]), FAIL);
        assert_eq!(rule(0, &[disk(0, 9), completes([1, 2], 7)]), None, "left out on disk");
        assert_eq!(rule(0, &[disk(0, 3), pre(1, 7), memory(4, 9), completes([1, 5], 7)]), PASS);
        assert_eq!(rule(0, &[oso(1), completes([1, 2], 7)]), None);
        let unread = FrameHead { message: Err(dcp::Malformed("cut".to_owned())), ..pre(1, 7) };
        assert_eq!(rule(0, &[memory(0, 9), unread, completes([1, 2], 7)]), None, "it may have been the prepare");
        let elsewhere = FrameHead { collection_id: Some(9), ..completes([1, 2], 7) };
        assert_eq!(rule(0, &[memory(0, 9), pre(1, 7), elsewhere]), FAIL, "another collection");
    }
}

#[test]
fn streams_of_one_vbucket_have_their_own_prepares() {
    let mut script = Script::with(&[], dcp::Open::PRODUCER, &[("enable_sync_writes", "true")]);
    script.stream(1, 10, 0);
    script.p(memory(0, 9));
    script.p(pre(3, 7));
    script.p(stream_end(1, 10, 0));
    script.stream(1, 11, 3);
    script.p(marker(1, 11, 3, 9));
    script.p(commit(1, 11, [3, 4], 7));
    assert_eq!(verdicts::<CommitOfPrepare>(&script).0, None, "before the stream that it comes on");
    assert_eq!(verdicts::<PreparedSeqnoMatches>(&script).0, None);
    script.p(prepare(1, 11, 5, 8));
    assert_eq!(verdicts::<OnePrepareAtATime>(&script).0, PASS);
}

#[test]
fn prepared_seqnos_match() {
    type R = PreparedSeqnoMatches;
    assert_eq!(from::<R>(0, &[memory(0, 9), pre(3, 7), abo([3, 4], 7)]), PASS);
    assert_eq!(from::<R>(0, &[memory(0, 9), pre(3, 7), abo([2, 4], 7)]), FAIL);
    assert_eq!(from::<R>(0, &[memory(0, 9), com([2, 4], 7)]), None, "one breach, one rule");
    assert_eq!(
        from::<R>(0, &[memory(0, 4), pre(3, 7), disk(5, 9), abo([6, 7], 7)]),
        None,
        "a newer prepare is left out"
    );
    assert_eq!(from::<R>(0, &[disk(0, 4), pre(3, 7), memory(5, 9), com([6, 7], 7)]), None, "it may be completed");
    type Own = PreparedBelowOwn;
    assert_eq!(from::<Own>(0, &[memory(0, 9), pre(3, 7), com([3, 4], 7)]), PASS);
    assert_eq!(from::<Own>(0, &[memory(0, 9), pre(3, 7), com([4, 4], 7)]), FAIL);
    assert_eq!(from::<Own>(0, &[disk(0, 9), abo([5, 4], 7)]), FAIL);
    assert_eq!(from::<Own>(0, &[memory(0, 9), m(1, 7)]), None);
}

#[test]
fn one_prepare_at_a_time() {
    type R = OnePrepareAtATime;
    assert_eq!(from::<R>(0, &[memory(0, 9), pre(1, 7), com([1, 2], 7), pre(3, 7)]), PASS);
    assert_eq!(from::<R>(0, &[memory(0, 9), pre(1, 7), abo([1, 2], 7), pre(3, 7)]), PASS);
    assert_eq!(from::<R>(0, &[memory(0, 9), pre(1, 7), pre(3, 7)]), FAIL);
    assert_eq!(from::<R>(0, &[memory(0, 2), pre(1, 7), disk(3, 9), pre(3, 7)]), PASS, "after a cursor was dropped");
    assert_eq!(from::<R>(0, &[disk(0, 2), pre(1, 7), memory(3, 9), pre(3, 7)]), PASS, "the abort may be purged");
    assert_eq!(from::<R>(0, &[memory(0, 2), pre(1, 7), disk(3, 5), memory(6, 9), pre(6, 7)]), PASS);
    assert_eq!(from::<R>(0, &[memory(0, 2), pre(1, 7), oso(1), pre(3, 7)]), PASS);
    assert_eq!(from::<R>(0, &[marker_with(1, 10, 0, 9, 0), pre(1, 7), pre(3, 7)]), PASS, "neither memory nor disk");
}

#[test]
fn no_write_while_one_is_pending() {
    type R = NoWriteWhilePending;
    assert_eq!(from::<R>(0, &[memory(0, 9), pre(1, 7), m(2, 8)]), PASS);
    assert_eq!(from::<R>(0, &[memory(0, 9), pre(1, 7), m(2, 7)]), FAIL);
    assert_eq!(from::<R>(0, &[memory(0, 9), m(2, 7)]), None);
    assert_eq!(from::<R>(0, &[disk(0, 9), pre(1, 7), m(2, 7)]), None, "on disk it is the commit");
    assert_eq!(from::<R>(0, &[memory(0, 2), pre(1, 7), disk(3, 5), m(3, 7), memory(6, 9), m(6, 7)]), None);
    assert_eq!(from::<R>(0, &[memory(0, 2), pre(1, 7), disk(3, 5), memory(6, 9), m(6, 7)]), None, "in doubt");
    let deletion = request(Opcode::DCP_DELETION, 1, 10, Message::Deletion(dcp::Deletion::v2(2, 1, 0)));
    assert_eq!(from::<R>(0, &[memory(0, 9), pre(1, 7), FrameHead { key_hash: 7, ..deletion }]), FAIL);
}

#[test]
fn the_form_of_a_prepare() {
    for (level, cas, seqno, expected) in
        [(1, 1, 1, PASS), (3, 1, 1, PASS), (0, 1, 1, FAIL), (4, 1, 1, FAIL), (1, 0, 1, FAIL), (1, 1, 0, FAIL)]
    {
        let prepare = dcp::Prepare { by_seqno: seqno, durability_level: level, ..dcp::Prepare::default() };
        let bytes = prepare.request(1, op(10)).cas(cas).key(b"key").build();
        let head = dcp::head(&Frame::new(&bytes).unwrap(), &Negotiated::default(), 7);
        assert_eq!(from::<PrepareForm>(0, std::slice::from_ref(&head)), expected, "{level} {cas} {seqno}");
        type Form = super::super::framing::WellFormed;
        assert_eq!(from::<Form>(0, &[head]), PASS, "one breach, one rule");
    }
    let bytes = dcp::Mutation::default().request(1, op(10)).cas(1).key(b"key").build();
    let head = dcp::head(&Frame::new(&bytes).unwrap(), &Negotiated::default(), 7);
    assert_eq!(from::<super::super::framing::WellFormed>(0, &[head]), FAIL, "a mutation's seqno is A3's");
}

#[test]
fn more_than_there_is_room_for_is_not_judged() {
    let heads: Vec<_> = std::iter::once(memory(0, u64::MAX))
        .chain((1..70_000).map(|seqno| pre(seqno, seqno)))
        .chain([com([70_000, 70_001], 70_000), pre(70_002, 1)])
        .collect();
    assert_eq!(from::<CommitOfPrepare>(0, &heads), None);
    assert_eq!(from::<OnePrepareAtATime>(0, &heads), PASS, "as far as it went");
}
