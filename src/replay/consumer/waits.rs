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
    /// The close that the recorded producer made.
    Close,
    /// A message of a stream that the next step answers. The live end may not have it.
    Message(usize, Opcode, usize),
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
            None => {
                let stream = (0..self.streams.len()).find_map(|stream| self.wait_for_stream(stream, before));
                // After orphaned responses the live end is watched anyhow.
                let closes = self.script.end.is_some_and(|end| end.by == Role::Producer);
                let awaited = closes && self.orphans.given == 0 && !self.stayed;
                stream.or(awaited.then_some(Wait::Close))
            }
            Some(step) => {
                let line = self.line(step.line)?;
                match &step.what {
                    What::Login => None,
                    What::Ack => self.wait_before_ack(before),
                    What::Request if line.header.opcode == Opcode::DCP_STREAM_REQ => {
                        self.wait_for_older(line.stream?, before)
                    }
                    What::Request if line.header.opcode == Opcode::DCP_CLOSE_STREAM => {
                        let stream = line.stream?;
                        self.wait_for_stream(stream, before).or_else(|| self.wait_for_answered(stream))
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

    /// Before a stream is closed it is to bring what is answered after that: which types lie where in it is the live end's
    /// own affair.
    fn wait_for_answered(&self, stream: usize) -> Option<Wait> {
        let live = self.streams.get(stream).filter(|live| !live.is_over() && live.state != State::Awaited)?;
        let later = self.steps.get(self.next..).unwrap_or_default().iter();
        later.filter_map(|step| Some((self.line(step.line)?, &step.what))).find_map(|(line, what)| match what {
            What::Orphan { ordinal } if line.stream == Some(stream) => {
                let opcode = line.header.opcode;
                let came = live.by_opcode.get(&opcode).copied().unwrap_or_default();
                let forgone = live.forgone.contains(&opcode);
                (came < *ordinal && !forgone).then_some(Wait::Message(stream, opcode, *ordinal))
            }
            What::Login | What::Request | What::Ack | What::Orphan { .. } | What::AnswerAll(_) => None,
        })
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

    /// Until when a wait lasts. What a stream brings beyond the recording prolongs none, so that none lasts for ever.
    pub(super) fn until(&self, wait: Wait) -> Timestamp {
        let since = self.waits.filter(|(waits, _)| *waits == wait).map_or(self.last, |(_, since)| since);
        let came = |stream: usize| self.streams.get(stream).map_or(since, |live| live.came_at.max(since));
        match wait {
            Wait::Login | Wait::Log | Wait::Answer(_) | Wait::Close => since + self.options.patience,
            Wait::End(stream) => came(stream) + self.options.patience,
            Wait::Messages(stream, _) | Wait::Message(stream, ..) => {
                (came(stream) + self.options.quiet).min(since + self.options.patience)
            }
        }
    }

    /// When something is to be done, if nothing comes before.
    pub(super) fn due(&self) -> Timestamp {
        match (self.wait(), self.ready) {
            (Some(wait), _) => self.until(wait),
            (None, Some(since)) => since + self.gap(),
            (None, None) => self.last,
        }
    }

    /// How long after what it waited for the next step was taken in the recording, or its end came.
    pub(super) fn gap(&self) -> Duration {
        let step = self.steps.get(self.next);
        let line = step.and_then(|step| self.line(step.line));
        let place = step.map_or(self.script.lines.len(), |step| step.line);
        let end = || self.script.end.map(|end| end.at).or_else(|| Some(self.script.lines.last()?.at));
        let Some(at) = line.map(|line| line.at).or_else(end) else { return Duration::ZERO };
        let own = self.next.checked_sub(1).and_then(|at| self.steps.get(at)).map_or(0, |step| step.line);
        let between = self.script.lines.get(own..place).unwrap_or_default();
        let waited_for = between.iter().rfind(|before| {
            let same = line.is_none_or(|line| before.stream.is_some() && before.stream == line.stream);
            before.from == Role::Producer && (before.answers.is_some() || same)
        });
        let since = waited_for.or_else(|| self.line(own)).map_or(at, |before| before.at);
        self.options.speed.gap(at.since(since))
    }

    /// A wait has lasted too long: for data the script goes on without, for the rest it ends.
    pub(super) fn give_up(&mut self, wait: Wait, now: Timestamp) {
        match wait {
            Wait::Messages(stream, messages) => {
                if let Some(live) = self.streams.get_mut(stream) {
                    live.shortfall = messages.saturating_sub(live.messages);
                }
            }
            Wait::Message(stream, opcode, _) => {
                let answers = self.steps.get(self.next).is_some_and(|step| matches!(step.what, What::Orphan { .. }));
                if answers {
                    self.orphans.left_out += 1;
                    self.next += 1;
                } else if let Some(live) = self.streams.get_mut(stream) {
                    live.forgone.insert(opcode);
                }
            }
            Wait::Close => self.stayed = true,
            Wait::Login | Wait::Log | Wait::Answer(_) | Wait::End(_) => {
                let expected = self.name(wait);
                let patience = self.options.patience.as_millis();
                self.stop(&expected, &format!("{patience} ms without {expected}"), now);
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
            Wait::Close => "the close of the live end".to_owned(),
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
