use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;

use super::peer::{Machine, Peer};
use super::{Clock, DialError, Shutdown, Stop, Upstream};
use crate::Timestamp;
use crate::journal::How;
use crate::node::consumer::{Client, ClientConfig, Pulled};

/// Dials a producer and runs this project's own consumer on the connection, until the consumer has what it wants, the
/// connection is closed, or `shutdown` says stop. What it has seen is in the client that is handed back.
///
/// # Errors
/// The producer cannot be reached within `limit`.
pub async fn consume(
    upstream: impl Into<Upstream>,
    limit: Duration,
    config: ClientConfig,
    shutdown: &Shutdown,
) -> Result<Client, DialError> {
    let leg = upstream.into().dial(limit).await?;
    let clock = Clock::start();
    let machine = Pulled::new(Client::new(config, clock.now()));
    Ok(Peer::new(machine, leg, clock).run(shutdown.listen()).await.into_client())
}

/// As [`consume`], and not for longer than `timeout`.
///
/// # Errors
/// As there.
pub async fn consume_for(
    timeout: Option<Duration>,
    upstream: impl Into<Upstream>,
    limit: Duration,
    config: ClientConfig,
    shutdown: &Shutdown,
) -> Result<Client, DialError> {
    let mut consuming = pin!(consume(upstream, limit, config, shutdown));
    tokio::select! {
        client = &mut consuming => return client,
        () = sleep(timeout.unwrap_or_default()), if timeout.is_some() => shutdown.stop(Stop::Now),
    }
    consuming.await
}

impl Machine for Pulled {
    fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        Self::feed(self, bytes, now);
    }

    fn closed(&mut self, _: How, now: Timestamp) {
        Self::closed(self, now);
    }

    fn wakeup(&mut self, now: Timestamp) {
        Self::wakeup(self, now);
    }

    fn next_wakeup(&self, _: Timestamp) -> Option<Timestamp> {
        Self::next_wakeup(self)
    }

    fn pull(&mut self, to: &mut Vec<u8>, _: usize, _: Timestamp) {
        Self::pull(self, to);
    }

    fn closing(&self) -> Option<How> {
        self.is_closing().then_some(How::Fin)
    }

    fn wants_input(&self) -> bool {
        Self::wants_input(self)
    }
}
