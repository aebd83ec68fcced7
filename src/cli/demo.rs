use crate::verdict::ExitStatus;

/// Runs everything embedded: a producer that handles orphaned responses and one that does not, side by side
#[derive(clap::Args, Debug)]
pub(super) struct Args {}

pub(super) fn run(_: Args) -> anyhow::Result<ExitStatus> {
    anyhow::bail!("demo: expected a later commit, found its place only")
}
