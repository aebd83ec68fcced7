use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use anyhow::anyhow;
use clap::ArgMatches;

use super::acting::How;
use super::api::ApiWhom;
use super::judging::By;
use super::proxy::{Made, Proxies};
use super::sockets::SocketFlags;
use crate::api::Api;
use crate::api::toxiproxy;
use crate::net;
use crate::net::control::{Registry, Wanted};
use crate::net::{Health, Shutdown, Stop, Target, serve_fleet};
use crate::units;
use crate::verdict::ExitStatus;

/// Serves proxies that are made and changed over HTTP: toxiproxy's API, and more (see docs/API.md)
///
/// There are none at first but those of --populate. SIGINT or SIGTERM once: nothing new is accepted, what is under way
/// settles; twice: at once.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Where the API listens: HOST:PORT, or a port of loopback; port 0 is any free one
    #[arg(long, value_name = "ADDR", env = "DCPROXY_API", default_value = "127.0.0.1:8474",
        value_parser = Target::to_listen_on)]
    api: Target,

    #[command(flatten)]
    whom: ApiWhom,

    /// Make these proxies at first: a list as toxiproxy-server's -config has it
    #[arg(long, value_name = "FILE.json", env = "DCPROXY_POPULATE")]
    populate: Option<PathBuf>,

    #[command(flatten)]
    sockets: SocketFlags,

    #[command(flatten)]
    how: How,

    #[command(flatten)]
    by: By,

    /// At the first SIGINT or SIGTERM, let connections go on for so long before they settle
    #[arg(long, value_name = "DUR", env = "DCPROXY_DRAIN", default_value = "0s", value_parser = units::duration)]
    drain: Duration,
}

/// `given` is what the command line and the environment say.
pub(super) fn run(args: Args, given: &ArgMatches) -> anyhow::Result<ExitStatus> {
    net::block_on(serve(args, given))?
}

async fn serve(args: Args, given: &ArgMatches) -> anyhow::Result<ExitStatus> {
    let Args { api, whom, populate, sockets, how, by, drain } = args;
    let access = whom.access(&api)?;
    let (shutdown, health) = (Shutdown::on_signals()?, Health::default());
    let (registry, newcomers) = Registry::making(sockets.sockets());
    whom.recordings(&registry)?;
    let mut proxies = Proxies::new(None, given, Made { sockets, how, by, drain }, Some(registry.clone()));
    let wanted = match &populate {
        Some(file) => read(file).await?,
        None => Vec::new(),
    };
    let outfits = proxies.make(wanted).with_context(|| populate.unwrap_or_default().display().to_string())?;
    let api = proxies.announcing(Api::start(access, health.clone(), registry).await?);
    serve_fleet(&mut proxies, outfits, &shutdown, None, Some(newcomers.staying()), &health).await;
    if *shutdown.listen().borrow() != Stop::Now {
        api.finish().await;
    }
    proxies.status()
}

/// The proxies of a file.
async fn read(file: &Path) -> anyhow::Result<Vec<Wanted>> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    toxiproxy::populated(&bytes).await.map_err(|error| anyhow!("{}: {error}", file.display()))
}
