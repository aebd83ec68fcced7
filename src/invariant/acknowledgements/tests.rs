use super::super::rule::verdicts;
use super::*;
use crate::dcp;
use crate::dcp::FrameHead;
use crate::journal::Act;
use crate::journal::Direction;
use crate::journal::Origin;
use crate::journal::What;
use crate::session::script::*;
use crate::verdict::Verdict;
use crate::wire::Status;

const PASS: Option<Verdict> = Some(Verdict::Pass);
const FAIL: Option<Verdict> = Some(Verdict::Fail);
const SYNC: &[(&str, &str)] = &[("enable_sync_writes", "true"), ("consumer_name", "replica")];

fn replication(start: u64, heads: &[FrameHead]) -> Script {
    let mut script = Script::with(&[], dcp::Open::PRODUCER, SYNC);
    script.stream(1, 10, start);
    for head in heads {
        script.p(head.clone());
    }
    script
}

#[test]
fn acknowledged_is_what_was_sent() {
    type R = AckOfWhatWasSent;
    let acks = |start, seqnos: &[u64]| {
        let mut script = replication(start, &[marker(1, 10, start, 20), mutation(1, 10, start + 3)]);
        for &seqno in seqnos {
            script.c(seqno_ack(1, 10, seqno));
        }
        verdicts::<R>(&script).1
    };
    assert_eq!(acks(0, &[1, 3]), PASS);
    assert_eq!(acks(0, &[3, 3]), PASS, "the same again");
    assert_eq!(acks(0, &[4]), FAIL);
    assert_eq!(acks(0, &[3, 2]), FAIL);
    let mut script = replication(8, &[]);
    script.c(seqno_ack(1, 10, 8));
    assert_eq!(verdicts::<R>(&script).1, PASS, "what the replica has already");
    let mut gone = replication(0, &[stream_end(1, 10, 0)]);
    gone.c(seqno_ack(1, 10, 9));
    gone.c(seqno_ack(2, 10, 9));
    assert_eq!(verdicts::<R>(&gone).1, None, "a stream that is gone, and none at all, which is C15's");
    let mut anew = replication(0, &[marker(1, 10, 0, 9), mutation(1, 10, 9)]);
    anew.c(seqno_ack(1, 10, 9));
    anew.p(stream_end(1, 10, 0));
    anew.stream(1, 11, 4);
    anew.c(seqno_ack(1, 11, 4));
    assert_eq!(verdicts::<R>(&anew).1, PASS, "after a rollback");
    let oso = |flags| request(Opcode::DCP_OSO_SNAPSHOT, 1, 10, Message::OsoSnapshot(dcp::OsoSnapshot { flags }));
    let mut script = replication(0, &[oso(1), mutation(1, 10, 7), mutation(1, 10, 3)]);
    script.c(seqno_ack(1, 10, 7));
    assert_eq!(verdicts::<R>(&script).1, PASS);
    let unread = FrameHead { message: Err(dcp::Malformed("cut".to_owned())), ..mutation(1, 10, 7) };
    let mut script = replication(0, &[marker(1, 10, 0, 9), unread]);
    script.c(seqno_ack(1, 10, 7));
    assert_eq!(verdicts::<R>(&script).1, None);
}

fn level(seqno: u64, durability_level: u8) -> FrameHead {
    let prepare = dcp::Prepare { by_seqno: seqno, durability_level, ..dcp::Prepare::default() };
    request(Opcode::DCP_PREPARE, 1, 10, Message::Prepare(prepare))
}

/// The consumer says something else so long after the last of these.
fn then_silent(mut script: Script, ms: u64) -> Option<Verdict> {
    script.wait_ms(ms);
    script.c(buffer_ack(1));
    verdicts::<PrepareAcked>(&script).1
}

#[test]
fn prepares_are_acknowledged_in_time() {
    let prepared = |heads: &[FrameHead]| replication(0, &[&[marker(1, 10, 0, 2)], heads].concat());
    assert_eq!(then_silent(prepared(&[level(2, 1)]), 11_000), FAIL);
    assert_eq!(then_silent(prepared(&[level(2, 1)]), 9_000), None, "not over yet");
    assert_eq!(verdicts::<PrepareAcked>(&prepared(&[level(2, 1)])).1, None, "a recording that ends");
    let mut acked = prepared(&[level(2, 1)]);
    acked.c(seqno_ack(1, 10, 2));
    assert_eq!(then_silent(acked, 11_000), PASS);
    let mut early = prepared(&[level(1, 1)]);
    early.c(seqno_ack(1, 10, 1));
    early.p(mutation(1, 10, 2));
    assert_eq!(then_silent(early, 11_000), None, "before it was due");
}

#[test]
fn prepares_that_nobody_owes_an_acknowledgement_of() {
    let prepared = |heads: &[FrameHead]| replication(0, &[&[marker(1, 10, 0, 2)], heads].concat());
    assert_eq!(then_silent(prepared(&[level(1, 1)]), 11_000), None, "the snapshot is not whole");
    assert_eq!(then_silent(prepared(&[level(2, 2)]), 11_000), None, "it waits for the disk");
    assert_eq!(then_silent(prepared(&[level(1, 3), level(2, 1)]), 11_000), None, "behind one that waits for the disk");
    assert_eq!(then_silent(prepared(&[level(2, 1), stream_end(1, 10, 0)]), 11_000), None, "the stream is gone");
    let mut closed = prepared(&[level(2, 1)]);
    closed.c(close_stream(1, 77));
    closed.p(plain(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS, 77));
    assert_eq!(then_silent(closed, 11_000), None);
    let mut plain = Script::with(&[], dcp::Open::PRODUCER, &SYNC[..1]);
    plain.stream(1, 10, 0);
    plain.p(marker(1, 10, 0, 2));
    plain.p(level(2, 1));
    assert_eq!(then_silent(plain, 11_000), None, "no consumer_name: it does not acknowledge");
    let mut full = Script::with(&[], dcp::Open::PRODUCER, &[SYNC, &[("connection_buffer_size", "40")]].concat());
    full.stream(1, 10, 0);
    full.p(marker(1, 10, 0, 2));
    full.p(level(2, 1));
    assert_eq!(then_silent(full, 11_000), None, "the consumer has no room");
}

#[test]
fn what_the_tool_keeps_from_the_consumer_is_not_its_fault() {
    let prepared = || replication(0, &[marker(1, 10, 0, 2), level(2, 1)]);
    let mut held = prepared();
    held.origin = Origin::Tool;
    held.say(Direction::From, What::Paused(true));
    held.wait_ms(11_000);
    held.say(Direction::From, What::Paused(false));
    held.origin = Origin::Peer;
    assert_eq!(then_silent(held, 1), None);
    let mut cut = prepared();
    cut.origin = Origin::Tool;
    let step = "close".to_owned();
    let fired = Act::Fired { step, vbucket: 1, stream_id: None, opaque: op(10), seqno: 2, cut: true };
    cut.say(Direction::To, What::Acted(fired));
    cut.origin = Origin::Peer;
    cut.p(marker(1, 10, 3, 4));
    cut.p(level(4, 1));
    assert_eq!(then_silent(cut, 11_000), None);
}
