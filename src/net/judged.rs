use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Ending;
use super::control::{Control, Controlled, Ear, Setup, no_producer};
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
use crate::{Timestamp, verdict};

/// Connections that a plan's steps are taken on, and that are judged: what `proxy` serves. A plan without scenarios arms
/// nothing.
#[derive(Debug)]
pub struct Judged {
    plan: Plan,
    judge: verdict::Judge,
    addresses: BTreeMap<u64, (SocketAddr, SocketAddr)>,
    recorder: Option<Recorder>,
    /// What joins the two ends of each connection, where both were dialled.
    bridge: Option<(bridge::Config, bridge::Progress)>,
    /// The addresses of the connection whose core is made next.
    joined: Option<Ends>,
    /// Where the proxy stands in for the nodes of a cluster, if it does.
    cluster: Option<ClusterDoors>,
    /// What the connections have come to, what is wanted of them, and who controls them, if anybody does.
    controlled: Arc<Controlled>,
    /// Whether somebody does.
    obeys: bool,
}

impl Judged {
    /// Takes the steps of `plan` on each connection; `judge` says whose faults decide.
    pub fn new(plan: Plan, judge: verdict::Judge) -> Self {
        let controlled = Controlled::new("");
        controlled.set_up(Setup { plan: plan.clone(), judge, recorded_to: None });
        Self {
            plan,
            judge,
            addresses: BTreeMap::new(),
            recorder: None,
            bridge: None,
            joined: None,
            cluster: None,
            controlled: Arc::new(controlled),
            obeys: false,
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
        let recorded_to = self.recorder.as_ref().map(Recorder::files).map(|files| files.join(", "));
        controlled.set_up(Setup { plan: self.plan.clone(), judge: self.judge, recorded_to });
        self.controlled = controlled;
        self.obeys = true;
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
        self.controlled.add_past(|past| past.error(told));
    }

    /// What the run came to.
    pub fn report(self, summary: &Summary) -> Report {
        if let Some(cluster) = &self.cluster {
            cluster.close();
        }
        let past = self.controlled.past();
        let has_producer = past.has_producer();
        let mut report = past.report(&self.plan, self.judge);
        if self.armed() && !has_producer {
            report.add_finding(&no_producer(summary.accepted));
        }
        report.errors.extend(summary.failed_dial.as_ref().map(ToString::to_string));
        report.recording = self.recorder.or_else(|| self.controlled.take_recorder()).map(Recorder::finish);
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
        self.plan.seed = self.controlled.seed();
        let terms = self.plan.terms(self.judge);
        let ends = self.joined;
        let run = || {
            let scenarios = self.plan.scenarios.iter().map(|scenario| scenario.name.clone()).collect();
            Run { seed: self.plan.seed, scenarios, terms: terms.clone() }
        };
        let tape = ends.and_then(|ends| match &self.recorder {
            Some(recorder) => {
                Some(Box::new(Tape::new(id, ends, run().to_string(), Clock::start().now(), recorder.queue())))
            }
            None => self.controlled.tape(id, ends, run),
        });
        let judge = Judge::new(terms, id, dialler.to_string(), upstream.to_string());
        let runner = || Box::new(Runner::new(self.plan.clone(), id).judging(self.judge)) as Box<dyn Interceptor>;
        // Around what takes steps there may be others, who are there from the beginning: then so is it.
        let is_inside = self.obeys && (self.cluster.is_some() || self.bridge.is_some());
        let mut interceptor = (self.armed() || is_inside).then(runner);
        if let (Some(doors), Some(ends)) = (&self.cluster, ends) {
            interceptor = Some(Box::new(Rewriting::new(interceptor, doors.directory(ends.accepted_at))));
        }
        if let Some((config, progress)) = &self.bridge {
            let config = bridge::Config { nonce: format!("{}{id:08x}", config.nonce), ..config.clone() };
            interceptor = Some(Box::new(Bridge::new(config, progress.clone(), interceptor)));
        }
        let ear = Ear::new(Arc::clone(self.controlled.journal()), id);
        let tapped = Tapped::new(interceptor, judge, tape, self.plan.seed, id).overheard(ear);
        let tapped = tapped.standing_by(&self.plan, self.judge);
        if !self.obeys {
            return tapped;
        }
        tapped.metered(self.controlled.totals().meter().planned(&self.plan))
    }

    fn control(&mut self, id: u64) -> Option<Control<Self::Core>> {
        let ends = self.joined.take()?;
        self.obeys.then(|| self.controlled.opened(id, ends))
    }

    fn finished(&mut self, id: u64, mut core: Self::Core, ending: &Ending) -> Counted {
        let (dialler, upstream) = self
            .addresses
            .remove(&id)
            .map_or_else(Default::default, |(dialler, upstream)| (dialler.to_string(), upstream.to_string()));
        // A core that has panicked may do so again.
        let judged = catch_unwind(AssertUnwindSafe(|| {
            core.over(ending.name());
            let (judge, sessions) = core.judged();
            let session = sessions.at(Side::Upstream);
            (judge.judgement(session), session.open().is_some())
        }));
        let (mut connection, has_producer, opened) = match judged {
            // A consumer is judged only where the terms say so.
            Ok((judgement, opened)) => (judgement.connection, judgement.has_producer || judgement.has_consumer, opened),
            Err(_) => (Connection::new(id, dialler, upstream), false, true),
        };
        if let Ending::Crashed(said) = ending {
            let crash = not_enough("a connection that is relayed to its end", &format!("the tool crashed: {said}"));
            connection.add_finding(crash, self.judge, None, Timestamp::default());
            self.error(format!("the task of connection {id} crashed: {said}"));
        }
        if self.obeys {
            let findings = connection.findings.iter().map(|finding| (finding.id.as_ref(), finding.verdict));
            self.controlled.totals().judged(ending, connection.verdict, findings);
        }
        self.controlled.add_past(|past| past.add(connection, self.judge, has_producer));
        self.controlled.ended(id);
        if opened || !self.armed() { Counted::Yes } else { Counted::No }
    }

    fn accepted(&mut self) {
        self.controlled.totals().accepted();
    }

    fn dial_failed(&mut self, error: &DialError) {
        self.controlled.totals().dial_failed(error);
    }

    fn handshake_refused(&mut self) {
        self.controlled.totals().handshake_refused();
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
