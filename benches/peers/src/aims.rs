//! What was to be reached, and whether it was.

use std::collections::BTreeMap;

use super::course;
use super::relay::Kind;
use super::relay::Place;
use super::relay::Relay;
use super::table::Spread;
use super::table::Table;
use super::table::short;

/// What a figure is held against.
#[derive(Clone, Copy, Debug)]
enum Bound {
    /// So many times another's of the same round, or more; or less.
    AtLeast(f64, Kind),
    AtMost(f64, Kind),
    /// So much, or less.
    Under(f64),
}

/// One aim of issue 7.
struct Aim {
    what: &'static str,
    of: Kind,
    column: &'static str,
    bound: Bound,
}

const fn aim(what: &'static str, of: Kind, column: &'static str, bound: Bound) -> Aim {
    Aim { what, of, column, bound }
}

const AIMS: [Aim; 18] = [
    // Frames a second at 64 B: what HAProxy's byte rate comes to in frames.
    aim("bulk-64", Kind::Plain, course::FRAMES, Bound::AtLeast(1.0, Kind::Haproxy)),
    aim("bulk-256", Kind::Plain, course::RATE, Bound::AtLeast(1.3, Kind::Haproxy)),
    aim("bulk-4k", Kind::Plain, course::RATE, Bound::AtLeast(1.5, Kind::Haproxy)),
    aim("bulk-1m", Kind::Plain, course::RATE, Bound::AtLeast(1.5, Kind::Haproxy)),
    aim("bulk-256", Kind::Plain, course::RATE, Bound::AtLeast(2.0, Kind::Toxiproxy)),
    aim("bulk-4k", Kind::Plain, course::RATE, Bound::AtLeast(2.0, Kind::Toxiproxy)),
    aim("bulk-1m", Kind::Plain, course::RATE, Bound::AtLeast(2.0, Kind::Toxiproxy)),
    aim("ping", Kind::Plain, course::P50, Bound::AtMost(1.0, Kind::Haproxy)),
    aim("ping", Kind::Plain, course::P99, Bound::AtMost(1.0, Kind::Haproxy)),
    aim("ping", Kind::Plain, course::P999, Bound::AtMost(1.5, Kind::Haproxy)),
    aim("bulk-64", Kind::Recording, course::RATE, Bound::AtLeast(0.8, Kind::Plain)),
    aim("bulk-256", Kind::Recording, course::RATE, Bound::AtLeast(0.8, Kind::Plain)),
    aim("bulk-4k", Kind::Recording, course::RATE, Bound::AtLeast(0.8, Kind::Plain)),
    aim("bulk-1m", Kind::Recording, course::RATE, Bound::AtLeast(0.8, Kind::Plain)),
    aim("ping-5000x", Kind::Plain, course::FAILED, Bound::Under(0.0)),
    aim("ping-5000x", Kind::Plain, course::P99, Bound::AtMost(1.0, Kind::Haproxy)),
    aim("ping-5000x", Kind::Plain, course::IDLE, Bound::Under(32.0)),
    aim("ping-256x", Kind::Plain, course::P99, Bound::AtMost(1.0, Kind::Haproxy)),
];

/// A table of those aims whose figures were taken.
pub(crate) fn markdown(tables: &BTreeMap<&str, Table>, place: &Place) -> String {
    let mut text = "\n### Aims\n\n| what | aim | reached, median of the rounds | |\n|---|---|---:|---|\n".to_owned();
    for (aim, build) in AIMS.iter().flat_map(|aim| (0..place.builds.len()).map(move |build| (aim, build))) {
        let Some(table) = tables.get(aim.what) else { continue };
        let (this, that) = (Relay { kind: aim.of, build }, |kind: Kind| Relay { kind, build: if kind.is_ours() { build } else { 0 } });
        let (wanted, reached, is_met): (_, Option<Spread>, fn(f64, f64) -> bool) = match aim.bound {
            Bound::AtLeast(times, other) => (
                format!("at least {} x {}", short(times), place.name(that(other))),
                table.ratio(this, that(other), aim.column),
                |reached, bound| reached >= bound,
            ),
            Bound::AtMost(times, other) => (
                format!("at most {} x {}", short(times), place.name(that(other))),
                table.ratio(this, that(other), aim.column),
                |reached, bound| reached <= bound,
            ),
            Bound::Under(bound) => {
                (format!("at most {}", short(bound)), table.spread(this, aim.column), |reached, bound| reached <= bound)
            }
        };
        let (Bound::AtLeast(bound, _) | Bound::AtMost(bound, _) | Bound::Under(bound)) = aim.bound;
        let Some(reached) = reached else { continue };
        let met = if is_met(reached.median, bound) { "yes" } else { "no" };
        text += &format!("| {}: {}, {} | {wanted} | {} | {met} |\n", aim.what, place.name(this), aim.column, reached.text());
    }
    text
}
