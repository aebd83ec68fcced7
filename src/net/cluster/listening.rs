use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use tokio::net::TcpListener;

/// The addresses of one host where more listeners may be made.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pub(super) ip: IpAddr,
    /// Any free port where there is no range.
    pub(super) ports: Option<RangeInclusive<u16>>,
}

impl Room {
    /// Another listener, at once: whoever learns of it may dial, also before it is served.
    pub(super) fn listen(&self) -> io::Result<TcpListener> {
        let bound = match &self.ports {
            None => std::net::TcpListener::bind((self.ip, 0)),
            Some(ports) => self.first_free(ports.clone()),
        };
        let listener = bound?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    }

    fn first_free(&self, ports: RangeInclusive<u16>) -> io::Result<std::net::TcpListener> {
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, "there is no port in it");
        for port in ports {
            match std::net::TcpListener::bind(SocketAddr::new(self.ip, port)) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}
