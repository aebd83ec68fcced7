use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{ChangeError, Controlled, Lead, Place, Registry, Standing};
use crate::net::{Doors, Entry, Route, Sockets, Steering};

/// A proxy that is to be made.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What it is called.
    pub name: String,
    /// Where it listens.
    pub listen: Place,
    /// Where its connections go.
    pub upstream: Lead,
    /// Whether it lets anybody in.
    pub enabled: bool,
}

/// Why there is no such proxy.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// There is one of this name.
    #[error("proxy already exists")]
    Exists,
    /// There are as many as there may be.
    #[error("expected up to {0} proxies, found one more")]
    TooMany(usize),
    /// It cannot listen there.
    #[error(transparent)]
    Bind(ChangeError),
    /// No more are made: the process is about to end, or none were to be made.
    #[error("no more proxies are made")]
    Ended,
}

/// The proxies that there may be, however they are made.
pub const MOST_PROXIES: usize = 10_000;

/// A proxy that is about to serve.
#[derive(Debug)]
pub struct Newcomer {
    /// Where connections come.
    pub doors: Doors,
    /// What controls it.
    pub steering: Steering,
    /// Answered once it serves.
    started: Option<oneshot::Sender<()>>,
}

/// Those that are made while a fleet serves.
#[derive(Debug)]
pub struct Newcomers {
    receiver: mpsc::UnboundedReceiver<Newcomer>,
    stays: bool,
}

/// Brings newcomers to their fleet; there may be none.
#[derive(Clone, Debug, Default)]
pub(super) struct Maker {
    sockets: Sockets,
    fleet: Option<mpsc::UnboundedSender<Newcomer>>,
}

impl Maker {
    pub(super) fn new(sockets: Sockets) -> (Self, Newcomers) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sockets, fleet: Some(sender) }, Newcomers { receiver, stays: false })
    }
}

impl Newcomers {
    /// The fleet waits for them though no proxy serves.
    #[must_use]
    pub const fn staying(mut self) -> Self {
        self.stays = true;
        self
    }

    pub(in crate::net) const fn stay(&mut self) {
        self.stays = true;
    }

    pub(in crate::net) const fn stays(&self) -> bool {
        self.stays
    }

    pub(in crate::net) async fn next(newcomers: &mut Option<Self>) -> Newcomer {
        let Some(newcomers) = newcomers else { return std::future::pending().await };
        let Some(newcomer) = newcomers.receiver.recv().await else { return std::future::pending().await };
        newcomer
    }
}

impl Newcomer {
    /// What it is called.
    pub fn name(&self) -> &str {
        self.steering.controlled().name()
    }

    /// How it stands.
    pub fn standing(&self) -> Arc<Standing> {
        self.steering.controlled().standing()
    }

    /// Who is told once it serves.
    pub(in crate::net) const fn started(&mut self) -> Option<oneshot::Sender<()>> {
        self.started.take()
    }
}

impl Registry {
    /// Makes a proxy, and waits until it serves.
    ///
    /// # Errors
    /// It cannot be made; there is nothing of it then.
    pub async fn create(&self, wanted: Wanted) -> Result<Arc<Controlled>, CreateError> {
        let mut newcomer = self.prepare(wanted)?;
        let controlled = Arc::clone(newcomer.steering.controlled());
        let (started, serves) = oneshot::channel();
        newcomer.started = Some(started);
        let sent = self.maker().fleet.as_ref().is_some_and(|fleet| fleet.send(newcomer).is_ok());
        if sent && serves.await.is_ok() { Ok(controlled) } else { Err(CreateError::Ended) }
    }

    /// Makes a proxy that somebody else is to have served.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn prepare(&self, wanted: Wanted) -> Result<Newcomer, CreateError> {
        let Wanted { name, listen, upstream, enabled } = wanted;
        if self.get(&name).is_some() {
            return Err(CreateError::Exists);
        }
        let text = listen.text.clone();
        let standing = Standing { listen, upstream: upstream.text, enabled: false };
        let mut entry = Entry::new(standing, Arc::new(Route::from(upstream.target)), self.maker().sockets);
        let mut open = Vec::new();
        if enabled {
            let door = entry.listen();
            open.push(door.map_err(|error| CreateError::Bind(ChangeError::Bind { listen: text, error }))?);
        }
        let steering = Steering::new(&name, entry, self);
        self.enter_new(steering.controlled(), MOST_PROXIES)?;
        Ok(Newcomer { doors: Doors::new(open), steering, started: None })
    }
}
