use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{Control, Handle, Orders};
use crate::capture::write::Ends;
use crate::net::Tapped;

/// The proxies of this process, by name.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    proxies: Arc<Mutex<BTreeMap<String, Arc<Controlled>>>>,
}

/// One proxy, as it is controlled.
#[derive(Debug)]
pub struct Controlled {
    name: String,
    orders: watch::Sender<Arc<Orders>>,
    connections: Mutex<BTreeMap<u64, Open>>,
}

/// A connection that is open.
#[derive(Clone, Debug)]
pub struct Open {
    /// Its addresses.
    pub ends: Ends,
    /// The way to its link.
    pub handle: Handle<Tapped>,
}

/// No guard of these is held across anything that waits, or that is of a user's size.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
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
        lock(&self.proxies).insert(proxy.name.clone(), proxy);
    }

    /// That of this name is there no more.
    pub fn remove(&self, name: &str) -> Option<Arc<Controlled>> {
        lock(&self.proxies).remove(name)
    }
}

impl Controlled {
    /// A proxy of which nothing is wanted yet.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), orders: watch::Sender::default(), connections: Mutex::default() }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
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
            let is_new = wanted != **orders;
            if is_new {
                *orders = Arc::new(wanted);
            }
            is_new
        });
        result.expect("send_if_modified calls what it is given")
    }

    /// The connections that are open, by number.
    pub fn connections(&self) -> BTreeMap<u64, Open> {
        lock(&self.connections).clone()
    }

    /// A connection begins. What is returned is for its link.
    pub(in crate::net) fn opened(&self, id: u64, ends: Ends) -> Control<Tapped> {
        let (control, handle) = Control::new(self.orders.subscribe());
        lock(&self.connections).insert(id, Open { ends, handle });
        control
    }

    /// A connection has ended.
    pub(in crate::net) fn ended(&self, id: u64) {
        lock(&self.connections).remove(&id);
    }
}
