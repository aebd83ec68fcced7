mod config;
mod crew;
mod made;
mod outputs;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use clap::ArgMatches;

use self::config::File;
pub(super) use self::crew::Proxies;
pub(super) use self::made::Made;
use super::acting::Acting;
use super::api::Api as ApiFlags;
use super::cluster::Cluster;
use super::judging::Judging;
use super::output;
use super::recording::Recording;
use super::sockets::SocketFlags;
use super::tls::{Authorities, Tls, UpstreamTls};
use super::transparent::Transparently;
use crate::api::Api;
use crate::net;
use crate::net::control::{Registry, Standing};
use crate::net::proxy::{Options, Summary};
use crate::net::tls::{Certificates, Secrets};
use crate::net::{
    ClusterDoors, Destination, Door, Doors, Entry, Health, Judged, Limits, Listeners, Reload, Route, Shutdown,
    Steering, Stop, Target, serve_fleet,
};
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
    #[arg(
        long,
        value_name = "ADDR",
        env = "DCPROXY_LISTEN",
        value_parser = Target::to_listen_on,
        required_unless_present = "config"
    )]
    listen: Option<Target>,

    /// Where to dial for each connection
    #[arg(long, value_name = "HOST:PORT", env = "DCPROXY_UPSTREAM",
        required_unless_present_any = ["config", "transparent"])]
    upstream: Option<Target>,

    #[command(flatten)]
    transparently: Transparently,

    #[command(flatten)]
    sockets: SocketFlags,

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

    /// At the first SIGINT or SIGTERM, let connections go on for so long before they settle
    #[arg(long, value_name = "DUR", env = "DCPROXY_DRAIN", default_value = "0s", value_parser = units::duration)]
    drain: Duration,

    /// At most so many connections at a time; those who dial then wait in the kernel's queue. Any number if not given
    #[arg(long, value_name = "N", env = "DCPROXY_MAX_CONNECTIONS", value_parser = at_least_one)]
    max_connections: Option<usize>,

    /// At most so many connections at a time whose upstream is still being dialled
    #[arg(long, value_name = "N", env = "DCPROXY_MAX_DIALLING", default_value = "512", value_parser = at_least_one)]
    max_dialling: usize,

    /// Serve the proxies of this file: a table [[proxy]] each, with these flags as keys (see docs/SERVICE.md). A flag given
    /// here, or in the environment, is one of all of them. SIGHUP reads the file again
    #[arg(long, value_name = "FILE.toml", env = "DCPROXY_CONFIG")]
    config: Option<PathBuf>,

    #[command(flatten)]
    api: ApiFlags,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&count| count > 0).ok_or_else(|| format!("expected a number from 1 on, found '{text}'"))
}

/// What outlasts the settings of a proxy.
#[derive(Default)]
struct Kept {
    listeners: Listeners,
    authorities: Authorities,
}

/// A proxy that is about to serve: whatever it needs is there, but for its name.
struct Equipped {
    doors: Doors,
    options: Options,
    judged: Judged,
    /// Where it listens.
    address: SocketAddr,
    /// Where the management port of its cluster does, that the user named.
    management: Option<SocketAddr>,
    /// What its listeners are kept by while its settings change.
    kept_by: Vec<String>,
    /// What is read again when that is asked for.
    certificates: Certificates,
    /// What the API controls it by, if there is one.
    steering: Option<Steering>,
}

/// What the only proxy is called where nobody gave it a name.
const ONLY: &str = "proxy";

impl Args {
    /// Binds its listener, and starts what else it needs, but for what is kept from before.
    async fn equip(&self, name: &str, kept: &mut Kept, registry: Option<&Registry>) -> anyhow::Result<Equipped> {
        let Some(listen) = &self.listen else { anyhow::bail!("expected --listen ADDR, found none") };
        let destination = self.destination()?;
        let plan = self.acting.plan_of(name, &self.judging);
        let options = self.options(plan.settle);
        let door = self.door_name(name, listen);
        let opened = options.sockets.listen(listen, destination.transparent());
        let listener = kept.listeners.listen(&door, opened).await;
        let listener = listener.map_err(|error| {
            // The one that is there was opened otherwise.
            if error.kind() == io::ErrorKind::AddrInUse && kept.listeners.any_begins(&format!("{listen} ")) {
                anyhow!("{error}; how a listener is opened (--transparent, --reuse-port) takes a new start to change")
            } else {
                error.into()
            }
        })?;
        let address = listener.local_addr()?;
        let mut judged = Judged::new(plan, self.judging.by.judge(&self.acting.scenario));
        let mut secrets = Secrets::from_environment()?;
        if let Some(recorder) = self.recording.start(&destination)? {
            secrets = secrets.recorded(self.recording.secrets(&recorder));
            judged = judged.recorded(recorder);
        }
        let route = Arc::new(Route {
            upstream: destination.speaking(self.upstream_tls.connector(&secrets)?),
            tls: self.tls.acceptor([listen], &secrets, &mut kept.authorities)?,
        });
        let steering = registry.map(|registry| {
            let entry = self.entry(address, &route).held(kept.listeners.clone(), door.clone());
            Steering::new(if name.is_empty() { ONLY } else { name }, entry, registry)
        });
        if let Some(steering) = &steering {
            judged.obey(Arc::clone(steering.controlled()));
        }
        let mut kept_by = vec![door];
        let certificates = Certificates::of([&*route]);
        let mut management = None;
        let doors = match (self.cluster.options(), &route.upstream) {
            (None, _) | (Some(_), Destination::Original { .. }) => Doors::new(vec![Door { listener, route }]),
            (Some(options), Destination::Fixed(upstream)) => {
                let (doors, changes) = Doors::changing(vec![Door { listener, route: Arc::clone(&route) }]);
                let cluster = ClusterDoors::new(options, address, upstream, route.tls.clone(), changes);
                if let Some(listen) = self.cluster.management() {
                    let door = self.door_name(&format!("{name} management"), listen);
                    management = self.cluster.manage(&cluster, &door, &kept.listeners).await?;
                    kept_by.push(door);
                }
                judged.lead_through(cluster);
                doors
            }
        };
        Ok(Equipped { doors, options, judged, address, management, kept_by, certificates, steering })
    }

    /// Where it is entered, as the API may change it.
    fn entry(&self, at: SocketAddr, route: &Arc<Route>) -> Entry {
        let standing = Standing { listen: at.into(), upstream: route.upstream.to_string(), enabled: true };
        let entry = Entry::new(standing, Arc::clone(route), self.sockets.sockets());
        match (self.cluster.options(), route.upstream.transparent()) {
            (Some(_), _) => entry.fixed("--cluster: maps name them"),
            (None, Some(_)) => entry.fixed("--transparent: rules lead to them"),
            (None, None) => entry,
        }
    }

    fn destination(&self) -> anyhow::Result<Destination> {
        match (&self.upstream, self.transparently.transparent()?) {
            (Some(upstream), None) => Ok(upstream.clone().into()),
            (None, Some(transparent)) => Ok(transparent.into()),
            (Some(_), Some(_)) | (None, None) => {
                anyhow::bail!("expected either --upstream HOST:PORT or --transparent MODE")
            }
        }
    }

    /// Where it listens, and how; any free port is the proxy's own.
    fn door_name(&self, name: &str, listen: &Target) -> String {
        let how = format!("{listen} {:?} {}", self.transparently, self.sockets.sockets().reuse_port);
        if listen.port == 0 { format!("{name} {how}") } else { how }
    }

    fn options(&self, settle: Duration) -> Options {
        Options {
            once: self.once,
            timeout: self.timeout,
            connect_timeout: self.sockets.connect_timeout,
            sockets: self.sockets.sockets(),
            drain: self.drain,
            max_connections: self.max_connections,
            max_dialling: self.max_dialling,
            workers: net::Workers::of_process(),
            limits: Limits::settling(settle),
        }
    }

    /// Writes the reports of what a proxy has come to, and says how it ended.
    fn conclude(&self, name: &str, judged: Judged, summary: Summary) -> anyhow::Result<ExitStatus> {
        let report = judged.report(&summary);
        self.judging.deliver(&report)?;
        if self.acting.is_armed() {
            let whose = if name.is_empty() { String::new() } else { format!("{name}: ") };
            output::remark(&format!("{whose}{}", output::verdict_line(&report)));
        }
        self.status(&report, summary)
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

/// `given` is what the command line and the environment say.
pub(super) fn run(args: Args, given: &ArgMatches) -> anyhow::Result<ExitStatus> {
    let api = args.api.clone();
    let made = Made {
        sockets: args.sockets.clone(),
        how: args.acting.how.clone(),
        by: args.judging.by.clone(),
        drain: args.drain,
    };
    let mut file = match &args.config {
        Some(path) => File::read(path, given)?,
        None => File::of_flags(args),
    };
    file.api = api.or(std::mem::take(&mut file.api));
    net::block_on(serve(file, given, made))?
}

async fn serve(file: File, given: &ArgMatches, made: Made) -> anyhow::Result<ExitStatus> {
    let access = file.api.access()?;
    let (shutdown, health) = (Shutdown::on_signals()?, Health::default());
    let (registry, newcomers) = Registry::making(made.sockets.sockets());
    file.api.whom.recordings(&registry)?;
    let mut proxies = Proxies::new(file.path, given, made, access.is_some().then(|| registry.clone()));
    let outfits = proxies.equip(file.tables).await?;
    let reload = if proxies.can_read_again() { Some(Reload::on_signal()?) } else { None };
    let (api, newcomers) = match access {
        Some(access) => {
            (Some(proxies.announcing(Api::start(access, health.clone(), registry).await?)), Some(newcomers))
        }
        None => (None, None),
    };
    serve_fleet(&mut proxies, outfits, &shutdown, reload.as_ref(), newcomers, &health).await;
    if let Some(api) = api.filter(|_| *shutdown.listen().borrow() != Stop::Now) {
        api.finish().await;
    }
    proxies.status()
}
