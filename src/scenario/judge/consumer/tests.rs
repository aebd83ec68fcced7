use std::collections::BTreeSet;
use std::time::Duration;

use crate::Timestamp;
use crate::dcp;
use crate::dcp::FrameHead;
use crate::dcp::Message;
use crate::dcp::Open;
use crate::dcp::SnapshotMarker;
use crate::dcp::StreamReqResponse;
use crate::engine::Observer;
use crate::era::Era;
use crate::journal::Act;
use crate::journal::Direction;
use crate::journal::Entry;
use crate::journal::How;
use crate::journal::Origin;
use crate::journal::Side;
use crate::journal::What;
use crate::scenario::judge::Judge;
use crate::scenario::judge::Source;
use crate::scenario::judge::Terms;
use crate::session::Session;
use crate::session::script::*;
use crate::verdict;
use crate::verdict::Verdict;
use crate::verdict::Verdict::Fail;
use crate::verdict::Verdict::Inconclusive;
use crate::verdict::Verdict::Pass;
use crate::wire::Opcode;
use crate::wire::Status;

const ANSWERS: &str = "consumer-answers";
const ACKS: &str = "consumer-acknowledges";
const CARRIES_ON: &str = "consumer-carries-on";
const KEPT: &str = "consumer-kept";

/// A consumer's edge, told entry by entry to a session and to the judge.
struct Stage {
    session: Session,
    judge: Judge,
    edge: Side,
    now: u64,
}

fn terms(era: Option<Era>) -> Terms {
    Terms {
        era,
        messages: BTreeSet::new(),
        settle: Duration::from_secs(2),
        judge: verdict::Judge::Consumer,
        source: Source::Watching,
        expected: Vec::new(),
    }
}

impl Stage {
    fn new(edge: Side, flags: u32, controls: &[(&str, &str)], era: Option<Era>) -> Self {
        let judge = Judge::new(terms(era), 1, "dialler", "upstream");
        let mut stage = Self { session: Session::new(edge), judge, edge, now: 1_000_000_000 };
        // Whoever dials sends DCP_OPEN; who produces sends the controls' answers.
        let dialled = edge == Side::Dialler;
        let (ask, answer) = (open(2, flags, None), plain(Opcode::DCP_OPEN, Status::SUCCESS, 2));
        if dialled {
            stage.says(ask);
            stage.hears(answer);
        } else {
            stage.hears(ask);
            stage.says(answer);
        }
        for (key, value) in controls {
            stage.says(control(3, key, value));
            stage.hears(plain(Opcode::DCP_CONTROL, Status::SUCCESS, 3));
        }
        stage
    }

    /// A client with a window of 1000 bytes, whose streams 1 and 2 are open up to seqno 20.
    fn client() -> Self {
        let mut stage = Self::new(Side::Dialler, Open::PRODUCER, &[("connection_buffer_size", "1000")], None);
        for vbucket in [1, 2] {
            stage.says(stream_req(vbucket, vbucket.into(), 0));
            stage.hears(stream_ok(vbucket.into()));
            stage.hears(marker(vbucket, vbucket.into(), 0, 20));
        }
        stage
    }

    /// A node whose stream 1 was added with opaque 10.
    fn node(era: Option<Era>, v7: bool) -> Self {
        let controls: &[(&str, &str)] = if v7 { &[("v7_dcp_status_codes", "true")] } else { &[] };
        let mut stage = Self::new(Side::Upstream, 0, controls, era);
        stage.add(10);
        stage
    }

    fn add(&mut self, opaque: u32) {
        let add = Message::AddStream(dcp::AddStream { flags: 0 });
        self.hears(request(Opcode::DCP_ADD_STREAM, 1, 0xad, add));
        self.says(stream_req(1, opaque, 0));
        self.hears(stream_ok(opaque));
        self.says(plain(Opcode::DCP_ADD_STREAM, Status::SUCCESS, 0xad));
    }

    fn close(&mut self) {
        self.hears(close_stream(1, 0xc1));
        self.says(plain(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS, 0xc1));
    }

    fn says(&mut self, head: FrameHead) {
        self.happens(Direction::From, Origin::Peer, What::Frame(head));
    }

    fn hears(&mut self, head: FrameHead) {
        self.happens(Direction::To, Origin::Peer, What::Frame(head));
    }

    fn hears_forged(&mut self, head: FrameHead) {
        self.happens(Direction::To, Origin::Tool, What::Frame(head));
    }

    fn noop(&mut self, opaque: u32) {
        self.hears(request(Opcode::DCP_NOOP, 0, opaque, Message::DcpNoop(dcp::DcpNoop)));
    }

    fn closes(&mut self) {
        self.happens(Direction::From, Origin::Peer, What::Closed { how: How::Fin, partial: 0 });
    }

    fn happens(&mut self, direction: Direction, origin: Origin, what: What) {
        self.now += 1_000_000;
        let entry = Entry { at: Timestamp(self.now), edge: self.edge, direction, origin, what };
        let context = *self.session.observe(&entry);
        self.judge.observe(&entry, &context, &self.session);
    }

    /// Time passes, and something happens that is no business of the consumer's.
    fn wait_ms(&mut self, ms: u64) {
        self.now += ms * 1_000_000;
        self.happens(Direction::To, Origin::Tool, What::Acted(Act::Settling));
    }

    fn verdict(&mut self, id: &str) -> Option<Verdict> {
        let connection = self.judge.judgement(&self.session).connection;
        let found = connection.findings.into_iter().filter(|finding| finding.id == id);
        found.map(|finding| finding.verdict).max()
    }
}

fn end(vbucket: u16, reason: u32) -> FrameHead {
    stream_end(vbucket, vbucket.into(), reason)
}

fn rollback(opaque: u32, rollback_seqno: u64) -> FrameHead {
    let message = Message::StreamReqResponse(StreamReqResponse::Rollback { rollback_seqno });
    response(Opcode::DCP_STREAM_REQ, Status::ROLLBACK, opaque, message)
}

#[test]
fn no_ops_are_answered() {
    let mut stage = Stage::client();
    assert_eq!(stage.verdict(ANSWERS), None, "nothing asked, nothing judged");
    stage.noop(7);
    stage.wait_ms(4_000);
    assert_eq!(stage.verdict(ANSWERS), None, "it has time");
    stage.says(plain(Opcode::DCP_NOOP, Status::SUCCESS, 7));
    assert_eq!(stage.verdict(ANSWERS), Some(Pass));
    stage.noop(8);
    stage.wait_ms(6_000);
    assert_eq!(stage.verdict(ANSWERS), Some(Fail));
}

#[test]
fn what_is_not_read_from_it_is_not_missing() {
    let mut stage = Stage::client();
    stage.noop(7);
    stage.hears(end(1, 99));
    stage.happens(Direction::From, Origin::Peer, What::Paused(true));
    stage.wait_ms(60_000);
    let verdicts = |stage: &mut Stage| [ANSWERS, ACKS, CARRIES_ON].map(|id| stage.verdict(id));
    assert_eq!(verdicts(&mut stage), [None, None, Some(Inconclusive)]);
    stage.happens(Direction::From, Origin::Peer, What::Paused(false));
    assert_eq!(verdicts(&mut stage), [None, None, Some(Inconclusive)]);
    stage.wait_ms(11_000);
    assert_eq!(verdicts(&mut stage), [Some(Fail); 3]);
}

#[test]
fn a_marker_that_asks_for_it_is_answered_once_at_its_end() {
    let ack = SnapshotMarker::ACK | SnapshotMarker::MEMORY;
    for (times, expected) in [(0, Some(Fail)), (1, Some(Pass)), (2, Some(Fail))] {
        let mut stage = Stage::client();
        stage.hears(mutation(1, 1, 20));
        stage.hears(marker_with(1, 1, 21, 22, ack));
        stage.hears(mutation(1, 1, 21));
        stage.wait_ms(9_000);
        assert_eq!(stage.verdict(ANSWERS), None, "it is not due before the end");
        stage.hears(mutation(1, 1, 22));
        for _ in 0..times {
            stage.says(plain(Opcode::DCP_SNAPSHOT_MARKER, Status::SUCCESS, 1));
        }
        stage.wait_ms(9_000);
        assert_eq!(stage.verdict(ANSWERS), expected, "{times} answers");
    }
    let mut stage = Stage::client();
    stage.hears(marker_with(1, 1, 0, 22, ack));
    stage.hears(end(1, 2));
    stage.wait_ms(9_000);
    assert_eq!(stage.verdict(ANSWERS), None, "an ended stream's never is");
}

#[test]
fn a_node_swallows_what_follows_a_close_as_its_era_does() {
    for era in Era::ALL {
        let mut stage = Stage::node(Some(era), era >= Era::V7_0);
        stage.hears(marker(1, 10, 0, 20));
        stage.close();
        stage.hears(mutation(1, 10, 1));
        let old = era == Era::V6_0;
        stage.wait_ms(6_000);
        assert_eq!(stage.verdict(ANSWERS), Some(if old { Fail } else { Pass }), "{era} is silent");
        let mut stage = Stage::node(Some(era), era >= Era::V7_0);
        stage.hears(marker(1, 10, 0, 20));
        stage.close();
        stage.hears(mutation(1, 10, 1));
        let status = if era >= Era::V7_0 { Status::DCP_STREAM_NOT_FOUND } else { Status::KEY_ENOENT };
        stage.says(plain(Opcode::DCP_MUTATION, status, 10));
        assert_eq!(stage.verdict(ANSWERS), Some(if old { Pass } else { Fail }), "{era} answers");
    }
    let mut stage = Stage::node(None, false);
    stage.close();
    stage.hears(mutation(1, 10, 1));
    stage.says(plain(Opcode::DCP_MUTATION, Status::KEY_ENOENT, 10));
    assert_eq!(stage.verdict(ANSWERS), Some(Pass), "some era does so");
}

#[test]
fn a_vbucket_that_is_made_active_or_deleted_takes_its_stream() {
    let set = |state| request(Opcode::SET_VBUCKET, 1, 0x5e, Message::SetVbucket(dcp::SetVbucket { state }));
    let deleted = request(Opcode::DEL_VBUCKET, 1, 0x5e, Message::Other);
    let (success, refused) = (Status::SUCCESS, Status::EACCESS);
    for (told, status, answered, expected) in [
        (set(1), success, true, Some(Pass)),
        (set(1), success, false, Some(Fail)),
        (deleted.clone(), success, true, Some(Pass)),
        (deleted, success, false, Some(Fail)),
        // It has stayed.
        (set(1), refused, false, Some(Pass)),
        (set(3), success, false, Some(Pass)),
    ] {
        let mut stage = Stage::node(Some(Era::V7_0), true);
        stage.hears(marker(1, 10, 0, 20));
        let opcode = told.header.opcode;
        stage.hears_forged(told);
        stage.hears(mutation(1, 10, 1));
        stage.says(plain(opcode, status, 0x5e));
        stage.noop(8);
        stage.says(plain(Opcode::DCP_NOOP, Status::SUCCESS, 8));
        if answered {
            stage.says(plain(Opcode::DCP_MUTATION, Status::DCP_STREAM_NOT_FOUND, 10));
        }
        stage.wait_ms(6_000);
        assert_eq!(stage.verdict(ANSWERS), expected, "{opcode} {status} {answered}");
    }
    // While it is being added, nobody sees whether the stream was there by then.
    let mut stage = Stage::node(Some(Era::V7_0), true);
    stage.close();
    let add = Message::AddStream(dcp::AddStream { flags: 0 });
    stage.hears(request(Opcode::DCP_ADD_STREAM, 1, 0xad, add));
    stage.hears_forged(set(1));
    stage.hears(mutation(1, 10, 1));
    stage.says(stream_req(1, 11, 0));
    stage.says(plain(Opcode::DCP_MUTATION, Status::DCP_STREAM_NOT_FOUND, 10));
    stage.hears(mutation(1, 11, 1));
    stage.wait_ms(6_000);
    assert_eq!(stage.verdict(ANSWERS), Some(Pass));
}

#[test]
fn an_old_end_after_a_stream_was_added_again_is_met_with_silence() {
    for (era, answered, expected) in
        [(Era::V7_0, false, Pass), (Era::V7_0, true, Fail), (Era::V6_0, true, Pass), (Era::V6_0, false, Fail)]
    {
        let mut stage = Stage::node(Some(era), false);
        stage.close();
        stage.add(11);
        stage.hears(stream_end(1, 10, 1));
        if answered {
            stage.says(plain(Opcode::DCP_STREAM_END, Status::KEY_ENOENT, 10));
        }
        stage.wait_ms(6_000);
        assert_eq!(stage.verdict(ANSWERS), Some(expected), "{era} {answered}");
    }
}

#[test]
fn while_a_stream_is_being_added_either_answer_will_do() {
    let mut stage = Stage::node(Some(Era::V7_0), false);
    stage.close();
    let add = Message::AddStream(dcp::AddStream { flags: 0 });
    stage.hears(request(Opcode::DCP_ADD_STREAM, 1, 0xad, add));
    stage.hears(mutation(1, 10, 1));
    stage.says(stream_req(1, 11, 0));
    stage.says(plain(Opcode::DCP_MUTATION, Status::KEY_EEXISTS, 10));
    assert_eq!(stage.verdict(ANSWERS), Some(Pass));
}

#[test]
fn a_client_need_not_answer_messages_of_streams_that_are_gone() {
    let mut stage = Stage::client();
    stage.hears(end(1, 0));
    stage.hears(mutation(1, 1, 1));
    stage.wait_ms(9_000);
    assert_eq!(stage.verdict(ANSWERS), None);
}

#[test]
fn every_byte_is_given_back_in_the_end() {
    // Two markers are 88 bytes, a mutation is 74.
    let acked = |bytes: &[u32]| {
        let mut stage = Stage::client();
        stage.hears(mutation(1, 1, 1));
        for bytes in bytes {
            stage.says(buffer_ack(*bytes));
        }
        stage
    };
    for (bytes, early, late) in [
        (&[][..], None, Some(Fail)),
        (&[162][..], Some(Pass), Some(Pass)),
        (&[88, 74][..], Some(Pass), Some(Pass)),
        (&[161][..], Some(Pass), Some(Fail)),
        (&[163][..], Some(Fail), Some(Fail)),
        (&[162, 1][..], Some(Fail), Some(Fail)),
    ] {
        let mut stage = acked(bytes);
        assert_eq!(stage.verdict(ACKS), early, "{bytes:?}");
        stage.wait_ms(7_000);
        assert_eq!(stage.verdict(ACKS), late, "{bytes:?}");
    }
    let mut off = Stage::new(Side::Dialler, Open::PRODUCER, &[], None);
    off.says(stream_req(1, 1, 0));
    off.hears(stream_ok(1));
    off.hears(marker(1, 1, 0, 20));
    off.wait_ms(7_000);
    assert_eq!(off.verdict(ACKS), None, "without flow control there is nothing to give back");
}

#[test]
fn what_is_left_for_good_while_messages_keep_coming_is_no_pass() {
    let run = |leak: u32| {
        let mut stage = Stage::client();
        stage.says(buffer_ack(88 - leak));
        for seqno in 1..9 {
            stage.wait_ms(3_000);
            stage.hears(mutation(1, 1, seqno));
            stage.says(buffer_ack(74));
        }
        stage.verdict(ACKS)
    };
    assert_eq!((run(0), run(80)), (Some(Pass), Some(Inconclusive)));
}

#[test]
fn a_stream_that_ended_is_requested_again_from_where_it_was() {
    for (reason, start, expected) in [
        (2, Some(5), Some(Pass)),
        (99, Some(5), Some(Pass)),
        (2, Some(3), Some(Pass)),
        (2, Some(6), Some(Fail)),
        (2, None, Some(Fail)),
        (99, None, Some(Fail)),
        (0, None, None),
        (1, None, None),
        (7, None, None),
    ] {
        let mut stage = Stage::client();
        stage.hears(mutation(1, 1, 5));
        stage.hears_forged(end(1, reason));
        if let Some(start) = start {
            stage.says(stream_req(1, 1, start));
        }
        stage.wait_ms(11_000);
        assert_eq!(stage.verdict(CARRIES_ON), expected, "reason {reason}, from {start:?}");
    }
    let mut moved = Stage::client();
    moved.hears(end(1, 2));
    moved.wait_ms(11_000);
    assert_eq!(moved.verdict(CARRIES_ON), Some(Inconclusive), "it may be streamed from another node now");
}

#[test]
fn a_rollback_is_followed() {
    let asked = |starts: &[u64]| {
        let mut stage = Stage::client();
        stage.hears(mutation(1, 1, 5));
        stage.hears_forged(end(1, 2));
        for start in starts {
            stage.says(stream_req(1, 1, *start));
            stage.hears(rollback(1, 2));
        }
        stage.wait_ms(1_000);
        stage
    };
    assert_eq!(asked(&[5]).verdict(CARRIES_ON), Some(Inconclusive));
    assert_eq!(asked(&[5, 2]).verdict(CARRIES_ON), Some(Inconclusive), "the last one is not answered");
    assert_eq!(asked(&[5, 5, 5, 5, 5]).verdict(CARRIES_ON), Some(Inconclusive));
    assert_eq!(asked(&[5, 5, 5, 5, 5, 5]).verdict(CARRIES_ON), Some(Fail));
    let mut followed = asked(&[5]);
    followed.says(stream_req(1, 1, 2));
    followed.hears(stream_ok(1));
    assert_eq!(followed.verdict(CARRIES_ON), Some(Pass));
    let mut silent = asked(&[5]);
    silent.wait_ms(11_000);
    assert_eq!(silent.verdict(CARRIES_ON), Some(Fail));
}

#[test]
fn the_connection_is_kept() {
    let mut stage = Stage::client();
    assert_eq!(stage.verdict(KEPT), Some(Pass), "the control's answer was borne");
    stage.hears(end(1, 2));
    stage.closes();
    assert_eq!(stage.verdict(KEPT), Some(Fail), "another stream was open");
    let mut own_will = Stage::client();
    own_will.hears(end(1, 2));
    own_will.wait_ms(3_000);
    own_will.closes();
    assert_eq!(own_will.verdict(KEPT), Some(Pass));
    let mut all = Stage::client();
    all.hears(end(1, 2));
    all.says(stream_req(1, 1, 0));
    all.hears(plain(Opcode::DCP_STREAM_REQ, Status::NOT_MY_VBUCKET, 1));
    all.hears(end(2, 2));
    all.closes();
    assert_eq!(all.verdict(KEPT), Some(Pass), "no stream was left");
    for (era, expected) in [(Era::V6_5, None), (Era::V6_6, Some(Fail)), (Era::Master, Some(Fail))] {
        let mut node = Stage::node(Some(era), false);
        node.hears(plain(Opcode::DCP_SEQNO_ACK, Status::NOT_MY_VBUCKET, 10));
        node.closes();
        assert_eq!(node.verdict(KEPT), expected, "{era}");
    }
    // The answer to STREAM_REQ meets a stream that was closed meanwhile: kept since 6.5, and gone before.
    for (era, opaque, expected) in
        [(Era::V6_0, 11, None), (Era::V6_5, 11, Some(Fail)), (Era::Master, 11, Some(Fail)), (Era::Master, 12, None)]
    {
        let mut node = Stage::new(Side::Upstream, 0, &[], Some(era));
        node.hears(request(Opcode::DCP_ADD_STREAM, 1, 0xad, Message::AddStream(dcp::AddStream { flags: 0 })));
        node.says(stream_req(1, 11, 0));
        node.close();
        node.hears(stream_ok(opaque));
        node.closes();
        assert_eq!(node.verdict(KEPT), expected, "{era} {opaque}");
    }
}

#[test]
fn each_end_is_judged_at_its_own_edge() {
    // What was acknowledged twice by the tool is not the consumer's fault, and the other way round.
    for (whose, expected) in [(Side::Dialler, Some(Fail)), (Side::Upstream, Some(Pass))] {
        let mut stage = Stage::client();
        let mut far = Session::new(Side::Upstream);
        stage.says(buffer_ack(88));
        let entries = [
            (Direction::To, open(2, Open::PRODUCER, None)),
            (Direction::From, plain(Opcode::DCP_OPEN, Status::SUCCESS, 2)),
        ];
        let mut acks: Vec<_> = entries.into();
        if whose == Side::Upstream {
            acks.push((Direction::To, buffer_ack(999)));
        } else {
            stage.says(buffer_ack(999));
        }
        for (direction, head) in acks {
            let (edge, origin) = (Side::Upstream, Origin::Peer);
            let entry = Entry { at: Timestamp(stage.now), edge, direction, origin, what: What::Frame(head) };
            let context = *far.observe(&entry);
            stage.judge.observe(&entry, &context, &far);
        }
        let session = std::mem::replace(&mut stage.session, far);
        assert_eq!(stage.verdict("g3-acks-below-charges"), expected, "{whose:?}");
        stage.session = session;
    }
}
