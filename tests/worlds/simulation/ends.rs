use std::collections::VecDeque;

use bytes::Bytes;
use dcproxy::Timestamp;
use dcproxy::journal::How;
use dcproxy::node;
use dcproxy::node::Node;
use dcproxy::node::consumer;
use dcproxy::node::consumer::Client;
use dcproxy::node::consumer::ClientConfig;

use super::world::Peer;
use super::world::START;
use super::world::Said;

/// The embedded node as an end.
#[derive(Debug)]
pub(crate) struct Server {
    connection: node::Connection,
    now: Timestamp,
    announced: Option<Timestamp>,
    /// How it closed, if it did.
    pub(crate) closed: Option<How>,
}

impl Server {
    pub(crate) fn new(node: &Node) -> Self {
        Self { connection: node::Connection::new(node, START), now: START, announced: None, closed: None }
    }
}

impl Peer for Server {
    fn feed(&mut self, bytes: Bytes, now: Timestamp) {
        self.now = now;
        self.connection.feed(&bytes, now);
    }

    fn closed(&mut self, how: How, now: Timestamp) {
        self.now = now;
        let how = match how {
            How::Fin => node::How::Fin,
            How::Reset => node::How::Reset,
        };
        self.connection.closed(how, now);
    }

    fn wakeup(&mut self, now: Timestamp) {
        self.now = now;
        self.announced = None;
        self.connection.wakeup(now);
    }

    fn poll(&mut self) -> Option<Said> {
        if self.closed.is_some() {
            return None;
        }
        if let Some(how) = self.connection.closing() {
            let how = match how {
                node::How::Fin => How::Fin,
                node::How::Reset => How::Reset,
            };
            self.closed = Some(how);
            return Some(Said::Close(how));
        }
        let wanted = self.connection.next_wakeup(self.now);
        (self.announced != wanted).then(|| {
            self.announced = wanted;
            Said::Wait(wanted)
        })
    }

    fn pull(&mut self, room: usize, now: Timestamp) -> Option<Bytes> {
        let mut bytes = Vec::new();
        self.now = now;
        self.connection.pull(&mut bytes, room, now);
        (!bytes.is_empty()).then(|| bytes.into())
    }

    fn wants_input(&self) -> bool {
        self.connection.wants_input()
    }
}

/// The project's own consumer as an end.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) client: Client,
    queue: VecDeque<Said>,
}

impl Consumer {
    pub(crate) fn new(config: ClientConfig) -> Self {
        let mut this = Self { client: Client::new(config, START), queue: VecDeque::new() };
        this.drain();
        this
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll() {
            self.queue.push_back(match output {
                consumer::Output::Write(bytes) => Said::Write(bytes),
                consumer::Output::Close => Said::Close(How::Fin),
                consumer::Output::Wait(until) => Said::Wait(until),
            });
        }
    }
}

impl Peer for Consumer {
    fn feed(&mut self, bytes: Bytes, now: Timestamp) {
        self.client.feed(&bytes, now);
        self.drain();
    }

    fn closed(&mut self, _: How, now: Timestamp) {
        self.client.closed(now);
        self.drain();
    }

    fn wakeup(&mut self, now: Timestamp) {
        self.client.wakeup(now);
        self.drain();
    }

    fn poll(&mut self) -> Option<Said> {
        self.queue.pop_front()
    }
}

/// An end that goes away at a time of its own, whatever it is doing.
#[derive(Debug)]
pub(crate) struct Leaver<P> {
    pub(crate) end: P,
    at: Timestamp,
    how: How,
    inner: Option<Timestamp>,
    announced: Option<Timestamp>,
    pub(crate) left: bool,
}

impl<P: Peer> Leaver<P> {
    pub(crate) fn new(end: P, at: Timestamp, how: How) -> Self {
        Self { end, at, how, inner: None, announced: None, left: false }
    }
}

impl<P: Peer> Peer for Leaver<P> {
    fn feed(&mut self, bytes: Bytes, now: Timestamp) {
        if !self.left {
            self.end.feed(bytes, now);
        }
    }

    fn closed(&mut self, how: How, now: Timestamp) {
        if !self.left {
            self.end.closed(how, now);
        }
    }

    fn wakeup(&mut self, now: Timestamp) {
        self.announced = None;
        if self.inner.is_some_and(|due| due <= now) && !self.left {
            self.inner = None;
            self.end.wakeup(now);
        }
        if now >= self.at && !self.left {
            self.left = true;
            self.announced = Some(Timestamp(0));
        }
    }

    fn poll(&mut self) -> Option<Said> {
        if self.left {
            return self.announced.take().map(|_| Said::Close(self.how));
        }
        while let Some(said) = self.end.poll() {
            match said {
                Said::Wait(until) => self.inner = until,
                Said::Write(_) | Said::Close(_) => return Some(said),
            }
        }
        let wanted = Some(self.inner.map_or(self.at, |due| due.min(self.at)));
        (self.announced != wanted).then(|| {
            self.announced = wanted;
            Said::Wait(wanted)
        })
    }

    fn pull(&mut self, room: usize, now: Timestamp) -> Option<Bytes> {
        if self.left { None } else { self.end.pull(room, now) }
    }

    fn wants_input(&self) -> bool {
        self.left || self.end.wants_input()
    }
}
