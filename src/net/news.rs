//! What a link is told from outside: seldom, and looked at without a lock while nothing has been.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use tokio::sync::{mpsc, watch};

use super::Stop;
use super::control::{Orders, Visit};

/// Where it is told.
pub(super) struct Ears<C> {
    pub(super) stop: watch::Receiver<Stop>,
    pub(super) control: Option<Controls<C>>,
}

/// What whoever controls the proxy says.
pub(super) struct Controls<C> {
    pub(super) orders: watch::Receiver<Arc<Orders>>,
    pub(super) visits: mpsc::Receiver<Visit<C>>,
    pub(super) end: watch::Receiver<bool>,
}

/// One thing that it is told.
pub(super) enum News<C> {
    Orders(Arc<Orders>),
    Visit(Visit<C>),
    /// It is to end at once.
    End,
    Stop(Stop),
}

/// Waits for the next; orders before whoever comes to see that they are obeyed.
pub(super) async fn next<C>(mut ears: Ears<C>) -> (Ears<C>, News<C>) {
    let Ears { stop, control } = &mut ears;
    let news = tokio::select! {
        biased;
        news = controlled(control) => news,
        Ok(()) = stop.changed() => News::Stop(*stop.borrow_and_update()),
        else => std::future::pending().await,
    };
    (ears, news)
}

async fn controlled<C>(control: &mut Option<Controls<C>>) -> News<C> {
    let Some(Controls { orders, visits, end }) = control else { return std::future::pending().await };
    tokio::select! {
        biased;
        Ok(()) = orders.changed() => News::Orders(Arc::clone(&orders.borrow_and_update())),
        Some(visit) = visits.recv() => News::Visit(visit),
        Ok(()) = end.changed() => News::End,
        else => std::future::pending().await,
    }
}

/// Remembers that what it wakes was woken by it, so that a future which is part of that is not polled when something else
/// did: polling one that waits for a channel takes the channel's lock.
pub(super) struct Bell {
    rung: AtomicBool,
    task: AtomicWaker,
}

impl Bell {
    /// One that is rung, and the waker that rings it.
    pub(super) fn new() -> (Arc<Self>, Waker) {
        let bell = Arc::new(Self { rung: AtomicBool::new(true), task: AtomicWaker::new() });
        let waker = Waker::from(Arc::clone(&bell));
        (bell, waker)
    }

    /// Has the future be polled the next time: it is another.
    pub(super) fn ring(&self) {
        self.rung.store(true, Ordering::Release);
    }

    /// Polls a future by the bell's waker if that has rung. It is one future after the other, in one task.
    pub(super) fn poll<F: Future>(&self, future: Pin<&mut F>, waker: &Waker, context: &Context<'_>) -> Poll<F::Output> {
        self.task.register(context.waker());
        if self.rung.swap(false, Ordering::AcqRel) {
            future.poll(&mut Context::from_waker(waker))
        } else {
            Poll::Pending
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn what_waits_for_a_channel_is_polled_when_that_wakes_it_and_not_before() {
        let (sender, mut receiver) = watch::channel(0);
        let mut polls = 0;
        let (bell, waker) = Bell::new();
        let mut told = pin!(async {
            receiver.changed().await.expect("there is a sender");
            *receiver.borrow()
        });
        let mut counted = pin!(poll_fn(|context| {
            polls += 1;
            told.as_mut().poll(context)
        }));
        for _ in 0..3 {
            let now = poll_fn(|context| Poll::Ready(bell.poll(counted.as_mut(), &waker, context))).await;
            assert!(now.is_pending());
        }
        sender.send_replace(7);
        let heard = poll_fn(|context| bell.poll(counted.as_mut(), &waker, context)).await;
        assert_eq!((heard, polls), (7, 2));
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let (sender, mut receiver) = watch::channel(0);
        let (bell, waker) = Bell::new();
        let waits = tokio::spawn(async move {
            let mut told = pin!(receiver.changed());
            poll_fn(|context| bell.poll(told.as_mut(), &waker, context)).await
        });
        tokio::task::yield_now().await;
        sender.send_replace(1);
        assert!(waits.await.expect("no panic").is_ok());
    }
}
