//! `dcproxy proxy --record` as its user meets it: a kill, a full disk, a disk that stands still, secrets.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output};
use std::time::{Duration, Instant};

use crate::program::command;
use crate::support::{PATIENCE, loopback, run, within};
use dcproxy::era::Era;
use dcproxy::net::{RecorderLimits, RecorderOptions, Rehearsal, rehearse};
use dcproxy::node::Config;
use dcproxy::report::Report;
use dcproxy::scenario::Scenario;
use dcproxy::verdict::Verdict;
use dcproxy::wire::{FrameBuilder, Opaque, Opcode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn output(args: &[&str]) -> Output {
    command(args).output().expect("it runs")
}

/// A proxy that runs; it is killed when the test is over.
struct Started {
    child: Child,
    address: SocketAddr,
    told: String,
    stderr: BufReader<ChildStderr>,
}

fn start(args: &[&str]) -> Started {
    let mut child = command(args).spawn().expect("it starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut told = String::new();
    let address = loop {
        let mut line = String::new();
        assert_ne!(stderr.read_line(&mut line).expect("text"), 0, "it never says where it listens: {told}");
        if let Some(rest) = line.strip_prefix("listening on ") {
            break rest.trim().parse().expect("an address");
        }
        told.push_str(&line);
    };
    Started { child, address, told, stderr }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Started {
    fn end(mut self) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().expect("kill").success());
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).expect("text");
        (self.child.wait().expect("it ends").code(), rest)
    }
}

fn noop(n: u32) -> bytes::Bytes {
    FrameBuilder::request(Opcode::NOOP).opaque(Opaque(n.to_be_bytes())).value(vec![b'v'; 500]).build()
}

/// Sends `frames` no-ops from the dialler to the upstream, which sees them arrive.
async fn sends(address: SocketAddr, upstream: &tokio::net::TcpListener, frames: u32) -> (TcpStream, TcpStream) {
    let mut dialler = TcpStream::connect(address).await.expect("connected");
    let mut served = upstream.accept().await.expect("dialled").0;
    for n in 0..frames {
        let frame = noop(n);
        dialler.write_all(&frame).await.expect("written");
        let mut arrived = vec![0; frame.len()];
        within(PATIENCE, served.read_exact(&mut arrived)).await.expect("relayed");
        assert_eq!(arrived, frame, "the traffic is unharmed");
    }
    (dialler, served)
}

fn decoded(file: &str) -> (Option<i32>, usize, String) {
    let output = output(&["decode", "-T", "jsonl", file]);
    let lines = String::from_utf8_lossy(&output.stdout).lines().count();
    (output.status.code(), lines, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn killed_at_any_moment_the_file_is_readable_up_to_the_last_second() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("run.pcapng").to_string_lossy().into_owned();
    run(async {
        let upstream = loopback().await;
        let target = upstream.local_addr().expect("bound").to_string();
        let mut started = start(&["proxy", "--listen", "0", "--upstream", &target, "--record", &file]);
        assert_eq!(started.told.matches("documents").count(), 1, "it says what it holds: {}", started.told);
        let ends = sends(started.address, &upstream, 50).await;
        // Nothing more happens: what has crossed is on the disk soon all the same.
        let since = Instant::now();
        while decoded(&file).1 < 100 {
            assert!(since.elapsed() < PATIENCE, "{:?}", decoded(&file));
            tokio::task::yield_now().await;
        }
        assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
        started.child.kill().expect("killed");
        started.child.wait().expect("ended");
        assert_eq!(decoded(&file), (Some(0), 100, String::new()), "both edges, whole, no complaint");
        drop(ends);
    });
}

#[test]
fn killed_while_it_writes_all_but_the_end_is_readable() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("run.pcapng").to_string_lossy().into_owned();
    run(async {
        let upstream = loopback().await;
        let target = upstream.local_addr().expect("bound").to_string();
        let mut started = start(&["proxy", "--listen", "0", "--upstream", &target, "--record", &file]);
        let _ends = sends(started.address, &upstream, 3000).await;
        started.child.kill().expect("killed");
        started.child.wait().expect("ended");
        let (code, lines, told) = decoded(&file);
        assert!(lines > 0, "{told}");
        assert!(code == Some(0) || told.contains("cut off"), "{code:?}: {told}");
    });
}

#[test]
fn a_full_disk_harms_no_traffic_and_is_an_error_at_the_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let report = directory.path().join("r.json").to_string_lossy().into_owned();
    run(async {
        let upstream = loopback().await;
        let target = upstream.local_addr().expect("bound").to_string();
        let args = ["proxy", "--listen", "0", "--upstream", &target, "--record", "/dev/full", "--report", &report];
        let started = start(&args);
        let ends = sends(started.address, &upstream, 50).await;
        drop(ends);
        let said = started.told.clone();
        let (code, rest) = started.end();
        assert_eq!(code, Some(2), "{rest}");
        assert_eq!(
            (said + &rest).matches("cannot write the recording /dev/full: ").count(),
            1,
            "it is told once: {rest}"
        );
        let report: Report =
            serde_json::from_str(&std::fs::read_to_string(&report).expect("written")).expect("a report");
        let recording = report.recording.expect("it was asked for");
        assert_eq!((recording.frames, recording.lost_frames), (0, 100));
        assert!(report.errors[0].contains("No space left"), "{:?}", report.errors);
        assert_eq!(report.verdict, Verdict::Pass, "an error is no verdict");
    });
}

/// A pipe that nobody reads is a disk that stands still.
#[test]
fn a_disk_that_stands_still_harms_neither_traffic_nor_verdict() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    // Opened both ways, so that neither end waits for the other.
    let _held = File::options().read(true).write(true).open(&pipe).expect("opened");
    let scenario = Scenario::named("orphaned-responses").expect("built in");
    let rehearsal = Rehearsal {
        record: Some(RecorderOptions {
            path: pipe,
            limits: RecorderLimits { waiting: 100_000, end_within: Duration::from_millis(100) },
            ..RecorderOptions::default()
        }),
        ..Rehearsal::new(Config { era: Era::V6_5, seed: 3, ..Config::default() }, scenario)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let report = runtime.block_on(rehearse([rehearsal])).expect("loopback sockets").remove(0).report;
    assert_eq!(report.verdict, Verdict::Pass);
    let recording = report.recording.expect("it was asked for");
    assert!(recording.lost_frames > 100 && recording.lost_bytes > 0, "{recording:?}");
    assert!(report.errors.iter().any(|error| error.contains("has not taken the rest")), "{:?}", report.errors);
}

#[test]
fn rotation_snaplen_and_redaction_are_asked_for_with_flags() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("run.pcapng").to_string_lossy().into_owned();
    let read = |name: &str| std::fs::read(directory.path().join(name)).expect("there");
    run(async {
        let upstream = loopback().await;
        let target = upstream.local_addr().expect("bound").to_string();
        let args = ["proxy", "--listen", "0", "--upstream", &target, "--record", &file, "--record-rotate", "20KB"];
        let started = start(&[&args[..], &["--snaplen", "300", "--redact", "keys,values"]].concat());
        assert!(started.told.contains("neither keys nor documents"), "{}", started.told);
        let mut dialler = TcpStream::connect(started.address).await.expect("connected");
        let mut served = upstream.accept().await.expect("dialled").0;
        let login = FrameBuilder::request(Opcode::SASL_AUTH).key(*b"PLAIN").value(*b"\0user\0hunter2hunter2").build();
        let set = FrameBuilder::request(Opcode::SET).extras([0; 8]).key(*b"secret-key").value(*b"secret-value").build();
        let all = [&login[..], &set].concat();
        for _ in 0..100 {
            dialler.write_all(&all).await.expect("written");
            let mut arrived = vec![0; all.len()];
            within(PATIENCE, served.read_exact(&mut arrived)).await.expect("relayed");
            assert_eq!(arrived, all, "what is blanked is blanked in the recording alone");
        }
        drop((dialler, served));
        assert_eq!(started.end().0, Some(0));
    });
    let files: Vec<_> =
        (1..=9).map(|n| format!("run_{n:05}.pcapng")).filter(|name| directory.path().join(name).exists()).collect();
    assert!(files.len() > 2 && !Path::new(&file).exists(), "{files:?}");
    for name in &files {
        let bytes = read(name);
        for secret in [&b"hunter2"[..], b"secret-key", b"secret-value"] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret), "{name} holds a secret");
        }
        let path = directory.path().join(name).to_string_lossy().into_owned();
        let (code, lines, told) = decoded(&path);
        assert!(code == Some(0) && lines > 20, "{name}: {lines} lines: {told}");
    }
}

#[test]
fn what_cannot_be_recorded_is_refused_at_once() {
    for (args, told) in [
        (&["--record", "/nowhere/run.pcapng"][..], "expected a file in a directory that exists"),
        (&["--record", "r.pcapng", "--snaplen", "20"], "20 is not in 128..=262144"),
        (&["--record", "r.pcapng", "--redact", "all"], "expected keys, values or both, found 'all'"),
        (&["--record", "r.pcapng", "--record-rotate", "0"], "expected a size such as 100MB or 64KiB, found '0'"),
        (&["--redact", "keys"], "--record <FILE>"),
    ] {
        let output = output(&[&["proxy", "--listen", "0", "--upstream", "localhost:1"], args].concat());
        let stderr = String::from_utf8(output.stderr).expect("text");
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(stderr.contains(told), "{stderr}");
    }
}
