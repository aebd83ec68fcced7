use std::time::Duration;

use super::Quirk;
use super::bucket::Bucket;
use super::config::Config;
use super::controls;
use super::document::Item;
use super::flow::Flow;
use super::noops::Noops;
use super::send::Sender;
use super::stream::Fault;
use super::stream::Step;
use super::stream::Stream;
use super::terms::Terms;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::BufferAck;
use crate::dcp::Control;
use crate::wire::Frame;
use crate::wire::Header;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

mod streams;

/// A connection that DCP_OPEN made a producer: its terms, its streams, its window.
#[derive(Debug)]
pub(super) struct Producer {
    pub(super) terms: Terms,
    pub(super) noops: Noops,
    pub(super) flow: Flow,
    pub(super) streams: Vec<Stream>,
    /// The stream whose turn is next.
    turn: usize,
    /// Highest seqno that a vbucket's stream has come to on this connection: what a SEQNO_ACK may be about.
    streamed: Vec<(u16, u64)>,
    /// What was acknowledged on streams that were dead already (quirk mb-35226).
    stale_acks: Vec<(u16, u64)>,
    sender: Sender,
    item: Item,
}

/// What becomes of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Reply {
    /// It is answered with this frame.
    Frame(Vec<u8>),
    /// It is not answered.
    Silence,
    /// The connection is closed.
    Close,
}

/// Nothing was received for so long: the producer gives up (dcp-protocol.md §6).
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(360);

impl Producer {
    pub(super) fn new(terms: Terms) -> Self {
        Self {
            terms,
            noops: Noops::new(),
            flow: Flow::default(),
            streams: Vec::new(),
            turn: 0,
            streamed: Vec::new(),
            stale_acks: Vec::new(),
            sender: Sender::new(),
            item: Item::empty(),
        }
    }

    /// Answers a request, if it is one that only a DCP connection may make; `None` for all others.
    pub(super) fn request(&mut self, frame: &Frame<'_>, bucket: &mut Bucket, config: &Config) -> Option<Reply> {
        let header = frame.header();
        Some(match header.opcode {
            Opcode::DCP_CONTROL => {
                let status =
                    Control::parse(frame).map_or(Status::EINVAL, |asked| controls::apply(&asked, &mut self.terms));
                answer(header, status)
            }
            Opcode::DCP_STREAM_REQ => self.stream_req(frame, bucket, config),
            Opcode::DCP_CLOSE_STREAM => answer(header, self.close_stream(frame)),
            Opcode::DCP_BUFFER_ACK => match BufferAck::parse(frame) {
                Ok(ack) => {
                    self.flow.acknowledge(ack.bytes_to_ack);
                    Reply::Silence
                }
                Err(_) => answer(header, Status::EINVAL),
            },
            Opcode::DCP_SEQNO_ACK => self.seqno_ack(frame, bucket),
            Opcode::DCP_GET_FAILOVER_LOG => bucket.failover_log(header),
            // dcp-protocol.md §2.1, §3.3, §3.7: opened twice; what only consumers are sent.
            Opcode::DCP_OPEN => answer(header, Status::EINVAL),
            Opcode::DCP_ADD_STREAM | Opcode::DCP_NOOP => Reply::Close,
            opcode if dcp::is_stream_message(opcode) => Reply::Close,
            _ => return None,
        })
    }

    fn remove(&mut self, at: usize) {
        self.streams.remove(at);
        if self.turn > at {
            self.turn -= 1;
        }
    }

    /// Appends messages of the streams, each in its turn, until `to` has about `limit` bytes or nothing may go.
    pub(super) fn pull(&mut self, to: &mut Vec<u8>, limit: usize, bucket: &Bucket) {
        let mut idle = 0;
        while to.len() < limit && idle < self.streams.len() && self.flow.may_send(self.terms.window) {
            if self.turn >= self.streams.len() {
                self.turn = 0;
            }
            match self.step(bucket, to) {
                Some(Step::Sent(charge)) => {
                    self.flow.charge(charge);
                    self.turn += 1;
                    idle = 0;
                }
                Some(Step::Ended(charge)) => {
                    self.flow.charge(charge);
                    idle = 0;
                    let undead = charge > 0 && self.terms.has(Quirk::Mb18625);
                    if undead {
                        self.streams[self.turn].inflict(Fault::Undead(UNDEAD_MESSAGES));
                        self.turn += 1;
                    } else {
                        self.remove(self.turn);
                    }
                }
                Some(Step::Idle) | None => {
                    self.turn += 1;
                    idle += 1;
                }
            }
        }
        if !self.flow.may_send(self.terms.window) {
            self.window_is_full(bucket);
        }
    }

    fn window_is_full(&mut self, bucket: &Bucket) {
        for stream in &mut self.streams {
            if self.terms.has(Quirk::Mb31481) {
                stream.interrupt();
            }
            if self.terms.has(Quirk::Mb45523)
                && let Some(vbucket) = bucket.vbucket(stream.to.vbucket)
            {
                stream.lose_vbucket_state(vbucket);
            }
        }
    }

    fn step(&mut self, bucket: &Bucket, to: &mut Vec<u8>) -> Option<Step> {
        let stream = &mut self.streams[self.turn];
        let leaks = self.terms.has(Quirk::LeakWindow);
        if leaks
            && stream.is_active()
            && stream.is_inside()
            && !stream.was_answered()
            && !self.flow.may_send_with_leak(self.terms.window)
        {
            return None;
        }
        let vbucket = bucket.vbucket(stream.to.vbucket)?;
        let step = stream.step(vbucket, &self.terms, &mut self.sender, &mut self.item, to);
        if step != Step::Idle {
            let (number, last) = (stream.to.vbucket, stream.last_seqno());
            match self.streamed.iter_mut().find(|(vbucket, _)| *vbucket == number) {
                Some((_, known)) => *known = last.max(*known),
                None => self.streamed.push((number, last)),
            }
        }
        Some(step)
    }

    /// Whether any stream waits for its vbucket to get more.
    pub(super) fn is_waiting(&self, bucket: &Bucket) -> bool {
        self.streams
            .iter()
            .any(|stream| bucket.vbucket(stream.to.vbucket).is_some_and(|vbucket| stream.is_waiting(vbucket.high())))
    }

    /// The stream with this opaque that is not at its end.
    pub(super) fn by_opaque(&mut self, opaque: Opaque) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.to.opaque == opaque)
    }

    /// When something is to happen that no bytes bring about.
    pub(super) fn next_wakeup(&self, last_heard: Timestamp) -> Option<Timestamp> {
        let idle = self.terms.noop.then(|| last_heard + IDLE_TIMEOUT);
        self.noops.next(&self.terms).into_iter().chain(idle).min()
    }
}

/// How many messages a stream still sends after its end.
const UNDEAD_MESSAGES: u8 = 8;

/// A response without a body.
pub(super) fn answer(header: &Header, status: Status) -> Reply {
    Reply::Frame(dcp::response(header.opcode, status, header.opaque).build().to_vec())
}
