use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::current::Current;
use super::insecure::Anybody;
use super::{HandshakeError, Identity, Secrets, SetUpError, files, provider};
use crate::net::Leg;

/// Who is dialled, and who this end is to them.
#[derive(Clone, Debug)]
pub struct ConnectorOptions {
    /// Who must have signed the certificate of whoever is dialled.
    pub roots: Roots,
    /// The certificate that this end shows where it is asked for one.
    pub identity: Option<Identity>,
    /// The name that is asked for (SNI) and must be in the certificate; that which was dialled if not given.
    pub name: Option<String>,
    /// Where the secrets of the connections go.
    pub secrets: Secrets,
}

/// Whose word is taken for who an upstream is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Roots {
    /// The CAs that the system trusts.
    System,
    /// Those of a PEM file, and no others.
    File(PathBuf),
    /// Nobody's: whoever answers is believed.
    Nobody,
}

/// Agrees on TLS with whom was dialled. Clones share what [`Self::reread`] reads.
#[derive(Clone, Debug)]
pub struct Connector {
    config: Arc<Current<ClientConfig>>,
    name: Option<ServerName<'static>>,
    has_identity: bool,
}

impl Connector {
    /// Reads all that is needed.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it is to be; the name is none.
    pub fn new(options: ConnectorOptions) -> Result<Self, SetUpError> {
        let name = options.name.as_deref().map(server_name).transpose()?;
        let has_identity = options.identity.is_some();
        Ok(Self { config: Current::new(move || options.config())?, name, has_identity })
    }

    /// Reads the files again, for connections from now on.
    ///
    /// # Errors
    /// As for [`Self::new`]; all stays as it was then.
    pub fn reread(&self) -> Result<(), SetUpError> {
        self.config.reread()
    }

    /// Agrees on TLS over a connection to `host`. It waits as long as the other end takes.
    ///
    /// # Errors
    /// The other end does not speak TLS, cannot agree, is not to be trusted or does not trust this end.
    pub async fn connect(&self, stream: TcpStream, host: &str) -> Result<Leg, HandshakeError> {
        let (stream, tls) = self.connect_stream(stream, host).await?.into_inner();
        Ok(Leg::over_tls(stream, tls.into()))
    }

    /// As [`Self::connect`], for those who read and write as on any other stream.
    pub(in crate::net) async fn connect_stream(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => server_name(host).map_err(|error| HandshakeError::Failed(error.to_string()))?,
        };
        let connected = TlsConnector::from(self.config.now()).connect(name, stream).await;
        connected.map_err(|error| HandshakeError::of_upstream(&error, self.has_identity))
    }
}

fn server_name(text: &str) -> Result<ServerName<'static>, SetUpError> {
    ServerName::try_from(text.to_owned()).map_err(|_| SetUpError::NoName(text.to_owned()))
}

impl ConnectorOptions {
    fn config(&self) -> Result<ClientConfig, SetUpError> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(SetUpError::Tls)?;
        let builder = match &self.roots {
            Roots::Nobody => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody::new(provider))),
            Roots::File(path) => builder.with_root_certificates(files::roots(path)?),
            Roots::System => builder.with_root_certificates(system()?),
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.read()?;
                builder.with_client_auth_cert(chain, key).map_err(|error| SetUpError::mismatch(identity, error))?
            }
        };
        config.key_log = self.secrets.key_log();
        Ok(config)
    }
}

fn system() -> Result<RootCertStore, SetUpError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(|| "none".to_owned(), ToString::to_string);
        return Err(SetUpError::NoRoots(why));
    }
    Ok(roots)
}
