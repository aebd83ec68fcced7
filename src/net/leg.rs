use std::io;
use std::net::SocketAddr;

use rustls::Connection;
use tokio::net::TcpStream;

use super::tls::{common_name, farewell};

/// A connected socket, and the TLS that was agreed on over it, if any was.
#[derive(Debug)]
pub struct Leg {
    pub(super) stream: TcpStream,
    pub(super) tls: Option<Box<Connection>>,
}

impl Leg {
    pub(super) fn over_tls(stream: TcpStream, tls: Connection) -> Self {
        Self { stream, tls: Some(Box::new(tls)) }
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// It has reset the connection.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// The other end has reset the connection.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Whether there is TLS on it.
    pub const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The common name in the certificate that the other end has proved to have, if it has.
    pub fn peer_name(&self) -> Option<String> {
        common_name(self.tls.as_ref()?.peer_certificates()?.first()?)
    }

    /// Closes it before anything was said, as politely as can be done at once.
    pub(super) fn close(mut self) {
        if let Some(tls) = &mut self.tls {
            farewell(tls, &self.stream);
        }
    }
}

impl From<TcpStream> for Leg {
    fn from(stream: TcpStream) -> Self {
        Self { stream, tls: None }
    }
}
