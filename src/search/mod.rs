//! Search: random schedules of what a consumer may do, each judged, and a failing one made as small as it can be.
//!
//! ```text
//! seed, number -> draw -> Scenario -> trial (a Stage: consumer, engine, judge) -> a finding? -> shrink -> minimal Scenario
//! ```
//!
//! Sans-IO: a [`Search`] says which scenario is to be tried next and takes in what came of it. `net` tries them over sockets,
//! tests/search in simulated time.
//!
//! # What is legal
//!
//! A finding counts against the producer only if the consumer kept to the rules. [`law::check`] holds every schedule, drawn
//! or shrunk, to these:
//!
//! | a consumer may | where | source |
//! |---|---|---|
//! | close any stream of its own, at any time | `close_stream` at `producer` | dcp-protocol.md §3.4 |
//! | lose a stream, answer what was in flight, and request it again from where it was | `close_stream` at `cut` | orphaned-responses.md §1, §2 |
//! | answer a message as its era's consumer does whose stream is gone, closed or another one | [`law::answers`] | orphaned-responses.md §2, first table |
//! | answer a message as a consumer does that refuses it (out of range, no memory, not its vbucket ...) | [`law::answers`] | orphaned-responses.md §2, second table; dcp-protocol.md §7 |
//! | answer each message once: a response goes with a message that came, which its trigger names | `orphan_response` | orphaned-responses.md §0 |
//! | ask for less than everything: no sync writes, no collections, no `v7_dcp_status_codes`, another window ... | `consumer` | dcp-protocol.md §2.2 |
//! | not ask for stream ids with sync writes, nor go without no-ops | `consumer` | dcp-protocol.md §2.2, §3.1 |
//!
//! Of these answers, those at which the era's producer may close or stay (design.md §6, *may close*) prove nothing and are
//! not given. Those at which it must close are given in the last step alone: staying is then the finding.
//!
//! To add something that consumers may do: one function in `draw/steps.rs` and its line in the table there, its rule in
//! `law.rs`, and how it becomes simpler in `shrink.rs`.

mod draw;
/// What is legal.
pub mod law;
mod run;
mod shrink;
mod trial;

pub use draw::schedule;
pub use law::Ground;
pub use run::Found;
pub use run::Job;
pub use run::Search;
pub use run::Tally;
pub use shrink::Shrinker;
pub use trial::Failure;
pub use trial::Trial;
pub use trial::judge;
pub use trial::stage;
