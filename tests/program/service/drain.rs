use std::time::Duration;

use super::{Service, pair, relays};
use crate::support::{PATIENCE, Proxy, loopback, relay, run, within};
use dcproxy::net::{Ending, Stop};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

#[test]
fn connections_go_on_while_it_drains_and_nobody_is_let_in() {
    run(async {
        let mut proxy = Proxy::start(|options| options.drain = PATIENCE, relay).await;
        let mut through = proxy.pair().await;
        assert!(relays(&mut through).await);
        proxy.shutdown.stop(Stop::Settle);
        // Whoever was let in before it has heard of that leads nowhere.
        drop(proxy.upstream);
        while TcpStream::connect(proxy.address).await.is_ok() {}
        assert!(relays(&mut through).await);
        drop(through);
        assert_eq!(proxy.endings.recv().await, Some(Ending::Closed));
        proxy.summary.await.expect("served");
    });
}

#[test]
fn what_has_not_ended_when_the_time_is_over_is_stopped() {
    run(async {
        let mut proxy = Proxy::start(|options| options.drain = Duration::from_millis(300), relay).await;
        let mut through = proxy.pair().await;
        assert!(relays(&mut through).await);
        proxy.shutdown.stop(Stop::Settle);
        assert_eq!(within(PATIENCE, through.0.read(&mut [0])).await.expect("closed"), 0);
        assert_eq!(proxy.endings.recv().await, Some(Ending::Stopped));
    });
}

/// One that is taken out of service only lets go of its listener; its connections have all the time that they want.
#[test]
fn one_that_is_taken_out_of_service_waits_for_its_connections_however_long() {
    run(async {
        let mut proxy = Proxy::start(|options| options.drain = Duration::from_millis(1), relay).await;
        let mut through = proxy.pair().await;
        assert!(relays(&mut through).await);
        proxy.shutdown.stop(Stop::Drain);
        drop(proxy.upstream);
        while TcpStream::connect(proxy.address).await.is_ok() {}
        assert!(relays(&mut through).await);
        proxy.shutdown.stop(Stop::Settle);
        assert_eq!(proxy.endings.recv().await, Some(Ending::Stopped));
    });
}

#[test]
fn a_second_signal_ends_a_drain_at_once() {
    run(async {
        let upstream = loopback().await;
        let target = upstream.local_addr().expect("bound").to_string();
        let args = ["--listen", "0", "--upstream", &target, "--drain", "1h"];
        let mut service = Service::start(&args, &[("RUST_LOG", "info")], 1);
        let mut through = pair(service.at(""), &upstream).await;
        service.signal("TERM");
        service.line_with("draining");
        assert!(relays(&mut through).await);
        service.signal("TERM");
        assert_eq!(within(PATIENCE, through.0.read(&mut [0])).await.expect("closed"), 0);
        assert_eq!(service.end().0, Some(0));
    });
}
