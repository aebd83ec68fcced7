use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

/// Threads that relay, each with a runtime of its own: a connection stays with the one that it was given to, so that its
/// sockets wake no other, and what it touches stays in one core's caches.
#[derive(Clone, Debug)]
pub struct Workers {
    all: Arc<Vec<Worker>>,
    /// The threads end once nobody holds it.
    _held: Arc<watch::Sender<()>>,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// Connections that it has.
    busy: Arc<AtomicUsize>,
}

/// A place on a worker, for as long as it is held.
#[derive(Debug)]
pub(super) struct Seat {
    runtime: Handle,
    busy: Arc<AtomicUsize>,
}

impl Workers {
    /// Those of the process, as many as the machine runs at once. `None` where the system gives none, which is told: then the
    /// runtime that serves relays too.
    pub fn of_process() -> Option<Self> {
        static WORKERS: OnceLock<Option<Workers>> = OnceLock::new();
        let start = || match Self::of(thread::available_parallelism().map_or(1, usize::from)) {
            Ok(workers) => Some(workers),
            Err(error) => {
                tracing::warn!("no threads to relay in, one runtime does all: {error}");
                None
            }
        };
        WORKERS.get_or_init(start).clone()
    }

    fn of(count: usize) -> io::Result<Self> {
        let (held, watched) = watch::channel(());
        let mut all = Vec::with_capacity(count);
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            all.push(Worker { runtime: runtime.handle().clone(), busy: Arc::default() });
            let mut watched = watched.clone();
            thread::Builder::new().name(format!("relay-{number}")).spawn(move || {
                // It is an error once there is no sender.
                runtime.block_on(async { while watched.changed().await.is_ok() {} });
            })?;
        }
        Ok(Self { all: Arc::new(all), _held: Arc::new(held) })
    }

    /// A place on the worker that has the fewest connections.
    pub(super) fn seat(&self) -> Option<Seat> {
        let Worker { runtime, busy } = self.all.iter().min_by_key(|worker| worker.busy.load(Ordering::Relaxed))?;
        busy.fetch_add(1, Ordering::Relaxed);
        Some(Seat { runtime: runtime.clone(), busy: Arc::clone(busy) })
    }
}

impl Seat {
    /// The runtime of its worker.
    pub(super) const fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use super::*;

    fn thread_of(seat: &Seat) -> ThreadId {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(seat.runtime().spawn(async { thread::current().id() })).expect("no panic")
    }

    #[test]
    fn whoever_has_the_fewest_connections_gets_the_next() {
        let workers = Workers::of(3).expect("threads");
        let seats: Vec<_> = (0..3).map(|_| workers.seat().expect("a worker")).collect();
        let threads: Vec<_> = seats.iter().map(thread_of).collect();
        assert!(threads[0] != threads[1] && threads[1] != threads[2] && threads[0] != threads[2]);
        let [first, second, third] = <[Seat; 3]>::try_from(seats).expect("three");
        drop(second);
        let again = workers.seat().expect("a worker");
        assert_eq!(thread_of(&again), threads[1]);
        drop((first, third, again));
        let busy = |worker: &Worker| worker.busy.load(Ordering::Relaxed);
        assert!(workers.all.iter().all(|worker| busy(worker) == 0));
    }

    #[test]
    fn its_threads_end_with_it() {
        let workers = Workers::of(1).expect("threads");
        let ended = workers.seat().expect("a worker").runtime().spawn(std::future::pending::<()>());
        drop(workers);
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        assert!(runtime.block_on(ended).expect_err("it never ends by itself").is_cancelled());
    }
}
