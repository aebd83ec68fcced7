use std::net::SocketAddr;

use anyhow::anyhow;

use super::Args;
use crate::cli::tls::Authorities;
use crate::cli::{announce, output};
use crate::net;
use crate::net::tls::{Acceptor, Certificates, Secrets};
use crate::net::{Entrance, NodeListeners, Shutdown, Target};
use crate::node::{Cluster, Config, Member};
use crate::verdict::ExitStatus;

/// Serves the node, or the nodes of a cluster.
pub(super) fn serve(args: &Args, listen: &Target) -> anyhow::Result<ExitStatus> {
    let listens = [listen].into_iter().chain(&args.tls_listen);
    let tls = args.tls.acceptor(listens, &Secrets::from_environment()?, &mut Authorities::default())?;
    net::block_on(async {
        let shutdown = Shutdown::on_signals()?;
        let nodes = Nodes::listen(args, listen, tls.as_ref()).await?;
        let config = args.config(nodes.first()?)?;
        output::remark(&format!("user {} password {} bucket {}", config.user, config.password, config.bucket));
        Certificates::new(tls.into_iter().collect(), Vec::new()).reread_on_hangup()?;
        nodes.announce();
        let cluster = Cluster::new(config, nodes.members()).ok_or_else(no_node)?;
        net::serve_cluster(nodes.0.into_iter().map(|node| node.listeners), &cluster, &shutdown).await;
        Ok(ExitStatus::Pass)
    })?
}

/// The host that a node gives itself: in a cluster map an address to listen on everywhere leads nowhere.
pub(super) fn host(at: SocketAddr) -> String {
    if at.ip().is_unspecified() { Config::default().host } else { at.ip().to_string() }
}

struct Nodes(Vec<Listening>);

/// A node that listens, and where.
struct Listening {
    kv: SocketAddr,
    tls: Option<SocketAddr>,
    management: Option<SocketAddr>,
    management_tls: Option<SocketAddr>,
    listeners: NodeListeners,
}

impl Nodes {
    /// Of one node that speaks TLS and was given one address, that is where it speaks it. A node of a cluster always has a
    /// plain port, and one for its management.
    async fn listen(args: &Args, listen: &Target, tls: Option<&Acceptor>) -> anyhow::Result<Self> {
        let any = Target { host: listen.host.clone(), port: 0 };
        let tls_listen = match (&args.tls_listen, args.nodes) {
            (Some(listen), _) => Some(listen),
            (None, Some(_)) => tls.map(|_| &any),
            (None, None) => None,
        };
        let management = args.nodes.map(|_| args.management.as_ref().unwrap_or(&any));
        let mut nodes = Vec::new();
        for node in 0..args.nodes.unwrap_or(1) {
            let listener = net::listen(&port_of(listen, node)?).await?;
            let kv = listener.local_addr()?;
            let mut entrances = vec![Entrance { listener, tls: tls.filter(|_| tls_listen.is_none()).cloned() }];
            let mut tls_at = tls.map(|_| kv);
            if let Some(first) = tls_listen {
                let listener = net::listen(&port_of(first, node)?).await?;
                tls_at = Some(listener.local_addr()?);
                entrances.push(Entrance { listener, tls: tls.cloned() });
            }
            let mut desks = Vec::new();
            let (mut management_at, mut management_tls_at) = (None, None);
            if let Some(first) = management {
                let listener = net::listen(&port_of(first, node)?).await?;
                management_at = Some(listener.local_addr()?);
                desks.push(listener.into());
                if tls.is_some() {
                    let listener = net::listen(&any).await?;
                    management_tls_at = Some(listener.local_addr()?);
                    desks.push(Entrance { listener, tls: tls.cloned() });
                }
            }
            let listeners = NodeListeners { entrances, management: desks };
            let (management, management_tls) = (management_at, management_tls_at);
            nodes.push(Listening { kv, tls: tls_at, management, management_tls, listeners });
        }
        Ok(Self(nodes))
    }

    fn first(&self) -> anyhow::Result<SocketAddr> {
        self.0.first().map(|node| node.kv).ok_or_else(no_node)
    }

    fn members(&self) -> Vec<Member> {
        let member = |node: &Listening| Member {
            host: host(node.kv),
            kv: node.kv.port(),
            kv_tls: node.tls.map(|at| at.port()),
            management: node.management.map(|at| at.port()),
            management_tls: node.management_tls.map(|at| at.port()),
        };
        self.0.iter().map(member).collect()
    }

    /// A line for each, in the order of the nodes. The plain ones come last: who has read those has read them all.
    fn announce(&self) {
        for at in self.0.iter().filter_map(|node| node.management) {
            announce("management", at);
        }
        for at in self.0.iter().filter_map(|node| node.management_tls) {
            announce("management tls", at);
        }
        for at in self.0.iter().filter_map(|node| node.tls.filter(|&tls| tls != node.kv)) {
            announce("tls", at);
        }
        for node in &self.0 {
            announce("", node.kv);
        }
    }
}

/// Where the node of that number listens: on the ports from the first one up, or any.
fn port_of(first: &Target, node: u8) -> anyhow::Result<Target> {
    let port = if first.port == 0 { Some(0) } else { first.port.checked_add(node.into()) };
    let port = port.ok_or_else(|| anyhow!("expected ports up to 65535 for all nodes, found {first} for the first"))?;
    Ok(Target { host: first.host.clone(), port })
}

fn no_node() -> anyhow::Error {
    anyhow!("expected one node at least, found none")
}
