use dcproxy::era::Era;

use crate::world::search;
use crate::world::times;

/// The schedules of each era.
const SCHEDULES: u64 = 20;

#[test]
fn without_a_quirk_nothing_is_found() {
    for era in Era::ALL {
        let (search, found) = search(1, times(SCHEDULES), era, None);
        let tally = search.tally();
        println!("{era}: {tally:?}");
        if let Some(found) = found {
            panic!("{era}: a false alarm: {:?}\n{}\n{}", found.failure, found.drawn.to_toml(), found.minimal.to_toml());
        }
    }
}
