use std::collections::VecDeque;
use std::io;
use std::io::ErrorKind;
use std::io::IoSlice;
use std::net::Shutdown;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use futures_util::FutureExt;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, Interest, Ready};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Leg;
use super::blocks::{Block, ReadSize};
use super::tls::Sealed;
use super::unsent::unacknowledged;
use crate::journal::How;

const SLICES: usize = 64;
/// The length of a queue that is kept though nothing waits.
const KEPT_QUEUE: usize = 16;
/// How long bytes written before a reset are waited for where the system does not tell whether they have arrived.
const BLIND_WAIT: Duration = Duration::from_millis(100);

/// One socket of a link: what is read from it, and the bytes and the close that wait to be written to it. Nothing here
/// waits: the link does.
///
/// ```text
/// inbound:   Open --FIN--> Finished            outbound:  Open --close--> Closing --flushed--> (FIN) Closed
///              \-----RST--------\--> Reset                  |               \--flushed--> Draining --arrived--> (RST)
///                                                           \--write fails--> Closed
/// ```
/// Either RST, received or sent, drops the socket: `stream` is `None` then.
#[derive(Debug)]
pub(super) struct End {
    stream: Option<TcpStream>,
    /// The TLS on it: `queue` holds plaintext.
    tls: Option<Box<Sealed>>,
    read_size: ReadSize,
    /// Whether there may be something to read: else the socket is waited for, and not asked.
    may_have: bool,
    inbound: Inbound,
    outbound: Outbound,
    queue: VecDeque<Bytes>,
    /// Its bytes.
    queued: usize,
    /// The bytes that were ever to be written, but for those that were given up.
    accepted: u64,
    broken: Option<Instant>,
    /// Whether a reset was sent, and nobody has asked yet.
    reset_sent: bool,
    /// Why the other end would have none of the TLS that was agreed on, if it says so before anything else.
    refusal: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Inbound {
    Open,
    Finished,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outbound {
    Open,
    Closing(How, Instant),
    Draining { since: Instant, until: Instant },
    Closed,
}

/// What came of a read.
#[derive(Debug)]
pub(super) enum Received {
    Bytes(Bytes),
    Closed(How),
    Nothing,
}

impl End {
    pub(super) fn new(leg: impl Into<Leg>) -> Self {
        let Leg { stream, tls } = leg.into();
        Self {
            stream: Some(stream),
            tls: tls.map(|tls| Box::new(Sealed::new(*tls))),
            read_size: ReadSize::default(),
            may_have: true,
            inbound: Inbound::Open,
            outbound: Outbound::Open,
            queue: VecDeque::new(),
            queued: 0,
            accepted: 0,
            broken: None,
            reset_sent: false,
            refusal: None,
        }
    }

    /// Has the runtime of this task tell what its socket does, instead of the one that it was connected in. Where the system
    /// has no room for that, the socket is gone.
    pub(super) fn move_here(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        match stream.into_std().and_then(TcpStream::from_std) {
            Ok(stream) => self.stream = Some(stream),
            Err(error) => {
                tracing::warn!("a connection is dropped, as its socket cannot be watched: {error}");
                self.drop_socket();
            }
        }
    }

    /// The bytes that wait to be written.
    pub(super) fn queued(&self) -> usize {
        self.queued.saturating_add(self.tls.as_ref().map_or(0, |tls| tls.waiting()))
    }

    /// The bytes that were ever to be written, but for those that were given up.
    pub(super) const fn taken_up(&self) -> u64 {
        self.accepted
    }

    /// Of these, those that the system has taken.
    pub(super) fn written_out(&self) -> u64 {
        self.accepted.saturating_sub(self.queued() as u64)
    }

    /// Why the other end refused the TLS connection, where it did so once this end thought it made.
    pub(super) const fn refusal(&mut self) -> Option<String> {
        self.refusal.take()
    }

    /// Both directions are over.
    pub(super) fn is_over(&self) -> bool {
        self.stream.is_none() || (self.inbound == Inbound::Finished && self.outbound == Outbound::Closed)
    }

    /// Since when the socket has been known to be torn down while bytes that came before may still be read from it.
    pub(super) const fn broken_since(&self) -> Option<Instant> {
        if self.stream.is_some() { self.broken } else { None }
    }

    /// Reads once, if there may be anything: `most` bytes at the most, and less where they go on `behind` what waits for the
    /// other end.
    pub(super) fn read(&mut self, behind: bool, most: usize) -> Received {
        let is_ahead = self.is_ahead();
        let Some(stream) = &mut self.stream else { return Received::Nothing };
        if self.inbound == Inbound::Finished {
            return if self.broken.is_some() { self.reset() } else { Received::Nothing };
        }
        if !self.may_have && !is_ahead {
            return Received::Nothing;
        }
        let mut size = self.read_size.next(behind, most);
        let len = size.len();
        let mut block = Block::take(size);
        let (read, is_full) = match &mut self.tls {
            None => {
                let read = stream.read_buf(&mut block.space().limit(len)).now_or_never();
                let read = read.unwrap_or_else(|| Err(ErrorKind::WouldBlock.into()));
                let is_full = matches!(read, Ok(read) if read >= len);
                (read, is_full)
            }
            Some(tls) => (tls.read(stream, block.space(), len), tls.was_full()),
        };
        // What a socket did not fill has emptied it.
        self.may_have = is_full;
        match read {
            Ok(0) if self.broken.is_some() => self.reset(),
            Ok(0) => {
                block.keep();
                self.inbound = Inbound::Finished;
                Received::Closed(How::Fin)
            }
            Ok(read) => {
                size.brought(read, is_full);
                self.read_size = size;
                Received::Bytes(block.filled())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                block.keep();
                Received::Nothing
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                self.may_have = true;
                Received::Nothing
            }
            Err(_) => {
                self.refusal = self.tls.as_mut().and_then(|tls| tls.give_up(stream));
                self.reset()
            }
        }
    }

    /// Gives up what may still be read from a socket that was torn down.
    pub(super) fn reset(&mut self) -> Received {
        self.drop_socket();
        Received::Closed(How::Reset)
    }

    /// Whether the reset that was asked for was sent, or came too late for a socket that was torn down: once.
    pub(super) const fn has_been_reset(&mut self) -> bool {
        std::mem::replace(&mut self.reset_sent, false)
    }

    /// Appends to what waits to be written; what comes after a close goes nowhere.
    pub(super) fn write(&mut self, bytes: Bytes) {
        if self.outbound == Outbound::Open && !bytes.is_empty() {
            self.queued += bytes.len();
            self.accepted += bytes.len() as u64;
            self.queue.push_back(bytes);
        }
    }

    /// Closes once all that waits is written. A reset gives up after `grace`, so that an end that reads nothing does not
    /// keep it from happening.
    pub(super) fn close(&mut self, how: How, grace: Duration) {
        let until = Instant::now() + grace;
        match (self.outbound, how) {
            (Outbound::Open, _) => self.outbound = Outbound::Closing(how, until),
            (Outbound::Closing(How::Fin, _), How::Reset) => self.outbound = Outbound::Closing(How::Reset, until),
            (Outbound::Closed, How::Reset) => self.drain(until),
            (Outbound::Closing(..) | Outbound::Draining { .. } | Outbound::Closed, _) => {}
        }
    }

    /// Writes what can be written at once, and closes if that is what comes next.
    pub(super) fn flush(&mut self) {
        self.write_queue();
        if let Outbound::Closing(how, until) = self.outbound
            && self.is_flushed()
        {
            match how {
                How::Fin => {
                    if self.has_said_that_it_closes() {
                        self.finish();
                    }
                }
                How::Reset => self.drain(until),
            }
        }
        self.settle_reset();
    }

    /// When to call [`Self::flush`] at the latest, though nothing is heard from the socket: while a reset waits.
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        match self.outbound {
            Outbound::Closing(How::Reset, until) => Some(until),
            // Short at first, longer as it lasts.
            Outbound::Draining { since, until } => {
                let pause = (now - since).clamp(Duration::from_millis(1), Duration::from_millis(50));
                Some(until.min(now + pause))
            }
            Outbound::Closing(How::Fin, _) | Outbound::Open | Outbound::Closed => None,
        }
    }

    /// Takes note of what [`Self::ready`] has waited for.
    pub(super) fn heard(&mut self, ready: Ready) {
        self.may_have |= ready.is_readable() || ready.is_read_closed();
        if ready.is_error() {
            self.note_broken();
        }
    }

    /// Waits until there is something to do: bytes or an end to read (if they `may` be read), room for bytes that wait,
    /// or the news that the socket was torn down.
    pub(super) async fn ready(&self, may_read: bool) -> Ready {
        let writes = !self.is_flushed();
        let reads = may_read && self.reads();
        let Some(stream) = &self.stream else { return std::future::pending().await };
        if reads && self.is_ahead() {
            return Ready::READABLE;
        }
        // Once heard of, it would be heard of for ever.
        let mut interest = self.broken.is_none().then_some(Interest::ERROR);
        for (wanted, kind) in [(reads, Interest::READABLE), (writes, Interest::WRITABLE)] {
            if wanted {
                interest = Some(interest.map_or(kind, |interest| interest | kind));
            }
        }
        match interest {
            Some(interest) => stream.ready(interest).await.unwrap_or(Ready::ERROR),
            None => std::future::pending().await,
        }
    }

    /// Whether anything is still to come from this end: bytes, a FIN, or the reset of a socket known to be torn down.
    pub(super) fn reads(&self) -> bool {
        let expects = self.inbound == Inbound::Open || self.broken.is_some();
        self.stream.is_some() && expects && !self.is_resetting()
    }

    /// Whether what is written has somewhere to go.
    pub(super) fn takes_writes(&self) -> bool {
        self.stream.is_some() && self.outbound == Outbound::Open && self.broken.is_none()
    }

    /// Notes that the socket was torn down. What came before can still be read.
    fn note_broken(&mut self) {
        self.broken.get_or_insert_with(Instant::now);
        self.may_have = true;
    }

    /// Whether there is something to read, whatever the socket says.
    fn is_ahead(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_ahead())
    }

    fn is_resetting(&self) -> bool {
        matches!(self.outbound, Outbound::Closing(How::Reset, _) | Outbound::Draining { .. })
    }

    /// Whether nothing waits to be written, or can be any more.
    fn is_flushed(&self) -> bool {
        let sealed = self.tls.as_ref().is_some_and(|tls| tls.wants_write()) && self.outbound != Outbound::Closed;
        self.queue.is_empty() && !sealed
    }

    /// Over TLS a FIN is announced; true once that has been written.
    fn has_said_that_it_closes(&mut self) -> bool {
        if let Some(tls) = &mut self.tls {
            tls.close();
        }
        self.write_queue();
        self.is_flushed()
    }

    fn write_queue(&mut self) {
        while let Some(stream) = &self.stream
            && !self.is_flushed()
        {
            let written = match (&mut self.tls, self.queue.front()) {
                // Most often there is no more, and send(2) does less about it than writev(2).
                (None, Some(alone)) if self.queue.len() == 1 => stream.try_write(alone),
                (tls, _) => {
                    let mut slices = [IoSlice::new(&[]); SLICES];
                    for (slice, bytes) in slices.iter_mut().zip(&self.queue) {
                        *slice = IoSlice::new(bytes);
                    }
                    let slices = &slices[..self.queue.len().min(SLICES)];
                    match tls {
                        None => stream.try_write_vectored(slices),
                        Some(tls) => tls.write(stream, slices),
                    }
                }
            };
            match written {
                Ok(written) => self.written(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.note_broken();
                    self.give_up_writing();
                }
            }
        }
    }

    fn written(&mut self, mut written: usize) {
        self.queued -= written;
        while let Some(first) = self.queue.front_mut() {
            if written < first.len() {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.queue.pop_front();
        }
        if self.queue.capacity() > KEPT_QUEUE {
            self.queue = VecDeque::new();
        }
    }

    fn give_up_writing(&mut self) {
        self.outbound = Outbound::Closed;
        self.queue = VecDeque::new();
        self.accepted = self.accepted.saturating_sub(self.queued as u64);
        self.queued = 0;
    }

    fn finish(&mut self) {
        self.outbound = Outbound::Closed;
        if let Some(stream) = &self.stream
            && shutdown(stream).is_err()
        {
            self.note_broken();
        }
    }

    fn drain(&mut self, until: Instant) {
        if self.stream.is_some() {
            self.outbound = Outbound::Draining { since: Instant::now(), until };
        }
    }

    /// Sends the reset as soon as everything written has arrived: a reset throws away what the kernel has not sent.
    fn settle_reset(&mut self) {
        let (since, until, written) = match self.outbound {
            Outbound::Draining { since, until } => (since, until, true),
            Outbound::Closing(How::Reset, until) => (until, until, false),
            Outbound::Closing(How::Fin, _) | Outbound::Open | Outbound::Closed => return,
        };
        let Some(stream) = &self.stream else { return };
        let now = Instant::now();
        let arrived = written
            && match unacknowledged(stream) {
                Some(bytes) => bytes == 0,
                None => now >= since + BLIND_WAIT,
            };
        if arrived || now >= until || self.broken.is_some() {
            if let Err(error) = stream.set_zero_linger() {
                tracing::debug!(%error, "SO_LINGER not set: a FIN takes the place of the RST");
            }
            self.drop_socket();
            self.reset_sent = true;
        }
    }

    fn drop_socket(&mut self) {
        self.stream = None;
        self.tls = None;
        self.inbound = Inbound::Finished;
        self.give_up_writing();
    }
}

fn shutdown(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).shutdown(Shutdown::Write)
}
