use std::cell::RefCell;
use std::io;
use std::io::{BufRead, ErrorKind, IoSlice, Write};

use bytes::BytesMut;
use futures_util::FutureExt;
use rustls::Connection;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::why;

/// The plaintext that is made records of at once.
const SEALED_AT_ONCE: usize = 256 * 1024;

thread_local! {
    /// Records as they are read: taken in at once, so that no connection needs room of its own for them.
    static RECORDS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// TLS between an end and its socket: plaintext on one side, records on the other. Like the socket's own, nothing here waits:
/// what cannot be done at once is [`ErrorKind::WouldBlock`].
#[derive(Debug)]
pub(in crate::net) struct Sealed {
    tls: Connection,
    /// Whether the last read was as large as it could be: there may be more.
    full: bool,
    /// Whether there may be something to read without the socket: what came with the end of the handshake, or, behind
    /// plaintext that was read, a close or a failure.
    ahead: bool,
    closed: bool,
    failed: Option<rustls::Error>,
    /// Plaintext in records that are not written yet.
    waiting: usize,
    /// Whether any plaintext has come.
    heard: bool,
}

impl Sealed {
    /// What follows a handshake.
    pub(in crate::net) fn new(mut tls: Connection) -> Self {
        tls.set_buffer_limit(Some(SEALED_AT_ONCE));
        Self { tls, full: false, ahead: true, closed: false, failed: None, waiting: 0, heard: false }
    }

    /// Whether [`Self::read`] is to be asked at once, whatever the socket says.
    pub(in crate::net) const fn is_ahead(&self) -> bool {
        self.ahead
    }

    /// The plaintext bytes that were taken and not written.
    pub(in crate::net) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether records wait to be written.
    pub(in crate::net) fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// Whether the last read was as large as it could be.
    pub(in crate::net) const fn was_full(&self) -> bool {
        self.full
    }

    /// Reads once, `len` bytes of records at most, and appends the plaintext: 0 bytes are a close.
    pub(in crate::net) fn read(&mut self, stream: &mut TcpStream, to: &mut BytesMut, len: usize) -> io::Result<usize> {
        let before = to.len();
        if std::mem::take(&mut self.ahead) {
            self.open(&[], to);
        } else {
            self.full = false;
            let came = RECORDS.with_borrow_mut(|records| {
                if records.len() < len {
                    records.resize(len, 0);
                }
                let records = records.get_mut(..len).unwrap_or_default();
                let came = stream.read(records).now_or_never().unwrap_or_else(|| Err(ErrorKind::WouldBlock.into()))?;
                self.full = came == len;
                if let Some(records) = records.get(..came).filter(|records| !records.is_empty()) {
                    self.open(records, to);
                }
                io::Result::Ok(came)
            })?;
            if came == 0 {
                tracing::debug!("{} closed without close_notify: what it meant to send may be cut off", self.other());
                return Ok(0);
            }
        }
        let taken = to.len() - before;
        match &self.failed {
            _ if taken > 0 => {
                self.heard = true;
                self.ahead = self.closed || self.failed.is_some();
                Ok(taken)
            }
            Some(error) => Err(io::Error::new(ErrorKind::InvalidData, error.clone())),
            None if self.closed => Ok(0),
            None => Err(ErrorKind::WouldBlock.into()),
        }
    }

    /// Takes records in, and all plaintext that there is then.
    fn open(&mut self, mut records: &[u8], to: &mut BytesMut) {
        loop {
            match self.tls.process_new_packets() {
                Ok(state) => self.closed = state.peer_has_closed(),
                Err(error) => self.failed = Some(error),
            }
            let mut reader = self.tls.reader();
            while let Ok(plaintext) = reader.fill_buf()
                && !plaintext.is_empty()
            {
                let len = plaintext.len();
                to.extend_from_slice(plaintext);
                reader.consume(len);
            }
            // Nothing that follows a close counts.
            if self.closed || self.failed.is_some() || records.is_empty() {
                return;
            }
            if let Err(error) = self.tls.read_tls(&mut records) {
                self.failed = Some(rustls::Error::General(error.to_string()));
            }
        }
    }

    /// Writes what waits and, once that is gone, as much of the plaintext as fits into records at once; says how much.
    pub(in crate::net) fn write(&mut self, stream: &TcpStream, plaintext: &[IoSlice<'_>]) -> io::Result<usize> {
        self.flush(stream)?;
        if plaintext.is_empty() {
            return Ok(0);
        }
        let taken = self.tls.writer().write_vectored(plaintext)?;
        if taken == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        self.waiting = taken;
        match self.flush(stream) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(taken),
        }
    }

    /// Makes the record that announces a FIN; nothing can be written after it.
    pub(in crate::net) fn close(&mut self) {
        self.tls.send_close_notify();
    }

    /// Tells why the connection cannot go on, in the log and, as far as it can be done at once, the other end. Returns what
    /// it was where an upstream, after the end of the handshake as the dialler of TLS 1.3 sees it, wants none of it.
    pub(in crate::net) fn give_up(&mut self, stream: &TcpStream) -> Option<String> {
        let error = self.failed.as_ref()?;
        let told = why(error, self.is_upstream());
        if self.is_upstream() && !self.heard && matches!(error, rustls::Error::AlertReceived(_)) {
            return Some(told);
        }
        tracing::warn!("the TLS connection with {} is broken: {told}", self.other());
        let _ = self.flush(stream);
        None
    }

    fn flush(&mut self, stream: &TcpStream) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Socket(stream)) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        self.waiting = 0;
        Ok(())
    }

    /// Whether this end dialled.
    const fn is_upstream(&self) -> bool {
        matches!(self.tls, Connection::Client(_))
    }

    const fn other(&self) -> &'static str {
        if self.is_upstream() { "the upstream" } else { "the client" }
    }
}

/// Says that nothing more will come, as far as that can be done at once.
pub(in crate::net) fn farewell(tls: &mut Connection, stream: &TcpStream) {
    tls.send_close_notify();
    while tls.wants_write() && matches!(tls.write_tls(&mut Socket(stream)), Ok(1..)) {}
}

/// Writes what can be written at once.
struct Socket<'a>(&'a TcpStream);

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
