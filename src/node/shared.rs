use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use super::bucket::Bucket;
use super::config::Config;
use super::document::mix;

/// What all connections of a node share. Clones are the same node.
#[derive(Clone, Debug)]
pub struct Node {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    bucket: Mutex<Bucket>,
    connections: AtomicU64,
}

impl Node {
    /// A node as it is told to be.
    pub fn new(config: Config) -> Self {
        let bucket = Mutex::new(Bucket::new(&config));
        Self { shared: Arc::new(Shared { config, bucket, connections: AtomicU64::new(0) }) }
    }

    /// What it was told to be.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Its vbuckets. A panic elsewhere leaves them usable: each change is whole or not begun.
    pub(super) fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.shared.bucket.lock().unwrap_or_else(PoisonError::into_inner)
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
