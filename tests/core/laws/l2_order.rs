//! L2: order within a direction is kept, holds and closes included; the directions never block each other; an injected
//! frame waits neither for a hold nor for the other direction, and never lands inside a frame.

use dcproxy::engine::{Action, Event, WHOLE_LIMIT};
use dcproxy::journal::How;
use dcproxy::wire::Opcode;
use proptest::prelude::*;

use super::book::*;

/// Holds what goes upstream from the first NOOP on, till 100 ms.
fn holding() -> Playbook {
    Playbook::armed(|event| match event {
        Event::Frame { from, head, .. } if *from == D && head.header.opcode == Opcode::NOOP => {
            vec![Action::Hold { to: U, until: at(100) }, Action::Forward]
        }
        _ => Vec::new(),
    })
}

#[test]
fn a_hold_keeps_frames_and_the_close_in_order_and_lets_go_at_its_time() {
    let mut play = holding();
    play.feed(D, set(1, 10)).gives([write(U, set(1, 10))]);
    play.feed(D, noop(2)).gives([wait(100)]);
    play.feed(D, set(3, 10)).gives_nothing();
    play.feed(D, &set(4, 10)[..20]).gives_nothing();
    play.closed(D, How::Fin).gives_nothing();
    assert_eq!(play.engine.held(U), noop(2).len() + set(3, 10).len() + 20);
    assert_eq!(play.engine.held(D), 0);
    play.woken_at(99).gives([wait(100)]);
    play.woken_at(100)
        .gives([write(U, [noop(2).as_ref(), &set(3, 10), &set(4, 10)[..20]].concat()), close(U, How::Fin)]);
    assert_eq!(play.engine.held(U), 0);
}

#[test]
fn the_journal_tells_of_a_delivery_when_it_happens() {
    let mut play = holding();
    play.feed(D, noop(2)).whatever();
    play.closed(D, How::Reset).whatever();
    let held = ["Peer From Dialler: NOOP 0x00000002", "Peer From Dialler: Closed { how: Reset, partial: 0 }"];
    assert_eq!(play.story(), held);
    play.woken_at(100).whatever();
    let delivered = ["Peer To Upstream: NOOP 0x00000002", "Peer To Upstream: Closed { how: Reset, partial: 0 }"];
    assert_eq!(play.story()[2..], delivered);
    assert!(play.journal()[2..].iter().all(|entry| entry.at == at(100)));
}

#[test]
fn after_a_hold_bytes_pass_again() {
    let mut play = holding();
    play.feed(D, noop(2)).whatever();
    play.woken_at(100).whatever();
    play.feed(D, set(3, 10)).gives([write(U, set(3, 10))]);
}

#[test]
fn holding_one_direction_does_not_delay_the_other() {
    let mut play = holding();
    play.feed(D, noop(2)).gives([wait(100)]);
    play.feed(U, set(9, 10)).gives([write(D, set(9, 10))]);
    play.feed(U, set(8, WHOLE_LIMIT)).gives([write(D, set(8, WHOLE_LIMIT))]);
    play.closed(U, How::Fin).gives([close(D, How::Fin)]);
}

#[test]
fn raw_bytes_are_held_too() {
    let mut play = holding();
    play.feed(D, noop(2)).whatever();
    play.feed(D, [0x99; 50]).gives_nothing();
    play.feed(D, [0x98; 50]).gives_nothing();
    play.woken_at(101).gives([write(U, [&noop(2)[..], &[0x99; 50], &[0x98; 50]].concat())]);
}

#[test]
fn an_injected_frame_passes_a_hold() {
    let mut play = Playbook::armed(|event| match event {
        Event::Frame { from, head, .. } if *from == D && head.header.opcode == Opcode::NOOP => {
            vec![Action::Forward, Action::Hold { to: U, until: at(100) }]
        }
        Event::Frame { from, .. } if *from == U => vec![inject(U, &noop(0x77))],
        _ => Vec::new(),
    });
    play.feed(D, noop(2)).gives([write(U, noop(2)), wait(100)]);
    play.feed(D, set(3, 10)).gives_nothing();
    play.feed(U, set(9, 1)).gives([write(D, set(9, 1)), write(U, noop(0x77))]);
    play.woken_at(100).gives([write(U, set(3, 10))]);
}

#[test]
fn what_a_hold_begins_at_is_held_too() {
    let mut play =
        Playbook::armed(
            |event| if is(event, Opcode::NOOP) { vec![Action::Hold { to: U, until: at(100) }] } else { vec![] },
        );
    play.feed(D, noop(2)).gives([wait(100)]);
    play.feed(D, set(3, 10)).gives_nothing();
    play.woken_at(100).gives([write(U, noop(2)), write(U, set(3, 10))]);
}

#[test]
fn actions_happen_in_their_order_around_the_frame() {
    let mut play = Playbook::armed(|event| match event {
        Event::Frame { .. } => vec![inject(U, &noop(0x71)), Action::Forward, inject(U, &noop(0x72))],
        _ => Vec::new(),
    });
    play.feed(D, [set(1, 3), set(2, 3)].concat())
        .gives([write(U, [noop(0x71), set(1, 3), noop(0x72), noop(0x71), set(2, 3), noop(0x72)].concat())]);
}

#[test]
fn an_injected_frame_waits_for_the_end_of_a_value_that_flows_by() {
    let big = set(1, WHOLE_LIMIT + 100);
    let mut play = Playbook::armed(|event| if is(event, Opcode::NOOP) { vec![inject(D, &noop(0x77))] } else { vec![] });
    play.feed(U, &big[..1000]).gives([write(D, &big[..1000])]);
    play.feed(D, noop(2)).gives([write(U, noop(2))]);
    let (last, rest) = (&big[big.len() - 1..], &big[1000..big.len() - 1]);
    play.feed(U, rest).gives([write(D, rest)]);
    play.feed(U, [last, &set(3, 5)].concat()).gives([write(D, [last, &noop(0x77), &set(3, 5)].concat())]);
}

#[test]
fn an_injected_frame_does_not_wait_for_a_value_of_the_other_direction() {
    let big = set(1, WHOLE_LIMIT + 100);
    let mut play = Playbook::armed(|event| if is(event, Opcode::NOOP) { vec![inject(U, &noop(0x77))] } else { vec![] });
    play.feed(U, &big[..1000]).gives([write(D, &big[..1000])]);
    play.feed(D, noop(2)).gives([write(U, [noop(2), noop(0x77)].concat())]);
}

#[test]
fn a_hold_that_begins_inside_a_frame_lets_it_end() {
    let big = set(1, WHOLE_LIMIT + 100);
    let mut play = Playbook::armed(|event| match event {
        Event::Frame { from, .. } if *from == D => {
            vec![Action::Hold { to: D, until: at(50) }, inject(D, &noop(0x77))]
        }
        _ => Vec::new(),
    });
    play.feed(U, &big[..1000]).gives([write(D, &big[..1000])]);
    play.feed(D, noop(2)).gives([write(U, noop(2)), wait(50)]);
    play.feed(U, &big[1000..]).gives([write(D, [&big[1000..], &noop(0x77)].concat())]);
    play.feed(U, set(3, 5)).gives_nothing();
    play.woken_at(50).gives([write(D, set(3, 5))]);
}

#[test]
fn an_injected_frame_does_not_wait_for_a_value_that_is_held() {
    let big = set(1, WHOLE_LIMIT + 100);
    let mut play = Playbook::armed(|event| match event {
        Event::Frame { from, .. } if *from == D => vec![inject(D, &noop(0x77))],
        Event::Frame { .. } => vec![Action::Hold { to: D, until: at(50) }, Action::Forward],
        _ => Vec::new(),
    });
    play.feed(U, &big[..1000]).gives([wait(50)]);
    play.feed(D, noop(2)).gives([write(U, noop(2)), write(D, noop(0x77))]);
    play.feed(U, &big[1000..2000]).gives_nothing();
    play.woken_at(50).gives([write(D, &big[..2000])]);
    play.feed(D, noop(3)).gives([write(U, noop(3))]);
    play.feed(U, &big[2000..]).gives([write(D, [&big[2000..], &noop(0x77)].concat())]);
}

#[test]
fn a_close_of_the_tools_own_waits_behind_what_is_held() {
    let mut play = Playbook::armed(|event| match event {
        Event::Frame { head, .. } if head.header.opcode == Opcode::NOOP => {
            vec![Action::Hold { to: U, until: at(10) }, Action::Forward, Action::Close { side: U, how: How::Fin }]
        }
        _ => Vec::new(),
    });
    play.feed(D, noop(1)).gives([wait(10)]);
    play.woken_at(10).gives([write(U, noop(1)), close(U, How::Fin)]);
}

#[test]
fn a_wakeup_that_came_too_early_is_asked_for_again() {
    let mut play = Playbook::armed_to_wake_at(30, |_| Vec::new());
    play.feed(D, noop(1)).gives([write(U, noop(1)), wait(30)]);
    play.feed(D, noop(2)).gives([write(U, noop(2))]);
    play.woken_at(29).gives([wait(30)]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Frames of both directions, holds and injections in any mixture: each end gets the frames of the other in order
    /// and whole, and the injected ones whole between them.
    #[test]
    fn any_mixture_of_holds_and_injections_keeps_frames_whole_and_in_order(
        lens in prop::collection::vec(prop_oneof![8 => 0..300_usize, 1 => WHOLE_LIMIT..WHOLE_LIMIT + 3000], 1..12),
        steps in prop::collection::vec((any::<bool>(), prop_oneof![1..100_usize, 1..WHOLE_LIMIT], 0..4_u8), 1..60),
        acts in prop::collection::vec(0..6_u8, 1..30),
    ) {
        let sent: Vec<_> = lens.iter().enumerate().map(|(n, &len)| set(n as u32, len)).collect();
        let stream = sent.concat();
        let (mut turn, mut time) = (0, 0);
        let mut play = Playbook::armed(move |event| {
            let Event::Frame { from, .. } = event else { return Vec::new() };
            turn += 1;
            time += 7;
            match acts[turn % acts.len()] {
                0 => vec![Action::Hold { to: *from, until: at(time + 20) }],
                1 => vec![Action::Hold { to: from.other(), until: at(time + 20) }, Action::Forward],
                2 => vec![inject(*from, &noop(0x77))],
                3 => vec![inject(from.other(), &noop(0x78)), inject(*from, &noop(0x77))],
                _ => Vec::new(),
            }
        });
        let (mut at_d, mut at_u) = (0, 0);
        let mut outputs = Vec::new();
        for (upstream, len, wake) in steps {
            let (from, offset) = if upstream { (U, &mut at_u) } else { (D, &mut at_d) };
            let end = (*offset + len).min(stream.len());
            outputs.extend(play.feed(from, &stream[*offset..end]).0);
            *offset = end;
            if wake == 0 {
                let ms = (play.now.0 - at(0).0) / 1_000_000 + 9;
                outputs.extend(play.woken_at(ms).0);
            }
        }
        outputs.extend(play.feed(U, &stream[at_u..]).0);
        outputs.extend(play.feed(D, &stream[at_d..]).0);
        outputs.extend(play.woken_at(100_000).0);
        for side in [D, U] {
            let got = frames(&bytes_to(&outputs, side));
            let of_peer: Vec<_> = got.iter().filter(|frame| frame[1] != Opcode::NOOP.0).cloned().collect();
            prop_assert!(of_peer == sent, "{} frames of {}", of_peer.len(), sent.len());
        }
    }
}
