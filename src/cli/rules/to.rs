use std::fmt;
use std::net::{IpAddr, ToSocketAddrs};
use std::str::FromStr;

use anyhow::Context;

use crate::net::Target;

/// Whose connections are taken: an address, a network or a name, and perhaps a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct To {
    host: Host,
    pub(super) port: Option<u16>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Host {
    Net(IpAddr, Option<u8>),
    Name(String),
}

impl FromStr for To {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = || {
            if let Some(host) = net(text) {
                return Some(Self { host, port: None });
            }
            let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                Some((host, "")) => (host, None),
                Some((host, rest)) => (host, Some(rest.strip_prefix(':')?)),
                None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
            };
            let port =
                port.map(|port| port.parse::<u16>().ok().filter(|port| *port != 0).ok_or(())).transpose().ok()?;
            let is_name = !text.starts_with('[') && host.parse::<Plain>().is_ok();
            let host = net(host).or_else(|| is_name.then(|| Host::Name(host.to_owned())))?;
            Some(Self { host, port })
        };
        parsed().ok_or_else(|| {
            format!("expected an address, a network or a name, such as 10.0.0.5, 10.0.0.0/24 or [fd00::5]:11210, found '{text}'")
        })
    }
}

/// A host name, as far as its letters go.
struct Plain;

impl FromStr for Plain {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        // What is digits and dots alone was meant to be an address.
        let named =
            text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.contains(|c: char| c.is_ascii_alphabetic());
        if named && text.chars().all(plain) { Ok(Self) } else { Err(()) }
    }
}

fn net(text: &str) -> Option<Host> {
    let (ip, prefix) = text.split_once('/').map_or((text, None), |(ip, prefix)| (ip, Some(prefix)));
    let ip: IpAddr = ip.parse().ok()?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map(|prefix| prefix.parse::<u8>().ok().filter(|prefix| *prefix <= most).ok_or(()));
    Some(Host::Net(ip, prefix.transpose().ok()?))
}

impl To {
    /// Its addresses as nft takes them, and whether they are of IPv6. A name is looked up.
    pub(super) fn nets(&self) -> anyhow::Result<Vec<(bool, String)>> {
        match &self.host {
            Host::Net(ip, None) => Ok(vec![(ip.is_ipv6(), ip.to_string())]),
            Host::Net(ip, Some(prefix)) => Ok(vec![(ip.is_ipv6(), format!("{ip}/{prefix}"))]),
            Host::Name(name) => {
                let target = Target { host: name.clone(), port: self.port.unwrap_or(0) };
                let found = (target.host.as_str(), target.port).to_socket_addrs();
                let found = found.with_context(|| format!("--to {self}: cannot find {name}"))?;
                let mut nets: Vec<_> = found.map(|at| (at.is_ipv6(), at.ip().to_string())).collect();
                nets.sort();
                nets.dedup();
                Ok(nets)
            }
        }
    }
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match &self.host {
            Host::Net(ip, None) => ip.to_string(),
            Host::Net(ip, Some(prefix)) => format!("{ip}/{prefix}"),
            Host::Name(name) => name.clone(),
        };
        match self.port {
            None => f.write_str(&host),
            Some(port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Some(port) => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_networks_and_names_are_read_and_shown() {
        for text in [
            "10.0.0.5",
            "10.0.0.5:11210",
            "10.0.0.0/24",
            "10.0.0.0/24:11210",
            "fd00::5",
            "[fd00::5]:11210",
            "fd00::/64",
            "[fd00::/64]:11207",
            "node-1.example",
            "node-1.example:11210",
        ] {
            assert_eq!(text.parse::<To>().expect(text).to_string(), text);
        }
        assert_eq!("[fd00::5]".parse::<To>(), "fd00::5".parse());
        for text in
            ["", ":11210", "10.0.0", "10.0.0.0/33", "fd00::/129", "h:0", "h:65536", "[h]:1", "a b", "a;b", "$(x)", "-h"]
        {
            assert!(text.parse::<To>().expect_err(text).ends_with(&format!("found '{text}'")));
        }
    }

    #[test]
    fn a_name_stands_for_its_addresses() {
        let found = "localhost:7".parse::<To>().expect("a name").nets().expect("known everywhere");
        assert!(found.contains(&(false, "127.0.0.1".to_owned())), "{found:?}");
        let error = "no-such-host.invalid".parse::<To>().expect("a name").nets().expect_err("nowhere");
        assert_eq!(error.to_string(), "--to no-such-host.invalid: cannot find no-such-host.invalid");
    }
}
