use std::io;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::control::Controlled;
use super::proxy::{Options, serve};
use super::{Doors, Judged, Limits, Recorder, RecorderOptions, Shutdown, Sockets, Stop, Target, client, node_server};
use crate::node::consumer::{Client, ClientConfig};
use crate::node::{Config, Node};
use crate::report::Report;
use crate::scenario::{MESSAGES, Plan, Scenario};
use crate::verdict::Judge;

/// A node, the proxy and a client, all embedded and joined over loopback: what `demo` shows, and what the tests repeat.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// The node, which is dialled.
    pub node: Config,
    /// The client. It is given the node's user, password and bucket.
    pub client: ClientConfig,
    /// What the proxy does to the connection.
    pub plan: Plan,
    /// End at this time, with what is known till then. No dial may take longer either.
    pub timeout: Duration,
    /// Whose faults decide.
    pub judge: Judge,
    /// Where the proxy records, if it does.
    pub record: Option<RecorderOptions>,
    /// Who controls the proxy, if anybody does.
    pub controlled: Option<Arc<Controlled>>,
}

/// What came of a [`Rehearsal`].
#[derive(Debug)]
pub struct Rehearsed {
    /// What the proxy says.
    pub report: Report,
    /// The client as it was at the end; `None` where it could not dial.
    pub client: Option<Client>,
}

/// How long the producer is watched after its last orphaned response.
const SETTLE: Duration = Duration::from_secs(2);
/// Longer than it takes.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How many [`rehearse`] runs at once.
const AT_ONCE: usize = 32;

impl Rehearsal {
    /// A scenario against a node, with a client of the node's era that streams all of its vbuckets.
    pub fn new(node: Config, scenario: Scenario) -> Self {
        Self {
            client: ClientConfig::new(node.era, 0..node.vbuckets),
            plan: Plan {
                scenarios: vec![scenario],
                messages: MESSAGES.into(),
                era: None,
                settle: SETTLE,
                fatal_too: false,
                seed: node.seed,
            },
            node,
            timeout: TIMEOUT,
            judge: Judge::Producer,
            record: None,
            controlled: None,
        }
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// A socket cannot be had.
    pub async fn run(mut self) -> io::Result<Rehearsed> {
        let node_listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let proxy_listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let options = Options {
            once: true,
            timeout: Some(self.timeout),
            connect_timeout: self.timeout,
            sockets: Sockets::default(),
            limits: Limits::settling(self.plan.settle),
            ..Options::default()
        };
        let upstream = Target::from(node_listener.local_addr()?);
        let target = Target::from(proxy_listener.local_addr()?);
        let doors = Doors::one(proxy_listener, upstream);
        self.client.login = Some((self.node.user.clone(), self.node.password.clone()).into());
        self.client.bucket.clone_from(&self.node.bucket);
        let embedded = Shutdown::new();
        let outside = Shutdown::new();
        let mut judged = Judged::new(self.plan, self.judge);
        if let Some(options) = self.record {
            judged = judged.recorded(Recorder::start(options).map_err(io::Error::other)?);
        }
        if let Some(controlled) = self.controlled {
            judged.obey(controlled);
        }
        let mut client = None;
        let summary = {
            let mut consuming = pin!(client::consume(&target, self.timeout, self.client, &embedded));
            let mut producing = pin!(node_server::serve_node([node_listener], Node::new(self.node), &embedded));
            let mut relaying = pin!(serve(doors, options, &mut judged, &outside));
            let summary = loop {
                tokio::select! {
                    summary = &mut relaying => break summary,
                    consumed = &mut consuming, if client.is_none() => client = Some(consumed),
                    () = &mut producing => {}
                }
            };
            embedded.stop(Stop::Now);
            if client.is_none() {
                client = Some(consuming.await);
            }
            summary
        };
        Ok(Rehearsed { report: judged.report(&summary), client: client.and_then(Result::ok) })
    }
}

/// Runs several, many at once; the results are in their order.
///
/// # Errors
/// The first that one of them met.
pub async fn rehearse(rehearsals: impl IntoIterator<Item = Rehearsal>) -> io::Result<Vec<Rehearsed>> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let run = |rehearsal: Rehearsal| {
        let places = Arc::clone(&places);
        tokio::spawn(async move {
            let _place = places.acquire().await;
            rehearsal.run().await
        })
    };
    let running: Vec<_> = rehearsals.into_iter().map(run).collect();
    let mut rehearsed = Vec::with_capacity(running.len());
    for task in running {
        rehearsed.push(task.await.map_err(io::Error::other)??);
    }
    Ok(rehearsed)
}
