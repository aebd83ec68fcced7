//! The faults: one file each. They act; they count nothing and judge nothing (law L6).

mod body;
mod bursts;
mod close_stream;
mod corrupt;
mod delay;
mod disconnect;
mod drop;
mod duplicate;
mod fake_response;
mod field;
mod flowing;
mod hold;
mod limit_data;
mod once;
mod orphan_response;
mod proof;
mod reorder;
mod rewrite;
mod send;
mod spec;
mod stream_end;
mod swallow_noop;
mod throttle;
mod toolbox;
mod truncate;
mod waiting;
mod withhold_ack;

use std::collections::BTreeSet;

use crate::Timestamp;
use crate::dcp;
use crate::dcp::BufferAck;
use crate::dcp::FrameHead;
use crate::dcp::Message;
use crate::dcp::StreamEnd;
use crate::engine::Action;
use crate::engine::Actions;
use crate::engine::Event;
use crate::engine::Sessions;
use crate::journal::Side;
use crate::journal::role;
use crate::session::Session;
use crate::session::StreamKey;
use crate::wire::Frame;
use crate::wire::Header;
use crate::wire::Opaque;
use crate::wire::Opcode;

pub use bursts::Bursts;
pub use close_stream::CloseAt;
pub use close_stream::CloseStreamSpec;
pub use close_stream::is_brought_by_the_close;
pub use corrupt::CorruptSpec;
pub use delay::DelaySpec;
pub use disconnect::DisconnectSpec;
pub use disconnect::Ends;
pub use disconnect::EndsBy;
pub use drop::DropSpec;
pub use duplicate::DuplicateSpec;
pub use fake_response::FakeResponseSpec;
pub use field::HeaderField;
pub use hold::HoldSpec;
pub use hold::ReleaseSpec;
pub use limit_data::LimitDataSpec;
pub use orphan_response::OrphanResponseSpec;
pub use proof::PROOF_AFTER;
pub use proof::Proof;
pub use reorder::ReorderSpec;
pub use rewrite::RewriteSpec;
pub use send::Hex;
pub use send::OpaqueOf;
pub use send::SendSpec;
pub use spec::FaultSpec;
pub use spec::Shot;
pub use spec::Spec;
pub use spec::Struck;
pub use stream_end::StreamEndSpec;
pub use swallow_noop::SwallowNoopSpec;
pub use throttle::SliceSpec;
pub use throttle::ThrottleSpec;
pub use toolbox::Toolbox;
pub use truncate::Then;
pub use truncate::TruncateSpec;
pub use withhold_ack::WithholdAckSpec;

/// A fault that has fired, until it is done. Its trigger is the scenario's.
pub trait Fault: std::fmt::Debug + Send {
    /// Takes part in an event: pushes the actions that it wants.
    fn on_event(&mut self, event: &Event<'_>, scene: &mut Scene<'_>);

    /// When it wants to be woken.
    fn wakeup(&self) -> Option<Timestamp>;

    /// Bytes that it has not yet given back to the producer's window, though it will: of messages that it has kept from the
    /// consumer, or of acknowledgements that it has kept from the producer (or never will, if that is what it is for).
    fn owed(&self) -> u64 {
        0
    }

    /// Whether it has nothing more to do.
    fn is_done(&self) -> bool;

    /// Whether the next step waits until this is done: a course whose end proves something. Others go on beside it.
    fn blocks(&self) -> bool {
        false
    }

    /// Leaves things in order where its course cannot be gone to the end.
    fn abandon(&mut self, _scene: &mut Scene<'_>) {}

    /// It is wanted no more: what it holds goes on, and both ends are left with what they can live on. Afterwards it is done,
    /// unless what it did cannot be undone.
    fn call_off(&mut self, scene: &mut Scene<'_>) {
        self.abandon(scene);
    }
}

/// Where a fault acts, and with what.
#[derive(Debug)]
pub struct Scene<'a> {
    /// The sessions at the two edges.
    pub sessions: &'a Sessions,
    /// Where the producer is.
    pub producer: Side,
    /// When.
    pub now: Timestamp,
    /// Opaques, era and settings.
    pub tools: &'a mut Toolbox,
    /// Orphaned responses on their way.
    pub bursts: &'a mut Bursts,
    /// The message types that have met no orphaned response yet.
    pub wanted: &'a mut BTreeSet<Opcode>,
    /// What is to be done.
    pub actions: &'a mut Actions,
}

impl Scene<'_> {
    /// The session at the producer's edge.
    pub const fn producer(&self) -> &Session {
        self.sessions.at(self.producer)
    }

    /// The session at the consumer's edge.
    pub const fn consumer(&self) -> &Session {
        self.sessions.at(self.producer.other())
    }

    /// Injects a frame towards the producer.
    pub fn to_producer(&mut self, frame: impl Into<bytes::Bytes>) {
        self.actions.push(Action::Inject { to: self.producer, frame: frame.into() });
    }

    /// Whether what becomes of the event's subject has been decided by a fault before.
    pub fn is_decided(&self) -> bool {
        self.actions.iter().any(Action::is_fate)
    }

    /// Gives bytes back to the producer's window.
    pub fn give_back(&mut self, bytes_to_ack: u32) {
        let opaque = self.tools.opaque();
        self.to_producer(BufferAck { bytes_to_ack }.request(opaque).build());
    }

    /// Gives back what a message that the consumer will not get has cost.
    pub fn give_back_charge(&mut self, header: &Header) {
        let charge = dcp::charge(header);
        if charge > 0 && self.producer().flow().is_on() {
            self.give_back(charge);
        }
    }

    /// The consumer will acknowledge bytes that the producer never sent: they are taken out of what it says.
    pub fn will_be_acknowledged(&mut self, bytes: u32) {
        if self.producer().flow().is_on() {
            self.tools.will_be_acknowledged(bytes);
        }
    }

    /// What a frame of the consumer gives back of the producer's window, if it is an acknowledgement: without what is for
    /// frames that the producer never sent, which is then accounted for.
    pub fn take_acknowledged(&mut self, from: Side, head: &FrameHead) -> u32 {
        match &head.message {
            Ok(Message::BufferAck(ack)) if from != self.producer => {
                ack.bytes_to_ack - self.tools.take_surplus(ack.bytes_to_ack)
            }
            _ => 0,
        }
    }

    /// The frame of `from` goes on as `after`: what the producer was charged for it, and what the consumer will
    /// acknowledge of it, come out even again. Of what is no frame any more nothing is known.
    pub fn rebook(&mut self, from: Side, frame: &Frame<'_>, before: &FrameHead, after: &[u8]) {
        let Ok(header) = Header::parse_slice(after) else { return };
        let flows_by = before.header.frame_len().saturating_sub(frame.bytes().len() as u64);
        let is_framed = header.check().is_ok() && header.frame_len() == flows_by.saturating_add(after.len() as u64);
        if !is_framed || !self.producer().flow().is_on() {
            return;
        }
        let (charged, acknowledged) = if from == self.producer {
            (dcp::charge(&before.header), dcp::charge(&header))
        } else {
            // An acknowledgement that says more than it did, or less.
            let now = Frame::new(after).ok().map(|frame| dcp::decode(&frame, self.consumer().negotiated()));
            let now = match now {
                Some(Ok(Message::BufferAck(ack))) => ack.bytes_to_ack,
                _ => 0,
            };
            (self.take_acknowledged(from, before), now)
        };
        if charged > acknowledged {
            self.give_back(charged - acknowledged);
        } else if acknowledged > charged {
            self.tools.will_be_acknowledged(acknowledged - charged);
        }
    }

    /// Tells the consumer that its stream has ended. It acknowledges that frame too, which the producer never sent.
    pub fn forge_stream_end(&mut self, key: StreamKey, stream: Opaque) {
        let frame = StreamEnd { end_reason: StreamEnd::STATE_CHANGED }
            .request(key.vbucket, stream)
            .stream_id(key.stream_id)
            .build();
        self.will_be_acknowledged(u32::try_from(frame.len()).unwrap_or_default());
        self.to_consumer(frame);
    }

    /// Injects a frame towards the consumer.
    pub fn to_consumer(&mut self, frame: impl Into<bytes::Bytes>) {
        self.actions.push(Action::Inject { to: self.producer.other(), frame: frame.into() });
    }
}

/// Whether a message of the producer is of the stream with that vbucket and id.
fn is_of_stream(head: &FrameHead, vbucket: u16, stream_id: Option<u16>) -> bool {
    head.header.vbucket() == Some(vbucket) && (head.stream_id.is_none() || head.stream_id == stream_id)
}
