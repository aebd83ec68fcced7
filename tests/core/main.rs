//! What needs no socket and no other program: codec, session, engine, faults, rules and captures, driven directly.

mod captures_invariants;
mod captures_read;
mod cluster_maps;
mod consumer;
mod consumer_quirks;
mod damage;
mod dcp_encode;
mod dcp_fuzz;
mod era;
mod faults;
mod fuzz;
mod invariants;
mod laws;
mod layering;
#[path = "../support/mutations.rs"]
mod mutations;
mod recorded_runs;
mod recording_files;
mod stretches;
mod vectors;
