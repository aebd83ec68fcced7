//! The laws of the engine (design.md §2): events in, exact outputs out; no sockets, no sleeping. One file a law.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)] // helpers of tests

#[path = "../../support/playbook.rs"]
pub(crate) mod book;
mod l1_live;
mod l1_transparency;
mod l2_fates;
mod l2_framing;
mod l2_gates;
mod l2_order;
mod l2_toxics;
mod l3_answers;
mod l4_closes;
mod l8_determinism;
mod l9_secrets;
