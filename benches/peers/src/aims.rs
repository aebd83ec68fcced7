//! What was to be reached, and whether it was.

use std::collections::BTreeMap;

use super::course;
use super::relay::Kind;
use super::relay::Place;
use super::relay::Relay;
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

const AIMS: [Aim; 22] = [
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
    aim("bulk-64", Kind::Recording, course::UNRECORDED, Bound::Under(0.0)),
    aim("bulk-256", Kind::Recording, course::UNRECORDED, Bound::Under(0.0)),
    aim("bulk-4k", Kind::Recording, course::UNRECORDED, Bound::Under(0.0)),
    aim("bulk-1m", Kind::Recording, course::UNRECORDED, Bound::Under(0.0)),
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
        let this = Relay { kind: aim.of, build };
        let that = |kind: Kind| Relay { kind, build: if kind.is_ours() { build } else { 0 } };
        let (bound, other) = match aim.bound {
            Bound::AtLeast(bound, other) | Bound::AtMost(bound, other) => (bound, Some(that(other))),
            Bound::Under(bound) => (bound, None),
        };
        let reached = match other {
            Some(other) => table.ratio(this, other, aim.column),
            None => table.spread(this, aim.column),
        };
        let Some(reached) = reached else { continue };
        let is_least = matches!(aim.bound, Bound::AtLeast(..));
        let is_met = if is_least { reached.median >= bound } else { reached.median <= bound };
        let wanted = format!(
            "at {} {}{}",
            if is_least { "least" } else { "most" },
            short(bound),
            other.map_or_else(String::new, |other| format!(" x {}", place.name(other)))
        );
        let met = if is_met { "yes" } else { "no" };
        text += &format!(
            "| {}: {}, {} | {wanted} | {} | {met} |\n",
            aim.what,
            place.name(this),
            aim.column,
            reached.text()
        );
    }
    text
}
