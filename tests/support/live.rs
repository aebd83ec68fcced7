//! A node, a proxy with a plan and a client of the tests' own, over loopback in one process.

use std::collections::BTreeSet;
use std::time::Duration;

use dcproxy::era::Era;
use dcproxy::net::proxy::{Options, serve};
use dcproxy::net::{Judged, Limits, Shutdown, Stop, Target, consume, serve_node};
use dcproxy::node::consumer::{Client, ClientConfig};
use dcproxy::node::{Config, Node, Quirk};
use dcproxy::report::Report;
use dcproxy::scenario::{MESSAGES, Plan, Scenario};
use dcproxy::verdict::Judge;

use super::{PATIENCE, loopback};

/// One run of a scenario.
#[derive(Clone, Debug)]
pub struct Run {
    pub era: Era,
    pub quirks: BTreeSet<Quirk>,
    pub seed: u64,
    pub settle: Duration,
    pub vbuckets: u16,
    pub scenario: &'static str,
    /// The era to judge by; `None` for `auto`.
    pub judged_by: Option<Era>,
}

impl Run {
    /// The built-in scenario against a node of an era that has no quirk.
    pub fn of(era: Era, seed: u64) -> Self {
        Self {
            era,
            quirks: BTreeSet::new(),
            seed,
            settle: Duration::from_secs(2),
            vbuckets: 4,
            scenario: "orphaned-responses",
            judged_by: None,
        }
    }

    /// The same with a quirk.
    pub fn with(mut self, quirk: Quirk) -> Self {
        self.quirks.insert(quirk);
        self
    }

    /// Runs it until the connection is judged.
    pub async fn judged(&self) -> (Report, Option<Client>) {
        let node_listener = loopback().await;
        let upstream = Target::from(node_listener.local_addr().expect("bound"));
        let config = Config {
            era: self.era,
            seed: self.seed,
            vbuckets: self.vbuckets,
            quirks: self.quirks.clone(),
            ..Config::default()
        };
        let login = Some((config.user.clone(), config.password.clone()));
        let (node, shutdown) = (Node::new(config), Shutdown::new());
        let served = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { serve_node(node_listener, node, &shutdown).await }
        });
        let listener = loopback().await;
        let at = Target::from(listener.local_addr().expect("bound"));
        let plan = Plan {
            scenarios: vec![Scenario::named(self.scenario).expect("built in")],
            messages: MESSAGES.into(),
            era: self.judged_by,
            settle: self.settle,
            fatal_too: false,
            seed: self.seed,
        };
        let options = Options {
            upstream,
            once: true,
            timeout: Some(PATIENCE),
            connect_timeout: PATIENCE,
            limits: Limits { settle: self.settle + Duration::from_secs(8), ..Limits::default() },
        };
        let client = tokio::spawn({
            let config = ClientConfig { login, ..ClientConfig::new(self.era, 0..self.vbuckets) };
            let shutdown = shutdown.clone();
            async move { consume(&at, PATIENCE, config, &shutdown).await }
        });
        let mut judged = Judged::new(plan, Judge::Producer);
        let summary = serve(listener, options, &mut judged, &shutdown).await;
        let client = client.await.expect("no panic").ok();
        shutdown.stop(Stop::Now);
        served.await.expect("no panic");
        (judged.report(&summary), client)
    }
}

/// What decided a report, in a line.
pub fn told(report: &Report) -> String {
    let findings = report.findings.iter().chain(report.connections.iter().flat_map(|connection| &connection.findings));
    let bad = findings.filter(|finding| finding.verdict != dcproxy::verdict::Verdict::Pass);
    let bad = bad.map(|finding| format!("{}: expected {}, found {}", finding.id, finding.expected, finding.actual));
    format!("{}: {}", report.verdict, bad.collect::<Vec<_>>().join("; "))
}
