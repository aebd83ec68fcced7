//! The engine between two ends in memory: a seeded scheduler cuts the bytes anywhere, makes either end slow, and closes at
//! any byte. Thousands of seeds; the seed of a failure is in its message, and repeats it.

mod babbler;
mod dice;
mod ends;
mod transparency;
mod verdicts;
mod world;
