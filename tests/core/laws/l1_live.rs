//! L1 to L3 where an interceptor and gates come and go while the bytes flow: at any byte of a frame no byte is lost, told
//! twice or overtaken, a frame of which a part has left goes on, nothing lands inside it, and what the tool asked is answered
//! to nobody else, though it has been let go.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use dcproxy::engine::{Action, Actions, Event, Gate, Output, Pace, WHOLE_LIMIT};
use dcproxy::journal::{Direction, How, Side, What};
use dcproxy::wire::Opcode;

use super::book::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const LATENCY: Gate = Gate::Latency { latency: ms(10), jitter: Duration::ZERO };

/// Frames of three kinds, a long one, and bytes behind which nothing is a frame.
fn streams() -> [Vec<u8>; 3] {
    let frames = [set(1, 9), noop(2), set(3, 40), noop(4)].concat();
    [frames.clone(), [&frames[..], &[0x99; 20]].concat(), [&frames[..], &set(5, 9)[..20]].concat()]
}

#[test]
fn armed_and_let_go_at_any_byte_all_bytes_go_on_once() {
    for stream in streams() {
        for armed in 0..stream.len() {
            for span in [0, 1, 2, 5, 23, 24, 25, 60, 200] {
                let mut play = Playbook::passive();
                let mut got = Vec::new();
                for (at, byte) in stream.iter().enumerate() {
                    if at == armed {
                        play.arm(|_| Vec::new()).gives_nothing();
                    }
                    if at == armed + span {
                        got.extend(play.let_go().bytes(U));
                        assert!(got == stream[..at], "what waited for its frame leaves at once");
                    }
                    got.extend(play.feed(D, [*byte]).bytes(U));
                    if !(armed..armed + span).contains(&at) {
                        assert!(got == stream[..=at], "armed at {armed}, let go at {}, at {at}", armed + span);
                    }
                }
                got.extend(play.closed(D, How::Fin).bytes(U));
                assert!(got == stream, "armed at {armed} for {span}");
                let mut never = Playbook::passive();
                never.feed(D, &stream).whatever();
                never.closed(D, How::Fin).whatever();
                assert_eq!(play.story(), never.story(), "armed at {armed} for {span}");
            }
        }
    }
}

#[test]
fn a_frame_of_which_a_part_has_left_is_shown_to_nobody_and_the_next_one_is() {
    let stream = [set(1, 9), set(2, 9), set(3, 9)].concat();
    let len = set(1, 9).len();
    for armed in 1..2 * len {
        let mut play = Playbook::passive();
        play.feed(D, &stream[..armed]).gives([write(U, &stream[..armed])]);
        play.arm(|event| if matches!(event, Event::Frame { .. }) { vec![Action::Drop] } else { vec![] })
            .gives_nothing();
        let rest = armed.div_ceil(len) * len;
        let got = play.feed(D, &stream[armed..]).bytes(U);
        assert!(got == stream[armed..rest], "armed at {armed}");
    }
}

#[test]
fn nothing_lands_inside_a_frame_of_which_a_part_has_left() {
    for frame in [set(1, 90), set(1, WHOLE_LIMIT + 90)] {
        for (len, gates) in [1, 24, 40, frame.len() - 1].into_iter().flat_map(|len| [(len, false), (len, true)]) {
            let mut play = Playbook::passive();
            let mut got = play.feed(D, &frame[..len]).bytes(U);
            play.arm(|event| match event {
                Event::Frame { from: U, .. } => vec![inject(U, &noop(0x77))],
                _ => Vec::new(),
            })
            .gives_nothing();
            if gates {
                play.gates(U, &[LATENCY]).gives_nothing();
            }
            got.extend(play.feed(U, noop(5)).bytes(U));
            got.extend(play.feed(D, &frame[len..]).bytes(U));
            assert!(gates || got.len() == frame.len() + noop(0).len());
            got.extend(play.feed(D, set(2, 3)).bytes(U));
            if gates {
                assert_eq!(got.len(), len, "what comes behind the gate waits");
                for _ in 0..3 {
                    got.extend(play.woken_at(10).bytes(U));
                }
            }
            let expected: Vec<_> = [&frame[..], &noop(0x77), &set(2, 3)].concat();
            assert!(got == expected, "{len} of {} bytes, gates: {gates}", frame.len());
            let told = play.story();
            let told: Vec<_> = told.iter().filter(|line| line.contains("To Upstream")).map(|line| &line[..4]).collect();
            assert_eq!(told, ["Peer", "Tool", "Peer"]);
        }
    }
}

#[test]
fn an_answer_that_comes_once_the_asker_is_gone_is_withheld() {
    let mut play = Playbook::passive();
    play.arm(|event| if matches!(event, Event::Frame { from: D, .. }) { vec![inject(U, &noop(0x77))] } else { vec![] })
        .gives_nothing();
    play.feed(D, set(1, 3)).whatever();
    play.let_go().gives_nothing();
    let (answer, own) = (ok(Opcode::NOOP, 0x77), set(7, 5));
    // The way on which the answer comes waits for frames until it has; the other flows already.
    play.feed(D, &set(2, 3)[..5]).gives([write(U, &set(2, 3)[..5])]);
    play.feed(U, &own[..9]).gives_nothing();
    play.feed(U, &own[9..]).gives([write(D, &own)]);
    play.feed(U, [&answer[..], &own[..9]].concat()).gives([write(D, &own[..9])]);
    play.feed(U, &own[9..10]).gives([write(D, &own[9..10])]);
}

#[test]
fn bytes_do_not_wait_for_a_refusal_that_may_never_come() {
    let ack = dcproxy::wire::FrameBuilder::request(Opcode::DCP_BUFFER_ACK).extras([0; 4]).opaque(op(0x77)).build();
    let mut play = Playbook::armed(move |event| match event {
        Event::Frame { from: D, .. } => vec![inject(U, &ack)],
        _ => vec![],
    });
    play.feed(D, set(1, 3)).whatever();
    play.let_go().gives_nothing();
    let Some(Output::Wait(Some(at))) = play.feed(U, &set(7, 5)[..9]).0.pop() else { panic!("it wants to be woken") };
    play.engine.wakeup(at);
    assert_eq!(play.engine.poll(), Some(write(D, &set(7, 5)[..9])));
}

#[test]
fn what_was_held_leaves_when_the_holder_goes() {
    for gone in [true, false] {
        let mut play = Playbook::armed(|event| match event {
            Event::Frame { from: D, .. } => vec![
                Action::Lag { to: U, by: Some(ms(5)) },
                Action::Pace { to: U, pace: Some(Pace { bytes: 1, every: ms(1000) }) },
                Action::Hold { to: U, until: dcproxy::engine::FOR_EVER },
            ],
            _ => vec![],
        });
        play.feed(D, set(1, 3)).gives_nothing();
        if gone { play.let_go() } else { play.arm(|_| Vec::new()) }.gives([wait(5)]);
        play.feed(D, set(2, 3)).gives_nothing();
        play.woken_at(5).gives([write(U, [set(1, 3), set(2, 3)].concat())]);
        play.feed(D, set(3, 3)).gives([write(U, set(3, 3))]);
    }
}

/// What one end says, and what the other is to hear of it.
#[derive(Debug, Default)]
struct Talk {
    says: VecDeque<Bytes>,
    /// Of the frame that is being said.
    rest: Bytes,
    /// Answers to what the tool asked, to be said at the end of a frame.
    answers: VecDeque<Bytes>,
    said: Vec<Bytes>,
    /// All that its peer has written to it.
    heard: Vec<u8>,
    /// Frames in it that have been looked at for questions.
    seen: usize,
}

impl Talk {
    fn next(&mut self, most: usize, dice: &mut fastrand::Rng) -> Bytes {
        if self.rest.is_empty() {
            let answer = if dice.bool() { self.answers.pop_front() } else { None };
            let next = answer.or_else(|| self.says.pop_front()).or_else(|| self.answers.pop_front());
            self.rest = next.unwrap_or_default();
            if !self.rest.is_empty() {
                self.said.push(self.rest.clone());
            }
        }
        self.rest.split_to(most.min(self.rest.len()))
    }

    fn is_over(&self) -> bool {
        self.rest.is_empty() && self.says.is_empty() && self.answers.is_empty()
    }

    /// Whole frames that were heard.
    fn frames(&self) -> Vec<Bytes> {
        let mut bytes = &self.heard[..];
        let mut all = Vec::new();
        while let Ok(header) = dcproxy::wire::Header::parse_slice(bytes) {
            let len = usize::try_from(header.frame_len()).unwrap();
            let Some((frame, rest)) = bytes.split_at_checked(len) else { break };
            all.push(Bytes::copy_from_slice(frame));
            bytes = rest;
        }
        all
    }
}

const ASKED: u32 = 0x7700_0000;

/// Forwards, holds, lags, paces, drops and asks, as the dice say; what it drops, it says.
fn meddler(mut dice: fastrand::Rng, dropped: Arc<Mutex<Vec<Bytes>>>) -> impl FnMut(&Event<'_>) -> Actions + Send {
    let mut asked = 0;
    let mut time = 0;
    move |event| {
        let Event::Frame { from, frame, .. } = event else { return Vec::new() };
        time += 3;
        let to = from.other();
        match dice.u8(0..16) {
            0 => vec![Action::Hold { to, until: at(time + 20) }],
            1 => vec![Action::Hold { to: *from, until: dcproxy::engine::FOR_EVER }, Action::Forward],
            2 => vec![Action::Release { to: *from }],
            3 => vec![Action::Lag { to, by: Some(ms(dice.u64(0..30))) }],
            4 => vec![Action::Pace { to, pace: Some(Pace { bytes: dice.usize(1..5000), every: ms(dice.u64(0..4)) }) }],
            5 => vec![Action::Pace { to, pace: None }, Action::Lag { to, by: None }],
            6 if frame.is_whole() => {
                dropped.lock().unwrap().push(Bytes::copy_from_slice(frame.bytes()));
                vec![Action::Drop]
            }
            7..10 => {
                asked += 1;
                let side = if dice.bool() { D } else { U };
                vec![Action::Forward, inject(side, &noop(ASKED | dice.u32(0..0xffff) << 8 | asked))]
            }
            _ => Vec::new(),
        }
    }
}

fn some_gates(dice: &mut fastrand::Rng) -> Vec<Gate> {
    let some = |dice: &mut fastrand::Rng| match dice.u8(0..4) {
        0 => Gate::Latency { latency: ms(dice.u64(0..30)), jitter: ms(dice.u64(0..20)) },
        1 => Gate::Bandwidth { rate: dice.u64(20_000..2_000_000) },
        2 => Gate::Slicer {
            average_size: dice.u64(1..3000),
            size_variation: dice.u64(0..100),
            delay: Duration::from_micros(dice.u64(0..300)),
        },
        _ => Gate::SlowClose { delay: ms(dice.u64(0..20)) },
    };
    (0..dice.usize(0..4)).map(|_| some(dice)).collect()
}

fn mixture(seed: u64) {
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut play = Playbook::passive();
    let dropped: Arc<Mutex<Vec<Bytes>>> = Arc::default();
    let most = *dice.choice(&[1, 7, 100, 4000]).unwrap();
    let mut talks: [Talk; 2] = std::array::from_fn(|side| {
        let says = (0..dice.u32(1..25)).map(|n| {
            let long = most == 4000 && dice.u8(0..12) == 0;
            let len = if long { WHOLE_LIMIT + dice.usize(0..3000) } else { dice.usize(0..200) };
            set(n << 1 | side as u32, len)
        });
        Talk { says: says.collect(), ..Talk::default() }
    });
    let mut wanted = None;
    let mut time = 0;
    let mut calm = 0;
    while calm < 200 {
        let mut outputs = Vec::new();
        play.now = at(0) + Duration::from_micros(time);
        let side = if dice.bool() { D } else { U };
        let is_over = talks.iter().all(Talk::is_over);
        if is_over {
            calm += 1;
        }
        match dice.u8(0..24) {
            0 if !is_over => outputs = play.arm(meddler(dice.fork(), Arc::clone(&dropped))).0,
            1 => outputs = play.let_go().0,
            2 => outputs = play.gates(side, &if is_over { Vec::new() } else { some_gates(&mut dice) }).0,
            3..12 => {
                time = wanted.map_or(time + 50, |wanted: dcproxy::Timestamp| {
                    time.max(wanted.since(at(0)).as_micros() as u64 + 1)
                });
                outputs = play.woken_at(0).0;
                play.now = at(0) + Duration::from_micros(time);
                play.engine.wakeup(play.now);
                outputs.extend(std::iter::from_fn(|| play.engine.poll()));
            }
            _ => {
                let len = dice.usize(1..=most);
                let bytes = talks[usize::from(side == U)].next(len, &mut dice);
                if !bytes.is_empty() {
                    outputs = play.feed(side, bytes).0;
                }
                time += dice.u64(0..50);
            }
        }
        if is_over && calm % 50 == 40 {
            outputs.extend(play.let_go().0);
            outputs.extend(play.gates(D, &[]).0);
            outputs.extend(play.gates(U, &[]).0);
        }
        for output in &outputs {
            if let Output::Wait(at) = output {
                wanted = *at;
            }
        }
        check(seed, &mut play, &mut talks, &outputs);
        if !talks.iter().all(Talk::is_over) {
            calm = 0;
        }
    }
    let dropped = dropped.lock().unwrap();
    for (from, to) in [(0, 1), (1, 0)] {
        let mut expected = talks[from].said.clone();
        expected.retain(|frame| frame[1] != Opcode::NOOP.0 && !dropped.contains(frame));
        let mut heard = frames(&talks[to].heard);
        heard.retain(|frame| frame[1] != Opcode::NOOP.0);
        assert!(heard == expected, "seed {seed}: {} frames of {} heard", heard.len(), expected.len());
    }
    assert_eq!((play.engine.held(D), play.engine.held(U)), (0, 0), "seed {seed}");
}

/// The journal tells of a frame's delivery when its last byte is written, and of the tool's words likewise; what the tool
/// asked is answered.
fn check(seed: u64, play: &mut Playbook, talks: &mut [Talk; 2], outputs: &[Output]) {
    for (at, side) in [D, U].into_iter().enumerate() {
        let talk = &mut talks[at];
        let more = bytes_to(outputs, side);
        if more.is_empty() {
            continue;
        }
        talk.heard.extend(more);
        let heard = talk.frames();
        for frame in heard.iter().skip(talk.seen).filter(|frame| frame[1] == Opcode::NOOP.0) {
            assert_eq!(frame[0], 0x80, "seed {seed}: an answer to the tool has reached {side:?}");
            let opaque = u32::from_be_bytes(frame[12..16].try_into().unwrap());
            assert!(opaque & ASKED == ASKED && frame.len() == 24, "seed {seed}: it lies whole between frames");
            talk.answers.push_back(ok(Opcode::NOOP, opaque));
        }
        talk.seen = heard.len();
        assert_eq!(told(play, side), heard.len() + is_long_head(talk), "seed {seed}: entries of frames to {side:?}");
    }
}

/// A frame that is longer than is looked at whole is told of once its head has left.
fn is_long_head(talk: &Talk) -> usize {
    let whole: usize = talk.frames().iter().map(Bytes::len).sum();
    let rest = &talk.heard[whole..];
    let header = dcproxy::wire::Header::parse_slice(rest);
    usize::from(header.is_ok_and(|header| header.frame_len() > WHOLE_LIMIT as u64 && rest.len() >= header.head_len()))
}

fn told(play: &mut Playbook, edge: Side) -> usize {
    let told = play.journal().iter().filter(|entry| entry.edge == edge && entry.direction == Direction::To);
    told.filter(|entry| matches!(entry.what, What::Frame(_))).count()
}

#[test]
fn any_sequence_of_arming_letting_go_and_gates_keeps_every_byte_and_the_journal_right() {
    (0..400).for_each(mixture);
}
