use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::descriptors::advice;
use super::{Sockets, Target};

/// Listens as [`Sockets::listen`] does, with nothing out of the ordinary.
///
/// # Errors
/// As there.
pub async fn listen(at: &Target) -> io::Result<TcpListener> {
    Sockets::default().listen(at, None).await
}

/// How long nothing is accepted after an error: for want of descriptors, it would come again at once.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// The next connection. What fails for one caller (it has hung up already) or for want of descriptors is logged and
/// tried again.
pub(crate) async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                Sockets::default().apply(&stream);
                return stream;
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}{}", advice(&error));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
