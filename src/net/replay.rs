use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::listen::accept;
use super::peer::Peer;
use super::{Clock, Leg, Shutdown, Stop, Upstream};
use crate::replay::{Ensemble, Stage};

/// How many connections are played at once.
const AT_ONCE: usize = 16;

/// How often, and for how long, a recording is replayed.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// How often all of it is played; `None` for ever.
    pub rounds: Option<u64>,
    /// End at this time, with what is known till then.
    pub timeout: Option<Duration>,
    /// How long a dial may take.
    pub connect_timeout: Duration,
}

/// Plays the recorded consumers against a live producer: dials it for each recorded connection, at the time at which that
/// began in the recording.
pub async fn replay_against(target: &Upstream, ensemble: &mut Ensemble, rounds: Rounds, shutdown: &Shutdown) {
    let mut playing = Playing::new(rounds, shutdown);
    let mut left = rounds.rounds;
    while left != Some(0) && playing.goes_on() {
        ensemble.again();
        let begun = Instant::now();
        let mut starts: VecDeque<Duration> = ensemble.starts().into();
        while !starts.is_empty() && playing.goes_on() {
            let next = starts.front().copied().unwrap_or_default();
            let dialled = playing.wait_or(ensemble, true, async {
                sleep_until(begun + next).await;
                target.dial_addressed(rounds.connect_timeout).await
            });
            let Some(dialled) = dialled.await else { break };
            starts.pop_front();
            match dialled {
                Ok((leg, from, to)) => playing.start(ensemble, leg, &from, &to),
                Err(error) => {
                    ensemble.failed(error.to_string());
                    playing.stop();
                }
            }
        }
        playing.finish(ensemble).await;
        left = left.map(|left| left - 1);
    }
}

/// Plays the recorded producers to the consumers that come: each takes the next recorded connection.
pub async fn replay_to(listener: TcpListener, ensemble: &mut Ensemble, rounds: Rounds, shutdown: &Shutdown) {
    let mut playing = Playing::new(rounds, shutdown);
    let mut left = rounds.rounds;
    while left != Some(0) && playing.goes_on() {
        ensemble.again();
        // A consumer that looks for something else first hands its script back.
        while playing.goes_on() && (ensemble.left() > 0 || !playing.tasks.is_empty()) {
            let may_accept = ensemble.left() > 0;
            let accepted = playing.wait_or(ensemble, may_accept, async { Ok::<_, io::Error>(accept(&listener).await) });
            let Some(Ok(stream)) = accepted.await else { continue };
            if let (Ok(from), Ok(to)) = (stream.peer_addr(), stream.local_addr()) {
                playing.start(ensemble, stream.into(), &from.to_string(), &to.to_string());
            }
        }
        playing.finish(ensemble).await;
        left = left.map(|left| left - 1);
    }
}

/// The connections that are being played.
struct Playing<'a> {
    tasks: JoinSet<Stage>,
    links: Shutdown,
    outside: &'a Shutdown,
    clock: Clock,
    until: Option<Instant>,
}

impl<'a> Playing<'a> {
    fn new(rounds: Rounds, outside: &'a Shutdown) -> Self {
        Self {
            tasks: JoinSet::new(),
            links: Shutdown::new(),
            outside,
            clock: Clock::start(),
            until: rounds.timeout.map(|timeout| Instant::now() + timeout),
        }
    }

    fn goes_on(&self) -> bool {
        *self.links.listen().borrow() == Stop::No && *self.outside.listen().borrow() == Stop::No
    }

    fn stop(&self) {
        self.links.stop(Stop::Now);
    }

    fn start(&mut self, ensemble: &mut Ensemble, leg: Leg, from: &str, to: &str) {
        let Some(stage) = ensemble.begin(from, to, self.clock.now()) else { return };
        self.tasks.spawn(Peer::new(stage, leg, self.clock).run(self.links.listen()));
    }

    /// Waits for `what` if it `may` be waited for; `None` where something else happened first.
    async fn wait_or<T>(&mut self, ensemble: &mut Ensemble, may: bool, what: impl Future<Output = T>) -> Option<T> {
        let mut what: Pin<&mut dyn Future<Output = T>> = pin!(what);
        let mut outside = self.outside.listen();
        outside.borrow_and_update();
        loop {
            if !self.goes_on() {
                self.stop();
                return None;
            }
            let until = self.until;
            tokio::select! {
                done = &mut what, if may && self.tasks.len() < AT_ONCE => return Some(done),
                Some(ended) = self.tasks.join_next() => {
                    match ended {
                        Ok(stage) => ensemble.finished(stage),
                        Err(error) => ensemble.failed(format!("the task of a replay crashed: {error}")),
                    }
                    if !may {
                        return None;
                    }
                }
                Ok(()) = outside.changed() => {}
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => self.stop(),
            }
        }
    }

    /// Waits until all are over.
    async fn finish(&mut self, ensemble: &mut Ensemble) {
        while !self.tasks.is_empty() && self.goes_on() {
            self.wait_or(ensemble, false, std::future::pending::<()>()).await;
        }
        self.stop_if_asked();
        while let Some(ended) = self.tasks.join_next().await {
            if let Ok(stage) = ended {
                ensemble.finished(stage);
            }
        }
    }

    fn stop_if_asked(&self) {
        if !self.goes_on() {
            self.stop();
        }
    }
}
