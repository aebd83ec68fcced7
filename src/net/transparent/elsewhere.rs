use std::io;
use std::net::SocketAddr;

use socket2::Socket;
use tokio::net::TcpStream;

pub(super) fn supported() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn set_mark(_: &Socket, _: u32) -> io::Result<()> {
    supported()
}

pub(super) fn set_transparent(_: &Socket, _: SocketAddr) -> io::Result<()> {
    supported()
}

pub(super) fn original(_: &TcpStream, _: bool) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn bind_without_port(_: &Socket) {}

pub(super) fn is_under_way(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

pub(super) fn is_refused_port(_: &io::Error) -> bool {
    false
}
