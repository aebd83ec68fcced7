use crate::verdict::ExitStatus;

/// Lists, shows and checks scenarios, the built-in and the user's
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Lists the built-in scenarios, one a line
    List,
    /// Prints a scenario
    Show {
        /// A built-in scenario's name, or a file
        #[arg(value_name = "NAME|FILE")]
        scenario: String,
    },
    /// Checks scenarios without running them
    Check {
        /// Built-in scenarios' names, or files
        #[arg(value_name = "NAME|FILE", required = true)]
        scenarios: Vec<String>,
    },
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitStatus> {
    anyhow::bail!("scenario: expected a later commit, found its place only: {:?}", args.action)
}
