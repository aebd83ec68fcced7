//! The consumer roles of the embedded node: [`PassiveStreams`] does what a kv_engine consumer of an era does with the
//! messages of its streams, [`Client`] dials a producer and keeps a ledger of what it was sent.
//!
//! Both are sans-IO, under one contract: after every call that changes them, `poll` is drained until `None`. The time
//! that the last [`Output::Wait`] asks for is answered with `wakeup`.

mod acks;
mod books;
mod client;
mod ledger;
mod passive;
mod prepares;
mod pulled;
mod quirks;

use bytes::Bytes;

use crate::Timestamp;

pub use client::Client;
pub use client::ClientConfig;
pub use client::End;
pub use client::Phase;
pub use client::Violation;
pub use ledger::Item;
pub use ledger::Ledger;
pub use ledger::ResumePoint;
pub use ledger::Snapshot;
pub use ledger::VbucketLedger;
pub use ledger::item_hash;
pub use passive::PassiveConfig;
pub use passive::PassiveStreams;
pub(super) use passive::Taken;
pub use passive::VbucketState;
pub use pulled::Pulled;
pub use quirks::WrongQuirk;
pub use quirks::check_client;
pub use quirks::check_node;

/// What a consumer wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Bytes for the peer.
    Write(Bytes),
    /// The connection is to be closed once everything before is written. It comes once and is the last output.
    Close,
    /// Call `wakeup` at this time; it replaces the one before. `None`: nothing is waited for.
    Wait(Option<Timestamp>),
}
