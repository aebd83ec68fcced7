use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use super::descriptors::advice;
use super::listen::PAUSE;
use super::tls::Acceptor;
use super::{Destination, Target};

/// Where the connections of a listener go, and how.
#[derive(Clone, Debug)]
pub struct Route {
    /// Where to dial, and whether TLS is spoken there.
    pub upstream: Destination,
    /// Agrees on TLS with whoever dials; without it that is plain.
    pub tls: Option<Acceptor>,
}

impl From<Target> for Route {
    fn from(upstream: Target) -> Self {
        Self { upstream: upstream.into(), tls: None }
    }
}

/// One listener of a proxy, and where its connections go.
#[derive(Debug)]
pub struct Door {
    /// Where they come.
    pub listener: TcpListener,
    /// Where they go.
    pub route: Arc<Route>,
}

/// The listeners of one proxy: those that it starts with, and those that come and go while it serves.
#[derive(Debug)]
pub struct Doors {
    open: Vec<Door>,
    changes: Option<mpsc::UnboundedReceiver<Change>>,
    /// The door that is asked first, so that a busy one does not keep the others from their turn.
    next: usize,
    /// Whether the last that was to be accepted could not be.
    failing: bool,
    /// Whether nobody is let in for now.
    full: bool,
    /// Dropped when nobody can be let in any more.
    closed: Option<oneshot::Sender<()>>,
    /// What is to be open again later, where all are shut for now.
    aside: Option<Vec<(SocketAddr, Arc<Route>)>>,
}

/// What becomes of the listeners of a proxy that serves.
#[derive(Debug)]
pub enum Change {
    /// One more.
    Open(Door),
    /// That on this address is closed; the connections that came there go on.
    Close(SocketAddr),
}

impl Doors {
    /// These, and no others later.
    pub const fn new(open: Vec<Door>) -> Self {
        Self { open, changes: None, next: 0, failing: false, full: false, closed: None, aside: None }
    }

    /// One listener, all of whose connections go one way.
    pub fn one(listener: TcpListener, route: impl Into<Route>) -> Self {
        Self::new(vec![Door { listener, route: Arc::new(route.into()) }])
    }

    /// These, and what is told of through the sender while they are served.
    pub fn changing(open: Vec<Door>) -> (Self, mpsc::UnboundedSender<Change>) {
        let (sender, changes) = mpsc::unbounded_channel();
        (Self { changes: Some(changes), ..Self::new(open) }, sender)
    }

    /// The next connection, and where it goes. What fails for one caller (it has hung up already) or for want of
    /// descriptors is tried again, and logged once until somebody is let in. Nothing is lost where this is cancelled.
    pub(super) async fn accept(&mut self) -> (TcpStream, Arc<Route>) {
        loop {
            match poll_fn(|context| self.poll(context)).await {
                Ok(accepted) => {
                    self.failing = false;
                    return accepted;
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        tracing::warn!("cannot accept a connection: {error}{}", advice(&error));
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Whether [`Self::accept`] lets somebody in, or has whoever dials wait. Doors come and go all the same.
    pub(super) const fn let_in(&mut self, somebody: bool) {
        self.full = !somebody;
    }

    /// Closes all of them: whoever dials is refused.
    pub(super) fn close(&mut self) {
        self.open.clear();
        self.changes = None;
        self.closed = None;
    }

    /// Closes all of them for now: whoever dials is refused. All but that at `main` are remembered.
    pub(super) fn shut(&mut self, main: Option<SocketAddr>) {
        let aside = self.aside.get_or_insert_default();
        let shut = self.open.drain(..).filter_map(|door| Some((door.listener.local_addr().ok()?, door.route)));
        aside.extend(shut.filter(|(at, _)| Some(*at) != main));
    }

    /// Those that were shut for now, but the main one.
    pub(super) fn aside(&self) -> &[(SocketAddr, Arc<Route>)] {
        self.aside.as_deref().unwrap_or_default()
    }

    /// Lets people in again, by these.
    pub(super) fn reopen(&mut self, open: Vec<Door>) {
        self.aside = None;
        self.open = open;
    }

    /// Resolves, to an error, once they are closed: from then on nobody comes in here.
    pub(super) fn until_closed(&mut self) -> oneshot::Receiver<()> {
        let (closed, until_closed) = oneshot::channel();
        self.closed = Some(closed);
        until_closed
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(TcpStream, Arc<Route>)>> {
        self.change(context);
        if self.full {
            return Poll::Pending;
        }
        for turn in 0..self.open.len() {
            let at = (self.next + turn) % self.open.len();
            let door = &self.open[at];
            if let Poll::Ready(accepted) = door.listener.poll_accept(context) {
                let route = Arc::clone(&door.route);
                self.next = at + 1;
                return Poll::Ready(accepted.map(|(stream, _)| (stream, route)));
            }
        }
        Poll::Pending
    }

    fn change(&mut self, context: &mut Context<'_>) {
        while let Some(changes) = &mut self.changes {
            match changes.poll_recv(context) {
                Poll::Ready(Some(Change::Open(door))) => match &mut self.aside {
                    None => self.open.push(door),
                    Some(aside) => aside.extend(door.listener.local_addr().ok().map(|at| (at, door.route))),
                },
                Poll::Ready(Some(Change::Close(at))) => {
                    self.aside.iter_mut().for_each(|aside| aside.retain(|(addr, _)| *addr != at));
                    self.open.retain(|door| door.listener.local_addr().map_or(true, |addr| addr != at));
                }
                Poll::Ready(None) => self.changes = None,
                Poll::Pending => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::FutureExt;

    use super::*;
    use crate::net::Target;

    async fn door(host: &str) -> (SocketAddr, Door) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a listener");
        let at = listener.local_addr().expect("an address");
        (at, Door { listener, route: Arc::new(Target { host: host.to_owned(), port: 1 }.into()) })
    }

    #[tokio::test]
    async fn every_door_leads_to_its_own_upstream_and_a_busy_one_does_not_keep_the_others() {
        let ((first, one), (second, two)) = (door("a").await, door("b").await);
        let mut doors = Doors::new(vec![one, two]);
        let mut dialled = Vec::new();
        for at in [first, first, first, second] {
            dialled.push(TcpStream::connect(at).await.expect("connected"));
        }
        let mut hosts = Vec::new();
        for _ in 0..2 {
            hosts.push(doors.accept().await.1.upstream.to_string());
        }
        hosts.sort();
        assert_eq!(hosts, ["a:1", "b:1"]);
    }

    #[tokio::test]
    async fn with_no_room_nobody_is_let_in_and_doors_come_and_go_all_the_same() {
        let ((first, one), (second, two)) = (door("a").await, door("b").await);
        let (mut doors, changes) = Doors::changing(vec![one]);
        changes.send(Change::Open(two)).expect("served");
        let _dialled = (TcpStream::connect(second).await, TcpStream::connect(second).await);
        // Now it is known of the door that somebody is there, and a look tells.
        doors.accept().await;
        changes.send(Change::Close(first)).expect("served");
        doors.let_in(false);
        assert!(doors.accept().now_or_never().is_none());
        assert!(TcpStream::connect(first).await.is_err());
        doors.let_in(true);
        assert!(doors.accept().now_or_never().is_some());
    }

    #[tokio::test]
    async fn doors_come_and_go_while_they_are_served() {
        let ((first, one), (second, two)) = (door("a").await, door("b").await);
        let (mut doors, changes) = Doors::changing(vec![one]);
        changes.send(Change::Open(two)).expect("served");
        let _dialled = TcpStream::connect(second).await.expect("connected");
        assert_eq!(doors.accept().await.1.upstream.to_string(), "b:1");
        changes.send(Change::Close(first)).expect("served");
        let _other = TcpStream::connect(second).await.expect("connected");
        doors.accept().await;
        assert!(TcpStream::connect(first).await.is_err());
    }
}
