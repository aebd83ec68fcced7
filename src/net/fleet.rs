use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::Id;
use tokio::task::JoinSet;
use tokio::time::Interval;
use tracing::Instrument;

use super::control::{Controlled, Newcomer, Newcomers, Registry};
use super::health::{Condition, Health};
use super::proxy::{Options, Served, Summary, serve_steered};
use super::{Doors, Reload, Shutdown, Steering, Stop, supervisor};

/// A proxy that has all it needs to serve.
#[derive(Debug)]
pub struct Outfit<S, W> {
    /// What it is called; empty where it is the only one, and nobody gave it a name.
    pub name: String,
    /// Where connections come, and where they go.
    pub doors: Doors,
    /// How it serves.
    pub options: Options,
    /// What its connections are for.
    pub served: S,
    /// What else belongs to it: handed back when it has ended.
    pub whose: W,
    /// What controls it, if anything does.
    pub steering: Option<Steering>,
}

/// Which proxies of a [`serve_fleet`] go, and which come.
#[derive(Debug)]
pub struct Changes<S, W> {
    /// Those of these names let nobody in any more; their connections go on to their own end.
    pub retire: Vec<String>,
    /// These serve from now on. One may have the name of one that is retired.
    pub start: Vec<Outfit<S, W>>,
    /// What has been done, for people.
    pub told: String,
}

/// Who decides which proxies there are, and is told what became of each.
pub trait Crew {
    /// What the connections of each are for.
    type Served: Served + Send + 'static;
    /// What else belongs to each.
    type Whose: Send + 'static;

    /// The files are to be read again. An error leaves everything as it is.
    fn reload(&mut self) -> impl Future<Output = Result<Changes<Self::Served, Self::Whose>, String>>;

    /// What one that somebody makes while the others serve needs.
    fn admit(&mut self, newcomer: Newcomer) -> Outfit<Self::Served, Self::Whose>;

    /// Those that were to start, at first or by [`Self::reload`], serve, and those that were to be retired let nobody in.
    fn changed(&mut self);

    /// One has ended: all its connections have.
    fn ended(&mut self, name: &str, whose: Self::Whose, served: Self::Served, summary: Summary);

    /// One has crashed, and all its connections with it.
    fn lost(&mut self, error: String);

    /// Nobody is to be let in any more.
    fn stopping(&mut self);
}

/// Serves several proxies until all have ended: by themselves, or because `shutdown` says so. `reload` changes which there
/// are, and `newcomers` come to them; if one was removed by whoever controls it, others are waited for. `health` says how they are, and so does the supervisor that started the process, if one did.
pub async fn serve_fleet<C: Crew>(
    crew: &mut C,
    start: Vec<Outfit<C::Served, C::Whose>>,
    shutdown: &Shutdown,
    reload: Option<&Reload>,
    mut newcomers: Option<Newcomers>,
    health: &Health,
) {
    let mut stop = shutdown.listen();
    let unheard = Reload::new();
    let mut reloads = reload.unwrap_or(&unheard).subscribe();
    let mut heartbeat = supervisor::heartbeat();
    let mut fleet = Fleet { running: BTreeMap::new(), tasks: JoinSet::new(), stop: Stop::No, health };
    start.into_iter().for_each(|outfit| fleet.start(outfit));
    crew.changed();
    supervisor::ready(&fleet.status());
    fleet.stop(crew, *stop.borrow_and_update());
    while !fleet.tasks.is_empty() || newcomers.as_ref().is_some_and(Newcomers::stays) {
        if fleet.stop != Stop::No {
            // Whoever makes one is told that none are made any more.
            newcomers = None;
            if fleet.tasks.is_empty() {
                break;
            }
        }
        tokio::select! {
            Some(ended) = fleet.tasks.join_next_with_id() => match ended {
                Ok((id, Ended { name, whose, served, summary })) => {
                    fleet.forget(id);
                    newcomers.iter_mut().filter(|_| summary.removed).for_each(Newcomers::stay);
                    crew.ended(&name, whose, served, summary);
                }
                Err(error) => {
                    fleet.forget(error.id());
                    crew.lost(error.to_string());
                }
            },
            mut newcomer = Newcomers::next(&mut newcomers) => {
                let started = newcomer.started();
                fleet.start(crew.admit(newcomer));
                if let Some(started) = started {
                    started.send(()).ok();
                }
            }
            Ok(()) = stop.changed() => fleet.stop(crew, *stop.borrow_and_update()),
            Ok(()) = reloads.changed(), if fleet.stop == Stop::No => fleet.reload(crew).await,
            () = beat(&mut heartbeat) => supervisor::alive(),
        }
    }
}

async fn beat(heartbeat: &mut Option<Interval>) {
    match heartbeat {
        Some(heartbeat) => {
            heartbeat.tick().await;
        }
        None => std::future::pending().await,
    }
}

struct Fleet<'a, S, W> {
    running: BTreeMap<Id, Running>,
    tasks: JoinSet<Ended<S, W>>,
    stop: Stop,
    health: &'a Health,
}

struct Ended<S, W> {
    name: String,
    whose: W,
    served: S,
    summary: Summary,
}

struct Running {
    name: String,
    shutdown: Shutdown,
    /// What its end may take once it is told to settle.
    end_within: Duration,
    /// Resolves when nobody can come in any more; `None` once that was asked for.
    closed: Option<oneshot::Receiver<()>>,
    /// Where it is known, and as what.
    known: Option<(Registry, Arc<Controlled>)>,
}

impl Running {
    /// Lets nobody in any more. What it returns resolves when that is so.
    fn retire(&mut self) -> Option<oneshot::Receiver<()>> {
        if let Some((registry, controlled)) = &self.known {
            registry.leave(controlled);
        }
        self.shutdown.stop(Stop::Drain);
        self.closed.take()
    }
}

impl<S: Served + Send + 'static, W: Send + 'static> Fleet<'_, S, W> {
    fn start(&mut self, outfit: Outfit<S, W>) {
        let Outfit { name, mut doors, options, mut served, whose, steering } = outfit;
        // So that it is there whatever the log's level, it is of the highest.
        let span = if name.is_empty() { tracing::Span::none() } else { tracing::error_span!("proxy", %name) };
        let shutdown = Shutdown::new();
        let end_within = options.drain + options.limits.settle;
        let closed = Some(doors.until_closed());
        let (told, called) = (shutdown.clone(), name.clone());
        let known = steering.as_ref().map(|steering| (steering.registry().clone(), Arc::clone(steering.controlled())));
        if let Some((registry, controlled)) = &known {
            registry.enter(Arc::clone(controlled));
        }
        let serving = async move {
            let summary = serve_steered(doors, options, &mut served, &told, steering).await;
            Ended { name: called, whose, served, summary }
        };
        let task = self.tasks.spawn(serving.instrument(span));
        self.running.insert(task.id(), Running { name, shutdown, end_within, closed, known });
        self.tell_health();
    }

    fn forget(&mut self, id: Id) {
        self.running.remove(&id);
        self.tell_health();
    }

    fn stop<C: Crew>(&mut self, crew: &mut C, stop: Stop) {
        if stop == Stop::No {
            return;
        }
        let is_first = std::mem::replace(&mut self.stop, stop) == Stop::No;
        self.tell_health();
        if is_first {
            crew.stopping();
            let longest = self.running.values().map(|running| running.end_within).max().unwrap_or_default();
            supervisor::stopping(longest + SLACK);
        }
        self.running.values().for_each(|running| running.shutdown.stop(stop));
    }

    async fn reload<C: Crew<Served = S, Whose = W>>(&mut self, crew: &mut C) {
        supervisor::reloading();
        let reloaded = crew.reload().await;
        self.health.reloaded(reloaded.is_ok());
        match reloaded {
            Ok(Changes { retire, start, told }) => {
                let retired = self.running.values_mut().filter(|running| retire.contains(&running.name));
                let closed: Vec<_> = retired.filter_map(Running::retire).collect();
                for closed in closed {
                    // Whoever dials after this is told of meets the new settings. The error is that they are closed.
                    closed.await.ok();
                }
                start.into_iter().for_each(|outfit| self.start(outfit));
                crew.changed();
                tracing::info!("{told}");
                supervisor::ready(&self.status());
            }
            Err(error) => {
                tracing::error!("nothing is changed: {error}");
                supervisor::ready(&format!("the last reload failed: {error}"));
            }
        }
    }

    fn serving(&self) -> usize {
        self.running.values().filter(|running| running.closed.is_some()).count()
    }

    fn status(&self) -> String {
        match self.serving() {
            1 => "one proxy serves".to_owned(),
            count => format!("{count} proxies serve"),
        }
    }

    fn tell_health(&self) {
        let serving = Condition::Serving(self.serving());
        self.health.set(if self.stop == Stop::No { serving } else { Condition::Draining });
    }
}

/// What the end of a process may take beyond that of its connections: reports are written.
const SLACK: Duration = Duration::from_secs(15);
