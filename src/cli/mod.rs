//! The command line: one file a subcommand, and the only printing.
//!
//! A subcommand is a file with `Args` (clap) and `run(Args) -> anyhow::Result<ExitStatus>`, its `mod` line, its variant of
//! `Command` and its arm of `Command::run`. What it prints as data goes through `output::stdout`, logs through
//! `tracing`; an error that it returns becomes one line on stderr and exit code 2.

mod acting;
mod api;
mod bridge;
mod check;
mod cluster;
mod completions;
mod decode;
mod demo;
mod fuzz;
mod input;
mod judging;
mod log;
mod login;
mod man;
mod node;
mod output;
mod probe;
mod proxy;
mod recording;
mod replay;
mod rules;
mod runs;
mod scenario;
mod serve;
mod sockets;
mod tls;
mod transparent;
mod values;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::ArgMatches;
use clap::CommandFactory;
use clap::FromArgMatches;
use clap::Parser;
use clap::error::ErrorKind;

use crate::verdict::ExitStatus;

#[doc(hidden)]
pub use decode::decode_jsonl;
pub(crate) use output::announce;

const AFTER_HELP: &str = "\
Data goes to stdout, everything else to stderr (RUST_LOG, NO_COLOR).
Flags can be set in the environment too, by the names that each command's help gives; flags win.
Exit code: 0 pass, 1 a verdict failed, 2 usage, configuration or I/O error, 3 inconclusive.";

/// A transparent wire proxy for Couchbase DCP that closes streams mid-transfer and judges the producer
#[derive(Parser, Debug)]
#[command(name = "dcproxy", version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// How log lines are written on stderr; what is printed as a plain line stays one
    #[arg(long, global = true, value_name = "FORMAT", env = "DCPROXY_LOG_FORMAT", value_enum, default_value_t)]
    log_format: log::LogFormat,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Demo(demo::Args),
    Proxy(Box<proxy::Args>),
    Serve(Box<serve::Args>),
    Probe(Box<probe::Args>),
    Bridge(Box<bridge::Args>),
    Node(Box<node::Args>),
    Decode(decode::Args),
    Check(check::Args),
    Replay(Box<replay::Args>),
    Scenario(scenario::Args),
    Fuzz(Box<fuzz::Args>),
    Rules(Box<rules::Args>),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    /// `given` is what the command line and the environment say.
    fn run(self, given: &ArgMatches) -> anyhow::Result<ExitStatus> {
        match self {
            Self::Demo(args) => demo::run(args),
            Self::Proxy(args) => proxy::run(*args, given),
            Self::Serve(args) => serve::run(*args, given),
            Self::Probe(args) => probe::run(*args),
            Self::Bridge(args) => bridge::run(*args),
            Self::Node(args) => node::run(*args),
            Self::Decode(args) => decode::run(args),
            Self::Check(args) => check::run(args),
            Self::Replay(args) => replay::run(*args),
            Self::Scenario(args) => scenario::run(args),
            Self::Fuzz(args) => fuzz::run(*args),
            Self::Rules(args) => rules::run(&args),
            Self::Completions(args) => completions::run(args),
            Self::Man(args) => man::run(args),
        }
    }
}

/// Runs the command that `args` (the first is the program) ask for, prints what it says and returns its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let parsed = parse(&args).and_then(|given| Ok((Cli::from_arg_matches(&given)?, given)));
    let status = match parsed {
        Ok((cli, given)) => {
            log::init(cli.log_format);
            let given = given.subcommand().map_or(&given, |(_, given)| given);
            cli.command.run(given).unwrap_or_else(|error| failed(&error))
        }
        Err(error) => not_parsed(&error),
    };
    ExitCode::from(status.code())
}

/// What the command line and the environment say. That `proxy` lacks a flag which another needs is no error where a file may
/// have it: each of its tables is parsed for itself.
fn parse(args: &[OsString]) -> Result<ArgMatches, clap::Error> {
    let error = match Cli::command().try_get_matches_from(args) {
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => error,
        parsed => return parsed,
    };
    match Cli::command().ignore_errors(true).try_get_matches_from(args) {
        Ok(given) if given.subcommand_matches("proxy").is_some_and(|proxy| proxy.contains_id("config")) => Ok(given),
        Ok(_) | Err(_) => Err(error),
    }
}

/// Tells of an error that ended the command. That nobody reads stdout any more is none.
fn failed(error: &anyhow::Error) -> ExitStatus {
    if output::nobody_reads(error) {
        return ExitStatus::Pass;
    }
    complain(&format!("{error:#}"));
    ExitStatus::Error
}

/// Help and version go to stdout and are a success; a usage error is one line on stderr.
fn not_parsed(error: &clap::Error) -> ExitStatus {
    let text = error.render().to_string();
    let kind = error.kind();
    if matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Whoever asks for help and does not read it to the end has had enough.
        let _ = std::io::stdout().write_all(text.as_bytes());
        return ExitStatus::Pass;
    }
    if kind == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = std::io::stderr().write_all(text.as_bytes());
    } else {
        complain(&usage_error(&text));
    }
    ExitStatus::Error
}

/// One line of what clap says on several: the error and its tips, without the usage.
fn usage_error(text: &str) -> String {
    let mut told = String::new();
    for paragraph in text.split("\n\n") {
        let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(error) = line.strip_prefix("error: ") {
            told.push_str(error);
        } else if line.starts_with("tip: ") {
            told.push_str("; ");
            told.push_str(&line);
        }
    }
    if told.is_empty() { text.split_whitespace().collect::<Vec<_>>().join(" ") } else { told }
}

/// One line on stderr, whatever the message holds.
fn complain(message: &str) {
    let line = message.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    let _ = writeln!(std::io::stderr(), "dcproxy: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(args: &[&str]) -> String {
        let error = Cli::try_parse_from(std::iter::once("dcproxy").chain(args.iter().copied())).expect_err("refused");
        usage_error(&error.render().to_string())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_can_be_set_in_the_environment() {
        for command in Cli::command().get_subcommands() {
            for arg in command.get_arguments().filter(|arg| arg.get_long().is_some()) {
                let (name, long) = (arg.get_id(), arg.get_long().unwrap_or_default());
                if matches!(long, "help" | "version") {
                    continue;
                }
                let expected = format!("DCPROXY_{}", long.replace('-', "_").to_ascii_uppercase());
                assert_eq!(
                    arg.get_env().map(|env| env.to_string_lossy().into_owned()),
                    Some(expected),
                    "{} {name}",
                    command.get_name()
                );
            }
        }
    }

    #[test]
    fn a_usage_error_is_one_line_with_its_tip() {
        assert_eq!(usage(&["chek"]), "unrecognized subcommand 'chek'; tip: a similar subcommand exists: 'check'");
        assert_eq!(usage(&["check"]), "the following required arguments were not provided: <FILE>...");
        assert_eq!(
            usage(&["check", "a.pcap", "--report", "r.html"]),
            "invalid value 'r.html' for '--report <FILE>': expected - or a file that ends in .json, .xml or .txt, found \
             'r.html'"
        );
    }
}
