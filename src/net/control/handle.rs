use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::Orders;
use crate::Timestamp;
use crate::net::Progress;

/// What is done to the core of a link, in the link's task between two turns. What it returns brings the answer back, once
/// all have been told how far the core has come with it.
pub type Visit<C> = Box<dyn FnOnce(&mut C, Timestamp) -> Answer + Send>;

/// Brings back what a visitor asked for.
pub type Answer = Box<dyn FnOnce() + Send>;

/// Visits that may wait for a link.
const MOST_VISITS: usize = 16;

/// A link as seen from outside.
pub struct Handle<C> {
    visits: mpsc::Sender<Visit<C>>,
    progress: watch::Receiver<Progress>,
    end: watch::Sender<bool>,
}

impl<C> Clone for Handle<C> {
    fn clone(&self) -> Self {
        Self { visits: self.visits.clone(), progress: self.progress.clone(), end: self.end.clone() }
    }
}

impl<C> std::fmt::Debug for Handle<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("progress", &self.progress).finish_non_exhaustive()
    }
}

impl<C> Handle<C> {
    /// Does something to the core, or asks it something; `None` where the link has ended.
    pub async fn visit<R: Send + 'static>(
        &self,
        visit: impl FnOnce(&mut C, Timestamp) -> R + Send + 'static,
    ) -> Option<R> {
        let (answer, answered) = oneshot::channel();
        let visit: Visit<C> = Box::new(|core, now| {
            let found = visit(core, now);
            Box::new(move || drop(answer.send(found)))
        });
        self.visits.send(visit).await.ok()?;
        answered.await.ok()
    }

    /// Ends the link at once, and both its connections with it.
    pub fn end(&self) {
        self.end.send_replace(true);
    }

    /// Waits until what is armed there has settled, or the link has ended. After a visit it is waited for what that has left.
    pub async fn settled(&self) {
        self.progress.clone().wait_for(|progress| *progress != Progress::Armed).await.ok();
    }
}

/// The link's side of it.
pub struct Control<C> {
    pub(in crate::net) orders: watch::Receiver<Arc<Orders>>,
    pub(in crate::net) visits: mpsc::Receiver<Visit<C>>,
    pub(in crate::net) progress: watch::Sender<Progress>,
    pub(in crate::net) end: watch::Receiver<bool>,
}

impl<C> std::fmt::Debug for Control<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("orders", &self.orders).finish_non_exhaustive()
    }
}

impl<C> Control<C> {
    /// A link's side, which obeys these orders, and the other.
    pub fn new(orders: watch::Receiver<Arc<Orders>>) -> (Self, Handle<C>) {
        let (sender, visits) = mpsc::channel(MOST_VISITS);
        let (progress, watched) = watch::channel(Progress::Unarmed);
        let (ender, end) = watch::channel(false);
        (Self { orders, visits, progress, end }, Handle { visits: sender, progress: watched, end: ender })
    }
}

/// Tells how far a core has come.
#[derive(Debug)]
pub(in crate::net) struct Teller {
    progress: watch::Sender<Progress>,
    told: Progress,
}

impl Teller {
    pub(in crate::net) fn new(progress: watch::Sender<Progress>) -> Self {
        let told = *progress.borrow();
        Self { progress, told }
    }

    /// Says so, unless it was said last.
    pub(in crate::net) fn tell(&mut self, progress: Progress) {
        if std::mem::replace(&mut self.told, progress) != progress {
            self.progress.send_replace(progress);
        }
    }
}
