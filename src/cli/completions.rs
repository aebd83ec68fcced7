use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use super::output;
use crate::verdict::ExitStatus;

/// Prints what makes a shell complete this program's commands and flags
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Which shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "dcproxy", &mut script);
    let mut stdout = output::stdout();
    stdout.write_all(&script)?;
    stdout.flush()?;
    Ok(ExitStatus::Pass)
}
