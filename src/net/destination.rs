use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use super::sockets::canonical;
use super::tls::Connector;
use super::transparent::{Dial, Meant, Misdirected};
use super::{DialError, Leg, Target, Transparent, Upstream};

/// Where the connections of a listener go.
#[derive(Clone, Debug)]
pub enum Destination {
    /// All of them to one place.
    Fixed(Upstream),
    /// Each to where its dialler meant it to go.
    Original {
        /// Finds out where that is.
        by: Transparent,
        /// Agrees on TLS there, if that is spoken.
        tls: Option<Connector>,
    },
}

/// Where one connection goes.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) upstream: Upstream,
    /// Where the dialler's connection ends, as it is to be told.
    pub(super) accepted_at: SocketAddr,
    meant: Option<(Transparent, Meant)>,
}

impl Destination {
    /// What finds where connections go, if they are not all for one place.
    pub const fn transparent(&self) -> Option<&Transparent> {
        match self {
            Self::Fixed(_) => None,
            Self::Original { by, .. } => Some(by),
        }
    }

    /// The same, where this is what agrees on TLS with whoever is dialled.
    #[must_use]
    pub fn speaking(mut self, with: Option<Connector>) -> Self {
        match &mut self {
            Self::Fixed(Upstream { tls, .. }) | Self::Original { tls, .. } => *tls = with,
        }
        self
    }

    /// What agrees on TLS with whoever is dialled, if that is spoken.
    pub const fn tls(&self) -> Option<&Connector> {
        match self {
            Self::Fixed(Upstream { tls, .. }) | Self::Original { tls, .. } => tls.as_ref(),
        }
    }

    /// Where an accepted connection goes.
    pub(super) fn way(&self, accepted: &TcpStream) -> Result<Way, Misdirected> {
        match self {
            Self::Fixed(upstream) => {
                let accepted_at = canonical(accepted.local_addr().map_err(Misdirected::Gone)?);
                Ok(Way { upstream: upstream.clone(), accepted_at, meant: None })
            }
            Self::Original { by, tls } => {
                let meant = by.meant(accepted)?;
                let upstream = Upstream { target: meant.to.into(), tls: tls.clone() };
                Ok(Way { upstream, accepted_at: meant.accepted_at, meant: Some((by.clone(), meant)) })
            }
        }
    }
}

impl Way {
    /// Connects, and agrees on TLS if that is spoken there, all within `limit`. What comes with the leg is to be kept as long
    /// as it lasts.
    pub(super) async fn dial(&self, limit: Duration) -> Result<(Leg, Option<Dial>), DialError> {
        let Some((transparent, meant)) = &self.meant else { return Ok((self.upstream.dial(limit).await?, None)) };
        let refused = |error: io::Error| DialError::Refused { target: self.upstream.target.clone(), error };
        let mut kept = None;
        let connected = async {
            let (stream, dial) = transparent.dial(meant).await.map_err(refused)?;
            kept = dial;
            Ok(stream)
        };
        let leg = self.upstream.dial_by(connected, limit).await?;
        Ok((leg, kept))
    }
}

impl From<Upstream> for Destination {
    fn from(upstream: Upstream) -> Self {
        Self::Fixed(upstream)
    }
}

impl From<Transparent> for Destination {
    fn from(by: Transparent) -> Self {
        Self::Original { by, tls: None }
    }
}

impl From<Target> for Destination {
    fn from(target: Target) -> Self {
        Self::Fixed(target.into())
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(upstream) => upstream.fmt(f),
            Self::Original { by, .. } => write!(f, "what the diallers dial ({})", by.mode()),
        }
    }
}
