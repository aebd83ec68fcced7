use super::super::Scene;
use super::CloseAt;
use super::Target;
use super::cut::close_stream;
use super::is_answer;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::BufferAck;
use crate::dcp::FrameHead;
use crate::dcp::Message;
use crate::dcp::StreamEnd;
use crate::engine::Action;
use crate::engine::Event;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// A close at `end`, `consumer`, `producer` or `both`: the real ends do the rest, and what they say is relayed.
#[derive(Debug)]
pub(super) struct Plain {
    at: CloseAt,
    target: Target,
    phase: Phase,
    since: Timestamp,
    /// Bytes of forged frames that the consumer acknowledges although the producer never sent them.
    surplus: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// CLOSE_STREAM was sent to the consumer.
    AtConsumer(Opaque),
    /// The consumer's stream is gone; the producer goes on sending, up to the end of its snapshot.
    Orphaning,
    /// CLOSE_STREAM was sent to the producer.
    AtProducer(Opaque),
    Done,
}

impl Plain {
    pub(super) fn fire(at: CloseAt, target: Target, scene: &mut Scene<'_>) -> Self {
        let mut plain = Self { at, target, phase: Phase::Orphaning, since: scene.now, surplus: 0 };
        match at {
            CloseAt::Cut | CloseAt::End => {
                let frame = StreamEnd { end_reason: StreamEnd::STATE_CHANGED }
                    .request(target.key.vbucket, target.opaque)
                    .stream_id(target.key.stream_id)
                    .build();
                if scene.producer().flow().is_on() {
                    plain.surplus = u32::try_from(frame.len()).unwrap_or_default();
                }
                scene.to_consumer(frame);
            }
            CloseAt::Consumer | CloseAt::Both => {
                let close = scene.tools.opaque();
                scene.to_consumer(close_stream(target, close));
                plain.phase = Phase::AtConsumer(close);
            }
            CloseAt::Producer => plain.close_at_producer(scene),
        }
        plain
    }

    pub(super) const fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    pub(super) const fn wakeup(&self) -> Option<Timestamp> {
        None
    }

    pub(super) fn on_event(&mut self, event: &Event<'_>, scene: &mut Scene<'_>) {
        if let Event::Frame { from, head, .. } = event {
            if *from == scene.producer {
                self.said_by_producer(head, scene);
            } else {
                self.said_by_consumer(head, scene);
            }
        }
        let late = scene.now.since(self.since) > scene.tools.patience();
        match self.phase {
            Phase::AtConsumer(close) => {
                if is_answer(event, Opcode::DCP_CLOSE_STREAM, close).is_some() || late {
                    self.since = scene.now;
                    self.phase = Phase::Orphaning;
                    if self.at == CloseAt::Both {
                        self.close_at_producer(scene);
                    }
                }
            }
            Phase::Orphaning => {
                let over = scene.producer().stream(self.target.key).is_none_or(|stream| !stream.mid_snapshot());
                let met = scene.wanted.iter().all(|&message| message == Opcode::DCP_STREAM_END);
                if over || met || late || matches!(event, Event::Settle) {
                    self.close_at_producer(scene);
                }
            }
            Phase::AtProducer(close) => {
                if is_answer(event, Opcode::DCP_CLOSE_STREAM, close).is_some() || late {
                    self.phase = Phase::Done;
                }
            }
            Phase::Done => {}
        }
    }

    fn said_by_producer(&self, head: &FrameHead, scene: &mut Scene<'_>) {
        // A real consumer answers, or does not: what it answered is in the journal, what is wanted has had its chance.
        if head.header.is_request()
            && head.header.opaque == self.target.opaque
            && dcp::is_stream_message(head.header.opcode)
        {
            scene.wanted.remove(&head.header.opcode);
        }
    }

    fn said_by_consumer(&mut self, head: &FrameHead, scene: &mut Scene<'_>) {
        let Ok(Message::BufferAck(ack)) = &head.message else { return };
        if self.surplus == 0 {
            return;
        }
        let taken = self.surplus.min(ack.bytes_to_ack);
        self.surplus -= taken;
        scene.actions.push(Action::Drop);
        if ack.bytes_to_ack > taken {
            let opaque = scene.tools.opaque();
            scene.to_producer(BufferAck { bytes_to_ack: ack.bytes_to_ack - taken }.request(opaque).build());
        }
    }

    fn close_at_producer(&mut self, scene: &mut Scene<'_>) {
        let close = scene.tools.opaque();
        scene.to_producer(close_stream(self.target, close));
        self.since = scene.now;
        self.phase = Phase::AtProducer(close);
    }
}
