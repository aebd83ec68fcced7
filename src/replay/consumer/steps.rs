//! What the recorded consumer did of itself, as steps.

use std::collections::BTreeMap;

use super::super::script::Line;
use super::super::script::Script;
use super::super::script::is_login;
use crate::journal::Role;
use crate::wire::Opcode;
use crate::wire::Status;

/// One thing that the consumer does, in its place in the recording.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Index into the script's lines.
    pub(super) line: usize,
    pub(super) what: What,
}

/// What is done. Answers to requests that await one are no steps: they are given when the live end asks.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// Logs in, with the user's credentials.
    Login,
    /// Makes the recorded request.
    Request,
    /// Gives bytes back to the window.
    Ack,
    /// Gives the recorded orphaned response.
    Orphan {
        /// How many messages of its type must have come for it to answer one.
        ordinal: usize,
    },
    /// Answers every message of a stream from here on.
    AnswerAll(Manner),
}

/// How a consumer answers all that still comes of a stream.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    pub(super) stream: usize,
    /// The first of the stream's messages that it answers, counted from 0.
    pub(super) first: usize,
    statuses: BTreeMap<Opcode, Status>,
    usual: Status,
}

impl Manner {
    /// Found where the orphaned responses to a stream's messages answer its last messages, one by one: then the consumer
    /// answered whatever came, and would have answered more.
    fn of(script: &Script, stream: usize) -> Option<Self> {
        let opcode = |&at: &usize| script.lines.get(at).map(|line| line.header.opcode);
        let messages: Vec<Opcode> = script.streams.get(stream)?.messages.iter().filter_map(opcode).collect();
        let responses: Vec<&Line> =
            script.lines.iter().filter(|line| line.is_orphan() && line.stream == Some(stream)).collect();
        let first = messages.len().checked_sub(responses.len())?;
        let answered = responses.iter().map(|line| line.header.opcode);
        if responses.len() < 2 || !answered.eq(messages.get(first..)?.iter().copied()) {
            return None;
        }
        let mut statuses = BTreeMap::new();
        for line in &responses {
            statuses.entry(line.header.opcode).or_insert(line.status());
        }
        let usual = responses.first()?.status();
        let same = responses.iter().all(|line| statuses.get(&line.header.opcode) == Some(&line.status()));
        same.then_some(Self { stream, first, statuses, usual })
    }

    /// The answer to a message.
    pub(super) fn status(&self, opcode: Opcode) -> Status {
        self.statuses.get(&opcode).copied().unwrap_or(self.usual)
    }
}

/// How many messages of a type the stream had brought by then.
fn came(script: &Script, stream: usize, opcode: Opcode, before: usize) -> usize {
    let messages = script.streams.get(stream).map(|recorded| recorded.messages.as_slice()).unwrap_or_default();
    let is_one = |at: &&usize| script.lines.get(**at).is_some_and(|line| line.header.opcode == opcode);
    messages.iter().take_while(|&&at| at < before).filter(is_one).count()
}

/// The steps of the recorded consumer.
pub(super) fn steps(script: &Script) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut logged_in = false;
    let mut manners: BTreeMap<usize, bool> = BTreeMap::new();
    let mut ordinals: BTreeMap<(usize, Opcode), usize> = BTreeMap::new();
    for (at, line) in script.lines.iter().enumerate().filter(|(_, line)| line.from == Role::Consumer) {
        let opcode = line.header.opcode;
        let what = if line.header.is_request() {
            match opcode {
                _ if is_login(opcode) => {
                    if std::mem::replace(&mut logged_in, true) {
                        continue;
                    }
                    What::Login
                }
                Opcode::DCP_BUFFER_ACK => What::Ack,
                _ => What::Request,
            }
        } else if line.is_orphan() {
            let all = line
                .stream
                .filter(|&stream| *manners.entry(stream).or_insert_with(|| Manner::of(script, stream).is_some()));
            if let Some(stream) = all {
                let begun = steps
                    .iter()
                    .any(|step: &Step| matches!(&step.what, What::AnswerAll(manner) if manner.stream == stream));
                let Some(manner) = Manner::of(script, stream).filter(|_| !begun) else { continue };
                What::AnswerAll(manner)
            } else {
                let ordinal = line.stream.map_or(0, |stream| {
                    let count = ordinals.entry((stream, opcode)).or_default();
                    *count += 1;
                    (*count).min(came(script, stream, opcode, at))
                });
                What::Orphan { ordinal }
            }
        } else {
            continue;
        };
        steps.push(Step { line: at, what });
    }
    steps
}
