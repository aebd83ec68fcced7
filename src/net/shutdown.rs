use std::io;

use tokio::sync::watch;

/// How soon everything is to end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Stop {
    /// Not yet.
    #[default]
    No,
    /// Let nobody in any more; those who are in go on as long as they like.
    Drain,
    /// Begin nothing new, and end as soon as what has begun has settled.
    Settle,
    /// At once.
    Now,
}

/// Tells all tasks when to stop.
#[derive(Clone, Debug)]
pub struct Shutdown {
    sender: watch::Sender<Stop>,
}

impl Shutdown {
    /// One that only [`Self::stop`] triggers.
    #[expect(clippy::new_without_default, reason = "a shutdown is always started on purpose")]
    pub fn new() -> Self {
        Self { sender: watch::Sender::new(Stop::No) }
    }

    /// One that SIGINT and SIGTERM trigger: the first settles, the second ends at once.
    #[cfg(unix)]
    pub fn on_signals() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        let shutdown = Self::new();
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let told = shutdown.clone();
        tokio::spawn(async move {
            for stop in [Stop::Settle, Stop::Now] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                told.stop(stop);
            }
        });
        Ok(shutdown)
    }

    /// One that Ctrl-C triggers: the first settles, the second ends at once.
    #[cfg(not(unix))]
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let told = shutdown.clone();
        tokio::spawn(async move {
            for stop in [Stop::Settle, Stop::Now] {
                if tokio::signal::ctrl_c().await.is_err() {
                    return;
                }
                told.stop(stop);
            }
        });
        Ok(shutdown)
    }

    /// Stops so soon, or sooner if that was said before.
    pub fn stop(&self, stop: Stop) {
        self.sender.send_if_modified(|current| {
            let sooner = stop > *current;
            *current = stop.max(*current);
            sooner
        });
    }

    /// What a task listens to.
    pub fn listen(&self) -> watch::Receiver<Stop> {
        self.sender.subscribe()
    }
}
