//! What the next step waits for.

use std::time::Duration;

use super::Consumer;
use super::steps::What;
use super::streams::State;
use crate::Timestamp;
use crate::journal::Role;
use crate::wire::Opcode;

/// What keeps a step from being taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wait {
    /// Logging in.
    Login,
    /// A failover log that the tool asked for.
    Log,
    /// The answer to a recorded request: index into the script's lines.
    Answer(usize),
    /// The end of a stream.
    End(usize),
    /// So many messages of a stream. The live end may not have them.
    Messages(usize, usize),
    /// A message of a stream that the next step answers. The live end may not have it.
    Message(usize, Opcode, usize),
}

impl Wait {
    /// Whether the conversation cannot go on without.
    const fn is_demanded(self) -> bool {
        matches!(self, Self::Login | Self::Log | Self::Answer(_) | Self::End(_))
    }
}

impl Consumer {
    /// What the next step, or the end of the script, waits for.
    pub(super) fn wait(&self) -> Option<Wait> {
        if self.login.is_under_way() {
            return Some(Wait::Login);
        }
        if self.asked_log.is_some() {
            return Some(Wait::Log);
        }
        let step = self.steps.get(self.next);
        let before = step.map_or(self.script.lines.len(), |step| step.line);
        self.wait_for_answers(before).or_else(|| match step {
            None => (0..self.streams.len()).find_map(|stream| self.wait_for_stream(stream, before)),
            Some(step) => {
                let line = self.line(step.line)?;
                match &step.what {
                    What::Login => None,
                    What::Ack => self.wait_before_ack(before),
                    What::Request if line.header.opcode == Opcode::DCP_STREAM_REQ => {
                        self.wait_for_older(line.stream?, before)
                    }
                    What::Request | What::AnswerAll(_) => self.wait_for_stream(line.stream?, before),
                    What::Orphan { ordinal } => {
                        let stream = line.stream?;
                        let opcode = line.header.opcode;
                        self.wait_for_stream(stream, before).or_else(|| {
                            let live = self.streams.get(stream)?;
                            let came = live.by_opcode.get(&opcode).copied().unwrap_or_default();
                            (came < *ordinal && !live.is_over()).then_some(Wait::Message(stream, opcode, *ordinal))
                        })
                    }
                }
            }
        })
    }

    /// The first answer that came before line `before` in the recording, and has not come live.
    fn wait_for_answers(&self, before: usize) -> Option<Wait> {
        let owed = self.pending.values().flatten().copied();
        let awaited =
            owed.filter(|&at| self.line(at).and_then(|line| line.answered).is_some_and(|answer| answer < before));
        awaited.min().map(Wait::Answer)
    }

    /// What a stream had brought before line `before` in the recording, and has not live.
    fn wait_for_stream(&self, stream: usize, before: usize) -> Option<Wait> {
        let (recorded, live) = (self.script.streams.get(stream)?, self.streams.get(stream)?);
        if live.state == State::Awaited {
            // Its request was never made, or never answered, in the recording either.
            return None;
        }
        let messages = recorded.messages.partition_point(|&at| at < before);
        if !live.has(messages) {
            return Some(Wait::Messages(stream, messages));
        }
        let ended = recorded.end.is_some_and(|end| end < before);
        (ended && !live.is_over()).then_some(Wait::End(stream))
    }

    /// A stream is requested again once the one before it is where it was.
    fn wait_for_older(&self, stream: usize, before: usize) -> Option<Wait> {
        let recorded = self.script.streams.get(stream)?;
        let same = |at: &usize| {
            let older = self.script.streams.get(*at);
            older.is_some_and(|older| (older.vbucket, older.stream_id) == (recorded.vbucket, recorded.stream_id))
        };
        (0..stream).filter(same).find_map(|older| self.wait_for_stream(older, before))
    }

    /// Bytes are given back once as much came as in the recording.
    fn wait_before_ack(&self, before: usize) -> Option<Wait> {
        (0..self.streams.len()).find_map(|stream| match self.wait_for_stream(stream, before) {
            Some(wait @ Wait::Messages(..)) if self.unacked == 0 || !self.is_full() => Some(wait),
            _ => None,
        })
    }

    /// Whether the live end may send no more, as far as this end has said.
    pub(super) fn is_full(&self) -> bool {
        self.window != 0 && self.unacked >= u64::from(self.window)
    }

    /// Until when a wait lasts at most.
    fn until(&self, wait: &Wait) -> Timestamp {
        if wait.is_demanded() { self.progress + self.options.patience } else { self.progress + self.options.quiet }
    }

    pub(super) fn is_over_now(&self, wait: &Wait, now: Timestamp) -> bool {
        self.until(wait) <= now
    }

    /// When something is to be done, if nothing comes before.
    pub(super) fn due(&self) -> Timestamp {
        match (self.wait(), self.ready) {
            (Some(wait), _) => self.until(&wait),
            (None, Some(since)) => since + self.gap(),
            (None, None) => self.last,
        }
    }

    /// How long after what it waited for the next step was taken in the recording.
    pub(super) fn gap(&self) -> Duration {
        let Some(step) = self.steps.get(self.next) else { return Duration::ZERO };
        let Some(line) = self.line(step.line) else { return Duration::ZERO };
        let own = self.next.checked_sub(1).and_then(|at| self.steps.get(at)).map_or(0, |step| step.line);
        let between = self.script.lines.get(own..step.line).unwrap_or_default();
        let waited_for = between.iter().rfind(|before| {
            before.from == Role::Producer
                && (before.answers.is_some() || before.stream.is_some() && before.stream == line.stream)
        });
        let since = waited_for.or_else(|| self.line(own)).map_or(line.at, |before| before.at);
        self.options.speed.gap(line.at.since(since))
    }

    /// A wait has lasted too long: for data the script goes on without, for the rest it ends.
    pub(super) fn give_up(&mut self, wait: Wait, now: Timestamp) {
        match wait {
            Wait::Messages(stream, messages) => {
                if let Some(live) = self.streams.get_mut(stream) {
                    live.shortfall = messages.saturating_sub(live.messages);
                }
            }
            Wait::Message(..) => {
                self.orphans.left_out += 1;
                self.next += 1;
            }
            Wait::Login | Wait::Log | Wait::Answer(_) | Wait::End(_) => {
                let expected = self.name(wait);
                let patience = self.options.patience.as_millis();
                self.stop(&expected, &format!("nothing of it came within {patience} ms"), now);
            }
        }
    }

    /// What a wait is for, in words.
    pub(super) fn name(&self, wait: Wait) -> String {
        let line = |at: Option<usize>| at.and_then(|at| self.line(at)).map(super::Line::name).unwrap_or_default();
        let vbucket = |stream: usize| self.script.streams.get(stream).map_or(0, |recorded| recorded.vbucket);
        match wait {
            Wait::Login => "answers to the login".to_owned(),
            Wait::Log => "a failover log".to_owned(),
            Wait::Answer(at) => format!("an answer to {}", line(Some(at))),
            Wait::End(stream) => {
                let end = self.script.streams.get(stream).and_then(|recorded| recorded.end);
                format!("the end of a stream of vbucket {}, as {}", vbucket(stream), line(end))
            }
            Wait::Messages(stream, messages) => format!("{messages} messages of vbucket {}", vbucket(stream)),
            Wait::Message(stream, opcode, _) => format!("a {opcode} of vbucket {}", vbucket(stream)),
        }
    }
}
