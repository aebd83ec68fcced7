//! Takes connections in, and serves each in a task: so many at a time, none that keeps others waiting while it says nothing,
//! and never so many at once that those of the proxies wait for them.

use std::future::poll_fn;
use std::pin::Pin;
use std::pin::pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use axum::Error;
use axum::Router;
use axum::body::Body;
use axum::body::HttpBody;
use bytes::Bytes;
use hyper::Request;
use hyper::body::Frame;
use hyper::body::Incoming;
use hyper::body::SizeHint;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::limits;
use super::patient::Patient;
use super::seats::Seat;
use super::seats::Seats;
use super::seats::Work;
use crate::net::accept;

/// What the connections of an API may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// So many at a time.
    pub(super) connections: usize,
    /// How long one may be silent, or not take what it is sent.
    pub(super) patience: Duration,
    /// How long one that has nothing to do, and is to leave, may take for it.
    pub(super) leave: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections: limits::MAX_CONNECTIONS, patience: limits::PATIENCE, leave: Duration::from_millis(500) }
    }
}

/// Serves until it is told to close: then nobody is let in, those that are silent go, and it ends when the others have been
/// answered.
pub(super) async fn serve(listener: TcpListener, router: Router, bounds: Bounds, mut close: watch::Receiver<bool>) {
    let seats = Arc::new(Seats::default());
    let turns = Arc::new(Semaphore::new(turns()));
    let mut tasks = JoinSet::new();
    loop {
        let stream = tokio::select! {
            stream = accept(&listener) => stream,
            _ = tasks.join_next(), if !tasks.is_empty() => continue,
            () = closed(&mut close) => break,
        };
        while tasks.len() >= bounds.connections && !*close.borrow() {
            seats.call_up();
            tokio::select! {
                _ = tasks.join_next() => {}
                () = seats.freed() => {}
                () = closed(&mut close) => {}
            }
        }
        let attended = attend(stream, router.clone(), Seat::new(&seats), bounds, close.clone());
        tasks.spawn(by_turns(Arc::clone(&turns), attended));
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

/// Waits until it is told to close.
async fn closed(close: &mut watch::Receiver<bool>) {
    // Whoever could tell has gone: that is the end too.
    close.wait_for(|&closes| closes).await.ok();
}

/// How many threads may be at work for the API at the same moment: half of them, so that bytes find another.
fn turns() -> usize {
    (Handle::current().metrics().num_workers() / 2).max(1)
}

async fn attend(stream: TcpStream, router: Router, seat: Seat, bounds: Bounds, mut close: watch::Receiver<bool>) {
    let seat = Arc::new(seat);
    let served = Arc::clone(&seat);
    let service = service_fn(move |request: Request<Incoming>| {
        let (work, router) = (served.work(), TowerToHyperService::new(router.clone()));
        async move { router.call(request).await.map(|answer| answer.map(|body| Held { body, _work: work })) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.patience)
        .max_headers(limits::MAX_HEADERS)
        .max_header_size(limits::MAX_HEAD)
        .max_buf_size(4 * limits::MAX_HEAD);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(Patient::new(stream, bounds.patience)), service));
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!("a connection of the API has ended: {error}");
            }
            return;
        }
        () = seat.called() => {}
        () = closed(&mut close) => {}
    }
    connection.as_mut().graceful_shutdown();
    // One that waits for its next request is gone with that; what is under way is answered. One that is in the middle of its
    // request's head, or takes no answer, has so long.
    while tokio::time::timeout(bounds.leave, connection.as_mut()).await.is_err() && seat.is_at_work() {}
}

/// Polls a future whenever it is woken and it is its turn.
async fn by_turns<F: Future>(turns: Arc<Semaphore>, future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        // It is never closed.
        let turn = turns.acquire().await;
        let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        drop(turn);
        if let Poll::Ready(output) = polled {
            return output;
        }
        // Whoever wakes the future wakes this.
        let mut woken = false;
        poll_fn(|_| if std::mem::replace(&mut woken, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

/// The body of an answer, and that it is being sent.
struct Held {
    body: Body,
    _work: Work,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
