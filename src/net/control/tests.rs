//! Proxies that are made, moved, disabled and ended while they serve, with real sockets.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::net::proxy::{Options, Summary};
use crate::net::{Changes, Crew, Health, Judged, Outfit, Shutdown, Sockets, Stop, serve_fleet};
use crate::scenario::Plan;
use crate::verdict::Judge;

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(20);

/// Remembers who has ended.
#[derive(Default)]
struct Ended(BTreeSet<String>);

impl Crew for Ended {
    type Served = Judged;
    type Whose = ();

    async fn reload(&mut self) -> Result<Changes<Judged, ()>, String> {
        Err("there is no file".to_owned())
    }

    fn admit(&mut self, newcomer: Newcomer) -> Outfit<Judged, ()> {
        let plan = Plan {
            messages: BTreeSet::new(),
            era: None,
            settle: Duration::ZERO,
            fatal_too: false,
            seed: 1,
            scenarios: Vec::new(),
        };
        let mut served = Judged::new(plan, Judge::Producer);
        served.obey(newcomer.steering.controlled().clone());
        let name = newcomer.name().to_owned();
        let Newcomer { doors, steering, .. } = newcomer;
        Outfit { name, doors, options: Options::default(), served, whose: (), steering: Some(steering) }
    }

    fn changed(&mut self) {}

    fn ended(&mut self, name: &str, (): (), _: Judged, _: Summary) {
        self.0.insert(name.to_owned());
    }

    fn lost(&mut self, error: String) {
        panic!("{error}");
    }

    fn stopping(&mut self) {}
}

/// A fleet that waits for newcomers.
struct Fleet {
    registry: Registry,
    shutdown: Shutdown,
    task: JoinHandle<BTreeSet<String>>,
}

impl Fleet {
    fn start() -> Self {
        let (registry, newcomers) = Registry::making(Sockets::default());
        let shutdown = Shutdown::new();
        let told = shutdown.clone();
        let task = tokio::spawn(async move {
            let mut crew = Ended::default();
            let newcomers = Some(newcomers.staying());
            serve_fleet(&mut crew, Vec::new(), &told, None, newcomers, &Health::default()).await;
            crew.0
        });
        Self { registry, shutdown, task }
    }

    async fn create(&self, wanted: Wanted) -> Result<std::sync::Arc<Controlled>, CreateError> {
        in_time(self.registry.create(wanted)).await
    }

    /// Those that have ended when it has.
    async fn stop(self) -> BTreeSet<String> {
        self.shutdown.stop(Stop::Settle);
        in_time(self.task).await.expect("it ends")
    }
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.expect("in time")
}

async fn upstream() -> (TcpListener, Lead) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a listener");
    let at = listener.local_addr().expect("bound");
    (listener, Lead { text: at.to_string(), target: at.into() })
}

async fn any_port() -> Place {
    Place::find("127.0.0.1:0").await.expect("an address")
}

async fn wanted(name: &str, upstream: &Lead) -> Wanted {
    Wanted { name: name.to_owned(), listen: any_port().await, upstream: upstream.clone(), enabled: true }
}

fn at(proxy: &Controlled) -> SocketAddr {
    proxy.standing().listen.addresses[0]
}

/// A connection through the proxy, both its ends, over which a byte has gone.
async fn pair(at: SocketAddr, upstream: &TcpListener) -> (TcpStream, TcpStream) {
    in_time(async {
        let mut near = TcpStream::connect(at).await.expect("let in");
        let (mut far, _) = upstream.accept().await.expect("dialled");
        near.write_all(b"x").await.expect("open");
        far.read_exact(&mut [0]).await.expect("relayed");
        (near, far)
    })
    .await
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    // That it is reset is as well.
    matches!(in_time(stream.read(&mut [0])).await, Ok(0) | Err(_))
}

const fn enabled(enabled: bool) -> Change {
    Change { listen: None, upstream: None, enabled: Some(enabled) }
}

#[tokio::test]
async fn a_proxy_that_is_made_relays_and_once_it_is_ended_there_is_nothing_of_it() {
    let (upstream, lead) = upstream().await;
    let fleet = Fleet::start();
    let proxy = fleet.create(wanted("a", &lead).await).await.expect("made");
    let (mut near, mut far) = pair(at(&proxy), &upstream).await;
    assert!(matches!(fleet.create(wanted("a", &lead).await).await, Err(CreateError::Exists)));
    assert_eq!((fleet.registry.all().len(), proxy.connections().len()), (1, 1));
    assert!(in_time(proxy.end()).await);
    assert!(fleet.registry.get("a").is_none() && proxy.connections().is_empty());
    TcpListener::bind(at(&proxy)).await.expect("the port is free");
    assert!(is_closed(&mut near).await && is_closed(&mut far).await);
    assert!(!in_time(proxy.end()).await, "it was there to be ended once");
    assert!(matches!(in_time(proxy.change(enabled(true))).await, Err(ChangeError::Ended)));
    let again = fleet.create(wanted("a", &lead).await).await.expect("its name is free");
    pair(at(&again), &upstream).await;
    assert_eq!(fleet.stop().await, BTreeSet::from(["a".to_owned()]));
}

#[tokio::test]
async fn a_disabled_proxy_lets_nobody_in_and_drops_who_is_until_it_is_enabled_at_its_old_port() {
    let (upstream, lead) = upstream().await;
    let fleet = Fleet::start();
    let proxy = fleet.create(wanted("a", &lead).await).await.expect("made");
    let (port, (mut near, mut far)) = (at(&proxy), pair(at(&proxy), &upstream).await);
    let standing = in_time(proxy.change(enabled(false))).await.expect("disabled");
    assert!(!standing.enabled && *proxy.standing() == standing && proxy.connections().is_empty());
    assert!(TcpStream::connect(port).await.is_err());
    drop(TcpListener::bind(port).await.expect("the port is free"));
    assert!(is_closed(&mut near).await && is_closed(&mut far).await);
    for _ in 0..2 {
        let standing = in_time(proxy.change(enabled(true))).await.expect("enabled");
        assert!(standing.enabled && at(&proxy) == port);
    }
    pair(port, &upstream).await;
    fleet.stop().await;
}

#[tokio::test]
async fn who_is_in_goes_on_where_nothing_is_moved_and_is_dropped_where_the_upstream_is() {
    let ((old, lead), (new, other)) = (upstream().await, upstream().await);
    let fleet = Fleet::start();
    let proxy = fleet.create(wanted("a", &lead).await).await.expect("made");
    let (port, (mut near, mut far)) = (at(&proxy), pair(at(&proxy), &old).await);
    let same = Change { listen: Some(port.into()), upstream: Some(lead), enabled: Some(true) };
    in_time(proxy.change(same)).await.expect("nothing to do");
    near.write_all(b"y").await.expect("still open");
    in_time(far.read_exact(&mut [0])).await.expect("still relayed");
    let moved = Change { upstream: Some(other.clone()), ..Change::default() };
    let standing = in_time(proxy.change(moved)).await.expect("moved");
    assert_eq!((standing.upstream, at(&proxy)), (other.text, port));
    assert!(is_closed(&mut near).await && is_closed(&mut far).await);
    pair(port, &new).await;
    fleet.stop().await;
}

#[tokio::test]
async fn one_that_is_moved_listens_there_and_nowhere_else_however_often_it_is() {
    let (upstream, lead) = upstream().await;
    let fleet = Fleet::start();
    let proxy = fleet.create(wanted("a", &lead).await).await.expect("made");
    let mut ports = vec![at(&proxy)];
    for enabled in [true, false, true] {
        let moved = Change { listen: Some(any_port().await), enabled: Some(enabled), ..Change::default() };
        in_time(proxy.change(moved)).await.expect("moved");
        ports.push(at(&proxy));
    }
    let here = ports.pop().expect("the last");
    pair(here, &upstream).await;
    for port in ports.into_iter().filter(|port| port.port() != 0) {
        assert!(TcpStream::connect(port).await.is_err(), "{port}");
    }
    fleet.stop().await;
}

#[tokio::test]
async fn where_it_cannot_listen_nothing_is_made_and_what_is_there_lets_nobody_in() {
    let (taken, lead) = upstream().await;
    let fleet = Fleet::start();
    let place = Place::from(taken.local_addr().expect("bound"));
    let nowhere = Wanted { listen: place.clone(), ..wanted("a", &lead).await };
    let error = fleet.create(nowhere).await.expect_err("taken");
    assert_eq!(error.to_string(), format!("listen tcp {}: bind: address already in use", place.text));
    assert!(fleet.registry.all().is_empty());
    let proxy = fleet.create(wanted("a", &lead).await).await.expect("made");
    let old = at(&proxy);
    let moved = Change { listen: Some(place.clone()), ..Change::default() };
    assert!(matches!(in_time(proxy.change(moved)).await, Err(ChangeError::Bind { .. })));
    assert!(!proxy.standing().enabled && proxy.standing().listen == place);
    assert!(TcpStream::connect(old).await.is_err());
    drop(taken);
    assert!(in_time(proxy.change(enabled(true))).await.expect("it is free now").enabled);
    fleet.stop().await;
}

#[tokio::test]
async fn a_fleet_that_stops_ends_all_and_makes_no_more() {
    let (_upstream, lead) = upstream().await;
    let fleet = Fleet::start();
    for name in ["a", "b"] {
        fleet.create(wanted(name, &lead).await).await.expect("made");
    }
    let registry = fleet.registry.clone();
    assert_eq!(fleet.stop().await.len(), 2);
    let late = in_time(registry.create(wanted("c", &lead).await)).await;
    assert!(matches!(late, Err(CreateError::Ended)) && registry.get("c").is_none());
}
