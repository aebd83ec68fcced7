//! L1: with nothing armed the bytes out are the bytes in, whatever they are, each chunk at once; the tool injects
//! nothing. Armed and always forwarding: the same bytes at the close at the latest, and the same journal, wherever the
//! bytes were cut.

use dcproxy::engine::{Output, WHOLE_LIMIT};
use dcproxy::journal::{Entry, How, Side, What};
use dcproxy::wire::{FrameBuilder, FramingError, MAX_FRAME_LEN, Opcode};
use proptest::prelude::*;
use serde_json::Value;

use super::book::*;

/// Every vector, malformed and unknown ones among them.
fn vectors() -> Vec<(String, Vec<u8>)> {
    let all: Value = serde_json::from_str(include_str!("../../data/vectors.json")).unwrap();
    let lists = ["vectors", "malformed", "unknown"].map(|list| all[list].as_array().unwrap().clone());
    assert!(lists.iter().all(|list| !list.is_empty()));
    let named = |v: &Value| (v["name"].as_str().unwrap().to_owned(), hex::decode(v["hex"].as_str().unwrap()).unwrap());
    lists.iter().flatten().map(named).collect()
}

/// A header that claims a body of that length.
fn claim(body_len: u32) -> Vec<u8> {
    let mut header = noop(0x77).to_vec();
    header[8..12].copy_from_slice(&body_len.to_be_bytes());
    header
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let all: Vec<Vec<u8>> = vectors().into_iter().map(|(_, bytes)| bytes).collect();
    let limit = WHOLE_LIMIT as u32;
    prop_oneof![
        8 => prop::sample::select(all.clone()),
        2 => (prop::sample::select(all), any::<prop::sample::Index>()).prop_map(|(mut bytes, at)| {
            bytes.truncate(at.index(bytes.len()));
            bytes
        }),
        4 => (prop::sample::select(vec![0x80_u8, 0x81, 0x08, 0x18, 0x82, 0x83]), any::<u8>(), 0..600_usize).prop_map(
            |(magic, opcode, len)| {
                let mut bytes = FrameBuilder::request(Opcode(opcode)).value(vec![magic; len]).build().to_vec();
                bytes[0] = magic;
                bytes
            }
        ),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => (0_u8.., 0_usize..100).prop_map(|(magic, len)| vec![magic; len]),
        1 => (0_usize..3).prop_map(|over| set(5, WHOLE_LIMIT - 34 + over).to_vec()),
        1 => (1_usize..100_000).prop_map(|over| set(6, WHOLE_LIMIT + over).to_vec()),
        1 => prop::sample::select(vec![limit, MAX_FRAME_LEN as u32 - 24, MAX_FRAME_LEN as u32 - 23, u32::MAX])
            .prop_map(claim),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 0..8).prop_map(|pieces| pieces.concat())
}

/// Chunks of two directions as they are read, in turns.
fn chunks() -> impl Strategy<Value = Vec<(Side, Vec<u8>)>> {
    let cuts = || prop::collection::vec(prop_oneof![3 => 1..40_usize, 1 => 1..70_000_usize], 1..12);
    (stream(), stream(), cuts(), cuts(), prop::collection::vec(any::<bool>(), 1..20)).prop_map(
        |(d, u, cuts_d, cuts_u, turns)| {
            let mut queues = [(D, cut(&d, &cuts_d)), (U, cut(&u, &cuts_u))];
            queues.iter_mut().for_each(|(_, queue)| queue.reverse());
            let mut all = Vec::new();
            for turn in turns.into_iter().cycle() {
                let (side, queue) = &mut queues[usize::from(turn)];
                all.extend(queue.pop().map(|chunk| (*side, chunk)));
                if queues.iter().all(|(_, queue)| queue.is_empty()) {
                    break;
                }
                if queues[usize::from(turn)].1.is_empty() {
                    let (side, queue) = &mut queues[usize::from(!turn)];
                    all.extend(queue.pop().map(|chunk| (*side, chunk)));
                }
            }
            all
        },
    )
}

/// Cuts bytes into chunks of these lengths, over and over.
fn cut(mut bytes: &[u8], lens: &[usize]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    // Large values are not cut into so many pieces that the test takes minutes.
    let least = bytes.len() / 200;
    for len in lens.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (chunk, rest) = bytes.split_at((*len).max(least).min(bytes.len()));
        all.push(chunk.to_vec());
        bytes = rest;
    }
    all
}

/// What came out for each side, and the journal.
fn run(play: &mut Playbook, chunks: &[(Side, Vec<u8>)]) -> ([Vec<u8>; 2], Vec<Entry>) {
    let mut outputs = Vec::new();
    for (from, chunk) in chunks {
        outputs.extend(play.feed(*from, chunk).0);
    }
    for from in [D, U] {
        outputs.extend(play.closed(from, How::Fin).0);
    }
    ([bytes_to(&outputs, D), bytes_to(&outputs, U)], play.journal().to_vec())
}

fn all_of(chunks: &[(Side, Vec<u8>)], from: Side) -> Vec<u8> {
    chunks.iter().filter(|(side, _)| *side == from).flat_map(|(_, chunk)| chunk.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn with_nothing_armed_each_chunk_leaves_at_once_and_nothing_else_does(chunks in chunks()) {
        let mut play = Playbook::passive();
        for (from, chunk) in &chunks {
            let gave = play.feed(*from, chunk);
            prop_assert_eq!(&gave.0, &[write(from.other(), chunk)]);
        }
        prop_assert_eq!(play.closed(D, How::Fin).0, [close(U, How::Fin)]);
        prop_assert_eq!(play.closed(U, How::Reset).0, [close(D, How::Reset)]);
    }

    #[test]
    fn an_interceptor_that_forwards_changes_no_byte_and_no_entry(chunks in chunks()) {
        let (bytes, journal) = run(&mut Playbook::passive(), &chunks);
        prop_assert!(bytes[0] == all_of(&chunks, U) && bytes[1] == all_of(&chunks, D));
        let (armed_bytes, armed_journal) = run(&mut Playbook::forwarding(), &chunks);
        prop_assert!(armed_bytes == bytes);
        prop_assert_eq!(&armed_journal, &journal);

        // One direction alone: how two interleave, and so what the one is known to have said before the other, depends
        // on when their bytes come.
        for from in [D, U] {
            let cut: Vec<_> = chunks.iter().filter(|(side, _)| *side == from).cloned().collect();
            let whole = run(&mut Playbook::passive(), &[(from, all_of(&chunks, from))]);
            prop_assert_eq!(&run(&mut Playbook::passive(), &cut).1, &whole.1);
            prop_assert_eq!(&run(&mut Playbook::forwarding(), &cut).1, &whole.1);
        }
    }
}

#[test]
fn one_byte_at_a_time_gives_the_same_bytes_and_the_same_journal() {
    for (name, bytes) in vectors() {
        let stream = [noop(1).as_ref(), &bytes, &bytes, &noop(2)].concat();
        let whole = run(&mut Playbook::passive(), &[(U, stream.clone())]);
        assert_eq!(whole.0[0], stream, "{name}");
        let single: Vec<_> = stream.iter().map(|&byte| (U, vec![byte])).collect();
        for mut play in [Playbook::passive(), Playbook::forwarding()] {
            let found = run(&mut play, &single);
            assert_eq!(found.0, whole.0, "{name}");
            assert_eq!(found.1, whole.1, "{name}");
        }
    }
}

#[test]
fn a_frame_beyond_the_limit_one_byte_at_a_time() {
    let stream = [set(1, WHOLE_LIMIT + 5), noop(2)].concat();
    let whole = run(&mut Playbook::passive(), &[(D, stream.clone())]);
    let single: Vec<_> = stream.iter().map(|&byte| (D, vec![byte])).collect();
    let found = run(&mut Playbook::forwarding(), &single);
    assert!(found.0[1] == stream);
    assert_eq!(found.1, whole.1);
    assert_eq!(found.1.len(), 2 * 2 + 2 * 2, "two frames and two closes, at two edges");
}

#[test]
fn the_rest_of_a_frame_is_not_waited_for() {
    let frame = set(1, 100);
    let mut play = Playbook::passive();
    play.feed(D, &frame[..1]).gives([write(U, &frame[..1])]);
    play.feed(D, &frame[1..30]).gives([write(U, &frame[1..30])]);
    assert!(play.journal().is_empty(), "half a frame says nothing yet");
    play.feed(D, &frame[30..]).gives([write(U, &frame[30..])]);
    assert_eq!(play.story().len(), 2);
}

#[test]
fn each_direction_loses_its_own_framing() {
    for mut play in [Playbook::passive(), Playbook::forwarding()] {
        play.feed(D, [0x79; 30]).gives([write(U, [0x79; 30])]);
        play.feed(D, [0x80; 30]).gives([write(U, [0x80; 30])]);
        play.feed(U, noop(1)).gives([write(D, noop(1))]);
        play.feed(U, [0x22; 3]).gives([write(D, [0x22; 3])]);
        assert_eq!(lost(&mut play, D), ["Peer From 0x79", "Peer To 0x22"]);
        assert_eq!(lost(&mut play, U), ["Peer To 0x79", "Peer From 0x22"]);
    }
}

/// Who lost framing at an edge, and at which byte.
fn lost(play: &mut Playbook, edge: Side) -> Vec<String> {
    let of_edge = play.journal().iter().filter(|entry| entry.edge == edge);
    let lost = |entry: &Entry| match &entry.what {
        What::FramingLost(FramingError::Magic(magic)) => {
            Some(format!("{:?} {:?} {magic}", entry.origin, entry.direction))
        }
        _ => None,
    };
    of_edge.filter_map(lost).collect()
}

#[test]
fn a_relayed_run_is_one_write_that_is_not_copied() {
    let chunk = bytes::Bytes::from([noop(1), noop(2), set(3, 50), noop(4)].concat());
    let mut play = Playbook::forwarding();
    play.engine.feed(D, chunk.clone(), at(0));
    let Some(Output::Write { to: U, bytes }) = play.engine.poll() else { panic!("a write") };
    assert_eq!((bytes.as_ptr(), bytes.len()), (chunk.as_ptr(), chunk.len()));
    assert_eq!(play.engine.poll(), None);
}
