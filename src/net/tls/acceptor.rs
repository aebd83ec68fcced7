use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::current::Current;
use super::{AutoCertificate, HandshakeError, Identity, Secrets, SetUpError, files, provider};
use crate::net::Leg;
use crate::net::hint::foreign;

/// Who this end is to those who dial it, and whom it lets in.
#[derive(Clone, Debug)]
pub struct AcceptorOptions {
    /// The certificate that it shows.
    pub certificate: Certificate,
    /// The CAs, in a PEM file, one of which must have signed the dialler's certificate; without it none is asked for.
    pub client_ca: Option<PathBuf>,
    /// Where the secrets of its connections go.
    pub secrets: Secrets,
}

/// Where a certificate comes from.
#[derive(Clone, Debug)]
pub enum Certificate {
    /// Files, read again when that is asked for.
    Files(Identity),
    /// It is made here.
    Auto(Arc<AutoCertificate>),
}

/// Agrees on TLS with whoever dialled. Clones share what [`Self::reread`] reads.
#[derive(Clone, Debug)]
pub struct Acceptor {
    config: Arc<Current<ServerConfig>>,
}

impl Acceptor {
    /// Reads, or makes, all that is needed.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it is to be.
    pub fn new(options: AcceptorOptions) -> Result<Self, SetUpError> {
        Ok(Self { config: Current::new(move || options.config())? })
    }

    /// Reads the files again, for connections from now on; a certificate that is made here is made anew, by the same CA.
    ///
    /// # Errors
    /// As for [`Self::new`]; all stays as it was then.
    pub fn reread(&self) -> Result<(), SetUpError> {
        self.config.reread()
    }

    /// Agrees on TLS with whoever dialled, within `limit`.
    ///
    /// # Errors
    /// The other end does not speak TLS, cannot agree, does not trust this end or is not trusted.
    pub async fn accept(&self, stream: TcpStream, limit: Duration) -> Result<Leg, HandshakeError> {
        let (stream, tls) = self.accept_stream(stream, limit).await?.into_inner();
        Ok(Leg::over_tls(stream, tls.into()))
    }

    /// As [`Self::accept`], for those who read and write as on any other stream.
    pub(in crate::net) async fn accept_stream(
        &self,
        stream: TcpStream,
        limit: Duration,
    ) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let accepting = async {
            let mut first = [0; 8];
            match stream.peek(&mut first).await {
                Ok(0) => return Err(HandshakeError::Silent),
                Ok(_) if first[0] != HANDSHAKE => {
                    turn_away(&stream);
                    return Err(HandshakeError::Plain(spoken(&first)));
                }
                Ok(_) | Err(_) => {}
            }
            let accepted = TlsAcceptor::from(self.config.now()).accept(stream).await;
            accepted.map_err(|error| HandshakeError::of_client(&error))
        };
        timeout(limit, accepting).await.unwrap_or(Err(HandshakeError::TimedOut(limit)))
    }
}

/// The first byte of a record of the handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 0x16;

/// Says, as servers of TLS do, that this is a TLS port: whoever dialled it can tell by that.
fn turn_away(stream: &TcpStream) {
    // RFC 8446 §6: an alert, fatal, protocol_version.
    const ALERT: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 70];
    // What is not read makes the system send a RST, which overtakes the alert.
    let _ = stream.try_read(&mut [0; 16 * 1024]);
    let _ = stream.try_write(&ALERT);
}

/// What comes where TLS should.
fn spoken(first: &[u8]) -> String {
    match (first[0], foreign(first)) {
        (0x80 | 0x08, _) => "memcached's protocol without TLS".to_owned(),
        (_, Some(what)) => what.to_owned(),
        (byte, None) => format!("something that begins with {byte:#04x}"),
    }
}

impl AcceptorOptions {
    fn config(&self) -> Result<ServerConfig, SetUpError> {
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(SetUpError::Tls)?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(files::roots(path)?);
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots, provider).build().map_err(|error| {
                        let found = error.to_string();
                        SetUpError::Unusable { path: path.clone(), expected: "certificates of CAs", found }
                    })?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let (chain, key) = match &self.certificate {
            Certificate::Files(identity) => identity.read()?,
            Certificate::Auto(auto) => auto.make()?,
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| match &self.certificate {
            Certificate::Files(identity) => SetUpError::mismatch(identity, error),
            Certificate::Auto(_) => SetUpError::Tls(error),
        })?;
        config.key_log = self.secrets.key_log();
        // Whoever was here comes in again without the proof of a certificate, as long as the files are not read again.
        config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(SetUpError::Tls)?;
        Ok(config)
    }
}

/// Whether an address says where it can be dialled.
pub(super) fn is_somewhere(host: &str) -> bool {
    !host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
}
