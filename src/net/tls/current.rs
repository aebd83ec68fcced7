use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Acceptor, Connector, SetUpError};
use crate::net::{Reload, Route};

type Make<T> = Box<dyn Fn() -> Result<T, SetUpError> + Send + Sync>;

/// What is made of files, and is made again when they have changed.
pub(super) struct Current<T> {
    /// Looked at once a connection, and never for longer than a pointer is copied.
    made: RwLock<Arc<T>>,
    make: Make<T>,
}

impl<T> Current<T> {
    pub(super) fn new(
        make: impl Fn() -> Result<T, SetUpError> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, SetUpError> {
        Ok(Arc::new(Self { made: RwLock::new(Arc::new(make()?)), make: Box::new(make) }))
    }

    pub(super) fn now(&self) -> Arc<T> {
        Arc::clone(&self.made.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on what the files say; as before where they cannot be used.
    pub(super) fn reread(&self) -> Result<(), SetUpError> {
        let made = Arc::new((self.make)()?);
        *self.made.write().unwrap_or_else(PoisonError::into_inner) = made;
        Ok(())
    }
}

impl<T> fmt::Debug for Current<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").finish_non_exhaustive()
    }
}

/// The certificates and keys that are in use, and can be read again.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    acceptors: Vec<Acceptor>,
    connectors: Vec<Connector>,
}

impl Certificates {
    /// Those of these.
    pub const fn new(acceptors: Vec<Acceptor>, connectors: Vec<Connector>) -> Self {
        Self { acceptors, connectors }
    }

    /// Those that connections on these routes need.
    pub fn of<'a>(routes: impl IntoIterator<Item = &'a Route>) -> Self {
        let mut certificates = Self::default();
        for route in routes {
            certificates.acceptors.extend(route.tls.clone());
            certificates.connectors.extend(route.upstream.tls().cloned());
        }
        certificates
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.acceptors.is_empty() && self.connectors.is_empty()
    }

    /// Reads them again, for connections made from then on. What cannot be used is told of, and leaves the old ones in force.
    pub fn reread(&self) {
        let acceptors = self.acceptors.iter().map(Acceptor::reread);
        for read in acceptors.chain(self.connectors.iter().map(Connector::reread)) {
            match read {
                Ok(()) => tracing::info!("certificates were read again"),
                Err(error) => tracing::warn!("{error}; the certificates read before stay in force"),
            }
        }
    }

    /// Does [`Self::reread`] at every SIGHUP from now on. Without certificates SIGHUP is left alone.
    ///
    /// # Errors
    /// The system gives no signals.
    pub fn reread_on_hangup(self) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let mut hangups = Reload::on_signal()?.subscribe();
        tokio::spawn(async move {
            while hangups.changed().await.is_ok() {
                self.reread();
            }
        });
        Ok(())
    }
}
