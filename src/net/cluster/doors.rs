use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use super::listening::Room;
use super::management::{self, Desk};
use crate::cluster::{Directory, Identity, Place, Revision, Service, Trouble};
use crate::net::tls::{Acceptor, Connector};
use crate::net::{Change, Door, Route, Target, Upstream};

/// How a proxy stands in for the nodes of a cluster.
pub struct ClusterOptions {
    /// The ports for the listeners of the nodes; any free ones if not given.
    pub ports: Option<RangeInclusive<u16>>,
    /// The host that clients are told to dial; if not given, that on which the proxy listens or, where that is every one,
    /// the one that the client has dialled.
    pub host: Option<String>,
    /// Told of each listener, and the node that it stands in for.
    pub announce: Announce,
}

/// Is told where the proxy listens, and for which node.
pub type Announce = Box<dyn Fn(SocketAddr, &str) + Send>;

/// What is offered, and the place that is dialled for it.
type Offer = (Service, Place);

impl fmt::Debug for ClusterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterOptions").field("ports", &self.ports).field("host", &self.host).finish_non_exhaustive()
    }
}

/// The listeners of a proxy that stands in for the nodes of a cluster. They are shared by all of its connections: what one
/// learns of the cluster holds for all.
#[derive(Clone, Debug)]
pub struct ClusterDoors {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    options: ClusterOptions,
    room: Room,
    /// What is spoken at each edge, besides where.
    tls: Option<Acceptor>,
    upstream_tls: Option<Connector>,
    changes: UnboundedSender<Change>,
    spots: BTreeMap<Offer, Spot>,
    /// What the newest map of each bucket, and of the cluster, names.
    maps: BTreeMap<Option<String>, (Revision, BTreeSet<Offer>)>,
    told: BTreeSet<Trouble>,
    /// What was dialled first is more than one node.
    is_ambiguous: bool,
}

/// Where a service of a node is offered.
#[derive(Clone, Debug)]
struct Spot {
    at: SocketAddr,
    /// The user named it: it stays, whatever maps say.
    is_first: bool,
    /// What accepts for it, where that is not the proxy, until it is aborted.
    serving: Option<AbortHandle>,
}

/// More listeners are not made: a cluster has fewer nodes.
const MOST_SPOTS: usize = 2048;
/// Of more buckets it is not remembered what their maps name.
const MOST_MAPS: usize = 1024;
/// So many different troubles are told of, each once.
const MOST_TOLD: usize = 64;

impl ClusterDoors {
    /// Those of a proxy whose first listener is `first`, speaks TLS if there is `tls`, and leads to `upstream`; `changes`
    /// makes more of them.
    pub fn new(
        options: ClusterOptions,
        first: SocketAddr,
        upstream: &Upstream,
        tls: Option<Acceptor>,
        changes: UnboundedSender<Change>,
    ) -> Self {
        let offered = if tls.is_some() { Service::KvTls } else { Service::Kv };
        let spot = Spot { at: first, is_first: true, serving: None };
        let state = State {
            room: Room { ip: first.ip(), ports: options.ports.clone() },
            options,
            tls,
            upstream_tls: upstream.tls.clone(),
            changes,
            spots: BTreeMap::from([((offered, place(&upstream.target)), spot)]),
            maps: BTreeMap::new(),
            told: BTreeSet::new(),
            is_ambiguous: false,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Serves the management port of a node on a listener that stays, for clients that begin there. TLS is spoken at its
    /// edges as at those of the first listener.
    ///
    /// # Errors
    /// The listener is none any more.
    pub fn manage(&self, listener: TcpListener, node: &Target) -> io::Result<()> {
        let at = listener.local_addr()?;
        let mut state = self.lock();
        let offered = if state.tls.is_some() { Service::ManagementTls } else { Service::Management };
        let serving = Some(management::serve(listener, state.desk(self, node.clone())));
        state.spots.insert((offered, place(node)), Spot { at, is_first: true, serving });
        Ok(())
    }

    /// Serves no management port any more; maps name them all the same. The other listeners are the proxy's.
    pub fn close(&self) {
        self.lock().spots.values_mut().filter_map(|spot| spot.serving.take()).for_each(|serving| serving.abort());
    }

    /// The directory for a connection that was accepted at this address.
    pub(in crate::net) fn directory(&self, accepted_at: SocketAddr) -> Box<dyn Directory> {
        let state = self.lock();
        let mut spots = state.spots.iter().filter(|(_, spot)| spot.at.port() == accepted_at.port());
        // By another name it may be there twice; what was dialled is what was not said by a map.
        let found = spots.clone().find(|(_, spot)| spot.is_first).or_else(|| spots.next());
        let is_first = found.is_some_and(|(_, spot)| spot.is_first);
        let (offered, here) = found.map(|((offered, place), _)| (*offered, place.clone())).unzip();
        let host = match (&state.options.host, state.room.ip) {
            (Some(host), _) => host.clone(),
            (None, ip) if ip.is_unspecified() => accepted_at.ip().to_canonical().to_string(),
            (None, ip) => ip.to_string(),
        };
        drop(state);
        Box::new(Seen { doors: self.clone(), host, offered, here, is_first })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What a task that has panicked leaves behind is a map of listeners all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(target: &Target) -> Place {
    Place { host: target.host.clone(), port: target.port }
}

/// What one connection sees of the doors.
struct Seen {
    doors: ClusterDoors,
    host: String,
    /// What is spoken with its client, and where it leads.
    offered: Option<Service>,
    here: Option<Place>,
    is_first: bool,
}

impl Directory for Seen {
    fn host(&self) -> &str {
        &self.host
    }

    fn here(&self) -> Option<&Place> {
        self.here.as_ref()
    }

    fn behind(&self, offered: Service) -> Option<Service> {
        self.doors.lock().behind(offered)
    }

    fn port(&mut self, offered: Service, node: &Place) -> Result<u16, String> {
        self.doors.lock().port(&self.doors, offered, node)
    }

    fn also_called(&mut self, offered: Service, node: &Place) {
        let (Some(here), true) = (&self.here, self.offered == Some(offered)) else { return };
        let aliased = self.doors.lock().alias(offered, here, node);
        if let Err(trouble) = aliased {
            self.told(&trouble);
        }
    }

    fn mapped(&mut self, map: &Identity, nodes: &BTreeSet<Offer>) {
        self.doors.lock().mapped(map, nodes);
    }

    fn told(&mut self, trouble: &Trouble) {
        if matches!(trouble, Trouble::UnknownNode(_)) && !self.is_first {
            // It was named, and has left.
            return;
        }
        let mut state = self.doors.lock();
        if state.told.len() < MOST_TOLD && state.told.insert(trouble.clone()) {
            tracing::warn!("{trouble}");
        }
    }
}

impl State {
    /// TLS is offered, and dialled, as at the first listener, and nothing else is: no client comes in by a plain door that
    /// was to show a certificate.
    fn behind(&self, offered: Service) -> Option<Service> {
        if offered.is_tls() != self.tls.is_some() {
            return None;
        }
        Some(match (offered, self.upstream_tls.is_some()) {
            (_, true) => offered.over_tls(),
            (Service::Kv | Service::KvTls, false) => Service::Kv,
            (Service::Management | Service::ManagementTls, false) => Service::Management,
        })
    }

    fn upstream(&self, target: Target) -> Upstream {
        Upstream { target, tls: self.upstream_tls.clone() }
    }

    fn desk(&self, doors: &ClusterDoors, target: Target) -> Desk {
        Desk { doors: doors.clone(), upstream: self.upstream(target), tls: self.tls.clone() }
    }

    fn port(&mut self, doors: &ClusterDoors, offered: Service, node: &Place) -> Result<u16, String> {
        if let Some(spot) = self.spots.get(&(offered, node.clone())) {
            return Ok(spot.at.port());
        }
        if self.spots.len() >= MOST_SPOTS {
            return Err(format!("there is no listener for {node}: there are {MOST_SPOTS}, and that is enough"));
        }
        let listener = self.room.listen().and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (at, listener) = listener.map_err(|error| match &self.room.ports {
            None => format!("cannot listen on {} for {node}: {error}", self.room.ip),
            Some(ports) => format!(
                "cannot listen on {} for {node}: no port of {}-{} is free (--cluster-ports has to have two for each \
                 node): {error}",
                self.room.ip,
                ports.start(),
                ports.end()
            ),
        })?;
        let target = Target { host: node.host.clone(), port: node.port };
        let serving = match offered {
            Service::Kv | Service::KvTls => {
                let route = Arc::new(Route { upstream: self.upstream(target).into(), tls: self.tls.clone() });
                // Nobody serves them any more where this fails: the proxy ends.
                let _ = self.changes.send(Change::Open(Door { listener, route }));
                None
            }
            Service::Management | Service::ManagementTls => Some(management::serve(listener, self.desk(doors, target))),
        };
        (self.options.announce)(at, &node.to_string());
        self.spots.insert((offered, node.clone()), Spot { at, is_first: false, serving });
        Ok(at.port())
    }

    /// The same node by its own name has the same listener, unless more than one says that it is what was dialled: then that
    /// name leads now to this one and now to another, and each has a listener of its own.
    fn alias(&mut self, offered: Service, here: &Place, node: &Place) -> Result<(), Trouble> {
        let key = (offered, node.clone());
        let Some(spot) = self.spots.get(&(offered, here.clone())).cloned() else { return Ok(()) };
        if self.spots.contains_key(&key) {
            return Ok(());
        }
        let is_other = |(which, other): &(&Offer, &Spot)| which.0 == offered && which.1 != *here && other.at == spot.at;
        let Some((other, _)) = self.spots.iter().find(is_other) else {
            if !self.is_ambiguous {
                self.spots.insert(key, spot);
            }
            return Ok(());
        };
        let other = other.clone();
        self.spots.remove(&other);
        self.is_ambiguous = true;
        Err(Trouble::ManyNodes { dialled: here.to_string(), nodes: [other.1.to_string(), node.to_string()] })
    }

    /// Remembers what a map names, unless it is older than another that came before, and closes what none names any more.
    fn mapped(&mut self, map: &Identity, nodes: &BTreeSet<Offer>) {
        let Some(revision) = map.revision else { return };
        match self.maps.get(&map.bucket) {
            Some((newest, _)) if *newest > revision => return,
            Some((newest, named)) if *newest == revision && named == nodes => return,
            None if self.maps.len() >= MOST_MAPS => return,
            Some(_) | None => {}
        }
        self.maps.insert(map.bucket.clone(), (revision, nodes.clone()));
        let is_named = |spot: &Offer| self.maps.values().any(|(_, named)| named.contains(spot));
        let gone = self.spots.iter().filter(|(which, spot)| !spot.is_first && !is_named(which));
        let gone: Vec<_> = gone.map(|(which, spot)| (which.clone(), spot.clone())).collect();
        for (which, Spot { at, serving, .. }) in gone {
            self.spots.remove(&which);
            // By another name it may be wanted still.
            if !self.spots.values().any(|spot| spot.at == at) {
                tracing::info!("{} has left the cluster: nothing more is accepted for it on {at}", which.1);
                match serving {
                    Some(serving) => serving.abort(),
                    None => drop(self.changes.send(Change::Close(at))),
                }
            }
        }
    }
}
