use std::net::SocketAddr;
use std::ops::RangeInclusive;

use super::output;
use crate::net;
use crate::net::{ClusterDoors, ClusterOptions, Listeners, NoTarget, Target};

/// The flags of a proxy that stands in for all nodes of a cluster.
#[derive(clap::Args, Debug)]
pub(super) struct Cluster {
    /// Stand in for every node of the cluster: a listener for each, and cluster maps that lead to those alone
    #[arg(long, env = "DCPROXY_CLUSTER", conflicts_with = "transparent")]
    cluster: bool,

    /// The ports for the listeners of the nodes, two for each: FIRST-LAST; any free ones if not given
    #[arg(long, value_name = "FIRST-LAST", env = "DCPROXY_CLUSTER_PORTS", value_parser = ports, requires = "cluster")]
    cluster_ports: Option<RangeInclusive<u16>>,

    /// Where the management port of a node is proxied, for clients that begin there: ADDR=HOST:PORT, such as
    /// 8091=node1:8091. That of every node that a map names is proxied in any case, on any free port
    #[arg(long, value_name = "ADDR=HOST:PORT", env = "DCPROXY_CLUSTER_MANAGEMENT", value_parser = pair,
        requires = "cluster")]
    cluster_management: Option<(Target, Target)>,

    /// The host that cluster maps name, where clients reach the proxy by another than that of --listen
    #[arg(long, value_name = "HOST", env = "DCPROXY_CLUSTER_HOST", requires = "cluster")]
    cluster_host: Option<String>,
}

impl Cluster {
    /// How the nodes are stood in for, if they are to be.
    pub(super) fn options(&self) -> Option<ClusterOptions> {
        let options = ClusterOptions {
            ports: self.cluster_ports.clone(),
            host: self.cluster_host.as_deref().map(|host| host.trim_matches(['[', ']']).to_owned()),
            announce: Box::new(announce),
        };
        self.cluster.then_some(options)
    }

    /// Where the management port listens that the user named.
    pub(super) fn management(&self) -> Option<&Target> {
        self.cluster_management.as_ref().map(|(listen, _)| listen)
    }

    /// Begins to serve the management port that the user named, on the listener that is kept by this name, and says where.
    pub(super) async fn manage(
        &self,
        doors: &ClusterDoors,
        name: &str,
        listeners: &Listeners,
    ) -> anyhow::Result<Option<SocketAddr>> {
        let Some((listen, node)) = &self.cluster_management else { return Ok(None) };
        let listener = listeners.listen(name, net::listen(listen)).await?;
        let at = listener.local_addr()?;
        doors.manage(listener, node)?;
        Ok(Some(at))
    }
}

/// One plain line on stderr, whatever the log settings.
fn announce(at: SocketAddr, node: &str) {
    output::remark(&format!("listening on {at} for {node}"));
}

fn pair(text: &str) -> Result<(Target, Target), String> {
    let pair = text.split_once('=').map(|(listen, node)| Ok((Target::to_listen_on(listen)?, node.parse()?)));
    let pair = pair.and_then(|pair: Result<_, NoTarget>| pair.ok());
    pair.ok_or_else(|| format!("expected ADDR=HOST:PORT, such as 8091=node1:8091, found '{text}'"))
}

fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let range = || {
        let (first, last) = text.split_once('-')?;
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (0 < first && first <= last).then_some(first..=last)
    };
    range().ok_or_else(|| format!("expected FIRST-LAST, such as 12000-12020, found '{text}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_management_port_is_a_pair_of_addresses() {
        let target = |host: &str, port| Target { host: host.to_owned(), port };
        assert_eq!(pair("8091=node1:8092"), Ok((target("127.0.0.1", 8091), target("node1", 8092))));
        assert_eq!(pair("[::1]:0=[::2]:1"), Ok((target("::1", 0), target("::2", 1))));
        for text in ["", "8091", "8091=", "=node1:1", "8091=node1"] {
            assert!(pair(text).is_err_and(|why| why.contains(&format!("found '{text}'"))));
        }
    }

    #[test]
    fn ports_are_a_range() {
        assert_eq!(ports("12000-12020"), Ok(12000..=12020));
        assert_eq!(ports("7-7"), Ok(7..=7));
        for text in ["", "7", "0-7", "8-7", "a-b", "1-70000"] {
            assert_eq!(ports(text), Err(format!("expected FIRST-LAST, such as 12000-12020, found '{text}'")));
        }
    }
}
