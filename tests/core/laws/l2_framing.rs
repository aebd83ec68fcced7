//! L2 of lost framing: an end is told to have lost it where it does, in the order of what is delivered to it, and from there on
//! nothing that it is sent is told to be a frame.

use std::time::Duration;

use bytes::Bytes;
use dcproxy::engine::{Action, Actions, Event, Pace, WHOLE_LIMIT};
use dcproxy::journal::How;
use dcproxy::wire::{FrameBuilder, Opcode};

use super::book::*;

/// What is told of what is delivered upstream.
fn told(play: &mut Playbook) -> Vec<String> {
    let story = play.story();
    story.iter().filter_map(|line| line.split_once(" To Upstream: ")).map(|(of, what)| format!("{of} {what}")).collect()
}

/// The SET with the opaque 2 is done this to; at the first one a hold begins, if one is asked for.
fn second(hold: bool, acts: Actions) -> Playbook {
    Playbook::armed(move |event| match event {
        Event::Frame { from, head, .. } if *from == D => match head.header.opaque.0[3] {
            1 if hold => vec![Action::Hold { to: U, until: at(50) }],
            2 => acts.clone(),
            _ => Vec::new(),
        },
        Event::Frame { .. } => vec![inject(U, &noop(0x77))],
        _ => Vec::new(),
    })
}

fn len(bytes: &Bytes) -> usize {
    bytes.len()
}

fn cut_short(expected: usize, found: usize) -> String {
    format!("Tool FramingLost(Truncated {{ expected: {expected}, found: {found} }})")
}

#[test]
fn behind_a_frame_that_was_cut_nothing_is_a_frame() {
    let mut play = second(false, vec![Action::Truncate(30)]);
    play.feed(D, [set(1, 9), set(2, 9), set(3, 9), set(4, 9)].concat())
        .gives([write(U, [&set(1, 9)[..], &set(2, 9)[..30], &set(3, 9), &set(4, 9)].concat())]);
    assert_eq!(told(&mut play), ["Peer SET 0x00000001".to_owned(), cut_short(len(&set(2, 9)), 30)]);
    // Nor what the tool says, or what has lost its framing by itself; a close is a close.
    play.feed(U, set(9, 0)).whatever();
    play.feed(D, [0x99; 40]).gives([write(U, [0x99; 40])]);
    play.closed(D, How::Fin).whatever();
    assert_eq!(told(&mut play)[2..], ["Peer Closed { how: Fin, partial: 0 }"]);
}

#[test]
fn a_frame_that_was_cut_last_loses_nothing() {
    let mut play = second(false, vec![Action::Truncate(30)]);
    play.feed(D, [set(1, 9), set(2, 9)].concat()).whatever();
    play.closed(D, How::Fin).whatever();
    assert_eq!(told(&mut play), ["Peer SET 0x00000001", "Peer Closed { how: Fin, partial: 0 }"]);
}

#[test]
fn none_or_all_of_a_frame_is_no_cut() {
    let mut play = second(false, vec![Action::Truncate(0)]);
    play.feed(D, [set(1, 9), set(2, 9), set(3, 9)].concat()).gives([write(U, [set(1, 9), set(3, 9)].concat())]);
    assert_eq!(told(&mut play), ["Peer SET 0x00000001", "Peer SET 0x00000003"]);
    assert!(play.story().contains(&"Tool From Dialler: Acted(Swallowed)".to_owned()));
    for more in [0, 1] {
        let mut play = second(false, vec![Action::Truncate(set(2, 9).len() + more)]);
        play.feed(D, [set(2, 9), set(3, 9)].concat()).gives([write(U, [set(2, 9), set(3, 9)].concat())]);
        assert_eq!(play.story().len(), 4, "each came and went");
    }
}

#[test]
fn what_is_held_loses_the_framing_when_it_leaves() {
    let mut longer = set(2, 9).to_vec();
    longer[11] += 5;
    let garbled = Bytes::from(longer);
    let (all, lost) = (garbled.len(), cut_short(garbled.len() + 5, garbled.len()));
    for (acts, lost) in
        [(vec![Action::Replace(garbled.clone())], lost), (vec![Action::Truncate(30)], cut_short(all, 30))]
    {
        let mut play = second(true, acts);
        play.feed(D, [set(1, 9), set(2, 9), set(3, 9)].concat()).gives([wait(50)]);
        assert_eq!(told(&mut play), [""; 0], "nothing has left");
        // What the tool says passes the hold, and is a frame.
        play.feed(U, set(9, 0)).whatever();
        play.woken_at(50).whatever();
        assert_eq!(told(&mut play), ["Tool NOOP 0x00000077".to_owned(), "Peer SET 0x00000001".to_owned(), lost]);
        play.feed(U, set(9, 0)).whatever();
        assert_eq!(told(&mut play).len(), 3, "what comes later is none");
    }
}

#[test]
fn what_an_end_itself_garbles_is_lost_across_when_it_leaves() {
    let mut play = second(true, vec![]);
    play.feed(D, set(1, 9)).whatever();
    play.feed(D, [0x99; 40]).gives_nothing();
    assert_eq!(told(&mut play), [""; 0]);
    assert!(play.story().last().unwrap().starts_with("Peer From Dialler: FramingLost"));
    play.woken_at(50).gives([write(U, [&set(1, 9)[..], &[0x99; 40]].concat())]);
    let told = told(&mut play);
    assert!(told.len() == 2 && told[1].starts_with("Peer FramingLost"), "{told:?}");
}

#[test]
fn what_does_not_go_on_garbles_nothing() {
    let mut play =
        Playbook::armed(|event| if matches!(event, Event::Raw { .. }) { vec![Action::Drop] } else { vec![] });
    play.feed(D, set(1, 9)).whatever();
    play.feed(D, [0x99; 40]).gives_nothing();
    assert_eq!(told(&mut play), ["Peer SET 0x00000001"]);
}

#[test]
fn nothing_lands_inside_what_is_left_of_a_frame_and_the_close_comes_behind_it() {
    let big = set(2, WHOLE_LIMIT + 100);
    let cut = WHOLE_LIMIT + 50;
    for side in [U, D] {
        let how = How::Reset;
        let mut play = second(false, vec![Action::Truncate(cut), Action::Close { side, how }]);
        let mut outputs = play.feed(D, &big[..WHOLE_LIMIT]).0;
        outputs.extend(play.feed(U, set(9, 0)).0);
        assert!(!outputs.contains(&close(side, how)));
        outputs.extend(play.feed(D, &big[WHOLE_LIMIT..]).0);
        let closed = outputs.iter().position(|output| *output == close(side, how)).expect("it is closed");
        assert!(bytes_to(&outputs[..closed], U)[..cut] == big[..cut]);
        assert!(bytes_to(&outputs, U)[cut..] == noop(0x77)[..] || side == U);
    }
    // Of a value that never comes, the close is all that is left to do.
    let mut play = second(false, vec![Action::Truncate(cut), Action::Close { side: U, how: How::Fin }]);
    play.feed(D, &big[..WHOLE_LIMIT]).whatever();
    play.closed(D, How::Fin).gives([close(U, How::Fin)]);
}

#[test]
fn in_pieces_a_frame_that_was_cut_leaves_as_one() {
    let pace = Action::Pace { to: U, pace: Some(Pace { bytes: 7, every: Duration::from_millis(10) }) };
    let version = FrameBuilder::request(Opcode::VERSION).build();
    let mut play = Playbook::armed(move |event| match event {
        Event::Frame { from, .. } if *from == D && is(event, Opcode::VERSION) => vec![pace.clone()],
        Event::Frame { from, .. } if *from == D => vec![Action::Truncate(30)],
        Event::Frame { .. } => vec![inject(U, &noop(0x77))],
        _ => Vec::new(),
    });
    let mut got = play.feed(D, [&version[..], &set(2, 9)].concat()).bytes(U);
    for tick in 0..20 {
        got.extend(play.woken_at(tick * 10).bytes(U));
        if tick == 5 {
            got.extend(play.feed(U, set(9, 0)).bytes(U));
        }
    }
    assert_eq!(got, [&version[..], &set(2, 9)[..30], &noop(0x77)].concat());
    assert_eq!(told(&mut play), ["Peer VERSION 0x00000000".to_owned(), cut_short(len(&set(2, 9)), 30)]);
}
