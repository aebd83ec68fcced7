use std::net::SocketAddr;
use std::ops::RangeInclusive;

use super::output;
use crate::net::ClusterOptions;

/// The flags of a proxy that stands in for all nodes of a cluster.
#[derive(clap::Args, Debug)]
pub(super) struct Cluster {
    /// Stand in for every node of the cluster: a listener for each, and cluster maps that lead to those alone
    #[arg(long, env = "DCPROXY_CLUSTER")]
    cluster: bool,

    /// The ports for the listeners of the nodes, two for each: FIRST-LAST; any free ones if not given
    #[arg(long, value_name = "FIRST-LAST", env = "DCPROXY_CLUSTER_PORTS", value_parser = ports, requires = "cluster")]
    cluster_ports: Option<RangeInclusive<u16>>,

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
}

/// One plain line on stderr, whatever the log settings.
fn announce(at: SocketAddr, node: &str) {
    output::remark(&format!("listening on {at} for {node}"));
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
    fn ports_are_a_range() {
        assert_eq!(ports("12000-12020"), Ok(12000..=12020));
        assert_eq!(ports("7-7"), Ok(7..=7));
        for text in ["", "7", "0-7", "8-7", "a-b", "1-70000"] {
            assert_eq!(ports(text), Err(format!("expected FIRST-LAST, such as 12000-12020, found '{text}'")));
        }
    }
}
