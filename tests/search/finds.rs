use dcproxy::era::Era;
use dcproxy::node::Quirk;

use crate::world::search;

#[test]
fn each_quirk_is_found() {
    for quirk in Quirk::ALL {
        let era = if quirk.name() == "mb-36971" { Era::V6_5 } else if quirk.name() == "mb-72330" { Era::Master } else { Era::V7_0 };
        let begun = std::time::Instant::now();
        let (search, found) = search(1, 12, era, Some(quirk));
        if let Some(found) = found {
            println!("{quirk}: schedule {} steps {} tries {} {} again {:?} {:?}", found.number, found.minimal.steps.len(), found.tries, found.failure.id, found.again, begun.elapsed());
        } else {
            println!("{quirk}: NOTHING {} {:?}", search.tally().passed, begun.elapsed());
        }
    }
}
