use tokio::sync::watch;

/// How the process is, for whoever asks over HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Condition {
    /// It does not serve yet.
    #[default]
    Starting,
    /// So many proxies let connections in.
    Serving(usize),
    /// It has been told to stop: nobody is let in any more.
    Draining,
}

/// Where the proxies write how they are, and whoever asks reads it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    condition: watch::Sender<Condition>,
}

impl Health {
    /// How the process is.
    pub fn condition(&self) -> Condition {
        *self.condition.borrow()
    }

    pub(super) fn set(&self, condition: Condition) {
        self.condition.send_replace(condition);
    }
}
