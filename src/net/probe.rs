use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::peer::{Machine, Peer};
use super::{Clock, DialError, Leg, Shutdown, Stop, Upstream};
use crate::Timestamp;
use crate::journal::How;
use crate::probe::{Access, Case, Consumer, Errand, Outcome, Probe, Script, Survey, Workload};
use crate::report::Report;
use crate::stage::Stage;

/// How a probe is run.
#[derive(Clone, Debug)]
pub struct ProbeRun {
    /// The producer.
    pub target: Upstream,
    /// How to get in.
    pub access: Access,
    /// How many cases run at once.
    pub jobs: usize,
    /// How long a dial may take.
    pub connect_timeout: Duration,
    /// End at this time, with what is known till then.
    pub timeout: Option<Duration>,
    /// Make traffic, in keys that begin so.
    pub workload: Option<String>,
    /// Makes nonces other than those of every other run.
    pub salt: u64,
}

/// How far a probe is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// Something is told once: a line for the user.
    Told(String),
    /// So many cases are to be run.
    Cases(usize),
    /// A case is over.
    Over(String),
}

/// Dials that may fail one after the other before the producer counts as gone.
const MAX_FAILED_DIALS: usize = 3;
/// What is told after the first interrupt.
const INTERRUPTED: &str = "interrupted: no more cases are begun, and those that run are brought to their end; \
                           another interrupt ends at once";
/// Between the rounds of a workload.
const PAUSE: Duration = Duration::from_millis(500);

/// Puts a producer through the cases of `probe`.
///
/// # Errors
/// One line: the producer cannot be reached, does not let the user in, or is none.
pub async fn probe(
    run: &ProbeRun,
    probe: Probe,
    shutdown: &Shutdown,
    progress: &mut (dyn FnMut(News) + Send),
) -> Result<(Report, Vec<Outcome>), String> {
    let links = Shutdown::new();
    let until = run.timeout.map(|timeout| Instant::now() + timeout);
    let running = Running { run, clock: Clock::start(), links: links.clone(), outside: shutdown, until };
    running.all(probe, progress).await
}

struct Running<'a> {
    run: &'a ProbeRun,
    clock: Clock,
    links: Shutdown,
    outside: &'a Shutdown,
    until: Option<Instant>,
}

type Over = (Case, Stage<Consumer>);

impl Running<'_> {
    async fn all(
        &self,
        mut probe: Probe,
        progress: &mut (dyn FnMut(News) + Send),
    ) -> Result<(Report, Vec<Outcome>), String> {
        let survey = self.survey(&mut probe).await.map_err(|error| self.early(error))?;
        let mut workload = None;
        if let Some(prefix) = &self.run.workload {
            let vbuckets = probe.choose(&survey)?;
            workload = Some(Workload::new(prefix.clone(), vbuckets, survey.vbuckets, survey.managed));
        }
        let mut outcome = self.prepare(&mut probe, survey, workload.as_mut()).await.map_err(|error| self.early(error));
        let workload = if outcome.is_ok() {
            let (era, reason) = probe.era();
            progress(News::Told(format!("era {era} ({reason})")));
            progress(News::Cases(probe.left()));
            let (done, written) = watch::channel(false);
            let traffic = workload.map(|traffic| tokio::spawn(self.writer().rounds(traffic, written)));
            self.cases(&mut probe, progress).await;
            done.send_replace(true);
            self.look_again(&mut probe).await;
            match traffic {
                Some(traffic) => self.written(traffic).await,
                None => None,
            }
        } else {
            workload
        };
        if outcome.is_ok() && probe.needs_confirmation() && *self.outside.listen().borrow() == Stop::No {
            // That there is none makes what differs inconclusive.
            let again = async {
                let survey = self.survey(&mut probe).await?;
                probe.extend(&survey);
                self.reference(&mut probe).await
            };
            if let Err(error) = again.await {
                progress(News::Told(format!("the second untouched connection came to nothing: {error}")));
            }
        }
        if let Some(workload) = workload {
            for line in workload.shortfalls() {
                progress(News::Told(format!("workload: {line}")));
            }
            if let Err(error) = self.remove(&workload).await {
                let told = format!("keys that begin with {} may be left: {error}", workload.prefix());
                if outcome.is_ok() {
                    probe.error(told);
                } else {
                    outcome = outcome.map_err(|error| format!("{error}; {told}"));
                }
            }
        }
        outcome.map(|()| probe.finish())
    }

    /// Why there is no case at all: what went wrong, unless that is what an end that was wanted looks like.
    fn early(&self, error: String) -> String {
        if *self.outside.listen().borrow() != Stop::No {
            "interrupted before the first case".to_owned()
        } else if self.is_late() {
            "the time was over before the first case".to_owned()
        } else {
            error
        }
    }

    /// All that comes before the cases.
    async fn prepare(
        &self,
        probe: &mut Probe,
        mut survey: Survey,
        workload: Option<&mut Workload>,
    ) -> Result<(), String> {
        let mut starts = BTreeMap::new();
        if let Some(workload) = workload {
            // What was there before is of no interest: all that is wanted is in what is written now.
            starts = survey.seqnos.iter().map(|entry| (entry.vbucket, entry.seqno)).collect();
            self.writer().next(workload).await?;
            survey = self.survey(probe).await?;
        }
        probe.take_survey(&survey, &starts)?;
        if let Some(client) = probe.era_client(self.clock.now()) {
            let (stream, ..) = self.dial().await.map_err(|error| error.to_string())?;
            let pulled = self.within(Peer::new(client, stream, self.clock)).await;
            probe.take_era(pulled.client())?;
        }
        self.reference(probe).await
    }

    async fn reference(&self, probe: &mut Probe) -> Result<(), String> {
        let (stream, from, to) = self.dial().await.map_err(|error| error.to_string())?;
        let stage = probe.reference(&from, &to, self.clock.now());
        probe.take_reference(self.within(Peer::new(stage, stream, self.clock)).await)
    }

    /// Runs a connection to its end, or until the user or the time wants an end.
    async fn within<M: Machine>(&self, peer: Peer<M>) -> M {
        let stop = Shutdown::new();
        let mut outside = self.outside.listen();
        let running = peer.run(stop.listen());
        tokio::pin!(running);
        loop {
            let asked = *outside.borrow_and_update() != Stop::No;
            if asked {
                stop.stop(Stop::Now);
            }
            tokio::select! {
                machine = &mut running => return machine,
                Ok(()) = outside.changed() => {}
                () = sleep_until(self.until.unwrap_or_else(Instant::now)), if self.until.is_some() && !asked => {
                    stop.stop(Stop::Now);
                    return running.await;
                }
            }
        }
    }

    /// Whether the producer is still there once the cases are over: where the last of them found it closed, no dial told.
    async fn look_again(&self, probe: &mut Probe) {
        if *self.outside.listen().borrow() == Stop::No
            && !self.is_late()
            && let Err(error) = self.dial().await
        {
            probe.error(gone(&error));
        }
    }

    /// The workload, once its last round is over or an end is wanted at once.
    async fn written(&self, mut traffic: JoinHandle<Workload>) -> Option<Workload> {
        let mut outside = self.outside.listen();
        tokio::select! {
            workload = &mut traffic => return workload.ok(),
            _ = outside.wait_for(|stop| *stop == Stop::Now) => {}
        }
        self.links.stop(Stop::Now);
        traffic.await.ok()
    }

    async fn survey(&self, probe: &mut Probe) -> Result<Survey, String> {
        let errand = probe.survey(self.clock.now());
        let (stream, ..) = self.dial().await.map_err(|error| error.to_string())?;
        let (survey, outcome) = self.within(Peer::new(errand, stream, self.clock)).await.into_outcome();
        outcome.map(|()| survey).map_err(|failure| format!("{}: {failure}", self.run.target))
    }

    /// Runs the cases, many at once, until there are no more or an end is wanted.
    async fn cases(&self, probe: &mut Probe, progress: &mut (dyn FnMut(News) + Send)) {
        let mut tasks: JoinSet<Over> = JoinSet::new();
        let mut begun: BTreeMap<Id, Case> = BTreeMap::new();
        let mut outside = self.outside.listen();
        let mut failed_dials = 0;
        let mut interrupted = false;
        loop {
            let asked = *outside.borrow_and_update();
            if asked != Stop::No && !std::mem::replace(&mut interrupted, true) {
                progress(News::Told(INTERRUPTED.to_owned()));
            }
            let is_late = self.is_late();
            if asked == Stop::Now || is_late {
                self.links.stop(Stop::Now);
            }
            let goes_on = asked == Stop::No && failed_dials < MAX_FAILED_DIALS && !is_late;
            if goes_on && tasks.len() < self.run.jobs.max(1) && probe.left() > 0 {
                let Some(case) = probe.next_case() else { continue };
                let dialled = tokio::select! {
                    dialled = self.dial() => dialled,
                    Ok(()) = outside.changed() => {
                        probe.put_back(case);
                        continue;
                    }
                };
                match dialled {
                    Ok((stream, from, to)) => {
                        failed_dials = 0;
                        let stage = probe.begin(&case, &from, &to, self.clock.now());
                        let peer = Peer::new(stage, stream, self.clock).run(self.links.listen());
                        let told = case.clone();
                        let task = tasks.spawn(async move { (told, peer.await) });
                        begun.insert(task.id(), case);
                    }
                    Err(error) => {
                        failed_dials += 1;
                        progress(News::Over(case.to_string()));
                        probe.failed(case, &gone(&error));
                    }
                }
                while let Some(ended) = tasks.try_join_next_with_id() {
                    self.ended(ended, &mut begun, probe, progress);
                }
                continue;
            }
            if tasks.is_empty() {
                return;
            }
            let until = self.until.filter(|_| !is_late);
            tokio::select! {
                Some(ended) = tasks.join_next_with_id() => self.ended(ended, &mut begun, probe, progress),
                Ok(()) = outside.changed() => {}
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {}
            }
        }
    }

    fn ended(
        &self,
        ended: Result<(Id, Over), JoinError>,
        begun: &mut BTreeMap<Id, Case>,
        probe: &mut Probe,
        progress: &mut (dyn FnMut(News) + Send),
    ) {
        match ended {
            Ok((id, (case, stage))) => {
                begun.remove(&id);
                progress(News::Over(case.to_string()));
                probe.finished(case, stage);
            }
            Err(error) => {
                let Some(case) = begun.remove(&error.id()) else { return };
                progress(News::Over(case.to_string()));
                probe.failed(case, &format!("its task crashed: {error}"));
            }
        }
    }

    fn is_late(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }

    async fn dial(&self) -> Result<(Leg, String, String), DialError> {
        self.run.target.dial_addressed(self.run.connect_timeout).await
    }

    fn writer(&self) -> Writer {
        Writer { run: self.run.clone(), clock: self.clock, links: self.links.clone(), batches: 0 }
    }

    /// Removes what a workload has written, also where an end is wanted; not where it is wanted at once.
    async fn remove(&self, workload: &Workload) -> Result<(), String> {
        if *self.outside.listen().borrow() == Stop::Now {
            return Err("they were not removed, as an end was wanted at once".to_owned());
        }
        let mut writer = Writer { links: Shutdown::new(), ..self.writer() };
        let mut outside = self.outside.listen();
        let removed = tokio::select! {
            removed = writer.errand(workload.removal()) => removed?,
            _ = outside.wait_for(|stop| *stop == Stop::Now) => return Err("removing them was interrupted".to_owned()),
        };
        match workload.remain(&removed) {
            0 => Ok(()),
            left => Err(format!("{left} could not be removed")),
        }
    }
}

/// A producer that was there, and cannot be reached any more.
fn gone(error: &DialError) -> String {
    format!("the producer went away, and what closed with it may be no case's doing: {error}")
}

/// Writes what a workload wants, each batch on a connection of its own.
struct Writer {
    run: ProbeRun,
    clock: Clock,
    links: Shutdown,
    batches: u64,
}

impl Writer {
    /// Writes one round; false where there are no more.
    async fn next(&mut self, workload: &mut Workload) -> Result<bool, String> {
        let Some(batch) = workload.round(self.clock.now()) else { return Ok(false) };
        let batch = self.errand(batch).await?;
        workload.take(batch);
        Ok(true)
    }

    /// Writes round after round until it is told that all is done.
    async fn rounds(mut self, mut workload: Workload, mut done: watch::Receiver<bool>) -> Workload {
        self.batches = 1 << 32;
        loop {
            tokio::select! {
                _ = done.wait_for(|done| *done) => return workload,
                () = sleep(PAUSE) => {}
            }
            match self.next(&mut workload).await {
                Ok(true) => {}
                Ok(false) => {
                    let _ = done.wait_for(|done| *done).await;
                    return workload;
                }
                Err(error) => tracing::debug!("a round of the workload came to nothing: {error}"),
            }
        }
    }

    async fn errand<S: Script>(&mut self, script: S) -> Result<S, String> {
        self.batches += 1;
        let stream = self.run.target.dial(self.run.connect_timeout).await.map_err(|error| error.to_string())?;
        let nonce = format!("workload{:016x}{:016x}", self.run.salt, self.batches);
        let errand = Errand::new(self.run.access.clone(), nonce, script, self.clock.now());
        let (script, outcome) = Peer::new(errand, stream, self.clock).run(self.links.listen()).await.into_outcome();
        outcome.map(|()| script).map_err(|failure| failure.to_string())
    }
}

impl<S: Script> Machine for Errand<S> {
    fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        Self::feed(self, bytes, now);
    }

    fn closed(&mut self, _: How, _: Timestamp) {
        Self::closed(self);
    }

    fn wakeup(&mut self, now: Timestamp) {
        Self::wakeup(self, now);
    }

    fn next_wakeup(&self, _: Timestamp) -> Option<Timestamp> {
        Self::next_wakeup(self)
    }

    fn pull(&mut self, to: &mut Vec<u8>, _: usize, _: Timestamp) {
        Self::pull(self, to);
    }

    fn closing(&self) -> Option<How> {
        self.is_over().then_some(How::Fin)
    }

    fn wants_input(&self) -> bool {
        !self.is_over()
    }
}

#[cfg(test)]
mod tests;
