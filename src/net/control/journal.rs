use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};

use super::lock;
use crate::filter::{Filter, Subject};
use crate::journal::{Entry, Role, Side, What};
use crate::session::{Context, OrphanOf, Session};

/// Where the journals of a proxy's connections can be listened to while they are written.
///
/// A link that nobody listens to looks at one number for each entry. To those who listen it hands what they want; what has
/// no room in their queues is counted and lost: no link waits for a listener.
#[derive(Debug, Default)]
pub struct Journal {
    /// Goes up whenever somebody comes or leaves.
    version: AtomicU64,
    listeners: Mutex<Arc<[Arc<Listener>]>>,
    ended: watch::Sender<bool>,
}

/// Entries that wait for a listener, at most.
const MOST_WAITING: usize = 1_024;

/// Which entries are listened to.
#[derive(Clone, Debug, Default)]
pub struct Hearing {
    /// Only frames for which this holds.
    pub filter: Option<Filter>,
    /// Only those of the connection with this number.
    pub connection: Option<u64>,
    /// Only those at the edge of this end.
    pub edge: Option<Side>,
    /// Only those of these kinds; of all where there is none.
    pub kinds: Vec<NotedKind>,
}

/// What an entry is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotedKind {
    /// A frame.
    Frame,
    /// Something that the tool did on purpose.
    Act,
    /// The end of a direction.
    Closed,
    /// Back-pressure: nothing more is read from an end, or again.
    Paused,
    /// The end of framing.
    FramingLost,
}

/// One entry, as it is handed to a listener.
#[derive(Clone, Debug)]
pub struct Noted {
    /// The connection's number.
    pub connection: u64,
    /// The entry.
    pub entry: Entry,
    /// The role of who sent it; `None` before DCP_OPEN.
    pub sender: Option<Role>,
    /// Where it is an orphaned response: what it answers.
    pub orphan: Option<OrphanOf>,
    /// Entries that were wanted and lost before it.
    lost_before: u64,
}

#[derive(Debug)]
struct Listener {
    wanted: Hearing,
    sender: mpsc::Sender<Noted>,
    lost: AtomicU64,
}

/// What a listener hears.
#[derive(Clone, Debug)]
pub enum Heard {
    /// An entry.
    Noted(Box<Noted>),
    /// So many entries were wanted, and there was no room for them.
    Lost(u64),
}

impl NotedKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Frame, Self::Act, Self::Closed, Self::Paused, Self::FramingLost];

    /// What an entry tells of.
    pub const fn of(what: &What) -> Self {
        match what {
            What::Frame(_) => Self::Frame,
            What::FramingLost(_) | What::Gap(_) => Self::FramingLost,
            What::Paused(_) => Self::Paused,
            What::Acted(_) => Self::Act,
            What::Closed { .. } => Self::Closed,
        }
    }

    /// `frame`, `act`, `closed`, `paused` or `framing_lost`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Act => "act",
            Self::Closed => "closed",
            Self::Paused => "paused",
            Self::FramingLost => "framing_lost",
        }
    }
}

impl FromStr for NotedKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::as_str).join(", ");
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("expected one of {known}, found '{text}'"))
    }
}

impl Hearing {
    fn takes(&self, connection: u64, entry: &Entry, context: &Context, session: &Session) -> bool {
        let here = self.connection.is_none_or(|wanted| wanted == connection)
            && self.edge.is_none_or(|wanted| wanted == entry.edge)
            && (self.kinds.is_empty() || self.kinds.contains(&NotedKind::of(&entry.what)));
        match (&self.filter, &entry.what) {
            (Some(filter), What::Frame(head)) if here => filter.matches(&Subject {
                conn: Some(connection),
                from: Some(said_by(entry, context.sender)),
                negotiated: *session.negotiated(),
                orphan: context.orphan.map(|orphan| orphan.to),
                ..Subject::of_head(head, entry.at)
            }),
            _ => here,
        }
    }
}

/// Who sent a frame, as `frame.from` has it: `client` or `server` before DCP_OPEN.
pub fn said_by(entry: &Entry, sender: Option<Role>) -> &'static str {
    match (sender, entry.sender()) {
        (Some(Role::Producer), _) => "producer",
        (Some(Role::Consumer), _) => "consumer",
        (None, Side::Dialler) => "client",
        (None, Side::Upstream) => "server",
    }
}

impl Journal {
    /// Begins to listen; how many do so at a time is for the caller to bound. `None` where the proxy is gone.
    pub fn listen(self: &Arc<Self>, wanted: Hearing) -> Option<Tail> {
        let (sender, queue) = mpsc::channel(MOST_WAITING);
        let listener = Arc::new(Listener { wanted, sender, lost: AtomicU64::new(0) });
        let ended = self.ended.subscribe();
        if *ended.borrow() {
            return None;
        }
        let mut listeners = lock(&self.listeners);
        *listeners = listeners.iter().chain([&listener]).cloned().collect();
        drop(listeners);
        self.version.fetch_add(1, Ordering::Release);
        Some(Tail { journal: Arc::clone(self), listener, queue, put_back: None, ended })
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        lock(&self.listeners).len()
    }

    /// Nobody listens any more.
    pub fn end(&self) {
        self.ended.send_replace(true);
    }

    fn leave(&self, gone: &Arc<Listener>) {
        let mut listeners = lock(&self.listeners);
        *listeners = listeners.iter().filter(|listener| !Arc::ptr_eq(listener, gone)).cloned().collect();
        drop(listeners);
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// What a listener holds: it is deaf once this is dropped.
#[derive(Debug)]
pub struct Tail {
    journal: Arc<Journal>,
    listener: Arc<Listener>,
    queue: mpsc::Receiver<Noted>,
    /// What comes next, once it is told that others were lost before it.
    put_back: Option<Box<Noted>>,
    ended: watch::Receiver<bool>,
}

impl Tail {
    /// The next entry, or how many were lost where it would stand; `None` once the proxy is gone.
    pub async fn next(&mut self) -> Option<Heard> {
        if *self.ended.borrow() {
            return None;
        }
        if let Some(noted) = self.put_back.take() {
            return Some(Heard::Noted(noted));
        }
        let noted = match self.queue.try_recv() {
            Ok(noted) => Some(noted),
            // What was lost since the last one that had room: nothing may follow it that tells of it.
            Err(_) => match self.listener.lost.swap(0, Ordering::Relaxed) {
                0 => tokio::select! {
                    noted = self.queue.recv() => noted,
                    _ = self.ended.wait_for(|ended| *ended) => None,
                },
                lost => return Some(Heard::Lost(lost)),
            },
        }?;
        Some(self.place(noted))
    }

    /// An entry, unless others were lost before it: then it is put down until that is told.
    fn place(&mut self, mut noted: Noted) -> Heard {
        match std::mem::take(&mut noted.lost_before) {
            0 => Heard::Noted(Box::new(noted)),
            lost => {
                self.put_back = Some(Box::new(noted));
                Heard::Lost(lost)
            }
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.journal.leave(&self.listener);
    }
}

/// A connection's way to those who listen.
#[derive(Debug)]
pub struct Ear {
    journal: Arc<Journal>,
    connection: u64,
    seen: u64,
    listeners: Arc<[Arc<Listener>]>,
}

impl Ear {
    /// Of the connection with this number.
    pub fn new(journal: Arc<Journal>, connection: u64) -> Self {
        Self { journal, connection, seen: 0, listeners: Arc::default() }
    }

    /// Hands an entry to those who want it. Where nobody listens it costs a look at a number.
    pub fn hear(&mut self, entry: &Entry, context: &Context, session: &Session) {
        let version = self.journal.version.load(Ordering::Relaxed);
        if version != self.seen {
            self.refresh(version);
        }
        for listener in self.listeners.iter() {
            listener.offer(self.connection, entry, context, session);
        }
    }

    /// Whether nobody listens, and nobody has begun to since an entry was handed on last.
    pub fn hears_nothing(&self) -> bool {
        self.listeners.is_empty() && self.journal.version.load(Ordering::Relaxed) == self.seen
    }

    #[cold]
    fn refresh(&mut self, version: u64) {
        self.listeners = Arc::clone(&lock(&self.journal.listeners));
        self.seen = version;
    }
}

impl Listener {
    fn offer(&self, connection: u64, entry: &Entry, context: &Context, session: &Session) {
        if self.sender.is_closed() || !self.wanted.takes(connection, entry, context, session) {
            return;
        }
        match self.sender.try_reserve() {
            Ok(place) => place.send(Noted {
                connection,
                entry: entry.clone(),
                sender: context.sender,
                orphan: context.orphan.map(|orphan| orphan.to),
                lost_before: self.lost.swap(0, Ordering::Relaxed),
            }),
            Err(_) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::journal::{Direction, How, Origin};

    fn entry(edge: Side, what: What) -> Entry {
        Entry { at: Timestamp(1), edge, direction: Direction::From, origin: Origin::Peer, what }
    }

    fn say(ear: &mut Ear, times: u64) {
        let session = Session::new(Side::Upstream);
        for partial in 0..times {
            let closed = entry(Side::Upstream, What::Closed { how: How::Fin, partial });
            ear.hear(&closed, &Context::default(), &session);
        }
    }

    async fn partial(tail: &mut Tail) -> Option<u64> {
        match tail.next().await? {
            Heard::Noted(noted) => {
                let What::Closed { partial, .. } = noted.entry.what else { panic!("{:?}", noted.entry.what) };
                Some(partial)
            }
            Heard::Lost(lost) => panic!("{lost} lost"),
        }
    }

    #[tokio::test]
    async fn what_has_no_room_is_lost_where_it_would_stand_and_counted() {
        let journal = Arc::new(Journal::default());
        let mut ear = Ear::new(Arc::clone(&journal), 1);
        let mut tail = journal.listen(Hearing::default()).expect("room");
        let most = MOST_WAITING as u64;
        say(&mut ear, most + 7);
        assert_eq!(partial(&mut tail).await, Some(0));
        say(&mut ear, 3);
        for n in 1..most {
            assert_eq!(partial(&mut tail).await, Some(n));
        }
        assert!(matches!(tail.next().await, Some(Heard::Lost(7))));
        assert_eq!(partial(&mut tail).await, Some(0));
        assert!(matches!(tail.next().await, Some(Heard::Lost(2))), "also where nothing follows");
    }

    #[tokio::test]
    async fn only_what_is_wanted_is_heard_and_nothing_once_nobody_listens() {
        let journal = Arc::new(Journal::default());
        let mut ear = Ear::new(Arc::clone(&journal), 2);
        say(&mut ear, 1);
        let hearing = Hearing { connection: Some(1), ..Hearing::default() };
        let others = journal.listen(hearing).expect("room");
        let hearing = Hearing { edge: Some(Side::Dialler), ..Hearing::default() };
        let dialler = journal.listen(hearing).expect("room");
        let hearing = Hearing { kinds: vec![NotedKind::Paused], ..Hearing::default() };
        let mut paused = journal.listen(hearing).expect("room");
        say(&mut ear, 5);
        let session = Session::new(Side::Upstream);
        ear.hear(&entry(Side::Upstream, What::Paused(true)), &Context::default(), &session);
        assert_eq!((others.queue.len(), dialler.queue.len(), paused.queue.len()), (0, 0, 1));
        assert!(matches!(paused.next().await, Some(Heard::Noted(noted)) if noted.connection == 2));
        drop((others, dialler));
        assert_eq!(journal.listeners(), 1);
        drop(paused);
        say(&mut ear, 1);
        assert!(ear.listeners.is_empty());
    }

    #[tokio::test]
    async fn nobody_listens_once_the_proxy_is_gone() {
        let journal = Arc::new(Journal::default());
        let tails: Vec<_> = (0..3).map(|_| journal.listen(Hearing::default()).expect("it is there")).collect();
        journal.end();
        for mut tail in tails {
            assert!(tail.next().await.is_none());
        }
        assert!(journal.listen(Hearing::default()).is_none());
    }
}
