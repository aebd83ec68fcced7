use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, lookup_host};

use super::{Target, Transparent};

/// What the sockets of a proxy are like, those of both its edges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sockets {
    /// TCP_NODELAY: nothing that was handed over waits for more.
    pub no_delay: bool,
    /// SO_KEEPALIVE: how long a connection may be silent until the system asks whether the other end is still there.
    /// Where nothing answers, it is given up after as long again.
    pub keepalive: Option<Duration>,
    /// SO_REUSEPORT: several programs may listen on one address, and share what comes.
    pub reuse_port: bool,
}

/// How often the system asks before it gives an end up.
const KEEPALIVE_ASKED: u32 = 6;
/// The connections that may wait to be accepted, where the system (`net.core.somaxconn`) allows as many.
const BACKLOG: i32 = 4096;

impl Default for Sockets {
    fn default() -> Self {
        Self { no_delay: true, keepalive: None, reuse_port: false }
    }
}

impl Sockets {
    /// Listens on an address; port 0 is any free one. Nothing listens beyond loopback unless the address says so. `[::]`
    /// takes IPv4 too, whatever the system's `bindv6only` says. Where `transparent` needs it, the listener takes
    /// connections that were meant for other addresses.
    ///
    /// # Errors
    /// None of the name's addresses can be listened on, or the program may not set a socket option; it says which.
    pub async fn listen(&self, at: &Target, transparent: Option<&Transparent>) -> io::Result<TcpListener> {
        let told = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {at}: {error}"));
        let addresses = lookup_host((at.host.as_str(), at.port)).await.map_err(told)?;
        self.listen_on_one_of(addresses, transparent).map_err(told)
    }

    /// The same, on the first of these that can be listened on.
    pub(super) fn listen_on_one_of(
        &self,
        addresses: impl IntoIterator<Item = SocketAddr>,
        transparent: Option<&Transparent>,
    ) -> io::Result<TcpListener> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match self.listener(address, transparent) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn listener(&self, at: SocketAddr, transparent: Option<&Transparent>) -> io::Result<TcpListener> {
        let socket = stream_socket(at)?;
        // On Windows it would let another program take the port over.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        if at.is_ipv6() && at.ip().is_unspecified() {
            // Where a system has no such sockets, it listens on IPv6 alone.
            let _ = socket.set_only_v6(false);
        }
        if self.reuse_port {
            reuse_port(&socket)?;
        }
        if let Some(transparent) = transparent {
            transparent.prepare_listener(&socket, at)?;
        }
        socket.bind(&at.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    }

    /// Sets up a connected socket. What the system refuses is no reason to do without the connection.
    pub(super) fn apply(&self, stream: &TcpStream) {
        if let Err(error) = stream.set_nodelay(self.no_delay) {
            tracing::debug!(%error, "TCP_NODELAY not set");
        }
        let Some(idle) = self.keepalive else { return };
        let between = (idle / KEEPALIVE_ASKED).max(Duration::from_secs(1));
        let keepalive = TcpKeepalive::new().with_time(idle).with_interval(between);
        #[cfg(unix)]
        let keepalive = keepalive.with_retries(KEEPALIVE_ASKED);
        if let Err(error) = SockRef::from(stream).set_tcp_keepalive(&keepalive) {
            tracing::debug!(%error, "SO_KEEPALIVE not set");
        }
    }
}

/// A socket of the address's family that never waits.
pub(super) fn stream_socket(of: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(of), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The address itself where it is an IPv4 one that a socket of IPv6 shows as `::ffff:1.2.3.4`.
pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, addr.port()),
        // As it is, with its scope.
        IpAddr::V6(_) => addr,
    }
}

#[cfg(unix)]
fn reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true).map_err(|error| io::Error::new(error.kind(), format!("--reuse-port: {error}")))
}

#[cfg(not(unix))]
fn reuse_port(_: &Socket) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "--reuse-port: this system has no SO_REUSEPORT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn listen(sockets: Sockets, at: &str) -> io::Result<TcpListener> {
        sockets.listen(&at.parse().expect("a target"), None).await
    }

    #[tokio::test]
    async fn connected_sockets_are_as_they_are_asked_to_be() {
        let listener = listen(Sockets::default(), "127.0.0.1:0").await.expect("a listener");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
        let asked = Sockets { no_delay: true, keepalive: Some(Duration::from_secs(42)), reuse_port: false };
        asked.apply(&stream);
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().expect("told") && socket.keepalive().expect("told"));
        assert_eq!(socket.tcp_keepalive_time().expect("told"), Duration::from_secs(42));
        assert_eq!(socket.tcp_keepalive_interval().expect("told"), Duration::from_secs(7));
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
        Sockets { no_delay: false, keepalive: None, reuse_port: false }.apply(&stream);
        let socket = SockRef::from(&stream);
        assert!(!socket.tcp_nodelay().expect("told") && !socket.keepalive().expect("told"));
    }

    #[tokio::test]
    async fn two_programs_share_a_port_only_if_both_say_so() {
        let sharing = Sockets { reuse_port: true, ..Sockets::default() };
        let one = listen(sharing, "127.0.0.1:0").await.expect("a listener");
        let at = one.local_addr().expect("bound").to_string();
        listen(sharing, &at).await.expect("another");
        let error = listen(Sockets::default(), &at).await.expect_err("taken");
        assert!(error.to_string().starts_with(&format!("cannot listen on {at}: ")), "{error}");
    }

    #[tokio::test]
    async fn all_of_ipv6_is_all_of_ipv4_too_and_its_addresses_are_shown_as_such() {
        let listener = listen(Sockets::default(), "[::]:0").await.expect("a listener");
        let port = listener.local_addr().expect("bound").port();
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("IPv4 is taken");
        let (_, from) = listener.accept().await.expect("accepted");
        assert!(from.is_ipv6());
        assert_eq!(canonical(from), stream.local_addr().expect("bound"));
        let six: SocketAddr = "[fe80::1%3]:7".parse().expect("an address");
        assert_eq!(canonical(six), six);
    }
}
