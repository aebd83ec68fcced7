//! What the tool does on a connection, step by step: the runner of scenarios and its faults in hand-made conversations.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)] // helpers of tests

#[path = "faults/mod.rs"]
mod cases;
#[path = "support/peers.rs"]
mod peers;
#[path = "support/stage.rs"]
mod stage;
