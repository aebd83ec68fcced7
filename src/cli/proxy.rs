use std::sync::Arc;
use std::time::Duration;

use super::acting::Acting;
use super::cluster::Cluster;
use super::judging::Judging;
use super::recording::Recording;
use super::tls::{Tls, UpstreamTls};
use super::{announce, output};
use crate::net;
use crate::net::proxy::{Options, Summary, serve};
use crate::net::tls::{Secrets, reread_on_hangup};
use crate::net::{ClusterDoors, Door, Doors, Judged, Limits, Route, Shutdown, Target};
use crate::report::Report;
use crate::units;
use crate::verdict::ExitStatus;

/// Relays DCP between a consumer and a producer, runs scenarios on it and judges
///
/// Without --scenario nothing is injected or changed: the bytes out are the bytes in. SIGINT or SIGTERM once: nothing new is
/// accepted, what is under way settles, reports are written; twice: at once, with what is known till then.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Where to listen: HOST:PORT, or a port of loopback; port 0 is any free one
    #[arg(long, value_name = "ADDR", env = "DCPROXY_LISTEN", value_parser = Target::to_listen_on)]
    listen: Target,

    /// Where to dial for each connection
    #[arg(long, value_name = "HOST:PORT", env = "DCPROXY_UPSTREAM")]
    upstream: Target,

    #[command(flatten)]
    tls: Tls,

    #[command(flatten)]
    upstream_tls: UpstreamTls,

    #[command(flatten)]
    cluster: Cluster,

    #[command(flatten)]
    acting: Acting,

    #[command(flatten)]
    judging: Judging,

    #[command(flatten)]
    recording: Recording,

    /// Serve one connection, then end: the first that opens DCP, or the first of all where there is no scenario
    #[arg(long, env = "DCPROXY_ONCE")]
    once: bool,

    /// End after this time, with what is known till then
    #[arg(long, value_name = "DUR", env = "DCPROXY_TIMEOUT", value_parser = units::duration)]
    timeout: Option<Duration>,
}

/// How long a dial may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What settling may take beyond `--settle`: closes and bursts that are under way come first.
const SETTLE_SLACK: Duration = Duration::from_secs(8);

impl Args {
    fn options(&self, settle: Duration) -> Options {
        Options {
            once: self.once,
            timeout: self.timeout,
            connect_timeout: CONNECT_TIMEOUT,
            limits: Limits { settle: settle + SETTLE_SLACK, ..Limits::default() },
        }
    }

    /// The verdict decides only where something was armed.
    fn status(&self, report: &Report, summary: Summary) -> anyhow::Result<ExitStatus> {
        match summary.failed_dial {
            Some(error) if self.once => Err(error.into()),
            Some(_) => Ok(ExitStatus::Error),
            None if !report.errors.is_empty() => Ok(ExitStatus::Error),
            None if !self.acting.is_armed() => Ok(ExitStatus::Pass),
            None => Ok(report.verdict.into()),
        }
    }
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let plan = args.acting.plan(&args.judging);
    let options = args.options(plan.settle);
    let mut judged = Judged::new(plan, args.judging.judge(&args.acting.scenario));
    let mut secrets = Secrets::from_environment()?;
    if let Some(recorder) = args.recording.start(&args.upstream)? {
        secrets = secrets.recorded(args.recording.secrets(&recorder));
        judged = judged.recorded(recorder);
    }
    let route = Route {
        upstream: args.upstream_tls.to(&args.upstream, &secrets)?,
        tls: args.tls.acceptor([&args.listen], &secrets)?,
    };
    let summary = net::block_on(async {
        let shutdown = Shutdown::on_signals()?;
        reread_on_hangup(route.tls.iter().cloned().collect(), route.upstream.tls.iter().cloned().collect())?;
        let listener = net::listen(&args.listen).await?;
        let at = listener.local_addr()?;
        announce("", at);
        let doors = match args.cluster.options() {
            None => Doors::one(listener, route),
            Some(options) => {
                let (doors, changes) = Doors::changing(vec![Door { listener, route: Arc::new(route.clone()) }]);
                let cluster = ClusterDoors::new(options, at, &route, changes);
                args.cluster.manage(&cluster).await?;
                judged.lead_through(cluster);
                doors
            }
        };
        anyhow::Ok(serve(doors, options, &mut judged, &shutdown).await)
    })??;
    let report = judged.report(&summary);
    args.judging.deliver(&report)?;
    if args.acting.is_armed() {
        output::remark(&output::verdict_line(&report));
    }
    args.status(&report, summary)
}
