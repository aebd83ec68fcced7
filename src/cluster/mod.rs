//! Cluster maps, by which clients learn where nodes are: read, and rewritten so that all that they name is the proxy.
//!
//! A map is the JSON that a node gives of a bucket or of the cluster, terse or not, by KV (`GET_CLUSTER_CONFIG`,
//! NotMyVbucket, `ClustermapChangeNotification`: [`Rewriting`]) or by its management port ([`rewrite`]). Where the proxy
//! stands in for which node says a [`Directory`]. `docs/CLUSTER.md` tells users what is rewritten and what is not.
//!
//! Source: `protocol/dcp-protocol.md` §2, and public documents of Couchbase Server's REST API.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod carrier;
mod directory;
mod json;
mod management;
mod map;
mod network;
mod place;
mod rewriting;

pub use carrier::MAX_MAP_LEN;
pub use directory::Directory;
pub use directory::Identity;
pub use directory::Revision;
pub use directory::Service;
pub use directory::Trouble;
pub use management::Document;
pub use management::MAP_END;
pub use management::MapStream;
pub use management::document;
pub use map::rewrite;
pub use place::Place;
pub use rewriting::Rewriting;

#[cfg(test)]
mod tests;
