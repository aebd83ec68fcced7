mod columns;
mod hex_lines;
mod json;
mod list;
mod missing;
mod pairs;
mod printer;
mod style;
mod text;

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::bail;

use super::complain;
use super::input;
use super::output;
use crate::capture;
use crate::capture::Happened;
use crate::capture::Recorded;
use crate::dcp::Negotiated;
use crate::filter::Field;
use crate::filter::Filter;
use crate::filter::Subject;
use crate::journal::Role;
use crate::journal::Side;
use crate::journal::What;
use crate::verdict::ExitStatus;
use crate::wire::Opcode;

use missing::Missing;
use pairs::Pairs;
use printer::Layout;
use printer::Printer;
use style::Style;
use text::Text;

/// Prints the frames of captures, or of hex lines
///
/// JSON lines have one object for each frame: frame, time, conn, from, magic, opcode, status or vbucket, opaque, cas, datatype,
/// key_len, value_len, then what the message says; malformed and malformed_reason where it does not decode; response_to (the
/// number of the request's frame) and response_time, orphan and orphan_of, resynchronised, gap_before where they apply. What
/// is missing in a capture is told on stderr. docs/FILTER.md is the reference of filters and fields.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Captures: pcap or pcapng, also gzip or zstd, rotated ones in any order; - is stdin
    #[arg(value_name = "FILE", required_unless_present = "list")]
    files: Vec<PathBuf>,

    /// How frames are printed
    #[arg(short = 'T', long, value_enum, value_name = "FORMAT", default_value = "text", env = "DCPROXY_FORMAT")]
    format: Format,

    /// A field to print, with -T fields (repeatable, or with commas between): dcp.opcode, frame.time, couchbase.vbucket, ...
    #[arg(short = 'e', long, value_name = "FIELD", value_delimiter = ',', env = "DCPROXY_FIELD")]
    field: Vec<Field>,

    /// Only frames that this holds for: dcp.opcode == prepare && dcp.vbucket in {0..3} && dcp.seqno > 100
    #[arg(short = 'Y', long, value_name = "FILTER", env = "DCPROXY_FILTER")]
    filter: Option<Filter>,

    /// Stop after so many frames (of those that the filter lets through)
    #[arg(short = 'c', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), env = "DCPROXY_COUNT")]
    count: Option<u64>,

    /// List all fields: name, kind, meaning, Wireshark's names
    #[arg(long = "fields", id = "list", env = "DCPROXY_FIELDS")]
    list: bool,

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
    /// The fields that -e names, with tabs between
    Fields,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitStatus> {
    if args.list {
        list::print(output::stdout())?;
        return Ok(ExitStatus::Pass);
    }
    let mut printer = printer(&args)?;
    let errors = if args.hex {
        print_hex(&args.files, &args.negotiated, &mut printer)?
    } else {
        print(&args.files, args.negotiated, &mut printer)?
    };
    let failed = !errors.is_empty();
    for error in errors {
        complain(&format!("{error:#}"));
    }
    Ok(if failed { ExitStatus::Error } else { ExitStatus::Pass })
}

fn print_hex(paths: &[PathBuf], negotiated: &Negotiated, printer: &mut Printer) -> anyhow::Result<Vec<anyhow::Error>> {
    let mut errors = Vec::new();
    for path in paths {
        errors.extend(hex_lines::print(path, negotiated, printer).err());
        // An error of stdout itself ends the command.
        printer.flush()?;
        if printer.is_done() {
            break;
        }
    }
    Ok(errors)
}

/// The printer that is asked for.
fn printer(args: &Args) -> anyhow::Result<Printer> {
    let layout = match (args.format, args.field.as_slice()) {
        (Format::Fields, []) => bail!("expected -e FIELD (which fields to print) with -T fields, found none"),
        (Format::Fields, fields) => Layout::Fields(fields.to_vec()),
        (Format::Text | Format::Jsonl, [field, ..]) => {
            bail!("expected -T fields with -e {field}, found another format")
        }
        (Format::Text, []) => Layout::Text(Text::new(Style::of_stdout())),
        (Format::Jsonl, []) => Layout::Jsonl,
    };
    if let Some(field) = args.field.iter().find(|field| field.is_document() && !args.values) {
        bail!("expected --values with -e {field}, as it prints documents");
    }
    let printer = Printer::new(output::stdout(), layout);
    Ok(printer.values(args.values).filter(args.filter.clone()).limit(args.count))
}

/// Prints the frames of captures; gives what is wrong with them.
fn print(paths: &[PathBuf], assumed: Negotiated, printer: &mut Printer) -> anyhow::Result<Vec<anyhow::Error>> {
    let mut recorded = Recorded::new(0).assume(assumed);
    let (mut missing, mut pairs) = (Missing::default(), Pairs::default());
    let read = input::captures(paths).read(&mut |file, event| {
        let conn = u64::from(event.conn);
        recorded.event(&event, &mut |happened| {
            let from = from(&happened);
            if let Some(gap) = missing.observe(file, conn, from, &happened) {
                printer.gap(conn, from, gap.bytes, gap.offset);
            }
            frame(conn, from, &happened, &mut missing, &mut pairs, printer);
        });
        if event.what == capture::What::Ended {
            missing.forget(file, conn);
            pairs.forget(conn);
        }
        if printer.is_done() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    // What was printed comes before what is said of it.
    printer.flush()?;
    missing.finish();
    Ok(read.errors.into_iter().map(input::complaint).collect())
}

/// Prints what happened, if it is a frame.
fn frame(
    conn: u64,
    from: &'static str,
    happened: &Happened<'_>,
    missing: &mut Missing,
    pairs: &mut Pairs,
    printer: &mut Printer,
) {
    let (What::Frame(head), Some(frame)) = (&happened.entry.what, &happened.frame) else { return };
    let number = printer.number();
    let request = pairs.observe(conn, number, head, happened);
    printer.frame(&Subject {
        number: Some(number),
        conn: Some(conn),
        from: Some(from),
        frame: Some(frame),
        negotiated: happened.negotiated,
        resynchronised: happened.resynchronised,
        gap_before: missing.before(conn, happened.entry.sender()),
        orphan: happened.context.orphan.map(|orphan| orphan.to),
        response_to: request.and_then(|request| request.frame),
        response_time: request.map(|request| request.before),
        ..Subject::of_head(head, happened.entry.at)
    });
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
