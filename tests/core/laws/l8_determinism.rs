//! L8: the same seed and the same input give the same outputs and the same journal.

use dcproxy::engine::{Action, Event, Output};
use dcproxy::journal::How;
use dcproxy::wire::{FrameBuilder, Opcode};

use super::book::*;

/// Everything that an engine did, to be compared.
fn all_that_happened(key_seed: u64) -> (Vec<Output>, Vec<String>) {
    let act = |event: &Event<'_>| match event {
        Event::Frame { from, head, .. } if head.header.opcode == Opcode::NOOP => vec![
            Action::Hold { to: from.other(), until: at(3) },
            inject(*from, &noop(0x70)),
            inject(from.other(), &noop(0x71)),
        ],
        _ => Vec::new(),
    };
    let mut play = Playbook::armed_with_seed(key_seed, act);
    let mut outputs = Vec::new();
    let document = FrameBuilder::request(Opcode::DCP_MUTATION).extras([1; 31]).key("key").value("value").build();
    for n in 0..50_u32 {
        let from = if n % 3 == 0 { U } else { D };
        let bytes = [noop(n).as_ref(), &document, &set(n, n as usize * 31)].concat();
        for chunk in bytes.chunks(1 + n as usize % 41) {
            outputs.extend(play.feed(from, chunk).0);
        }
        outputs.extend(play.woken_at(u64::from(n)).0);
    }
    outputs.extend(play.closed(U, How::Fin).0);
    outputs.extend(play.closed(D, How::Reset).0);
    (outputs, play.journal().iter().map(|entry| format!("{entry:?}")).collect())
}

#[test]
fn the_same_seed_and_input_give_the_same_outputs_and_journal() {
    let (first, second) = (all_that_happened(7), all_that_happened(7));
    assert!(first.0 == second.0);
    assert_eq!(first.1, second.1);
    assert!(first.0.len() > 50 && first.1.len() > 200, "{} outputs, {} entries", first.0.len(), first.1.len());
}

#[test]
fn another_seed_hashes_keys_otherwise_and_changes_nothing_else() {
    let (first, other) = (all_that_happened(7), all_that_happened(8));
    assert!(first.0 == other.0);
    assert_ne!(first.1, other.1);
    let blank = |journal: &[String]| {
        let of = |line: &String| line.split("key_hash").next().unwrap().to_owned();
        journal.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(blank(&first.1), blank(&other.1));
}

#[test]
fn time_is_what_it_is_told() {
    let mut play = Playbook::forwarding();
    play.now = at(5);
    play.feed(D, noop(1)).whatever();
    play.now = at(3);
    play.feed(D, noop(2)).whatever();
    let times: Vec<_> = play.journal().iter().map(|entry| entry.at).collect();
    assert_eq!(times, [at(5), at(5), at(3), at(3)]);
}
