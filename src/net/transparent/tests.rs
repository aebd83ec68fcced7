use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::net::Destination;

/// Needs no rights.
fn redirect() -> Transparent {
    Transparent::new(Mode::Redirect, 0).expect("no rights are needed")
}

async fn accepted(at: &str) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(at).await.expect("a listener");
    let dialler = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
    (dialler, listener.accept().await.expect("accepted").0)
}

#[test]
fn modes_are_read_and_shown() {
    for text in ["redirect", "tproxy"] {
        assert_eq!(text.parse::<Mode>().expect("known").to_string(), text);
    }
    assert_eq!("REDIRECT".parse::<Mode>(), Err(NoMode("REDIRECT".to_owned())));
}

/// Whatever the kernel knows of it, there is nowhere to go, and nobody is dialled.
#[tokio::test]
async fn a_connection_that_nothing_redirected_is_sent_away_with_what_is_missing() {
    for at in ["127.0.0.1:0", "[::1]:0"] {
        let (_dialler, accepted) = accepted(at).await;
        let error = Destination::from(redirect()).way(&accepted).expect_err("nowhere to go");
        assert!(error.to_string().contains("dcproxy rules --transparent redirect"), "{error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
}

#[tokio::test]
async fn own_dials_are_known_as_long_as_they_last() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let to = listener.local_addr().expect("bound");
    let transparent = redirect();
    let meant = Meant { dialler: to, to, accepted_at: to };
    let (stream, dial) = transparent.clone().dial(&meant).await.expect("it listens");
    let pair = (stream.local_addr().expect("connected"), to);
    assert!(transparent.dials().contains(&pair), "a clone knows it too");
    drop(dial);
    assert!(transparent.dials().is_empty());
}

#[tokio::test]
async fn a_refused_dial_is_forgotten_and_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let to = listener.local_addr().expect("bound");
    drop(listener);
    let transparent = redirect();
    let error = transparent.dial(&Meant { dialler: to, to, accepted_at: to }).await.expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(transparent.dials().is_empty());
}

/// With tproxy the address that was dialled is the socket's own; one of this machine is that of the proxy, or of a node
/// whose connection has the same two addresses as the dialler's.
#[tokio::test]
async fn tproxy_dials_no_address_of_its_own_machine() {
    let transparent = Transparent { mode: Mode::Tproxy, mark: 0, dials: Arc::default() };
    let (dialler, accepted) = accepted("127.0.0.1:0").await;
    let error = transparent.meant(&accepted).expect_err("an address of this machine");
    let told = format!(
        "{} dialled {}, an address of this machine: ",
        dialler.local_addr().unwrap(),
        accepted.local_addr().unwrap()
    );
    assert!(error.to_string().starts_with(&told), "{error}");
}

#[test]
fn this_machines_own_addresses_are_known() {
    for (own, at) in [
        (true, "127.0.0.1:1"),
        (true, "127.0.0.77:1"),
        (true, "[::1]:1"),
        (false, "192.0.2.1:1"),
        (false, "[2001:db8::1]:1"),
    ] {
        let at: SocketAddr = at.parse().expect("an address");
        assert_eq!(is_own(at), own, "{at}");
    }
}
