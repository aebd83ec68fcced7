use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::listen::accept;
use super::peer::{Machine, Peer};
use super::{Clock, Shutdown, Stop};
use crate::Timestamp;
use crate::journal::How;
use crate::node::{self, Connection, Node};

/// Serves the embedded node on a listener, until `shutdown` says stop. Its connections end with it.
pub async fn serve_node(listener: TcpListener, node: Node, shutdown: &Shutdown) {
    let mut stop = shutdown.listen();
    let clock = Clock::start();
    let mut connections = JoinSet::new();
    let links = Shutdown::new();
    while *stop.borrow_and_update() == Stop::No {
        tokio::select! {
            stream = accept(&listener) => {
                let connection = Connection::new(&node, clock.now());
                connections.spawn(Peer::new(connection, stream, clock).run(links.listen()));
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
    drop(listener);
    loop {
        links.stop(*stop.borrow_and_update());
        tokio::select! {
            ended = connections.join_next() => if ended.is_none() { return },
            Ok(()) = stop.changed() => {}
        }
    }
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
