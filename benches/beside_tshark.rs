//! dcproxy and tshark, the same work on the same capture in the same run:
//!
//! ```text
//! cargo bench --bench beside_tshark -- --bytes 20MB --rounds 3
//! ```
//! prints the table of docs/PERFORMANCE.md. The capture is made from a seed; each program reads it `--rounds` times, in turn, and
//! the best time counts. That all frames were seen is checked, not believed.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::expect_used, reason = "a table is printed")]

#[path = "../tests/support/traffic.rs"]
mod traffic;

use std::fs::File;
use std::io::BufWriter;
use std::ops::ControlFlow;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use clap::Parser;
use dcproxy::capture;
use dcproxy::capture::What;
use dcproxy::wire::Deframer;
use dcproxy::wire::MAX_FRAME_LEN;
use dcproxy::wire::Piece;

#[derive(Parser)]
struct Args {
    /// How long the capture is to be, in MB
    #[arg(long, default_value = "20MB", value_parser = megabytes)]
    bytes: u64,
    /// Times that each program reads it
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Read this capture instead
    #[arg(long)]
    file: Option<PathBuf>,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn megabytes(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix("MB").and_then(|number| number.parse::<u64>().ok());
    number.map(|number| number * 1_000_000).ok_or_else(|| format!("expected a size such as 20MB, found {text}"))
}

/// What is done, by whom.
struct Job {
    work: &'static str,
    ours: Vec<&'static str>,
    theirs: Vec<&'static str>,
    aim: &'static str,
}

fn main() {
    let args = Args::parse();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = args.file.clone().unwrap_or_else(|| make(&dir.path().join("made.pcap"), args.bytes));
    let jobs = [
        Job { work: "JSON", ours: vec!["decode", "-T", "jsonl"], theirs: vec!["-T", "json"], aim: "200" },
        Job {
            work: "judging; a display filter",
            ours: vec!["check", "--era", "7.0"],
            theirs: vec!["-Y", "couchbase.opcode == 0x57"],
            aim: "200",
        },
        Job {
            work: "a display filter",
            ours: vec!["decode", "-Y", "dcp.opcode == mutation"],
            theirs: vec!["-Y", "couchbase.opcode == 0x57"],
            aim: "",
        },
    ];
    let bytes = std::fs::metadata(&path).expect("the capture").len();
    let (frames, payload) = (frames(&path), framed(&path).1);
    println!("{bytes} bytes, {frames} frames, {payload} bytes of payload; the best of {} rounds each\n", args.rounds);
    println!("| work | dcproxy, frames/s | tshark, frames/s | ratio | aim |\n|---|---:|---:|---:|---:|");
    for job in jobs {
        let (mut ours, mut theirs) = (Duration::MAX, Duration::MAX);
        for _ in 0..args.rounds {
            ours = ours.min(time(Command::new(env!("CARGO_BIN_EXE_dcproxy")).args(&job.ours).arg(&path)));
            theirs = theirs.min(time(Command::new("tshark").arg("-r").arg(&path).args(&job.theirs)));
        }
        let rate = |time: Duration| frames as f64 / time.as_secs_f64();
        let ratio = rate(ours) / rate(theirs);
        println!("| {} | {:.0} | {:.0} | {ratio:.0} | {} |", job.work, rate(ours), rate(theirs), job.aim);
    }
    let best = (0..args.rounds.max(3)).map(|_| framed(&path).0).min().expect("some");
    let rate = bytes as f64 / best.as_secs_f64() / 1e9;
    println!("\nreading, reassembly and framing alone, one core: {rate:.2} GB/s (aim 1)");
}

fn make(path: &Path, bytes: u64) -> PathBuf {
    let mut out = BufWriter::new(File::create(path).expect("a file"));
    let options = traffic::Options { bytes, ..traffic::Options::default() };
    let made = traffic::write(&options, &mut out).expect("the capture is written");
    assert_eq!(made.frames, frames(path), "every frame that was made is found");
    path.to_owned()
}

/// The frames that `decode` prints.
fn frames(path: &Path) -> u64 {
    let out = Command::new(env!("CARGO_BIN_EXE_dcproxy")).args(["decode", "-T", "jsonl"]).arg(path).output();
    let out = out.expect("dcproxy runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// Cuts the capture into frames and does nothing with them: how long it takes, and how many bytes they have.
fn framed(path: &Path) -> (Duration, u64) {
    let began = Instant::now();
    let mut deframers: Vec<[Deframer; 2]> = Vec::new();
    let mut bytes_of_frames = 0;
    let read = capture::Files::new().path(path).read(&mut |_, event| {
        if let What::Data { from, bytes } = event.what {
            let conn = event.conn as usize;
            while deframers.len() <= conn {
                deframers.push([Deframer::new(MAX_FRAME_LEN), Deframer::new(MAX_FRAME_LEN)]);
            }
            let mut bytes = bytes;
            while let Some(piece) =
                deframers[conn][usize::from(from == dcproxy::journal::Side::Upstream)].next(&mut bytes)
            {
                if let Piece::Frame(frame) = piece {
                    bytes_of_frames += frame.bytes().len() as u64;
                }
            }
        }
        ControlFlow::Continue(())
    });
    assert!(read.errors.is_empty(), "{:?}", read.errors);
    (began.elapsed(), bytes_of_frames)
}

fn time(command: &mut Command) -> Duration {
    let began = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let status = status.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // A verdict may fail; an error (2) may not.
    assert!(status.code().is_some_and(|code| code != 2), "{command:?}: {status}");
    began.elapsed()
}
