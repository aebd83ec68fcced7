//! dcproxy beside HAProxy, nginx, socat, toxiproxy and a bare tokio copy: the same load through each, in turn, in one run.
//!
//! ```text
//! benches/peers/run
//! ```
//! installs the peers and prints the tables of docs/PERFORMANCE.md. Rounds are interleaved; medians count, and their spread is told.
//! That every byte went through the relay under test is checked: the sinks walk over all frames, whoever dialled the source must be a
//! socket of the relay's, and dcproxy's own count of frames must be the source's, its verdict a pass.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "tables are printed")]

mod aims;
mod cost;
mod course;
mod document;
mod flood;
mod relay;
mod sink;
mod source;
mod table;
mod trips;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use nix::sys::resource::Resource;
use nix::sys::resource::getrlimit;
use nix::sys::resource::setrlimit;

use course::COURSE;
use course::What;
use relay::Kind;
use relay::Place;
use relay::Relay;
use table::Table;

/// dcproxy beside HAProxy, nginx, socat, toxiproxy and a bare tokio copy
#[derive(Parser)]
#[command(name = "benches/peers/run")]
struct Args {
    /// How often each is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each time
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Only measurements whose name begins so: bulk-64, bulk-256, bulk-4k, bulk-1m, streams-1024, bulk-16x, bulk-256x, ping, ping-busy,
    /// ping-busy-1m, ping-16x, ping-256x, ping-5000x, setups
    #[arg(long, value_delimiter = ',')]
    what: Vec<String>,
    /// Only these, and these in every measurement: direct, haproxy, haproxy-tuned, nginx, socat, toxiproxy, tokio, dcproxy, armed, recording,
    /// haproxy-tls, tls
    #[arg(long, value_delimiter = ',')]
    relays: Vec<String>,
    /// A build of dcproxy; repeatable, to compare builds in the same rounds
    #[arg(long, value_name = "[LABEL=]PATH")]
    dcproxy: Vec<String>,
    /// Put the tables into this document, between its marks
    #[arg(long, value_name = "FILE")]
    write_docs: Option<PathBuf>,
    /// Relay from the one to the other with tokio's copy, and nothing else
    #[arg(long, num_args = 2, value_names = ["LISTEN", "UPSTREAM"], hide = true)]
    copy: Vec<SocketAddr>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // For the relays too: they are this program's children.
    let files = raise_files();
    let outcome = match args.copy[..] {
        [listen, upstream] => copy(listen, upstream).map(|()| true),
        _ => measure(&args, files),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// As many open files as this user may have: how many those are.
fn raise_files() -> u64 {
    const WANTED: u64 = 65_536;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    let [more, all] = [(WANTED.max(soft), WANTED.max(hard)), (hard, hard)];
    if setrlimit(Resource::RLIMIT_NOFILE, more.0, more.1).is_ok() {
        return more.0;
    }
    if setrlimit(Resource::RLIMIT_NOFILE, all.0, all.1).is_ok() { hard } else { soft }
}

/// Whether nothing failed.
fn measure(args: &Args, files: u64) -> io::Result<bool> {
    let dir = tempfile::tempdir()?;
    let builds = args.dcproxy.iter().map(|build| match build.split_once('=') {
        Some((label, path)) => (label.to_owned(), path.into()),
        None => (build.clone(), build.into()),
    });
    let place = Place { builds: builds.collect(), dir: dir.path().to_owned() };
    known("--what", &args.what, |name| COURSE.iter().any(|(what, _)| what.starts_with(name)))?;
    known("--relays", &args.relays, |name| Kind::ALL.iter().any(|kind| kind.id() == name))?;
    let relays: Vec<Relay> = Kind::ALL
        .into_iter()
        .filter(|kind| args.relays.is_empty() || args.relays.iter().any(|name| name == kind.id()))
        .filter(|kind| is_there(*kind))
        .flat_map(|kind| {
            (0..if kind.is_ours() { place.builds.len() } else { 1 }).map(move |build| Relay { kind, build })
        })
        .collect();
    let mut tables = BTreeMap::new();
    let mut failures = Vec::new();
    let mut text = String::new();
    for (name, what) in COURSE {
        if !args.what.is_empty() && !args.what.iter().any(|part| is_asked(name, part)) {
            continue;
        }
        if what.files() > files {
            let needed = what.files();
            eprintln!(
                "SKIPPED {name}: expected leave for {needed} open files, found {files}; as root: ulimit -n {needed}"
            );
            continue;
        }
        let mut those = relays.clone();
        those.retain(|relay| !args.relays.is_empty() || what.is_usual(relay.kind));
        let table = rounds(args, name, what, &those, &place, &mut failures);
        let part = table.markdown(&place);
        println!("{part}");
        text += &part;
        tables.insert(name, table);
    }
    let aims = aims::markdown(&tables, &place);
    println!("{aims}");
    let failed: String = failures.iter().map(|failure| format!("- {failure}\n")).collect();
    if !failures.is_empty() {
        println!("\n### Failures\n\n{failed}");
    }
    if let Some(path) = &args.write_docs {
        document::write(path, &relays, &format!("{aims}{text}"), &failed)?;
    }
    Ok(failures.is_empty())
}

/// `bulk` asks for all that begin so; a whole name for that alone.
fn is_asked(name: &str, part: &str) -> bool {
    if COURSE.iter().any(|(whole, _)| *whole == part) { name == part } else { name.starts_with(part) }
}

fn known(flag: &str, names: &[String], is_known: impl Fn(&str) -> bool) -> io::Result<()> {
    match names.iter().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => Err(io::Error::other(format!("{flag}: expected a name that --help lists, found {name}"))),
    }
}

/// One round after the other, so that a busy minute of the machine is everybody's; nobody is always the first.
fn rounds(args: &Args, name: &str, what: What, relays: &[Relay], place: &Place, failures: &mut Vec<String>) -> Table {
    let mut table = Table::new(what.title(), what.columns());
    for round in 0..args.rounds {
        for at in 0..relays.len() {
            let relay = relays[(at + round) % relays.len()];
            match what.measure(relay, place, Duration::from_secs_f64(args.seconds)) {
                Ok(figures) => table.add(relay, round, figures),
                Err(error) => {
                    let failure = format!("{name}, {}, round {}: {error}", place.name(relay), round + 1);
                    eprintln!("{failure}");
                    failures.push(failure);
                }
            }
        }
    }
    table
}

fn is_there(kind: Kind) -> bool {
    let Some([program, _]) = kind.version() else { return true };
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&paths).any(|dir| dir.join(program).is_file());
    if !there {
        eprintln!("SKIPPED {}: expected {program} on the PATH, found none", kind.name());
    }
    there
}

fn copy(listen: SocketAddr, upstream: SocketAddr) -> io::Result<()> {
    const BUFFER: usize = 256 * 1024;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(listen)?;
        let listener = socket.listen(4096)?;
        loop {
            let (mut dialler, _) = listener.accept().await?;
            tokio::spawn(async move {
                let mut upstream = tokio::net::TcpStream::connect(upstream).await?;
                dialler.set_nodelay(true)?;
                upstream.set_nodelay(true)?;
                tokio::io::copy_bidirectional_with_sizes(&mut dialler, &mut upstream, BUFFER, BUFFER).await
            });
        }
    })
}
