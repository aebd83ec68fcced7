use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Ending;
use super::control::{Control, Controlled};
use super::proxy::{Counted, Served, Summary};
use super::{Clock, ClusterDoors, DialError, Recorder, Run, Tapped};
use crate::bridge::{self, Bridge};
use crate::capture::write::{Ends, Tape};
use crate::cluster::Rewriting;
use crate::engine::Interceptor;
use crate::journal::Side;
use crate::report::{Connection, Report};
use crate::scenario::judge::{Judge, not_enough};
use crate::scenario::{Plan, Runner};
use crate::verdict::Finding;
use crate::{Timestamp, verdict};

/// Connections that a plan's steps are taken on, and that are judged: what `proxy` serves. A plan without scenarios arms
/// nothing.
#[derive(Debug)]
pub struct Judged {
    plan: Plan,
    judge: verdict::Judge,
    connections: BTreeMap<u64, Connection>,
    /// What the connections came to that are no longer listed, and how many they are.
    unlisted: (Report, u64),
    addresses: BTreeMap<u64, (SocketAddr, SocketAddr)>,
    has_producer: bool,
    errors: Vec<String>,
    recorder: Option<Recorder>,
    /// What joins the two ends of each connection, where both were dialled.
    bridge: Option<(bridge::Config, bridge::Progress)>,
    /// The addresses of the connection whose core is made next.
    joined: Option<Ends>,
    /// Where the proxy stands in for the nodes of a cluster, if it does.
    cluster: Option<ClusterDoors>,
    controlled: Option<Arc<Controlled>>,
}

/// Connections that a report lists; a proxy may serve for weeks.
const MAX_LISTED: usize = 10_000;

impl Judged {
    /// Takes the steps of `plan` on each connection; `judge` says whose faults decide.
    pub fn new(plan: Plan, judge: verdict::Judge) -> Self {
        Self {
            plan,
            judge,
            connections: BTreeMap::new(),
            unlisted: (Report::new(judge), 0),
            addresses: BTreeMap::new(),
            has_producer: false,
            errors: Vec::new(),
            recorder: None,
            bridge: None,
            joined: None,
            cluster: None,
            controlled: None,
        }
    }

    /// Records each connection too.
    #[must_use]
    pub fn recorded(mut self, recorder: Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Lets somebody control its connections.
    pub fn obey(&mut self, controlled: Arc<Controlled>) {
        if let Some(recorder) = &self.recorder {
            controlled.totals().recorded(recorder.losses());
        }
        self.controlled = Some(controlled);
    }

    /// Rewrites cluster maps too, so that they lead through these.
    pub fn lead_through(&mut self, doors: ClusterDoors) {
        self.cluster = Some(doors);
    }

    /// Joins the two ends of each connection: both were dialled, the consumer node in the place of the one that dials.
    #[must_use]
    pub fn bridged(mut self, config: bridge::Config, progress: bridge::Progress) -> Self {
        self.bridge = Some((config, progress));
        self
    }

    /// Something kept the run from being whole: one line.
    pub(super) fn error(&mut self, told: String) {
        self.errors.push(told);
    }

    /// What the run came to.
    pub fn report(self, summary: &Summary) -> Report {
        if let Some(cluster) = &self.cluster {
            cluster.close();
        }
        let armed = self.armed();
        let (mut report, unlisted) = self.unlisted;
        if unlisted > 0 {
            let told = format!("{unlisted} connections, the earliest, are part of the verdict and the matrix only");
            report.add_finding(&Finding::pass("connections-listed", "the latest connections are listed").actual(told));
        }
        report.seed = Some(self.plan.seed);
        report.scenarios = self.plan.scenarios.iter().map(|scenario| scenario.name.clone()).collect();
        for connection in self.connections.into_values() {
            report.add_connection(connection);
        }
        if armed && !self.has_producer {
            let found = match summary.accepted {
                0 => "no connection came",
                _ => "no DCP_OPEN with the producer flag was accepted",
            };
            report.add_finding(&not_enough("a DCP connection whose producer was dialled", found));
        }
        report.errors = self.errors;
        report.errors.extend(summary.failed_dial.as_ref().map(ToString::to_string));
        report.recording = self.recorder.map(Recorder::finish);
        report.errors.extend(report.recording.iter().filter_map(|recording| recording.error.clone()));
        report
    }
}

impl Served for Judged {
    type Core = Tapped;

    fn joined(&mut self, _: u64, ends: &Ends) {
        self.joined = Some(*ends);
    }

    fn core(&mut self, id: u64, dialler: SocketAddr, upstream: SocketAddr) -> Self::Core {
        self.addresses.insert(id, (dialler, upstream));
        let terms = self.plan.terms(self.judge);
        let ends = self.joined;
        let tape = self.recorder.as_ref().zip(ends).map(|(recorder, ends)| {
            let scenarios = self.plan.scenarios.iter().map(|scenario| scenario.name.clone()).collect();
            let run = Run { seed: self.plan.seed, scenarios, terms: terms.clone() };
            Box::new(Tape::new(id, ends, run.to_string(), Clock::start().now(), recorder.queue()))
        });
        let judge = Judge::new(terms, id, dialler.to_string(), upstream.to_string());
        let runner = || Box::new(Runner::new(self.plan.clone(), id).judging(self.judge)) as Box<dyn Interceptor>;
        let mut interceptor = self.armed().then(runner);
        if let (Some(doors), Some(ends)) = (&self.cluster, ends) {
            interceptor = Some(Box::new(Rewriting::new(interceptor, doors.directory(ends.accepted_at))));
        }
        if let Some((config, progress)) = &self.bridge {
            let config = bridge::Config { nonce: format!("{}{id:08x}", config.nonce), ..config.clone() };
            interceptor = Some(Box::new(Bridge::new(config, progress.clone(), interceptor)));
        }
        let tapped = Tapped::new(interceptor, judge, tape, self.plan.seed, id);
        match &self.controlled {
            Some(controlled) => tapped.metered(controlled.totals().meter().planned(&self.plan)),
            None => tapped,
        }
    }

    fn control(&mut self, id: u64) -> Option<Control<Self::Core>> {
        let ends = self.joined.take()?;
        Some(self.controlled.as_ref()?.opened(id, ends))
    }

    fn finished(&mut self, id: u64, mut core: Self::Core, ending: &Ending) -> Counted {
        let (dialler, upstream) = self
            .addresses
            .remove(&id)
            .map_or_else(Default::default, |(dialler, upstream)| (dialler.to_string(), upstream.to_string()));
        if let Some(controlled) = &self.controlled {
            controlled.ended(id);
        }
        // A core that has panicked may do so again.
        let judged = catch_unwind(AssertUnwindSafe(|| {
            core.over(ending.name());
            let (judge, sessions) = core.judged();
            let session = sessions.at(Side::Upstream);
            (judge.judgement(session), session.open().is_some())
        }));
        let (mut connection, opened) = match judged {
            Ok((judgement, opened)) => {
                // A consumer is judged only where the terms say so.
                self.has_producer |= judgement.has_producer || judgement.has_consumer;
                (judgement.connection, opened)
            }
            Err(_) => (Connection::new(id, dialler, upstream), true),
        };
        if let Ending::Crashed(said) = ending {
            let crash = not_enough("a connection that is relayed to its end", &format!("the tool crashed: {said}"));
            connection.add_finding(crash, self.judge, None, Timestamp::default());
            self.errors.push(format!("the task of connection {id} crashed: {said}"));
        }
        if let Some(controlled) = &self.controlled {
            let findings = connection.findings.iter().map(|finding| (finding.id.as_ref(), finding.verdict));
            controlled.totals().judged(ending, connection.verdict, findings);
        }
        self.connections.insert(id, connection);
        if self.connections.len() > MAX_LISTED
            && let Some((_, earliest)) = self.connections.pop_first()
        {
            self.unlisted.0.add_connection(earliest);
            self.unlisted.0.connections.clear();
            self.unlisted.1 += 1;
        }
        if opened || !self.armed() { Counted::Yes } else { Counted::No }
    }

    fn accepted(&mut self) {
        if let Some(controlled) = &self.controlled {
            controlled.totals().accepted();
        }
    }

    fn dial_failed(&mut self, error: &DialError) {
        if let Some(controlled) = &self.controlled {
            controlled.totals().dial_failed(error);
        }
    }

    fn handshake_refused(&mut self) {
        if let Some(controlled) = &self.controlled {
            controlled.totals().handshake_refused();
        }
    }

    fn closed(&mut self) {
        if let Some(doors) = &self.cluster {
            doors.close();
        }
    }

    fn armed(&self) -> bool {
        self.plan.is_armed()
    }
}
