//! What the tool does on a connection, step by step: the runner of scenarios and its faults in hand-made conversations.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)] // helpers of tests

mod armed;
mod cut_answers;
mod cut_books;
mod cut_consumer;
mod cut_course;
mod expectations;
#[path = "../../support/peers.rs"]
mod peers;
mod plain_closes;
mod runner;
mod single;
mod single_ends;
#[path = "../../support/stage.rs"]
mod stage;
mod triggers;
