use super::Client;
use super::Output;
use crate::Timestamp;

/// A [`Client`] whose bytes are pulled, as those of a [`crate::node::Connection`]: for drivers of one socket.
#[derive(Debug)]
pub struct Pulled {
    client: Client,
    ready: Vec<u8>,
    wakes: Option<Timestamp>,
    closing: bool,
}

/// What a client that answers may have waiting before nothing more is read.
const READY_LIMIT: usize = 256 * 1024;

impl Pulled {
    /// Takes a client that was just made.
    pub fn new(client: Client) -> Self {
        let mut pulled = Self { client, ready: Vec::new(), wakes: None, closing: false };
        pulled.drain();
        pulled
    }

    /// Bytes from the producer.
    pub fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        self.client.feed(bytes, now);
        self.drain();
    }

    /// The producer will send no more.
    pub fn closed(&mut self, now: Timestamp) {
        self.client.closed(now);
        self.drain();
        self.closing = true;
    }

    /// The time of [`Self::next_wakeup`] has come.
    pub fn wakeup(&mut self, now: Timestamp) {
        self.wakes = None;
        self.client.wakeup(now);
        self.drain();
    }

    /// When [`Self::wakeup`] is to be called.
    pub const fn next_wakeup(&self) -> Option<Timestamp> {
        self.wakes
    }

    /// Appends all that is ready to go out.
    pub fn pull(&mut self, to: &mut Vec<u8>) {
        to.append(&mut self.ready);
    }

    /// Whether the connection is to be closed, as all that was to go out was pulled.
    pub const fn is_closing(&self) -> bool {
        self.closing && self.ready.is_empty()
    }

    /// Whether more may be read.
    pub const fn wants_input(&self) -> bool {
        self.ready.len() < READY_LIMIT
    }

    /// Gives back what is owed and closes the connection.
    pub fn stop(&mut self, now: Timestamp) {
        self.client.acknowledge_all(now);
        self.client.stop();
        self.drain();
    }

    /// The client.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The client, as it is at the end.
    pub fn into_client(self) -> Client {
        self.client
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll() {
            match output {
                Output::Write(bytes) => self.ready.extend_from_slice(&bytes),
                Output::Close => self.closing = true,
                Output::Wait(at) => self.wakes = at,
            }
        }
    }
}
