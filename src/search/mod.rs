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
//! | send the cluster map with NotMyVbucket, up to 100 KiB | `orphan_response` | orphaned-responses.md §5.9 |
//! | answer each message once: a response goes with a message that came, which its trigger names | `orphan_response` | orphaned-responses.md §0 |
//! | give back what it is charged late, by up to 500 ms, and say anything late, by up to 100 ms | `withhold_ack`, `delay` | dcp-protocol.md §5 |
//! | ask for a vbucket that is not there: NotMyVbucket | `send` | dcp-protocol.md §3.1; MB-25820, MB-17230 |
//! | ask for an open stream once more: KeyEexists, and the stream goes on | `send` | dcp-protocol.md §3.1; MB-38356 |
//! | close a stream and ask for it from its beginning before it has ended: Success | `send` | orphaned-responses.md §7 c |
//! | acknowledge a stream that it has just closed, and a new one at what that has brought, with sync replication | `send` | dcp-protocol.md §4.7; MB-35226 |
//! | widen its window at any time; to 4 GiB and more since master | `send` | dcp-protocol.md §5; MB-72330 |
//! | ask for streams that end, at a seqno that there is: their STREAM_END comes | `consumer` | dcp-protocol.md §3.1, §3.5 |
//! | ask for less than everything: no sync writes, no collections, no `v7_dcp_status_codes`, another window ... | `consumer` | dcp-protocol.md §2.2 |
//! | ask for streams that bring nothing but their end | `consumer` | dcp-protocol.md §3.1 |
//! | take a vbucket over that may be lost, refuse messages of it, answer a marker once too often, close it at last: else it comes to its end | `consumer` | dcp-protocol.md §3.6; orphaned-responses.md §5.6; MB-45523 |
//! | not ask for stream ids with sync writes, nor go without no-ops | `consumer` | dcp-protocol.md §2.2, §3.1 |
//!
//! Of these answers, those at which the era's producer may close or stay (design.md §6, *may close*) prove nothing and are
//! not given. Those at which it must close are given in the last step alone: staying is then the finding.
//!
//! What a step expects is the law's too: only what a producer owes after it, whatever the other steps do. Besides, all is
//! judged that is always judged, and what came to the consumer is compared with a reference, as [`crate::probe`] does.
//!
//! To add something that consumers may do: one function in `draw/` and its line in the table of `draw/steps.rs`, its rule in
//! `law/`, what is owed after it in `law/demands.rs`, and how it becomes simpler in `shrink.rs`.

mod draw;
/// What is legal.
pub mod law;
mod run;
mod shrink;
mod spares;
mod trial;

pub use draw::schedule;
pub use law::Ground;
pub use run::Found;
pub use run::Job;
pub use run::Kind;
pub use run::Search;
pub use run::Tally;
pub use shrink::Shrinker;
pub use trial::Failure;
pub use trial::Trial;
