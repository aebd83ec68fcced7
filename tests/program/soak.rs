//! The long runs, against the binary as a user starts it. Run by hand, in release:
//!
//! ```text
//! DCPROXY_SOAK_BYTES=10_000_000_000 cargo test --release --test program soak -- --ignored --nocapture
//! ```
//! In CI `tests/program/proxy.rs` moves a hundredth of that.

#![allow(clippy::print_stdout, reason = "what a long run measured is for its reader")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{frames, loopback, memory, random_bytes, read_out, receive, seconds, send, soak_bytes};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// What a proxy may use beyond what it has before the first byte comes.
const MEMORY_LIMIT: u64 = 16 * 1024 * 1024;

struct Binary {
    child: Child,
    address: SocketAddr,
    upstream: TcpListener,
}

impl Binary {
    async fn start() -> Self {
        let upstream = loopback().await;
        let target = upstream.local_addr().expect("bound").to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dcproxy"));
        command.args(["proxy", "--once", "--listen", "127.0.0.1:0", "--upstream", &target]).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stderr.take().expect("piped")).read_line(&mut line).expect("it says where it listens");
        let address = line.trim().strip_prefix("listening on ").expect("the line").parse().expect("an address");
        Self { child, address, upstream }
    }

    async fn pair(&self) -> (TcpStream, TcpStream) {
        let (dialler, upstream) = tokio::join!(TcpStream::connect(self.address), self.upstream.accept());
        (dialler.expect("connected"), upstream.expect("accepted").0)
    }

    fn memory(&self) -> (u64, u64) {
        memory(&self.child.id().to_string())
    }

    fn end(mut self) {
        assert!(self.child.wait().expect("it ends").success());
    }
}

/// A run that fails leaves no process behind.
impl Drop for Binary {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn on_a_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(test);
}

async fn soak(what: &str, down: Vec<u8>, up: Vec<u8>, total: u64) {
    let proxy = Binary::start().await;
    let (dialler, upstream) = proxy.pair().await;
    let before = proxy.memory().0;
    let (mut dialler_reads, mut dialler_writes) = dialler.into_split();
    let (mut upstream_reads, mut upstream_writes) = upstream.into_split();
    let (start, half) = (Instant::now(), total / 2);
    let tasks = [
        tokio::spawn({
            let down = down.clone();
            async move { send(&mut upstream_writes, &down, half, 1).await.expect("sent") }
        }),
        tokio::spawn({
            let up = up.clone();
            async move { send(&mut dialler_writes, &up, half, 2).await.expect("sent") }
        }),
        tokio::spawn(async move { receive(&mut dialler_reads, &down, half, 3).await }),
        tokio::spawn(async move { receive(&mut upstream_reads, &up, half, 4).await }),
    ];
    let mut peak = 0;
    for task in tasks {
        task.await.expect("byte for byte");
        // The process is gone once both directions are.
        peak = peak.max(proxy.memory().1);
    }
    let took = seconds(start);
    println!(
        "{what}: {total} bytes in {took:.1} s, {:.2} GB/s, peak RSS {} KiB ({} KiB before the first byte)",
        total as f64 / took / 1e9,
        peak / 1024,
        before / 1024
    );
    assert!(peak > 0 && peak < before + MEMORY_LIMIT, "memory is not flat: {before} bytes, then {peak}");
    proxy.end();
}

#[test]
#[ignore = "a long run"]
fn random_bytes_and_frames_both_ways_at_once() {
    on_a_runtime(async {
        let total = soak_bytes(10_000_000_000);
        soak("random bytes", random_bytes(1), random_bytes(2), total / 2).await;
        soak("frames", frames(1), frames(2), total / 2).await;
    });
}

/// A reader that stops for 10 s, while the other direction goes on.
#[test]
#[ignore = "a long run"]
fn a_reader_that_stops_for_ten_seconds() {
    on_a_runtime(async {
        let proxy = Binary::start().await;
        let (mut dialler, upstream) = proxy.pair().await;
        let (mut upstream_reads, mut upstream_writes) = upstream.into_split();
        let before = proxy.memory().0;
        let pattern = random_bytes(3);
        let pump = tokio::spawn({
            let pattern = pattern.clone();
            async move {
                send(&mut upstream_writes, &pattern, 200_000_000, 1).await.expect("sent");
                upstream_writes.shutdown().await.expect("a FIN");
            }
        });
        let (start, mut moved) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_secs(10) {
            let (sent, ()) = tokio::join!(
                send(&mut dialler, &pattern, 50_000_000, 2),
                receive(&mut upstream_reads, &pattern, 50_000_000, 3)
            );
            sent.expect("the other direction goes on");
            moved += 50_000_000_u64;
        }
        let (now, peak) = proxy.memory();
        println!(
            "a reader stopped for 10 s: {moved} bytes went the other way, RSS {} KiB, peak {} KiB",
            now / 1024,
            peak / 1024
        );
        assert!(!pump.is_finished(), "the reader stopped, the writer did not");
        assert!(peak < before + MEMORY_LIMIT, "memory is not flat: {before} bytes, then {peak}");
        receive(&mut dialler, &pattern, 200_000_000, 4).await;
        assert_eq!(read_out(&mut dialler).await, (Vec::new(), None));
        pump.await.expect("sent");
        dialler.shutdown().await.expect("a FIN");
        drop(dialler);
        proxy.end();
    });
}
