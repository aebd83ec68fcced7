use std::time::Duration;

use super::{Service, pair, relays};
use crate::support::{Proxy, loopback, relay, run};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long nothing may happen for it to count as not happening.
const A_WHILE: Duration = Duration::from_millis(200);

#[test]
fn with_as_many_connections_as_may_be_the_next_waits_until_one_ends() {
    run(async {
        let proxy = Proxy::start(|options| options.max_connections = Some(1), relay).await;
        let first = proxy.pair().await;
        let second = TcpStream::connect(proxy.address).await.expect("the kernel lets it wait");
        assert!(timeout(A_WHILE, proxy.upstream.accept()).await.is_err());
        drop(first);
        let upstream = proxy.upstream.accept().await.expect("dialled").0;
        assert!(relays(&mut (second, upstream)).await);
        // The second is over as well, and so is not counted.
        assert!(relays(&mut proxy.pair().await).await);
    });
}

#[test]
fn that_there_is_no_room_is_said_once_until_there_is() {
    run(async {
        let upstream = loopback().await;
        let target = upstream.local_addr().expect("bound").to_string();
        let args = ["--listen", "0", "--upstream", &target, "--max-connections", "1"];
        let mut service = Service::start(&args, &[("RUST_LOG", "info")], 1);
        let first = pair(service.at(""), &upstream).await;
        let line = service.line_with("the most that may be");
        assert!(line.contains("1 connections are open"), "{line}");
        let waiting = TcpStream::connect(service.at("")).await.expect("it waits");
        drop(first);
        service.line_with("accepted again");
        drop((upstream.accept().await.expect("dialled"), waiting));
        service.line_with("the most that may be");
        service.signal("TERM");
        assert_eq!(service.end().0, Some(0));
    });
}

#[test]
fn more_connections_than_there_are_descriptors_are_told_of_at_start() {
    let args = ["--listen", "0", "--upstream", "localhost:1", "--max-connections", "9000000000"];
    let service = Service::start(&args, &[], 1);
    service.signal("TERM");
    let (code, rest) = service.end();
    assert_eq!(code, Some(0));
    assert!(rest.contains("9000000000 connections (--max-connections) need about 18000000064"), "{rest}");
}
