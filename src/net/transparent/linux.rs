use std::io;
use std::net::SocketAddr;

use nix::errno::Errno;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use socket2::SockRef;
use socket2::Socket;
use tokio::net::TcpStream;

pub(super) const fn supported() -> io::Result<()> {
    Ok(())
}

pub(super) fn set_mark(socket: &Socket, mark: u32) -> io::Result<()> {
    socket.set_mark(mark)
}

pub(super) fn set_transparent(socket: &Socket, of: SocketAddr) -> io::Result<()> {
    if of.is_ipv4() { socket.set_ip_transparent_v4(true) } else { socket.set_ip_transparent_v6(true) }
}

/// What the destination of a connection was before a rule changed it (SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST).
pub(super) fn original(accepted: &TcpStream, is_ipv4: bool) -> io::Result<SocketAddr> {
    let socket = SockRef::from(accepted);
    let original = if is_ipv4 { socket.original_dst_v4() } else { socket.original_dst_v6() };
    original?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

pub(super) fn bind_without_port(socket: &Socket) {
    if let Err(error) = setsockopt(socket, IpBindAddressNoPort, &true) {
        tracing::debug!(%error, "IP_BIND_ADDRESS_NO_PORT not set");
    }
}

pub(super) fn is_under_way(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EINPROGRESS as i32)
}

/// A port below 1024, for a program that may not use one.
pub(super) fn is_refused_port(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EACCES as i32)
}
