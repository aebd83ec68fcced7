//! The streams that the consumer node is to have: added, added again where one has ended, and watched until they have come
//! as far as is wanted.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Asked;
use super::CONSUMER;
use super::Config;
use super::Progress;
use crate::Timestamp;
use crate::dcp::AddStream;
use crate::engine::Sessions;
use crate::session::Stream;
use crate::session::StreamKey;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

#[derive(Debug)]
pub(super) struct Streams {
    wanted: BTreeMap<u16, State>,
    /// Up to where each vbucket is to come, of those that are not there yet.
    targets: BTreeMap<u16, u64>,
    /// Whether the consumer node was asked, behind all of it, whether it is there.
    proof: Option<Opaque>,
    progress: Progress,
    look_at: Timestamp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// ADD_STREAM was sent, for the first time or again.
    Asked {
        opaque: Opaque,
        again: bool,
    },
    Added,
    /// It is to be added again, not before that time.
    Gone(Timestamp),
}

/// How often it is looked whether all streams are there.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The same, while they are on their way to where they are wanted.
const MEASURE_EVERY: Duration = Duration::from_millis(50);
/// How long until a stream that was refused is added again.
const RETRY: Duration = Duration::from_secs(1);

impl Streams {
    pub(super) fn new(vbuckets: &[u16], progress: &Progress, asked: &mut Asked, now: Timestamp) -> Self {
        let wanted = vbuckets.iter().map(|&vbucket| (vbucket, add(vbucket, false, asked))).collect();
        let targets = progress.targets();
        Self { wanted, targets, proof: None, progress: progress.clone(), look_at: now + LOOK_EVERY }
    }

    /// Takes the answer to something that was asked here.
    ///
    /// # Errors
    /// One line: a stream cannot be had at all.
    pub(super) fn answered(&mut self, frame: &Frame<'_>, config: &Config, now: Timestamp) -> Result<(), String> {
        let (opaque, status) = (frame.header().opaque, frame.header().status().unwrap_or(Status::SUCCESS));
        if self.proof == Some(opaque) {
            self.progress.caught_up();
            return Ok(());
        }
        let of =
            |(_, state): &(&u16, &mut State)| matches!(**state, State::Asked { opaque: asked, .. } if asked == opaque);
        let Some((vbucket, state)) = self.wanted.iter_mut().find(of) else { return Ok(()) };
        *state = match (status, *state) {
            (Status::SUCCESS | Status::KEY_EEXISTS, _) => State::Added,
            (_, State::Asked { again: true, .. }) => State::Gone(now + RETRY),
            (status, _) => {
                let (consumer, producer) = (&config.consumer.at, &config.producer.at);
                let hint = match status {
                    Status::NOT_MY_VBUCKET if config.set_replica => format!("; it must be active at {producer}"),
                    Status::NOT_MY_VBUCKET => {
                        format!("; it must be a replica there (--set-replica makes it one) and active at {producer}")
                    }
                    _ => String::new(),
                };
                return Err(format!("expected {consumer} to add a stream of vbucket {vbucket}, found {status}{hint}"));
            }
        };
        Ok(())
    }

    /// Looks after the streams, from time to time: how far they have come, and, if it `may_add`, adds those again that have
    /// ended, whoever ended them.
    pub(super) fn look(&mut self, sessions: &Sessions, may_add: bool, asked: &mut Asked, now: Timestamp) {
        if now < self.look_at {
            return;
        }
        self.measure(sessions, asked);
        self.look_at = now + if self.targets.is_empty() { LOOK_EVERY } else { MEASURE_EVERY };
        if !may_add {
            return;
        }
        for (&vbucket, state) in &mut self.wanted {
            let is_live = stream(sessions, vbucket).is_some_and(|stream| stream.state.is_live());
            match *state {
                State::Added if !is_live => *state = State::Gone(now + RETRY),
                State::Gone(at) if at <= now => *state = add(vbucket, true, asked),
                State::Added | State::Gone(_) | State::Asked { .. } => {}
            }
        }
    }

    /// How far the vbuckets have come at the consumer node. Once all are there, it is asked whether it has taken in all of it:
    /// it answers in order.
    fn measure(&mut self, sessions: &Sessions, asked: &mut Asked) {
        if self.targets.is_empty() {
            return;
        }
        let progress = &self.progress;
        self.targets.retain(|&vbucket, target| {
            let Some(stream) = stream(sessions, vbucket).filter(|stream| stream.state.is_live()) else { return true };
            progress.reached(vbucket, stream.last_seqno);
            stream.last_seqno < *target
        });
        if self.targets.is_empty() {
            self.proof = Some(asked.ask(CONSUMER, FrameBuilder::request(Opcode::NOOP)));
        }
    }

    pub(super) const fn due(&self) -> Timestamp {
        self.look_at
    }
}

fn add(vbucket: u16, again: bool, asked: &mut Asked) -> State {
    let opaque = asked.ask(CONSUMER, AddStream { flags: 0 }.request(vbucket, Opaque::default()));
    State::Asked { opaque, again }
}

fn stream(sessions: &Sessions, vbucket: u16) -> Option<&Stream> {
    sessions.at(CONSUMER).stream(StreamKey { vbucket, stream_id: None })
}
