use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// How the process is, for whoever asks over HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Condition {
    /// It does not serve yet.
    #[default]
    Starting,
    /// So many proxies let connections in.
    Serving(usize),
    /// It has been told to stop: nobody is let in any more.
    Draining,
}

/// Where the proxies write how they are, and whoever asks reads it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    condition: watch::Sender<Condition>,
    reloads: Arc<[AtomicU64; 2]>,
}

impl Health {
    /// How the process is.
    pub fn condition(&self) -> Condition {
        *self.condition.borrow()
    }

    /// How often the files were read again, and how often that failed.
    pub fn reloads(&self) -> [u64; 2] {
        self.reloads.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    pub(super) fn reloaded(&self, succeeded: bool) {
        self.reloads[usize::from(!succeeded)].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set(&self, condition: Condition) {
        self.condition.send_replace(condition);
    }
}
