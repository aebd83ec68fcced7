mod columns;
mod hex_lines;
mod list;
mod missing;
mod pairs;
mod printer;
mod stats;
mod style;
mod text;

use std::collections::BTreeMap;
use std::io;
use std::io::Read;
use std::io::Write;
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
use pairs::Answers;
use pairs::Pairs;
use printer::Layout;
use printer::Printer;
use stats::Stats;
use style::Style;
use text::Text;

/// Prints the frames of captures, or of hex lines
///
/// JSON lines have one object for each frame: frame, time, conn, from, magic, opcode, status or vbucket, opaque, cas, datatype,
/// key_len, value_len, then what the message says; malformed and malformed_reason where it does not decode; response_to (the
/// number of the request's frame; response_in with --two-pass) and response_time, orphan and orphan_of, resynchronised, gap_before where they apply. What
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
    filter: Option<String>,

    /// Stop after so many frames (of those that the filter lets through)
    #[arg(short = 'c', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), env = "DCPROXY_COUNT")]
    count: Option<u64>,

    /// Print no frames but a report of all that the filter lets through: messages, response times, connections, streams
    #[arg(long, env = "DCPROXY_STATS")]
    stats: bool,

    /// Read the files twice, so that requests name their responses too: response_in
    #[arg(short = '2', long, env = "DCPROXY_TWO_PASS")]
    two_pass: bool,

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
    let errors = read(&args, &mut printer)?;
    printer.finish(args.format == Format::Jsonl)?;
    let failed = !errors.is_empty();
    for error in errors {
        complain(&format!("{error:#}"));
    }
    Ok(if failed { ExitStatus::Error } else { ExitStatus::Pass })
}

/// Reads the files, once or twice; gives what is wrong with them.
fn read(args: &Args, printer: &mut Printer) -> anyhow::Result<Vec<anyhow::Error>> {
    let mut pairs = Pairs::default();
    if args.two_pass {
        if args.hex || args.files.iter().any(|path| path.as_os_str() == "-") {
            bail!("expected captures in files with --two-pass, as they are read twice, found --hex or stdin");
        }
        let mut first = Pairs::new(Answers::Learning(BTreeMap::new()));
        let mut silent = Printer::new(io::sink(), Layout::Silent);
        print(&args.files, &mut Reading::new(args.negotiated, &mut first, false), &mut silent)?;
        pairs = Pairs::new(first.learnt());
    }
    if args.hex {
        print_hex(&args.files, &args.negotiated, printer)
    } else {
        print(&args.files, &mut Reading::new(args.negotiated, &mut pairs, true), printer)
    }
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
    if args.stats && args.format == Format::Fields {
        bail!("expected -T text or -T jsonl with --stats, found -T fields");
    }
    let layout = match (args.format, args.field.as_slice()) {
        _ if args.stats && args.field.is_empty() => Layout::Silent,
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
    let filter: Option<Filter> = args.filter.as_deref().map(str::parse).transpose()?;
    let stats = args.stats.then(|| Stats::new(filter.is_some()));
    let printer = Printer::new(output::stdout(), layout).stats(stats);
    Ok(printer.values(args.values).filter(filter).limit(args.count))
}

/// Prints the frames of a capture as `dcproxy decode -T jsonl` does, those that `filter` holds for: for measuring it.
///
/// # Errors
/// What cannot be read or written.
#[doc(hidden)]
pub fn decode_jsonl(capture: impl Read, filter: Option<Filter>, to: impl Write + 'static) -> anyhow::Result<u64> {
    let mut printer = Printer::new(to, Layout::Jsonl).filter(filter);
    let mut pairs = Pairs::default();
    let mut reading = Reading::new(Negotiated::default(), &mut pairs, false);
    capture::read_while(capture, &mut |event| reading.event("", &event, &mut printer))?;
    printer.flush()?;
    Ok(printer.number() - 1)
}

/// Prints the frames of captures; gives what is wrong with them.
fn print(paths: &[PathBuf], reading: &mut Reading<'_>, printer: &mut Printer) -> anyhow::Result<Vec<anyhow::Error>> {
    let read = input::captures(paths).read(&mut |file, event| reading.event(file, &event, printer));
    // What was printed comes before what is said of it.
    printer.flush()?;
    reading.missing.finish();
    Ok(read.errors.into_iter().map(input::complaint).collect())
}

/// What is known from one event of captures to the next.
struct Reading<'p> {
    recorded: Recorded,
    missing: Missing,
    pairs: &'p mut Pairs,
}

impl<'p> Reading<'p> {
    /// `telling`: what is missing is told on stderr.
    fn new(assumed: Negotiated, pairs: &'p mut Pairs, telling: bool) -> Self {
        Self { recorded: Recorded::new(0).assume(assumed), missing: Missing::new(telling), pairs }
    }

    fn event(&mut self, file: &str, event: &capture::Event<'_>, printer: &mut Printer) -> ControlFlow<()> {
        let conn = u64::from(event.conn);
        if let (capture::What::Opened { dialler, upstream }, Some(stats)) = (event.what, printer.counting()) {
            stats.opened(conn, dialler, upstream);
        }
        let Self { recorded, missing, pairs } = self;
        recorded.event(event, &mut |happened| {
            let from = from(&happened);
            if let Some(gap) = missing.observe(file, conn, from, &happened) {
                printer.gap(conn, from, gap.bytes, gap.offset);
                if let Some(stats) = printer.counting() {
                    stats.gap(conn, gap.bytes);
                }
            }
            frame(conn, from, &happened, missing, pairs, printer);
        });
        if event.what == capture::What::Ended {
            self.missing.forget(file, conn);
            self.pairs.forget(conn);
            if let Some(stats) = printer.counting() {
                stats.ended(conn);
            }
        }
        if printer.is_done() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
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
    let counted = printer.frame(&Subject {
        number: Some(number),
        conn: Some(conn),
        from: Some(from),
        frame: Some(frame),
        negotiated: happened.negotiated,
        resynchronised: happened.resynchronised,
        gap_before: missing.before(conn, happened.entry.sender()),
        orphan: happened.context.orphan.map(|orphan| orphan.to),
        response_to: request.and_then(|request| request.frame),
        response_in: pairs.answer(number),
        response_time: request.map(|request| request.before),
        ..Subject::of_head(head, happened.entry.at)
    });
    if let Some(stats) = printer.counting() {
        stats.frame(conn, head, happened, counted);
    }
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
