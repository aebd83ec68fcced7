use std::io;
use std::net::SocketAddr;

use tokio::net::lookup_host;
use tokio::sync::oneshot;

use crate::net::{NoTarget, Target};

/// Where a proxy listens and leads, and whether it lets anybody in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Where it listens, or would where it lets nobody in.
    pub listen: Place,
    /// Where its connections go, as it was said.
    pub upstream: String,
    /// Whether it lets anybody in.
    pub enabled: bool,
}

/// An address to listen on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// As it was said, or as it came to be: once it has been listened on, the address itself.
    pub text: String,
    /// What it has been found to be: the first that can be listened on is taken.
    pub addresses: Vec<SocketAddr>,
}

/// An address to dial.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lead {
    /// As it was said.
    pub text: String,
    /// What that is.
    pub target: Target,
}

/// What is to be different about a proxy; what is `None` stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    /// Where it listens.
    pub listen: Option<Place>,
    /// Where its connections go.
    pub upstream: Option<Lead>,
    /// Whether it lets anybody in.
    pub enabled: Option<bool>,
}

/// Why a proxy is not as it was to be.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It has ended, or is about to.
    #[error("the proxy has ended")]
    Ended,
    /// It cannot be moved, because of how it was started.
    #[error("expected the addresses of this proxy to stay ({0}), found another")]
    Fixed(&'static str),
    /// It cannot listen there; it lets nobody in.
    #[error("listen tcp {listen}: bind: {}", reason(error))]
    Bind {
        /// Where.
        listen: String,
        /// What the system said.
        error: io::Error,
    },
}

/// What the serve loop of a proxy is asked to do. It answers when that is done.
#[derive(Debug)]
pub(in crate::net) enum Demand {
    /// To be otherwise.
    Change(Change, oneshot::Sender<Result<Standing, ChangeError>>),
    /// To end: nobody is let in, and all links are dropped.
    End(oneshot::Sender<()>),
}

impl Place {
    /// Looks an address up. No host, or no text at all, is loopback, and no port any free one.
    ///
    /// # Errors
    /// The text is no address, or the name has none.
    pub async fn find(text: &str) -> Result<Self, PlaceError> {
        let target = if text.is_empty() { Target::to_listen_on(":0") } else { Target::to_listen_on(text) }?;
        let unknown = |error| PlaceError::Unknown { host: target.host.clone(), error };
        let mut addresses: Vec<_> = lookup_host((target.host.as_str(), target.port)).await.map_err(unknown)?.collect();
        // A name that has both is listened on at that of IPv4, which more of those who dial can.
        addresses.sort_by_key(SocketAddr::is_ipv6);
        Ok(Self { text: text.to_owned(), addresses })
    }

    /// Whether whoever listens here does so there already.
    pub(in crate::net) fn is(&self, other: &Self) -> bool {
        let of = |place: &Self| place.addresses.first().copied().filter(|at| at.port() != 0);
        of(self).is_some() && of(self) == of(other)
    }
}

impl From<SocketAddr> for Place {
    fn from(at: SocketAddr) -> Self {
        Self { text: at.to_string(), addresses: vec![at] }
    }
}

/// Why something is no place to listen.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The text is no address.
    #[error(transparent)]
    NoTarget(#[from] NoTarget),
    /// The name has none.
    #[error("listen tcp: lookup {host}: {error}")]
    Unknown {
        /// The name.
        host: String,
        /// What the resolver said.
        error: io::Error,
    },
}

impl Standing {
    /// Whether it would be elsewhere, or lead elsewhere, with that changed.
    pub fn moves(&self, change: &Change) -> bool {
        change.listen.as_ref().is_some_and(|listen| !self.listen.is(listen))
            || change.upstream.as_ref().is_some_and(|upstream| self.upstream != upstream.text)
    }
}

/// In toxiproxy's words, which are those of the system in lower case; they are looked for in answers.
fn reason(error: &io::Error) -> String {
    let words = [
        (io::ErrorKind::AddrInUse, "address already in use"),
        (io::ErrorKind::AddrNotAvailable, "cannot assign requested address"),
        (io::ErrorKind::PermissionDenied, "permission denied"),
    ];
    let known = words.into_iter().find(|(kind, _)| *kind == error.kind());
    known.map_or_else(|| error.to_string(), |(_, words)| words.to_owned())
}
