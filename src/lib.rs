//! dcproxy: a transparent wire proxy for Couchbase DCP that closes streams in the middle of a transfer and verifies that
//! the producer copes with the orphaned responses.
//!
//! The library is a core without sockets, tasks or clocks ([`wire`], and what stands on it); the live proxy, the reader
//! of captures and the tests are its drivers. `docs/ARCHITECTURE.md` follows one frame through it.

pub mod api;
pub mod bridge;
pub mod capture;
pub mod cli;
pub mod cluster;
pub mod dcp;
pub mod engine;
pub mod era;
pub mod fault;
pub mod filter;
pub mod invariant;
pub mod journal;
pub mod net;
pub mod node;
pub mod probe;
pub mod replay;
pub mod report;
pub mod scenario;
pub mod search;
pub mod session;
pub mod stage;
mod timestamp;
pub mod toxic;
pub mod units;
pub mod verdict;
pub mod wire;

pub use timestamp::Timestamp;
