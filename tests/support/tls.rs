//! Loopback pairs behind a proxy with TLS on either edge.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use dcproxy::net::proxy::Options;
use dcproxy::net::tls::{
    Acceptor, AcceptorOptions, Certificate, Connector, ConnectorOptions, Identity, Roots, Secrets,
};
use dcproxy::net::{Core, Route, Target, Upstream};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::Proxy;
use super::certificates::{Ca, Files};

/// An end of the test's own: plain, or TLS as a public library speaks it.
pub enum End {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl End {
    /// Sends a RST.
    pub fn reset(self) {
        match &self {
            Self::Plain(stream) => stream.set_zero_linger(),
            Self::Tls(stream) => stream.get_ref().0.set_zero_linger(),
        }
        .expect("set");
    }
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, to),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, to),
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// Which edges of a proxy have TLS: the dialler's, the upstream's.
pub type Edges = (bool, bool);

/// All that have any.
pub const SEALED: [Edges; 3] = [(true, false), (false, true), (true, true)];

/// A proxy with TLS on some edges, and the test's own ends of it.
pub struct Sealed {
    pub proxy: Proxy,
    pub edges: Edges,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Sealed {
    pub async fn start<C: Core>(
        edges: Edges,
        version: &'static SupportedProtocolVersion,
        change: impl FnOnce(&mut Options),
        make: impl FnMut(u64) -> C + Send + 'static,
    ) -> Self {
        let ca = Ca::new();
        let files = ca.signs(&["localhost", "127.0.0.1"]);
        let (tls, connector) = (edges.0.then(|| acceptor(&files)), edges.1.then(|| connector(&ca)));
        let route = |target: Target| Route { upstream: Upstream { target, tls: connector }.into(), tls };
        let proxy = Proxy::start_routed(route, change, make, None).await;
        Self { proxy, edges, client: client(&ca, version), server: server(&files, version) }
    }

    /// Both ends of a connection through the proxy: the dialler's and the upstream's.
    pub async fn pair(&self) -> (End, End) {
        let dialling = async {
            let stream = TcpStream::connect(self.proxy.address).await.expect("connected");
            if !self.edges.0 {
                return End::Plain(stream);
            }
            let name = ServerName::try_from("localhost").expect("a name");
            let tls = TlsConnector::from(Arc::clone(&self.client)).connect(name, stream).await;
            End::Tls(Box::new(tls.expect("agreed").into()))
        };
        let accepting = async {
            let stream = self.proxy.upstream.accept().await.expect("accepted").0;
            if !self.edges.1 {
                return End::Plain(stream);
            }
            let tls = TlsAcceptor::from(Arc::clone(&self.server)).accept(stream).await;
            End::Tls(Box::new(tls.expect("agreed").into()))
        };
        tokio::join!(dialling, accepting)
    }

    /// What the test's own client trusts.
    pub fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.client)
    }
}

pub fn identity(files: &Files) -> Identity {
    Identity { certificate: files.certificate.clone(), key: files.key.clone() }
}

fn acceptor(files: &Files) -> Acceptor {
    let certificate = Certificate::Files(identity(files));
    Acceptor::new(AcceptorOptions { certificate, client_ca: None, secrets: Secrets::default() }).expect("usable")
}

fn connector(ca: &Ca) -> Connector {
    let options =
        ConnectorOptions { roots: Roots::File(ca.file()), identity: None, name: None, secrets: Secrets::default() };
    Connector::new(options).expect("usable")
}

fn client(ca: &Ca, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca.file()).expect("a certificate")).expect("a CA");
    let builder = ClientConfig::builder_with_protocol_versions(&[version]);
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

fn server(files: &Files, version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
    let chain = vec![CertificateDer::from_pem_file(&files.certificate).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(&files.key).expect("a key");
    let builder = ServerConfig::builder_with_protocol_versions(&[version]).with_no_client_auth();
    Arc::new(builder.with_single_cert(chain, key).expect("they fit"))
}
