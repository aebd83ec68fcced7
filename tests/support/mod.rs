//! Loopback pairs behind a proxy, and bytes that can be checked where they arrive. Ports are always 0.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

pub mod certificates;
pub mod tls;

use std::future::Future;
use std::io;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dcproxy::engine::Engine;
use dcproxy::net::proxy::{Counted, Options, Served, Summary, serve};
use dcproxy::net::{Core, Doors, Ending, Route, Shutdown, Target};
use dcproxy::wire::{FrameBuilder, Opaque, Opcode, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What nothing in a test may take longer than: a failure, never a way to wait.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test on a runtime like that of the binary.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async { within(PATIENCE, test).await })
}

/// Fails when it takes longer than `limit`.
pub async fn within<T>(limit: Duration, what: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, what).await.expect("it happens in time")
}

/// The engine with nothing armed.
pub fn relay(_id: u64) -> Engine<()> {
    Engine::new(None, (), 7)
}

/// Serves connections with cores made by a function, and says how each ended.
pub struct Connections<F> {
    make: F,
    counts: Option<fn(u64) -> bool>,
    endings: mpsc::UnboundedSender<Ending>,
}

impl<C: Core, F: FnMut(u64) -> C> Served for Connections<F> {
    type Core = C;

    fn core(&mut self, id: u64, _: SocketAddr, _: SocketAddr) -> C {
        (self.make)(id)
    }

    fn finished(&mut self, id: u64, _: C, ending: &Ending) -> Counted {
        self.endings.send(ending.clone()).ok();
        if self.counts.is_none_or(|counts| counts(id)) { Counted::Yes } else { Counted::No }
    }

    fn armed(&self) -> bool {
        self.counts.is_some()
    }
}

/// A proxy, the listener that it dials, and what becomes of it.
pub struct Proxy {
    pub address: SocketAddr,
    pub upstream: TcpListener,
    pub shutdown: Shutdown,
    pub endings: mpsc::UnboundedReceiver<Ending>,
    pub summary: JoinHandle<Summary>,
}

impl Proxy {
    /// Starts one whose connections are driven by what `make` makes.
    pub async fn start<C: Core>(
        change: impl FnOnce(&mut Options),
        make: impl FnMut(u64) -> C + Send + 'static,
    ) -> Self {
        Self::start_armed(change, make, None).await
    }

    /// Starts one that says it is armed, and which of its connections count, if `counts` is given.
    pub async fn start_armed<C: Core>(
        change: impl FnOnce(&mut Options),
        make: impl FnMut(u64) -> C + Send + 'static,
        counts: Option<fn(u64) -> bool>,
    ) -> Self {
        Self::start_routed(Route::from, change, make, counts).await
    }

    /// Starts one that reaches its upstream in this way.
    pub async fn start_routed<C: Core>(
        route: impl FnOnce(Target) -> Route,
        change: impl FnOnce(&mut Options),
        make: impl FnMut(u64) -> C + Send + 'static,
        counts: Option<fn(u64) -> bool>,
    ) -> Self {
        let upstream = loopback().await;
        let listener = loopback().await;
        let address = listener.local_addr().expect("bound");
        let mut options = Options { connect_timeout: PATIENCE, ..Options::default() };
        change(&mut options);
        let doors = Doors::one(listener, route(Target::from(upstream.local_addr().expect("bound"))));
        let shutdown = Shutdown::new();
        let (told, (sender, endings)) = (shutdown.clone(), mpsc::unbounded_channel());
        let summary = tokio::spawn(async move {
            let mut served = Connections { make, counts, endings: sender };
            serve(doors, options, &mut served, &told).await
        });
        Self { address, upstream, shutdown, endings, summary }
    }

    /// Both ends of a connection through the proxy: the dialler's and the upstream's.
    pub async fn pair(&self) -> (TcpStream, TcpStream) {
        let (dialler, upstream) = tokio::join!(TcpStream::connect(self.address), self.upstream.accept());
        (dialler.expect("connected"), upstream.expect("accepted").0)
    }
}

/// A listener on a free port of loopback.
pub async fn loopback() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port")
}

/// A xorshift: the same seed gives the same numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 1 to `most`, small ones as often as large ones.
    pub fn size(&mut self, most: usize) -> usize {
        let bits = self.next() % u64::from(usize::BITS - most.leading_zeros());
        let size = self.next() as usize & ((2 << bits) - 1);
        size.clamp(1, most)
    }
}

/// About a megabyte of random bytes; an odd number, so that a block lost or doubled is always seen.
pub fn random_bytes(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..1_048_583).map(|_| random.next() as u8).collect()
}

/// About a megabyte of frames as a DCP connection carries them, from nothing but a header to values of 64 KiB.
pub fn frames(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes = Vec::new();
    for n in 0_u32.. {
        if bytes.len() > 1_048_576 {
            break;
        }
        let opaque = Opaque((n % 7).to_be_bytes());
        let frame = match n % 5 {
            0 => FrameBuilder::request(Opcode::DCP_NOOP),
            1 => FrameBuilder::response(Opcode::DCP_NOOP, Status::SUCCESS),
            2 => FrameBuilder::request(Opcode::DCP_SNAPSHOT_MARKER).vbucket(3).extras([0; 20]),
            3 => FrameBuilder::request(Opcode::DCP_MUTATION).vbucket(3).stream_id(Some(9)).extras([1; 31]).key("k3"),
            _ => FrameBuilder::request(Opcode::DCP_MUTATION).vbucket(3).extras([1; 31]).key(format!("key-{n}")),
        };
        let value = (0..random.size(65_536)).map(|_| random.next() as u8).collect::<Vec<_>>();
        frame.opaque(opaque).value(if n % 5 < 3 { Vec::new() } else { value }).write(&mut bytes);
    }
    bytes
}

/// Writes `total` bytes, the pattern over and over, in chunks of random sizes; then, if asked, a FIN.
pub async fn send<W: AsyncWriteExt + Unpin>(to: &mut W, pattern: &[u8], total: u64, seed: u64) -> io::Result<()> {
    let (mut random, mut left, mut at) = (Random::new(seed), total, 0);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(pattern.len() - at);
        let chunk = random.size(256 * 1024).min(most);
        to.write_all(&pattern[at..at + chunk]).await?;
        at = (at + chunk) % pattern.len();
        left -= chunk as u64;
    }
    Ok(())
}

/// Reads `total` bytes in chunks of random sizes and compares each with the pattern.
pub async fn receive<R: AsyncReadExt + Unpin>(from: &mut R, pattern: &[u8], total: u64, seed: u64) {
    let (mut random, mut left, mut at) = (Random::new(seed), total, 0);
    let mut buffer = vec![0; 256 * 1024];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(pattern.len() - at);
        let want = random.size(buffer.len()).min(most);
        let got = from.read(&mut buffer[..want]).await.expect("readable");
        assert!(got > 0, "{} of {total} bytes came", total - left);
        assert!(buffer[..got] == pattern[at..at + got], "the bytes after the first {} are other ones", total - left);
        at = (at + got) % pattern.len();
        left -= got as u64;
    }
}

/// Everything that comes until a FIN, or the error that comes in its place.
pub async fn read_out<R: AsyncReadExt + Unpin>(from: &mut R) -> (Vec<u8>, Option<ErrorKind>) {
    let mut bytes = Vec::new();
    match from.read_to_end(&mut bytes).await {
        Ok(_) => (bytes, None),
        Err(error) => (bytes, Some(error.kind())),
    }
}

/// Writes until nothing is taken for half a second, and says how much was taken; fails beyond `limit`.
pub async fn fill<W: AsyncWriteExt + Unpin>(to: &mut W, limit: u64) -> u64 {
    let (chunk, mut taken) = ([0x55; 65_536], 0);
    while let Ok(wrote) = tokio::time::timeout(Duration::from_millis(500), to.write(&chunk)).await {
        taken += wrote.expect("writable") as u64;
        assert!(taken < limit, "the proxy takes whatever it is given: {taken} bytes, and nobody reads");
    }
    taken
}

/// How much a soak moves: `DCPROXY_SOAK_BYTES`, or `default`.
pub fn soak_bytes(default: u64) -> u64 {
    let asked = std::env::var("DCPROXY_SOAK_BYTES").ok();
    asked.map_or(default, |text| text.replace('_', "").parse().expect("DCPROXY_SOAK_BYTES is a number"))
}

/// The memory that a process has and has had at most, in bytes.
pub fn memory(process: &str) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() * 1024
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// Since when.
pub fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}
