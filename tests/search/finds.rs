use dcproxy::era::Era;
use dcproxy::node::Quirk;

use crate::world::search;

#[test]
fn each_quirk_is_found() {
    for quirk in Quirk::ALL {
        let begun = std::time::Instant::now();
        let (search, found) = search(1, 30, Era::V7_0, Some(quirk));
        if let Some(found) = found {
            println!(
                "{quirk}: schedule {} steps {} tries {} {} again {:?} {:?}",
                found.number,
                found.minimal.steps.len(),
                found.tries,
                found.failure.id,
                found.again,
                begun.elapsed()
            );
        } else {
            println!("{quirk}: {:?} {:?}", search.tally(), begun.elapsed());
        }
    }
}
