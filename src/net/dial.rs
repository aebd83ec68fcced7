use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::tls::{Connector, HandshakeError};
use super::{Leg, Misdirected, Sockets};

/// A place to dial: a host name or an address, and a port. Read from `HOST:PORT`, `1.2.3.4:PORT` or `[::1]:PORT`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    /// The host name, or the address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Expected `HOST:PORT`, found the text inside.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected HOST:PORT, such as localhost:11210 or [::1]:11210, found '{0}'")]
pub struct NoTarget(pub String);

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        let parsed = || {
            let (host, port) = text.rsplit_once(':')?;
            let port = port.parse().ok()?;
            let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
                Some(inner) => inner.filter(|inner| inner.parse::<Ipv6Addr>().is_ok())?,
                // Without brackets nobody can say where an IPv6 address ends.
                None => Some(host).filter(|host| !host.is_empty() && !host.contains([':', '/', '@', ' ']))?,
            };
            Some(Self { host: host.to_owned(), port })
        };
        parsed().ok_or_else(|| NoTarget(text.to_owned()))
    }
}

impl Target {
    /// Whether what is sent there stays on this machine, as far as the name says.
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost") || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Reads an address to listen on: like any target, but a port alone (`11210`, `:11210`) is one of loopback.
    ///
    /// # Errors
    /// The text is neither.
    pub fn to_listen_on(text: &str) -> Result<Self, NoTarget> {
        let port = text.strip_prefix(':').unwrap_or(text);
        match port.parse() {
            Ok(port) => Ok(Self { host: Ipv4Addr::LOCALHOST.to_string(), port }),
            Err(_) => text.parse(),
        }
    }
}

impl From<SocketAddr> for Target {
    fn from(addr: SocketAddr) -> Self {
        Self { host: addr.ip().to_string(), port: addr.port() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse() {
            Ok(IpAddr::V6(v6)) => write!(f, "[{v6}]:{}", self.port),
            Ok(IpAddr::V4(_)) | Err(_) => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Why a dial failed.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("cannot find {target}: {error}")]
    Unknown {
        /// What was dialled.
        target: Target,
        /// What the resolver said.
        error: io::Error,
    },
    /// No address of the name took the connection; the last one's error is inside.
    #[error("cannot connect to {target}: {error}")]
    Refused {
        /// What was dialled.
        target: Target,
        /// What the system said.
        error: io::Error,
    },
    /// Nothing answered in time.
    #[error("cannot connect to {target}: no answer within {limit:?}")]
    TimedOut {
        /// What was dialled.
        target: Target,
        /// How long it was waited for.
        limit: Duration,
    },
    /// There is a connection, but no TLS over it.
    #[error("cannot speak TLS with {target}: {error}")]
    NoTls {
        /// What was dialled.
        target: Target,
        /// What went wrong, and how to mend it.
        error: HandshakeError,
    },
    /// It is not known what to dial.
    #[error(transparent)]
    Misdirected(#[from] Misdirected),
}

/// A place to dial, and the TLS that is spoken there, if any is.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The place.
    pub target: Target,
    /// Agrees on TLS.
    pub tls: Option<Connector>,
}

impl Upstream {
    /// Connects, and agrees on TLS if that is spoken there, all within `limit`.
    ///
    /// # Errors
    /// Nobody takes the connection, or TLS comes to nothing.
    pub async fn dial(&self, limit: Duration) -> Result<Leg, DialError> {
        self.dial_by(dial(&self.target, limit), limit).await
    }

    /// As [`Self::dial`], with a connection that is made otherwise.
    pub(super) async fn dial_by(
        &self,
        connected: impl Future<Output = Result<TcpStream, DialError>>,
        limit: Duration,
    ) -> Result<Leg, DialError> {
        let target = &self.target;
        let within = timeout(limit, async {
            let stream = connected.await?;
            let Some(tls) = &self.tls else { return Ok(stream.into()) };
            let joined = tls.connect(stream, &target.host).await;
            joined.map_err(|error| DialError::NoTls { target: target.clone(), error })
        });
        within.await.unwrap_or_else(|_| Err(DialError::TimedOut { target: target.clone(), limit }))
    }

    /// As [`Self::dial`]; with the addresses of this end and the other, as text.
    ///
    /// # Errors
    /// As there; or the other end has reset the connection since.
    pub async fn dial_addressed(&self, limit: Duration) -> Result<(Leg, String, String), DialError> {
        let leg = self.dial(limit).await?;
        match (leg.local_addr(), leg.peer_addr()) {
            (Ok(from), Ok(to)) => Ok((leg, from.to_string(), to.to_string())),
            (Err(error), _) | (_, Err(error)) => Err(DialError::Refused { target: self.target.clone(), error }),
        }
    }
}

impl From<Target> for Upstream {
    fn from(target: Target) -> Self {
        Self { target, tls: None }
    }
}

impl From<&Target> for Upstream {
    fn from(target: &Target) -> Self {
        target.clone().into()
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

/// Connects to a target: each address of its name in turn, all within `limit`.
pub async fn dial(target: &Target, limit: Duration) -> Result<TcpStream, DialError> {
    let within = timeout(limit, async {
        let found = lookup_host((target.host.as_str(), target.port)).await;
        let addresses = found.map_err(|error| DialError::Unknown { target: target.clone(), error })?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    Sockets::default().apply(&stream);
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(DialError::Refused { target: target.clone(), error: last })
    });
    within.await.unwrap_or_else(|_| Err(DialError::TimedOut { target: target.clone(), limit }))
}

#[cfg(test)]
mod tests {
    use super::{NoTarget, Target};

    #[test]
    fn targets_are_read_and_shown() {
        for text in ["localhost:11210", "127.0.0.1:0", "[::1]:11210", "node-1.example:65535"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        assert_eq!("[::1]:1".parse(), Ok(Target { host: "::1".to_owned(), port: 1 }));
    }

    #[test]
    fn a_port_alone_is_one_of_loopback() {
        for (text, target) in [("11210", "127.0.0.1:11210"), (":0", "127.0.0.1:0"), ("[::]:5", "[::]:5")] {
            assert_eq!(Target::to_listen_on(text).unwrap().to_string(), target);
        }
        for text in ["", ":", "::1", "70000", "localhost"] {
            assert_eq!(Target::to_listen_on(text), Err(NoTarget(text.to_owned())));
        }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for text in [
            "",
            "localhost",
            "localhost:",
            ":11210",
            "a:b:1",
            "::1:11210",
            "[localhost]:1",
            "h:65536",
            "[::1:5",
            "http://h:1",
        ] {
            assert_eq!(text.parse::<Target>(), Err(NoTarget(text.to_owned())), "{text}");
        }
    }
}
