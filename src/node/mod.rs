//! The embedded DCP node, sans-IO: a server that a DCP client can log in to, stream from, and write to a little.
//!
//! It follows the rules of one [`crate::era::Era`], and can be told to have historical bugs ([`Quirk`]). What it streams is
//! made from its seed when it is wanted, at the speed at which it is pulled, and never kept. Bytes and times go in, bytes
//! come out: [`Node`] is what the connections share, [`Connection`] is one of them; a [`Cluster`] is several nodes with the
//! vbuckets of one bucket between them.

pub(crate) mod auth;
mod bucket;
mod config;
mod connection;
pub mod consumer;
mod controls;
mod data;
mod document;
pub(crate) mod entry;
mod error_map;
mod events;
mod filter;
pub(crate) mod flow;
mod front;
mod kv;
mod management;
mod manifest;
mod noops;
mod opening;
mod parts;
mod producer;
mod quirk;
mod respond;
mod rollback;
mod send;
mod shared;
mod states;
mod stats;
mod stream;
mod takeover;
mod terms;
#[cfg(test)]
mod tests;
mod topology;
mod vbucket;
mod written;

pub use auth::Credentials;
pub use auth::Mechanism;
pub use auth::NoMechanism;
pub use auth::Refusal;
pub use auth::Secret;
pub use config::Config;
pub use connection::Connection;
pub use connection::How;
pub use entry::NoEntry;
pub use management::Answer;
pub use management::MAP_END;
pub use management::Method;
pub use quirk::About;
pub use quirk::Quirk;
pub use quirk::Role;
pub use shared::Cluster;
pub use shared::Node;
pub use topology::ClusterError;
pub use topology::Member;
