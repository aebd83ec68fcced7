use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::join::ends;
use super::proxy::{Options, Served, Summary, guarded};
use super::tls::HandshakeError;
use super::{Clock, Core, DialError, Ending, Judged, Leg, Link, Shutdown, Stop, Upstream};
use crate::bridge::{Config, Progress};

/// Two nodes to be joined.
#[derive(Clone, Debug)]
pub struct BridgeRun {
    /// The node that streams.
    pub producer: Upstream,
    /// The node that takes it in.
    pub consumer: Upstream,
    /// What is said to them.
    pub config: Config,
    /// How long each pair of connections lasts: with [`Options::once`] there is one.
    pub options: Options,
    /// What the pauses between dials are made from.
    pub seed: u64,
}

/// The pause before the second dial is up to so long; each later one up to twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Joins two nodes, again and again as connections are lost, until `shutdown` says stop, the time is over, or, with
/// [`Options::once`] or [`Config::until_caught_up`], there is nothing more to do. What becomes of the connections is told to
/// `judged`, which must be [`Judged::bridged`] with `progress`.
pub async fn bridge(run: &BridgeRun, judged: &mut Judged, progress: &Progress, shutdown: &Shutdown) -> Summary {
    let mut bridging = Bridging {
        run,
        progress,
        summary: Summary::default(),
        links: Shutdown::new(),
        random: fastrand::Rng::with_seed(run.seed),
        failures: 0,
    };
    let mut outside = shutdown.listen();
    let links = bridging.links.clone();
    links.stop(*outside.borrow_and_update());
    let timed_out = {
        let mut running = pin!(bridging.run(judged));
        let mut timeout = pin!(sleep_until(Instant::now() + run.options.timeout.unwrap_or_default()));
        let mut timed_out = false;
        loop {
            tokio::select! {
                () = &mut running => break timed_out,
                Ok(()) = outside.changed() => links.stop(*outside.borrow_and_update()),
                () = &mut timeout, if run.options.timeout.is_some() && !timed_out => {
                    timed_out = true;
                    links.stop(Stop::Now);
                }
            }
        }
    };
    Summary { timed_out, ..bridging.summary }
}

struct Bridging<'a> {
    run: &'a BridgeRun,
    progress: &'a Progress,
    summary: Summary,
    links: Shutdown,
    random: fastrand::Rng,
    /// Connections that came to nothing, one after the other.
    failures: u32,
}

impl Bridging<'_> {
    async fn run(&mut self, judged: &mut Judged) {
        let mut stop = self.links.listen();
        while *stop.borrow_and_update() == Stop::No {
            let dialled = tokio::select! {
                dialled = self.dial() => dialled,
                _ = stop.wait_for(|stop| *stop != Stop::No) => return,
            };
            match dialled {
                Ok((consumer, producer)) => {
                    if self.join(consumer, producer, judged).await {
                        return;
                    }
                }
                // What was never there is not waited for.
                Err(error) if !self.progress.was_set_up() || self.run.options.once => {
                    self.summary.failed_dial = Some(error);
                    return;
                }
                Err(error) => tracing::warn!("{error}"),
            }
            let pause = self.pause();
            tracing::info!("dialling again in {pause:?}");
            tokio::select! {
                () = sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop != Stop::No) => return,
            }
        }
    }

    async fn dial(&self) -> Result<(Leg, Leg), DialError> {
        let limit = self.run.options.connect_timeout;
        tokio::try_join!(self.run.consumer.dial(limit), self.run.producer.dial(limit))
    }

    /// One pair of connections, from the dial to the end; tells whether it was the last.
    async fn join(&mut self, consumer: Leg, producer: Leg, judged: &mut Judged) -> bool {
        let Ok(ends) = ends(&consumer, &producer) else {
            tracing::warn!("a connection was reset before it began");
            return false;
        };
        self.summary.accepted += 1;
        let id = self.summary.accepted;
        judged.joined(id, &ends);
        let mut core = judged.core(id, ends.dialler, ends.upstream);
        // Neither end speaks first.
        core.wakeup(Clock::start().now());
        let options = &self.run.options;
        let until_settled = options.once || self.run.config.until_caught_up;
        let link = Box::new(Link::new(core, consumer, producer, options.limits));
        let (core, ending, _, refusals) = guarded(link, until_settled, self.links.listen()).await;
        judged.finished(id, *core, &ending);
        self.failures = if self.progress.is_set_up() { 0 } else { self.failures.saturating_add(1) };
        let nodes = [&self.run.consumer, &self.run.producer];
        if let Some((node, why)) = nodes.into_iter().zip(refusals).find_map(|(node, why)| Some((node, why?))) {
            // A certificate that was not liked is told after the handshake.
            let (target, error) = (node.target.clone(), HandshakeError::Failed(why));
            let error = DialError::NoTls { target, error };
            if id == 1 || options.once {
                self.summary.failed_dial = Some(error);
                return true;
            }
            tracing::warn!(connection = id, "{error}");
        }
        match (self.progress.failure(), &ending) {
            // The first answer stands: nobody is let in by asking again.
            (Some(why), _) if id == 1 || options.once => {
                judged.error(why);
                true
            }
            (_, Ending::Stopped | Ending::Settled) => true,
            (why, Ending::Closed | Ending::Crashed(_)) => {
                let told = why.unwrap_or_else(|| "the connections are over".to_owned());
                tracing::warn!(connection = id, "{told}");
                options.once || self.progress.is_caught_up()
            }
        }
    }

    fn pause(&mut self) -> Duration {
        let most = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
        most.mul_f64(0.5 + self.random.f64() / 2.0)
    }
}
