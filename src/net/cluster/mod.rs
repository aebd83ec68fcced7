//! A proxy that stands in for every node of a cluster: a listener for each service of each, made as maps name them.

mod doors;
mod listening;
mod management;

pub use doors::{Announce, ClusterDoors, ClusterOptions};

#[cfg(test)]
mod tests;
