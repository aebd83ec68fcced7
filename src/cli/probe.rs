mod table;

use std::fmt;
use std::io::{IsTerminal, Write};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::judging::Judging;
use super::login::Producer;
use super::values::Seed;
use super::{output, values};
use crate::net;
use crate::net::{News, ProbeRun, Shutdown};
use crate::probe::{Access, Options, PROBED, Probe, STATUSES, suits};
use crate::report;
use crate::scenario::Scenario;
use crate::units;
use crate::verdict::ExitStatus;
use crate::wire::Status;

/// Puts a producer through every orphaned response and the catalogue's scenarios, as its consumer
///
/// Each case has a connection of its own: it streams, closes a stream in the middle of a transfer, answers what was in flight
/// with the case's status, and judges the producer by what its era is to do. What came is compared with what an untouched
/// connection gets. Exit code: 0 all as it should be, 1 a case failed, 2 the producer cannot be reached or logged in to, 3 too
/// little evidence, such as a message type that never came.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Cases to run, by id; * stands for any text: mb-35287, 'orphan/prepare/*'; all if not given
    #[arg(value_name = "CASE")]
    cases: Vec<String>,

    #[command(flatten)]
    producer: Producer,

    #[command(flatten)]
    judging: Judging,

    /// Statuses to answer with, such as KeyEnoent,0x0a; those of real-servers.md if not given
    #[arg(long, value_name = "LIST", env = "DCPROXY_STATUSES")]
    statuses: Option<Statuses>,

    /// Vbuckets to stream, such as 0-3,17; the four with the most items if not given
    #[arg(long, value_name = "LIST", env = "DCPROXY_VBUCKETS", value_parser = values::vbuckets)]
    vbuckets: Option<values::Vbuckets>,

    /// Write to the bucket, so that messages of every type come: into keys that begin with dcproxy-probe-, removed afterwards
    #[arg(long, env = "DCPROXY_WORKLOAD")]
    workload: bool,

    /// How many cases run at once
    #[arg(long, value_name = "N", env = "DCPROXY_JOBS", default_value_t = 64,
        value_parser = clap::value_parser!(u16).range(1..=512))]
    jobs: u16,

    /// How long the producer is watched after the last orphaned response
    #[arg(long, value_name = "DUR", env = "DCPROXY_SETTLE", default_value = "2s", value_parser = units::duration)]
    settle: Duration,

    /// Chooses where streams are closed; any if not given, or random; the report tells which
    #[arg(long, value_name = "N|random", env = "DCPROXY_SEED", value_parser = values::seed_or_random)]
    seed: Option<Seed>,

    /// End after this time, with what is known till then
    #[arg(long, value_name = "DUR", env = "DCPROXY_TIMEOUT", value_parser = units::duration)]
    timeout: Option<Duration>,
}

/// How long a dial may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A list of statuses: without doubles, in the order given.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Statuses(Vec<Status>);

impl FromStr for Statuses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut statuses = Vec::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let status = name.parse::<Status>().map_err(|error| error.to_string())?;
            if !statuses.contains(&status) {
                statuses.push(status);
            }
        }
        if statuses.is_empty() {
            Err(format!("expected at least one status, found '{text}'"))
        } else {
            Ok(Self(statuses))
        }
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }
}

impl Args {
    fn options(&self, access: Access, salt: u64) -> Options {
        let messages = self.judging.by.messages.as_ref();
        Options {
            access,
            era: self.judging.by.era.0,
            messages: messages.map_or_else(|| PROBED.to_vec(), |messages| messages.0.clone()),
            statuses: self.statuses.as_ref().map_or_else(|| STATUSES.to_vec(), |statuses| statuses.0.clone()),
            scenarios: scenarios(),
            select: self.cases.clone(),
            vbuckets: self.vbuckets.clone().map(|list| list.0),
            settle: self.settle,
            seed: match self.seed {
                Some(Seed::Is(seed)) => seed,
                Some(Seed::Random) | None => values::any_seed(),
            },
            judge: self.judging.by.judge,
            workload: self.workload,
            salt,
        }
    }
}

/// The built-in scenarios that a producer can be put through from here.
fn scenarios() -> Vec<Scenario> {
    Scenario::built_in().into_iter().map(|(scenario, _)| scenario).filter(suits).collect()
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let access = args.producer.access()?;
    let salt = net::Clock::start().now().0;
    let options = args.options(access.clone(), salt);
    let statuses = options.statuses.clone();
    let probe = Probe::new(options)?;
    let prefix = format!("dcproxy-probe-{:08x}", salt & 0xffff_ffff);
    let run = ProbeRun {
        target: args.producer.upstream()?,
        access,
        jobs: usize::from(args.jobs),
        connect_timeout: CONNECT_TIMEOUT,
        timeout: args.timeout,
        workload: args.workload.then_some(prefix),
        salt,
    };
    let bar = Bar::new();
    let outcome = net::block_on(async {
        let shutdown = Shutdown::on_signals()?;
        anyhow::Ok(net::probe(&run, probe, &shutdown, &mut |news| bar.show(news)).await)
    })??;
    bar.clear();
    let (report, outcomes) = outcome.map_err(|error| anyhow!("{error}"))?;
    if !args.judging.report.contains(&report::Target::Stdout) {
        let mut stdout = output::stdout();
        let written = table::write(&report, &outcomes, &statuses, &mut stdout).and_then(|()| stdout.flush());
        // The verdict stands even if nobody reads it.
        if let Err(error) = written.context("writing the matrix to stdout")
            && !output::nobody_reads(&error)
        {
            return Err(error);
        }
    }
    args.judging.deliver(&report)?;
    match report.errors.first() {
        Some(error) => Err(anyhow!("{error}")),
        None => Ok(report.verdict.into()),
    }
}

/// The progress bar, on a terminal; elsewhere only what is told once.
struct Bar(Option<ProgressBar>);

impl Bar {
    fn new() -> Self {
        Self(std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} {elapsed} {wide_msg}") {
                bar.set_style(style);
            }
            bar
        }))
    }

    fn show(&self, news: News) {
        match (news, &self.0) {
            (News::Told(line), Some(bar)) => bar.suspend(|| output::remark(&line)),
            (News::Told(line), None) => output::remark(&line),
            (News::Cases(count), Some(bar)) => bar.set_length(count as u64),
            (News::Over(case), Some(bar)) => {
                bar.inc(1);
                bar.set_message(case);
            }
            (News::Cases(_) | News::Over(_), None) => {}
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_statuses_are_read() {
        let statuses = "KeyEnoent, 0x0a,keyenoent,0x7f".parse::<Statuses>().unwrap();
        assert_eq!(statuses.0, [Status::KEY_ENOENT, Status::DCP_STREAM_NOT_FOUND, Status(0x7f)]);
        assert!(" ,".parse::<Statuses>().is_err() && "bogus".parse::<Statuses>().is_err());
    }
}
