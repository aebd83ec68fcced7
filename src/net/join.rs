use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use super::sockets::canonical;
use super::tls::HandshakeError;
use super::transparent::Dial;
use super::{DialError, Leg, Route, Sockets, Target};
use crate::capture::write::Ends;

/// An accepted connection and the one that was dialled for it.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) dialler: Leg,
    pub(super) upstream: Leg,
    pub(super) target: Target,
    /// To be kept as long as the upstream's leg.
    pub(super) dial: Option<Dial>,
    accepted_at: SocketAddr,
}

#[derive(Debug)]
pub(super) enum NotJoined {
    /// The dialler does not speak TLS as it should.
    Dialler(HandshakeError),
    Upstream(DialError),
}

/// Finds where a connection goes, agrees on TLS with its dialler, if that is to be, and dials the upstream. Whoever does not
/// agree is no reason to dial.
pub(super) async fn join(
    stream: TcpStream,
    route: &Route,
    sockets: Sockets,
    limit: Duration,
) -> Result<Joined, NotJoined> {
    sockets.apply(&stream);
    let way = route.upstream.way(&stream).map_err(|error| NotJoined::Upstream(error.into()))?;
    let dialler = match &route.tls {
        None => stream.into(),
        Some(tls) => tls.accept(stream, limit).await.map_err(NotJoined::Dialler)?,
    };
    match way.dial(limit).await {
        Ok((upstream, dial)) => {
            sockets.apply(&upstream.stream);
            let (target, accepted_at) = (way.upstream.target, way.accepted_at);
            Ok(Joined { dialler, upstream, target, dial, accepted_at })
        }
        Err(error) => {
            dialler.close();
            Err(NotJoined::Upstream(error))
        }
    }
}

impl Joined {
    /// The addresses of both, if neither has been reset since.
    pub(super) fn ends(&self) -> io::Result<Ends> {
        Ok(Ends { accepted_at: self.accepted_at, ..ends(&self.dialler, &self.upstream)? })
    }
}

/// All addresses of a connection.
pub(super) fn ends(dialler: &Leg, upstream: &Leg) -> io::Result<Ends> {
    Ok(Ends {
        dialler: canonical(dialler.peer_addr()?),
        accepted_at: canonical(dialler.local_addr()?),
        dialled_from: canonical(upstream.local_addr()?),
        upstream: canonical(upstream.peer_addr()?),
    })
}
