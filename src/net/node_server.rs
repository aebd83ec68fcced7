use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::listen::PAUSE;
use super::peer::{Machine, Peer};
use super::tls::Acceptor;
use super::{Clock, Leg, Shutdown, Sockets, Stop};
use crate::Timestamp;
use crate::journal::How;
use crate::node::{self, Connection, Node};

/// Where the embedded node is dialled.
#[derive(Debug)]
pub struct Entrance {
    /// Where connections come.
    pub listener: TcpListener,
    /// Agrees on TLS with whoever dials; without it that is plain.
    pub tls: Option<Acceptor>,
}

impl From<TcpListener> for Entrance {
    fn from(listener: TcpListener) -> Self {
        Self { listener, tls: None }
    }
}

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves the embedded node on its listeners, until `shutdown` says stop. Its connections end with it. Whoever shows a
/// certificate of the node's user is logged in.
pub async fn serve_node(entrances: impl IntoIterator<Item = impl Into<Entrance>>, node: Node, shutdown: &Shutdown) {
    let entrances: Vec<Entrance> = entrances.into_iter().map(Into::into).collect();
    let mut stop = shutdown.listen();
    let clock = Clock::start();
    let mut connections = JoinSet::new();
    let links = Shutdown::new();
    while *stop.borrow_and_update() == Stop::No {
        tokio::select! {
            (stream, tls) = accept(&entrances) => {
                let (node, mut stop) = (node.clone(), links.listen());
                connections.spawn(async move {
                    let joined = tokio::select! {
                        joined = join(stream, tls) => joined,
                        _ = stop.wait_for(|stop| *stop != Stop::No) => None,
                    };
                    let Some(leg) = joined else { return };
                    let mut connection = Connection::new(&node, clock.now());
                    if let Some(user) = leg.peer_name() {
                        connection.certified(&user);
                    }
                    Peer::new(connection, leg, clock).run(stop).await;
                });
            }
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!("a connection of the embedded node crashed: {error}");
                }
            }
            Ok(()) = stop.changed() => {}
        }
    }
    // Nobody is let in any more before the first is sent away.
    drop(entrances);
    loop {
        links.stop(*stop.borrow_and_update());
        tokio::select! {
            ended = connections.join_next() => if ended.is_none() { return },
            Ok(()) = stop.changed() => {}
        }
    }
}

async fn join(stream: TcpStream, tls: Option<Acceptor>) -> Option<Leg> {
    let Some(tls) = tls else { return Some(stream.into()) };
    match tls.accept(stream, HANDSHAKE).await {
        Ok(leg) => Some(leg),
        Err(error) => {
            error.tell();
            None
        }
    }
}

async fn accept(entrances: &[Entrance]) -> (TcpStream, Option<Acceptor>) {
    loop {
        match poll_fn(|context| poll(entrances, context)).await {
            Ok(accepted) => {
                Sockets::default().apply(&accepted.0);
                return accepted;
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn poll(entrances: &[Entrance], context: &mut Context<'_>) -> Poll<io::Result<(TcpStream, Option<Acceptor>)>> {
    for entrance in entrances {
        if let Poll::Ready(accepted) = entrance.listener.poll_accept(context) {
            return Poll::Ready(accepted.map(|(stream, _)| (stream, entrance.tls.clone())));
        }
    }
    Poll::Pending
}

impl Machine for Connection {
    fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        Self::feed(self, bytes, now);
    }

    fn closed(&mut self, how: How, now: Timestamp) {
        let how = match how {
            How::Fin => node::How::Fin,
            How::Reset => node::How::Reset,
        };
        Self::closed(self, how, now);
    }

    fn wakeup(&mut self, now: Timestamp) {
        Self::wakeup(self, now);
    }

    fn next_wakeup(&self, now: Timestamp) -> Option<Timestamp> {
        Self::next_wakeup(self, now)
    }

    fn pull(&mut self, to: &mut Vec<u8>, budget: usize, now: Timestamp) {
        Self::pull(self, to, budget, now);
    }

    fn closing(&self) -> Option<How> {
        Self::closing(self).map(|how| match how {
            node::How::Fin => How::Fin,
            node::How::Reset => How::Reset,
        })
    }

    fn wants_input(&self) -> bool {
        Self::wants_input(self)
    }
}
