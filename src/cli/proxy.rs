use std::time::Duration;

use super::judging::Judging;
use super::recording::Recording;
use super::{announce, output, values};
use crate::net;
use crate::net::proxy::{Options, Summary, serve};
use crate::net::{Judged, Limits, Shutdown, Target};
use crate::report::Report;
use crate::scenario::{MESSAGES, Plan, Scenario};
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

    /// A built-in scenario's name, or a file; repeatable
    #[arg(long, value_name = "NAME|FILE", env = "DCPROXY_SCENARIO", value_parser = values::scenario)]
    scenario: Vec<Scenario>,

    #[command(flatten)]
    judging: Judging,

    #[command(flatten)]
    recording: Recording,

    /// How long the producer is watched after the last orphaned response
    #[arg(long, value_name = "DUR", env = "DCPROXY_SETTLE", default_value = "2s", value_parser = units::duration)]
    settle: Duration,

    /// Give also those answers at which the era's producer may or must disconnect
    #[arg(long, env = "DCPROXY_FATAL_TOO")]
    fatal_too: bool,

    /// Chooses where streams are closed; any if not given, the report tells which
    #[arg(long, value_name = "N", env = "DCPROXY_SEED", value_parser = values::seed)]
    seed: Option<u64>,

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
    fn plan(&self) -> Plan {
        let messages = self.judging.messages.as_ref();
        Plan {
            scenarios: self.scenario.clone(),
            messages: messages.map_or_else(|| MESSAGES.into(), |messages| messages.0.iter().copied().collect()),
            era: self.judging.era.0,
            settle: self.settle,
            fatal_too: self.fatal_too,
            seed: self.seed.unwrap_or_else(values::any_seed),
        }
    }

    fn options(&self) -> Options {
        Options {
            upstream: self.upstream.clone(),
            once: self.once,
            timeout: self.timeout,
            connect_timeout: CONNECT_TIMEOUT,
            limits: Limits { settle: self.settle + SETTLE_SLACK, ..Limits::default() },
        }
    }

    /// The verdict decides only where something was armed.
    fn status(&self, report: &Report, summary: Summary) -> anyhow::Result<ExitStatus> {
        match summary.failed_dial {
            Some(error) if self.once => Err(error.into()),
            Some(_) => Ok(ExitStatus::Error),
            None if !report.errors.is_empty() => Ok(ExitStatus::Error),
            None if self.scenario.is_empty() => Ok(ExitStatus::Pass),
            None => Ok(report.verdict.into()),
        }
    }
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let mut judged = Judged::new(args.plan(), args.judging.judge());
    if let Some(recorder) = args.recording.start(&args.upstream)? {
        judged = judged.recorded(recorder);
    }
    let summary = net::block_on(async {
        let shutdown = Shutdown::on_signals()?;
        let listener = net::listen(&args.listen).await?;
        announce("", listener.local_addr()?);
        anyhow::Ok(serve(listener, args.options(), &mut judged, &shutdown).await)
    })??;
    let report = judged.report(&summary);
    args.judging.deliver(&report)?;
    if !args.scenario.is_empty() {
        output::remark(&output::verdict_line(&report));
    }
    args.status(&report, summary)
}
