use super::super::Proof;
use super::super::Scene;
use super::Position;
use super::Target;
use super::cut::Ledger;
use super::cut::close_stream;
use super::is_answer;
use super::says_stream_end;
use crate::Timestamp;
use crate::dcp::Control;
use crate::dcp::FrameHead;
use crate::engine::Action;
use crate::engine::Event;
use crate::fault::PROOF_AFTER;
use crate::journal::Act;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// The cut stream, requested again by the tool for itself: what comes is withheld and acknowledged, then it is closed.
///
/// Before that the window is made so small that half of what is to come fills it: a producer that has not got back what
/// was acknowledged then stops too early, however large the window was.
///
/// ```text
///   Narrowing --window set--> Requesting --Success--> Filling --full, stuck, or all came--> Widening --window set-->
///   Catching --all came--> Closing --STREAM_END (or nothing more can come)--> Done
/// ```
#[derive(Debug)]
pub(super) struct Replay {
    target: Target,
    position: Position,
    opaque: Opaque,
    phase: Phase,
    since: Timestamp,
    /// The seqno at which all that was swallowed has come again.
    goal: u64,
    reached: u64,
    /// The consumer's window, and what it is narrowed to; `None` where flow control is off, or nothing was swallowed.
    windows: Option<(u64, u32)>,
    proof: Proof,
    /// Proofs given since the last message came.
    silent: u32,
    /// Messages that the stream has brought.
    messages: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Narrowing(Opaque),
    Requesting,
    Filling,
    Widening(Opaque),
    Catching,
    Closing { close: Opaque, answered: bool, ended: bool },
    Done,
}

impl Replay {
    pub(super) fn begin(target: Target, position: &Position, goal: u64, swallowed: u64, scene: &mut Scene<'_>) -> Self {
        let opaque = scene.tools.opaque();
        scene.tools.keep_from_consumer(opaque);
        let flow = scene.producer().flow();
        let room = u32::try_from(swallowed / 2).unwrap_or(u32::MAX).max(1);
        let window = flow.window().unwrap_or_default();
        let narrow = u32::try_from(flow.outstanding())
            .unwrap_or(u32::MAX)
            .saturating_add(room)
            .min(u32::try_from(window).unwrap_or(u32::MAX));
        let windows = (window > 0 && goal > position.seqno).then_some((window, narrow));
        let mut replay = Self {
            target,
            position: position.clone(),
            opaque,
            phase: Phase::Requesting,
            since: scene.now,
            goal,
            reached: position.seqno,
            windows,
            proof: Proof::Idle,
            silent: 0,
            messages: 0,
        };
        match windows {
            Some((_, narrow)) => {
                let control = replay.set_window(narrow.into(), scene);
                replay.enter(Phase::Narrowing(control), scene.now);
            }
            None => replay.request(scene),
        }
        replay
    }

    pub(super) fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    pub(super) const fn wakeup(&self) -> Option<Timestamp> {
        self.proof.wakeup()
    }

    /// Gives the producer its window back and closes the stream, without waiting for what it says to that.
    pub(super) fn abandon(&mut self, scene: &mut Scene<'_>) {
        if !matches!(self.phase, Phase::Narrowing(_)) {
            self.note(None, scene);
        }
        if let Some((window, _)) = self.windows.take() {
            self.set_window(window, scene);
        }
        if !matches!(self.phase, Phase::Narrowing(_) | Phase::Done) {
            let close = scene.tools.opaque();
            scene.to_producer(close_stream(self.target, close));
        }
        self.enter(Phase::Done, scene.now);
    }

    /// Whether a message is of this stream: it then goes no further.
    pub(super) fn takes(&mut self, head: &FrameHead, ledger: &mut Ledger, now: Timestamp) -> bool {
        if head.header.opaque != self.opaque {
            return false;
        }
        ledger.swallowed(head);
        self.messages += 1;
        if matches!(self.phase, Phase::Filling | Phase::Catching) {
            self.since = now;
        }
        if let Ok(message) = &head.message {
            self.reached = self.reached.max(message.by_seqno().unwrap_or(0));
        }
        if self.phase == Phase::Filling {
            self.silent = 0;
            self.proof.want(now, PROOF_AFTER);
        }
        if head.header.opcode == Opcode::DCP_STREAM_END {
            self.phase = match self.phase {
                Phase::Closing { close, answered, .. } => Phase::Closing { close, answered, ended: true },
                Phase::Narrowing(_)
                | Phase::Requesting
                | Phase::Filling
                | Phase::Widening(_)
                | Phase::Catching
                | Phase::Done => {
                    self.reached = self.reached.max(self.goal);
                    self.phase
                }
            };
        }
        true
    }

    pub(super) fn advance(&mut self, event: &Event<'_>, ledger: &mut Ledger, scene: &mut Scene<'_>) {
        if let Event::Answer { head, .. } = event
            && self.proof.given(head.header.opcode, head.header.opaque)
        {
            self.silent += 1;
        }
        match self.phase {
            Phase::Narrowing(control) => {
                if let Some(status) = is_answer(event, Opcode::DCP_CONTROL, control) {
                    match self.windows {
                        Some((_, narrow)) if status == Status::SUCCESS => self.note(Some(narrow), scene),
                        _ => self.windows = None,
                    }
                    self.request(scene);
                } else if self.is_late(scene) {
                    self.abandon(scene);
                }
            }
            Phase::Requesting => match is_answer(event, Opcode::DCP_STREAM_REQ, self.opaque) {
                Some(Status::SUCCESS) => {
                    self.proof.want(scene.now, PROOF_AFTER);
                    self.enter(Phase::Filling, scene.now);
                }
                Some(_) => {
                    self.reached = self.goal;
                    self.widen(ledger, scene);
                }
                None if self.is_late(scene) => self.abandon(scene),
                None => {}
            },
            Phase::Filling => {
                let full = self.windows.is_none_or(|(_, narrow)| {
                    self.messages > 0 && scene.producer().flow().outstanding() >= u64::from(narrow)
                });
                if full || self.caught_up() || self.silent >= 2 || self.is_late(scene) {
                    self.widen(ledger, scene);
                } else if self.silent == 1 && self.proof == Proof::Idle {
                    // A backfill may take its time: only a long silence means that the producer thinks the window full.
                    self.proof.want(scene.now, scene.tools.silence());
                }
            }
            Phase::Widening(control) => {
                if is_answer(event, Opcode::DCP_CONTROL, control).is_some() || self.is_late(scene) {
                    self.enter(Phase::Catching, scene.now);
                }
            }
            Phase::Catching => {
                ledger.give_back_in_lumps(event, scene);
                if self.caught_up() || self.is_late(scene) {
                    self.close(scene);
                }
            }
            Phase::Closing { close, answered, ended } => {
                ledger.give_back_in_lumps(event, scene);
                let answered = answered || is_answer(event, Opcode::DCP_CLOSE_STREAM, close).is_some();
                // Without the control no STREAM_END comes; two proofs after the answer nothing of the stream is under way.
                let quiet = answered && !says_stream_end(scene.producer()) && self.silent >= 2;
                self.phase = Phase::Closing { close, answered, ended };
                if answered && self.proof == Proof::Idle && self.silent < 2 {
                    self.proof.want(scene.now, PROOF_AFTER);
                }
                if (answered && ended) || quiet || self.is_late(scene) {
                    self.proof = Proof::Idle;
                    self.enter(Phase::Done, scene.now);
                }
            }
            Phase::Done => {}
        }
        self.proof.step(scene.producer, scene.tools, scene.now, scene.actions);
    }

    fn caught_up(&self) -> bool {
        self.reached >= self.goal
    }

    fn is_late(&self, scene: &Scene<'_>) -> bool {
        scene.now.since(self.since) > scene.tools.patience()
    }

    fn request(&mut self, scene: &mut Scene<'_>) {
        let act = Act::Resuming { cut: self.target.opaque, opaque: self.opaque, start_seqno: self.position.seqno };
        scene.actions.push(Action::Note { edge: scene.producer, act });
        let frame = self.position.request(self.opaque).build();
        scene.to_producer(frame);
        self.enter(Phase::Requesting, scene.now);
    }

    fn set_window(&self, bytes: u64, scene: &mut Scene<'_>) -> Opaque {
        let opaque = scene.tools.opaque();
        let control = Control { key: "connection_buffer_size".to_owned(), value: bytes.to_string() };
        scene.to_producer(control.request(opaque).build());
        opaque
    }

    fn note(&self, narrowed: Option<u32>, scene: &mut Scene<'_>) {
        if self.windows.is_some() {
            scene.actions.push(Action::Note { edge: scene.producer, act: Act::Narrowed(narrowed) });
        }
    }

    /// Gives the producer its window back, and what it is owed.
    fn widen(&mut self, ledger: &mut Ledger, scene: &mut Scene<'_>) {
        self.proof = Proof::Idle;
        self.silent = 0;
        self.note(None, scene);
        // A consumer that has set another window meanwhile keeps that.
        let window = scene.producer().flow().window();
        match self.windows.take().filter(|(_, narrow)| window == Some((*narrow).into())) {
            Some((window, _)) => {
                let control = self.set_window(window, scene);
                self.enter(Phase::Widening(control), scene.now);
            }
            None => self.enter(Phase::Catching, scene.now),
        }
        ledger.give_back(1, scene);
    }

    fn close(&mut self, scene: &mut Scene<'_>) {
        let close = scene.tools.opaque();
        scene.to_producer(close_stream(self.target, close));
        self.silent = 0;
        self.proof = Proof::Idle;
        let gone = scene
            .producer()
            .stream(self.target.key)
            .is_none_or(|stream| stream.opaque != self.opaque || !stream.state.is_live());
        self.enter(Phase::Closing { close, answered: false, ended: gone }, scene.now);
    }

    fn enter(&mut self, phase: Phase, now: Timestamp) {
        self.phase = phase;
        self.since = now;
    }
}
