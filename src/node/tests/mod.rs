//! The node as its peers see it: bytes and times in, frames out.
#![allow(clippy::wildcard_enum_match_arm)] // a test names what it looks for

mod anything;
mod closing;
mod cluster;
mod invariants;
mod kv;
mod manifest;
mod peer;
mod producer_quirks;
mod quirks;
mod requests;
mod responses;
mod set_up;
mod states;
mod window;
