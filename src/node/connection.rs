use std::time::Duration;

use super::Node;
use super::bucket::Bucket;
use super::consumer::Output;
use super::consumer::PassiveStreams;
use super::front::Front;
use super::front::Notices;
use super::opening;
use super::opening::Opened;
use super::producer::IDLE_TIMEOUT;
use super::producer::Producer;
use super::producer::Reply;
use super::producer::answer;
use super::respond::LATE;
use super::respond::Outcome;
use super::states;
use super::vbucket::Vbucket;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::ClustermapChange;
use crate::era::Era;
use crate::wire::Datatype;
use crate::wire::Deframer;
use crate::wire::Frame;
use crate::wire::Header;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Piece;
use crate::wire::Status;

/// How one direction of a connection ended, or is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// No more bytes will come.
    Fin,
    /// The connection was torn down.
    Reset,
}

/// One connection to a node, as bytes and times: whoever drives it has the socket and the clock.
///
/// The contract: after each [`Connection::feed`], [`Connection::closed`] or [`Connection::wakeup`], and whenever the
/// socket takes more, [`Connection::pull`] until it appends nothing; then look at [`Connection::closing`], and wait until
/// [`Connection::next_wakeup`]. Bytes that go out are made when they are pulled, so a peer that does not read costs
/// nothing; answers are the exception, so nothing more is to be read while [`Connection::wants_input`] is false.
#[derive(Debug)]
pub struct Connection {
    deframer: Deframer,
    state: State,
}

#[derive(Debug)]
struct State {
    node: Node,
    front: Front,
    role: Role,
    answers: Vec<u8>,
    /// Bytes of `answers` that were pulled.
    pulled: usize,
    last_heard: Timestamp,
    /// The revision of the cluster map that the client knows, or can know.
    map_told: u64,
    doom: Option<Doom>,
    closing: Option<How>,
}

#[derive(Debug)]
enum Role {
    /// No DCP_OPEN yet.
    None,
    Producer(Box<Producer>),
    Consumer(Box<Consumer>),
}

/// The consumer role, with the time that it waits for.
#[derive(Debug)]
struct Consumer {
    streams: PassiveStreams,
    waiting_for: Option<Timestamp>,
}

impl Consumer {
    /// Sees what the node has of the vbucket that a frame is about, before the frame is looked at.
    fn look(&mut self, header: &Header, bucket: &Bucket) {
        if !header.is_request() || !(header.opcode.is_dcp() || states::is_known(header.opcode)) {
            return;
        }
        let number = header.vbucket_or_status;
        let vbucket = bucket.vbucket(number);
        self.streams.see(number, vbucket.and_then(Vbucket::state));
        self.streams.set_full(bucket.is_full());
        if let Some(vbucket) = vbucket.filter(|_| header.opcode == Opcode::DCP_ADD_STREAM) {
            self.streams.begin_at(number, vbucket);
        }
    }
}

impl Role {
    fn new(opened: Opened, now: Timestamp) -> Self {
        match opened {
            Opened::Producer(terms) => {
                let mut producer = Producer::new(terms);
                producer.noops.start(now);
                Self::Producer(Box::new(producer))
            }
            Opened::Consumer(config) => {
                let streams = PassiveStreams::new(config, now).kept();
                Self::Consumer(Box::new(Consumer { streams, waiting_for: None }))
            }
        }
    }
}

/// The connection is to be closed, and until then it is mute.
#[derive(Clone, Copy, Debug)]
struct Doom {
    mute_from: Timestamp,
    at: Timestamp,
}

/// Frames up to this size are looked at whole; of longer ones the value is not needed.
const WHOLE_LIMIT: usize = 1024 * 1024;

/// Answers may pile up so far before reading should stop.
const ANSWERS_LIMIT: usize = 256 * 1024;

/// The connection manager looks after its connections so often (real-servers.md §2).
const TICK: Duration = Duration::from_secs(1);

/// A late disconnect answers no-ops until so shortly before.
const MUTE_BEFORE_LATE: Duration = Duration::from_millis(100);

impl Connection {
    /// A connection that was just accepted.
    pub fn new(node: &Node, now: Timestamp) -> Self {
        let number = node.count();
        let front = Front::new(node.config(), number);
        Self {
            deframer: Deframer::new(WHOLE_LIMIT),
            state: State {
                node: node.clone(),
                front,
                role: Role::None,
                answers: Vec::new(),
                pulled: 0,
                last_heard: now,
                map_told: 0,
                doom: None,
                closing: None,
            },
        }
    }

    /// Takes note that the other end has proved by a certificate to be `user`: the node's own user needs no other login.
    pub fn certified(&mut self, user: &str) {
        self.state.front.certified(user, self.state.node.config());
    }

    /// Takes bytes that were read: those of one call are one burst.
    pub fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        self.state.pass(now);
        if self.state.closing.is_some() || self.state.is_mute(now) {
            return;
        }
        self.state.last_heard = now;
        let mut input = bytes;
        while let Some(piece) = self.deframer.next(&mut input) {
            match piece {
                Piece::Frame(frame) => self.state.frame(&frame, now),
                Piece::Value { .. } => {}
                // dcp-protocol.md §1: what cannot be framed closes the connection, without an answer.
                Piece::Raw { .. } => self.state.closing = Some(How::Fin),
            }
            if self.state.closing.is_some() {
                return;
            }
        }
    }

    /// Takes note that the peer ended its direction.
    pub fn closed(&mut self, how: How, now: Timestamp) {
        self.state.pass(now);
        self.state.closing.get_or_insert(how);
    }

    /// Does what is due, when the time that [`Connection::next_wakeup`] gave has come.
    pub fn wakeup(&mut self, now: Timestamp) {
        self.state.pass(now);
    }

    /// When [`Connection::wakeup`] is to be called, if nothing happens before.
    pub fn next_wakeup(&self, now: Timestamp) -> Option<Timestamp> {
        self.state.next_wakeup(now)
    }

    /// Appends about `budget` bytes that are ready to go out, if there are any.
    pub fn pull(&mut self, to: &mut Vec<u8>, budget: usize, now: Timestamp) {
        self.state.pull(to, budget, now);
    }

    /// Whether the connection is to be closed, once what was pulled has been written.
    pub const fn closing(&self) -> Option<How> {
        if self.state.pulled < self.state.answers.len() { None } else { self.state.closing }
    }

    /// Whether more may be read: false while the peer does not read its answers.
    pub const fn wants_input(&self) -> bool {
        self.state.answers.len() - self.state.pulled < ANSWERS_LIMIT
    }
}

impl State {
    /// Time went on.
    fn pass(&mut self, now: Timestamp) {
        if self.doom.is_some_and(|doom| doom.at <= now) {
            self.closing.get_or_insert(How::Fin);
        }
        if self.closing.is_some() || self.is_mute(now) {
            return;
        }
        if let Some(notices) = self.front.notices() {
            self.tell_of_maps(notices);
        }
        match &mut self.role {
            Role::None => {}
            Role::Producer(producer) => {
                producer.noops.send(&producer.terms, now, &mut self.answers);
                if producer.terms.noop && now.since(self.last_heard) >= IDLE_TIMEOUT {
                    self.disconnect(now);
                }
            }
            Role::Consumer(consumer) => {
                if consumer.waiting_for.is_some_and(|due| due <= now) {
                    consumer.streams.wakeup(now);
                    self.drain_consumer(now);
                }
            }
        }
    }

    /// Tells of a cluster map that is newer than the client can know. Until it has logged in it knows none.
    fn tell_of_maps(&mut self, notices: Notices) {
        let config = self.node.config();
        let bucket = self.node.bucket();
        let revision = bucket.topology().revision();
        let told = std::mem::replace(&mut self.map_told, revision);
        let (logged_in, in_bucket) = self.front.stage();
        if told == revision || told == 0 || !logged_in {
            return;
        }
        let change = ClustermapChange {
            epoch: (config.era >= Era::V7_0).then_some(1),
            revision: revision.try_into().unwrap_or(i64::MAX),
            bucket: if in_bucket { config.bucket.clone() } else { String::new() },
        };
        let mut notice = change.request(Opaque([0; 4]));
        if notices == Notices::Full {
            notice =
                notice.datatype(Datatype::JSON).value(bucket.cluster_map(config, in_bucket).to_string().into_bytes());
        }
        notice.write(&mut self.answers);
    }

    /// Carries out what the consumer role wants done.
    fn drain_consumer(&mut self, now: Timestamp) {
        let Role::Consumer(consumer) = &mut self.role else { return };
        let mut closes = false;
        while let Some(output) = consumer.streams.poll() {
            match output {
                Output::Write(bytes) => self.answers.extend_from_slice(&bytes),
                Output::Wait(until) => consumer.waiting_for = until,
                Output::Close => closes = true,
            }
        }
        if closes {
            self.disconnect(now);
        }
    }

    fn is_mute(&self, now: Timestamp) -> bool {
        self.doom.is_some_and(|doom| doom.mute_from <= now)
    }

    fn next_wakeup(&self, now: Timestamp) -> Option<Timestamp> {
        if self.closing.is_some() {
            return None;
        }
        let doom = self.doom.map(|doom| doom.at);
        if self.is_mute(now) {
            return doom;
        }
        let (due, growth) = match &self.role {
            Role::None => (None, None),
            Role::Producer(producer) => {
                let bucket = self.node.bucket();
                let waiting = producer.is_waiting(&bucket);
                let growth = waiting.then(|| {
                    let tick = bucket.next_tick(self.node.config(), now).unwrap_or(now + CHANGES_SEEN);
                    bucket.next_expiry().map_or(tick, |expiry| expiry.min(tick))
                });
                (producer.next_wakeup(self.last_heard), growth)
            }
            Role::Consumer(consumer) => (consumer.waiting_for, None),
        };
        let maps = self.front.notices().map(|_| now + CHANGES_SEEN);
        doom.into_iter().chain(due).chain(growth).chain(maps).min()
    }

    fn pull(&mut self, to: &mut Vec<u8>, budget: usize, now: Timestamp) {
        self.pass(now);
        let limit = to.len().saturating_add(budget);
        let ready = self.answers.len() - self.pulled;
        let taken = ready.min(budget);
        to.extend_from_slice(&self.answers[self.pulled..self.pulled + taken]);
        self.pulled += taken;
        if taken < ready {
            return;
        }
        self.answers.clear();
        self.pulled = 0;
        if self.closing.is_some() || self.is_mute(now) {
            return;
        }
        if let Role::Producer(producer) = &mut self.role {
            let mut bucket = self.node.bucket();
            bucket.tick(self.node.config(), now);
            producer.pull(to, limit, &bucket);
        }
    }

    fn frame(&mut self, frame: &Frame<'_>, now: Timestamp) {
        let header = frame.header();
        if self.is_mute(now) {
            // real-servers.md §2: from 7.0 on the rest of the burst is still looked at.
            if self.node.config().era >= Era::V7_0 && header.is_request() && header.opcode == Opcode::NOOP {
                dcp::response(header.opcode, Status::SUCCESS, header.opaque).write(&mut self.answers);
            }
            return;
        }
        if let Role::Consumer(consumer) = &mut self.role {
            consumer.look(header, &self.node.bucket());
            let is_its_own = consumer.streams.frame(frame, now);
            let taken = consumer.streams.taken();
            if !taken.is_empty() {
                let mut bucket = self.node.bucket();
                taken.into_iter().for_each(|(vbucket, taken)| bucket.take_in(vbucket, taken));
            }
            self.drain_consumer(now);
            if is_its_own {
                return;
            }
        }
        if header.is_response() {
            return self.response(frame, now);
        }
        if !header.is_request() {
            // Answers to server requests: the node makes none, and drops them.
            return;
        }
        match self.request(frame, now) {
            Reply::Frame(bytes) => self.answers.extend_from_slice(&bytes),
            Reply::Silence => {}
            Reply::Close => self.disconnect(now),
        }
        // What a consumer asks for as it opens follows the answer to DCP_OPEN.
        self.drain_consumer(now);
    }

    fn request(&mut self, frame: &Frame<'_>, now: Timestamp) -> Reply {
        let config = self.node.config();
        let mut bucket = self.node.bucket();
        bucket.tick(config, now);
        if opening::is_for_dcp(frame.header().opcode) {
            if let Some(refusal) = self.front.refuses_dcp(frame.header()) {
                return refusal;
            }
            return match &mut self.role {
                Role::Producer(producer) => producer.request(frame, &mut bucket, config).unwrap_or(Reply::Close),
                Role::None if frame.header().opcode == Opcode::DCP_OPEN => {
                    let status = match opening::open(frame, &self.front, config) {
                        Ok(opened) => {
                            self.role = Role::new(opened, now);
                            Status::SUCCESS
                        }
                        Err(status) => status,
                    };
                    answer(frame.header(), status)
                }
                Role::None | Role::Consumer(_) => Reply::Close,
            };
        }
        let reply = self.front.request(frame, &mut bucket, config, now);
        if frame.header().opcode == Opcode::QUIT {
            self.closing = Some(How::Fin);
        }
        reply
    }

    fn response(&mut self, frame: &Frame<'_>, now: Timestamp) {
        let outcome = match &mut self.role {
            // Measured: an orphan on a connection without DCP_OPEN closes it.
            Role::None => Outcome::Disconnect,
            Role::Consumer(_) => Outcome::Kept,
            Role::Producer(producer) => producer.response(frame.header(), &mut self.node.bucket()),
        };
        match outcome {
            Outcome::Kept => {}
            Outcome::Disconnect => self.disconnect(now),
            Outcome::DisconnectIn(_) => {
                let at = now + LATE;
                let mute_from = Timestamp(at.0.saturating_sub(MUTE_BEFORE_LATE.as_nanos() as u64));
                self.doom.get_or_insert(Doom { mute_from, at });
            }
        }
    }

    /// Decides to close: mute from here on, closed at the next tick.
    fn disconnect(&mut self, now: Timestamp) {
        let tick = TICK.as_nanos() as u64;
        let into = (now.0 % tick + tick - self.node.phase() % tick) % tick;
        let at = Timestamp(now.0.saturating_add(tick - into));
        self.doom = Some(Doom { mute_from: now, at });
    }
}

/// How soon is seen what others changed: by a waiting stream what they wrote, by a client the cluster map.
const CHANGES_SEEN: Duration = Duration::from_millis(100);
