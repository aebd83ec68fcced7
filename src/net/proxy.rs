//! Accepts connections, dials the upstream for each, and runs a [`Link`] for every pair.

use std::any::Any;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::pin::Pin;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::Instrument;

use super::control::Control;
use super::crowd::{Crowd, Place};
use super::join::{Joined, NotJoined, join};
use super::steering::Links;
use super::tls::HandshakeError;
use super::{Core, DialError, Doors, Ending, Limits, Link, Route, Shutdown, Sockets, Steering, Stop, Workers};
use crate::capture::write::Ends;

/// What the connections of a proxy are for: it makes the core of each, and is told what became of it.
pub trait Served {
    /// What drives a connection.
    type Core: Core;

    /// All addresses of a connection, told right before its core is asked for.
    fn joined(&mut self, _id: u64, _ends: &Ends) {}

    /// The core of a connection whose two ends are connected. Ids count from 1.
    fn core(&mut self, id: u64, dialler: SocketAddr, upstream: SocketAddr) -> Self::Core;

    /// What controls that connection while it lasts, if anything does; asked for right after its core.
    fn control(&mut self, _id: u64) -> Option<Control<Self::Core>> {
        None
    }

    /// A connection has been accepted.
    fn accepted(&mut self) {}

    /// The upstream could not be dialled, for a connection that was accepted.
    fn dial_failed(&mut self, _error: &DialError) {}

    /// The one who dialled has not agreed on TLS.
    fn handshake_refused(&mut self) {}

    /// A connection is over. The answer is whether it counts as the one of [`Options::once`].
    fn finished(&mut self, id: u64, core: Self::Core, ending: &Ending) -> Counted;

    /// Nobody is let in any more. It may be told of that several times.
    fn closed(&mut self) {}

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
    /// What the sockets of both edges are like.
    pub sockets: Sockets,
    /// How long the connections may go on by themselves once the proxy is told to settle; nobody is let in meanwhile.
    pub drain: Duration,
    /// The most connections at a time. Where there are as many, those who dial wait in the kernel's queue.
    pub max_connections: Option<usize>,
    /// The most connections at a time whose upstream is still being dialled.
    pub max_dialling: usize,
    /// What each link may use.
    pub limits: Limits,
    /// Who runs the links; where nobody is named, the runtime that serves.
    pub workers: Option<Workers>,
}

impl Default for Options {
    /// Serves until it is told to stop, and any number.
    fn default() -> Self {
        Self {
            once: false,
            timeout: None,
            connect_timeout: Duration::from_secs(10),
            sockets: Sockets::default(),
            drain: Duration::ZERO,
            max_connections: None,
            max_dialling: 512,
            limits: Limits::default(),
            workers: None,
        }
    }
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
    /// Whoever controls it did.
    pub removed: bool,
}

/// Serves until `shutdown` says stop, the time is over, or, with [`Options::once`], the one connection is. All links have
/// ended and been told of when it returns. From the moment that it is told to stop, in whatever way, nobody is let in.
pub async fn serve<S: Served>(doors: Doors, options: Options, served: &mut S, shutdown: &Shutdown) -> Summary {
    serve_steered(doors, options, served, shutdown, None).await
}

/// As [`serve`]; it obeys whoever controls the proxy too.
pub(super) async fn serve_steered<S: Served>(
    mut doors: Doors,
    options: Options,
    served: &mut S,
    shutdown: &Shutdown,
    mut steering: Option<Steering>,
) -> Summary {
    let mut outside = shutdown.listen();
    let mut timeout = pin!(sleep_until(Instant::now() + options.timeout.unwrap_or_default()));
    let mut drained = pin!(sleep_until(Instant::now()));
    let mut server = Server {
        crowd: Crowd::new(&options),
        options,
        served,
        links: Shutdown::new(),
        generation: Arc::new(()),
        tasks: JoinSet::new(),
        summary: Summary::default(),
        accepts: true,
        drains: false,
    };
    let first = *outside.borrow_and_update();
    server.told(first, drained.as_mut());
    while server.accepts() || !server.tasks.is_empty() {
        if server.is_stopping() {
            doors.close();
            server.served.closed();
        }
        doors.let_in(server.crowd.has_room());
        tokio::select! {
            // That nobody is to be let in any more counts before those who wait to be.
            biased;
            Ok(()) = outside.changed() => {
                let stop = *outside.borrow_and_update();
                server.told(stop, drained.as_mut());
            }
            () = &mut drained, if server.drains => {
                server.drains = false;
                server.links.stop(Stop::Settle);
            }
            () = &mut timeout, if server.options.timeout.is_some() && !server.summary.timed_out => {
                server.summary.timed_out = true;
                server.links.stop(Stop::Now);
            }
            Some(done) = server.tasks.join_next() => {
                match done {
                    Ok((generation, done)) => server.done(generation, done),
                    Err(error) => tracing::error!("a connection's task was lost: {error}"),
                }
                steering.iter_mut().for_each(Steering::answer);
            }
            demand = Steering::next(&mut steering) => if let Some(steering) = &mut steering {
                match steering.obey(demand, &mut doors, &server.generation, server.is_stopping()) {
                    Links::Stay => {}
                    Links::Drop => server.drop_links(),
                    Links::End => {
                        server.summary.removed = true;
                        server.links.stop(Stop::Now);
                    }
                }
                steering.answer();
            },
            (dialler, route) = doors.accept(), if server.accepts() => server.accepted(dialler, route),
        }
    }
    server.served.closed();
    // Whoever has ended it is told.
    drop(steering);
    server.summary
}

struct Server<'a, S: Served> {
    options: Options,
    served: &'a mut S,
    /// Stops the links: when the outside says so, or when the one connection is over.
    links: Shutdown,
    /// The links of now: those that have been dropped are of another. Each task holds it until what came of it is dealt with.
    generation: Arc<()>,
    tasks: JoinSet<(Arc<()>, Done<S::Core>)>,
    crowd: Crowd,
    summary: Summary,
    accepts: bool,
    /// Whether the links are to settle some time.
    drains: bool,
}

enum Done<C> {
    Joined { id: u64, joined: Box<Joined>, place: Place },
    NotJoined { id: u64, why: NotJoined },
    Abandoned,
    Ended { id: u64, core: Box<C>, ending: Ending, refusal: Option<DialError>, told: Told },
}

/// What the log says of a connection when it is over.
struct Told {
    ends: Ends,
    since: Instant,
    /// The bytes that came from each side.
    received: [u64; 2],
}

impl<S: Served> Server<'_, S> {
    fn accepts(&self) -> bool {
        self.accepts && !self.is_stopping()
    }

    fn is_stopping(&self) -> bool {
        *self.links.listen().borrow() != Stop::No
    }

    /// The outside says how soon everything is to end: connections are given their time first, if they have any.
    fn told(&mut self, stop: Stop, drained: Pin<&mut Sleep>) {
        if stop == Stop::Settle && !self.options.drain.is_zero() {
            self.links.stop(Stop::Drain);
            self.drains = true;
            drained.reset(Instant::now() + self.options.drain);
            let (connections, limit) = (self.crowd.connections(), self.options.drain);
            if connections > 0 {
                tracing::info!(connections, "draining: what is under way may go on for {limit:?}");
            }
        } else {
            self.links.stop(stop);
        }
    }

    /// Ends all links at once; others may come.
    fn drop_links(&mut self) {
        let said = *self.links.listen().borrow();
        std::mem::replace(&mut self.links, Shutdown::new()).stop(Stop::Now);
        self.links.stop(said);
        self.generation = Arc::new(());
    }

    fn accepted(&mut self, stream: TcpStream, route: Arc<Route>) {
        self.summary.accepted += 1;
        self.served.accepted();
        self.accepts = !self.options.once || self.served.armed();
        let (id, limit, sockets) = (self.summary.accepted, self.options.connect_timeout, self.options.sockets);
        let (place, dialling) = (self.crowd.enter(), self.crowd.dial());
        let (mut stop, generation) = (self.links.listen(), Arc::clone(&self.generation));
        let dialled = async move {
            let _dialling = dialling;
            let done = tokio::select! {
                joined = join(stream, &route, sockets, limit) => match joined {
                    Ok(joined) => Done::Joined { id, joined: Box::new(joined), place },
                    Err(why) => Done::NotJoined { id, why },
                },
                _ = stop.wait_for(|stop| *stop >= Stop::Settle) => Done::Abandoned,
            };
            (generation, done)
        };
        self.tasks.spawn(dialled.in_current_span());
    }

    fn done(&mut self, generation: Arc<()>, done: Done<S::Core>) {
        match done {
            // Its dialler came while others were let in.
            Done::Joined { .. } if !Arc::ptr_eq(&generation, &self.generation) => {}
            Done::Joined { id, joined, place } => self.start(id, *joined, place),
            Done::NotJoined { why: NotJoined::Dialler(error), .. } => {
                error.tell();
                self.served.handshake_refused();
                self.accepts = true;
            }
            Done::NotJoined { id, why: NotJoined::Upstream(error) } => self.dial_failed(id, error),
            Done::Abandoned => {}
            Done::Ended { id, core, ending, refusal, told } => {
                if let Some(error) = refusal {
                    self.dial_failed(id, error);
                }
                if let Ending::Crashed(said) = &ending {
                    tracing::error!(connection = id, "the connection's task crashed: {said}");
                }
                told.log(id, &ending);
                let counted = self.served.finished(id, *core, &ending);
                if self.options.once && counted == Counted::Yes {
                    self.links.stop(Stop::Now);
                }
            }
        }
    }

    fn dial_failed(&mut self, id: u64, error: DialError) {
        self.served.dial_failed(&error);
        if self.options.once {
            self.links.stop(Stop::Now);
        } else {
            tracing::warn!(connection = id, "{error}");
        }
        self.summary.failed_dial.get_or_insert(error);
    }

    fn start(&mut self, id: u64, joined: Joined, place: Place) {
        let Ok(ends) = joined.ends() else {
            // One of them was reset between the dial and now; dropping both tells the other.
            tracing::warn!(connection = id, "the connection was reset before it began");
            self.accepts = true;
            return;
        };
        tracing::info!(connection = id, dialler = %ends.dialler, upstream = %ends.upstream, "connection opened");
        self.served.joined(id, &ends);
        let core = self.served.core(id, ends.dialler, ends.upstream);
        let control = self.served.control(id);
        let Joined { dialler, upstream, target, dial, .. } = joined;
        // A task has room for what it is given, and again for what it hands on.
        let mut link = Box::new(Link::new(core, dialler, upstream, self.options.limits).controlled(control));
        let seat = self.options.workers.as_ref().and_then(Workers::seat);
        let worker = seat.as_ref().map(|seat| seat.runtime().clone());
        let (stop, once, generation) = (self.links.listen(), self.options.once, Arc::clone(&self.generation));
        let since = Instant::now();
        let ended = async move {
            let (_place, _dial) = (place, dial);
            if seat.is_some() {
                link.move_here();
            }
            let (core, ending, received, [_, refusal]) = guarded(link, once, stop).await;
            let refusal = refusal.map(|why| DialError::NoTls { target, error: HandshakeError::Failed(why) });
            (generation, Done::Ended { id, core, ending, refusal, told: Told { ends, since, received } })
        };
        let ended = ended.in_current_span();
        match worker {
            Some(worker) => self.tasks.spawn_on(ended, &worker),
            None => self.tasks.spawn(ended),
        };
    }
}

impl Told {
    fn log(&self, id: u64, ending: &Ending) {
        let ([from_dialler, from_upstream], seconds) = (self.received, self.since.elapsed().as_secs_f64());
        let Ends { dialler, upstream, .. } = self.ends;
        tracing::info!(
            connection = id, %dialler, %upstream, from_dialler, from_upstream, seconds, how = ending.name(), "connection closed"
        );
    }
}

/// Runs a link; where it panics, its core is handed back all the same. The others are [`Link::received`] and
/// [`Link::refusal`] of each end.
pub(super) async fn guarded<C: Core>(
    mut link: Box<Link<C>>,
    until_settled: bool,
    stop: watch::Receiver<Stop>,
) -> (Box<C>, Ending, [u64; 2], [Option<String>; 2]) {
    let ending = {
        let mut run = pin!(link.run(until_settled, stop));
        poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(context))) {
            Ok(polled) => polled,
            Err(panic) => Poll::Ready(Ending::Crashed(said(panic.as_ref()))),
        })
        .await
    };
    let refusals = [link.refusal_of_dialler(), link.refusal()];
    let received = link.received();
    (link.into_core(), ending, received, refusals)
}

/// What a panic says.
pub(crate) fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
