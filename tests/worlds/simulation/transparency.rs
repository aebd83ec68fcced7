//! Laws L1, L2, L4 and L8 between two ends that say anything: with nothing armed, and with an interceptor that forwards all
//! it sees, or holds it for a while.

use std::time::Duration;

use dcproxy::Timestamp;
use dcproxy::engine::Action;
use dcproxy::engine::Actions;
use dcproxy::engine::Engine;
use dcproxy::engine::Event;
use dcproxy::engine::Interceptor;
use dcproxy::engine::Observer;
use dcproxy::engine::Sessions;
use dcproxy::engine::WHOLE_LIMIT;
use dcproxy::journal::Entry;
use dcproxy::journal::How;
use dcproxy::journal::Side;
use dcproxy::session::Context;
use dcproxy::session::Session;

use super::babbler::Babbler;
use super::babbler::LONG;
use super::dice::Dice;
use super::dice::seeds;
use super::world::Manner;
use super::world::QUEUE;
use super::world::READ;
use super::world::World;

const SEEDS: u64 = 2_000;
const LONGEST: usize = 40_000;

/// What sits in the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Armed {
    Nothing,
    /// Looks at each frame, and forwards it.
    Forwarding,
    /// Holds what goes to an end, now and then.
    Holding,
}

const ALL: [Armed; 3] = [Armed::Nothing, Armed::Forwarding, Armed::Holding];

struct Forwarder {
    dice: Dice,
    holds: bool,
}

impl Interceptor for Forwarder {
    fn on_event(&mut self, event: &Event<'_>, _: &Sessions, now: Timestamp) -> Actions {
        let mut actions = Vec::new();
        if self.holds && matches!(event, Event::Frame { .. } | Event::Raw { .. }) && self.dice.once_in(10) {
            let to = *self.dice.pick(&[Side::Dialler, Side::Upstream]);
            let micros = if self.dice.once_in(8) { self.dice.of(1..50_000) } else { self.dice.of(1..500) };
            actions.push(Action::Hold { to, until: now + Duration::from_micros(micros) });
        }
        if self.dice.once_in(2) {
            actions.push(Action::Forward);
        }
        actions
    }

    fn wakeup(&self) -> Option<Timestamp> {
        None
    }

    fn is_settled(&self) -> bool {
        true
    }
}

/// Counts what the journal is told.
#[derive(Default)]
struct Counter(u64);

impl Observer for Counter {
    fn observe(&mut self, _: &Entry, _: &Context, _: &Session) {
        self.0 += 1;
    }
}

#[derive(PartialEq, Debug)]
struct Run {
    dialler: (Vec<u8>, Vec<u8>, Vec<How>, Option<How>),
    upstream: (Vec<u8>, Vec<u8>, Vec<How>, Option<How>),
    most_waiting: usize,
    moves: u64,
    entries: u64,
    over: bool,
}

fn run(seed: u64, armed: Armed, deaf: Option<Side>) -> Run {
    let mut dice = Dice::new(seed);
    let manner = Manner { deaf, ..Manner::any(&mut dice) };
    let longest = match manner.cut {
        ..24 => LONGEST / 10,
        READ => LONGEST * 10,
        _ => LONGEST,
    };
    let mut dialler = Babbler::new(Dice::new(dice.next()), longest);
    let mut upstream = Babbler::new(Dice::new(dice.next()), longest);
    // Where an interceptor looks at each frame, the last one waits for its rest or for the end.
    if armed != Armed::Nothing && upstream.ends.is_none() {
        dialler.ends.get_or_insert(How::Fin);
    }
    let interceptor: Option<Box<dyn Interceptor>> = match armed {
        Armed::Nothing => None,
        Armed::Forwarding | Armed::Holding => {
            Some(Box::new(Forwarder { dice: Dice::new(dice.next()), holds: armed == Armed::Holding }))
        }
    };
    let mut world = World::new(Engine::new(interceptor, Counter::default(), seed), manner, dice);
    assert!(world.run(&mut dialler, &mut upstream, |_| false), "seed {seed}: it never came to rest");
    let over = world.is_over();
    let entries = world.engine.observed().0.0;
    let told = |end: Babbler| (end.says, end.heard, end.heard_end, end.ended);
    let (most_waiting, moves) = (world.most_waiting, world.moves);
    Run { dialler: told(dialler), upstream: told(upstream), most_waiting, moves, entries, over }
}

/// L1, L4: the bytes out are the bytes in, and how a direction ended crosses as it was.
#[test]
fn what_is_said_is_heard_byte_for_byte_and_so_is_its_end() {
    for (seed, armed) in seeds(SEEDS).zip(ALL.into_iter().cycle()) {
        let run = run(seed, armed, None);
        let resets = [run.dialler.3, run.upstream.3].contains(&Some(How::Reset));
        for ((says, _, _, ended), (_, heard, heard_end, _)) in
            [(&run.dialler, &run.upstream), (&run.upstream, &run.dialler)]
        {
            assert!(
                says.starts_with(heard),
                "seed {seed}, {armed:?}: {} of {} bytes, and others",
                heard.len(),
                says.len()
            );
            if !resets {
                assert_eq!(heard.len(), says.len(), "seed {seed}, {armed:?}: bytes lost");
                assert_eq!(
                    heard_end.as_slice(),
                    ended.as_slice(),
                    "seed {seed}, {armed:?}: the end is not what it was"
                );
            }
        }
        // An end that resets takes no more; its own reset comes last of what it said, and whole.
        if let (Some(How::Reset), true) = (run.dialler.3, run.upstream.3 == Some(How::Fin)) {
            assert_eq!(run.upstream.2.last(), Some(&How::Reset), "seed {seed}, {armed:?}: the reset was not heard");
        }
    }
}

/// L4: what waits for a slow end is bounded, whatever the other says.
#[test]
fn what_waits_for_an_end_is_bounded() {
    for armed in ALL {
        let waited: Vec<usize> = seeds(SEEDS / 8).map(|seed| run(seed, armed, None).most_waiting).collect();
        let most = waited.iter().max().copied().unwrap_or_default();
        assert!(most > QUEUE, "{armed:?}: no run has filled a queue: {most}");
        // Where each frame is looked at, it goes on when it is whole, all at once.
        assert!(most <= QUEUE + READ + WHOLE_LIMIT, "{armed:?}: {most} bytes waited for an end");
        let over = waited.iter().filter(|waited| **waited > QUEUE + READ + LONG).count();
        assert!(over <= waited.len() / 20, "{armed:?}: more than {} bytes waited in {over} runs", QUEUE + READ + LONG);
    }
}

/// L2: an end that does not read does not stop what it says.
#[test]
fn the_directions_do_not_block_each_other() {
    for (seed, armed) in seeds(SEEDS / 4).zip(ALL.into_iter().cycle()) {
        for deaf in [Side::Dialler, Side::Upstream] {
            let run = run(seed, armed, Some(deaf));
            let (deaf_end, other) = match deaf {
                Side::Dialler => (&run.dialler, &run.upstream),
                Side::Upstream => (&run.upstream, &run.dialler),
            };
            if other.3 != Some(How::Reset) && deaf_end.3.is_some() {
                assert_eq!(
                    other.1.len(),
                    deaf_end.0.len(),
                    "seed {seed}, {armed:?}: {deaf:?} does not read, nor is it heard"
                );
            }
            assert!(deaf_end.1.is_empty(), "seed {seed}: a deaf end heard");
        }
    }
}

/// L8: the same seed gives the same run, to the number of moves and of journal entries.
#[test]
fn a_seed_repeats_its_run() {
    for (seed, armed) in seeds(SEEDS / 20).zip(ALL.into_iter().cycle()) {
        assert_eq!(run(seed, armed, None), run(seed, armed, None), "seed {seed}, {armed:?}");
    }
}
