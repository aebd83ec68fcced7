mod fields;
mod hex_lines;
mod printer;
mod text;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::complain;
use super::input;
use super::output;
use crate::capture::Happened;
use crate::capture::Recorded;
use crate::dcp::Negotiated;
use crate::journal::Entry;
use crate::journal::Role;
use crate::journal::Side;
use crate::journal::What;
use crate::verdict::ExitStatus;
use crate::wire::Opcode;

use fields::Place;
use printer::Printer;

/// Prints the frames of captures, or of hex lines
///
/// JSON lines have one object for each frame: frame, time, conn, from, magic, opcode, status or vbucket, opaque, cas, datatype,
/// key_len, value_len, then what the message says; malformed and malformed_reason where it does not decode. What is missing in
/// a capture is told on stderr.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Captures: pcap or pcapng, also gzip or zstd, rotated ones in any order; - is stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// How frames are printed
    #[arg(short = 'T', long, value_enum, value_name = "FORMAT", default_value = "text", env = "DCPROXY_FORMAT")]
    format: Format,

    /// The files hold frames as hex, one a line; empty lines and those that begin with # are skipped
    #[arg(long, env = "DCPROXY_HEX")]
    hex: bool,

    /// What the connection had agreed on before: collections, snappy, xattr, stream_id, flatbuffers, include_delete_times
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true, env = "DCPROXY_NEGOTIATED")]
    negotiated: Negotiated,

    /// Print documents too
    #[arg(long, env = "DCPROXY_VALUES")]
    values: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// One line for each frame, for people
    Text,
    /// One JSON object for each frame
    Jsonl,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let mut printer = Printer::new(output::stdout(), args.format, args.values);
    let mut status = ExitStatus::Pass;
    let mut errors = Vec::new();
    if args.hex {
        for path in &args.files {
            errors.extend(hex_lines::print(path, &args.negotiated, &mut printer).err());
            printer.flush()?;
        }
    } else {
        errors = print(&args.files, args.negotiated, &mut printer)?;
    }
    // What was printed comes before what is said of it, and an error of stdout itself ends the command.
    printer.flush()?;
    for error in errors {
        complain(&format!("{error:#}"));
        status = ExitStatus::Error;
    }
    Ok(status)
}

/// Prints the frames of captures; gives what is wrong with them.
fn print(paths: &[PathBuf], assumed: Negotiated, printer: &mut Printer) -> anyhow::Result<Vec<anyhow::Error>> {
    let mut recorded = Recorded::new(0).assume(assumed);
    let mut missing = Missing::default();
    let read = input::captures(paths).read(&mut |file, event| {
        let conn = u64::from(event.conn);
        recorded.event(&event, &mut |happened| {
            missing.observe(file, conn, happened.entry);
            if let (What::Frame(head), Some(frame)) = (&happened.entry.what, &happened.frame) {
                let place = Place { time: Some(happened.entry.at), conn: Some(conn), from: Some(from(&happened)) };
                printer.frame(place, frame, &head.message, &happened.negotiated);
            }
        });
        if printer.has_failed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    printer.flush()?;
    missing.tell();
    Ok(read.errors.into_iter().map(input::complaint).collect())
}

/// Who sent a frame: client or server until DCP_OPEN has said who is who.
fn from(happened: &Happened<'_>) -> &'static str {
    let sender = happened.entry.sender();
    let is_open = matches!(&happened.entry.what, What::Frame(head) if head.header.opcode == Opcode::DCP_OPEN);
    match (happened.session.role(sender).filter(|_| !is_open), sender) {
        (Some(Role::Producer), _) => "producer",
        (Some(Role::Consumer), _) => "consumer",
        (None, Side::Dialler) => "client",
        (None, Side::Upstream) => "server",
    }
}

/// What a capture does not hold.
#[derive(Debug, Default)]
struct Missing {
    /// For each connection and sender: the file of the first gap, gaps, bytes missing in those of known size.
    gaps: BTreeMap<(u64, Side), (String, u64, u64)>,
    lost: Vec<(String, u64, Side, String)>,
}

impl Missing {
    /// So many connections are named, the others counted.
    const NAMED: usize = 10;

    fn observe(&mut self, file: &str, conn: u64, entry: &Entry) {
        match &entry.what {
            What::Gap(bytes) => {
                let place = (conn, entry.sender());
                let (_, gaps, missing) = self.gaps.entry(place).or_insert_with(|| (file.to_owned(), 0, 0));
                *gaps += 1;
                *missing = missing.saturating_add(bytes.unwrap_or_default());
            }
            What::FramingLost(error) if self.lost.len() <= Self::NAMED => {
                self.lost.push((file.to_owned(), conn, entry.sender(), error.to_string()));
            }
            What::FramingLost(_) | What::Frame(_) | What::Paused(_) | What::Acted(_) | What::Closed { .. } => {}
        }
    }

    fn tell(&self) {
        let end = |side: &Side| if *side == Side::Dialler { "client" } else { "server" };
        for ((conn, side), (path, gaps, bytes)) in self.gaps.iter().take(Self::NAMED) {
            tracing::warn!(
                "{path}: connection {conn}: the {}'s bytes have {gaps} gaps, {bytes} bytes or more",
                end(side)
            );
        }
        if self.gaps.len() > Self::NAMED {
            tracing::warn!("{} more connections or directions have gaps", self.gaps.len() - Self::NAMED);
        }
        for (path, conn, side, error) in self.lost.iter().take(Self::NAMED) {
            tracing::warn!("{path}: connection {conn}: what the {} sent has no more frames: {error}", end(side));
        }
        if self.lost.len() > Self::NAMED {
            tracing::warn!("more connections have no frames");
        }
    }
}
