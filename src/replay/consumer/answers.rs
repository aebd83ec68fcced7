//! What the live producer says.

use super::super::differences;
use super::super::differences::Phase;
use super::Consumer;
use super::steps::What;
use super::streams::MAX_UNANSWERED;
use super::streams::State;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::Feature;
use crate::dcp::Message;
use crate::dcp::StreamReqResponse;
use crate::journal::Role;
use crate::wire::Frame;
use crate::wire::Header;
use crate::wire::Opcode;
use crate::wire::Status;

impl Consumer {
    pub(super) fn take(&mut self, frame: &Frame<'_>, now: Timestamp) {
        let header = *frame.header();
        if header.is_response() {
            self.response(frame, now);
        } else if header.is_request() {
            self.unacked += u64::from(dcp::charge(&header));
            if dcp::is_stream_message(header.opcode) {
                self.stream_message(frame, now);
            } else {
                self.asked(&header, now);
            }
        }
        // Server requests (a changed cluster map) await no answer from a DCP consumer.
    }

    fn response(&mut self, frame: &Frame<'_>, now: Timestamp) {
        let header = *frame.header();
        if self.login_response(frame, now) || self.is_proof(&header) {
            return;
        }
        let status = header.status().unwrap_or(Status::SUCCESS);
        let message = dcp::decode(frame, &self.negotiated).ok();
        if let Some((_, vbucket)) = self.asked_log.filter(|(opaque, _)| *opaque == header.opaque) {
            self.asked_log = None;
            let log = match message {
                Some(Message::FailoverLog(log)) => log.failover_log,
                _ => Vec::new(),
            };
            self.live_logs.insert(vbucket, log);
            return;
        }
        let key = (header.opcode, header.opaque);
        let more = header.opcode == Opcode::STAT && status == Status::SUCCESS && header.key_len > 0;
        if more && self.pending.contains_key(&key) {
            return;
        }
        let Some(waiting) = self.pending.get_mut(&key) else {
            self.differences.extra(&format!("{}/{status}, an answer that nothing awaits", header.opcode), now);
            return;
        };
        let at = waiting.remove(0);
        if waiting.is_empty() {
            self.pending.remove(&key);
        }
        self.answered(at, status, message.as_ref(), now);
    }

    fn answered(&mut self, at: usize, status: Status, message: Option<&Message>, now: Timestamp) {
        let Some(line) = self.script.lines.get(at).cloned() else { return };
        if let Some(recorded) = line.answered.and_then(|answer| self.line(answer)).map(super::Line::status)
            && recorded != status
        {
            self.differences.status(&line, &recorded.to_string(), &status.to_string(), now);
        }
        let success = status == Status::SUCCESS;
        match (line.header.opcode, message) {
            (Opcode::HELLO, Some(Message::HelloResponse(hello))) => {
                let has = |feature| hello.features.contains(&feature);
                self.negotiated.collections = has(Feature::COLLECTIONS);
                self.negotiated.snappy = has(Feature::SNAPPY) || has(Feature::SNAPPY_EVERYWHERE);
                self.negotiated.xattr = has(Feature::XATTR);
            }
            (Opcode::DCP_CONTROL, _) if success => {
                if let Some(Message::Control(control)) = line.message.as_deref()
                    && control.key == "connection_buffer_size"
                {
                    self.window = control.value.parse().unwrap_or_default();
                    if self.window == 0 {
                        self.unacked = 0;
                    }
                }
            }
            (Opcode::DCP_GET_FAILOVER_LOG, Some(Message::FailoverLog(log))) => {
                self.live_logs.insert(line.header.vbucket_or_status, log.failover_log.clone());
            }
            (Opcode::DCP_STREAM_REQ, _) => {
                if let Some(Message::StreamReqResponse(StreamReqResponse::FailoverLog(log))) = message {
                    self.live_logs.insert(line.header.vbucket_or_status, log.clone());
                }
                if let Some(live) = line.stream.and_then(|stream| self.streams.get_mut(stream)) {
                    live.phases.begin(Phase::Answer);
                    live.state = if success { State::Open } else { State::Refused };
                }
            }
            (Opcode::DCP_CLOSE_STREAM, _) => {
                if let Some(live) = line.stream.and_then(|stream| self.streams.get_mut(stream))
                    && line.stream.and_then(|at| self.script.streams.get(at)).and_then(|it| it.close) == Some(at)
                {
                    live.phases.begin(Phase::CloseAnswer);
                }
            }
            _ => {}
        }
    }

    fn stream_message(&mut self, frame: &Frame<'_>, now: Timestamp) {
        let header = *frame.header();
        let opcode = header.opcode;
        let message = dcp::decode(frame, &self.negotiated).ok();
        let Some(stream) = self.by_opaque.get(&header.opaque).copied() else {
            self.differences.extra(&format!("a {opcode} of no stream that was asked for"), now);
            return;
        };
        let name = self.stream_name(stream);
        let Some(live) = self.streams.get_mut(stream) else { return };
        if live.state == State::Ended {
            live.late += 1;
            if live.late == 1 {
                self.differences.extra(&format!("a {opcode} of {name} after its end"), now);
            }
            return;
        }
        let index = live.messages;
        live.messages += 1;
        if self.script.streams.get(stream).is_some_and(|recorded| index < recorded.messages.len()) {
            live.came_at = now;
        }
        *live.by_opcode.entry(opcode).or_default() += 1;
        if let Some(phase) = differences::of(opcode) {
            live.phases.begin(phase);
        }
        if let Some(Message::Prepare(prepare)) = &message {
            live.last_prepare = prepare.by_seqno;
        }
        if opcode == Opcode::DCP_STREAM_END {
            live.state = State::Ended;
        }
        let answers = match message {
            Some(message) => message.expects_answer(&header),
            None => dcp::expects_answer(opcode),
        };
        if answers {
            self.talk.say(&dcp::response(opcode, self.recorded_answer(stream, opcode), header.opaque));
            return;
        }
        let Some(live) = self.streams.get_mut(stream) else { return };
        if live.manner.is_some() {
            // The recording is over some time; a stream that was never closed may not be.
            if self.still_answers(now) {
                self.answer_as_before(stream, opcode, now);
            }
        } else if live.unanswered.len() < MAX_UNANSWERED && index >= first_answered(&self.steps, stream) {
            live.unanswered.push_back(opcode);
        }
    }

    /// A request that belongs to no stream.
    fn asked(&mut self, header: &Header, now: Timestamp) {
        let known = matches!(header.opcode, Opcode::DCP_NOOP | Opcode::NOOP);
        if !known {
            let recorded = self.script.lines.iter().any(|line| {
                line.from == Role::Producer && line.header.is_request() && line.header.opcode == header.opcode
            });
            if !recorded {
                self.differences.extra(&format!("a request {}", header.opcode), now);
            }
        }
        if dcp::expects_answer(header.opcode) {
            let status = self.recorded_status(header.opcode);
            self.talk.say(&dcp::response(header.opcode, status, header.opaque));
        }
    }

    /// What the recorded consumer answered to such a message of the stream; success where it answered none.
    fn recorded_answer(&self, stream: usize, opcode: Opcode) -> Status {
        let answers =
            |line: &&super::Line| line.answers.is_some() && line.stream == Some(stream) && line.header.opcode == opcode;
        self.script.lines.iter().find(answers).map_or(Status::SUCCESS, super::Line::status)
    }

    /// What the recorded consumer answered to such a request; to no-ops one after the other.
    fn recorded_status(&mut self, opcode: Opcode) -> Status {
        let answers =
            |line: &&super::Line| line.answers.is_some() && line.from == Role::Consumer && line.header.opcode == opcode;
        let mut recorded = self.script.lines.iter().filter(answers).map(super::Line::status);
        if matches!(opcode, Opcode::DCP_NOOP | Opcode::NOOP) {
            self.noops += 1;
            return recorded.nth(self.noops - 1).unwrap_or(Status::SUCCESS);
        }
        recorded.next().unwrap_or(Status::UNKNOWN_COMMAND)
    }

    pub(super) fn stream_name(&self, stream: usize) -> String {
        let recorded = self.script.streams.get(stream);
        let request = recorded.and_then(|recorded| self.line(recorded.request)).map_or(0, |line| line.number);
        let vbucket = recorded.map_or(0, |recorded| recorded.vbucket);
        format!("the stream of vbucket {vbucket} that frame {request} requests")
    }
}

/// The first message of the stream that is answered, if all are from one on.
fn first_answered(steps: &[super::Step], stream: usize) -> usize {
    steps
        .iter()
        .find_map(|step| match &step.what {
            What::AnswerAll(manner) if manner.stream == stream => Some(manner.first),
            What::Login | What::Request | What::Ack | What::Orphan { .. } | What::AnswerAll(_) => None,
        })
        .unwrap_or(usize::MAX)
}
