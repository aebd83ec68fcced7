//! Consumers that take what a source sends as fast as it comes, and look at every frame.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use super::wire;
use super::wire::HEADER;

/// How long nothing may come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What is asked of a source on each of the connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bulk {
    pub(crate) value: usize,
    pub(crate) connections: usize,
    pub(crate) streams: usize,
}

/// Consumers under way.
pub(crate) struct Sinks {
    threads: Vec<JoinHandle<io::Result<()>>>,
    counts: Vec<Arc<Count>>,
    stop: Arc<AtomicBool>,
}

/// Bytes and frames of one connection so far.
#[derive(Default)]
pub(crate) struct Count {
    bytes: AtomicU64,
    frames: AtomicU64,
}

impl Sinks {
    /// Returns when all of them have got something.
    pub(crate) fn start(at: SocketAddr, bulk: Bulk) -> io::Result<Self> {
        let mut sinks = Self { threads: Vec::new(), counts: Vec::new(), stop: Arc::default() };
        for _ in 0..bulk.connections {
            let (count, stop) = (Arc::new(Count::default()), Arc::clone(&sinks.stop));
            sinks.counts.push(Arc::clone(&count));
            let sink = thread::Builder::new().stack_size(256 * 1024);
            sinks.threads.push(sink.spawn(move || consume(at, bulk, &count, &stop))?);
        }
        let until = Instant::now() + PATIENCE;
        while sinks.counts.iter().any(|count| count.frames.load(Ordering::Relaxed) == 0) {
            if Instant::now() > until || sinks.threads.iter().any(JoinHandle::is_finished) {
                sinks.finish()?;
                return Err(io::Error::other("not all connections flow"));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(sinks)
    }

    /// Bytes of each connection so far, and frames of all.
    pub(crate) fn so_far(&self) -> (Vec<u64>, u64) {
        let bytes = self.counts.iter().map(|count| count.bytes.load(Ordering::SeqCst)).collect();
        (bytes, self.counts.iter().map(|count| count.frames.load(Ordering::SeqCst)).sum())
    }

    /// Lets all of it arrive: bytes and frames in all.
    pub(crate) fn finish(&mut self) -> io::Result<(u64, u64)> {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| io::Error::other("a sink has panicked"))??;
        }
        let (bytes, frames) = self.so_far();
        Ok((bytes.iter().sum(), frames))
    }
}

impl Drop for Sinks {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn consume(at: SocketAddr, bulk: Bulk, count: &Count, stop: &AtomicBool) -> io::Result<()> {
    let size = block(bulk.connections);
    let mut stream = TcpStream::connect(at)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&wire::open(&format!("bulk/{}/{}/{size}", bulk.value, bulk.streams)))?;
    let requests: Vec<u8> = (0..bulk.streams).flat_map(|vbucket| wire::stream_request(vbucket as u16)).collect();
    stream.write_all(&requests)?;
    let mut walk = Walk::new(bulk);
    let mut buffer = vec![0; size];
    let mut asked = false;
    while !walk.over {
        let len = match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => len,
        };
        walk.over(&buffer[..len])?;
        count.bytes.fetch_add(len as u64, Ordering::SeqCst);
        count.frames.store(walk.frames, Ordering::SeqCst);
        if !asked && stop.load(Ordering::SeqCst) {
            stream.write_all(&wire::noop(STOP))?;
            asked = true;
        }
    }
    // Nothing may follow the answer.
    stream.set_nonblocking(true)?;
    match stream.read(&mut buffer) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => Err(io::Error::other(format!("expected nothing more, found {other:?}"))),
    }
}

/// How much is written and read at once: less where many share the caches.
const fn block(connections: usize) -> usize {
    if connections > 1 { 64 * 1024 } else { 256 * 1024 }
}

/// The opaque of the request to stop.
const STOP: u32 = 0xffff_0000;

/// Walks over what comes, frame by frame, however it is cut.
struct Walk {
    /// Of each stream, the last seqno.
    seqnos: Vec<u64>,
    body: usize,
    /// Of a frame whose beginning was cut: its first bytes.
    head: Vec<u8>,
    /// Bytes that are still to come of the frame whose head was seen.
    skip: usize,
    frames: u64,
    /// The answer to the request to stop has come.
    over: bool,
}

impl Walk {
    fn new(bulk: Bulk) -> Self {
        let body = wire::MUTATION_EXTRAS + 17 + bulk.value;
        Self { seqnos: vec![0; bulk.streams], body, head: Vec::new(), skip: 0, frames: 0, over: false }
    }

    fn over(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        /// Of a mutation so much is looked at.
        const LOOK: usize = HEADER + 8;
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return Ok(());
            }
            if self.head.is_empty() && bytes.len() >= LOOK {
                self.skip = self.frame(&bytes[..LOOK])?;
                continue;
            }
            // A head that is cut: put together byte by byte, as a response may have no body at all.
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            let whole = self.head.len() == LOOK || self.head.len() == HEADER && self.head[1] != wire::MUTATION;
            if whole {
                let head = std::mem::take(&mut self.head);
                self.skip = self.frame(&head)? - head.len();
            }
        }
    }

    /// How long it is.
    fn frame(&mut self, head: &[u8]) -> io::Result<usize> {
        self.frames += 1;
        let body = wire::body_len(head);
        if head[1] == wire::MUTATION {
            let vbucket = wire::vbucket(head);
            let (expected, seqno) = match self.seqnos.get_mut(usize::from(vbucket)) {
                Some(last) => {
                    *last += 1;
                    (*last, wire::u64_at(head, HEADER))
                }
                None => (0, 1),
            };
            let right = seqno == expected
                && body == self.body
                && head[0] == wire::REQUEST
                && wire::opaque(head) == wire::stream_opaque(vbucket);
            if !right {
                return Err(io::Error::other(format!(
                    "expected seqno {expected} in a body of {}, found {seqno} in one of {body}: {head:02x?}",
                    self.body
                )));
            }
        } else if head[0] == wire::RESPONSE && wire::opaque(head) == STOP {
            self.over = true;
        }
        Ok(HEADER + body)
    }
}
