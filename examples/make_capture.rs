//! Makes a large capture of DCP traffic, to measure with:
//!
//! ```text
//! cargo run --release --example make_capture -- --bytes 2GB --out /tmp/large.pcap
//! ```
//! `--seed N`, `--connections N` (open at once), `--items N` (of each vbucket), `--segment BYTES` (of payload) say what it
//! is like. It is a pcap file with nanoseconds; the same options make the same file.

#![allow(clippy::print_stderr, reason = "what was made is for its reader")]

#[path = "../tests/support/traffic.rs"]
mod traffic;

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use clap::Parser;

#[derive(Parser)]
struct Args {
    /// How long the file is to be: a number, or one with KB, MB or GB
    #[arg(long, default_value = "64MB", value_parser = size)]
    bytes: u64,
    /// Where it is written
    #[arg(long)]
    out: PathBuf,
    /// Another seed makes another file
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Connections that are open at any time
    #[arg(long, default_value_t = 32)]
    connections: u16,
    /// Seqnos of each vbucket
    #[arg(long, default_value_t = 4000)]
    items: u64,
    /// The most payload of a segment, instead of a mix
    #[arg(long)]
    segment: Option<usize>,
}

fn size(text: &str) -> Result<u64, String> {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000)];
    let (number, unit) =
        units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).unwrap_or((text, 1));
    let number: u64 = number.trim().parse().map_err(|_| format!("expected a size such as 2GB, found {text}"))?;
    number.checked_mul(unit).ok_or_else(|| format!("{text} is too much"))
}

fn main() -> std::io::Result<()> {
    let args = Args::parse();
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&args.out)?);
    let options = traffic::Options {
        seed: args.seed,
        bytes: args.bytes,
        at_once: args.connections,
        items: args.items,
        segment: args.segment,
    };
    let made = traffic::write(&options, &mut out)?;
    eprintln!("{made:?}");
    Ok(())
}
