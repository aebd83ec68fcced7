use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::cluster::{Directory, Identity, Place, Revision, Service};
use crate::net::{Change, Doors, Target, Upstream};

const FIRST: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4711);

struct Bed {
    doors: ClusterDoors,
    changes: UnboundedReceiver<Change>,
    announced: Arc<AtomicUsize>,
}

fn bed(first: SocketAddr, host: Option<&str>, ports: Option<std::ops::RangeInclusive<u16>>) -> Bed {
    let announced = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&announced);
    let announce = Box::new(move |_, _: &str| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let options = ClusterOptions { ports, host: host.map(str::to_owned), announce };
    let (sender, changes) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Upstream::from(Target { host: "node1".to_owned(), port: 11210 });
    Bed { doors: ClusterDoors::new(options, first, &upstream, None, sender), changes, announced }
}

fn node(host: &str) -> Place {
    Place { host: host.to_owned(), port: 11210 }
}

/// A map of a bucket, which names these nodes.
fn mapped(directory: &mut dyn Directory, bucket: &str, rev: i64, hosts: &[&str]) -> Vec<u16> {
    let ports = hosts.iter().map(|host| directory.port(Service::Kv, &node(host)).expect("a port")).collect();
    let identity = Identity { bucket: Some(bucket.to_owned()), revision: Some(Revision { epoch: 1, rev }) };
    let named: BTreeSet<_> = hosts.iter().map(|host| (Service::Kv, node(host))).collect();
    directory.mapped(&identity, &named);
    ports
}

impl Bed {
    /// The nodes of the doors that were opened, and how many were closed.
    fn changed(&mut self) -> (Vec<String>, usize) {
        let (mut opened, mut closed) = (Vec::new(), 0);
        while let Ok(change) = self.changes.try_recv() {
            match change {
                Change::Open(door) => opened.push(door.route.upstream.to_string()),
                Change::Close(_) => closed += 1,
            }
        }
        (opened, closed)
    }
}

fn names(hosts: &[&str], closed: usize) -> (Vec<String>, usize) {
    (hosts.iter().map(|host| format!("{host}:11210")).collect(), closed)
}

#[tokio::test]
async fn what_one_connection_learns_holds_for_all_and_what_the_newest_maps_do_not_name_is_closed() {
    let mut bed = bed(FIRST, None, None);
    let (mut one, mut two) = (bed.doors.directory(FIRST), bed.doors.directory(FIRST));
    let ports = mapped(&mut *one, "a", 1, &["node1", "node2"]);
    assert_eq!((ports[0], bed.changed()), (4711, names(&["node2"], 0)));
    assert_eq!(mapped(&mut *two, "a", 1, &["node1", "node2"]), ports);
    assert_eq!(bed.changed(), names(&[], 0));

    // A node joins; a bucket that has not heard of that yet does not close it again.
    mapped(&mut *one, "a", 2, &["node1", "node2", "node3"]);
    mapped(&mut *two, "b", 1, &["node1", "node2"]);
    assert_eq!(bed.changed(), names(&["node3"], 0));
    // An older map that comes late does not either, and neither does one that does not say how old it is.
    mapped(&mut *two, "a", 1, &["node1"]);
    two.mapped(&Identity { bucket: None, revision: None }, &BTreeSet::new());
    assert_eq!(bed.changed(), names(&[], 0));

    mapped(&mut *one, "a", 3, &["node2"]);
    assert_eq!(bed.changed(), names(&[], 1));
    assert_eq!(one.port(Service::Kv, &node("node1")), Ok(4711), "the first listener stays");
    mapped(&mut *one, "b", 2, &["node2"]);
    assert_eq!((bed.changed(), bed.announced.load(Ordering::Relaxed)), (names(&[], 0), 2));
}

#[tokio::test]
async fn a_door_is_dialled_as_soon_as_it_is_named() {
    let mut bed = bed(FIRST, None, None);
    let port = bed.doors.directory(FIRST).port(Service::Kv, &node("node2")).expect("a port");
    let at = SocketAddr::new(FIRST.ip(), port);
    let dialled = std::net::TcpStream::connect(at);
    assert!(dialled.is_ok(), "{dialled:?}");
    let Ok(Change::Open(door)) = bed.changes.try_recv() else { panic!("a door") };
    let route = Doors::new(vec![door]).accept().await.1;
    assert_eq!(route.upstream.to_string(), "node2:11210");
    assert_eq!(bed.doors.directory(at).here(), Some(&node("node2")), "whoever came there is there");
}

#[tokio::test]
async fn a_node_by_its_own_name_is_the_dialled_one_but_only_one_is() {
    let mut bed = bed(FIRST, None, None);
    let mut one = bed.doors.directory(FIRST);
    one.also_called(Service::KvTls, &node("other-service"));
    one.also_called(Service::Kv, &node("10.0.0.1"));
    assert_eq!(mapped(&mut *one, "a", 1, &["10.0.0.1"]), [4711]);
    assert_eq!(bed.changed(), names(&[], 0));
    // Behind a name of several nodes, the next connection may be to another: none is known to be there.
    one.also_called(Service::Kv, &node("10.0.0.2"));
    let ports = mapped(&mut *one, "a", 2, &["10.0.0.1", "10.0.0.2"]);
    assert!(ports.iter().all(|&port| port != 4711), "{ports:?}");
    one.also_called(Service::Kv, &node("10.0.0.3"));
    assert_ne!(mapped(&mut *one, "a", 3, &["10.0.0.3"]), [4711]);
}

#[tokio::test]
async fn the_host_is_that_which_the_user_says_or_clients_can_dial() {
    let dialled = SocketAddr::from(([192, 0, 2, 5], 4711));
    let every = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 4711));
    let mapped_v4 = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 5).to_ipv6_mapped(), 4711));
    for (first, host, accepted_at, expected) in [
        (FIRST, None, FIRST, "127.0.0.1"),
        (FIRST, Some("proxy.example"), FIRST, "proxy.example"),
        (SocketAddr::from(([0, 0, 0, 0], 4711)), None, dialled, "192.0.2.5"),
        (every, None, mapped_v4, "192.0.2.5"),
        (every, None, SocketAddr::from((Ipv6Addr::LOCALHOST, 4711)), "::1"),
    ] {
        assert_eq!(bed(first, host, None).doors.directory(accepted_at).host(), expected);
    }
}

#[tokio::test]
async fn without_a_free_port_it_is_told_which_there_were() {
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let bed = bed(FIRST, None, Some(port..=port));
    let why = bed.doors.directory(FIRST).port(Service::Kv, &node("node2")).expect_err("it is taken");
    let said = format!("cannot listen on 127.0.0.1 for node2:11210: no port of {port}-{port} is free (--cluster-ports");
    assert!(why.starts_with(&said), "{why}");
}
