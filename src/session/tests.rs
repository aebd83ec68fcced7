use super::script::*;
use super::*;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::Feature;
use crate::dcp::Message;
use crate::dcp::StreamReqResponse;
use crate::journal::Origin;
use crate::wire::Opcode;
use crate::wire::Status;

const PRODUCER: u32 = dcp::Open::PRODUCER;

fn state(script: &Script, vbucket: u16) -> Option<State> {
    script.session.stream(vb(vbucket)).map(|stream| stream.state)
}

#[test]
fn roles_come_with_dcp_open_and_go_with_its_refusal() {
    let mut script = Script::blank();
    assert_eq!(script.session.producer(), None);
    assert_eq!(script.p(mutation(1, 1, 1)).sender, None);
    assert_eq!(script.c(open(2, PRODUCER, None)).sender, Some(Role::Consumer));
    assert_eq!(script.session.producer(), Some(Side::Upstream));
    assert!(!script.session.open().unwrap().accepted);
    script.p(plain(Opcode::DCP_OPEN, Status::EACCESS, 2));
    assert_eq!(script.session.producer(), None);
    script.c(open(3, 0, Some("replica")));
    assert_eq!(script.session.producer(), Some(Side::Dialler));
    script.p(plain(Opcode::DCP_OPEN, Status::SUCCESS, 3));
    script.c(open(4, PRODUCER, None));
    script.p(plain(Opcode::DCP_OPEN, Status::EINVAL, 4));
    assert_eq!(script.session.role(Side::Upstream), Some(Role::Consumer));
    assert_eq!(script.session.open().unwrap().consumer_name.as_deref(), Some("replica"));
}

#[test]
fn features_and_controls_count_once_they_are_accepted() {
    let mut script = Script::blank();
    let hello = dcp::Hello { agent: String::new(), features: vec![Feature::COLLECTIONS, Feature::SNAPPY] };
    script.c(request(Opcode::HELLO, 0, 1, Message::Hello(hello)));
    assert!(!script.session.negotiated().collections);
    let granted = dcp::HelloResponse { features: vec![Feature::COLLECTIONS] };
    script.p(response(Opcode::HELLO, Status::SUCCESS, 1, Message::HelloResponse(granted)));
    assert!(script.session.negotiated().collections && !script.session.negotiated().snappy);
    assert_eq!(script.session.features().refused().collect::<Vec<_>>(), [Feature::SNAPPY]);

    // Both with one opaque: answers come in order.
    script.c(control(9, "v7_dcp_status_codes", "true"));
    script.c(control(9, "enable_stream_id", "true"));
    script.p(plain(Opcode::DCP_CONTROL, Status::EINVAL, 9));
    assert!(!script.session.v7());
    script.p(plain(Opcode::DCP_CONTROL, Status::SUCCESS, 9));
    assert_eq!(
        script.session.control("v7_dcp_status_codes"),
        Some(Control::Refused { status: Status::EINVAL, value: "true" })
    );
    assert!(script.session.negotiated().stream_id);
    script.c(control(10, "v7_dcp_status_codes", "true"));
    script.p(plain(Opcode::DCP_CONTROL, Status::SUCCESS, 10));
    assert!(script.session.v7());
}

#[test]
fn the_version_is_what_was_answered() {
    let mut script = Script::blank();
    script.c(request(Opcode::VERSION, 0, 1, Message::Version(dcp::Version)));
    let answer = Message::VersionResponse(dcp::VersionResponse { version: "é".repeat(2_000) });
    script.p(response(Opcode::VERSION, Status::SUCCESS, 1, answer));
    assert_eq!(script.session.version().map(str::len), Some(MAX_TEXT));
}

#[test]
fn a_stream_lives_from_its_answer_to_its_end() {
    let mut script = Script::opened();
    script.c(stream_req(5, 50, 10));
    assert_eq!(state(&script, 5), Some(State::Requested));
    script.p(stream_ok(50));
    assert_eq!(state(&script, 5), Some(State::Open));
    script.p(marker(5, 50, 10, 12));
    assert!(script.session.stream(vb(5)).unwrap().mid_snapshot());
    script.p(mutation(5, 50, 11));
    let context = script.p(mutation(5, 50, 12)).stream.unwrap();
    assert_eq!(context.owner, Owner::Current(State::Open));
    assert_eq!(context.before.map(|before| (before.last_seqno, before.items)), Some((11, 1)));
    let stream = script.session.stream(vb(5)).unwrap();
    assert_eq!((stream.last_seqno, stream.mid_snapshot(), stream.counts.items), (12, false, 2));
    script.p(stream_end(5, 50, 2));
    assert_eq!(state(&script, 5), Some(State::Ended(2)));
    let late = script.p(mutation(5, 50, 13));
    assert_eq!(late.stream.unwrap().owner, Owner::Current(State::Ended(2)));
    assert_eq!(script.session.stream(vb(5)).unwrap().last_seqno, 12, "what follows the end is not of the stream");
}

#[test]
fn a_refusal_or_a_rollback_opens_nothing() {
    let mut script = Script::opened();
    script.c(stream_req(1, 10, 0));
    script.p(plain(Opcode::DCP_STREAM_REQ, Status::NOT_MY_VBUCKET, 10));
    assert_eq!(state(&script, 1), Some(State::Refused(Status::NOT_MY_VBUCKET)));
    // HEAD's consumer asks again with the same opaque after a rollback.
    script.c(stream_req(1, 10, 8));
    let rollback = Message::StreamReqResponse(StreamReqResponse::Rollback { rollback_seqno: 3 });
    script.p(response(Opcode::DCP_STREAM_REQ, Status::ROLLBACK, 10, rollback));
    assert_eq!(state(&script, 1), Some(State::RolledBack(Some(3))));
    script.c(stream_req(1, 10, 3));
    assert_eq!(script.p(marker(1, 10, 3, 9)).stream.unwrap().owner, Owner::Requested, "not the one rolled back");
    assert_eq!(script.session.streams().of(vb(1), op(10)).map(|stream| stream.state), Some(State::Requested));
    assert_eq!(script.session.streams().requested(vb(1)).map(|stream| stream.request.start_seqno), Some(3));
    script.p(stream_ok(10));
    assert_eq!((state(&script, 1), script.session.stream(vb(1)).unwrap().last_seqno), (Some(State::Open), 3));
}

#[test]
fn a_second_request_that_is_refused_leaves_the_first_alone() {
    let mut script = Script::opened();
    script.stream(1, 10, 0);
    script.c(stream_req(1, 11, 0));
    script.p(mutation(1, 10, 1));
    script.p(plain(Opcode::DCP_STREAM_REQ, Status::KEY_EEXISTS, 11));
    let stream = script.session.stream(vb(1)).unwrap();
    assert_eq!((stream.opaque, stream.state, stream.last_seqno), (op(10), State::Open, 1));
}

#[test]
fn closing_and_what_lingers() {
    let mut script = Script::opened();
    script.stream(1, 10, 0);
    script.c(close_stream(1, 77));
    assert_eq!(state(&script, 1), Some(State::Closing));
    assert_eq!(script.p(mutation(1, 10, 1)).stream.unwrap().owner, Owner::Current(State::Closing));
    script.p(plain(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS, 77));
    assert_eq!(state(&script, 1), Some(State::Closed));
    let close = script.session.stream(vb(1)).unwrap().close.unwrap();
    assert_eq!((close.to, close.answered.map(|(status, _)| status)), (Role::Producer, Some(Status::SUCCESS)));
    script.p(mutation(1, 10, 2));
    assert_eq!(script.session.stream(vb(1)).unwrap().last_seqno, 2);
    script.p(stream_end(1, 10, 1));
    assert_eq!(script.session.stream(vb(1)).unwrap().end.map(|end| end.reason), Some(1));
}

#[test]
fn a_close_that_is_refused_leaves_the_stream_open() {
    let mut script = Script::opened();
    script.stream(1, 10, 0);
    script.c(close_stream(1, 77));
    script.p(plain(Opcode::DCP_CLOSE_STREAM, Status::DCP_STREAM_ID_INVALID, 77));
    assert_eq!((state(&script, 1), script.session.stream(vb(1)).unwrap().close), (Some(State::Open), None));
    // Pipelined: the close is sent before the stream is open.
    script.c(stream_req(2, 20, 0));
    script.c(close_stream(2, 78));
    script.p(stream_ok(20));
    assert_eq!(state(&script, 2), Some(State::Closing));
    script.p(plain(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS, 78));
    assert_eq!(state(&script, 2), Some(State::Closed));
}

#[test]
fn streams_of_one_vbucket_are_told_apart_by_their_ids() {
    let mut script = Script::with(&[Feature::COLLECTIONS], PRODUCER, &[("enable_stream_id", "true")]);
    for sid in [1, 2] {
        let mut head = stream_req(1, 10, 0);
        if let Ok(Message::StreamReq(request)) = &mut head.message {
            request.value = Some(Box::new(dcp::StreamReqValue { sid: Some(sid), ..Default::default() }));
        }
        script.c(head);
        script.p(stream_ok(10));
    }
    let mut head = mutation(1, 10, 1);
    head.stream_id = Some(2);
    script.p(head);
    let last: Vec<_> =
        script.session.streams().iter().map(|stream| (stream.key.stream_id, stream.last_seqno)).collect();
    assert_eq!(last, [(Some(1), 0), (Some(2), 1)]);
}

#[test]
fn a_message_without_a_stream_id_belongs_to_the_only_stream_that_it_can_be_of() {
    let opened = |sids: &[u16]| {
        let mut script = Script::with(&[Feature::COLLECTIONS], PRODUCER, &[("enable_stream_id", "true")]);
        for &sid in sids {
            let mut head = stream_req(1, 10, 0);
            if let Ok(Message::StreamReq(request)) = &mut head.message {
                request.value = Some(Box::new(dcp::StreamReqValue { sid: Some(sid), ..Default::default() }));
            }
            script.c(head);
            script.p(stream_ok(10));
        }
        script.p(mutation(1, 10, 2)).stream.unwrap().owner
    };
    assert_eq!(opened(&[5]), Owner::Current(State::Open));
    assert_eq!(opened(&[5, 6]), Owner::Unknown);
}

#[test]
fn a_second_hello_turns_everything_off_first() {
    let mut script = Script::with(&[Feature::COLLECTIONS], PRODUCER, &[]);
    assert!(script.session.negotiated().collections);
    let hello = dcp::Hello { agent: String::new(), features: vec![Feature::SNAPPY] };
    script.c(request(Opcode::HELLO, 0, 1, Message::Hello(hello)));
    assert!(!script.session.negotiated().collections);
}

#[test]
fn stat_has_many_answers_and_the_last_has_no_key() {
    let mut script = Script::opened();
    script.c(request(Opcode::STAT, 0, 5, Message::Stat(dcp::Stat { key: String::new() })));
    let answer = |key_len| {
        let mut head = plain(Opcode::STAT, Status::SUCCESS, 5);
        head.header.key_len = key_len;
        head
    };
    for key_len in [3, 4, 0] {
        assert!(!script.p(answer(key_len)).unasked, "{key_len}");
    }
    assert!(script.p(answer(0)).unasked);
}

#[test]
fn a_producer_that_acknowledges_frees_nothing() {
    let mut script = Script::with(&[], PRODUCER, &[("connection_buffer_size", "200")]);
    script.stream(1, 10, 0);
    script.p(mutation(1, 10, 1));
    script.p(buffer_ack(74));
    assert_eq!((script.session.flow().outstanding(), script.session.flow().acked_total()), (74, 0));
}

#[test]
fn an_orphans_stream_is_the_most_alive_of_those_that_share_its_opaque() {
    for live in [1, 3] {
        let mut script = Script::opened();
        script.stream(2, 10, 0);
        script.p(stream_end(2, 10, 0));
        script.stream(live, 10, 0);
        let orphan = script.c(plain(Opcode::DCP_MUTATION, Status::KEY_ENOENT, 10)).orphan;
        assert_eq!(orphan.map(|orphan| (orphan.to, orphan.stream)), Some((OrphanOf::Live, Some(vb(live)))));
    }
}

#[test]
fn a_replaced_stream_is_remembered_by_its_opaque() {
    let mut script = Script::opened();
    script.stream(1, 10, 0);
    script.p(mutation(1, 10, 1));
    script.p(stream_end(1, 10, 2));
    script.stream(1, 11, 1);
    assert_eq!(script.p(mutation(1, 10, 2)).stream.unwrap().owner, Owner::Gone(State::Ended(2)));
    assert_eq!(script.p(mutation(1, 99, 2)).stream.unwrap().owner, Owner::OtherOpaque(State::Open));
    assert_eq!(script.p(mutation(2, 10, 2)).stream.unwrap().owner, Owner::Unknown);
}

#[test]
fn responses_to_messages_are_orphans_and_say_what_their_stream_is() {
    let mut script = Script::opened();
    let orphan = |script: &mut Script, opaque| {
        script
            .c(plain(Opcode::DCP_MUTATION, Status::KEY_ENOENT, opaque))
            .orphan
            .map(|orphan| (orphan.to, orphan.stream))
    };
    script.stream(1, 10, 0);
    script.p(mutation(1, 10, 1));
    assert_eq!(orphan(&mut script, 10), Some((OrphanOf::Live, Some(vb(1)))));
    script.c(close_stream(1, 77));
    assert_eq!(orphan(&mut script, 10), Some((OrphanOf::Closing, Some(vb(1)))));
    script.p(plain(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS, 77));
    script.p(stream_end(1, 10, 1));
    assert_eq!(orphan(&mut script, 10), Some((OrphanOf::Gone, Some(vb(1)))));
    script.stream(1, 11, 1);
    assert_eq!(orphan(&mut script, 10), Some((OrphanOf::Gone, Some(vb(1)))));
    assert_eq!(orphan(&mut script, 11), Some((OrphanOf::Live, Some(vb(1)))));
    assert_eq!(orphan(&mut script, 12), Some((OrphanOf::Unknown, None)));
    script.stream(2, 11, 0);
    assert_eq!(orphan(&mut script, 11), Some((OrphanOf::Live, None)), "two streams have this opaque");
}

#[test]
fn an_awaited_answer_is_no_orphan_unless_it_is_an_error_to_a_stream_message() {
    let mut script = Script::opened();
    script.stream(1, 10, 0);
    let ack = dcp::SnapshotMarker::MEMORY | dcp::SnapshotMarker::ACK;
    script.p(marker_with(1, 10, 1, 1, ack));
    let sent = script.log().last().unwrap().at;
    let answer = script.c(plain(Opcode::DCP_SNAPSHOT_MARKER, Status::SUCCESS, 10));
    assert_eq!((answer.answers.map(|asked| asked.at), answer.unasked, answer.orphan), (Some(sent), false, None));
    let again = script.c(plain(Opcode::DCP_SNAPSHOT_MARKER, Status::SUCCESS, 10));
    assert!(again.unasked && again.orphan.is_some(), "answered once already");
    script.p(request(
        Opcode::DCP_SET_VBUCKET_STATE,
        1,
        10,
        Message::SetVbucketState(dcp::SetVbucketState { state: 3 }),
    ));
    let error = script.c(plain(Opcode::DCP_SET_VBUCKET_STATE, Status::KEY_ENOENT, 10));
    assert_eq!((error.unasked, error.orphan.map(|orphan| orphan.status)), (false, Some(Status::KEY_ENOENT)));
    script.p(marker(1, 10, 2, 3));
    assert!(script.c(plain(Opcode::DCP_SNAPSHOT_MARKER, Status::SUCCESS, 10)).orphan.is_some(), "no Ack flag");
    let stray = script.c(plain(Opcode::DCP_CONTROL, Status::SUCCESS, 10)).orphan;
    assert_eq!(stray.map(|orphan| orphan.to), Some(OrphanOf::Connection));
    assert_eq!(script.p(plain(Opcode::DCP_CONTROL, Status::SUCCESS, 10)).orphan, None, "it is not to the producer");
}

#[test]
fn opaques_of_the_two_directions_are_independent() {
    let mut script = Script::opened();
    script.p(request(Opcode::DCP_NOOP, 0, 5, Message::DcpNoop(dcp::DcpNoop)));
    script.c(request(Opcode::NOOP, 0, 5, Message::Noop(dcp::Noop)));
    assert_eq!(script.session.outstanding().len(), 2);
    assert!(script.c(plain(Opcode::DCP_NOOP, Status::SUCCESS, 5)).answers.is_some());
    assert!(script.p(plain(Opcode::DCP_NOOP, Status::SUCCESS, 5)).unasked);
    assert!(script.p(plain(Opcode::NOOP, Status::SUCCESS, 5)).answers.is_some());
    assert!(script.session.outstanding().is_empty());
}

#[test]
fn mutations_are_requests_without_an_answer() {
    let mut script = Script::opened();
    script.stream(1, 10, 0);
    script.p(marker(1, 10, 1, 9));
    script.p(mutation(1, 10, 1));
    script.c(buffer_ack(5));
    assert!(script.session.outstanding().is_empty());
}

#[test]
fn flow_control_counts_what_the_protocol_charges() {
    let mut script = Script::with(&[], PRODUCER, &[("connection_buffer_size", "200")]);
    script.stream(1, 10, 0);
    assert_eq!(script.p(marker(1, 10, 1, 9)).charge, 44);
    let prepare = Message::Prepare(dcp::Prepare { by_seqno: 1, durability_level: 1, ..dcp::Prepare::default() });
    assert_eq!(script.p(request(Opcode::DCP_PREPARE, 1, 10, prepare)).charge, 76, "24 + 50 + 2");
    script.p(request(Opcode::DCP_NOOP, 0, 5, Message::DcpNoop(dcp::DcpNoop)));
    let flow = script.session.flow();
    assert_eq!((flow.window(), flow.outstanding(), flow.has_room()), (Some(200), 120, true));
    script.c(buffer_ack(100));
    assert_eq!(script.session.flow().outstanding(), 20);
    script.c(control(9, "connection_buffer_size", "20"));
    assert!(script.session.flow().has_room(), "not accepted yet");
    script.p(plain(Opcode::DCP_CONTROL, Status::SUCCESS, 9));
    assert!(!script.session.flow().has_room());
    assert_eq!(script.session.stream(vb(1)).unwrap().counts.charged, 120);
}

#[test]
fn no_ops_of_the_producer() {
    let mut script = Script::opened();
    script.p(request(Opcode::DCP_NOOP, 0, 5, Message::DcpNoop(dcp::DcpNoop)));
    let sent = script.log().last().unwrap().at;
    assert_eq!(script.session.noop().outstanding, Some((op(5), sent)));
    assert_eq!(script.c(plain(Opcode::DCP_NOOP, Status::SUCCESS, 6)).orphan.map(|o| o.to), Some(OrphanOf::Connection));
    assert!(script.session.noop().outstanding.is_some());
    script.c(plain(Opcode::DCP_NOOP, Status::SUCCESS, 5));
    assert_eq!((script.session.noop().outstanding, script.session.noop().sent), (None, 1));
}

#[test]
fn a_dialled_consumer_is_the_same_by_roles() {
    // The edge is the dialled end's, and that is the consumer: the dialler forwards a producer's frames.
    let mut script = Script::blank();
    script.c(open(1, 0, None));
    script.p(plain(Opcode::DCP_OPEN, Status::SUCCESS, 1));
    let (dialler, upstream) = (Script::c, Script::p);
    dialler(&mut script, request(Opcode::DCP_ADD_STREAM, 3, 9, Message::AddStream(dcp::AddStream { flags: 0 })));
    upstream(&mut script, stream_req(3, 30, 0));
    dialler(&mut script, stream_ok(30));
    assert_eq!(state(&script, 3), Some(State::Open));
    assert_eq!(dialler(&mut script, mutation(3, 30, 1)).charge, 74);
    dialler(&mut script, close_stream(3, 40));
    upstream(&mut script, plain(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS, 40));
    assert_eq!(script.session.stream(vb(3)).unwrap().close.map(|close| close.to), Some(Role::Consumer));
    let orphan = upstream(&mut script, plain(Opcode::DCP_MUTATION, Status::KEY_ENOENT, 30)).orphan;
    assert_eq!(orphan.map(|orphan| orphan.to), Some(OrphanOf::Closing));
    assert_eq!(script.session.outstanding().of(Side::Dialler).count(), 1, "ADD_STREAM is answered last");
}

#[test]
fn an_oso_snapshot_resumes_before_its_start_until_it_ends() {
    let mut script = Script::opened();
    script.stream(1, 10, 0);
    let oso = |flags| request(Opcode::DCP_OSO_SNAPSHOT, 1, 10, Message::OsoSnapshot(dcp::OsoSnapshot { flags }));
    script.p(oso(1));
    script.p(mutation(1, 10, 9));
    script.p(mutation(1, 10, 4));
    let stream = script.session.stream(vb(1)).unwrap();
    assert_eq!((stream.last_seqno, stream.mid_snapshot()), (0, true));
    script.p(oso(2));
    let stream = script.session.stream(vb(1)).unwrap();
    assert_eq!((stream.last_seqno, stream.mid_snapshot()), (9, false));
}

#[test]
fn a_gap_and_lost_framing_are_told() {
    let mut script = Script::opened();
    assert!(script.session.is_reliable());
    script.c(stream_req(1, 10, 0));
    script.say(Direction::From, What::Gap(None));
    assert!(script.session.gap() && !script.session.is_reliable());
    assert_eq!(script.p(mutation(1, 10, 4)).stream.unwrap().owner, Owner::Requested);
    assert_eq!(state(&script, 1), Some(State::Open), "its answer is in the gap");
    let error = crate::wire::FramingError::TooLong(1 << 40);
    script.say(Direction::To, What::FramingLost(error));
    assert!(script.session.framing_lost());
}

#[test]
fn nothing_grows_without_bound() {
    let mut script = Script::opened();
    for n in 0..40_000 {
        let entry = |direction, head| Entry {
            at: Timestamp(0),
            edge: Side::Upstream,
            direction,
            origin: Origin::Peer,
            what: What::Frame(head),
        };
        script.session.observe(&entry(Direction::To, stream_req(1, n, 0)));
        script.session.observe(&entry(Direction::To, request(Opcode::NOOP, 0, n, Message::Noop(dcp::Noop))));
    }
    assert!(script.session.outstanding().len() <= 16_384 && script.session.outstanding().overflowed());
    assert!(script.session.streams().gone().count() <= 4_096);
    assert!(script.session.streams().with_opaque(op(1)).count() == 0, "opaques of the forgotten are forgotten");
}

#[test]
fn entries_of_the_other_edge_are_passed_over() {
    let mut session = Session::new(Side::Dialler);
    let mut script = Script::blank();
    script.c(open(2, PRODUCER, None));
    for entry in script.log() {
        session.observe(entry);
    }
    assert_eq!((session.producer(), session.frames(Direction::To)), (None, 0));
}
