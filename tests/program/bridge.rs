//! Two embedded nodes that are bridged end with equal data, whatever happens to the connections meanwhile.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dcproxy::bridge;
use dcproxy::bridge::Progress;
use dcproxy::era::Era;
use dcproxy::net;
use dcproxy::net::BridgeRun;
use dcproxy::net::Judged;
use dcproxy::net::Shutdown;
use dcproxy::net::Stop;
use dcproxy::net::Target;
use dcproxy::net::proxy::Options;
use dcproxy::net::proxy::Summary;
use dcproxy::node;
use dcproxy::node::Node;
use dcproxy::node::consumer::ClientConfig;
use dcproxy::node::consumer::End;
use dcproxy::node::consumer::Ledger;
use dcproxy::scenario::MESSAGES;
use dcproxy::scenario::Plan;
use dcproxy::verdict::Judge;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

const VBUCKETS: u16 = 4;
const LIMIT: Duration = Duration::from_secs(60);

fn config(era: Era, seed: u64, items: u64) -> node::Config {
    node::Config { era, seed, vbuckets: VBUCKETS, items, interval: None, ..node::Config::default() }
}

async fn listener() -> (TcpListener, Target) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a listener");
    let at = listener.local_addr().expect("an address").into();
    (listener, at)
}

async fn serve(config: node::Config, shutdown: &Shutdown) -> Target {
    let (listener, at) = listener().await;
    let shutdown = shutdown.clone();
    tokio::spawn(async move { net::serve_node([listener], Node::new(config), &shutdown).await });
    at
}

/// Stands before a node and cuts each of its first connections off once so many bytes of it have passed.
async fn cut(node: Target, after: &'static [usize]) -> (Target, Arc<AtomicUsize>) {
    let (listener, at) = listener().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (mut here, _) = listener.accept().await.expect("a connection");
            let left = after.get(count.fetch_add(1, Ordering::SeqCst)).copied();
            let mut there = TcpStream::connect((node.host.as_str(), node.port)).await.expect("the node");
            tokio::spawn(async move {
                let Some(mut left) = left else {
                    return drop(tokio::io::copy_bidirectional(&mut here, &mut there).await);
                };
                let (mut asked, mut said) = ([0; 4096], [0; 4096]);
                while left > 0 {
                    tokio::select! {
                        len = here.read(&mut asked) => match len {
                            Ok(len) if len > 0 => there.write_all(&asked[..len]).await.expect("the node reads"),
                            _ => return,
                        },
                        len = there.read(&mut said) => match len {
                            Ok(len) if len > 0 => {
                                here.write_all(&said[..len.min(left)]).await.expect("the bridge reads");
                                left -= len.min(left);
                            }
                            _ => return,
                        },
                    }
                }
            });
        }
    });
    (at, connections)
}

/// All that a node holds, as a client sees it.
async fn streamed(from: &Target, of: &node::Config) -> Ledger {
    let config = ClientConfig {
        login: Some((of.user.clone(), of.password.clone()).into()),
        end: End::ToLatest,
        // The consumer of 6.0 does not ask for them: it has got deletions.
        expirations: of.era > Era::V6_0,
        ..ClientConfig::new(of.era, 0..VBUCKETS)
    };
    let client = net::consume_for(Some(LIMIT), from, LIMIT, config, &Shutdown::new()).await.expect("it is there");
    assert_eq!(client.violations(), [], "it streams as a producer does");
    client.into_ledger()
}

async fn bridged(producer: &Target, consumer: &Target, account: &node::Config) -> (Summary, Progress, Vec<String>) {
    let end = |at: &Target| bridge::End {
        at: at.to_string(),
        login: Some((account.user.clone(), account.password.clone()).into()),
    };
    let config = bridge::Config {
        producer: end(producer),
        consumer: end(consumer),
        bucket: account.bucket.clone(),
        vbuckets: (0..VBUCKETS).collect(),
        name: "bridge".to_owned(),
        consumer_name: "replica".to_owned(),
        nonce: "test".to_owned(),
        set_replica: true,
        until_caught_up: true,
    };
    let plan = Plan {
        scenarios: Vec::new(),
        messages: MESSAGES.into(),
        era: None,
        settle: Duration::from_secs(2),
        fatal_too: false,
        seed: 1,
    };
    let options = Options { timeout: Some(LIMIT), connect_timeout: LIMIT, ..Options::default() };
    let (producer, consumer) = (producer.clone(), consumer.clone());
    let run =
        BridgeRun { producer: producer.into(), consumer: consumer.into(), config: config.clone(), options, seed: 1 };
    let progress = Progress::default();
    let mut judged = Judged::new(plan, Judge::Producer).bridged(config, progress.clone());
    let summary = net::bridge(&run, &mut judged, &progress, &Shutdown::new()).await;
    let errors = judged.report(&summary).errors;
    (summary, progress, errors)
}

fn equal(producer: &Ledger, consumer: &Ledger, what: &str) {
    for vbucket in 0..VBUCKETS {
        let (one, other) = (producer.vbucket(vbucket).expect("it is there"), consumer.vbucket(vbucket).expect("too"));
        assert_eq!(
            (one.last_seqno(), one.items(), one.digest()),
            (other.last_seqno(), other.items(), other.digest()),
            "{what}: vbucket {vbucket}"
        );
        assert!(one.digest().is_some() && one.items() > 100, "{what}: vbucket {vbucket} has {}", one.items());
        assert_eq!(one.failover_log(), other.failover_log(), "{what}: vbucket {vbucket}");
    }
}

#[test]
fn two_nodes_end_with_equal_data() {
    net::block_on(async {
        for era in [Era::V6_0, Era::V2019_07, Era::V6_5, Era::V7_0, Era::Master] {
            let nodes = Shutdown::new();
            let (from, to) = (config(era, 5, 700), config(era, 9, 90));
            let (producer, consumer) = (serve(from.clone(), &nodes).await, serve(to.clone(), &nodes).await);
            let (summary, progress, errors) = bridged(&producer, &consumer, &from).await;
            assert_eq!((errors, summary.timed_out), (Vec::new(), false), "{era}");
            assert!(progress.is_caught_up(), "{era}: {:?}", progress.behind());
            equal(&streamed(&producer, &from).await, &streamed(&consumer, &to).await, &era.to_string());
            nodes.stop(Stop::Now);
        }
    })
    .expect("a runtime");
}

/// Both are dialled again, and the consumer node goes on from where it was: the data is the same in the end.
#[test]
fn a_connection_that_is_lost_in_mid_transfer_costs_nothing() {
    net::block_on(async {
        let nodes = Shutdown::new();
        let (from, to) = (config(Era::V7_0, 5, 3000), config(Era::V7_0, 9, 90));
        let (producer, consumer) = (serve(from.clone(), &nodes).await, serve(to.clone(), &nodes).await);
        let (before_producer, dialled) = cut(producer.clone(), &[200_000, 150_000]).await;
        let (before_consumer, _) = cut(consumer.clone(), &[usize::MAX, usize::MAX, 60]).await;
        let (summary, progress, errors) = bridged(&before_producer, &before_consumer, &from).await;
        assert_eq!((errors, summary.timed_out), (Vec::new(), false));
        assert!(progress.is_caught_up(), "{:?}", progress.behind());
        assert!(dialled.load(Ordering::SeqCst) >= 4 && summary.accepted >= 4, "{summary:?}");
        equal(&streamed(&producer, &from).await, &streamed(&consumer, &to).await, "resumed");
        nodes.stop(Stop::Now);
    })
    .expect("a runtime");
}
