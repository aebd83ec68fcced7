use std::io::Write;
use std::path::Path;

use anyhow::Context;

use super::output;
use crate::scenario::Scenario;
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
    let mut stdout = output::stdout();
    match args.action {
        Action::List => {
            for (scenario, _) in Scenario::built_in() {
                let about = scenario.about.split_whitespace().collect::<Vec<_>>().join(" ");
                let first = about.split_inclusive(['.', ':']).next().unwrap_or_default();
                writeln!(stdout, "{:<20} {}", scenario.name, first.trim_end_matches([':', '.']))?;
            }
        }
        Action::Show { scenario } => stdout.write_all(text(&scenario)?.as_bytes())?,
        Action::Check { scenarios } => {
            let mut status = ExitStatus::Pass;
            for name in scenarios {
                let text = text(&name)?;
                match Scenario::parse(&text) {
                    Ok(scenario) => writeln!(stdout, "{name}: ok, {} step(s)", scenario.steps.len())?,
                    Err(error) => {
                        output::remark(error.shown(&name, &text).trim_end());
                        status = ExitStatus::Error;
                    }
                }
            }
            stdout.flush()?;
            return Ok(status);
        }
    }
    stdout.flush()?;
    Ok(ExitStatus::Pass)
}

/// The file of a scenario: a built-in one's, or the user's.
fn text(name: &str) -> anyhow::Result<String> {
    if let Some((_, text)) = Scenario::built_in().into_iter().find(|(scenario, _)| scenario.name == name) {
        return Ok(text.to_owned());
    }
    let path = Path::new(name);
    if !path.exists() {
        // The error lists the names that there are.
        Scenario::named(name)?;
    }
    std::fs::read_to_string(path).with_context(|| format!("reading the scenario {name}"))
}
