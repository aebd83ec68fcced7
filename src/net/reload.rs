use std::io;

use tokio::sync::watch;

/// Tells all who read files at start that these are to be read again.
#[derive(Clone, Debug)]
pub struct Reload {
    sender: watch::Sender<u64>,
}

impl Reload {
    /// One that only [`Self::again`] triggers.
    #[expect(clippy::new_without_default, reason = "a reload is always wanted on purpose")]
    pub fn new() -> Self {
        Self { sender: watch::Sender::new(0) }
    }

    /// One that each SIGHUP triggers. Ask for it only where there is something to read again: a program that takes no
    /// notice of SIGHUP outlives its terminal.
    ///
    /// # Errors
    /// The signal cannot be listened to.
    #[cfg(unix)]
    pub fn on_signal() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        let reload = Self::new();
        let mut hangup = signal(SignalKind::hangup())?;
        let told = reload.clone();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                told.again();
            }
        });
        Ok(reload)
    }

    /// One that nothing triggers: there is no SIGHUP.
    ///
    /// # Errors
    /// None.
    #[cfg(not(unix))]
    pub fn on_signal() -> io::Result<Self> {
        Ok(Self::new())
    }

    /// Has the files read again. Several before anybody has come to it are one.
    pub fn again(&self) {
        self.sender.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// What a task waits for, with `changed()`: each change is a reason to read again.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.sender.subscribe()
    }
}
