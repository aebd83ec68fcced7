use std::io::Write;

use anyhow::bail;
use clap::CommandFactory;
use clap_mangen::Man;

use super::Cli;
use super::output;
use crate::verdict::ExitStatus;

/// Prints the manual page, of the whole program or of one command
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Which command; the program itself if not given
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let mut program = Cli::command();
    program.build();
    let command = match &args.command {
        None => program,
        Some(name) => {
            let Some(found) = program.find_subcommand(name) else {
                let known: Vec<_> = program.get_subcommands().map(clap::Command::get_name).collect();
                bail!("expected a command ({}), found '{name}'", known.join(", "));
            };
            found.clone()
        }
    };
    let mut stdout = output::stdout();
    Man::new(command).render(&mut stdout)?;
    stdout.flush()?;
    Ok(ExitStatus::Pass)
}
