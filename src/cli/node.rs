use std::collections::BTreeSet;
use std::io;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::anyhow;

use super::login::Login;
use super::tls::{Tls, UpstreamTls};
use super::{output, values};
use crate::era::Era;
use crate::net;
use crate::net::tls::Secrets;
use crate::net::{Shutdown, Target, Upstream};
use crate::node::consumer::{self, Client, ClientConfig, Phase};
use crate::node::{Cluster, Config, Quirk};
use crate::units;
use crate::verdict::ExitStatus;
use crate::wire::Opcode;

mod serve;

/// Serves the embedded DCP node, or is a consumer of another
///
/// With --listen it takes logins, streams what it makes from its seed with all message types on every vbucket, and answers
/// as kv_engine of its era does; DCP_OPEN makes it producer or consumer. User, password and bucket are printed at start.
/// With --connect it dials a producer, logs in (as the embedded node's own user if no --user is given), streams all vbuckets, and
/// tells at the end what it has received. A token given to --listen is one that it lets in with.
#[derive(clap::Args, Debug)]
#[command(group(clap::ArgGroup::new("way").required(true).args(["listen", "connect"])))]
pub(super) struct Args {
    /// Where to listen: HOST:PORT, or a port of loopback; port 0 is any free one
    #[arg(long, value_name = "ADDR", env = "DCPROXY_LISTEN", value_parser = Target::to_listen_on)]
    listen: Option<Target>,

    /// A cluster of so many nodes, which have the vbuckets between them: each listens on a port of its own, the next one up
    /// unless it is port 0, and has a management port. By POST there, /dcproxy/move/VBUCKET/NODE, /dcproxy/leave/NODE and
    /// /dcproxy/join/NODE change the cluster, whose nodes count from 0 (--listen)
    #[arg(long, value_name = "N", env = "DCPROXY_NODES", requires = "listen",
        value_parser = clap::value_parser!(u8).range(1..=i64::from(Cluster::MAX_NODES)))]
    nodes: Option<u8>,

    /// Where the management of the nodes listens, each on a port of its own as with --listen; if not given, on the same host
    /// and any free port (--nodes)
    #[arg(long, value_name = "ADDR", env = "DCPROXY_MANAGEMENT", requires = "nodes", value_parser = Target::to_listen_on)]
    management: Option<Target>,

    /// The producer to dial, perhaps through the proxy: the node is a consumer
    #[arg(long, value_name = "HOST:PORT", env = "DCPROXY_CONNECT")]
    connect: Option<Target>,

    #[command(flatten)]
    tls: Tls,

    /// Where to listen for TLS (--tls); --listen is plain then. The nodes of a cluster (--nodes) have each a port of their own
    /// from this one up, or if not given any free one
    #[arg(long, value_name = "ADDR", env = "DCPROXY_TLS_LISTEN", value_parser = Target::to_listen_on,
        requires_all = ["tls", "listen"])]
    tls_listen: Option<Target>,

    #[command(flatten)]
    upstream_tls: UpstreamTls,

    #[command(flatten)]
    login: Login,

    /// The bucket to stream (--connect)
    #[arg(long, value_name = "BUCKET", env = "DCPROXY_BUCKET", default_value_t = Config::default().bucket)]
    bucket: String,

    /// End after this time, with what has come till then (--connect)
    #[arg(long, value_name = "DUR", env = "DCPROXY_TIMEOUT", value_parser = units::duration)]
    timeout: Option<Duration>,

    /// How many vbuckets it has, all active, or streams
    #[arg(long, value_name = "N", env = "DCPROXY_VBUCKETS", default_value_t = Config::default().vbuckets,
        value_parser = clap::value_parser!(u16).range(1..=i64::from(Config::MAX_VBUCKETS)))]
    vbuckets: u16,

    /// How many items each vbucket has at first
    #[arg(long, value_name = "N", env = "DCPROXY_ITEMS", default_value_t = Config::default().items)]
    items: u64,

    /// Whose rules it follows: 6.0, 2019-07, 6.5, 6.6, 7.0 or master
    #[arg(long, value_name = "ERA", env = "DCPROXY_ERA", default_value_t = Config::default().era)]
    era: Era,

    /// A historical bug that it has, such as mb-35287; repeatable
    #[arg(long, value_name = "NAME", env = "DCPROXY_QUIRK")]
    quirk: Vec<Quirk>,

    /// What its data and its ticks are made from
    #[arg(long, value_name = "N", env = "DCPROXY_SEED", value_parser = values::seed, default_value = "0")]
    seed: u64,
}

impl Args {
    fn config(&self, at: SocketAddr) -> anyhow::Result<Config> {
        let defaults = Config::default();
        Ok(Config {
            era: self.era,
            seed: self.seed,
            vbuckets: self.vbuckets,
            items: self.items,
            quirks: self.quirk.iter().copied().collect::<BTreeSet<_>>(),
            token: self.login.token()?,
            host: serve::host(at),
            port: at.port(),
            ..defaults
        })
    }
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let may_have = if args.connect.is_some() { consumer::check_client } else { consumer::check_node };
    args.quirk.iter().try_for_each(|&quirk| may_have(quirk))?;
    match (&args.listen, &args.connect) {
        (Some(listen), _) => serve::serve(&args, listen),
        (None, Some(producer)) => consume(&args, args.upstream_tls.to(producer, &Secrets::from_environment()?)?),
        (None, None) => Err(anyhow!("expected --listen ADDR or --connect HOST:PORT, found neither")),
    }
}

/// How long a dial may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Of what a producer must not do so much is told.
const VIOLATIONS_TOLD: usize = 20;

fn consume(args: &Args, producer: Upstream) -> anyhow::Result<ExitStatus> {
    let defaults = Config::default();
    let config = ClientConfig {
        login: Some(args.login.credentials_or(
            (defaults.user, defaults.password),
            &producer.target,
            args.upstream_tls.wire(),
        )?),
        nonce: Some(format!("node{:016x}", net::Clock::start().now().0)),
        bucket: args.bucket.clone(),
        quirks: args.quirk.iter().copied().collect(),
        ..ClientConfig::new(args.era, 0..args.vbuckets)
    };
    let client = net::block_on(async {
        let shutdown = Shutdown::on_signals()?;
        anyhow::Ok(net::consume_for(args.timeout, producer, CONNECT_TIMEOUT, config, &shutdown).await?)
    })??;
    let mut stdout = output::stdout();
    tell(&client, &mut stdout)?;
    stdout.flush()?;
    // What ended the connection before anything was streamed is why there is nothing to tell.
    match client.violations().last() {
        Some(violation) if client.phase() == Phase::Failed && client.ledger().iter().next().is_none() => {
            Err(anyhow!("{}", violation.what))
        }
        Some(_) | None => Ok(ExitStatus::Pass),
    }
}

/// What has come, a line for each kind of message, and what the producer must not have done.
fn tell(client: &Client, to: &mut impl Write) -> io::Result<()> {
    let ledger = client.ledger();
    writeln!(to, "{:<24}{:>12}", "vbuckets", ledger.iter().count())?;
    writeln!(to, "{:<24}{:>12}", "items", ledger.items())?;
    let kinds = (0..=u8::MAX).map(Opcode).map(|opcode| (opcode, ledger.count(opcode)));
    for (opcode, count) in kinds.filter(|&(_, count)| count > 0) {
        writeln!(to, "{:<24}{count:>12}", opcode.to_string())?;
    }
    writeln!(to, "{:<24}{:>12}", "DCP_NOOP", client.noops())?;
    writeln!(to, "{:<24}{:>12}", "violations", client.violation_count())?;
    for violation in client.violations().iter().take(VIOLATIONS_TOLD) {
        match violation.vbucket {
            Some(vbucket) => writeln!(to, "  vbucket {vbucket}: {}", violation.what)?,
            None => writeln!(to, "  {}", violation.what)?,
        }
    }
    Ok(())
}
