use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::peer::{Machine, Peer};
use super::{Clock, DialError, Leg, Shutdown, Stop, Upstream};
use crate::era::Era;
use crate::node::consumer::ClientConfig;
use crate::probe::{Access, Consumer, Options, Probe, Range};
use crate::scenario::Scenario;
use crate::search::law::MOST_END;
use crate::search::{Ground, Job, Search};
use crate::stage::Stage;

/// How a search is run against a live producer.
#[derive(Clone, Debug)]
pub struct SearchRun {
    /// The producer.
    pub target: Upstream,
    /// How to get in.
    pub access: Access,
    /// The era to judge by; `None` to find it out.
    pub era: Option<Era>,
    /// What the schedules are drawn from.
    pub seed: u64,
    /// How many are tried at the most.
    pub schedules: u64,
    /// The vbuckets that are streamed; `None` for the four that have the most.
    pub vbuckets: Option<Vec<u16>>,
    /// These are tried again in the place of drawn ones.
    pub again: Vec<Scenario>,
    /// Whether vbuckets may be taken over, which the producer then has no more.
    pub destructive: bool,
    /// How many run at once.
    pub jobs: usize,
    /// How long a dial may take.
    pub connect_timeout: Duration,
    /// End at this time, with what is known till then.
    pub timeout: Option<Duration>,
    /// Makes names and nonces other than those of every other run.
    pub salt: u64,
}

/// Dials that may fail one after the other before the producer counts as gone.
const MAX_FAILED_DIALS: usize = 3;

/// Searches a live producer: each schedule on a connection of its own, with the tool's own consumer. `progress` is told of
/// each that is over, and hears the era and how it was found once. The errors that ended it are given back beside what was
/// found until then.
///
/// # Errors
/// One line: the producer cannot be reached, does not let the user in, or is none; something would take a vbucket over where
/// that may not be, or where there is none for it.
pub async fn search(
    run: &SearchRun,
    shutdown: &Shutdown,
    progress: &mut (dyn FnMut(&str, &Search) + Send),
) -> Result<(Search, Vec<String>), String> {
    if let Some(scenario) = run.again.iter().find(|it| it.is_destructive() && !run.destructive) {
        let name = &scenario.name;
        return Err(format!(
            "expected --destructive with scenario '{name}', which may cost the producer a vbucket, found it missing"
        ));
    }
    let until = run.timeout.map(|timeout| Instant::now() + timeout);
    let running = Running { run, clock: Clock::start(), links: Shutdown::new(), outside: shutdown, until };
    let (ground, range, told) = running.survey().await?;
    let mut search = if run.again.is_empty() {
        Search::new(run.seed, ground, range, run.schedules)
    } else {
        Search::again(run.seed, ground, range, run.again.clone())
    };
    progress(&told, &search);
    let mut errors = running.all(&mut search, progress).await;
    errors.extend_from_slice(search.errors());
    Ok((search, errors))
}

struct Running<'a> {
    run: &'a SearchRun,
    clock: Clock,
    links: Shutdown,
    outside: &'a Shutdown,
    until: Option<Instant>,
}

impl Running<'_> {
    /// What the producer is, and what it has.
    async fn survey(&self) -> Result<(Ground, Range, String), String> {
        let options = Options {
            access: self.run.access.clone(),
            era: self.run.era,
            messages: Vec::new(),
            statuses: Vec::new(),
            scenarios: Vec::new(),
            select: Vec::new(),
            vbuckets: self.run.vbuckets.clone(),
            settle: Duration::from_secs(2),
            seed: self.run.seed,
            judge: None,
            workload: false,
            salt: self.run.salt,
        };
        let mut probe = Probe::new(options).map_err(|error| error.to_string())?;
        let errand = probe.survey(self.clock.now());
        let (survey, outcome) = self.alone(errand).await?.into_outcome();
        outcome.map_err(|failure| format!("{}: {failure}", self.run.target))?;
        probe.take_survey(&survey, &BTreeMap::new())?;
        if let Some(client) = probe.era_client(self.clock.now()) {
            let pulled = self.alone(client).await?;
            probe.take_era(pulled.client())?;
        }
        let vbuckets = probe.choose(&survey)?;
        let entries = survey.seqnos.iter().filter(|entry| vbuckets.contains(&entry.vbucket));
        let highs: BTreeMap<u16, u64> = entries.map(|entry| (entry.vbucket, entry.seqno)).collect();
        let reach = highs.values().copied().min().unwrap_or_default();
        let (era, reason) = probe.era();
        let range = Range::up_to(&highs);
        let mut ground = Ground::new(era, vbuckets, reach);
        if self.run.destructive {
            let others = survey.seqnos.iter().filter(|entry| !ground.vbuckets.contains(&entry.vbucket));
            let small = others.filter(|entry| (1..=MOST_END).contains(&entry.seqno));
            let mut spare: Vec<u16> = small.map(|entry| entry.vbucket).collect();
            spare.sort_unstable();
            if spare.is_empty() {
                return Err(format!(
                    "expected active vbuckets of 1 to {MOST_END} seqnos to be taken over, beside those that are \
                     streamed, found none"
                ));
            }
            ground = ground.with_spare(spare);
        }
        Ok((ground, range, format!("era {era} ({reason})")))
    }

    /// Runs one connection to its end, or until an end is wanted.
    async fn alone<M: Machine>(&self, machine: M) -> Result<M, String> {
        let (stream, ..) = self.dial().await.map_err(|error| error.to_string())?;
        let stop = Shutdown::new();
        let running = Peer::new(machine, stream, self.clock).run(stop.listen());
        tokio::pin!(running);
        let mut outside = self.outside.listen();
        loop {
            if *outside.borrow_and_update() != Stop::No || self.is_late() {
                stop.stop(Stop::Now);
                return Ok(running.await);
            }
            tokio::select! {
                machine = &mut running => return Ok(machine),
                Ok(()) = outside.changed() => {}
                () = sleep_until(self.until.unwrap_or_else(Instant::now)), if self.until.is_some() => {}
            }
        }
    }

    /// Runs jobs until there are no more or an end is wanted; what is under way then proves nothing.
    async fn all(&self, search: &mut Search, progress: &mut (dyn FnMut(&str, &Search) + Send)) -> Vec<String> {
        let mut errors = Vec::new();
        let mut tasks: JoinSet<Stage<Consumer>> = JoinSet::new();
        let mut begun: BTreeMap<Id, Job> = BTreeMap::new();
        let mut outside = self.outside.listen();
        let mut failed_dials = 0;
        let mut connections = 0;
        loop {
            if *outside.borrow_and_update() != Stop::No || self.is_late() {
                self.links.stop(Stop::Now);
                tasks.shutdown().await;
                return errors;
            }
            if failed_dials < MAX_FAILED_DIALS
                && tasks.len() < self.run.jobs.max(1)
                && let Some(job) = search.next_job()
            {
                match self.dial().await {
                    Ok((stream, from, to)) => {
                        failed_dials = 0;
                        connections += 1;
                        let config = self.config(connections, search.ground().era);
                        let now = self.clock.now();
                        let stage = search.stage(&job, config, (&from, &to), now);
                        let task = tasks.spawn(Peer::new(stage, stream, self.clock).run(self.links.listen()));
                        begun.insert(task.id(), job);
                    }
                    Err(error) => {
                        failed_dials += 1;
                        search.gave_up(&job, &error.to_string());
                        if failed_dials == MAX_FAILED_DIALS {
                            errors.push(error.to_string());
                        }
                    }
                }
                continue;
            }
            if tasks.is_empty() {
                return errors;
            }
            tokio::select! {
                Some(ended) = tasks.join_next_with_id() => match ended {
                    Ok((id, stage)) => {
                        let Some(job) = begun.remove(&id) else { continue };
                        search.finished(job, stage);
                        progress("", search);
                    }
                    Err(error) => {
                        let Some(job) = begun.remove(&error.id()) else { continue };
                        errors.push(format!("the task of schedule {} crashed: {error}", job.number));
                        search.gave_up(&job, "its task crashed");
                    }
                },
                Ok(()) = outside.changed() => {}
                () = sleep_until(self.until.unwrap_or_else(Instant::now)), if self.until.is_some() => {}
            }
        }
    }

    fn is_late(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }

    /// A consumer for a connection. A second connection of one name would end the first.
    fn config(&self, connection: u64, era: Era) -> ClientConfig {
        let name = format!("dcproxy-fuzz-{:08x}-{connection}", self.run.salt & 0xffff_ffff);
        ClientConfig {
            login: self.run.access.login.clone(),
            nonce: Some(format!("fuzz{:016x}{connection:08x}", self.run.salt)),
            bucket: self.run.access.bucket.clone(),
            consumer_name: Some(name.clone()),
            name,
            ..ClientConfig::new(era, [])
        }
    }

    async fn dial(&self) -> Result<(Leg, String, String), DialError> {
        self.run.target.dial_addressed(self.run.connect_timeout).await
    }
}
