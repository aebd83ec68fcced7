//! L4: half-close, FIN and RST cross as they came, behind the bytes that came before.

use dcproxy::engine::{Action, Event, WHOLE_LIMIT};
use dcproxy::journal::{How, What};
use dcproxy::wire::Opcode;

use super::book::*;

#[test]
fn fin_and_reset_go_on_as_they_came() {
    for how in [How::Fin, How::Reset] {
        for from in [D, U] {
            for mut play in [Playbook::passive(), Playbook::forwarding()] {
                play.closed(from, how).gives([close(from.other(), how)]);
            }
        }
    }
}

#[test]
fn half_a_close_leaves_the_other_direction_working() {
    for mut play in [Playbook::passive(), Playbook::forwarding()] {
        play.feed(D, noop(1)).gives([write(U, noop(1))]);
        play.closed(D, How::Fin).gives([close(U, How::Fin)]);
        play.feed(U, ok(Opcode::NOOP, 1)).gives([write(D, ok(Opcode::NOOP, 1))]);
        play.feed(U, set(2, WHOLE_LIMIT)).gives([write(D, set(2, WHOLE_LIMIT))]);
        play.closed(U, How::Fin).gives([close(D, How::Fin)]);
    }
}

#[test]
fn a_reset_may_follow_a_fin() {
    for mut play in [Playbook::passive(), Playbook::forwarding()] {
        play.closed(D, How::Fin).gives([close(U, How::Fin)]);
        play.closed(D, How::Reset).gives([close(U, How::Reset)]);
    }
}

#[test]
fn a_partial_frame_goes_before_the_close() {
    for how in [How::Fin, How::Reset] {
        let mut play = Playbook::forwarding();
        play.feed(D, &set(1, 50)[..40]).gives_nothing();
        play.closed(D, how).gives([write(U, &set(1, 50)[..40]), close(U, how)]);
        let told: Vec<_> = play.journal().iter().map(|entry| (entry.edge, entry.what.clone())).collect();
        assert_eq!(told, [(D, What::Closed { how, partial: 40 }), (U, What::Closed { how, partial: 40 })]);
    }
}

#[test]
fn a_partial_frame_goes_once_though_a_reset_follows_the_fin() {
    let mut play = Playbook::armed(|event| {
        if matches!(event, Event::Closed { how: How::Fin, .. }) { vec![Action::Drop] } else { Vec::new() }
    });
    play.feed(D, &set(1, 50)[..40]).gives_nothing();
    play.closed(D, How::Fin).gives([write(U, &set(1, 50)[..40])]);
    play.closed(D, How::Reset).gives([close(U, How::Reset)]);
}

#[test]
fn a_value_that_ends_early_is_told_of() {
    let big = set(1, WHOLE_LIMIT + 100);
    for mut play in [Playbook::passive(), Playbook::forwarding()] {
        play.feed(D, &big[..1000]).gives([write(U, &big[..1000])]);
        play.closed(D, How::Fin).gives([close(U, How::Fin)]);
        let Some(What::Closed { partial, .. }) = play.journal().last().map(|entry| entry.what.clone()) else {
            panic!("a close")
        };
        assert!(partial > 0);
    }
}

#[test]
fn an_injected_frame_does_not_follow_half_a_value() {
    let big = set(1, WHOLE_LIMIT + 100);
    let mut play = Playbook::armed(|event| if is(event, Opcode::NOOP) { vec![inject(D, &noop(0x77))] } else { vec![] });
    play.feed(U, &big[..1000]).gives([write(D, &big[..1000])]);
    play.feed(D, noop(2)).gives([write(U, noop(2))]);
    play.closed(U, How::Fin).gives([close(D, How::Fin)]);
}

#[test]
fn a_cut_off_frame_leaves_before_the_reset() {
    let mut play = Playbook::armed(|event| match event {
        Event::Frame { .. } => vec![Action::Truncate(10), Action::Close { side: U, how: How::Reset }],
        _ => Vec::new(),
    });
    play.feed(D, set(1, 50)).gives([write(U, &set(1, 50)[..10]), close(U, How::Reset)]);
    assert_eq!(
        play.story(),
        [
            "Peer From Dialler: SET 0x00000001",
            "Tool From Dialler: Acted(Cut(10))",
            "Tool To Upstream: Closed { how: Reset, partial: 0 }"
        ],
        "a frame that was cut off was not delivered"
    );
}

/// The driver tells that it has reset an end as it was told to: what that end says is over, and whose doing that is.
#[test]
fn a_reset_that_was_sent_ends_what_the_end_says() {
    for side in [D, U] {
        let mut play = Playbook::armed(move |event| {
            if is(event, Opcode::NOOP) { vec![Action::Close { side, how: How::Reset }] } else { vec![] }
        });
        play.feed(D, noop(1)).gives([write(U, noop(1)), close(side, How::Reset)]);
        let before = play.journal().len();
        play.closed(side, How::Reset).gives([close(side.other(), How::Reset)]);
        let other = side.other();
        let told = ["From", "To"].into_iter().zip([side, other]);
        let told: Vec<_> =
            told.map(|(way, edge)| format!("Tool {way} {edge:?}: Closed {{ how: Reset, partial: 0 }}")).collect();
        assert_eq!(play.story()[before..], told);
        // That one is told too, and all has been said.
        play.closed(other, How::Reset).gives_nothing();
    }
    // A reset that crosses is that of the end that it came from, and nobody else's.
    for mut play in [Playbook::passive(), Playbook::forwarding()] {
        play.closed(D, How::Reset).gives([close(U, How::Reset)]);
        play.closed(U, How::Reset).gives_nothing();
        assert_eq!(play.story().len(), 2);
    }
}

#[test]
fn a_frame_can_be_cut_off_inside_its_value() {
    let big = set(1, WHOLE_LIMIT + 100);
    let cut = WHOLE_LIMIT + 7;
    let mut play = Playbook::armed(move |event| match event {
        Event::Frame { head, .. } if head.header.opcode == Opcode::SET => vec![Action::Truncate(cut)],
        _ => Vec::new(),
    });
    let mut got = Vec::new();
    for chunk in big.chunks(10_000) {
        got.extend(play.feed(D, chunk).bytes(U));
    }
    assert!(got == big[..cut]);
    play.feed(D, noop(2)).gives([write(U, noop(2))]);
}

#[test]
fn a_frame_that_is_dropped_leaves_nothing_of_its_value() {
    let big = set(1, WHOLE_LIMIT + 100);
    let mut play = Playbook::armed(|event| if is(event, Opcode::SET) { vec![Action::Drop] } else { vec![] });
    for chunk in big.chunks(10_000) {
        play.feed(D, chunk).gives_nothing();
    }
    play.feed(D, noop(2)).gives([write(U, noop(2))]);
    assert_eq!(play.story()[..2], ["Peer From Dialler: SET 0x00000001", "Tool From Dialler: Acted(Swallowed)"]);
    assert_eq!(play.story().len(), 4, "the dropped frame was never delivered");
}

#[test]
fn a_close_can_be_kept_from_the_other_end() {
    let mut play = Playbook::armed(|event| match event {
        Event::Closed { .. } => vec![Action::Drop],
        Event::Frame { head, .. } if head.header.opcode == Opcode::NOOP => {
            vec![Action::Close { side: U, how: How::Fin }]
        }
        _ => Vec::new(),
    });
    play.feed(D, &set(1, 50)[..40]).gives_nothing();
    play.closed(D, How::Fin).gives([write(U, &set(1, 50)[..40])]);
    play.feed(U, noop(5)).gives([write(D, noop(5)), close(U, How::Fin)]);
}

#[test]
fn what_is_held_back_can_be_seen() {
    let mut play = Playbook::armed(|event| match event {
        Event::Frame { .. } => vec![Action::Hold { to: U, until: at(1000) }, Action::Forward],
        _ => Vec::new(),
    });
    let mut sum = 0;
    for n in 0..100 {
        play.feed(D, set(n, 1000)).whatever();
        sum += set(n, 1000).len();
        assert_eq!(play.engine.held(U), sum);
    }
    let big = set(9, WHOLE_LIMIT + 10);
    for chunk in big.chunks(5000) {
        play.feed(D, chunk).gives_nothing();
    }
    assert_eq!(play.engine.held(U), sum + big.len());
    play.feed(D, [0x99; 77]).gives_nothing();
    assert_eq!(play.engine.held(U), sum + big.len() + 77);
    play.woken_at(1000).whatever();
    assert_eq!(play.engine.held(U), 0);
}
