use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// How far a bridge has come, over all of its connections: told by the one that there is now, read by whoever dials. Clones
/// are the same.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    failure: Option<String>,
    is_set_up: bool,
    was_set_up: bool,
    /// Up to where each vbucket is to come, once that was asked.
    targets: Option<BTreeMap<u16, u64>>,
    /// What is still to come, as last measured: where the consumer node is.
    behind: BTreeMap<u16, u64>,
    caught_up: bool,
}

impl Progress {
    /// Why the connections of now came to nothing, if they did: one line.
    pub fn failure(&self) -> Option<String> {
        self.shared().failure.clone()
    }

    /// Whether the connections of now were set up.
    pub fn is_set_up(&self) -> bool {
        self.shared().is_set_up
    }

    /// Whether any were.
    pub fn was_set_up(&self) -> bool {
        self.shared().was_set_up
    }

    /// Whether the consumer node has all that the producer node had when the first connections were set up.
    pub fn is_caught_up(&self) -> bool {
        self.shared().caught_up
    }

    /// The vbuckets that are still behind, each with where it is and where it is to come.
    pub fn behind(&self) -> Vec<(u16, u64, u64)> {
        let shared = self.shared();
        let targets = shared.targets.iter().flatten();
        targets
            .map(|(&vbucket, &target)| (vbucket, shared.behind.get(&vbucket).copied().unwrap_or_default(), target))
            .filter(|(_, at, target)| at < target)
            .collect()
    }

    pub(super) fn begin(&self) {
        let mut shared = self.shared();
        shared.failure = None;
        shared.is_set_up = false;
    }

    pub(super) fn fail(&self, why: String) {
        self.shared().failure.get_or_insert(why);
    }

    /// The connections are set up. What was asked first stays.
    pub(super) fn set_up(&self, targets: Option<BTreeMap<u16, u64>>) {
        let mut shared = self.shared();
        shared.is_set_up = true;
        shared.was_set_up = true;
        if shared.targets.is_none() {
            shared.targets = targets;
        }
    }

    pub(super) fn targets(&self) -> BTreeMap<u16, u64> {
        self.shared().targets.clone().unwrap_or_default()
    }

    pub(super) fn reached(&self, vbucket: u16, seqno: u64) {
        self.shared().behind.insert(vbucket, seqno);
    }

    pub(super) fn caught_up(&self) {
        self.shared().caught_up = true;
    }

    /// Each change is whole or not begun.
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
