use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::Directory;
use super::Identity;
use super::Place;
use super::Revision;
use super::Service;
use super::Trouble;
use super::json;
use super::json::Members;
use super::network::Network;
use super::network::Node;
use super::network::network;
use super::place::DIALLED_HOST;

/// Rewrites a map, or an array of such, so that every address in it is the proxy's. What is no address keeps its text and
/// its place; services that are not proxied are left out.
///
/// # Errors
/// Why it cannot be rewritten, as one line: it is no JSON object or array, a part that holds addresses has another form
/// than is known, or the directory has no place for a node.
pub fn rewrite(text: &str, directory: &mut dyn Directory) -> Result<String, String> {
    if let Some(maps) = json::elements(text) {
        let maps = maps
            .into_iter()
            .map(|map| if map.starts_with('{') { one(map, directory).map(Cow::Owned) } else { Ok(Cow::Borrowed(map)) });
        return Ok(json::array(maps.collect::<Result<Vec<_>, String>>()?));
    }
    one(text, directory)
}

type Changed<'a> = Result<Option<Cow<'a, str>>, String>;

fn one(text: &str, directory: &mut dyn Directory) -> Result<String, String> {
    let map = Members::of(text).ok_or_else(|| expected("a JSON object", text))?;
    let (source, is_ext) = if map.get("nodesExt").is_some() { ("nodesExt", true) } else { ("nodes", false) };
    let entries = elements(source, map.get(source).unwrap_or("null"))?.into_iter();
    let read = |entry| Node::read(entry, is_ext).ok_or_else(|| expected(&format!("objects in {source}"), entry));
    let nodes = entries.map(read).collect::<Result<Vec<_>, _>>()?;
    let names_nodes = !nodes.is_empty();
    let mut rewriter = Rewriter::new(&nodes, directory)?;
    let rewritten = map.map(|name, value| match name {
        _ if value == "null" => Ok(Some(Cow::Borrowed(value))),
        "nodesExt" => rewriter.nodes(name, value, Rewriter::node_ext),
        "nodes" => rewriter.nodes(name, value, Rewriter::node),
        "vBucketServerMap" => rewriter.server_map(value),
        _ => Ok(Some(Cow::Borrowed(value))),
    })?;
    if names_nodes {
        let named = rewriter.named;
        directory.mapped(&identity(&map), &named);
    }
    Ok(rewritten)
}

fn identity(map: &Members<'_>) -> Identity {
    let number = |name: &str| map.get(name).and_then(|text| text.parse().ok());
    let revision = number("rev").map(|rev| Revision { epoch: number("revEpoch").unwrap_or_default(), rev });
    // The pool has a name too; only buckets say how they place their keys.
    let bucket = map.get("nodeLocator").and_then(|_| map.get("name")).and_then(json::text);
    Identity { bucket, revision }
}

struct Rewriter<'d> {
    directory: &'d mut dyn Directory,
    host: String,
    /// What stands for a node without a host, and for `$HOST`.
    dialled: Option<String>,
    /// What the proxy offers of each entry of `nodesExt`, or of `nodes` where there is no other.
    offers: Vec<BTreeMap<Service, u16>>,
    /// Where the proxy stands in for a service of a node, by the node's own address.
    ports: BTreeMap<(Service, Place), u16>,
    /// What was asked of the directory.
    named: BTreeSet<(Service, Place)>,
}

impl<'d> Rewriter<'d> {
    fn new(nodes: &[Node], directory: &'d mut dyn Directory) -> Result<Self, String> {
        let here = directory.here().cloned();
        let mut rewriter = Self {
            host: directory.host().to_owned(),
            dialled: here.as_ref().map(|here| here.host.clone()),
            directory,
            offers: Vec::new(),
            ports: BTreeMap::new(),
            named: BTreeSet::new(),
        };
        let network = network(nodes, rewriter.directory);
        if let (Network::Unknown, Some(here), false) = (&network, &here, nodes.is_empty()) {
            rewriter.directory.told(&Trouble::UnknownNode(here.to_string()));
        }
        for node in nodes {
            rewriter.offer(node, &network, here.as_ref())?;
        }
        Ok(rewriter)
    }

    /// Finds the proxy's ports for a node.
    fn offer(&mut self, node: &Node, network: &Network, here: Option<&Place>) -> Result<(), String> {
        let here = here.filter(|here| node.may_be(here, network));
        let dialled = self.dialled.clone();
        let mut offers = BTreeMap::new();
        for offered in Service::ALL {
            let Some(behind) = self.directory.behind(offered) else { continue };
            let Some(place) = node.place(behind, network, dialled.as_deref()) else { continue };
            if here.is_some_and(|here| here.port == place.port && here.host != place.host) {
                self.directory.also_called(offered, &place);
            }
            let port = self.directory.port(offered, &place)?;
            self.named.insert((offered, place));
            offers.insert(offered, port);
        }
        // A map names a node by its own addresses, wherever it is dialled. Where only TLS is offered, a plain one too has to
        // lead somewhere.
        for service in Service::ALL {
            let port = offers.get(&service).or_else(|| offers.get(&service.over_tls()));
            let own = node.place(service, &Network::Own, dialled.as_deref());
            self.ports.extend(own.zip(port).map(|(own, port)| ((service, own), *port)));
        }
        self.offers.push(offers);
        Ok(())
    }

    /// The proxy's port for a service of a node that a map names by `own`; `None` where it does not offer that.
    fn port(&mut self, offered: Service, own: &Place) -> Result<Option<u16>, String> {
        let mut own = own.clone();
        if own.host == DIALLED_HOST {
            own.host = self.dialled.clone().unwrap_or_default();
        }
        if let Some(port) = self.ports.get(&(offered, own.clone())) {
            return Ok(Some(*port));
        }
        match self.directory.behind(offered) {
            Some(behind) if behind == offered && !own.host.is_empty() => {
                let port = self.directory.port(offered, &own)?;
                self.named.insert((offered, own));
                Ok(Some(port))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// `HOST:PORT` of a node, as the proxy's. Where that service is not offered, nobody answers at the port named.
    fn place(&mut self, what: &str, offered: Service, text: &str) -> Result<String, String> {
        let unknown = || expected(&format!("HOST:PORT in {what}"), text);
        let place = json::text(text).and_then(|text| Place::read(&text)).ok_or_else(unknown)?;
        let port = self.port(offered, &place)?.unwrap_or_default();
        let host = if place.host == DIALLED_HOST { place.host } else { self.host.clone() };
        Ok(json::string(&Place { host, port }.to_string()))
    }

    fn nodes<'a>(
        &mut self,
        name: &str,
        text: &'a str,
        each: fn(&mut Self, &Members<'_>, usize) -> Result<String, String>,
    ) -> Changed<'a> {
        let mut rewritten = Vec::new();
        for (at, entry) in elements(name, text)?.into_iter().enumerate() {
            let members = Members::of(entry).ok_or_else(|| expected(&format!("objects in {name}"), entry))?;
            rewritten.push(each(self, &members, at)?);
        }
        Ok(Some(Cow::Owned(json::array(rewritten))))
    }

    /// An entry of `nodesExt`.
    fn node_ext(&mut self, node: &Members<'_>, at: usize) -> Result<String, String> {
        let offered = self.offers.get(at).cloned().unwrap_or_default();
        node.map(|name, value| match name {
            "services" => Ok(Some(Cow::Owned(services(value, &offered)))),
            "hostname" => Ok(Some(self.hostname(value))),
            "alternateAddresses" => Ok(Some(Cow::Owned(self.alternates(value, &offered)))),
            _ => Ok(Some(Cow::Borrowed(value))),
        })
    }

    /// An entry of `nodes`.
    fn node(&mut self, node: &Members<'_>, _: usize) -> Result<String, String> {
        let host = node.get("hostname").and_then(json::text);
        let place = host.as_deref().and_then(Place::read);
        let host = place.as_ref().map(|place| place.host.clone()).or(host).unwrap_or_else(|| DIALLED_HOST.to_owned());
        let mut offered = BTreeMap::new();
        if let Some(place) = &place {
            offered.extend(self.port(Service::Management, place)?.map(|port| (Service::Management, port)));
        }
        for (name, port) in node.get("ports").and_then(Members::of).map(|ports| ports.0).unwrap_or_default() {
            if let (Some(service), Some(port)) = (Service::of_port(&name), json::port(port.get()))
                && let Some(port) = self.port(service, &Place { host: host.clone(), port })?
            {
                offered.insert(service, port);
            }
        }
        node.map(|name, value| match name {
            "ports" => Ok(Some(Cow::Owned(match Members::of(value) {
                Some(ports) => json::ports(&ports.ports(Service::of_port, &offered)),
                None => "{}".to_owned(),
            }))),
            "hostname" | "configuredHostname" => match json::text(value).as_deref().and_then(Place::read) {
                Some(_) => self.place(name, Service::Management, value).map(|text| Some(Cow::Owned(text))),
                None => Ok(Some(self.hostname(value))),
            },
            "alternateAddresses" => Ok(Some(Cow::Owned(self.alternates(value, &offered)))),
            // The ports of views, which are not proxied.
            "couchApiBase" | "couchApiBaseHTTPS" => Ok(None),
            _ => Ok(Some(Cow::Borrowed(value))),
        })
    }

    fn server_map<'a>(&mut self, text: &'a str) -> Changed<'a> {
        let members = Members::of(text).ok_or_else(|| expected("an object as vBucketServerMap", text))?;
        let rewritten = members.map(|name, value| match name {
            "serverList" => {
                let servers = elements("serverList", value)?.into_iter();
                let servers = servers.map(|server| self.place("serverList", Service::Kv, server));
                Ok::<_, String>(Some(Cow::Owned(json::array(servers.collect::<Result<Vec<_>, _>>()?))))
            }
            _ => Ok(Some(Cow::Borrowed(value))),
        })?;
        Ok(Some(Cow::Owned(rewritten)))
    }

    /// A host by itself. An empty one, and `$HOST`, are the host that the client has dialled: the proxy.
    fn hostname<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match json::text(text).as_deref() {
            Some("" | DIALLED_HOST) => Cow::Borrowed(text),
            Some(host) if host.starts_with('[') && self.host.contains(':') => {
                Cow::Owned(json::string(&format!("[{}]", self.host)))
            }
            Some(_) | None => Cow::Owned(json::string(&self.host)),
        }
    }

    /// The addresses of a node in other networks: in all of them the proxy stands in for it at the same ports.
    fn alternates(&self, text: &str, offered: &BTreeMap<Service, u16>) -> String {
        let Some(networks) = Members::of(text) else { return "{}".to_owned() };
        let network = |text| {
            let address = Members::of(text)?;
            let changed = address.map(|name, value| {
                Ok::<_, std::convert::Infallible>(Some(match name {
                    "hostname" => self.hostname(value),
                    "ports" => Cow::Owned(services(value, offered)),
                    _ => Cow::Borrowed(value),
                }))
            });
            changed.ok().map(Cow::Owned)
        };
        let changed = networks.map(|_, value| Ok::<_, std::convert::Infallible>(network(value)));
        changed.unwrap_or_default()
    }
}

/// Ports by the names of services: those that are offered, as the proxy's, in the order that they had.
fn services(text: &str, offered: &BTreeMap<Service, u16>) -> String {
    let Some(members) = Members::of(text) else { return "{}".to_owned() };
    let mut ports = members.ports(Service::named, offered);
    // Where one edge alone speaks TLS, a node may not have what is offered for it.
    for (service, port) in offered.iter().filter(|(service, _)| members.get(service.name()).is_none()) {
        ports.push((service.name().to_owned(), *port));
    }
    json::ports(&ports)
}

fn elements<'a>(name: &str, text: &'a str) -> Result<Vec<&'a str>, String> {
    if text == "null" {
        return Ok(Vec::new());
    }
    json::elements(text).ok_or_else(|| expected(&format!("an array as {name}"), text))
}

fn expected(what: &str, found: &str) -> String {
    const MOST: usize = 40;
    let shown: String = found.chars().take(MOST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let more = if found.chars().nth(MOST).is_some() { "..." } else { "" };
    format!("expected {what}, found {shown}{more}")
}
