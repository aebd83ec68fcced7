use std::collections::BTreeMap;

use super::Directory;
use super::Place;
use super::Service;
use super::json;
use super::json::Members;
use super::place::DIALLED_HOST;
use super::place::bare;

/// A node as a map has it: an entry of `nodesExt`, or of `nodes` where there is no other.
#[derive(Debug)]
pub(super) struct Node {
    /// Without one it is the host that the client has dialled.
    host: Option<String>,
    is_this: bool,
    ports: BTreeMap<Service, u16>,
    alternates: BTreeMap<String, Alternate>,
}

/// A node's address in another network.
#[derive(Debug)]
struct Alternate {
    host: String,
    /// `None`: the ports are the same.
    ports: Option<BTreeMap<Service, u16>>,
}

/// By which of their addresses the nodes are dialled: those of a network by its name, or their own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Network {
    Own,
    Alternate(String),
    /// Their own, since the node that was dialled is found by no address.
    Unknown,
}

impl Node {
    /// Reads an entry of `nodesExt`; of `nodes` where `is_ext` is false.
    pub(super) fn read(entry: &str, is_ext: bool) -> Option<Self> {
        let members = Members::of(entry)?;
        let host = members.get("hostname").and_then(json::text);
        let (host, own) = if is_ext {
            (host, members.get("services").map(|text| ports(text, Service::named)).unwrap_or_default())
        } else {
            let place = host.as_deref().and_then(Place::read);
            let mut own = members.get("ports").map(|text| ports(text, Service::of_port)).unwrap_or_default();
            own.extend(place.iter().map(|place| (Service::Management, place.port)));
            (place.map(|place| place.host).or(host), own)
        };
        let host = host.map(|host| bare(&host).to_owned()).filter(|host| !matches!(host.as_str(), "" | DIALLED_HOST));
        let alternates = members.get("alternateAddresses").and_then(Members::of).map(|networks| {
            let each = networks.0.iter().filter_map(|(name, address)| {
                let address = Members::of(address.get())?;
                let host = json::text(address.get("hostname")?)?;
                let ports = address.get("ports").map(|text| ports(text, Service::named));
                Some((name.to_string(), Alternate { host: bare(&host).to_owned(), ports }))
            });
            each.collect()
        });
        let is_this = members.get("thisNode") == Some("true");
        Some(Self { host, is_this, ports: own, alternates: alternates.unwrap_or_default() })
    }

    /// Where a service of it is in a network; `dialled` is the host of a node that names none.
    pub(super) fn place(&self, service: Service, network: &Network, dialled: Option<&str>) -> Option<Place> {
        if let Network::Alternate(name) = network
            && let Some(alternate) = self.alternates.get(name)
        {
            let port = *alternate.ports.as_ref().unwrap_or(&self.ports).get(&service)?;
            return Some(Place { host: alternate.host.clone(), port });
        }
        let host = self.host.as_deref().or(dialled)?.to_owned();
        Some(Place { host, port: *self.ports.get(&service)? })
    }

    /// Whether it is the node that answers, and `here` may be its address in a network: the ports are the same.
    pub(super) fn may_be(&self, here: &Place, network: &Network) -> bool {
        self.is_this && self.places(network, &here.host).any(|place| place.port == here.port)
    }

    fn is_at(&self, here: &Place, network: &Network) -> bool {
        self.places(network, &here.host).any(|place| place == *here)
    }

    fn places(&self, network: &Network, dialled: &str) -> impl Iterator<Item = Place> {
        Service::ALL.into_iter().filter_map(|service| self.place(service, network, Some(dialled)))
    }
}

/// The network in which the node at the directory's own end is found where it was dialled: by host and port, or else by the
/// port alone, as a name or a forwarded address of that node.
pub(super) fn network(nodes: &[Node], directory: &dyn Directory) -> Network {
    let Some(here) = directory.here() else { return Network::Own };
    let names = nodes.iter().flat_map(|node| node.alternates.keys().cloned().map(Network::Alternate));
    let networks: Vec<Network> = std::iter::once(Network::Own).chain(names).collect();
    let by_both = |network: &&Network| nodes.iter().any(|node| node.is_at(here, network));
    let by_port = |network: &&Network| nodes.iter().any(|node| node.may_be(here, network));
    let found = networks.iter().find(by_both).or_else(|| networks.iter().find(by_port));
    found.cloned().unwrap_or(Network::Unknown)
}

fn ports(text: &str, named: fn(&str) -> Option<Service>) -> BTreeMap<Service, u16> {
    let members = Members::of(text).map(|members| members.0).unwrap_or_default();
    members.iter().filter_map(|(name, port)| Some((named(name)?, json::port(port.get())?))).collect()
}
