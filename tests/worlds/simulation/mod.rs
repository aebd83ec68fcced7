//! The engine between two ends in memory: a seeded scheduler cuts the bytes anywhere, makes either end slow, and closes at
//! any byte. Thousands of seeds; the seed of a failure is in its message, and repeats it.
//! `DCPROXY_SEEDS=100` runs a hundred times as many, `DCPROXY_FIRST_SEED=N` begins at another.

mod armed;
mod babbler;
pub(crate) mod dice;
pub(crate) mod ends;
mod transparency;
mod verdicts;
pub(crate) mod world;
