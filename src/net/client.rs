use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;

use super::peer::{Machine, Peer};
use super::{Clock, DialError, Shutdown, Stop, Target, dial};
use crate::Timestamp;
use crate::journal::How;
use crate::node::consumer::{Client, ClientConfig, Output};

/// Dials a producer and runs this project's own consumer on the connection, until the consumer has what it wants, the
/// connection is closed, or `shutdown` says stop. What it has seen is in the client that is handed back.
///
/// # Errors
/// The producer cannot be reached within `limit`.
pub async fn consume(
    target: &Target,
    limit: Duration,
    config: ClientConfig,
    shutdown: &Shutdown,
) -> Result<Client, DialError> {
    let stream = dial(target, limit).await?;
    let clock = Clock::start();
    let machine = Consumer::new(Client::new(config, clock.now()));
    Ok(Peer::new(machine, stream, clock).run(shutdown.listen()).await.client)
}

/// As [`consume`], and not for longer than `timeout`.
///
/// # Errors
/// As there.
pub async fn consume_for(
    timeout: Option<Duration>,
    target: &Target,
    limit: Duration,
    config: ClientConfig,
    shutdown: &Shutdown,
) -> Result<Client, DialError> {
    let mut consuming = pin!(consume(target, limit, config, shutdown));
    tokio::select! {
        client = &mut consuming => return client,
        () = sleep(timeout.unwrap_or_default()), if timeout.is_some() => shutdown.stop(Stop::Now),
    }
    consuming.await
}

/// A client, with what it wants done.
#[derive(Debug)]
struct Consumer {
    client: Client,
    ready: Vec<u8>,
    waits_for: Option<Timestamp>,
    closing: Option<How>,
}

impl Consumer {
    fn new(client: Client) -> Self {
        let mut consumer = Self { client, ready: Vec::new(), waits_for: None, closing: None };
        consumer.drain();
        consumer
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll() {
            match output {
                Output::Write(bytes) => self.ready.extend_from_slice(&bytes),
                Output::Close => self.closing = Some(How::Fin),
                Output::Wait(at) => self.waits_for = at,
            }
        }
    }
}

/// What a client that answers may have waiting before nothing more is read.
const READY_LIMIT: usize = 256 * 1024;

impl Machine for Consumer {
    fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        self.client.feed(bytes, now);
        self.drain();
    }

    fn closed(&mut self, _: How, now: Timestamp) {
        self.client.closed(now);
        self.drain();
        self.closing.get_or_insert(How::Fin);
    }

    fn wakeup(&mut self, now: Timestamp) {
        self.waits_for = None;
        self.client.wakeup(now);
        self.drain();
    }

    fn next_wakeup(&self, _: Timestamp) -> Option<Timestamp> {
        self.waits_for
    }

    fn pull(&mut self, to: &mut Vec<u8>, _: usize, _: Timestamp) {
        to.append(&mut self.ready);
    }

    fn closing(&self) -> Option<How> {
        self.closing.filter(|_| self.ready.is_empty())
    }

    fn wants_input(&self) -> bool {
        self.ready.len() < READY_LIMIT
    }
}
