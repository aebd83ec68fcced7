mod config;
mod data;
mod kept;
mod manager;
mod streams;
#[cfg(test)]
mod tests;
mod vbucket;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::time::Duration;

use self::kept::Keep;
use self::vbucket::Vbucket;
use super::Ledger;
use super::Output;
use super::acks::Acks;
use super::books::Books;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::BufferAck;
use crate::dcp::Control;
use crate::dcp::GetErrorMap;
use crate::dcp::Negotiated;
use crate::node::Quirk;
use crate::node::states;
use crate::wire::Deframer;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::MAX_FRAME_LEN;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Piece;
use crate::wire::Status;

pub use self::config::PassiveConfig;
pub(in crate::node) use self::kept::Taken;
pub use self::vbucket::VbucketState;

/// What a kv_engine consumer of an era does on one DCP connection: a manager adds and closes its streams, a producer
/// (by way of the manager) fills them.
///
/// It starts where DCP_OPEN was answered. Everything that it is sent comes by [`PassiveStreams::feed`], or frame by
/// frame by [`PassiveStreams::frame`] from a front that has cut the bytes already. It holds no documents, only a
/// [`Ledger`] of them.
#[derive(Debug)]
pub struct PassiveStreams {
    config: PassiveConfig,
    deframer: Deframer,
    out: VecDeque<Output>,
    waiting_for: Option<Timestamp>,
    closed: bool,
    acks: Books,
    last_heard: Timestamp,
    next_opaque: u32,
    controls: BTreeMap<Opaque, &'static str>,
    accepted: BTreeSet<&'static str>,
    /// Controls that are sent one by one (quirk mb-69524); else all go out at once.
    unsent: VecDeque<Option<(&'static str, String)>>,
    vbuckets: BTreeMap<u16, Vbucket>,
    ledger: Ledger,
    keep: Keep,
    /// Whether the node has no room for more.
    full: bool,
}

/// Silence after which a consumer disconnects (`dcp_idle_timeout`, dcp-protocol.md §6).
const IDLE: Duration = Duration::from_secs(360);

/// More than this much of the window is collected before it is given back, in hundredths (dcp-protocol.md §5).
const ACK_PERCENT: u32 = 20;

impl PassiveStreams {
    /// A consumer that has just been opened: it sends its controls.
    pub fn new(config: PassiveConfig, now: Timestamp) -> Self {
        let mut consumer = Self {
            deframer: Deframer::new(MAX_FRAME_LEN),
            out: VecDeque::new(),
            waiting_for: None,
            closed: false,
            acks: Books::new(Acks::new(config.window, ACK_PERCENT, now), &config.quirks),
            last_heard: now,
            next_opaque: 1,
            controls: BTreeMap::new(),
            accepted: BTreeSet::new(),
            unsent: VecDeque::new(),
            vbuckets: (0..config.vbuckets).map(|vbucket| (vbucket, Vbucket::replica())).collect(),
            ledger: Ledger::default(),
            keep: Keep::default(),
            full: false,
            config,
        };
        consumer.unsent.extend(consumer.config.controls());
        consumer.negotiate();
        consumer.wait();
        consumer
    }

    /// Sends the controls that are still to be sent.
    fn negotiate(&mut self) {
        while let Some(control) = self.unsent.pop_front() {
            let opaque = self.opaque();
            match control {
                Some((key, value)) => {
                    self.controls.insert(opaque, key);
                    self.write(&Control { key: key.to_owned(), value }.request(opaque));
                    if self.has(Quirk::Mb69524) {
                        return;
                    }
                }
                None => self.write(&GetErrorMap { version: 1 }.request(opaque)),
            }
        }
    }

    /// Bytes from the peer.
    pub fn feed(&mut self, mut bytes: &[u8], now: Timestamp) {
        let mut deframer = std::mem::replace(&mut self.deframer, Deframer::new(MAX_FRAME_LEN));
        while let Some(piece) = deframer.next(&mut bytes) {
            match piece {
                Piece::Frame(frame) => {
                    if !self.frame(&frame, now) {
                        self.stranger(&frame);
                    }
                }
                Piece::Value { .. } | Piece::Raw { .. } => self.disconnect(),
            }
        }
        self.deframer = deframer;
    }

    /// A whole frame from the peer. Returns false for a request that is no business of a consumer's streams (plain NOOP,
    /// VERSION, STAT and the like), which the front is to answer.
    pub fn frame(&mut self, frame: &Frame<'_>, now: Timestamp) -> bool {
        if self.closed {
            return true;
        }
        self.last_heard = now;
        let header = frame.header();
        let mut refused = false;
        let ours = if header.is_response() {
            self.response(frame);
            true
        } else if header.is_request() && header.opcode.is_dcp() {
            refused = !self.request(frame);
            true
        } else if header.is_request() && states::is_known(header.opcode) {
            self.manage(frame);
            true
        } else {
            // Server requests need no answer.
            !header.is_request()
        };
        if let Some(bytes) = self.acks.came(header, refused, now) {
            self.give_back(bytes);
        }
        self.wait();
        ours
    }

    /// The peer will send no more.
    pub fn closed(&mut self, _now: Timestamp) {
        self.disconnect();
    }

    /// The time asked for by [`Output::Wait`] has come.
    pub fn wakeup(&mut self, now: Timestamp) {
        if self.closed {
            return;
        }
        if self.last_heard + IDLE <= now {
            self.disconnect();
        } else if let Some(bytes) = self.acks.due(now) {
            self.give_back(bytes);
        }
        self.wait();
    }

    /// What is to be done next; `None` once there is nothing more.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Gives back every byte that is due, without waiting for the share of the window or the five seconds.
    pub fn acknowledge_all(&mut self, now: Timestamp) {
        if let Some(bytes) = self.acks.all(now) {
            self.give_back(bytes);
        }
        self.wait();
    }

    /// The vbucket is made active here, other than by a takeover: its stream is gone at once (MB-17766).
    pub fn fail_over(&mut self, vbucket: u16) {
        self.set_vbucket(vbucket, VbucketState::Active);
    }

    /// The vbucket is deleted here: its stream and its data are gone at once.
    pub fn delete_vbucket(&mut self, vbucket: u16) {
        self.vbuckets.remove(&vbucket);
        self.keep.note(vbucket, || Some(Taken::Deleted));
        self.ledger.entry(vbucket).roll_back(0);
    }

    /// The vbucket gets a state, and is made if it does not exist. Only what makes it active takes its stream.
    pub fn set_vbucket(&mut self, vbucket: u16, state: VbucketState) {
        let held = self.vbuckets.entry(vbucket).or_insert_with(Vbucket::replica);
        held.state = state;
        self.keep.note(vbucket, || Some(Taken::State(state)));
        if state == VbucketState::Active && !self.config.quirks.contains(&Quirk::Mb17766) {
            held.stream = None;
        }
    }

    /// The state of a vbucket, `None` where it was deleted or never was.
    pub fn vbucket_state(&self, vbucket: u16) -> Option<VbucketState> {
        self.vbuckets.get(&vbucket).map(|vbucket| vbucket.state)
    }

    /// What it has received and accepted.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Whether `v7_dcp_status_codes` was agreed on.
    pub fn v7(&self) -> bool {
        self.accepted.contains("v7_dcp_status_codes")
    }

    /// Whether prepares are acknowledged: sync writes were agreed on, and the consumer has a name.
    pub fn sync_replication(&self) -> bool {
        self.accepted.contains("consumer_name")
            && self.config.era.sync_writes_control().is_some_and(|control| self.accepted.contains(control))
    }

    /// Whether the node that keeps what comes has room for more.
    pub(in crate::node) const fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    fn has(&self, quirk: Quirk) -> bool {
        self.config.quirks.contains(&quirk)
    }

    const fn negotiated(&self) -> Negotiated {
        Negotiated {
            collections: self.config.collections,
            snappy: self.config.snappy,
            xattr: true,
            stream_id: false,
            flatbuffers: false,
            include_delete_times: self.config.collections || self.config.delete_times,
        }
    }

    /// A request that neither the streams nor a front answers.
    fn stranger(&mut self, frame: &Frame<'_>) {
        let header = frame.header();
        let status = if header.opcode == Opcode::NOOP { Status::SUCCESS } else { Status::UNKNOWN_COMMAND };
        self.respond(header.opcode, status, header.opaque);
    }

    fn give_back(&mut self, bytes: u32) {
        let opaque = self.opaque();
        self.write(&BufferAck { bytes_to_ack: bytes }.request(opaque));
    }

    /// kv_engine's opaques count from 1 and are copied unswapped: little endian on the wire (dcp-protocol.md §1).
    const fn opaque(&mut self) -> Opaque {
        let opaque = Opaque(self.next_opaque.to_le_bytes());
        self.next_opaque = self.next_opaque.wrapping_add(1);
        opaque
    }

    fn respond(&mut self, opcode: Opcode, status: Status, opaque: Opaque) {
        self.write(&dcp::response(opcode, status, opaque));
    }

    fn write(&mut self, frame: &FrameBuilder) {
        if !self.closed {
            self.out.push_back(Output::Write(frame.build()));
        }
    }

    fn disconnect(&mut self) {
        if !self.closed {
            self.out.push_back(Output::Close);
            self.closed = true;
            for vbucket in self.vbuckets.values_mut() {
                vbucket.stream = None;
            }
        }
    }

    fn wait(&mut self) {
        let idle = self.last_heard + IDLE;
        let until = self.acks.deadline().map_or(idle, |deadline| deadline.min(idle));
        if !self.closed && self.waiting_for != Some(until) {
            self.waiting_for = Some(until);
            self.out.push_back(Output::Wait(Some(until)));
        }
    }
}
