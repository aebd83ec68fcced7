use super::super::rule::verdicts;
use super::*;
use crate::dcp::FailoverEntry;
use crate::dcp::FrameHead;
use crate::session::script::*;
use crate::verdict::Verdict;
use crate::wire::Status;

const PASS: Option<Verdict> = Some(Verdict::Pass);
const FAIL: Option<Verdict> = Some(Verdict::Fail);

fn opened_with(opaque: u32, vb_uuid: u64) -> FrameHead {
    let message = Message::StreamReqResponse(StreamReqResponse::FailoverLog(vec![FailoverEntry { vb_uuid, seqno: 0 }]));
    response(Opcode::DCP_STREAM_REQ, Status::SUCCESS, opaque, message)
}

/// The first is delivered, and the second once the stream was requested again with the same history.
fn again<R: Rule>(first: &FrameHead, second: &FrameHead) -> Option<Verdict> {
    let mut script = Script::opened();
    for head in [first, second] {
        script.stream(1, 10, 0);
        script.p(marker(1, 10, 0, 1));
        script.p(head.clone());
        script.p(stream_end(1, 10, 0));
    }
    verdicts::<R>(&script).0
}

fn m(change: impl FnOnce(&mut dcp::Mutation)) -> FrameHead {
    let mut mutation_of = dcp::Mutation { by_seqno: 1, rev_seqno: 1, ..dcp::Mutation::default() };
    change(&mut mutation_of);
    FrameHead { message: Ok(Message::Mutation(mutation_of)), ..mutation(1, 10, 1) }
}

fn deletion() -> FrameHead {
    let mut head = request(Opcode::DCP_DELETION, 1, 10, Message::Deletion(dcp::Deletion::v2(1, 1, 5)));
    (head.header.cas, head.key_hash) = (1, 1);
    head
}

#[test]
fn what_comes_again_is_as_it_was() {
    let first = m(|_| {});
    for (second, meta, content) in [
        (m(|_| {}), PASS, PASS),
        (m(|m| m.rev_seqno = 2), FAIL, PASS),
        (m(|m| m.flags = 2), FAIL, PASS),
        (m(|m| m.nru = 2), PASS, PASS),
        (FrameHead { header: crate::wire::Header { cas: 2, ..first.header }, ..m(|_| {}) }, FAIL, PASS),
        (FrameHead { key_hash: 9, ..m(|_| {}) }, None, FAIL),
        (FrameHead { collection_id: Some(9), ..m(|_| {}) }, None, FAIL),
        (deletion(), None, FAIL),
        (prepare(1, 10, 1, 1), None, FAIL),
        (commit(1, 10, [0, 1], 1), None, PASS),
        (abort(1, 10, [0, 1], 1), None, FAIL),
    ] {
        assert_eq!(
            (again::<SameMeta>(&first, &second), again::<SameContent>(&first, &second)),
            (meta, content),
            "{second:?}"
        );
    }
    assert_eq!(again::<SameContent>(&commit(1, 10, [0, 1], 1), &deletion()), PASS, "the commit, from disk");
    assert_eq!(again::<SameContent>(&abort(1, 10, [0, 1], 1), &commit(1, 10, [0, 1], 1)), FAIL);
}

/// The item of seqno 1 is delivered twice with another key; in between the stream is requested again.
fn after(requested_again: impl FnOnce(&mut Script)) -> Option<Verdict> {
    let mut script = Script::opened();
    script.stream(1, 10, 0);
    script.p(marker(1, 10, 0, 1));
    script.p(mutation(1, 10, 1));
    script.p(stream_end(1, 10, 0));
    requested_again(&mut script);
    script.p(marker(1, 11, 0, 1));
    script.p(FrameHead { key_hash: 9, ..mutation(1, 11, 1) });
    verdicts::<SameContent>(&script).0
}

#[test]
fn another_history_has_other_items() {
    assert_eq!(after(|script| script.stream(1, 11, 0)), FAIL);
    let other_uuid = |script: &mut Script| {
        script.c(stream_req(1, 11, 0));
        script.p(opened_with(11, 8));
    };
    assert_eq!(after(other_uuid), None);
    let rolled_back = |script: &mut Script| {
        script.c(stream_req(1, 11, 1));
        let rollback = Message::StreamReqResponse(StreamReqResponse::Rollback { rollback_seqno: 0 });
        script.p(response(Opcode::DCP_STREAM_REQ, Status::ROLLBACK, 11, rollback));
        script.stream(1, 11, 0);
    };
    assert_eq!(after(rolled_back), None);
    let refused = |script: &mut Script| {
        script.c(stream_req(1, 11, 1));
        let refused = Message::ErrorResponse(Default::default());
        script.p(response(Opcode::DCP_STREAM_REQ, Status::ETMPFAIL, 11, refused));
        script.stream(1, 11, 0);
    };
    assert_eq!(after(refused), FAIL, "a refusal changes nothing");
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut script = Script::opened();
    for vbucket in 0..1_100 {
        script.stream(vbucket, 10, 0);
        script.p(marker(vbucket, 10, 0, 1_000));
        script.p(mutation(vbucket, 10, 1));
    }
    for seqno in 2..500 {
        script.p(mutation(0, 10, seqno));
    }
    let mut delivered = Delivered::default();
    let mut session = Session::new(crate::journal::Side::Upstream);
    for entry in script.log() {
        session.observe(entry);
        if let crate::journal::What::Frame(head) = &entry.what {
            let sender = session.role(entry.sender()).unwrap_or(crate::journal::Role::Consumer);
            let seen = Seen::new(entry.at, head, &session, sender);
            assert_eq!(delivered.again(&seen), None);
        }
    }
    assert_eq!(delivered.vbuckets.len(), MAX_VBUCKETS);
    assert_eq!(delivered.vbuckets.get(&0).map(|vbucket| vbucket.items.len()), Some(MAX_ITEMS));
}
