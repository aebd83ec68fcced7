use super::super::Scene;
use super::CloseAt;
use super::Target;
use super::cut::close_stream;
use super::is_answer;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::FrameHead;
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
        let mut plain = Self { at, target, phase: Phase::Orphaning, since: scene.now };
        match at {
            CloseAt::Cut | CloseAt::End => scene.forge_stream_end(target.key, target.opaque),
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
        if let Event::Frame { from, head, .. } = event
            && *from == scene.producer
        {
            self.said_by_producer(head, scene);
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

    /// The producer's stream is closed too, unless it was told so already: a consumer whose own is gone may ask for it again.
    pub(super) fn call_off(&mut self, scene: &mut Scene<'_>) {
        if matches!(self.phase, Phase::AtConsumer(_) | Phase::Orphaning) {
            self.close_at_producer(scene);
        }
        self.phase = Phase::Done;
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

    fn close_at_producer(&mut self, scene: &mut Scene<'_>) {
        let close = scene.tools.opaque();
        scene.to_producer(close_stream(self.target, close));
        self.since = scene.now;
        self.phase = Phase::AtProducer(close);
    }
}
