//! L2 of what the tool makes of frames: an injected frame does not starve behind pieces, what is sent after all keeps its
//! place, and an end that was sent lengths that are not its own is told to have lost its framing.

use std::time::Duration;

use dcproxy::engine::{Action, Event, Pace, WHOLE_LIMIT};
use dcproxy::wire::{FrameBuilder, Opcode};

use super::book::*;

#[test]
fn lengths_that_are_not_its_own_lose_the_framing_of_the_end_that_gets_them() {
    let mut longer = noop(2).to_vec();
    longer[11] = 9;
    let sent = longer.clone();
    let mut play =
        Playbook::armed(
            move |event| {
                if is(event, Opcode::NOOP) { vec![Action::Replace(longer.clone().into())] } else { vec![] }
            },
        );
    play.feed(D, noop(2)).gives([write(U, sent)]);
    let told = "Tool To Upstream: FramingLost(Truncated { expected: 33, found: 24 })";
    assert_eq!(play.story().last().unwrap(), told);
}

#[test]
fn of_a_long_frame_the_head_is_replaced_and_stays_a_frame() {
    let big = set(1, WHOLE_LIMIT + 100);
    let mut play = Playbook::armed(move |event| match event {
        Event::Frame { frame, .. } => vec![Action::Replace(set(0x99, WHOLE_LIMIT + 100).slice(..frame.bytes().len()))],
        _ => Vec::new(),
    });
    let mut got = Vec::new();
    for chunk in big.chunks(10_000) {
        got.extend(play.feed(D, chunk).bytes(U));
    }
    assert!(got == set(0x99, WHOLE_LIMIT + 100));
    assert_eq!(play.story().last().unwrap(), "Tool To Upstream: SET 0x00000099");
}

/// Of one end, 30 bytes leave each 10 ms from the first VERSION on; at what it says itself, it is sent a NOOP.
fn paced() -> Playbook {
    let pace = Pace { bytes: 30, every: Duration::from_millis(10) };
    Playbook::armed(move |event| match event {
        Event::Frame { from, head, .. } if *from == D && head.header.opcode == Opcode::VERSION => {
            vec![Action::Pace { to: U, pace: Some(pace) }]
        }
        Event::Frame { from, .. } if *from == U => vec![inject(U, &noop(0x77))],
        _ => Vec::new(),
    })
}

#[test]
fn an_injected_frame_waits_for_the_end_of_one_frame_and_not_of_the_queue() {
    let mut play = paced();
    let version = FrameBuilder::request(Opcode::VERSION).build();
    let sent: Vec<_> = (0..50).map(|n| set(n, 64)).collect();
    let mut got = Vec::new();
    got.extend(play.feed(D, &version).bytes(U));
    got.extend(play.feed(D, sent.concat()).bytes(U));
    got.extend(play.woken_at(10).bytes(U));
    got.extend(play.feed(U, set(9, 1)).bytes(U));
    for tick in 2..400 {
        got.extend(play.woken_at(tick * 10).bytes(U));
    }
    // The first SET has begun: the NOOP is next behind it, and all are whole.
    let expected = [vec![version, sent[0].clone(), noop(0x77)], sent[1..].to_vec()].concat();
    assert_eq!(frames(&got), expected);
}

#[test]
fn what_is_sent_after_all_keeps_its_place_behind_a_hold() {
    let mut play = Playbook::armed(|event| {
        let after_all = Action::Resume { to: U, frame: noop(3) };
        let hold = Action::Hold { to: U, until: at(5) };
        if is(event, Opcode::NOOP) { vec![hold, Action::Forward, after_all] } else { vec![] }
    });
    play.feed(D, noop(2)).gives([wait(5)]);
    play.woken_at(5).gives([write(U, [noop(2), noop(3)].concat())]);
}
