//! Taking a step: what the recorded consumer said, said anew.

use super::Consumer;
use super::steps::Manner;
use super::steps::What;
use super::streams::Live;
use super::streams::State;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::BufferAck;
use crate::dcp::GetFailoverLog;
use crate::dcp::Message;
use crate::dcp::SelectBucket;
use crate::dcp::SeqnoAck;
use crate::dcp::StreamReq;
use crate::wire::Opaque;
use crate::wire::Opcode;

impl Consumer {
    pub(super) fn take_step(&mut self, now: Timestamp) {
        let Some(step) = self.steps.get(self.next).cloned() else { return };
        match step.what {
            What::Login => self.begin_login(now),
            What::Ack => self.give_back(),
            What::Request => {
                if !self.request(step.line) {
                    // It waits for the live failover log.
                    return;
                }
            }
            What::Orphan { ordinal } => self.orphan(step.line, ordinal, now),
            What::AnswerAll(manner) => self.answer_all(manner, now),
        }
        self.next += 1;
    }

    fn request(&mut self, at: usize) -> bool {
        let Some(line) = self.script.lines.get(at).cloned() else { return true };
        let header = line.header;
        match line.message.as_deref() {
            Some(Message::StreamReq(request)) => {
                let Some(request) = self.mapped(header.vbucket_or_status, request) else { return false };
                self.open_stream(line.stream, header.opaque);
                if line.bytes.is_empty() {
                    return true;
                }
                // The value, JSON of any shape, stays as it was; of the extras the uuid is replaced.
                let mut bytes = line.bytes.to_vec();
                let uuid = VB_UUID_AT + usize::from(header.framing_extras_len);
                if let Some(place) = bytes.get_mut(uuid..uuid + 8) {
                    place.copy_from_slice(&request.vb_uuid.to_be_bytes());
                }
                self.talk.say_again(&bytes, header.opaque);
            }
            Some(Message::SeqnoAck(ack)) if self.was_right(at, line.stream, ack.prepared_seqno) => {
                let stream = line.stream.and_then(|stream| self.streams.get(stream));
                let seqno = stream.map_or(0, |live| live.last_prepare.min(ack.prepared_seqno));
                if seqno > 0 {
                    let stream_id = line.stream.and_then(|at| self.script.streams.get(at)).and_then(|it| it.stream_id);
                    let ack = SeqnoAck { prepared_seqno: seqno };
                    self.talk.say(&ack.request(header.vbucket_or_status, header.opaque).stream_id(stream_id));
                }
                return true;
            }
            Some(Message::SelectBucket(_)) if self.options.bucket.is_some() => {
                let bucket = self.options.bucket.clone().unwrap_or_default();
                self.talk.say(&SelectBucket { bucket }.request(header.opaque));
            }
            _ => self.talk.say_again(&line.bytes, header.opaque),
        }
        let awaits = line.answered.is_some() || dcp::expects_answer(header.opcode);
        if awaits {
            self.pending.entry((header.opcode, header.opaque)).or_default().push(at);
        }
        true
    }

    /// Whether a recorded SEQNO_ACK was for a seqno that its stream had brought; one that was not is wrong on purpose.
    fn was_right(&self, at: usize, stream: Option<usize>, seqno: u64) -> bool {
        let Some(recorded) = stream.and_then(|stream| self.script.streams.get(stream)) else { return false };
        let before = recorded.messages.iter().take_while(|&&message| message < at);
        before.filter_map(|&message| self.line(message)?.seqno).any(|came| came >= seqno)
    }

    /// The request with the live end's uuid for that branch of history; `None` while the live failover log is asked for.
    fn mapped(&mut self, vbucket: u16, request: &StreamReq) -> Option<StreamReq> {
        let mut request = request.clone();
        if request.vb_uuid == 0 {
            return Some(request);
        }
        // A uuid that no log told of was wrong on purpose.
        let Some(branch) = self.logs.branch(vbucket, request.vb_uuid) else { return Some(request) };
        let Some(log) = self.live_logs.get(&vbucket) else {
            let opaque = self.talk.own_opaque();
            self.talk.say(&GetFailoverLog.request(vbucket, opaque));
            self.asked_log = Some((opaque, vbucket));
            return None;
        };
        let mut oldest_first = log.iter().rev().map(|entry| entry.vb_uuid);
        let mapped = oldest_first.nth(branch).or_else(|| log.first().map(|newest| newest.vb_uuid));
        request.vb_uuid = mapped.unwrap_or(request.vb_uuid);
        Some(request)
    }

    fn open_stream(&mut self, stream: Option<usize>, opaque: Opaque) {
        let Some(at) = stream else { return };
        if let Some(live) = self.streams.get_mut(at) {
            *live = Live { opaque, state: State::Awaited, ..Live::default() };
            self.by_opaque.insert(opaque, at);
        }
    }

    /// Gives back all that came and was not given back yet.
    pub(super) fn give_back(&mut self) {
        if self.unacked > 0 && self.window != 0 {
            let bytes_to_ack = u32::try_from(self.unacked).unwrap_or(u32::MAX);
            let opaque = self.talk.own_opaque();
            self.talk.say(&BufferAck { bytes_to_ack }.request(opaque));
            self.unacked -= u64::from(bytes_to_ack);
        }
    }

    /// Gives back what the recorded consumer would have given back, though the live end sends more than was recorded.
    pub(super) fn give_back_by_habit(&mut self) {
        let owed = self.unacked * 100;
        if self.habit.percent > 0 && owed > self.habit.percent * u64::from(self.window) {
            self.give_back();
        }
    }

    fn orphan(&mut self, at: usize, ordinal: usize, now: Timestamp) {
        let Some(line) = self.script.lines.get(at).cloned() else { return };
        let opaque = match line.stream.and_then(|stream| self.streams.get(stream)) {
            Some(live) => {
                if live.by_opcode.get(&line.header.opcode).copied().unwrap_or_default() < ordinal {
                    self.orphans.left_out += 1;
                    return;
                }
                live.opaque
            }
            None => line.header.opaque,
        };
        self.talk.say_again(&line.bytes, opaque);
        self.count_orphan(now);
    }

    fn answer_all(&mut self, manner: Manner, now: Timestamp) {
        let stream = manner.stream;
        let Some(live) = self.streams.get_mut(stream) else { return };
        live.manner = Some(manner);
        let waiting = std::mem::take(&mut live.unanswered);
        for opcode in waiting {
            self.answer_as_before(stream, opcode, now);
        }
    }

    /// Answers a message of a stream all of which is answered.
    pub(super) fn answer_as_before(&mut self, stream: usize, opcode: Opcode, now: Timestamp) {
        let Some(live) = self.streams.get(stream) else { return };
        let Some(manner) = &live.manner else { return };
        self.talk.say(&dcp::response(opcode, manner.status(opcode), live.opaque));
        self.count_orphan(now);
    }

    const fn count_orphan(&mut self, now: Timestamp) {
        self.orphans.given += 1;
        self.orphans.last_at = now;
    }
}

/// Where a STREAM_REQ's uuid is: behind the header, flags, reserved, start and end seqno.
const VB_UUID_AT: usize = 24 + 4 + 4 + 8 + 8;
