//! Handshakes over loopback: a certificate made on the spot, and ends that say nothing.

use std::fs;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::HandshakeKind;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::net::{DialError, Leg, Target, Upstream};

const PATIENCE: Duration = Duration::from_secs(60);

/// A server that makes its certificate, and what its clients are to trust.
fn server(names: &[&str]) -> (Acceptor, TempDir) {
    let authority = Authority::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("ca.pem"), authority.pem()).unwrap();
    let auto = AutoCertificate::new(authority, names.iter().map(|&name| name.to_owned()));
    let certificate = Certificate::Auto(Arc::new(auto));
    let options = AcceptorOptions { certificate, client_ca: None, secrets: Secrets::default() };
    (Acceptor::new(options).unwrap(), directory)
}

fn client(trusts: &TempDir, name: Option<&str>) -> Connector {
    let roots = Roots::File(trusts.path().join("ca.pem"));
    let name = name.map(str::to_owned);
    Connector::new(ConnectorOptions { roots, identity: None, name, secrets: Secrets::default() }).unwrap()
}

async fn agree(acceptor: &Acceptor, connector: Connector) -> (Result<Leg, HandshakeError>, Result<Leg, DialError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::from(listener.local_addr().unwrap());
    let upstream = Upstream { target, tls: Some(connector) };
    let accepting = async { acceptor.accept(listener.accept().await.unwrap().0, PATIENCE).await };
    tokio::join!(accepting, upstream.dial(PATIENCE))
}

#[tokio::test]
async fn a_certificate_made_on_the_spot_is_for_loopback_and_the_names_given() {
    let (acceptor, ca) = server(&["proxy.example", "0.0.0.0", "192.0.2.7"]);
    for name in [None, Some("localhost"), Some("::1"), Some("proxy.example"), Some("192.0.2.7")] {
        let (accepted, dialled) = agree(&acceptor, client(&ca, name)).await;
        assert!(accepted.is_ok_and(|leg| leg.is_tls()) && dialled.is_ok_and(|leg| leg.is_tls()), "{name:?}");
    }
    acceptor.reread().unwrap();
    let (accepted, dialled) = agree(&acceptor, client(&ca, None)).await;
    assert!(accepted.is_ok() && dialled.is_ok(), "made anew, it is of the same CA");
    let (accepted, dialled) = agree(&acceptor, client(&ca, Some("0.0.0.0"))).await;
    let told = dialled.unwrap_err().to_string();
    assert!(told.contains("its certificate is not for '0.0.0.0', found "), "{told}");
    assert!(accepted.unwrap_err().to_string().contains("it does not trust the certificate"));
    let (_, dialled) = agree(&acceptor, client(&server(&[]).1, None)).await;
    assert!(dialled.unwrap_err().to_string().contains("of a CA that is not trusted here"));
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for_for_ever() {
    let (acceptor, ca) = server(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::from(listener.local_addr().unwrap());
    let mute = TcpStream::connect((&*target.host, target.port)).await.unwrap();
    let accepted = acceptor.accept(listener.accept().await.unwrap().0, Duration::from_millis(20)).await;
    assert_eq!(accepted.unwrap_err(), HandshakeError::TimedOut(Duration::from_millis(20)));
    drop(mute);
    let upstream = Upstream { target, tls: Some(client(&ca, None)) };
    let dialled = upstream.dial(Duration::from_millis(20)).await;
    assert!(matches!(dialled, Err(DialError::TimedOut { .. })), "{dialled:?}");
}

/// Has the one who dialled hear something: what a server says behind the end of the handshake comes before that.
async fn hear(accepted: Leg, dialled: Leg) {
    let mut from = Sealed::new(*accepted.tls.unwrap());
    from.write(&accepted.stream, &[IoSlice::new(b"x")]).unwrap();
    let (mut to, mut stream) = (Sealed::new(*dialled.tls.unwrap()), dialled.stream);
    let mut heard = BytesMut::new();
    while heard.is_empty() {
        if to.read(&mut stream, &mut heard, 1 << 14).is_err() {
            stream.readable().await.unwrap();
        }
    }
}

#[tokio::test]
async fn who_was_there_comes_again_without_a_new_handshake_until_the_files_are_read_again() {
    let (acceptor, ca) = server(&[]);
    let connector = client(&ca, None);
    let mut kinds = Vec::new();
    for reread in [false, false, true, false] {
        if reread {
            acceptor.reread().unwrap();
        }
        let (accepted, dialled) = agree(&acceptor, connector.clone()).await;
        let (accepted, dialled) = (accepted.unwrap(), dialled.unwrap());
        let kind = |leg: &Leg| leg.tls.as_ref().unwrap().handshake_kind().unwrap();
        assert_eq!(kind(&accepted), kind(&dialled));
        kinds.push(kind(&dialled));
        hear(accepted, dialled).await;
    }
    assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Full, HandshakeKind::Resumed]);
}
