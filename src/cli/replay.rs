use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::ValueEnum;

use super::acting::Acting;
use super::judging::Judging;
use super::login::Login;
use super::tls::UpstreamTls;
use super::{announce, input, output};
use crate::journal::Role;
use crate::net;
use crate::net::tls::Secrets;
use crate::net::{Rounds, Shutdown, Target, replay_against, replay_to};
use crate::replay::{Ensemble, Options, Recording, Speed};
use crate::report::Report;
use crate::units;
use crate::verdict::ExitStatus;

/// Plays one end of recorded connections against a live other end, and judges that
///
/// It follows the conversation: what the recorded end said is said once all that it had waited for has come live. Opaques,
/// uuids and flow control are those of the live connection, no-ops are answered, and the login is the user's: with --as
/// consumer it logs in, with --as producer it demands that login. Exit code: 0 all was played and the live end did nothing
/// wrong, 1 a verdict failed or --diff found a difference, 2 the live end cannot be reached or logged in to, 3 it did not do
/// what the recording waits for, or there was too little evidence.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The capture: pcap or pcapng, also .gz; - is stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Which end is replayed
    #[arg(long = "as", value_name = "END", env = "DCPROXY_AS", value_enum)]
    end: End,

    /// Where to listen for live consumers (--as producer): HOST:PORT, or a port of loopback; port 0 is any free one
    #[arg(long, value_name = "ADDR", env = "DCPROXY_LISTEN", value_parser = Target::to_listen_on)]
    listen: Option<Target>,

    /// The live producer (--as consumer)
    #[arg(long, value_name = "HOST:PORT", env = "DCPROXY_UPSTREAM")]
    upstream: Option<Target>,

    #[command(flatten)]
    tls: UpstreamTls,

    /// How fast: 1 as recorded, N times as fast, or max, as fast as the conversation allows
    #[arg(long, value_name = "1|N|max", env = "DCPROXY_SPEED", default_value_t = Speed::RECORDED)]
    speed: Speed,

    /// Play all of it N times, or without N for ever
    #[arg(long = "loop", value_name = "N", env = "DCPROXY_LOOP", num_args = 0..=1, default_missing_value = "0")]
    rounds: Option<u64>,

    /// Play these connections only: numbers as decode prints them
    #[arg(long, value_name = "LIST", env = "DCPROXY_CONNECTIONS", value_delimiter = ',')]
    connections: Vec<u32>,

    #[command(flatten)]
    acting: Acting,

    /// Report what the live end does differently from the recording: order of messages and statuses, not data or uuids
    #[arg(long, env = "DCPROXY_DIFF")]
    diff: bool,

    #[command(flatten)]
    judging: Judging,

    #[command(flatten)]
    login: Login,

    /// The bucket to select in place of the recorded one
    #[arg(long, value_name = "BUCKET", env = "DCPROXY_BUCKET")]
    bucket: Option<String>,

    /// How long the live end may take for what the conversation cannot go on without
    #[arg(long, value_name = "DUR", env = "DCPROXY_PATIENCE", default_value = "5s", value_parser = units::duration)]
    patience: Duration,

    /// End after this time, with what is known till then
    #[arg(long, value_name = "DUR", env = "DCPROXY_TIMEOUT", value_parser = units::duration)]
    timeout: Option<Duration>,
}

/// An end that can be replayed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum End {
    /// To a live consumer
    Producer,
    /// Against a live producer
    Consumer,
}

/// How long a dial may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Of the connections that are left out so many are named.
const NAMED: usize = 10;

impl Args {
    const fn role(&self) -> Role {
        match self.end {
            End::Producer => Role::Producer,
            End::Consumer => Role::Consumer,
        }
    }

    /// The address that the replayed end needs, and no other.
    fn address(&self) -> anyhow::Result<&Target> {
        match (self.end, &self.listen, &self.upstream) {
            (End::Producer, Some(listen), None) => Ok(listen),
            (End::Consumer, None, Some(upstream)) => Ok(upstream),
            (End::Producer, _, Some(_)) => bail!("expected --listen with --as producer, found --upstream"),
            (End::Consumer, Some(_), _) => bail!("expected --upstream with --as consumer, found --listen"),
            (End::Producer, None, None) => bail!("expected --listen ADDR with --as producer, found none"),
            (End::Consumer, None, None) => bail!("expected --upstream HOST:PORT with --as consumer, found none"),
        }
    }

    fn recording(&self) -> anyhow::Result<Recording> {
        let wanted: BTreeSet<u32> = self.connections.iter().copied().collect();
        let chosen = (!wanted.is_empty()).then_some(&wanted);
        let name = self.file.display();
        let recording =
            Recording::read(input::open(&self.file)?, self.role(), chosen).with_context(|| name.to_string())?;
        for (number, reason) in recording.left_out.iter().take(NAMED) {
            tracing::info!("{name}: connection {number} is left out: {reason}");
        }
        if let Some(number) = wanted.iter().find(|&&number| !recording.has(number)) {
            let told = recording.left_out.iter().find(|(left_out, _)| left_out == number);
            let found = told.map_or_else(|| "no such connection".to_owned(), |(_, reason)| reason.clone());
            bail!("{name}: expected connection {number} to be one that can be replayed, found: {found}");
        }
        if recording.scripts.is_empty() {
            let mut found: Vec<String> = recording
                .left_out
                .iter()
                .take(3)
                .map(|(number, reason)| format!("connection {number}: {reason}"))
                .collect();
            found.extend((recording.left_out.len() > 3).then(|| format!("{} more", recording.left_out.len() - 3)));
            let found = if found.is_empty() { "no connections".to_owned() } else { found.join("; ") };
            bail!("{name}: expected a DCP connection whose producer was dialled, found {found}");
        }
        Ok(recording)
    }
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let address = args.address()?;
    let credentials = args.login.credentials(address, args.tls.wire())?;
    let recording = args.recording()?;
    if credentials.is_none() && args.end == End::Producer {
        output::remark("every PLAIN login is accepted; --user demands one");
    }
    let plan = args.acting.plan(&args.judging);
    let options = Options {
        speed: args.speed,
        patience: args.patience,
        settle: plan.settle,
        credentials,
        bucket: args.bucket.clone(),
        seed: plan.seed,
        ..Options::default()
    };
    let rounds = Rounds {
        rounds: match args.rounds {
            None => Some(1),
            Some(0) => None,
            rounds => rounds,
        },
        timeout: args.timeout,
        connect_timeout: CONNECT_TIMEOUT,
    };
    let mut ensemble =
        Ensemble::new(recording, args.role(), options, plan, args.judging.by.judge(&args.acting.scenario), args.diff);
    let upstream = args.tls.to(address, &Secrets::from_environment()?)?;
    net::block_on(async {
        let shutdown = Shutdown::on_signals()?;
        match args.end {
            End::Consumer => replay_against(&upstream, &mut ensemble, rounds, &shutdown).await,
            End::Producer => {
                let listener = net::listen(address).await?;
                announce("", listener.local_addr()?);
                replay_to(listener, &mut ensemble, rounds, &shutdown).await;
            }
        }
        anyhow::Ok(())
    })??;
    let report = ensemble.report();
    args.judging.deliver(&report)?;
    output::remark(&output::verdict_line(&report));
    status(&report)
}

fn status(report: &Report) -> anyhow::Result<ExitStatus> {
    match report.errors.first() {
        Some(error) => Err(anyhow!("{error}")),
        None => Ok(report.verdict.into()),
    }
}
