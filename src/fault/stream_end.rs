use serde::Deserialize;
use serde::Serialize;

use super::Fault;
use super::Scene;
use super::Shot;
use super::Spec;
use super::Struck;
use super::is_of_stream;
use super::waiting::Waiting;
use crate::Timestamp;
use crate::dcp;
use crate::engine::Action;
use crate::engine::Event;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// The consumer is told that its stream has ended. Nothing more of it arrives, its bytes are given back to the producer's
/// window, and the producer is told to close it; a request of the consumer's for that vbucket waits until it has, and with it
/// those behind it.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamEndSpec {
    /// The reason, a number as in dcp-protocol.md §4.6; 2 (state changed) where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<u32>,
    /// Whether what the producer still says of the stream arrives, and the stream stays open there: an end that overtakes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lingering: bool,
}

impl Spec for StreamEndSpec {
    fn fire(&self, shot: &Shot, _: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        let struck = shot.struck.clone()?;
        let reason = self.reason.unwrap_or(dcp::StreamEnd::STATE_CHANGED);
        Some(Box::new(StreamEnd {
            struck,
            reason,
            lingering: self.lingering,
            phase: Phase::Due,
            waiting: Waiting::default(),
        }))
    }

    fn wants_stream(&self) -> bool {
        true
    }

    fn closes_stream(&self) -> bool {
        true
    }
}

struct StreamEnd {
    struck: Struck,
    reason: u32,
    lingering: bool,
    phase: Phase,
    waiting: Waiting,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Due,
    /// The producer was told to close.
    Closing {
        close: Opaque,
        since: Timestamp,
        answered: bool,
        ended: bool,
    },
    Done,
}

impl std::fmt::Debug for StreamEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamEnd").field("struck", &self.struck).field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl StreamEnd {
    fn begin(&mut self, event: &Event<'_>, scene: &mut Scene<'_>) {
        let (key, opaque) = (self.struck.key, self.struck.opaque);
        let end = dcp::StreamEnd { end_reason: self.reason }.request(key.vbucket, opaque).stream_id(key.stream_id);
        let end = end.build();
        scene.will_be_acknowledged(u32::try_from(end.len()).unwrap_or_default());
        scene.to_consumer(end);
        if self.lingering {
            self.phase = Phase::Done;
            return;
        }
        scene.tools.keep_from_consumer(opaque);
        self.swallow(event, scene);
        let close = scene.tools.opaque();
        let request = FrameBuilder::request(Opcode::DCP_CLOSE_STREAM).vbucket(key.vbucket).opaque(close);
        scene.to_producer(request.stream_id(key.stream_id).build());
        self.phase = Phase::Closing { close, since: scene.now, answered: false, ended: false };
    }

    /// Keeps a message of the stream from the consumer; whether it was its end.
    fn swallow(&self, event: &Event<'_>, scene: &mut Scene<'_>) -> bool {
        let Event::Frame { from, head, .. } = event else { return false };
        if *from != scene.producer
            || !head.header.is_request()
            || head.header.opaque != self.struck.opaque
            || !dcp::is_stream_message(head.header.opcode)
            || !is_of_stream(head, self.struck.key.vbucket, self.struck.key.stream_id)
        {
            return false;
        }
        scene.actions.push(Action::Drop);
        scene.give_back_charge(&head.header);
        head.header.opcode == Opcode::DCP_STREAM_END
    }
}

impl Fault for StreamEnd {
    fn on_event(&mut self, event: &Event<'_>, scene: &mut Scene<'_>) {
        let is_end = match self.phase {
            Phase::Due => return self.begin(event, scene),
            Phase::Closing { .. } => self.swallow(event, scene),
            Phase::Done => return,
        };
        let says_end = scene.producer().controls().is_true("send_stream_end_on_client_close_stream");
        let patience = scene.tools.patience();
        let Phase::Closing { close, since, answered, ended } = &mut self.phase else { return };
        *ended |= is_end;
        match event {
            Event::Answer { head, .. } if head.header.opaque == *close => *answered = true,
            Event::Frame { from, frame, head, .. } if *from != scene.producer => {
                let asks_again = head.header.is_request()
                    && head.header.opcode == Opcode::DCP_STREAM_REQ
                    && head.header.vbucket() == Some(self.struck.key.vbucket);
                self.waiting.keeps(frame, head, asks_again, scene);
            }
            Event::Frame { .. }
            | Event::Answer { .. }
            | Event::Raw { .. }
            | Event::Closed { .. }
            | Event::Paused { .. }
            | Event::Wakeup
            | Event::Settle => {}
        }
        if (*answered && (*ended || !says_end)) || scene.now.since(*since) > patience {
            self.abandon(scene);
        }
    }

    fn wakeup(&self) -> Option<Timestamp> {
        None
    }

    fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    fn blocks(&self) -> bool {
        !self.lingering
    }

    fn abandon(&mut self, scene: &mut Scene<'_>) {
        self.phase = Phase::Done;
        self.waiting.release(scene);
    }
}
