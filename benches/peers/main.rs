//! dcproxy beside HAProxy, nginx, socat, toxiproxy and a bare tokio copy: the same load through each, in turn, in one run.
//!
//! ```text
//! benches/peers/run
//! ```
//! installs the peers and prints the tables of docs/PERFORMANCE.md. Rounds are interleaved; medians count, and their spread is told.
//! That every byte went through the relay under test is checked: the sink walks over all frames, the source knows who dialled it,
//! and dcproxy's own count of frames must be the source's.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::expect_used, reason = "tables are printed")]

mod load;
mod relay;
mod table;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use clap::Parser;

use load::Source;
use load::Talk;
use relay::Place;
use relay::Relay;
use relay::Running;
use table::Table;

#[derive(Parser)]
struct Args {
    /// Times that each is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each time, in ms
    #[arg(long, default_value_t = 1500)]
    time: u64,
    /// Only these
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only measurements whose name has this in it
    #[arg(long)]
    what: Option<String>,
    /// The program under test
    #[arg(long, default_value = "target/release/dcproxy")]
    dcproxy: PathBuf,
    /// toxiproxy's server
    #[arg(long, default_value = "toxiproxy-server")]
    toxiproxy: PathBuf,
    /// Relay from the one to the other with tokio's copy, and nothing else
    #[arg(long, num_args = 2, value_names = ["LISTEN", "UPSTREAM"])]
    copy: Vec<SocketAddr>,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// Something that is measured.
#[derive(Clone, Copy, Debug)]
enum What {
    Bulk { value: usize, connections: usize },
    Ping { connections: usize },
    SetUps,
}

const COURSE: [What; 10] = [
    What::Bulk { value: 64, connections: 1 },
    What::Bulk { value: 256, connections: 1 },
    What::Bulk { value: 4096, connections: 1 },
    What::Bulk { value: 1 << 20, connections: 1 },
    What::Bulk { value: 4096, connections: 16 },
    What::Bulk { value: 4096, connections: 256 },
    What::Ping { connections: 1 },
    What::Ping { connections: 256 },
    What::Ping { connections: 5000 },
    What::SetUps,
];

impl What {
    fn name(self) -> String {
        match self {
            Self::Bulk { value, connections } => format!("bulk, values of {value} B, {connections} connections"),
            Self::Ping { connections } => format!("round trips, {connections} connections"),
            Self::SetUps => "set-ups".to_owned(),
        }
    }

    /// What is measured of it, and in which unit; more is better where that is said.
    const fn columns(self) -> &'static [(&'static str, bool)] {
        match self {
            Self::Bulk { .. } => &[("Gbit/s", true), ("frames/s", true), ("CPU s/GB", false), ("memory, MB", false)],
            Self::Ping { .. } => &[("p50, us", false), ("p99, us", false), ("p99.9, us", false), ("memory, MB", false)],
            Self::SetUps => &[("connections/s", true)],
        }
    }

    fn measure(self, relay: Relay, place: &Place, time: Duration) -> io::Result<Vec<f64>> {
        let talk = match self {
            Self::Bulk { value, .. } => Talk::Bulk { value },
            Self::Ping { .. } | Self::SetUps => Talk::Echo,
        };
        let source = Source::start(talk)?;
        let running = Running::start(relay, source.address, place)?;
        let before = running.used();
        let figures = match self {
            Self::Bulk { connections, .. } => {
                let got = load::receive(running.address, connections, time)?;
                let used = running.used();
                check(relay, running, &source, got, connections)?;
                let rate = got.measured as f64 / got.seconds;
                let (share, gigabytes) = (got.frames as f64 / got.bytes as f64, got.bytes as f64 / 1e9);
                vec![rate * 8.0 / 1e9, rate * share, (used.cpu - before.cpu) / gigabytes, used.memory as f64 / 1e6]
            }
            Self::Ping { connections } => {
                let trips = load::ping(running.address, connections, time)?;
                let used = running.used();
                let [p50, p99, p999] = [50.0, 99.0, 99.9].map(|percent| trips.percentile(percent) * 1e6);
                vec![p50, p99, p999, used.memory as f64 / 1e6]
            }
            Self::SetUps => vec![load::set_ups(running.address, time)?],
        };
        Ok(figures)
    }
}

/// That all of it went through the relay: nobody else dialled the source, nothing is missing, and ours counted the same.
fn check(relay: Relay, running: Running, source: &Source, got: load::Got, connections: usize) -> io::Result<()> {
    let counted = running.stop()?;
    let sent = source.sent.lock().expect("no panic").clone();
    let sent: Vec<_> = sent.into_iter().filter(|sent| sent.bytes > 0).collect();
    let (bytes, frames) = sent.iter().fold((0, 0), |(bytes, frames), sent| (bytes + sent.bytes, frames + sent.frames));
    let differs = |what: &str, expected: u64, found: u64| {
        if expected == found {
            return Ok(());
        }
        Err(io::Error::other(format!("{}: expected {expected} {what}, found {found}", relay.name())))
    };
    differs("connections to the source", connections as u64, sent.len() as u64)?;
    differs("bytes", bytes, got.bytes)?;
    differs("frames", frames, got.frames)?;
    match counted {
        Some(counted) => differs("frames in the relay's own report", frames, counted),
        None if relay.is_ours() => Err(io::Error::other("dcproxy has counted nothing")),
        None => Ok(()),
    }
}

fn main() {
    let args = Args::parse();
    if let [listen, upstream] = args.copy[..] {
        return copy(listen, upstream);
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let place = Place { dcproxy: args.dcproxy, toxiproxy: args.toxiproxy, dir: dir.path().to_owned() };
    let wanted = |relay: &Relay| args.only.is_empty() || args.only.iter().any(|name| name == relay.name());
    let relays: Vec<Relay> = Relay::ALL.into_iter().filter(wanted).filter(|relay| is_there(*relay, &place)).collect();
    let mut failed = false;
    for what in COURSE {
        if args.what.as_ref().is_some_and(|part| !what.name().contains(part)) {
            continue;
        }
        let mut table = Table::new(&what.name(), what.columns());
        // One round after the other, so that a busy minute of the machine is everybody's.
        for _ in 0..args.rounds {
            for &relay in &relays {
                match what.measure(relay, &place, Duration::from_millis(args.time)) {
                    Ok(figures) => table.add(relay, figures),
                    Err(error) => {
                        eprintln!("{}, {}: {error}", what.name(), relay.name());
                        failed = true;
                    }
                }
            }
        }
        print!("{table}");
    }
    std::process::exit(i32::from(failed));
}

fn is_there(relay: Relay, place: &Place) -> bool {
    let program = match relay {
        Relay::Toxiproxy => place.toxiproxy.as_os_str().to_owned(),
        relay => match relay.program() {
            Some(program) => program.into(),
            None => return true,
        },
    };
    let found = Command::new("sh").arg("-c").arg("command -v \"$0\"").arg(&program).output();
    let there = found.is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("SKIPPED {}: expected {} on the PATH, found none", relay.name(), program.to_string_lossy());
    }
    there
}

fn copy(listen: SocketAddr, upstream: SocketAddr) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen).await.expect("it listens");
        loop {
            let (mut dialler, _) = listener.accept().await.expect("accepted");
            tokio::spawn(async move {
                let mut upstream = tokio::net::TcpStream::connect(upstream).await?;
                dialler.set_nodelay(true)?;
                upstream.set_nodelay(true)?;
                tokio::io::copy_bidirectional_with_sizes(&mut dialler, &mut upstream, 256 * 1024, 256 * 1024).await
            });
        }
    });
}
