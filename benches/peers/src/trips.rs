//! Consumers that measure how long an answer takes, and how fast connections are set up.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

use super::sink::PATIENCE;
use super::wire;
use super::wire::HEADER;

/// Round trips of no-ops.
#[derive(Default)]
pub(crate) struct Trips {
    /// Each in seconds.
    times: Vec<f64>,
    /// Connections that could not be opened, or were lost.
    pub(crate) failed: usize,
    /// How long opening all of them took, in seconds.
    pub(crate) opened: f64,
}

impl Trips {
    /// That which so many of a hundred are no longer than, in seconds.
    pub(crate) fn percentile(&mut self, percent: f64) -> f64 {
        self.times.sort_by(f64::total_cmp);
        let at = ((self.times.len() as f64 - 1.0) * percent / 100.0).round() as usize;
        self.times.get(at).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn count(&self) -> usize {
        self.times.len()
    }
}

/// One connection, one request at a time, and nothing between the measurement and the sockets.
pub(crate) fn one(at: SocketAddr, time: Duration) -> io::Result<Trips> {
    let began = Instant::now();
    let mut stream = opened(at, "thread")?;
    stream.write_all(&wire::stream_request(0))?;
    for _ in 0..5 {
        read_frame(&mut stream)?;
    }
    let mut trips = Trips { opened: began.elapsed().as_secs_f64(), ..Trips::default() };
    let warm = Instant::now() + Duration::from_millis(100);
    let end = warm + time;
    for opaque in 1_u32.. {
        let sent = Instant::now();
        if sent > end {
            break;
        }
        trip(&mut stream, opaque)?;
        if sent > warm {
            trips.times.push(sent.elapsed().as_secs_f64());
        }
    }
    Ok(trips)
}

fn opened(at: SocketAddr, name: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&wire::open(name))?;
    read_frame(&mut stream)?;
    Ok(stream)
}

fn read_frame(stream: &mut TcpStream) -> io::Result<()> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header)?;
    let mut body = vec![0; wire::body_len(&header)];
    stream.read_exact(&mut body)
}

fn trip(stream: &mut TcpStream, opaque: u32) -> io::Result<()> {
    stream.write_all(&wire::noop(opaque))?;
    let mut answer = [0; HEADER];
    stream.read_exact(&mut answer)?;
    is_answer(&answer, opaque)
}

fn is_answer(answer: &[u8; HEADER], opaque: u32) -> io::Result<()> {
    if answer[0] == wire::RESPONSE && answer[1] == wire::NOOP && wire::opaque(answer) == opaque {
        return Ok(());
    }
    Err(io::Error::other(format!("expected the answer to no-op {opaque}, found {answer:02x?}")))
}

/// Many connections. Some of them, so many at once, wait for an answer; each has its turn. Between opening and asking `opened` is called.
pub(crate) fn many(
    at: SocketAddr,
    connections: usize,
    at_once: usize,
    time: Duration,
    opened: impl FnOnce(),
) -> io::Result<Trips> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let began = Instant::now();
        let all = Arc::new(Mutex::new(Trips::default()));
        let fails = |count: usize| all.lock().unwrap_or_else(PoisonError::into_inner).failed += count;
        let openers: Vec<_> = (0..at_once)
            .map(|first| {
                let share = (first..connections).step_by(at_once).count();
                tokio::spawn(async move {
                    let mut streams = Vec::with_capacity(share);
                    for _ in 0..share {
                        // Whatever goes wrong with it, the others are measured; who is missing is told.
                        if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, dial(at)).await {
                            streams.push(stream);
                        }
                    }
                    streams
                })
            })
            .collect();
        let mut shares = Vec::new();
        for opener in openers {
            shares.push(opener.await.unwrap_or_default());
        }
        fails(connections - shares.iter().map(Vec::len).sum::<usize>());
        let took = began.elapsed().as_secs_f64();
        opened();
        let warm = Instant::now() + Duration::from_millis(100);
        let asking: Vec<_> = shares
            .into_iter()
            .map(|streams| {
                let all = Arc::clone(&all);
                tokio::spawn(async move {
                    let (mut times, mut failed) = (Vec::new(), 0);
                    let turns = ask_in_turn(streams, warm, warm + time, &mut times, &mut failed);
                    let late = tokio::time::timeout(time + PATIENCE, turns).await.is_err();
                    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                    all.times.append(&mut times);
                    all.failed += failed + usize::from(late);
                })
            })
            .collect();
        for asking in asking {
            asking.await.map_err(io::Error::other)?;
        }
        let mut trips = std::mem::take(&mut *all.lock().unwrap_or_else(PoisonError::into_inner));
        trips.opened = took;
        Ok(trips)
    })
}

async fn dial(at: SocketAddr) -> io::Result<tokio::net::TcpStream> {
    let mut stream = tokio::net::TcpStream::connect(at).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&wire::open("loop")).await?;
    stream.write_all(&wire::stream_request(0)).await?;
    let (mut header, mut body) = ([0; HEADER], Vec::new());
    // Two answers, a marker, and three mutations.
    for _ in 0..6 {
        stream.read_exact(&mut header).await?;
        body.resize(wire::body_len(&header), 0);
        stream.read_exact(&mut body).await?;
    }
    Ok(stream)
}

async fn ask_in_turn(
    mut streams: Vec<tokio::net::TcpStream>,
    warm: Instant,
    end: Instant,
    times: &mut Vec<f64>,
    failed: &mut usize,
) {
    let mut at = 0;
    for opaque in 1_u32.. {
        let sent = Instant::now();
        if sent > end || streams.is_empty() {
            return;
        }
        at = (at + 1) % streams.len();
        match ask(&mut streams[at], opaque).await {
            Ok(()) if sent > warm => times.push(sent.elapsed().as_secs_f64()),
            Ok(()) => {}
            Err(_) => {
                streams.swap_remove(at);
                *failed += 1;
            }
        }
    }
}

async fn ask(stream: &mut tokio::net::TcpStream, opaque: u32) -> io::Result<()> {
    stream.write_all(&wire::noop(opaque)).await?;
    let mut answer = [0; HEADER];
    stream.read_exact(&mut answer).await?;
    is_answer(&answer, opaque)
}

/// Connections set up, opened and left, in so much time, by some at once.
pub(crate) fn set_ups(at: SocketAddr, at_once: usize, time: Duration) -> io::Result<f64> {
    let began = Instant::now();
    let diallers: Vec<_> = (0..at_once)
        .map(|_| {
            thread::spawn(move || -> io::Result<u64> {
                let mut count = 0;
                while began.elapsed() < time {
                    opened(at, "loop")?;
                    count += 1;
                }
                Ok(count)
            })
        })
        .collect();
    let mut count = 0;
    for dialler in diallers {
        count += dialler.join().map_err(|_| io::Error::other("a dialler has panicked"))??;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}
