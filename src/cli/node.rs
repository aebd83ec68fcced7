use std::collections::BTreeSet;
use std::io;
use std::io::Write;
use std::net::SocketAddr;

use super::{announce, values};
use crate::era::Era;
use crate::net;
use crate::net::{Shutdown, Target};
use crate::node::{Config, Node, Quirk};
use crate::verdict::ExitStatus;

/// Serves the embedded DCP node
///
/// It takes logins, streams what it makes from its seed with all message types on every vbucket, and answers as kv_engine of
/// its era does. User, password and bucket are printed at start.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Where to listen: HOST:PORT, or a port of loopback; port 0 is any free one
    #[arg(long, value_name = "ADDR", env = "DCPROXY_LISTEN", value_parser = Target::to_listen_on)]
    listen: Target,

    /// How many vbuckets it has, all active
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
    fn config(&self, at: SocketAddr) -> Config {
        let defaults = Config::default();
        Config {
            era: self.era,
            seed: self.seed,
            vbuckets: self.vbuckets,
            items: self.items,
            quirks: self.quirk.iter().copied().collect::<BTreeSet<_>>(),
            // In a cluster map an address to listen on everywhere leads nowhere.
            host: if at.ip().is_unspecified() { defaults.host.clone() } else { at.ip().to_string() },
            port: at.port(),
            ..defaults
        }
    }
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitStatus> {
    net::block_on(async {
        let shutdown = Shutdown::on_signals()?;
        let listener = net::listen(&args.listen).await?;
        let at = listener.local_addr()?;
        let config = args.config(at);
        let _ = io::stderr().write_all(
            format!("user {} password {} bucket {}\n", config.user, config.password, config.bucket).as_bytes(),
        );
        announce("", at);
        net::serve_node(listener, Node::new(config), &shutdown).await;
        Ok(ExitStatus::Pass)
    })?
}
