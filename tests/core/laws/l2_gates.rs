//! L2 of what makes a direction wait, or changes what goes in it: each direction keeps its order, nothing is lost or invented,
//! nothing leaves before it is due, at a pace no more than it allows, and what waits is counted.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use dcproxy::engine::{Action, Event, FOR_EVER, Output, Pace, WHOLE_LIMIT};
use dcproxy::journal::How;
use dcproxy::wire::Opcode;
use proptest::prelude::*;

use super::book::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// At the SET with the opaque `n` that the dialler sends, the `n`th of these is done first.
fn at_sets<const N: usize>(acts: [Vec<Action>; N]) -> Playbook {
    Playbook::armed(move |event| match event {
        Event::Frame { from, head, .. } if *from == D && head.header.opcode == Opcode::SET => {
            acts.get(u32::from_be_bytes(head.header.opaque.0) as usize).cloned().unwrap_or_default()
        }
        _ => Vec::new(),
    })
}

const fn lag(by: Option<Duration>) -> Action {
    Action::Lag { to: U, by }
}

const fn pace(bytes: usize, every: u64) -> Action {
    Action::Pace { to: U, pace: Some(Pace { bytes, every: ms(every) }) }
}

/// The dialler says the SET with that opaque at a time.
fn says(play: &mut Playbook, time: u64, n: u32) -> Gave {
    play.now = at(time);
    play.feed(D, set(n, 3))
}

#[test]
fn what_lags_leaves_when_it_is_due_and_neither_sooner_nor_later() {
    let mut play = at_sets([vec![lag(Some(ms(10)))]]);
    says(&mut play, 0, 0).gives([wait(10)]);
    says(&mut play, 3, 1).gives_nothing();
    play.now = at(5);
    play.closed(D, How::Fin).gives_nothing();
    assert_eq!(play.engine.held(U), 2 * set(0, 3).len());
    play.woken_at(9).gives([wait(10)]);
    play.woken_at(10).gives([write(U, set(0, 3)), wait(13)]);
    play.woken_at(12).gives([wait(13)]);
    play.woken_at(13).gives([write(U, set(1, 3)), wait(15)]);
    play.woken_at(15).gives([close(U, How::Fin)]);
    assert_eq!(play.engine.held(U), 0);
    let told: Vec<_> = play.journal().iter().filter(|entry| entry.edge == U).map(|entry| entry.at).collect();
    assert_eq!(told, [at(10), at(13), at(15)], "the journal tells of it when it leaves");
}

#[test]
fn a_lag_that_grows_less_or_ends_lets_nothing_pass_what_waits() {
    let mut play = at_sets([vec![lag(Some(ms(10)))], vec![lag(Some(ms(2)))], vec![lag(None)]]);
    says(&mut play, 0, 0).whatever();
    says(&mut play, 1, 1).gives_nothing();
    says(&mut play, 2, 2).gives_nothing();
    play.woken_at(9).gives([wait(10)]);
    play.woken_at(10).gives([write(U, [set(0, 3), set(1, 3), set(2, 3)].concat())]);
    says(&mut play, 11, 3).gives([write(U, set(3, 3))]);
}

#[test]
fn a_lag_holds_up_neither_the_other_direction_nor_what_the_tool_says() {
    let mut play = Playbook::armed(|event| match event {
        Event::Frame { from, .. } if *from == D => vec![lag(Some(ms(10)))],
        Event::Frame { .. } => vec![inject(U, &noop(0x77))],
        _ => Vec::new(),
    });
    play.feed(D, set(1, 3)).gives([wait(10)]);
    play.feed(U, set(9, 3)).gives([write(D, set(9, 3)), write(U, noop(0x77))]);
    play.woken_at(10).gives([write(U, set(1, 3))]);
}

#[test]
fn at_a_pace_no_more_leaves_than_it_allows_and_all_of_it_does_in_order() {
    let sent = [set(0, 100), set(1, 0), set(2, 55)].concat();
    let mut play = at_sets([vec![pace(30, 10)]]);
    let mut got = play.feed(D, &sent).bytes(U);
    assert!(got.is_empty(), "it leaves when the engine is woken");
    play.closed(D, How::Fin).whatever();
    assert_eq!(play.engine.held(U), sent.len());
    for tick in 0..100 {
        let gave = play.woken_at(tick * 10);
        let piece = gave.bytes(U);
        assert_eq!(piece.len(), 30.min(sent.len() - got.len()), "at {tick}");
        got.extend(piece);
        assert_eq!(play.engine.held(U), sent.len() - got.len());
        if gave.0.contains(&close(U, How::Fin)) {
            break;
        }
        assert!(play.woken_at(tick * 10 + 9).bytes(U).is_empty(), "not before its time");
    }
    assert!(got == sent && play.engine.held(U) == 0);
}

#[test]
fn a_pace_that_ends_lets_all_go_that_waits() {
    let mut play = at_sets([vec![pace(10, 10)], vec![Action::Pace { to: U, pace: None }]]);
    let mut got = play.feed(D, set(0, 50)).bytes(U);
    got.extend(play.woken_at(0).bytes(U));
    assert_eq!(got.len(), 10);
    got.extend(play.feed(D, set(1, 3)).bytes(U));
    got.extend(play.woken_at(1).bytes(U));
    assert_eq!(got, [set(0, 50), set(1, 3)].concat());
    play.feed(D, set(3, 3)).gives([write(U, set(3, 3))]);
}

#[test]
fn what_is_held_for_ever_waits_for_its_release() {
    let hold = Action::Hold { to: U, until: FOR_EVER };
    let mut play = at_sets([vec![hold], vec![], vec![Action::Release { to: U }]]);
    says(&mut play, 0, 0).gives_nothing();
    says(&mut play, 1, 1).gives_nothing();
    play.woken_at(1_000_000).gives_nothing();
    says(&mut play, 1_000_001, 2).gives([wait(1_000_001)]);
    play.woken_at(1_000_001).gives([write(U, [set(0, 3), set(1, 3), set(2, 3)].concat())]);
    // A release where nothing is held is nothing.
    says(&mut play, 1_000_002, 2).gives([write(U, set(2, 3))]);
}

#[test]
fn what_takes_a_frames_place_waits_as_the_frame_would() {
    let hold = Action::Hold { to: U, until: at(50) };
    let mut play = at_sets([vec![hold], vec![Action::Replace(set(0x99, 7))]]);
    says(&mut play, 0, 0).gives([wait(50)]);
    says(&mut play, 1, 1).gives_nothing();
    says(&mut play, 2, 2).gives_nothing();
    play.woken_at(50).gives([write(U, [set(0, 3), set(0x99, 7), set(2, 3)].concat())]);
}

#[test]
fn what_is_appended_keeps_its_place_and_its_answer_goes_to_nobody() {
    let hold = Action::Hold { to: U, until: at(50) };
    let copy = Action::Append { to: U, frame: noop(5) };
    let mut play = Playbook::armed(move |event| match event {
        Event::Frame { from, .. } if *from == D && is(event, Opcode::SET) => vec![hold.clone()],
        Event::Frame { from, .. } if *from == D => vec![Action::Forward, copy.clone()],
        _ => Vec::new(),
    });
    play.feed(D, set(1, 3)).gives([wait(50)]);
    play.feed(D, [noop(5), noop(6)].concat()).gives_nothing();
    play.woken_at(50).gives([write(U, [set(1, 3), noop(5), noop(5), noop(6), noop(5)].concat())]);
    let told: Vec<_> = play.story().into_iter().filter(|line| line.contains("To Upstream: NOOP")).collect();
    let told: Vec<_> = told.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(told, ["Peer", "Tool", "Peer", "Tool"]);
    // Each request is answered once (law L3): the first answer is the dialler's.
    play.feed(U, ok(Opcode::NOOP, 5)).gives([write(D, ok(Opcode::NOOP, 5))]);
    play.feed(U, [ok(Opcode::NOOP, 5), ok(Opcode::NOOP, 6), ok(Opcode::NOOP, 5)].concat())
        .gives([write(D, ok(Opcode::NOOP, 6))]);
}

/// Follows what the engine wants until it wants nothing more.
fn run_out(play: &mut Playbook, outputs: &mut Vec<Output>) {
    for _ in 0..100_000 {
        let wanted = outputs.iter().rev().find_map(|output| match output {
            Output::Wait(at) => Some(*at),
            _ => None,
        });
        let Some(Some(wanted)) = wanted else { return };
        play.now = play.now.max(wanted);
        play.engine.wakeup(play.now);
        outputs.retain(|output| !matches!(output, Output::Wait(_)));
        outputs.push(Output::Wait(None));
        outputs.extend(std::iter::from_fn(|| play.engine.poll()));
    }
    panic!("it wants to be woken for ever");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Lags, paces, holds, releases, frames in the place of others, frames added and frames injected, in any mixture and with
    /// values that flow by: each end gets, in order, what was said or what took its place, and what was added behind it;
    /// the injected ones lie whole between. No more is held than was sent.
    #[test]
    fn any_mixture_keeps_the_order_and_every_byte(
        lens in prop::collection::vec(prop_oneof![8 => 0..300_usize, 1 => WHOLE_LIMIT..WHOLE_LIMIT + 3000], 1..12),
        steps in prop::collection::vec((any::<bool>(), prop_oneof![1..100_usize, 1..WHOLE_LIMIT], 0..4_u8), 1..60),
        acts in prop::collection::vec((0..12_u8, 0..40_u64), 1..30),
    ) {
        let sent: Vec<_> = lens.iter().enumerate().map(|(n, &len)| set(n as u32, len)).collect();
        let stream = sent.concat();
        let expected: Arc<Mutex<[Vec<Bytes>; 2]>> = Arc::default();
        let (told, originals) = (Arc::clone(&expected), sent.clone());
        let (mut turn, mut time) = (0, 0);
        let mut play = Playbook::armed(move |event| {
            let Event::Frame { from, frame, head, .. } = event else { return Vec::new() };
            let to = from.other();
            if head.header.opcode == Opcode::VERSION {
                // The last word of each end: what is in the way goes.
                return vec![
                    Action::Drop,
                    Action::Release { to },
                    Action::Pace { to, pace: None },
                    Action::Lag { to, by: None },
                ];
            }
            turn += 1;
            time += 7;
            let n = u32::from_be_bytes(head.header.opaque.0);
            let mut arrives = vec![originals[n as usize].clone()];
            let (act, much) = acts[turn % acts.len()];
            let actions = match act {
                0 => vec![Action::Hold { to, until: at(time + 20) }],
                1 => vec![Action::Hold { to: *from, until: FOR_EVER }, Action::Forward],
                2 => vec![Action::Release { to: *from }],
                3 => vec![lag_to(to, Some(ms(much)))],
                4 => vec![lag_to(to, None)],
                5 => vec![Action::Pace { to, pace: Some(Pace { bytes: 50 + much as usize * 500, every: ms(much / 8) }) }],
                6 => vec![Action::Pace { to, pace: None }],
                7 if frame.is_whole() => {
                    arrives[0] = set(n | 0x8000, much as usize);
                    vec![Action::Replace(arrives[0].clone())]
                }
                8 => {
                    arrives.push(noop(n | 0x4000));
                    vec![Action::Forward, Action::Append { to, frame: arrives[1].clone() }]
                }
                9 => vec![inject(*from, &noop(0x77))],
                10 => vec![inject(to, &noop(0x77)), Action::Forward, inject(*from, &noop(0x77))],
                _ => Vec::new(),
            };
            told.lock().unwrap()[usize::from(to == U)].extend(arrives);
            actions
        });
        let (mut at_d, mut at_u) = (0, 0);
        let mut outputs = Vec::new();
        for (upstream, len, wake) in steps {
            let (from, offset) = if upstream { (U, &mut at_u) } else { (D, &mut at_d) };
            let end = (*offset + len).min(stream.len());
            outputs.extend(play.feed(from, &stream[*offset..end]).0);
            *offset = end;
            prop_assert!(play.engine.held(from.other()) <= 2 * *offset + 100 * sent.len());
            if wake == 0 {
                let ms = (play.now.0 - at(0).0) / 1_000_000 + 9;
                outputs.extend(play.woken_at(ms).0);
            }
        }
        let version = dcproxy::wire::FrameBuilder::request(Opcode::VERSION).build();
        for (from, rest) in [(U, &stream[at_u..]), (D, &stream[at_d..])] {
            outputs.extend(play.feed(from, rest).0);
            outputs.extend(play.feed(from, &version).0);
        }
        // A hold of the other end's may have come after its last word.
        outputs.extend(play.feed(U, &version).0);
        run_out(&mut play, &mut outputs);
        for (side, expected) in [D, U].into_iter().zip(&*expected.lock().unwrap()) {
            let mut got = frames(&bytes_to(&outputs, side));
            got.retain(|frame| *frame != noop(0x77));
            prop_assert!(got == *expected, "{side:?}: {} frames of {}", got.len(), expected.len());
            prop_assert_eq!(play.engine.held(side), 0);
        }
    }
}

const fn lag_to(to: dcproxy::journal::Side, by: Option<Duration>) -> Action {
    Action::Lag { to, by }
}
