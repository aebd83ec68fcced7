//! Connections that the kernel of Linux brings here though their diallers dialled somebody else.
//!
//! Source of what the kernel does: `Documentation/networking/tproxy.rst` of Linux, and the manual pages ip(7), socket(7)
//! and nft(8).

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use socket2::Socket;
use tokio::net::TcpStream;

use super::sockets::{canonical, stream_socket};

#[cfg_attr(target_os = "linux", path = "transparent/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "transparent/elsewhere.rs")]
mod system;

/// How connections are brought here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Their destination is changed to the proxy's address (nftables `redirect`, iptables REDIRECT): the kernel remembers
    /// what it was. The upstream sees the proxy's address.
    Redirect,
    /// They keep their addresses (nftables `tproxy`, iptables TPROXY), and so does what the proxy dials: each end sees the
    /// other's address.
    Tproxy,
}

/// A mode that there is none of; the text is inside.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected redirect or tproxy, found '{0}'")]
pub struct NoMode(pub String);

impl FromStr for Mode {
    type Err = NoMode;

    fn from_str(text: &str) -> Result<Self, NoMode> {
        match text {
            "redirect" => Ok(Self::Redirect),
            "tproxy" => Ok(Self::Tproxy),
            _ => Err(NoMode(text.to_owned())),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redirect => "redirect",
            Self::Tproxy => "tproxy",
        })
    }
}

/// Finds where connections were meant to go, and dials that. Clones know of each other's dials.
#[derive(Clone, Debug)]
pub struct Transparent {
    mode: Mode,
    mark: u32,
    dials: Arc<Mutex<BTreeSet<Pair>>>,
}

/// From where, and to where.
type Pair = (SocketAddr, SocketAddr);

/// The program may not do what [`Transparent`] needs, or the system cannot.
#[derive(Debug, thiserror::Error)]
pub enum NoRight {
    /// SO_MARK cannot be set.
    #[error(
        "cannot set SO_MARK {mark:#x} on a socket: {error}; it needs CAP_NET_ADMIN: run as root, or once \
         'setcap cap_net_admin+ep {program}', or give --mark 0 where no rule takes this machine's own connections"
    )]
    Mark {
        /// The mark.
        mark: u32,
        /// What the system said.
        error: io::Error,
        /// This program's file.
        program: String,
    },
    /// IP_TRANSPARENT or IPV6_TRANSPARENT cannot be set.
    #[error(
        "cannot set IP_TRANSPARENT on a socket: {error}; --transparent tproxy needs CAP_NET_ADMIN: run as root, or once \
         'setcap cap_net_admin+ep {program}', or use --transparent redirect with --mark 0, which needs no rights"
    )]
    Transparent {
        /// What the system said.
        error: io::Error,
        /// This program's file.
        program: String,
    },
    /// The system is another.
    #[error("--transparent needs Linux: elsewhere point the consumer at the proxy, or use --cluster")]
    NotLinux,
}

impl NoRight {
    fn of(error: io::Error, refused: impl FnOnce(io::Error) -> Self) -> Self {
        if error.kind() == ErrorKind::Unsupported { Self::NotLinux } else { refused(error) }
    }
}

/// A connection came to a transparent proxy that was not meant for anybody behind it.
#[derive(Debug, thiserror::Error)]
pub enum Misdirected {
    /// Its dialler dialled the proxy.
    #[error(
        "{dialler} dialled the proxy itself, at {at}, and so nobody knows where it is to go: dial the node's own address, \
         with the rules that 'dcproxy rules --transparent redirect' prints"
    )]
    Direct {
        /// Who dialled.
        dialler: SocketAddr,
        /// What.
        at: SocketAddr,
    },
    /// The kernel does not know it, or of no other destination.
    #[error(
        "the connection of {dialler} has no original destination ({error}): no rule redirected it; \
         'dcproxy rules --transparent redirect' prints those that do"
    )]
    NotRedirected {
        /// Who dialled.
        dialler: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// It is the proxy's own, brought back by a rule.
    #[error(
        "the proxy's own connection to {to} was redirected back to it: the rules must leave connections with the mark \
         {mark:#x} alone, as those do that 'dcproxy rules --transparent redirect --local' prints"
    )]
    Loop {
        /// Where it was to go.
        to: SocketAddr,
        /// The mark that it has, 0 for none.
        mark: u32,
    },
    /// Its destination is on the proxy's machine, where tproxy cannot tell the two connections apart.
    #[error(
        "{dialler} dialled {to}, an address of this machine: either the proxy itself was dialled, which has nowhere to take \
         it, or the node is on the proxy's machine, and then only --transparent redirect works"
    )]
    OwnMachine {
        /// Who dialled.
        dialler: SocketAddr,
        /// What.
        to: SocketAddr,
    },
    /// The connection was reset before anything could be asked about it.
    #[error("a connection was reset before it was known where it was to go: {0}")]
    Gone(io::Error),
}

/// Where a connection was meant to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Meant {
    pub(super) dialler: SocketAddr,
    pub(super) to: SocketAddr,
    /// An address of the proxy's machine for the dialler's edge. With tproxy the sockets have none, and in a recording
    /// nobody could tell the edges apart.
    pub(super) accepted_at: SocketAddr,
}

/// A connection that was dialled from here: while it lasts, it is known if it comes back.
#[derive(Debug)]
pub(super) struct Dial {
    pair: Pair,
    dials: Arc<Mutex<BTreeSet<Pair>>>,
}

impl Drop for Dial {
    fn drop(&mut self) {
        self.dials.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.pair);
    }
}

impl Transparent {
    /// The mark (SO_MARK) of the proxy's own connections where nobody says: what their packets are known by in the rules.
    pub const MARK: u32 = 0xdcb0;

    /// Marks what it dials with `mark`, if that is not 0.
    ///
    /// # Errors
    /// The program may not, or the system is not Linux.
    pub fn new(mode: Mode, mark: u32) -> Result<Self, NoRight> {
        let new = Self { mode, mark, dials: Arc::default() };
        // Where there is no IPv4, there is IPv6; where there is neither, the listener says so.
        let any =
            [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)].map(|ip| SocketAddr::new(ip, 0));
        let Some((socket, at)) = any.into_iter().find_map(|at| stream_socket(at).ok().zip(Some(at))) else {
            return Ok(new);
        };
        new.set_mark(&socket)?;
        if mode == Mode::Tproxy {
            set_transparent(&socket, at)?;
        }
        Ok(new)
    }

    /// How connections are brought here.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// What a listener has to be, before it is bound.
    pub(super) fn prepare_listener(&self, socket: &Socket, at: SocketAddr) -> io::Result<()> {
        if self.mode == Mode::Tproxy {
            // The connections that it takes have them from it.
            self.set_mark(socket).map_err(io::Error::other)?;
            set_transparent(socket, at).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Where an accepted connection was meant to go.
    pub(super) fn meant(&self, accepted: &TcpStream) -> Result<Meant, Misdirected> {
        let dialler = canonical(accepted.peer_addr().map_err(Misdirected::Gone)?);
        let local = canonical(accepted.local_addr().map_err(Misdirected::Gone)?);
        match self.mode {
            Mode::Redirect => {
                let to = system::original(accepted, local.is_ipv4())
                    .map_err(|error| Misdirected::NotRedirected { dialler, error })?;
                if (to.ip(), to.port()) == (local.ip(), local.port()) {
                    return Err(Misdirected::Direct { dialler, at: to });
                }
                if self.dials().contains(&(dialler, to)) {
                    return Err(Misdirected::Loop { to, mark: self.mark });
                }
                Ok(Meant { dialler, to, accepted_at: local })
            }
            Mode::Tproxy => {
                if is_own(local) {
                    return Err(Misdirected::OwnMachine { dialler, to: local });
                }
                let own = address_towards(dialler).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
                Ok(Meant { dialler, to: local, accepted_at: SocketAddr::new(own, local.port()) })
            }
        }
    }

    /// Connects to where a connection was meant to go.
    pub(super) async fn dial(&self, meant: &Meant) -> io::Result<(TcpStream, Option<Dial>)> {
        let (socket, dial) = match self.mode {
            Mode::Redirect => self.begin_here(meant.to).map(|(socket, dial)| (socket, Some(dial)))?,
            Mode::Tproxy => (self.begin_as_dialler(meant)?, None),
        };
        let stream = TcpStream::from_std(socket.into())?;
        stream.writable().await?;
        match stream.take_error()? {
            Some(error) => Err(error),
            None => Ok((stream, dial)),
        }
    }

    /// Begins to connect from an address of this machine.
    fn begin_here(&self, to: SocketAddr) -> io::Result<(Socket, Dial)> {
        let socket = self.marked_socket(to)?;
        // A connection that comes back is accepted while this goes on, by another thread: it is looked up behind this.
        let mut dials = self.dials();
        begin(&socket, to)?;
        let from = socket.local_addr()?.as_socket().ok_or_else(|| io::Error::from(ErrorKind::AddrNotAvailable))?;
        dials.insert((from, to));
        drop(dials);
        Ok((socket, Dial { pair: (from, to), dials: Arc::clone(&self.dials) }))
    }

    /// Begins to connect from the dialler's address, and from its port too unless that is taken here: by a listener, or by
    /// an earlier connection between the same two addresses that the kernel still remembers.
    fn begin_as_dialler(&self, meant: &Meant) -> io::Result<Socket> {
        match self.begin_from(meant.dialler, meant.to) {
            Err(error) if is_taken(&error) => {
                let (dialler, to) = (meant.dialler, meant.to);
                tracing::info!(
                    "the port of {dialler} is taken here ({error}): {to} sees another port of the same address"
                );
                let mut any_port = dialler;
                any_port.set_port(0);
                self.begin_from(any_port, to)
            }
            begun => begun,
        }
    }

    fn begin_from(&self, from: SocketAddr, to: SocketAddr) -> io::Result<Socket> {
        let socket = self.marked_socket(to)?;
        set_transparent(&socket, to).map_err(io::Error::other)?;
        // Several connections may come from one port of the dialler's, each to another node.
        socket.set_reuse_address(true)?;
        if from.port() == 0 {
            // The port is chosen with the destination known: any that is free between these two.
            system::bind_without_port(&socket);
        }
        socket.bind(&from.into())?;
        begin(&socket, to)?;
        Ok(socket)
    }

    fn marked_socket(&self, to: SocketAddr) -> io::Result<Socket> {
        let socket = stream_socket(to)?;
        self.set_mark(&socket).map_err(io::Error::other)?;
        Ok(socket)
    }

    fn set_mark(&self, socket: &Socket) -> Result<(), NoRight> {
        if self.mark == 0 {
            return system::supported().map_err(|error| NoRight::of(error, |_| NoRight::NotLinux));
        }
        system::set_mark(socket, self.mark).map_err(|error| {
            let told = |error| NoRight::Mark { mark: self.mark, error, program: program() };
            NoRight::of(error, told)
        })
    }

    fn dials(&self) -> std::sync::MutexGuard<'_, BTreeSet<Pair>> {
        self.dials.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set_transparent(socket: &Socket, of: SocketAddr) -> Result<(), NoRight> {
    system::set_transparent(socket, of)
        .map_err(|error| NoRight::of(error, |error| NoRight::Transparent { error, program: program() }))
}

/// Begins to connect a socket that never waits.
fn begin(socket: &Socket, to: SocketAddr) -> io::Result<()> {
    match socket.connect(&to.into()) {
        Err(error) if !system::is_under_way(&error) => Err(error),
        _ => Ok(()),
    }
}

/// The port is somebody's, or not for everybody.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable) || system::is_refused_port(error)
}

/// Whether an address is this machine's.
fn is_own(at: SocketAddr) -> bool {
    at.ip().is_loopback() || address_towards(at) == Some(at.ip())
}

/// The address of this machine that it would dial another from: the other itself where that is this machine's. Nothing is
/// sent.
fn address_towards(other: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if other.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(other).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn program() -> String {
    std::env::current_exe().map_or_else(|_| "dcproxy".to_owned(), |path| path.display().to_string())
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
