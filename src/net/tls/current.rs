use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Acceptor, Connector, SetUpError};

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

/// Reads certificates and keys again at every SIGHUP, for connections made from then on. What cannot be used is told of, and
/// leaves the old ones in force.
///
/// # Errors
/// The system gives no signals.
#[cfg(unix)]
pub fn reread_on_hangup(acceptors: Vec<Acceptor>, connectors: Vec<Connector>) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    if acceptors.is_empty() && connectors.is_empty() {
        return Ok(());
    }
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            let acceptors = acceptors.iter().map(Acceptor::reread);
            for read in acceptors.chain(connectors.iter().map(Connector::reread)) {
                match read {
                    Ok(()) => tracing::info!("certificates were read again"),
                    Err(error) => tracing::warn!("{error}; the certificates read before stay in force"),
                }
            }
        }
    });
    Ok(())
}

/// There is no SIGHUP here: nothing is read again.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn reread_on_hangup(_: Vec<Acceptor>, _: Vec<Connector>) -> io::Result<()> {
    Ok(())
}
