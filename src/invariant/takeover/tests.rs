use super::super::rule::verdicts;
use super::*;
use crate::dcp::FrameHead;
use crate::session::script::*;
use crate::verdict::Verdict;
use crate::wire::Status;

const PASS: Option<Verdict> = Some(Verdict::Pass);
const FAIL: Option<Verdict> = Some(Verdict::Fail);
const MEMORY: u32 = SnapshotMarker::MEMORY;
const DISK: u32 = SnapshotMarker::DISK | SnapshotMarker::CHECKPOINT;
const ACK: u32 = SnapshotMarker::MEMORY | SnapshotMarker::ACK;

/// What happens on the stream, in a letter each: p and a for the states pending and active, r for a replica's, `.` for the
/// answer to one, m for a marker with Ack, n for one without, d for one of the disk, `,` for the answer to one, i for an
/// item, e for the end, s for one as the state has changed, f for one of another reason, x for a close.
fn told<R: Rule>(flags: u32, steps: &str) -> Option<Verdict> {
    let mut script = Script::opened();
    let mut head = stream_req(1, 10, 0);
    if let Ok(Message::StreamReq(request)) = &mut head.message {
        request.flags = flags;
    }
    script.c(head);
    script.p(stream_ok(10));
    let set = |state| {
        let set = Message::SetVbucketState(SetVbucketState { state });
        request(Opcode::DCP_SET_VBUCKET_STATE, 1, 10, set)
    };
    let mut seqno = 0;
    for step in steps.chars() {
        let head: FrameHead = match step {
            'p' => set(SetVbucketState::PENDING),
            'a' => set(SetVbucketState::ACTIVE),
            'r' => set(SetVbucketState::REPLICA),
            'm' => marker_with(1, 10, seqno, seqno + 1, ACK),
            'n' => marker_with(1, 10, seqno, seqno + 1, MEMORY),
            'd' => marker_with(1, 10, seqno, seqno + 1, DISK),
            'i' => {
                seqno += 1;
                mutation(1, 10, seqno)
            }
            'e' => stream_end(1, 10, StreamEnd::OK),
            's' => stream_end(1, 10, StreamEnd::STATE_CHANGED),
            'f' => stream_end(1, 10, StreamEnd::SLOW),
            '.' | ',' => {
                let opcode = if step == '.' { Opcode::DCP_SET_VBUCKET_STATE } else { Opcode::DCP_SNAPSHOT_MARKER };
                script.c(plain(opcode, Status::SUCCESS, 10));
                continue;
            }
            _ => {
                script.c(close_stream(1, 77));
                plain(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS, 77)
            }
        };
        script.p(head);
    }
    verdicts::<R>(&script).0
}

#[test]
fn states_come_in_their_order() {
    let of = |steps| told::<VbucketStates>(StreamReq::TAKEOVER, steps);
    for (steps, expected) in [
        ("dimi,p.mi,a.e", PASS),
        ("p", PASS),
        ("a", FAIL),
        ("r", FAIL),
        ("pa", FAIL),
        ("p.p", FAIL),
        ("p.a.a", FAIL),
        ("dimi,", None),
        ("px", PASS),
    ] {
        assert_eq!(of(steps), expected, "{steps}");
    }
    assert_eq!(told::<VbucketStates>(0, "p"), FAIL, "the stream is no takeover");
}

#[test]
fn markers_are_acknowledged_before_a_state() {
    let of = |steps| told::<MarkersAcked>(StreamReq::TAKEOVER, steps);
    for (steps, expected) in [
        ("mi,p.mi,a.", PASS),
        ("dip.", PASS),
        ("di", None),
        ("ni", FAIL),
        ("p.ni", FAIL),
        ("p.di", FAIL),
        ("mip", FAIL),
        ("mi,p.mia", FAIL),
        ("mi,mip", FAIL),
        ("p.a.e", PASS),
    ] {
        assert_eq!(of(steps), expected, "{steps}");
    }
    assert_eq!(of("mixp"), PASS, "a closed stream is never answered");
    assert_eq!(told::<MarkersAcked>(0, "nip"), None);
}

#[test]
fn the_end_follows_the_last_answer() {
    let of = |steps| told::<TakeoverEnds>(StreamReq::TAKEOVER, steps);
    for (steps, expected) in [
        ("mi,p.a.e", PASS),
        ("p.ae", FAIL),
        ("p.a.mi", FAIL),
        ("p.a.f", FAIL),
        ("p.a.s", None),
        ("p.a.xe", None),
        ("p.a.", None),
        ("p.a", None),
        ("p.e", None),
    ] {
        assert_eq!(of(steps), expected, "{steps}");
    }
    assert_eq!(told::<TakeoverEnds>(0, "pa.e"), None);
}
