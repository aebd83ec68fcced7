//! Faults of single frames, each alone: what the ends get, byte for byte, what the journal says, and the books of flow control.

use bytes::Bytes;
use dcproxy::dcp;
use dcproxy::era::Era;
use dcproxy::journal::{Act, Direction, How, Origin, Side, What};
use dcproxy::scenario::{Plan, Scenario};
use dcproxy::verdict::Verdict;
use dcproxy::wire::{Frame, FrameBuilder, FramingError, HEADER_LEN, Header, Opcode, Status};

use super::stage::*;

/// The opaque of the stream of vbucket 0.
pub(crate) const O: u32 = 17;
const WINDOW: [(&str, &str); 1] = [("connection_buffer_size", "10000")];
/// When a fault is done to the third mutation.
const THIRD: &str = "filter = 'dcp.opcode == mutation && dcp.seqno == 3'";
const ACKS: &str = "from = 'consumer', filter = 'dcp.opcode == buffer_ack'";

/// A step for each (when, do), in this order, and a connection with a window and a stream inside a snapshot.
pub(crate) fn stage_of_steps(steps: &[(&str, &str)], seed: u64) -> Stage {
    let mut text = "name = 's'\nabout = ''\n".to_owned();
    for (n, (when, fault)) in steps.iter().enumerate() {
        text += &format!("[[steps]]\nname = 'a{n}'\nwhen = {{ {when} }}\ndo = {{ {fault} }}\n");
    }
    stage_of_file(&text, seed)
}

pub(crate) fn stage_of_file(text: &str, seed: u64) -> Stage {
    let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let plan = Plan { scenarios: vec![scenario], seed, ..plan("close-at-end", Some(Era::V7_0)) };
    let mut stage = Stage::opened(plan, &WINDOW);
    stage.stream(0, O, 0);
    stage.p(marker(0, op(O), 0, 1000));
    stage.forget();
    stage
}

/// A fault that waits for what `when` says.
pub(crate) fn stage_of(when: &str, fault: &str) -> Stage {
    stage_of_steps(&[(when, fault)], 1)
}

/// A fault that is done to the third mutation.
pub(crate) fn third(fault: &str) -> Stage {
    stage_of(THIRD, fault)
}

pub(crate) fn m(seqno: u64) -> FrameBuilder {
    mutation(0, op(O), seqno)
}

pub(crate) fn say_all(stage: &mut Stage, seqnos: std::ops::RangeInclusive<u64>) {
    for seqno in seqnos {
        stage.p(m(seqno));
    }
}

/// The bytes of these mutations.
pub(crate) fn bytes_of(seqnos: impl IntoIterator<Item = u64>) -> Vec<u8> {
    seqnos.into_iter().flat_map(|seqno| m(seqno).build()).collect()
}

/// What a mutation costs of the window; all of these tests cost the same.
pub(crate) fn cost() -> u32 {
    charge(&m(3))
}

/// What the DCP_BUFFER_ACKs say that the producer got since it was last asked.
pub(crate) fn acks(stage: &mut Stage) -> Vec<u32> {
    let frames = stage.frames_at(PRODUCER);
    let acks = frames.iter().filter(|frame| Header::parse_slice(frame).unwrap().opcode == Opcode::DCP_BUFFER_ACK);
    acks.map(|ack| u32::from_be_bytes(Frame::whole(ack).unwrap().extras().try_into().unwrap())).collect()
}

pub(crate) fn acked(stage: &mut Stage) -> u32 {
    acks(stage).iter().sum()
}

/// What the journal says became of single frames, and at whose edge they were said.
pub(crate) fn fates(stage: &mut Stage) -> Vec<(Side, Act)> {
    let fate = |act: &Act| matches!(act, Act::Swallowed | Act::Cut(_) | Act::Replaced);
    let entries = stage.journal().iter();
    entries
        .filter_map(|entry| match &entry.what {
            What::Acted(act) if fate(act) => Some((entry.edge, act.clone())),
            _ => None,
        })
        .collect()
}

/// What the journal says of frames delivered to a side, from its `skip`th entry on: whose they are, or why there are none any more.
pub(crate) fn delivered(stage: &mut Stage, to: Side, skip: usize) -> Vec<(Origin, Result<Opcode, FramingError>)> {
    let entries = stage.journal()[skip..].iter().filter(|entry| entry.edge == to && entry.direction == Direction::To);
    entries
        .filter_map(|entry| match &entry.what {
            What::Frame(head) => Some((entry.origin, Ok(head.header.opcode))),
            What::FramingLost(error) => Some((entry.origin, Err(*error))),
            _ => None,
        })
        .collect()
}

const PEER: Origin = Origin::Peer;
const TOOL: Origin = Origin::Tool;
const MUTATION: Opcode = Opcode::DCP_MUTATION;

#[test]
fn drop_gives_a_message_back_to_the_window() {
    for (fault, given_back) in [("drop = {}", cost()), ("drop = { books = false }", 0)] {
        let mut stage = third(fault);
        say_all(&mut stage, 1..=4);
        assert_eq!(stage.bytes_at(CONSUMER), bytes_of([1, 2, 4]), "{fault}");
        assert_eq!(acked(&mut stage), given_back, "{fault}");
        assert_eq!(fates(&mut stage), [(PRODUCER, Act::Swallowed)]);
    }
}

#[test]
fn drop_of_an_acknowledgement_loses_no_window() {
    let dropped = |fault: &str| {
        let mut stage = stage_of(ACKS, fault);
        say_all(&mut stage, 1..=3);
        stage.c(buffer_ack(100));
        assert_eq!(acks(&mut stage), [0; 0], "{fault}");
        assert_eq!(fates(&mut stage), [(CONSUMER, Act::Swallowed)]);
        stage
    };
    let mut stage = dropped("drop = {}");
    stage.c(buffer_ack(50));
    assert_eq!(acks(&mut stage), [50, 100], "with the next");
    stage.wait_ms(1500);
    assert_eq!(acks(&mut stage), [0; 0], "once");
    let mut stage = dropped("drop = {}");
    stage.wait_ms(999);
    assert_eq!(acks(&mut stage), [0; 0]);
    stage.wait_ms(1);
    assert_eq!(acks(&mut stage), [100], "a consumer may have nothing to acknowledge till then");
    let mut stage = dropped("drop = { books = false }");
    stage.c(buffer_ack(50));
    stage.wait_ms(1500);
    assert_eq!(acks(&mut stage), [50]);
}

#[test]
fn duplicate_adds_copies_that_are_the_tools_and_are_not_acknowledged() {
    let mut stage = third("duplicate = { times = 2 }");
    say_all(&mut stage, 1..=2);
    let skip = stage.journal().len();
    say_all(&mut stage, 3..=4);
    assert_eq!(stage.bytes_at(CONSUMER), bytes_of([1, 2, 3, 3, 3, 4]));
    let mutation = Ok(MUTATION);
    let told = [(PEER, mutation), (TOOL, mutation), (TOOL, mutation), (PEER, mutation)];
    assert_eq!(delivered(&mut stage, CONSUMER, skip), told);
    stage.c(buffer_ack(cost() * 6));
    assert_eq!(acked(&mut stage), cost() * 4);
    stage.c(buffer_ack(50));
    assert_eq!(acked(&mut stage), 50);
    let mut stage = third("duplicate = { books = false }");
    say_all(&mut stage, 1..=3);
    stage.c(buffer_ack(cost() * 4));
    assert_eq!(acked(&mut stage), cost() * 4);
}

/// Law L3: each request is answered once, however often the producer was asked.
#[test]
fn duplicate_of_a_request_gives_its_sender_one_answer() {
    let steps = "name = 's'\nabout = ''\n[[steps]]\nname = 'a'\n\
        when = { from = 'consumer', filter = 'dcp.opcode == stream_req && dcp.vbucket == 3' }\ndo = { duplicate = {} }\n\
        expect = { answered_once = { within = '1s' } }\n";
    let play = |answers: &[FrameBuilder]| {
        let mut stage = stage_of_file(steps, 1);
        stage.c(stream_req(3, 0x31, 0));
        assert_eq!(stage.bytes_at(PRODUCER), [stream_req(3, 0x31, 0).build(), stream_req(3, 0x31, 0).build()].concat());
        for answer in answers {
            stage.p(answer.clone());
        }
        stage.wait_ms(2_000);
        let got = stage.bytes_at(CONSUMER);
        let report = stage.report();
        let finding = report.connections[0].findings.iter().find(|finding| finding.id == "s/a/answered_once");
        (got, finding.expect("it is judged").verdict)
    };
    let refused = || FrameBuilder::response(Opcode::DCP_STREAM_REQ, Status::KEY_EEXISTS).opaque(op(0x31));
    // The answer to the copy is withheld, and the producer has answered each once.
    assert_eq!(play(&[stream_ok(0x31), refused()]), (stream_ok(0x31).build().to_vec(), Verdict::Pass));
    let thrice = [stream_ok(0x31).build(), refused().build()].concat();
    assert_eq!(play(&[stream_ok(0x31), refused(), refused()]), (thrice, Verdict::Fail));
    assert_eq!(play(&[stream_ok(0x31)]), (stream_ok(0x31).build().to_vec(), Verdict::Fail));
}

#[test]
fn duplicate_of_a_message_leaves_the_producer_one_refusal_and_later_ones_alone() {
    let refusal = || FrameBuilder::response(MUTATION, Status::KEY_ENOENT).opaque(op(O));
    let mut stage = third("duplicate = {}");
    say_all(&mut stage, 1..=3);
    stage.c(refusal());
    stage.c(refusal());
    assert_eq!(stage.bytes_at(PRODUCER), refusal().build());
    // A refusal that comes much later is that of another message of the stream.
    let mut stage = third("duplicate = {}");
    say_all(&mut stage, 1..=3);
    stage.wait_ms(6_000);
    stage.bytes_at(PRODUCER);
    stage.c(refusal());
    assert_eq!(stage.bytes_at(PRODUCER), refusal().build());
}

#[test]
fn duplicate_of_an_acknowledgement_is_taken_out_of_the_next() {
    let mut stage = stage_of(ACKS, "duplicate = {}");
    say_all(&mut stage, 1..=3);
    stage.c(buffer_ack(100));
    assert_eq!(acks(&mut stage), [100, 100]);
    stage.c(buffer_ack(130));
    assert_eq!(acks(&mut stage), [30]);
}

#[test]
fn reorder_lets_others_pass_for_a_second_at_the_most() {
    let mut stage = third("reorder = { behind = 2 }");
    say_all(&mut stage, 1..=6);
    assert_eq!(stage.bytes_at(CONSUMER), bytes_of([1, 2, 4, 5, 3, 6]));
    let mut stage = third("reorder = { behind = 9 }");
    say_all(&mut stage, 1..=4);
    stage.wait_ms(999);
    assert_eq!(stage.bytes_at(CONSUMER), bytes_of([1, 2, 4]));
    stage.wait_ms(1);
    assert_eq!(stage.bytes_at(CONSUMER), bytes_of([3]));
    let mut stage = third("reorder = { behind = 9 }");
    say_all(&mut stage, 1..=4);
    stage.closed(PRODUCER, How::Fin);
    assert_eq!((stage.bytes_at(CONSUMER), stage.closes()), (bytes_of([1, 2, 4, 3]), vec![(CONSUMER, How::Fin)]));
    assert_eq!(acked(&mut stage), 0, "nothing is swallowed for good");
}

#[test]
fn truncate_ends_the_connection_in_the_middle_of_a_frame() {
    for (then, how) in [("fin", How::Fin), ("rst", How::Reset)] {
        let mut stage = third(&format!("truncate = {{ bytes = 30, then = '{then}' }}"));
        say_all(&mut stage, 1..=2);
        let skip = stage.journal().len();
        stage.forget();
        say_all(&mut stage, 3..=4);
        assert_eq!(stage.bytes_at(CONSUMER), m(3).build()[..30]);
        assert_eq!(stage.closes(), [(CONSUMER, how), (PRODUCER, how)]);
        assert_eq!(fates(&mut stage)[0], (PRODUCER, Act::Cut(30)));
        assert_eq!(delivered(&mut stage, CONSUMER, skip), [], "nothing came behind it that could be mistaken");
    }
}

#[test]
fn truncate_and_go_on_loses_the_framing_behind_the_frame() {
    let mut stage = third("truncate = { bytes = 30, then = 'go-on' }");
    say_all(&mut stage, 1..=2);
    stage.forget();
    let skip = stage.journal().len();
    stage.p(m(3));
    assert_eq!(delivered(&mut stage, CONSUMER, skip), [], "it waits for the rest");
    say_all(&mut stage, 4..=5);
    assert_eq!(stage.bytes_at(CONSUMER), [&m(3).build()[..30], &bytes_of([4, 5])].concat());
    let lost = FramingError::Truncated { expected: m(3).build().len() as u64, found: 30 };
    assert_eq!(delivered(&mut stage, CONSUMER, skip), [(TOOL, Err(lost))]);
    assert_eq!((acked(&mut stage), stage.closes()), (cost(), vec![]));
}

#[test]
fn truncate_cuts_anywhere_and_not_at_a_frame_that_is_too_short() {
    let long = || m(3).value(vec![b'v'; 300_000]);
    for bytes in [1, 24, 150_000, 300_000] {
        let mut stage = third(&format!("truncate = {{ bytes = {bytes} }}"));
        stage.p(long());
        assert_eq!(stage.bytes_at(CONSUMER), long().build()[..bytes], "{bytes}");
        assert_eq!(stage.closes(), [(CONSUMER, How::Fin), (PRODUCER, How::Fin)], "behind them");
        assert_eq!(fates(&mut stage), [(PRODUCER, Act::Cut(bytes as u64))]);
    }
    // By chance: anywhere in it, not in its first 128 KiB alone.
    let cut = |seed| {
        let mut stage = stage_of_steps(&[(THIRD, "truncate = {}")], seed);
        stage.p(long());
        stage.bytes_at(CONSUMER).len()
    };
    let cuts: Vec<usize> = (1..20).map(cut).collect();
    assert!(cuts.iter().all(|cut| (1..long().build().len()).contains(cut)), "{cuts:?}");
    assert!(cuts.iter().any(|cut| *cut > 128 * 1024) && cut(1) == cuts[0], "{cuts:?}");
    // Of one that has no more bytes than that nothing is cut, and the step waits for the next.
    let len = m(3).build().len();
    let fault = format!("truncate = {{ bytes = {len}, then = 'go-on' }}");
    let mut stage = stage_of("filter = 'dcp.opcode == mutation'", &fault);
    say_all(&mut stage, 3..=3);
    let longer = m(4).value("longer than the other").build();
    stage.feed(PRODUCER, longer.clone());
    assert_eq!(stage.bytes_at(CONSUMER), [&bytes_of([3])[..], &longer[..len]].concat());
    assert_eq!(fates(&mut stage), [(PRODUCER, Act::Cut(len as u64))]);
}

/// What comes of the third mutation, and how long the journal was before.
fn corrupted(fault: &str, seed: u64) -> (Stage, Bytes, usize) {
    let mut stage = stage_of_steps(&[(THIRD, fault)], seed);
    say_all(&mut stage, 1..=2);
    stage.forget();
    let before = stage.journal().len();
    stage.p(m(3));
    let got = stage.bytes_at(CONSUMER).into();
    (stage, got, before)
}

#[test]
fn corrupt_turns_bits_behind_the_header_unless_it_is_told_to() {
    let sent = m(3).build();
    let turned = |seed| {
        let got = corrupted("corrupt = { bits = 3 }", seed).1;
        let differ: u32 = got.iter().zip(&sent).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!((differ, got.len()), (3, sent.len()));
        assert_eq!(got[..HEADER_LEN], sent[..HEADER_LEN]);
        got
    };
    assert_eq!(turned(1), turned(1), "the same seed, the same bits");
    assert!((2..9).any(|seed| turned(seed) != turned(1)));
    let in_header = |seed| corrupted("corrupt = { header = true }", seed).1[..HEADER_LEN] != sent[..HEADER_LEN];
    assert!((1..20).any(in_header));
    // A frame that is a header and no more has nothing behind it.
    let noop = || FrameBuilder::request(Opcode::DCP_NOOP).opaque(op(0x55)).build();
    for (header, same) in [(false, true), (true, false)] {
        let mut stage = stage_of("filter = 'dcp.opcode == dcp_noop'", &format!("corrupt = {{ header = {header} }}"));
        stage.feed(PRODUCER, noop());
        assert_eq!(stage.bytes_at(CONSUMER) == noop(), same);
    }
}

#[test]
fn corrupt_changes_a_field_alone_and_a_length_loses_the_framing() {
    let sent = m(3).build();
    let (mut stage, got, _) = corrupted("corrupt = { field = 'cas' }", 1);
    assert_ne!(got, sent);
    assert_eq!((&got[..16], &got[24..]), (&sent[..16], &sent[24..]));
    assert_eq!(fates(&mut stage), [(PRODUCER, Act::Replaced)]);
    assert_eq!(delivered(&mut stage, CONSUMER, 0).last(), Some(&(TOOL, Ok(MUTATION))));
    let (mut stage, got, skip) = corrupted("corrupt = { field = 'body_len' }", 1);
    assert_eq!((&got[..8], &got[12..]), (&sent[..8], &sent[12..]));
    assert!(matches!(delivered(&mut stage, CONSUMER, skip)[..], [(TOOL, Err(_))]));
    say_all(&mut stage, 4..=5);
    assert_eq!(stage.bytes_at(CONSUMER), bytes_of([4, 5]));
    assert_eq!(delivered(&mut stage, CONSUMER, skip).len(), 1, "what comes behind is no frames to it");
}

#[test]
fn rewrite_changes_what_it_names_and_keeps_the_books() {
    let mut stage = third("rewrite = { field = 'vbucket', to = 5 }");
    say_all(&mut stage, 1..=3);
    let expected = [bytes_of([1, 2]), mutation(5, op(O), 3).build().to_vec()].concat();
    assert_eq!((stage.bytes_at(CONSUMER), acked(&mut stage)), (expected, 0));
    assert_eq!(fates(&mut stage), [(PRODUCER, Act::Replaced)]);
    // A message that costs nothing: the consumer will not acknowledge what the producer was charged.
    let mut stage = third("rewrite = { field = 'opcode', to = 0x5c }");
    say_all(&mut stage, 1..=3);
    assert_eq!(acked(&mut stage), cost());
    // And an acknowledgement that is none any more.
    let mut stage = stage_of(ACKS, "rewrite = { field = 'opcode', to = 0x0a }");
    say_all(&mut stage, 1..=3);
    stage.c(buffer_ack(100));
    assert_eq!(acked(&mut stage), 100);

    let control = |value: &str| dcp::Control { key: "set_noop_interval".into(), value: value.into() }.request(op(8));
    // The first control is that of the window.
    let second = "nth = 2, from = 'consumer', filter = 'dcp.opcode == control'";
    let mut stage = stage_of(second, "rewrite = { value = '1' }");
    stage.c(control("120"));
    assert_eq!(stage.bytes_at(PRODUCER), control("1").build());

    let hello = |features: Vec<u16>| dcp::Hello { agent: "c".into(), features }.request(op(9));
    let fault = "rewrite = { with_features = [8], without_features = [0x12] }";
    let mut stage = stage_of("from = 'consumer', filter = 'dcp.opcode == hello'", fault);
    stage.c(hello(vec![0x12, 6]));
    assert_eq!(stage.bytes_at(PRODUCER), hello(vec![6, 8]).build());
}

#[test]
fn fake_response_answers_in_the_place_of_the_other_end() {
    let request = "from = 'consumer', filter = 'dcp.opcode == stream_req && dcp.vbucket == 3'";
    let answered = |fault: &str| {
        let mut stage = stage_of(request, fault);
        stage.c(stream_req(3, 0x31, 20));
        assert_eq!(stage.bytes_at(PRODUCER), [0; 0]);
        assert_eq!(fates(&mut stage), [(CONSUMER, Act::Swallowed)]);
        let told = delivered(&mut stage, CONSUMER, 0).pop();
        assert_eq!(told, Some((TOOL, Ok(Opcode::DCP_STREAM_REQ))));
        stage.frames_at(CONSUMER).remove(0)
    };
    let rollback = answered("fake_response = { status = 'Rollback', seqno = 9 }");
    let expected = FrameBuilder::response(Opcode::DCP_STREAM_REQ, Status::ROLLBACK).opaque(op(0x31));
    assert_eq!(rollback, expected.value(9_u64.to_be_bytes()).build());
    let map = answered("fake_response = { status = 'NotMyVbucket', body_size = 102400 }");
    let header = Header::parse_slice(&map).unwrap();
    assert_eq!((header.status(), header.body_len), (Some(Status::NOT_MY_VBUCKET), 102_400));
    // Of the producer: what its message has cost is given back.
    let mut stage = third("fake_response = { status = 'Success' }");
    say_all(&mut stage, 1..=3);
    assert_eq!(stage.bytes_at(CONSUMER), bytes_of([1, 2]));
    assert_eq!(acked(&mut stage), cost());
}

#[test]
fn send_tells_an_end_a_frame_and_keeps_its_answer_and_its_cost() {
    let mut stage = third("send = { message = 'stream_end', to = 'consumer', opaque = 'stream', extras = '00000007' }");
    say_all(&mut stage, 1..=3);
    let end = stream_end(0, op(O), 7).build();
    assert_eq!(stage.bytes_at(CONSUMER), [bytes_of([1, 2, 3]), end.to_vec()].concat());
    stage.c(buffer_ack(128));
    assert_eq!(acked(&mut stage), 100, "28 of them are for the tool's frame");
    let mut stage = third("send = { message = 'version' }");
    say_all(&mut stage, 1..=3);
    stage.forget();
    stage.answer(Opcode::VERSION, Status::SUCCESS);
    assert_eq!(stage.bytes_at(CONSUMER), [0; 0]);
}

#[test]
fn orphan_response_has_any_status_and_body() {
    let mut stage =
        third("orphan_response = { message = 'mutation', status = '0x1234', body_size = 102400, count = 2 }");
    say_all(&mut stage, 1..=3);
    stage.wait_ms(60);
    let got = stage.frames_at(PRODUCER);
    assert!(got.len() == 2 && got[0] == got[1]);
    let header = Header::parse_slice(&got[0]).unwrap();
    assert_eq!((header.opcode, header.status(), header.opaque), (MUTATION, Some(Status(0x1234)), op(O)));
    assert_eq!(header.body_len, 102_400);
    assert_eq!(stage.bytes_at(CONSUMER), bytes_of([1, 2, 3]));
}

#[test]
fn close_stream_at_the_producer_is_asked_by_the_tool() {
    let mut stage = third("close_stream = { at = 'producer' }");
    say_all(&mut stage, 1..=3);
    let close = stage.frames_at(PRODUCER).remove(0);
    let header = Header::parse_slice(&close).unwrap();
    assert_eq!((header.opcode, header.vbucket()), (Opcode::DCP_CLOSE_STREAM, Some(0)));
    stage.answer(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS);
    assert_eq!(stage.bytes_at(CONSUMER), bytes_of([1, 2, 3]), "its answer is for nobody");
}

#[test]
fn stream_end_gives_any_reason_and_the_stream_can_be_had_again() {
    let mut stage = third("stream_end = { reason = 8 }");
    say_all(&mut stage, 1..=2);
    stage.forget();
    say_all(&mut stage, 3..=3);
    assert_eq!(stage.bytes_at(CONSUMER), stream_end(0, op(O), 8).build());
    let got = stage.at_producer();
    assert!(got.iter().any(|line| line.starts_with("DCP_CLOSE_STREAM vb0")), "{got:?}");
    // What lingers is for nobody, and given back.
    say_all(&mut stage, 4..=5);
    assert_eq!((stage.bytes_at(CONSUMER), acked(&mut stage)), (vec![], 2 * cost()));
    // Its next request waits until the producer has closed the stream.
    stage.c(stream_req(0, 0x99, 3));
    stage.c(stream_req(1, 0x9a, 0));
    assert_eq!(stage.bytes_at(PRODUCER), [0; 0], "with what it asks behind that");
    stage.answer(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS);
    let asked = [stream_req(0, 0x99, 3).build(), stream_req(1, 0x9a, 0).build()].concat();
    assert_eq!(stage.bytes_at(PRODUCER), asked);
    stage.p(stream_ok(0x99));
    stage.bytes_at(CONSUMER);
    stage.p(m(6));
    assert_eq!(stage.bytes_at(CONSUMER), [0; 0], "still of the old one");
    stage.p(mutation(0, op(0x99), 4));
    assert_eq!(stage.bytes_at(CONSUMER), mutation(0, op(0x99), 4).build());
    // The forged frame's acknowledgement is not the producer's.
    stage.forget();
    stage.c(buffer_ack(100));
    assert_eq!(acked(&mut stage), 72);

    let mut stage = third("stream_end = { reason = 127, lingering = true }");
    say_all(&mut stage, 1..=2);
    stage.forget();
    say_all(&mut stage, 3..=4);
    let expected = [bytes_of([3]), stream_end(0, op(O), 127).build().to_vec(), bytes_of([4])].concat();
    assert_eq!((stage.bytes_at(CONSUMER), stage.bytes_at(PRODUCER)), (expected, vec![]));
}
