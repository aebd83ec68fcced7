//! L3: nobody hears answers to questions that they did not ask.

use std::sync::{Arc, Mutex};

use dcproxy::engine::{Action, Event};
use dcproxy::journal::{How, Origin};
use dcproxy::wire::{FrameBuilder, Opcode, Status};

use super::book::*;

type Heard = Arc<Mutex<Vec<String>>>;

/// Each SET of the dialler makes the tool ask the upstream the same thing: a NOOP with the SET's opaque.
fn asking() -> (Playbook, Heard) {
    let heard = Heard::default();
    let told = heard.clone();
    let play = Playbook::armed(move |event| match event {
        Event::Frame { from, head, .. } if *from == D && head.header.opcode == Opcode::SET => {
            let frame = FrameBuilder::request(Opcode::NOOP).opaque(head.header.opaque).build();
            vec![Action::Drop, inject(U, &frame)]
        }
        Event::Answer { from, head, .. } => {
            told.lock().unwrap().push(format!("{from:?} {} {}", head.header.opcode, head.header.opaque));
            vec![Action::Forward] // cannot make it go on
        }
        _ => Vec::new(),
    });
    (play, heard)
}

fn heard(heard: &Heard) -> Vec<String> {
    std::mem::take(&mut heard.lock().unwrap())
}

#[test]
fn the_answer_to_an_injected_request_goes_to_the_interceptor_alone() {
    let (mut play, heard_) = asking();
    play.feed(D, set(7, 0)).gives([write(U, noop(7))]);
    play.feed(U, ok(Opcode::NOOP, 7)).gives_nothing();
    assert_eq!(heard(&heard_), ["Upstream NOOP 0x00000007"]);
    let answer = play.journal().last().unwrap();
    assert_eq!((answer.edge, answer.origin), (U, Origin::Tool));
    // The same bytes once more answer nothing that the tool asked.
    play.feed(U, ok(Opcode::NOOP, 7)).gives([write(D, ok(Opcode::NOOP, 7))]);
    assert!(heard(&heard_).is_empty());
}

#[test]
fn a_refusal_is_an_answer_too_and_one_in_pieces_as_well() {
    let (mut play, heard_) = asking();
    play.feed(D, set(7, 0)).whatever();
    let refusal = FrameBuilder::response(Opcode::NOOP, Status::EINVAL)
        .opaque(op(7))
        .value(vec![b' '; dcproxy::engine::WHOLE_LIMIT])
        .build();
    for chunk in refusal.chunks(50_000) {
        play.feed(U, chunk).gives_nothing();
    }
    assert_eq!(heard(&heard_).len(), 1);
    play.feed(U, noop(1)).gives([write(D, noop(1))]);
}

#[test]
fn a_peers_own_request_with_the_same_opcode_gets_its_answer() {
    let (mut play, heard_) = asking();
    play.feed(D, noop(1)).gives([write(U, noop(1))]);
    play.feed(D, set(2, 0)).gives([write(U, noop(2))]);
    play.feed(D, noop(3)).gives([write(U, noop(3))]);
    let answers = [ok(Opcode::NOOP, 1), ok(Opcode::NOOP, 2), ok(Opcode::NOOP, 3)].concat();
    play.feed(U, answers).gives([write(D, [ok(Opcode::NOOP, 1), ok(Opcode::NOOP, 3)].concat())]);
    assert_eq!(heard(&heard_), ["Upstream NOOP 0x00000002"]);
}

#[test]
fn with_the_same_opaque_each_gets_its_own_answer() {
    let status = |opaque, status| FrameBuilder::response(Opcode::NOOP, status).opaque(op(opaque)).build();
    // The peer asks first, the tool second; then the other way round.
    let (mut play, heard_) = asking();
    play.feed(D, noop(7)).gives([write(U, noop(7))]);
    play.feed(D, set(7, 0)).gives([write(U, noop(7))]);
    play.feed(U, status(7, Status::SUCCESS)).gives([write(D, status(7, Status::SUCCESS))]);
    play.feed(U, status(7, Status::EBUSY)).gives_nothing();
    assert_eq!(heard(&heard_).len(), 1);

    play.feed(D, set(7, 0)).gives([write(U, noop(7))]);
    play.feed(D, noop(7)).gives([write(U, noop(7))]);
    play.feed(U, status(7, Status::EBUSY)).gives_nothing();
    play.feed(U, status(7, Status::SUCCESS)).gives([write(D, status(7, Status::SUCCESS))]);
    assert_eq!(heard(&heard_).len(), 1);
}

#[test]
fn a_reused_opaque_is_answered_as_often_as_it_was_used() {
    let (mut play, heard_) = asking();
    play.feed(D, [set(7, 0), set(7, 0)].concat()).gives([write(U, [noop(7), noop(7)].concat())]);
    play.feed(U, ok(Opcode::NOOP, 7)).gives_nothing();
    play.feed(U, ok(Opcode::NOOP, 7)).gives_nothing();
    assert_eq!(heard(&heard_).len(), 2);
    play.feed(U, ok(Opcode::NOOP, 7)).gives([write(D, ok(Opcode::NOOP, 7))]);
}

#[test]
fn requests_of_the_other_end_are_not_answers() {
    let (mut play, heard_) = asking();
    play.feed(D, set(7, 0)).whatever();
    play.feed(U, noop(7)).gives([write(D, noop(7))]);
    play.feed(D, ok(Opcode::NOOP, 7)).gives([write(U, ok(Opcode::NOOP, 7))]);
    assert!(heard(&heard_).is_empty());
    play.feed(U, ok(Opcode::NOOP, 7)).gives_nothing();
    assert_eq!(heard(&heard_).len(), 1);
}

#[test]
fn the_refusal_of_a_buffer_ack_of_the_tools_own_is_withheld() {
    let ack = dcproxy::dcp::BufferAck { bytes_to_ack: 5 }.request(op(0x55)).build();
    let injected = ack.clone();
    let mut play =
        Playbook::armed(
            move |event| {
                if is(event, Opcode::SET) { vec![Action::Drop, inject(U, &injected)] } else { vec![] }
            },
        );
    for _ in 0..10_000 {
        play.feed(D, set(1, 0)).gives([write(U, &ack)]);
    }
    let refusal = FrameBuilder::response(Opcode::DCP_BUFFER_ACK, Status::EINVAL).opaque(op(0x55)).build();
    play.feed(U, &refusal).gives_nothing();
    let other = FrameBuilder::response(Opcode::DCP_BUFFER_ACK, Status::EINVAL).opaque(op(0x56)).build();
    play.feed(U, &other).gives([write(D, &other)]);
}

#[test]
fn a_resumed_request_is_answered_to_its_owner() {
    let kept: Arc<Mutex<Option<bytes::Bytes>>> = Arc::default();
    let mut play = Playbook::armed(move |event| match event {
        Event::Frame { from, frame, head, .. } if *from == D && head.header.opcode == Opcode::NOOP => {
            *kept.lock().unwrap() = Some(bytes::Bytes::copy_from_slice(frame.bytes()));
            vec![Action::Drop]
        }
        Event::Frame { from, .. } if *from == D => {
            let frame = kept.lock().unwrap().take().unwrap();
            vec![Action::Drop, Action::Resume { to: U, frame }]
        }
        Event::Answer { .. } => panic!("an answer that belongs to the dialler"),
        _ => Vec::new(),
    });
    play.feed(D, noop(7)).gives_nothing();
    play.feed(D, set(8, 0)).gives([write(U, noop(7))]);
    let delivered = play.journal().last().unwrap();
    assert_eq!((delivered.edge, delivered.origin), (U, Origin::Peer));
    play.feed(U, ok(Opcode::NOOP, 7)).gives([write(D, ok(Opcode::NOOP, 7))]);
}

#[test]
fn nothing_is_asked_of_an_end_that_was_closed() {
    let mut play = Playbook::armed(|event| if is(event, Opcode::SET) { vec![inject(U, &noop(9))] } else { vec![] });
    play.closed(D, How::Fin).gives([close(U, How::Fin)]);
    let before = play.journal().len();
    play.feed(U, set(7, 0)).gives([write(D, set(7, 0))]);
    let told = ["Peer From Upstream: SET 0x00000007", "Peer To Dialler: SET 0x00000007"];
    assert_eq!(play.story()[before..], told, "what goes nowhere was not delivered");
}
