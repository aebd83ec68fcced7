//! What must never be: a finding where there is no bug.

use dcproxy::era::Era;

use super::world::destructive;
use super::world::search;
use super::world::seed;
use super::world::times;

/// The schedules of each era.
const SCHEDULES: u64 = 8;

#[test]
fn without_a_quirk_nothing_is_found() {
    for era in Era::ALL {
        let seed = seed(1);
        let (search, found) = search(seed, times(SCHEDULES), era, None);
        if let Some(found) = found {
            let (drawn, minimal) = (found.drawn.to_toml(), found.minimal.to_toml());
            panic!("seed {seed}, {era}: a false alarm: {:?}\n{drawn}\n{minimal}", found.failure);
        }
        // A search that judges next to nothing finds nothing either (law L7).
        let tally = search.tally();
        println!("seed {seed}, {era}: {tally:?}");
        assert!(tally.passed * 2 > tally.run(), "seed {seed}, {era}: {tally:?}");
    }
}

/// Nor where vbuckets are taken over.
#[test]
fn without_a_quirk_a_takeover_comes_to_its_end() {
    for era in Era::ALL {
        let seed = seed(2);
        let (search, found) = destructive(seed, times(SCHEDULES * 4), era, None);
        if let Some(found) = found {
            let (drawn, minimal) = (found.drawn.to_toml(), found.minimal.to_toml());
            panic!("seed {seed}, {era}: a false alarm: {:?}\n{drawn}\n{minimal}", found.failure);
        }
        let tally = search.tally();
        println!("seed {seed}, {era}: {tally:?}, taken over: {:?}", search.taken_over());
        assert!(tally.passed * 2 > tally.run(), "seed {seed}, {era}: {tally:?}");
        assert!(!search.taken_over().is_empty(), "seed {seed}, {era}: nothing was taken over");
    }
}

/// Law L8: the seed is all that there is to chance.
#[test]
fn the_same_seed_finds_the_same() {
    let run = || search(3, 40, Era::V7_0, Some("leak-window".parse().expect("a quirk")));
    let ((first, found), (second, same)) = (run(), run());
    assert_eq!(first.tally(), second.tally());
    assert!(found.is_some());
    assert_eq!(found, same);
}
