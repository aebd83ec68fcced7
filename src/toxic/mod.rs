//! What the API can be asked to do to the connections of a proxy for as long as it is wanted: toxiproxy's toxics, which know
//! bytes alone, and the faults of the catalogue, which know DCP.

pub mod dcp;
mod share;

use std::collections::BTreeSet;

use crate::engine::Gate;
use crate::journal::Side;
use crate::scenario::Course;
use crate::scenario::Step;

pub use share::{draw, seed};

/// One toxic of a proxy.
#[derive(Clone, PartialEq, Debug)]
pub struct Toxic {
    /// What it is called; no two of a proxy have one name.
    pub name: String,
    /// Whose bytes it is done to.
    pub stream: Stream,
    /// The share of the connections that have it, from 0 to 1: each has [`draw`]n for itself, by the seed.
    pub toxicity: f64,
    /// What it does.
    pub kind: Kind,
}

impl Toxic {
    /// Whether a connection has it.
    pub fn is_had_by(&self, seed: u64, connection: u64) -> bool {
        draw(seed, connection, &self.name) < self.toxicity
    }
}

/// A direction, in toxiproxy's words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stream {
    /// From whoever dialled the proxy.
    Upstream,
    /// From whoever the proxy dialled.
    Downstream,
}

impl Stream {
    /// The end before which what is done to the direction stands.
    pub const fn to(self) -> Side {
        match self {
            Self::Upstream => Side::Upstream,
            Self::Downstream => Side::Dialler,
        }
    }
}

/// What a toxic does.
#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    /// Nothing; toxiproxy has a type for it.
    Nothing,
    /// Something to bytes, whatever they mean.
    Bytes(Gate),
    /// A fault of the catalogue, at its trigger: a step that waits until the toxic is removed.
    Dcp(Box<Step>),
}

impl Toxic {
    /// Its step, where it is a fault of the catalogue, as it is armed on connections for the `number`th time.
    pub fn course(&self, number: u64) -> Option<Course> {
        let Kind::Dcp(step) = &self.kind else { return None };
        Some(Course {
            name: format!("toxic {}", self.name),
            number,
            steps: vec![Step { name: self.name.clone(), ..Step::clone(step) }],
            beside: true,
            side: dcp::side(step, self.stream),
            messages: BTreeSet::new(),
            seed: None,
            settle: None,
            expected: Vec::new(),
        })
    }
}
