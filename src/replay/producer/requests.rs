//! What the live consumer asks for.

use super::super::script::has_vbucket;
use super::super::script::is_login;
use super::Producer;
use super::asked::Key;
use super::asked::is_free;
use super::asked::is_told;
use super::lanes::State;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::Control;
use crate::dcp::Feature;
use crate::dcp::Hello;
use crate::dcp::HelloResponse;
use crate::dcp::Message;
use crate::dcp::Negotiated;
use crate::dcp::Open;
use crate::dcp::StreamEnd;
use crate::dcp::StreamReq;
use crate::dcp::StreamReqResponse;
use crate::wire::Frame;
use crate::wire::Header;
use crate::wire::Opcode;
use crate::wire::Status;

impl Producer {
    pub(super) fn request(&mut self, frame: &Frame<'_>, now: Timestamp) {
        let header = *frame.header();
        if is_login(header.opcode) {
            self.progress = now;
            return self.login(frame);
        }
        let message = dcp::decode(frame, &Negotiated::default()).ok();
        if header.opcode == Opcode::DCP_BUFFER_ACK {
            if let Some(Message::BufferAck(ack)) = message {
                self.flow.acknowledge(ack.bytes_to_ack);
            }
            return;
        }
        if is_free(header.opcode) {
            self.free += usize::from(is_told(header.opcode));
            if header.opcode == Opcode::NOOP {
                self.answer(&header, Status::SUCCESS);
            } else {
                self.refuse_as_recorded(&header);
            }
            return;
        }
        let key = Key::new(header.opcode, header.vbucket_or_status, message.as_ref(), frame.frame_infos().stream_id());
        let stream_req = match &message {
            Some(Message::StreamReq(request)) => Some(request),
            _ => None,
        };
        let matched = self.asked.take(&key, stream_req, &self.script);
        match matched {
            Some(at) => {
                self.progress = now;
                self.matched(at, &header, message.as_ref(), now);
            }
            None => self.unmatched(&header, message.as_ref(), now),
        }
    }

    /// A SEQNO_ACK is answered where something is wrong with it; such a one for the same vbucket gets the recorded answer.
    fn refuse_as_recorded(&mut self, header: &Header) {
        let same = |line: &&super::Line| {
            line.header.opcode == header.opcode && line.header.vbucket_or_status == header.vbucket_or_status
        };
        let mut refused = self.script.lines.iter().filter(same);
        let answer = refused.find_map(|line| self.line(line.answered?)).map(|line| line.bytes.clone());
        if let Some(answer) = answer {
            self.talk.say_again(&answer, header.opaque);
        }
    }

    /// A request that the recorded consumer made too: the answer is the recorded one.
    fn matched(&mut self, at: usize, header: &Header, message: Option<&Message>, now: Timestamp) {
        self.note_order(at, now);
        let Some(line) = self.script.lines.get(at).cloned() else { return };
        let answer = line.answered.and_then(|answer| self.line(answer)).cloned();
        let granted = answer.as_ref().is_some_and(|answer| answer.status() == Status::SUCCESS);
        match message {
            Some(Message::Hello(hello)) => {
                let agreed = match answer.as_ref().and_then(|answer| answer.message.as_deref()) {
                    Some(Message::HelloResponse(agreed)) => agreed.features.clone(),
                    _ => Vec::new(),
                };
                return self.hello(header, hello, &agreed, now);
            }
            Some(Message::Open(open)) => {
                if open.flags & Open::PRODUCER == 0 {
                    self.stop("DCP_OPEN with the producer flag", &format!("flags 0x{:02x}", open.flags), now);
                    return self.answer(header, Status::NOT_SUPPORTED);
                }
                self.opened |= granted;
            }
            Some(Message::Control(control)) if granted => self.control(control),
            Some(Message::StreamReq(request)) => {
                if granted && !self.open_lane(at, header, request, now) {
                    return;
                }
                if !granted && let Some(lane) = line.stream.and_then(|stream| self.lanes.get_mut(stream)) {
                    lane.state = State::Over;
                }
            }
            Some(Message::CloseStream(_)) => {
                if let Some(lane) = line.stream.and_then(|stream| self.lanes.get_mut(stream)) {
                    lane.closed = true;
                }
            }
            _ => {}
        }
        // What the recorded producer left without an answer gets none.
        if let Some(answer) = answer {
            self.talk.say_again(&answer.bytes, header.opaque);
            self.more_answers(at, line.answered, header);
        }
    }

    /// Requests of the set-up, and those about one vbucket, are to come in the order of the recording.
    fn note_order(&mut self, at: usize, now: Timestamp) {
        let Some(line) = self.line(at) else { return };
        let place = has_vbucket(line.header.opcode).then_some(line.header.vbucket_or_status);
        let name = line.name();
        let last = self.matched_last.insert(place, at);
        if let Some(before) = last.filter(|&last| last > at).and_then(|last| self.line(last)).map(super::Line::name) {
            self.differences.order(&format!("{name} before {before}"), "it came after that", now);
        }
    }

    /// STAT alone has many answers.
    fn more_answers(&mut self, at: usize, first: Option<usize>, header: &Header) {
        if header.opcode != Opcode::STAT {
            return;
        }
        let script = std::sync::Arc::clone(&self.script);
        let after = first.map_or(usize::MAX, |first| first + 1);
        for line in script.lines.get(after..).unwrap_or_default().iter().filter(|line| line.answers == Some(at)) {
            self.talk.say_again(&line.bytes, header.opaque);
        }
    }

    /// Opens the recorded stream that was requested; false where it was answered otherwise.
    fn open_lane(&mut self, at: usize, header: &Header, live: &StreamReq, now: Timestamp) -> bool {
        let Some(line) = self.script.lines.get(at).cloned() else { return true };
        let Some(Message::StreamReq(recorded)) = line.message.as_deref() else { return true };
        let Some(stream) = line.stream else { return true };
        let vbucket = header.vbucket_or_status;
        let other_history = live.start_seqno > 0
            && live.vb_uuid != recorded.vb_uuid
            && self.logs.branch(vbucket, live.vb_uuid).is_none();
        if other_history {
            // The consumer has another vbucket's history: it is to begin anew.
            self.asked.give_back(at, &self.script);
            let back = StreamReqResponse::Rollback { rollback_seqno: recorded.start_seqno };
            self.talk.say(&back.response(header.opaque));
            return false;
        }
        if live.start_seqno < recorded.start_seqno {
            let expected = format!("{} to ask from seqno {} on", line.name(), recorded.start_seqno);
            let actual = format!("seqno {}, from where on the recording has no data", live.start_seqno);
            self.stop(&expected, &actual, now);
            self.answer(header, Status::ERANGE);
            if let Some(lane) = self.lanes.get_mut(stream) {
                lane.state = State::Over;
            }
            return false;
        }
        let ends_sooner = live.flags & StreamReq::TO_LATEST == 0 && live.end_seqno < recorded.end_seqno;
        if let Some(lane) = self.lanes.get_mut(stream) {
            lane.state = State::Open;
            lane.opaque = header.opaque;
            lane.start_seqno = live.start_seqno;
            lane.end_seqno = if ends_sooner { live.end_seqno } else { u64::MAX };
            self.by_opaque.insert(header.opaque, stream);
        }
        true
    }

    fn control(&mut self, control: &Control) {
        match control.key.as_str() {
            "connection_buffer_size" => self.window = control.value.parse().unwrap_or_default(),
            "enable_noop" => self.noop = control.value == "true",
            "send_stream_end_on_client_close_stream" => self.stream_end_on_close = control.value == "true",
            _ => {}
        }
    }

    /// Agrees to what both the recorded and the live consumer asked for: the recorded frames are made for that.
    fn hello(&mut self, header: &Header, asked: &Hello, agreed: &[u16], now: Timestamp) {
        for (feature, name) in
            [(Feature::COLLECTIONS, "Collections"), (Feature::SNAPPY, "Snappy"), (Feature::XATTR, "Xattr")]
        {
            if agreed.contains(&feature) && !asked.features.contains(&feature) {
                let what = format!("HELLO to ask for {name} (0x{feature:02x}), with which the data was recorded");
                self.differences.missing(&what, now);
            }
        }
        let features = agreed.iter().copied().filter(|feature| asked.features.contains(feature)).collect();
        self.talk.say(&HelloResponse { features }.response(header.opaque));
    }

    /// A request that the recorded consumer did not make, or not so often.
    fn unmatched(&mut self, header: &Header, message: Option<&Message>, now: Timestamp) {
        let vbucket = header.vbucket_or_status;
        let (status, is_extra) = match (header.opcode, message) {
            (Opcode::HELLO, Some(Message::Hello(hello))) => return self.hello(header, hello, &[], now),
            (Opcode::SELECT_BUCKET, _) => (Status::SUCCESS, true),
            (Opcode::DCP_CONTROL, Some(Message::Control(control))) => {
                let harmless = HARMLESS.contains(&control.key.as_str());
                if harmless {
                    self.control(control);
                }
                (if harmless { Status::SUCCESS } else { Status::EINVAL }, true)
            }
            (Opcode::DCP_GET_FAILOVER_LOG, _) => {
                let log = self.recorded_log(vbucket);
                self.differences.extra(&format!("{} for vbucket {vbucket}", header.opcode), now);
                match log {
                    Some(log) => self.talk.say(&log.response(header.opcode, header.opaque)),
                    None => self.answer(header, Status::NOT_MY_VBUCKET),
                }
                return;
            }
            (Opcode::DCP_CLOSE_STREAM, _) => {
                let open = self.script.streams.iter().zip(&self.lanes);
                let found = open
                    .enumerate()
                    .find(|(_, (recorded, lane))| recorded.vbucket == vbucket && lane.state == State::Open);
                match found.map(|(at, _)| at) {
                    Some(at) => {
                        self.answer(header, Status::SUCCESS);
                        if self.stream_end_on_close {
                            self.end_lane(at, StreamEnd::CLOSED);
                        } else if let Some(lane) = self.lanes.get_mut(at) {
                            lane.state = State::Over;
                        }
                    }
                    None => self.answer(header, Status::KEY_ENOENT),
                }
                self.differences.extra(&format!("{} for vbucket {vbucket}", header.opcode), now);
                return;
            }
            (Opcode::DCP_STREAM_REQ, _) => (Status::NOT_MY_VBUCKET, true),
            _ => (Status::UNKNOWN_COMMAND, true),
        };
        if is_extra {
            let of = match message {
                Some(Message::Control(control)) => format!(" {}", control.key),
                Some(Message::StreamReq(_)) => format!(" for vbucket {vbucket}"),
                _ => String::new(),
            };
            self.differences.extra(&format!("{}{of}", header.opcode), now);
        }
        if dcp::expects_answer(header.opcode) {
            self.answer(header, status);
        }
    }

    fn recorded_log(&self, vbucket: u16) -> Option<dcp::FailoverLog> {
        self.script.lines.iter().find_map(|line| {
            let asked = self.line(line.answers?)?;
            if asked.header.vbucket_or_status != vbucket {
                return None;
            }
            match line.message.as_deref() {
                Some(Message::FailoverLog(log)) => Some(log.clone()),
                Some(Message::StreamReqResponse(StreamReqResponse::FailoverLog(log))) => {
                    Some(dcp::FailoverLog { failover_log: log.clone() })
                }
                _ => None,
            }
        })
    }

    pub(super) fn answer(&mut self, header: &Header, status: Status) {
        self.talk.say(&dcp::response(header.opcode, status, header.opaque));
    }
}

/// Controls that change neither what is sent nor how it looks, or that the replay can keep to.
const HARMLESS: [&str; 9] = [
    "connection_buffer_size",
    "enable_noop",
    "set_noop_interval",
    "set_priority",
    "enable_ext_metadata",
    "supports_cursor_dropping",
    "supports_cursor_dropping_vulcan",
    "supports_hifi_MFU",
    "send_stream_end_on_client_close_stream",
];
