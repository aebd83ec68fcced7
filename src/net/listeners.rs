use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::net;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use socket2::SockRef;
use tokio::net::TcpListener;

/// The listeners of a process by what they are asked for by, so that a proxy whose settings change goes on listening where
/// it did: nobody who dials meanwhile is refused.
///
/// Each is held here by a second descriptor. As long as it is, the socket listens: [`Self::keep_only`], [`Self::let_go`] and
/// [`Self::clear`] let go. Clones hold the same ones.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    held: Arc<Mutex<BTreeMap<String, net::TcpListener>>>,
}

impl Listeners {
    /// The listener of this name, or else the one that `open` opens.
    ///
    /// # Errors
    /// Those of `open`, or the system has no more descriptors.
    pub async fn listen(
        &self,
        name: &str,
        open: impl Future<Output = io::Result<TcpListener>>,
    ) -> io::Result<TcpListener> {
        let held = self.lock().get(name).map(net::TcpListener::try_clone);
        if let Some(held) = held {
            return TcpListener::from_std(held?);
        }
        let listener = open.await?;
        self.hold(name, &listener)?;
        Ok(listener)
    }

    /// Holds one that is open already.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn hold(&self, name: &str, listener: &TcpListener) -> io::Result<()> {
        let held = SockRef::from(listener).try_clone()?.into();
        self.lock().insert(name.to_owned(), held);
        Ok(())
    }

    /// Whether one is held whose name begins so.
    pub fn any_begins(&self, with: &str) -> bool {
        self.lock().keys().any(|name| name.starts_with(with))
    }

    /// Lets go of all but these.
    pub fn keep_only(&self, names: &BTreeSet<String>) {
        self.lock().retain(|name, _| names.contains(name));
    }

    /// Lets go of this one.
    pub fn let_go(&self, name: &str) {
        self.lock().remove(name);
    }

    /// Lets go of all.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, net::TcpListener>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open() -> io::Result<TcpListener> {
        TcpListener::bind(("127.0.0.1", 0)).await
    }

    #[tokio::test]
    async fn a_listener_that_is_asked_for_again_is_the_same_socket() {
        let listeners = Listeners::default();
        let first = listeners.listen("a", open()).await.expect("a listener");
        let address = first.local_addr().expect("bound");
        let second = listeners.listen("a", open()).await.expect("the same");
        assert_eq!(second.local_addr().expect("bound"), address);
        assert_ne!(listeners.listen("b", open()).await.expect("another").local_addr().expect("bound"), address);
        // Dialled before the first goes, accepted by the second.
        let _dialled = tokio::net::TcpStream::connect(address).await.expect("connected");
        drop(first);
        second.accept().await.expect("still waiting");
    }

    #[tokio::test]
    async fn what_is_let_go_of_listens_no_more_once_its_proxy_has_gone() {
        let listeners = Listeners::default();
        let first = listeners.listen("a", open()).await.expect("a listener");
        let address = first.local_addr().expect("bound");
        drop(first);
        assert!(tokio::net::TcpStream::connect(address).await.is_ok());
        listeners.keep_only(&BTreeSet::from(["b".to_owned()]));
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
    }
}
