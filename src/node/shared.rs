use std::ops::Deref;
use std::ops::DerefMut;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use super::bucket::Bucket;
use super::config::Config;
use super::document::mix;
use super::topology::ClusterError;
use super::topology::Member;
use super::topology::Move;
use super::topology::Topology;

/// What all connections of a node share. Clones are the same node.
#[derive(Clone, Debug)]
pub struct Node {
    shared: Arc<Shared>,
    at: usize,
}

/// Nodes that have the vbuckets of one bucket between them. Clones are the same cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    /// Each node's part of the bucket. One lock for all, so that nobody sees a vbucket on its way.
    buckets: Mutex<Vec<Bucket>>,
    connections: AtomicU64,
}

impl Cluster {
    /// The most nodes that a cluster has.
    pub const MAX_NODES: u8 = 16;

    /// A cluster of these nodes, all of which belong to it at first; nothing without a node. Their addresses take the
    /// place of those of `config`.
    pub fn new(config: Config, nodes: Vec<Member>) -> Option<Self> {
        if nodes.is_empty() {
            return None;
        }
        let buckets = Bucket::spread(&config, nodes);
        Some(Self { shared: Arc::new(Shared { config, buckets: Mutex::new(buckets), connections: AtomicU64::new(0) }) })
    }

    /// What it was told to be.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Its nodes, those that have left it too.
    pub fn nodes(&self) -> Vec<Node> {
        (0..self.shared.buckets().len()).map(|at| Node { shared: Arc::clone(&self.shared), at }).collect()
    }

    /// Moves a vbucket to a node, and tells the revision of the map that says so. What streams it has there end.
    ///
    /// # Errors
    /// There is no such vbucket, or no such node in the cluster.
    pub fn move_vbucket(&self, vbucket: u16, to: usize) -> Result<u64, ClusterError> {
        self.change(|topology| topology.move_vbucket(vbucket, to))
    }

    /// Lets a node join again that has left, and tells the revision of the map that says so.
    ///
    /// # Errors
    /// There is no such node.
    pub fn join(&self, node: usize) -> Result<u64, ClusterError> {
        self.change(|topology| topology.join(node))
    }

    /// Lets a node leave, its vbuckets with the others, and tells the revision of the map that says so.
    ///
    /// # Errors
    /// There is no such node, or no other.
    pub fn leave(&self, node: usize) -> Result<u64, ClusterError> {
        self.change(|topology| topology.leave(node))
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Topology) -> Result<Vec<Move>, ClusterError>,
    ) -> Result<u64, ClusterError> {
        let mut buckets = self.shared.buckets();
        let mut topology = buckets[0].topology().clone();
        let moves = change(&mut topology)?;
        for Move { vbucket, from, to } in moves {
            if let Some(given) = buckets[from].give(vbucket) {
                buckets[to].take(vbucket, given);
            }
        }
        let topology = Arc::new(topology);
        for bucket in buckets.iter_mut() {
            bucket.set_topology(Arc::clone(&topology));
        }
        Ok(topology.revision())
    }
}

impl Node {
    /// A node as it is told to be, alone in its cluster.
    pub fn new(config: Config) -> Self {
        let alone =
            Member { host: config.host.clone(), kv: config.port, kv_tls: None, management: None, management_tls: None };
        let buckets = Mutex::new(Bucket::spread(&config, vec![alone]));
        Self { shared: Arc::new(Shared { config, buckets, connections: AtomicU64::new(0) }), at: 0 }
    }

    /// What it was told to be.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// The cluster that it is a node of.
    pub fn cluster(&self) -> Cluster {
        Cluster { shared: Arc::clone(&self.shared) }
    }

    /// Its part of the bucket. A panic elsewhere leaves it usable: each change is whole or not begun.
    pub(super) fn bucket(&self) -> Part<'_> {
        Part { buckets: self.shared.buckets(), at: self.at }
    }

    /// Numbers its connections.
    pub(super) fn count(&self) -> u64 {
        self.shared.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// Where its connection manager's ticks lie within a second, in nanoseconds.
    pub(super) fn phase(&self) -> u64 {
        mix(self.shared.config.seed ^ 0x71c7)
    }
}

impl Shared {
    fn buckets(&self) -> MutexGuard<'_, Vec<Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A node's part of the bucket, nobody else's meanwhile.
#[derive(Debug)]
pub(super) struct Part<'a> {
    buckets: MutexGuard<'a, Vec<Bucket>>,
    at: usize,
}

impl Deref for Part<'_> {
    type Target = Bucket;

    fn deref(&self) -> &Bucket {
        &self.buckets[self.at]
    }
}

impl DerefMut for Part<'_> {
    fn deref_mut(&mut self) -> &mut Bucket {
        &mut self.buckets[self.at]
    }
}
