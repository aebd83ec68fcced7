//! What was measured, as a table of Markdown.

use std::collections::BTreeMap;
use std::fmt;

use super::relay::Relay;

/// The figures of all rounds.
pub struct Table {
    title: String,
    columns: &'static [(&'static str, bool)],
    rows: BTreeMap<Relay, Vec<Vec<f64>>>,
}

impl Table {
    pub fn new(title: &str, columns: &'static [(&'static str, bool)]) -> Self {
        Self { title: title.to_owned(), columns, rows: BTreeMap::new() }
    }

    /// What a round has come to.
    pub fn add(&mut self, relay: Relay, figures: Vec<f64>) {
        self.rows.entry(relay).or_default().push(figures);
    }

    /// Median, least and most of a column.
    fn spread(&self, relay: Relay, column: usize) -> Option<[f64; 3]> {
        let mut all: Vec<f64> = self.rows.get(&relay)?.iter().map(|figures| figures[column]).collect();
        all.sort_by(f64::total_cmp);
        Some([all[all.len() / 2], all[0], all[all.len() - 1]])
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n### {}\n", self.title)?;
        write!(f, "| |")?;
        for (name, _) in self.columns {
            write!(f, " {name} | least-most | x HAProxy |")?;
        }
        write!(f, "\n|---|")?;
        self.columns.iter().try_for_each(|_| write!(f, "---:|---:|---:|"))?;
        writeln!(f)?;
        for &relay in self.rows.keys() {
            write!(f, "| {} |", relay.name())?;
            for column in 0..self.columns.len() {
                let Some([median, least, most]) = self.spread(relay, column) else { continue };
                write!(f, " {} | {}-{} |", short(median), short(least), short(most))?;
                match self.spread(Relay::Haproxy, column) {
                    Some([theirs, ..]) if theirs > 0.0 => write!(f, " {:.2} |", median / theirs)?,
                    _ => write!(f, " - |")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn short(figure: f64) -> String {
    match figure {
        figure if figure >= 100.0 => format!("{figure:.0}"),
        figure if figure >= 10.0 => format!("{figure:.1}"),
        figure => format!("{figure:.2}"),
    }
}
