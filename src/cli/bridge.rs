use std::time::Duration;

use super::acting::Acting;
use super::judging::Judging;
use super::login::{Login, OtherLogin};
use super::recording::Recording;
use super::tls::UpstreamTls;
use super::{output, values};
use crate::bridge::{Config, End, Progress};
use crate::net;
use crate::net::proxy::{Options, Summary};
use crate::net::tls::{Certificates, Secrets};
use crate::net::{BridgeRun, Judged, Limits, Shutdown, Target};
use crate::report::Report;
use crate::scenario::judge::not_enough;
use crate::units;
use crate::verdict::ExitStatus;

/// Joins a producer node and a consumer node as a cluster's replication manager does, runs scenarios on that and judges
///
/// It dials both, logs in, opens one as producer and the other as consumer, and has the consumer node add a stream for each
/// vbucket; what the two say is relayed from then on. Where a connection is lost both are dialled again, and the consumer
/// node goes on from where it was. The vbuckets must be replicas at the consumer node and active at the producer node.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The node that streams
    #[arg(long, value_name = "HOST:PORT", env = "DCPROXY_PRODUCER")]
    producer: Target,

    /// The node that takes it in
    #[arg(long, value_name = "HOST:PORT", env = "DCPROXY_CONSUMER")]
    consumer: Target,

    /// The bucket, of the same name at both
    #[arg(short, long, value_name = "BUCKET", env = "DCPROXY_BUCKET")]
    bucket: String,

    /// The vbuckets, such as 0-3,17
    #[arg(long, value_name = "LIST", env = "DCPROXY_VBUCKETS", value_parser = values::all_vbuckets)]
    vbuckets: values::Vbuckets,

    #[command(flatten)]
    login: Login,

    #[command(flatten)]
    other: OtherLogin,

    #[command(flatten)]
    tls: UpstreamTls,

    /// Make the vbuckets replicas at the consumer node first. One that is active there STOPS SERVING its clients
    #[arg(long, env = "DCPROXY_SET_REPLICA")]
    set_replica: bool,

    /// The name of both connections; a node closes what it has of the same name [default: dcproxy:PRODUCER->CONSUMER:BUCKET]
    #[arg(long, value_name = "NAME", env = "DCPROXY_NAME")]
    name: Option<String>,

    /// What the consumer node is called where it acknowledges prepares: in a cluster, its name in the replication chain
    #[arg(long, value_name = "NAME", env = "DCPROXY_CONSUMER_NAME", default_value = "dcproxy")]
    consumer_name: String,

    #[command(flatten)]
    acting: Acting,

    #[command(flatten)]
    judging: Judging,

    #[command(flatten)]
    recording: Recording,

    /// End once the consumer node has all that the producer node had at the start, and all steps are taken
    #[arg(long, env = "DCPROXY_UNTIL_CAUGHT_UP")]
    until_caught_up: bool,

    /// Dial once: end when a connection is lost, or when all steps have fired and settled
    #[arg(long, env = "DCPROXY_ONCE")]
    once: bool,

    /// End after this time, with what is known till then
    #[arg(long, value_name = "DUR", env = "DCPROXY_TIMEOUT", value_parser = units::duration)]
    timeout: Option<Duration>,
}

impl Args {
    fn config(&self) -> anyhow::Result<Config> {
        let (producer, consumer) = (&self.producer, &self.consumer);
        let name = self.name.clone().unwrap_or_else(|| format!("dcproxy:{producer}->{consumer}:{}", self.bucket));
        Ok(Config {
            producer: End { at: producer.to_string(), login: self.login.credentials(producer, self.tls.wire())? },
            consumer: End {
                at: consumer.to_string(),
                login: self.login.credentials_of_other(&self.other, consumer, self.tls.wire())?,
            },
            bucket: self.bucket.clone(),
            vbuckets: self.vbuckets.0.clone(),
            name,
            consumer_name: self.consumer_name.clone(),
            nonce: format!("bridge{:016x}", net::Clock::start().now().0),
            set_replica: self.set_replica,
            until_caught_up: self.until_caught_up,
        })
    }

    fn status(&self, report: &Report, summary: Summary) -> anyhow::Result<ExitStatus> {
        if let Some(error) = summary.failed_dial {
            return Err(error.into());
        }
        match report.errors.first() {
            Some(error) => Err(anyhow::anyhow!("{error}")),
            None if self.acting.is_armed() || self.until_caught_up => Ok(report.verdict.into()),
            None => Ok(ExitStatus::Pass),
        }
    }
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let config = args.config()?;
    let plan = args.acting.plan(&args.judging);
    let progress = Progress::default();
    let judge = args.judging.by.judge(&args.acting.scenario);
    let seed = plan.seed;
    let limits = Limits::settling(plan.settle);
    let mut judged = Judged::new(plan, judge).bridged(config.clone(), progress.clone());
    let mut secrets = Secrets::from_environment()?;
    if let Some(recorder) = args.recording.start(&args.producer.clone().into())? {
        secrets = secrets.recorded(args.recording.secrets(&recorder));
        judged = judged.recorded(recorder);
    }
    let run = BridgeRun {
        producer: args.tls.to(&args.producer, &secrets)?,
        consumer: args.tls.to(&args.consumer, &secrets)?,
        config,
        options: Options { once: args.once, timeout: args.timeout, limits, ..Options::default() },
        seed,
    };
    let summary = net::block_on(async {
        let shutdown = Shutdown::on_signals()?;
        let connectors = run.producer.tls.iter().chain(&run.consumer.tls).cloned().collect();
        Certificates::new(Vec::new(), connectors).reread_on_hangup()?;
        anyhow::Ok(net::bridge(&run, &mut judged, &progress, &shutdown).await)
    })??;
    let mut report = judged.report(&summary);
    if args.until_caught_up && !progress.is_caught_up() {
        report.add_finding(&not_enough(
            "a consumer node that has all that the producer node had at the start",
            &behind(&progress),
        ));
    }
    args.judging.deliver(&report)?;
    if args.acting.is_armed() {
        output::remark(&output::verdict_line(&report));
    } else if args.until_caught_up && report.errors.is_empty() {
        let told = if progress.is_caught_up() {
            "caught up".to_owned()
        } else {
            format!("not caught up: {}", behind(&progress))
        };
        output::remark(&told);
    }
    args.status(&report, summary)
}

/// What is still to come: some of it.
fn behind(progress: &Progress) -> String {
    let behind = progress.behind();
    let told: Vec<_> =
        behind.iter().take(4).map(|(vbucket, at, to)| format!("vbucket {vbucket} is at {at} of {to}")).collect();
    match behind.len().checked_sub(told.len()) {
        None | Some(0) if told.is_empty() => "it was not set up".to_owned(),
        None | Some(0) => told.join(", "),
        Some(more) => format!("{}, {more} more", told.join(", ")),
    }
}
