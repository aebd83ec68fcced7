use std::path::PathBuf;

use super::judging::Judging;
use crate::verdict::ExitStatus;

/// Judges the connections recorded in captures: invariants and orphaned responses
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Captures: pcap or pcapng, also .gz; - is stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    #[command(flatten)]
    judging: Judging,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitStatus> {
    anyhow::bail!("check: expected a later commit, found its place only: {args:?}")
}
