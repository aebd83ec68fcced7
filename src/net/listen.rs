use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::Target;

/// Listens on an address; port 0 is any free one. Nothing listens beyond loopback unless the address says so.
pub async fn listen(at: &Target) -> io::Result<TcpListener> {
    TcpListener::bind((at.host.as_str(), at.port))
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {at}: {error}")))
}

/// How long nothing is accepted after an error: for want of descriptors, it would come again at once.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// The next connection. What fails for one caller (it has hung up already) or for want of descriptors is logged and
/// tried again.
pub(super) async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
