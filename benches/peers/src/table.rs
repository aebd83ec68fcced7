//! What was measured, as tables of Markdown.

use std::collections::BTreeMap;

use super::relay::Kind;
use super::relay::Place;
use super::relay::Relay;

/// A figure that is taken each time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// Whether how it compares with the peer is told.
    pub(crate) compared: bool,
}

/// The figures of all rounds of one measurement.
pub(crate) struct Table {
    pub(crate) title: String,
    columns: Vec<Column>,
    /// By round; a round in which it failed has none.
    rows: BTreeMap<Relay, BTreeMap<usize, Vec<f64>>>,
}

/// The figure in the middle, the least and the most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    fn of(mut all: Vec<f64>) -> Option<Self> {
        all.retain(|figure| figure.is_finite());
        all.sort_by(f64::total_cmp);
        let (least, most) = (*all.first()?, *all.last()?);
        let at = all.len() / 2;
        let median = if all.len().is_multiple_of(2) { f64::midpoint(all[at - 1], all[at]) } else { all[at] };
        Some(Self { median, least, most })
    }

    pub(crate) fn text(self) -> String {
        let [median, least, most] = [self.median, self.least, self.most].map(short);
        if least == most { median } else { format!("{median} ({least} to {most})") }
    }
}

impl Table {
    pub(crate) fn new(title: String, columns: Vec<Column>) -> Self {
        Self { title, columns, rows: BTreeMap::new() }
    }

    /// What a round has come to.
    pub(crate) fn add(&mut self, relay: Relay, round: usize, figures: Vec<f64>) {
        self.rows.entry(relay).or_default().insert(round, figures);
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    pub(crate) fn spread(&self, relay: Relay, name: &str) -> Option<Spread> {
        let column = self.column(name)?;
        Spread::of(self.rows.get(&relay)?.values().map(|figures| figures[column]).collect())
    }

    /// One divided by the other, of each round in which both were measured.
    pub(crate) fn ratio(&self, relay: Relay, other: Relay, name: &str) -> Option<Spread> {
        let column = self.column(name)?;
        let (these, those) = (self.rows.get(&relay)?, self.rows.get(&other)?);
        let both = these.iter().filter_map(|(round, figures)| Some(figures[column] / those.get(round)?[column]));
        Spread::of(both.collect())
    }

    pub(crate) fn markdown(&self, place: &Place) -> String {
        let mut text = format!("\n### {}\n\n| |", self.title);
        for column in &self.columns {
            text += &format!(" {} |", column.name);
            if column.compared {
                text += " x HAProxy |";
            }
        }
        text += "\n|---|";
        for column in &self.columns {
            text += if column.compared { "---:|---:|" } else { "---:|" };
        }
        for &relay in self.rows.keys() {
            text += &format!("\n| {} |", place.name(relay));
            let peer = Relay { kind: relay.kind.peer(), build: 0 };
            for column in &self.columns {
                let spread = self.spread(relay, column.name).map_or_else(|| "-".to_owned(), Spread::text);
                text += &format!(" {spread} |");
                if column.compared {
                    let ratio =
                        self.ratio(relay, peer, column.name).filter(|_| relay != peer && relay.kind != Kind::Direct);
                    text += &format!(" {} |", ratio.map_or_else(|| "-".to_owned(), Spread::text));
                }
            }
        }
        text + "\n"
    }
}

/// Three digits that count.
pub(crate) fn short(figure: f64) -> String {
    let size = figure.abs();
    if size >= 1e6 {
        format!("{:.2} M", figure / 1e6)
    } else if size >= 1e4 {
        format!("{:.1} k", figure / 1e3)
    } else if size >= 100.0 || figure == 0.0 {
        format!("{figure:.0}")
    } else if size >= 10.0 {
        format!("{figure:.1}")
    } else {
        format!("{figure:.2}")
    }
}
