//! The command line: one file a subcommand, and the only printing. Data goes to stdout, everything else to stderr.

mod log;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::verdict::ExitStatus;

#[derive(Parser, Debug)]
#[command(name = "dcproxy", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {}

impl Command {
    fn run(self) -> anyhow::Result<ExitStatus> {
        match self {}
    }
}

/// Parses the arguments, runs the subcommand, and turns its outcome into the process's exit code: an error is one line
/// on stderr and exit code 2.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log::init();
    let status = cli.command.run().unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        ExitStatus::Error
    });
    ExitCode::from(status.code())
}

/// One line on stderr, whatever the log settings.
#[expect(clippy::print_stderr, reason = "the command line is the one that prints")]
fn complain(line: &str) {
    eprintln!("dcproxy: {line}");
}
