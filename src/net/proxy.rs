//! Accepts connections, dials the upstream for each, and runs a [`Link`] for every pair.

use std::any::Any;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::tls::HandshakeError;
use super::{Core, DialError, Doors, Ending, Leg, Limits, Link, Route, Shutdown, Stop, Target};
use crate::capture::write::Ends;

/// What the connections of a proxy are for: it makes the core of each, and is told what became of it.
pub trait Served {
    /// What drives a connection.
    type Core: Core;

    /// All addresses of a connection, told right before its core is asked for.
    fn joined(&mut self, _id: u64, _ends: &Ends) {}

    /// The core of a connection whose two ends are connected. Ids count from 1.
    fn core(&mut self, id: u64, dialler: SocketAddr, upstream: SocketAddr) -> Self::Core;

    /// A connection is over. The answer is whether it counts as the one of [`Options::once`].
    fn finished(&mut self, id: u64, core: Self::Core, ending: &Ending) -> Counted;

    /// Whether anything is armed; if nothing is, the first connection is the one of [`Options::once`].
    fn armed(&self) -> bool;
}

/// Whether a connection counts as the one that was to be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// It was the one.
    Yes,
    /// It was another: it never opened DCP.
    No,
}

/// How a proxy serves.
#[derive(Clone, Debug)]
pub struct Options {
    /// End after one connection that counts, or the first dial that fails.
    pub once: bool,
    /// End at this time, with what is known till then.
    pub timeout: Option<Duration>,
    /// How long a dial may take.
    pub connect_timeout: Duration,
    /// What each link may use.
    pub limits: Limits,
}

/// What came of serving.
#[derive(Debug, Default)]
pub struct Summary {
    /// The connections accepted.
    pub accepted: u64,
    /// The reason of the first dial that failed.
    pub failed_dial: Option<DialError>,
    /// [`Options::timeout`] ended it.
    pub timed_out: bool,
}

/// Serves until `shutdown` says stop, the time is over, or, with [`Options::once`], the one connection is. All links have
/// ended and been told of when it returns.
pub async fn serve<S: Served>(mut doors: Doors, options: Options, served: &mut S, shutdown: &Shutdown) -> Summary {
    let mut outside = shutdown.listen();
    let mut timeout = pin!(sleep_until(Instant::now() + options.timeout.unwrap_or_default()));
    let mut server = Server {
        options,
        served,
        links: Shutdown::new(),
        tasks: JoinSet::new(),
        summary: Summary::default(),
        accepts: true,
    };
    server.links.stop(*outside.borrow_and_update());
    while server.accepts() || !server.tasks.is_empty() {
        tokio::select! {
            (stream, route) = doors.accept(), if server.accepts() => server.accepted(stream, route),
            Some(done) = server.tasks.join_next() => match done {
                Ok(done) => server.done(done),
                Err(error) => tracing::error!("a connection's task was lost: {error}"),
            },
            Ok(()) = outside.changed() => server.links.stop(*outside.borrow_and_update()),
            () = &mut timeout, if server.options.timeout.is_some() && !server.summary.timed_out => {
                server.summary.timed_out = true;
                server.links.stop(Stop::Now);
            }
        }
    }
    server.summary
}

struct Server<'a, S: Served> {
    options: Options,
    served: &'a mut S,
    /// Stops the links: when the outside says so, or when the one connection is over.
    links: Shutdown,
    tasks: JoinSet<Done<S::Core>>,
    summary: Summary,
    accepts: bool,
}

enum Done<C> {
    Joined { id: u64, legs: Legs, target: Target },
    NotJoined { id: u64, why: NotJoined },
    Abandoned,
    Ended { id: u64, core: C, ending: Ending, refusal: Option<DialError> },
}

/// Both ends of a connection: the dialler's and the upstream's.
type Legs = (Leg, Leg);

enum NotJoined {
    /// The dialler does not speak TLS as it should.
    Dialler(HandshakeError),
    Upstream(DialError),
}

/// Agrees on TLS with the dialler, if that is to be, and dials the upstream. Whoever does not agree is no reason to dial.
async fn join(stream: TcpStream, route: &Route, limit: Duration) -> Result<Legs, NotJoined> {
    let dialler = match &route.tls {
        None => stream.into(),
        Some(tls) => tls.accept(stream, limit).await.map_err(NotJoined::Dialler)?,
    };
    match route.upstream.dial(limit).await {
        Ok(upstream) => Ok((dialler, upstream)),
        Err(error) => {
            dialler.close();
            Err(NotJoined::Upstream(error))
        }
    }
}

impl<S: Served> Server<'_, S> {
    fn accepts(&self) -> bool {
        self.accepts && *self.links.listen().borrow() == Stop::No
    }

    fn accepted(&mut self, stream: TcpStream, route: Arc<Route>) {
        self.summary.accepted += 1;
        self.accepts = !self.options.once || self.served.armed();
        let (id, limit) = (self.summary.accepted, self.options.connect_timeout);
        let mut stop = self.links.listen();
        self.tasks.spawn(async move {
            tokio::select! {
                joined = join(stream, &route, limit) => match joined {
                    Ok(legs) => Done::Joined { id, legs, target: route.upstream.target.clone() },
                    Err(why) => Done::NotJoined { id, why },
                },
                _ = stop.wait_for(|stop| *stop != Stop::No) => Done::Abandoned,
            }
        });
    }

    fn done(&mut self, done: Done<S::Core>) {
        match done {
            Done::Joined { id, legs, target } => self.start(id, legs, target),
            Done::NotJoined { why: NotJoined::Dialler(error), .. } => {
                error.tell();
                self.accepts = true;
            }
            Done::NotJoined { id, why: NotJoined::Upstream(error) } => self.dial_failed(id, error),
            Done::Abandoned => {}
            Done::Ended { id, core, ending, refusal } => {
                if let Some(error) = refusal {
                    self.dial_failed(id, error);
                }
                if let Ending::Crashed(said) = &ending {
                    tracing::error!(connection = id, "the connection's task crashed: {said}");
                }
                let counted = self.served.finished(id, core, &ending);
                if self.options.once && counted == Counted::Yes {
                    self.links.stop(Stop::Now);
                }
            }
        }
    }

    fn dial_failed(&mut self, id: u64, error: DialError) {
        if self.options.once {
            self.links.stop(Stop::Now);
        } else {
            tracing::warn!(connection = id, "{error}");
        }
        self.summary.failed_dial.get_or_insert(error);
    }

    fn start(&mut self, id: u64, (dialler, upstream): Legs, target: Target) {
        let Ok(ends) = ends(&dialler, &upstream) else {
            // One of them was reset between the dial and now; dropping both tells the other.
            tracing::warn!(connection = id, "the connection was reset before it began");
            self.accepts = true;
            return;
        };
        self.served.joined(id, &ends);
        let core = self.served.core(id, ends.dialler, ends.upstream);
        let (link, stop, once) =
            (Link::new(core, dialler, upstream, self.options.limits), self.links.listen(), self.options.once);
        self.tasks.spawn(async move {
            let (core, ending, refusal) = guarded(link, once, stop).await;
            let refusal = refusal.map(|why| DialError::NoTls { target, error: HandshakeError::Failed(why) });
            Done::Ended { id, core, ending, refusal }
        });
    }
}

/// All addresses of a connection.
pub(super) fn ends(dialler: &Leg, upstream: &Leg) -> io::Result<Ends> {
    Ok(Ends {
        dialler: dialler.peer_addr()?,
        accepted_at: dialler.local_addr()?,
        dialled_from: upstream.local_addr()?,
        upstream: upstream.peer_addr()?,
    })
}

/// Runs a link; where it panics, its core is handed back all the same. The third is [`Link::refusal`].
pub(super) async fn guarded<C: Core>(
    mut link: Link<C>,
    until_settled: bool,
    stop: watch::Receiver<Stop>,
) -> (C, Ending, Option<String>) {
    let ending = {
        let mut run = pin!(link.run(until_settled, stop));
        poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(context))) {
            Ok(polled) => polled,
            Err(panic) => Poll::Ready(Ending::Crashed(said(panic.as_ref()))),
        })
        .await
    };
    let refusal = link.refusal();
    (link.into_core(), ending, refusal)
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
