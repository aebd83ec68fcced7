use std::sync::{Arc, Weak};

use tokio::sync::{mpsc, oneshot};

use super::control::{Change, ChangeError, Controlled, Demand, Registry, Standing};
use super::{Doors, Entry};

/// What a serve loop needs to obey whoever controls its proxy.
#[derive(Debug)]
pub struct Steering {
    registry: Registry,
    controlled: Arc<Controlled>,
    demands: mpsc::Receiver<Demand>,
    entry: Entry,
    waiting: Vec<Waiting>,
    ending: Vec<oneshot::Sender<()>>,
}

/// Somebody who is answered once the links that were dropped have ended.
#[derive(Debug)]
struct Waiting {
    dropped: Weak<()>,
    to: oneshot::Sender<Result<Standing, ChangeError>>,
    answer: Result<Standing, ChangeError>,
}

/// What becomes of the links of a proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Links {
    /// They go on.
    Stay,
    /// They are dropped.
    Drop,
    /// So is the proxy.
    End,
}

impl Steering {
    /// That of a proxy of this name, which is entered so. The registry knows of it once it serves.
    pub fn new(name: &str, entry: Entry, registry: &Registry) -> Self {
        // Of one that is read again from a file, what was counted before goes on.
        let totals = registry.get(name).map(|before| Arc::clone(before.totals())).unwrap_or_default();
        let (controlled, demands) = Controlled::steered(name, entry.standing().clone(), totals);
        Self {
            registry: registry.clone(),
            controlled: Arc::new(controlled),
            demands,
            entry,
            waiting: Vec::new(),
            ending: Vec::new(),
        }
    }

    /// What whoever controls the proxy holds.
    pub const fn controlled(&self) -> &Arc<Controlled> {
        &self.controlled
    }

    /// Where it is known.
    pub(super) const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The next demand; none ever where nobody controls the proxy.
    pub(super) async fn next(steering: &mut Option<Self>) -> Demand {
        let Some(steering) = steering else { return std::future::pending().await };
        let Some(demand) = steering.demands.recv().await else { return std::future::pending().await };
        demand
    }

    /// Does what is demanded, as far as it is about doors, and says what is to become of the links, of which `links` are
    /// those of now. Nothing is opened while the proxy is `stopping`.
    pub(super) fn obey(&mut self, demand: Demand, doors: &mut Doors, links: &Arc<()>, stopping: bool) -> Links {
        let (change, to) = match demand {
            Demand::End(to) => {
                // Whoever holds its listener too lets go of it before it has ended.
                self.entry.shut(doors);
                self.controlled.stand(self.entry.standing().clone());
                self.ending.push(to);
                return Links::End;
            }
            Demand::Change(change, to) => (change, to),
        };
        let (drops, outcome) = match self.entry.objection(&change) {
            _ if stopping => (false, Err(ChangeError::Ended)),
            Some(why) => (false, Err(ChangeError::Fixed(why))),
            None => self.change(change, doors),
        };
        let dropped = if drops { Arc::downgrade(links) } else { Weak::new() };
        self.controlled.stand(self.entry.standing().clone());
        self.waiting.push(Waiting { dropped, to, answer: outcome.map(|()| self.entry.standing().clone()) });
        if drops { Links::Drop } else { Links::Stay }
    }

    /// As toxiproxy does: what is moved is shut first, and then opened if that is wanted. Says whether links are dropped.
    fn change(&mut self, change: Change, doors: &mut Doors) -> (bool, Result<(), ChangeError>) {
        let was_enabled = self.entry.standing().enabled;
        let wanted = change.enabled.unwrap_or(was_enabled);
        let moves = self.entry.standing().moves(&change);
        let drops = was_enabled && (moves || !wanted);
        if drops {
            self.entry.shut(doors);
            tracing::info!("nobody is let in any more, and all connections are dropped: the proxy is changed");
        }
        if moves {
            self.entry.move_to(change);
        }
        if !wanted || self.entry.standing().enabled {
            return (drops, Ok(()));
        }
        let listen = self.entry.standing().listen.text.clone();
        let opened = self.entry.open(doors).map_err(|error| ChangeError::Bind { listen, error });
        match &opened {
            Ok(()) => tracing::info!("listening on {}", self.entry.standing().listen.text),
            Err(error) => tracing::warn!("{error}"),
        }
        (drops, opened)
    }

    /// Answers those whose demands are done. Whoever asked may have gone.
    pub(super) fn answer(&mut self) {
        for done in self.waiting.extract_if(.., |waiting| waiting.dropped.strong_count() == 0) {
            done.to.send(done.answer).ok();
        }
    }
}

impl Drop for Steering {
    /// The proxy has ended, in whatever way: it is no more for whoever controls proxies.
    fn drop(&mut self) {
        self.registry.leave(&self.controlled);
        for to in self.ending.drain(..) {
            to.send(()).ok();
        }
    }
}
