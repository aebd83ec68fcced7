use std::collections::BTreeSet;
use std::fmt;

use super::Place;

/// What of a node is proxied.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Service {
    /// KV and DCP, plain.
    Kv,
    /// KV and DCP over TLS.
    KvTls,
    /// The management port, plain HTTP.
    Management,
    /// The management port over TLS.
    ManagementTls,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Kv, Self::KvTls, Self::Management, Self::ManagementTls];

    /// The name that `nodesExt` gives it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kv => "kv",
            Self::KvTls => "kvSSL",
            Self::Management => "mgmt",
            Self::ManagementTls => "mgmtSSL",
        }
    }

    /// The same over TLS.
    pub const fn over_tls(self) -> Self {
        match self {
            Self::Kv | Self::KvTls => Self::KvTls,
            Self::Management | Self::ManagementTls => Self::ManagementTls,
        }
    }

    /// Whether it is spoken over TLS.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::KvTls | Self::ManagementTls)
    }

    /// The service of that name in `nodesExt`; `None` for one that is not proxied, such as `n1ql`.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }

    /// The service of that name among the `ports` of an entry of `nodes`.
    pub(super) fn of_port(name: &str) -> Option<Self> {
        match name {
            "direct" => Some(Self::Kv),
            "sslDirect" => Some(Self::KvTls),
            "httpsMgmt" => Some(Self::ManagementTls),
            _ => None,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which of two maps of one thing is newer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Revision {
    /// `revEpoch`; 0 where the map has none.
    pub epoch: i64,
    /// `rev`.
    pub rev: i64,
}

/// Whose map it is, and which.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The bucket; `None` for the map of the cluster.
    pub bucket: Option<String>,
    /// `None` where the map does not say.
    pub revision: Option<Revision>,
}

/// Where the proxy stands in for the nodes of a cluster, as one connection sees it. One that is asked for a node that is
/// new makes the place for it, so that it is there before the client reads of it.
pub trait Directory: Send {
    /// The host at which clients reach the proxy, without brackets.
    fn host(&self) -> &str;

    /// Where this connection leads: the place that the proxy has dialled for it, as far as that is known.
    fn here(&self) -> Option<&Place>;

    /// The service of a node that is dialled for clients who use `offered`: where only one edge speaks TLS, that is another.
    /// `None` where the proxy does not offer the service.
    fn behind(&self, offered: Service) -> Option<Service>;

    /// The port at which the proxy offers a service, for connections that lead to `node`.
    ///
    /// # Errors
    /// Why there is none: one line, for the user.
    fn port(&mut self, offered: Service, node: &Place) -> Result<u16, String>;

    /// The node by its own name, for what this connection has dialled by another.
    fn also_called(&mut self, offered: Service, node: &Place);

    /// A map was rewritten whole, and names these. What a newer map does not name any more has left.
    fn mapped(&mut self, map: &Identity, nodes: &BTreeSet<(Service, Place)>);

    /// Something is not as it ought to be; it is for the user to know.
    fn told(&mut self, trouble: &Trouble);
}

/// What a user is told of maps.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum Trouble {
    /// A map could not be rewritten, and was kept from the client.
    #[error(
        "a cluster map was kept from the client, as it could not be rewritten: {0}; clients are told to ask again later"
    )]
    Refused(String),
    /// The node that was dialled is none of the map's.
    #[error(
        "the cluster map does not name {0}, which the proxy has dialled: it leads to the addresses that the map names; if \
         these cannot be dialled from here, dial a node by the host and port of the map, or by its alternate address"
    )]
    UnknownNode(String),
    /// Different nodes say that they are what was dialled.
    #[error(
        "{dialled}, which the proxy dials, leads to more than one node, such as {} and {}: a client may reach another than it \
         asked for; dial one node by its own host and port", .nodes[0], .nodes[1]
    )]
    ManyNodes {
        /// What is dialled.
        dialled: String,
        /// Two of the nodes.
        nodes: [String; 2],
    },
    /// Something was asked of a management port that the proxy does not pass on.
    #[error(
        "{0} was refused: of management ports the proxy passes on GET of what holds cluster maps, and no more; for all \
         else dial the node"
    )]
    NotProxied(String),
    /// What the upstream says is no frames (any more): a map in it would not be seen.
    #[error("the upstream's bytes are no memcached frames (any more): cluster maps in them are not rewritten")]
    NotFramed,
}
