use crate::verdict::ExitStatus;

/// Relays DCP between a consumer and a producer, runs scenarios on it and judges
#[derive(clap::Args, Debug)]
pub(super) struct Args {}

pub(super) fn run(_: Args) -> anyhow::Result<ExitStatus> {
    anyhow::bail!("proxy: expected a later commit, found its place only")
}
