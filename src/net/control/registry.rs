use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot, watch};

use super::maker::{CreateError, Maker, Newcomers};
use super::{
    Change, ChangeError, Control, Demand, Handle, Journal, Orders, Past, Place, Setup, Standing, Taping, lock,
};
use crate::Timestamp;
use crate::capture::write::Ends;
use crate::net::meter::Totals;
use crate::net::{Clock, Sockets, Tapped};

/// The proxies of this process, by name.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    proxies: Arc<Mutex<BTreeMap<String, Arc<Controlled>>>>,
    maker: Maker,
    recordings: Arc<OnceLock<PathBuf>>,
}

/// One proxy, as it is controlled.
#[derive(Debug)]
pub struct Controlled {
    name: String,
    /// How it stands, and the way to its serve loop; of one that has none it is only known that it is there.
    standing: Mutex<Arc<Standing>>,
    demands: mpsc::Sender<Demand>,
    orders: watch::Sender<Arc<Orders>>,
    totals: Arc<Totals>,
    connections: Mutex<BTreeMap<u64, Open>>,
    journal: Arc<Journal>,
    pub(super) past: Mutex<Past>,
    pub(super) setup: Mutex<Setup>,
    pub(super) taping: Mutex<Option<Taping>>,
    /// Whose verdict is being found out.
    pub(super) judging: tokio::sync::Mutex<()>,
    armed: AtomicU64,
}

/// A connection that is open.
#[derive(Clone, Debug)]
pub struct Open {
    /// Its addresses.
    pub ends: Ends,
    /// When it began.
    pub since: Timestamp,
    /// The way to its link.
    pub handle: Handle<Tapped>,
}

/// Demands that may wait for a serve loop.
const MOST_DEMANDS: usize = 16;

impl Registry {
    /// One where proxies can be made too, by [`Self::create`]: what is returned is for the [`crate::net::serve_fleet`] that
    /// is to serve them. Their sockets are these.
    pub fn making(sockets: Sockets) -> (Self, Newcomers) {
        let (maker, newcomers) = Maker::new(sockets);
        (Self { maker, ..Self::default() }, newcomers)
    }

    pub(super) const fn maker(&self) -> &Maker {
        &self.maker
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Arc<Controlled>> {
        lock(&self.proxies).values().cloned().collect()
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Controlled>> {
        lock(&self.proxies).get(name).cloned()
    }

    /// One more, or one in the place of another of its name.
    pub fn enter(&self, proxy: Arc<Controlled>) {
        let other = lock(&self.proxies).insert(proxy.name.clone(), Arc::clone(&proxy));
        // It may be there already: it is entered again once it serves.
        if let Some(other) = other.filter(|other| !Arc::ptr_eq(other, &proxy)) {
            other.journal.end();
        }
    }

    /// One more, unless there is one of its name, or there are as many as there may be.
    ///
    /// # Errors
    /// The other's name is taken, or there are so many.
    pub(super) fn enter_new(&self, proxy: &Arc<Controlled>, most: usize) -> Result<(), CreateError> {
        let mut proxies = lock(&self.proxies);
        let found = proxies.len();
        match proxies.entry(proxy.name.clone()) {
            Entry::Occupied(_) => Err(CreateError::Exists),
            Entry::Vacant(_) if found >= most => Err(CreateError::TooMany(most)),
            Entry::Vacant(vacant) => {
                vacant.insert(Arc::clone(proxy));
                Ok(())
            }
        }
    }

    /// This one is there no more, though another of its name may be.
    pub(in crate::net) fn leave(&self, proxy: &Arc<Controlled>) {
        let mut proxies = lock(&self.proxies);
        if proxies.get(&proxy.name).is_some_and(|there| Arc::ptr_eq(there, proxy)) {
            proxies.remove(&proxy.name);
            proxy.journal.end();
        }
    }

    /// The folder that recordings may be written to; it cannot be changed.
    pub fn record_into(&self, folder: PathBuf) {
        self.recordings.set(folder).ok();
    }

    /// That folder, if there is one.
    pub fn recordings(&self) -> Option<&PathBuf> {
        self.recordings.get()
    }

    /// Nobody listens to any proxy any more: the tool is about to end.
    pub fn end(&self) {
        self.all().iter().for_each(|proxy| proxy.journal.end());
    }
}

impl Controlled {
    /// A proxy of which nothing is wanted yet, and whose serve loop obeys nobody.
    pub fn new(name: &str) -> Self {
        let listen = Place { text: String::new(), addresses: Vec::new() };
        Self::steered(name, Standing { listen, upstream: String::new(), enabled: true }, Arc::default()).0
    }

    /// A proxy that stands so, of which nothing is wanted yet, and whose counts go on from these. What is returned with it is for
    /// its serve loop.
    pub(in crate::net) fn steered(
        name: &str,
        standing: Standing,
        totals: Arc<Totals>,
    ) -> (Self, mpsc::Receiver<Demand>) {
        let (demands, demanded) = mpsc::channel(MOST_DEMANDS);
        let controlled = Self {
            name: name.to_owned(),
            standing: Mutex::new(Arc::new(standing)),
            demands,
            orders: watch::Sender::default(),
            totals,
            connections: Mutex::default(),
            journal: Arc::default(),
            past: Mutex::default(),
            setup: Mutex::default(),
            taping: Mutex::default(),
            judging: tokio::sync::Mutex::default(),
            armed: AtomicU64::new(0),
        };
        (controlled, demanded)
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it stands.
    pub fn standing(&self) -> Arc<Standing> {
        Arc::clone(&lock(&self.standing))
    }

    /// How it stands from now on.
    pub(in crate::net) fn stand(&self, standing: Standing) {
        *lock(&self.standing) = Arc::new(standing);
    }

    /// Has it stand otherwise, and says how it does then: where it is moved or disabled, its connections have ended.
    ///
    /// # Errors
    /// It cannot; where it was to listen elsewhere, it lets nobody in then.
    pub async fn change(&self, change: Change) -> Result<Standing, ChangeError> {
        let (to, answer) = oneshot::channel();
        self.demands.send(Demand::Change(change, to)).await.map_err(|_| ChangeError::Ended)?;
        answer.await.unwrap_or(Err(ChangeError::Ended))
    }

    /// Has it end, and waits for that: its listeners are closed, its connections have ended, and its name is free. Says
    /// whether it was there to be ended.
    pub async fn end(&self) -> bool {
        let (to, ended) = oneshot::channel();
        self.demands.send(Demand::End(to)).await.is_ok() && ended.await.is_ok()
    }

    /// Waits until every connection that is open has taken the orders that there are now: what is read of it afterwards
    /// meets them.
    pub async fn obeyed(&self) {
        let visits = self.connections().into_values().map(|open| async move { open.handle.visit(|_, _| ()).await });
        join_all(visits).await;
    }

    /// What is counted of it.
    pub const fn totals(&self) -> &Arc<Totals> {
        &self.totals
    }

    /// What is wanted of its connections.
    pub fn orders(&self) -> Arc<Orders> {
        Arc::clone(&self.orders.borrow())
    }

    /// Changes what is wanted: of the connections that are open at once, and of those to come.
    pub fn order<R>(&self, change: impl FnOnce(&mut Orders) -> R) -> R {
        let mut result = None;
        self.orders.send_if_modified(|orders| {
            let mut wanted = Orders::clone(orders);
            result = Some(change(&mut wanted));
            wanted.number(orders);
            let is_new = wanted != **orders;
            if is_new {
                *orders = Arc::new(wanted);
            }
            is_new
        });
        result.expect("send_if_modified calls what it is given")
    }

    /// Where the journals of its connections can be listened to.
    pub const fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// The number of another time that a scenario is armed.
    pub fn next_arming(&self) -> u64 {
        self.armed.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The connections that are open, by number.
    pub fn connections(&self) -> BTreeMap<u64, Open> {
        lock(&self.connections).clone()
    }

    /// A connection begins. What is returned is for its link.
    pub(in crate::net) fn opened(&self, id: u64, ends: Ends) -> Control<Tapped> {
        let (control, handle) = Control::new(self.orders.subscribe());
        let since = Clock::start().now();
        lock(&self.connections).insert(id, Open { ends, since, handle });
        control
    }

    /// A connection has ended.
    pub(in crate::net) fn ended(&self, id: u64) {
        lock(&self.connections).remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::control::Hearing;

    #[test]
    fn whoever_takes_the_place_of_another_ends_its_journal_and_not_its_own() {
        let registry = Registry::default();
        let (first, second) = (Arc::new(Controlled::new("p")), Arc::new(Controlled::new("p")));
        registry.enter(Arc::clone(&first));
        registry.enter(Arc::clone(&first));
        assert!(first.journal.listen(Hearing::default()).is_some());
        registry.enter(Arc::clone(&second));
        assert!(first.journal.listen(Hearing::default()).is_none());
        assert!(second.journal.listen(Hearing::default()).is_some());
    }
}
