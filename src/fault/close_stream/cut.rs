use bytes::Bytes;

use super::super::Proof;
use super::super::Scene;
use super::super::is_of_stream;
use super::super::waiting::Waiting;
use super::CloseStreamSpec;
use super::Position;
use super::Target;
use super::is_answer;
use super::replay::Replay;
use super::says_stream_end;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::FrameHead;
use crate::engine::Action;
use crate::engine::Event;
use crate::era;
use crate::era::Cell;
use crate::fault::PROOF_AFTER;
use crate::journal::Act;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// The tool plays a consumer whose stream is gone (design.md §6, "Course of `cut`").
///
/// ```text
///   Swallowing --each wanted type met, or snapshot over--> Closing --STREAM_END (or nothing more can come)--> Answering
///   Answering --each burst proven; the consumer is told STREAM_END--> Replaying --compared, closed--> Done
/// ```
#[derive(Debug)]
pub(super) struct Cut {
    target: Target,
    position: Position,
    spec: CloseStreamSpec,
    phase: Phase,
    since: Timestamp,
    ledger: Ledger,
    /// Whether the consumer was told STREAM_END.
    told: bool,
    last_swallowed: u64,
    /// The consumer's next request for the stream, which waits until the tool is through with it.
    waiting: Waiting,
    left_out: Vec<Opcode>,
    /// Markers that were swallowed: they are answered once the stream is gone at the producer too (MB-32724).
    markers: u64,
    /// Messages that were swallowed.
    swallowed: u64,
    met_at: Option<(Timestamp, u64)>,
}

#[derive(Debug)]
enum Phase {
    Swallowing,
    Closing { close: Opaque, answered: bool, ended: bool, proof: Proof },
    Answering,
    Replaying(Box<Replay>),
    Done,
}

/// Bytes of swallowed messages that the producer's window is to get back.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Not given back yet.
    owed: u64,
    /// All that was swallowed.
    pub(super) total: u64,
}

impl Ledger {
    pub(super) fn swallowed(&mut self, head: &FrameHead) {
        let charge = u64::from(dcp::charge(&head.header));
        self.owed += charge;
        self.total += charge;
    }

    /// Gives back what is owed once it is worth a frame, and what there is when time passes.
    pub(super) fn give_back_in_lumps(&mut self, event: &Event<'_>, scene: &mut Scene<'_>) {
        let lump = (scene.producer().flow().window().unwrap_or_default() / 8).clamp(1, 64 * 1024) as u32;
        let due = matches!(event, Event::Wakeup);
        self.give_back(if due { 1 } else { lump }, scene);
    }

    /// Gives back what is owed, once it is at least `least`.
    pub(super) fn give_back(&mut self, least: u32, scene: &mut Scene<'_>) {
        if !scene.producer().flow().is_on() {
            self.owed = 0;
        }
        if self.owed < u64::from(least.max(1)) {
            return;
        }
        let bytes = u32::try_from(self.owed).unwrap_or(u32::MAX);
        self.owed -= u64::from(bytes);
        scene.give_back(bytes);
    }
}

impl Cut {
    pub(super) fn new(target: Target, position: Position, spec: CloseStreamSpec, now: Timestamp) -> Self {
        Self {
            target,
            spec,
            last_swallowed: position.seqno,
            position,
            phase: Phase::Swallowing,
            since: now,
            ledger: Ledger::default(),
            told: false,
            waiting: Waiting::default(),
            left_out: Vec::new(),
            markers: 0,
            swallowed: 0,
            met_at: None,
        }
    }

    pub(super) const fn owed(&self) -> u64 {
        self.ledger.owed
    }

    pub(super) const fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    pub(super) fn wakeup(&self) -> Option<Timestamp> {
        // Bytes are given back in lumps, and what is left over after a while at the latest.
        let lump = (self.ledger.owed > 0).then(|| self.since + LUMP_AFTER);
        match &self.phase {
            Phase::Closing { proof, .. } => [lump, proof.wakeup()].into_iter().flatten().min(),
            Phase::Replaying(replay) => replay.wakeup(),
            Phase::Swallowing | Phase::Answering => lump,
            Phase::Done => None,
        }
    }

    pub(super) fn on_event(&mut self, event: &Event<'_>, scene: &mut Scene<'_>) {
        match event {
            Event::Frame { from, frame, head, .. } if *from == scene.producer => self.said_by_producer(head, scene),
            Event::Frame { frame, head, .. } => self.said_by_consumer(frame, head, scene),
            Event::Answer { .. }
            | Event::Wakeup
            | Event::Raw { .. }
            | Event::Closed { .. }
            | Event::Paused { .. }
            | Event::Settle => {}
        }
        self.advance(event, scene);
    }

    fn said_by_producer(&mut self, head: &FrameHead, scene: &mut Scene<'_>) {
        if !head.header.is_request()
            || !dcp::is_stream_message(head.header.opcode)
            || !is_of_stream(head, self.target.key.vbucket, self.target.key.stream_id)
        {
            return;
        }
        if let Phase::Replaying(replay) = &mut self.phase
            && replay.takes(head, &mut self.ledger, scene.now)
        {
            scene.actions.push(Action::Drop);
            return;
        }
        if head.header.opaque != self.target.opaque {
            return;
        }
        scene.actions.push(Action::Drop);
        self.swallowed += 1;
        if head.header.opcode == Opcode::DCP_STREAM_END {
            if let Phase::Closing { ended, .. } = &mut self.phase {
                *ended = true;
            } else if matches!(self.phase, Phase::Swallowing) {
                // The producer ends it by itself: there is nothing left to close.
                self.phase =
                    Phase::Closing { close: Opaque::default(), answered: true, ended: true, proof: Proof::Idle };
            }
        }
        self.ledger.swallowed(head);
        if let Ok(message) = &head.message {
            self.last_swallowed = message.by_seqno().unwrap_or(0).max(self.last_swallowed);
        }
        if head.header.opcode == Opcode::DCP_SNAPSHOT_MARKER {
            self.markers += 1;
        } else {
            self.answer(head.header.opcode, scene);
        }
    }

    /// Answers a swallowed message as a consumer of the era whose stream is gone.
    fn answer(&mut self, message: Opcode, scene: &mut Scene<'_>) {
        if !self.spec.messages.is_empty() && !self.spec.messages.contains(&message) {
            return;
        }
        if let Some(status) = self.spec.status {
            scene.bursts.add(message, status, self.target.opaque, scene.now);
            scene.wanted.remove(&message);
            return;
        }
        let v7 = scene.producer().v7();
        let answer = era::cut_status(scene.tools.era, v7, message);
        if scene.tools.fatal_too {
            scene.bursts.add(message, answer.own, self.target.opaque, scene.now);
        } else if answer.cell == Cell::Keep {
            scene.bursts.add(message, answer.status, self.target.opaque, scene.now);
        } else if !self.left_out.contains(&message) {
            self.left_out.push(message);
            let act = Act::LeftOut { message, status: answer.status };
            scene.actions.push(Action::Note { edge: scene.producer, act });
        }
        scene.wanted.remove(&message);
    }

    fn said_by_consumer(&mut self, frame: &Frame<'_>, head: &FrameHead, scene: &mut Scene<'_>) {
        let header = &head.header;
        let is_for_vbucket = header.is_request() && header.vbucket() == Some(self.target.key.vbucket);
        let asks_again = is_for_vbucket && header.opcode == Opcode::DCP_STREAM_REQ;
        if self.waiting.keeps(frame, head, asks_again, scene) || !is_for_vbucket {
            return;
        }
        let is_of_stream = head.stream_id.is_none() || head.stream_id == self.target.key.stream_id;
        match header.opcode {
            // As from a producer that has ended the stream meanwhile: STREAM_END, then that there is none.
            Opcode::DCP_CLOSE_STREAM if is_of_stream => {
                scene.actions.push(Action::Drop);
                self.tell_consumer(scene);
                scene.to_consumer(dcp::response(header.opcode, Status::KEY_ENOENT, header.opaque).build());
            }
            // Accepted in silence once the stream has ended (MB-35378).
            Opcode::DCP_SEQNO_ACK if is_of_stream => scene.actions.push(Action::Drop),
            _ => {}
        }
    }

    fn advance(&mut self, event: &Event<'_>, scene: &mut Scene<'_>) {
        // The tool's own stream has a patience of its own, from message to message.
        let patience = if matches!(self.phase, Phase::Replaying(_)) { 6 } else { 1 } * scene.tools.patience();
        let late = scene.now.since(self.since) > patience;
        match &mut self.phase {
            Phase::Swallowing => {
                if self.is_enough(event, scene) || late {
                    self.close(scene);
                }
            }
            Phase::Closing { close, answered, ended, proof } => {
                if is_answer(event, Opcode::DCP_CLOSE_STREAM, *close).is_some() {
                    *answered = true;
                    if !says_stream_end(scene.producer()) {
                        proof.want(scene.now, PROOF_AFTER);
                    }
                }
                if let Event::Answer { head, .. } = event
                    && proof.given(head.header.opcode, head.header.opaque)
                {
                    // What the producer had sent before it closed the stream has all come.
                    *ended = true;
                }
                proof.step(scene.producer, scene.tools, scene.now, scene.actions);
                if late {
                    // It was waited for, and is not waited for at another stream.
                    scene.wanted.remove(&Opcode::DCP_STREAM_END);
                }
                if (*answered && *ended) || late {
                    for _ in 0..std::mem::take(&mut self.markers) {
                        self.answer(Opcode::DCP_SNAPSHOT_MARKER, scene);
                    }
                    self.enter(Phase::Answering, scene);
                }
            }
            Phase::Answering => {
                if scene.bursts.is_idle() || late {
                    self.tell_consumer(scene);
                    let replay =
                        Replay::begin(self.target, &self.position, self.last_swallowed, self.ledger.total, scene);
                    self.enter(Phase::Replaying(Box::new(replay)), scene);
                }
            }
            Phase::Replaying(replay) => {
                replay.advance(event, &mut self.ledger, scene);
                if late {
                    replay.abandon(scene);
                }
                if late || replay.is_done() {
                    self.finish(scene);
                }
            }
            Phase::Done => {}
        }
        match self.phase {
            Phase::Swallowing | Phase::Closing { .. } => self.ledger.give_back_in_lumps(event, scene),
            Phase::Answering => self.ledger.give_back(1, scene),
            Phase::Replaying(_) | Phase::Done => {}
        }
    }

    /// Whether each wanted type was met and a marker with them, or what is missing will not come.
    fn is_enough(&mut self, event: &Event<'_>, scene: &Scene<'_>) -> bool {
        let met = scene.wanted.iter().all(|&message| is_brought_by_the_close(message));
        if met && self.met_at.is_none() {
            self.met_at = Some((scene.now, self.swallowed));
        }
        // The next marker is worth a moment: no other message makes the producer look for its stream.
        let waited = self.met_at.is_some_and(|(at, swallowed)| {
            self.markers > 0
                || scene.now.since(at) > MARKER_WITHIN
                || self.swallowed.saturating_sub(swallowed) > MARKER_WITHIN_MESSAGES
        });
        waited || (!met && self.snapshot_over(scene)) || matches!(event, Event::Settle)
    }

    fn snapshot_over(&self, scene: &Scene<'_>) -> bool {
        scene
            .producer()
            .stream(self.target.key)
            .and_then(|stream| stream.snapshot)
            .is_some_and(|snapshot| snapshot.is_complete(self.last_swallowed))
    }

    fn close(&mut self, scene: &mut Scene<'_>) {
        let close = scene.tools.opaque();
        scene.to_producer(close_stream(self.target, close));
        self.enter(Phase::Closing { close, answered: false, ended: false, proof: Proof::Idle }, scene);
    }

    /// Tells the consumer that its stream has ended, once.
    fn tell_consumer(&mut self, scene: &mut Scene<'_>) {
        if !std::mem::replace(&mut self.told, true) {
            scene.forge_stream_end(self.target.key, self.target.opaque);
        }
    }

    /// Leaves things in order where the course cannot be gone to its end.
    pub(super) fn abandon(&mut self, scene: &mut Scene<'_>) {
        self.tell_consumer(scene);
        if let Phase::Replaying(replay) = &mut self.phase {
            replay.abandon(scene);
        }
        self.finish(scene);
    }

    /// As [`Self::abandon`]; the producer is told to close what it has not closed yet, behind which what waits may ask for
    /// the stream again.
    pub(super) fn call_off(&mut self, scene: &mut Scene<'_>) {
        if matches!(self.phase, Phase::Swallowing) {
            self.close(scene);
        }
        self.abandon(scene);
    }

    fn finish(&mut self, scene: &mut Scene<'_>) {
        self.waiting.release(scene);
        self.ledger.give_back(1, scene);
        self.enter(Phase::Done, scene);
    }

    fn enter(&mut self, phase: Phase, scene: &Scene<'_>) {
        self.phase = phase;
        self.since = scene.now;
    }
}

/// Whether a message comes with the close of a stream, or is answered behind it, so that no message is waited for before.
pub const fn is_brought_by_the_close(message: Opcode) -> bool {
    matches!(message, Opcode::DCP_STREAM_END | Opcode::DCP_SNAPSHOT_MARKER)
}

/// A while after which bytes are given back even if they are few.
const LUMP_AFTER: std::time::Duration = std::time::Duration::from_millis(20);

/// How long, and for how many messages, a marker is waited for once all that is wanted has come.
const MARKER_WITHIN: std::time::Duration = std::time::Duration::from_millis(500);
const MARKER_WITHIN_MESSAGES: u64 = 1000;

/// CLOSE_STREAM for a stream.
pub(super) fn close_stream(target: Target, opaque: Opaque) -> Bytes {
    FrameBuilder::request(Opcode::DCP_CLOSE_STREAM)
        .vbucket(target.key.vbucket)
        .opaque(opaque)
        .stream_id(target.key.stream_id)
        .build()
}
