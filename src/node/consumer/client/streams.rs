//! How streams are asked for, go on, and end.

use std::time::Duration;

use super::Client;
use super::End;
use super::Request;
use super::stream::State;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::Message;
use crate::dcp::StreamEnd;
use crate::dcp::StreamReq;
use crate::dcp::StreamReqResponse;
use crate::dcp::StreamReqValue;
use crate::node::Quirk;
use crate::wire::Frame;
use crate::wire::Opcode;
use crate::wire::Status;

/// How long until a stream that was refused is asked for again.
const PAUSE: Duration = Duration::from_millis(100);

impl Client {
    pub(super) fn failover_log_response(&mut self, vbucket: u16, frame: &Frame<'_>, now: Timestamp) {
        match (frame.header().status(), dcp::decode(frame, &self.negotiated())) {
            (Some(Status::SUCCESS), Ok(Message::FailoverLog(log))) => {
                self.ledger.entry(vbucket).set_failover_log(log.failover_log);
            }
            (status, _) => {
                let status = status.unwrap_or(Status::SUCCESS);
                let what = format!("expected a failover log, found {status} and no log");
                self.violation(now, Some(vbucket), what);
            }
        }
        self.request_stream(vbucket, now);
    }

    /// Asks for a vbucket's stream from where it was.
    pub(super) fn request_stream(&mut self, vbucket: u16, now: Timestamp) {
        let opaque = self.ask(Request::Stream(vbucket));
        let sid = self.stream_id(vbucket);
        let Some(stream) = self.streams.get_mut(&vbucket) else { return };
        if stream.tries > self.config.retries {
            let what = format!("expected the stream to open, found it refused or ended {} times", stream.tries);
            stream.state = State::Ended;
            self.requests.remove(&opaque);
            self.violation(now, Some(vbucket), what);
            return;
        }
        let ledger = self.ledger.entry(vbucket);
        let point = ledger.resume_point();
        stream.tries = stream.tries.saturating_add(1);
        stream.opaque = opaque;
        stream.state = State::Requested;
        stream.asked_from = point.start_seqno;
        stream.from_zero |= point.start_seqno == 0;
        stream.snapshot = None;
        let (flags, end_seqno) = match self.config.end {
            End::Endless => (0, u64::MAX),
            End::ToLatest => (StreamReq::TO_LATEST, u64::MAX),
            End::At(end) => (0, end.max(point.start_seqno)),
        };
        let request = StreamReq {
            flags: flags | self.config.stream_flags,
            reserved: 0,
            start_seqno: point.start_seqno,
            end_seqno,
            vb_uuid: ledger.failover_log().first().map_or(0, |newest| newest.vb_uuid),
            snap_start_seqno: point.snap_start_seqno,
            snap_end_seqno: point.snap_end_seqno,
            value: sid.map(|sid| Box::new(StreamReqValue { sid: Some(sid), ..StreamReqValue::default() })),
        };
        self.write(&request.request(vbucket, opaque));
    }

    pub(super) fn stream_response(&mut self, vbucket: u16, frame: &Frame<'_>, now: Timestamp) {
        let header = *frame.header();
        let status = header.status().unwrap_or(Status::SUCCESS);
        match (status, dcp::decode(frame, &self.negotiated())) {
            (Status::SUCCESS, Ok(Message::StreamReqResponse(StreamReqResponse::FailoverLog(log)))) => {
                self.ledger.entry(vbucket).set_failover_log(log);
                self.set_state(vbucket, State::Open);
            }
            (Status::ROLLBACK, Ok(Message::StreamReqResponse(StreamReqResponse::Rollback { rollback_seqno }))) => {
                self.roll_back(vbucket, rollback_seqno, now);
            }
            (Status::SUCCESS | Status::ROLLBACK, decoded) => {
                let why = decoded.err().map(|malformed| malformed.to_string()).unwrap_or_default();
                self.fail(now, &format!("expected a failover log or a seqno to roll back to, found {status}: {why}"));
            }
            // Another node has it, it is not ready, or its last stream has not ended yet.
            (Status::NOT_MY_VBUCKET | Status::KEY_EEXISTS | Status::ETMPFAIL | Status::ENOMEM, _) => {
                self.set_state(vbucket, State::Later(now + PAUSE));
            }
            (status, _) => {
                self.violation(now, Some(vbucket), format!("expected the stream to open, found it refused: {status}"));
                self.set_state(vbucket, State::Ended);
            }
        }
    }

    pub(super) fn close_response(&mut self, vbucket: u16, status: Status, now: Timestamp) {
        let told = self.accepted("send_stream_end_on_client_close_stream") == Some(true);
        let closing = self.streams.get(&vbucket).is_some_and(|stream| stream.state == State::Closing);
        match status {
            // STREAM_END follows, or has come already.
            Status::SUCCESS if told => {}
            Status::SUCCESS => self.end_stream(vbucket, State::Ended),
            // It ended by itself meanwhile; its STREAM_END came before, or (dead, not yet ended) comes still.
            Status::KEY_ENOENT => {}
            status => {
                let what = format!("expected the stream to close, found {status}");
                self.violation(now, Some(vbucket), what);
                if closing {
                    self.end_stream(vbucket, State::Ended);
                }
            }
        }
    }

    /// STREAM_END of a running stream: it is asked for again, unless it came to its end or was closed from here.
    pub(super) fn stream_end(&mut self, vbucket: u16, end: StreamEnd, now: Timestamp) {
        let closing = self.streams.get(&vbucket).is_some_and(|stream| stream.state == State::Closing);
        self.ledger.entry(vbucket).message(Opcode::DCP_STREAM_END);
        self.acks.ended(vbucket);
        self.ends = self.ends.saturating_add(1);
        if end.end_reason == StreamEnd::OK && self.config.end == End::Endless {
            let what = "expected an endless stream to go on, found STREAM_END with reason Ok".to_owned();
            self.violation(now, Some(vbucket), what);
        }
        if let End::At(wanted) = self.config.end
            && end.end_reason == StreamEnd::OK
            && self.ledger.entry(vbucket).last_seqno() < wanted
        {
            let last = self.ledger.entry(vbucket).last_seqno();
            self.violation(now, Some(vbucket), format!("expected STREAM_END Ok at seqno {wanted}, found it at {last}"));
        }
        match end.end_reason {
            reason if self.forgets(reason) => self.end_stream(vbucket, State::Forgotten),
            _ if self.has(Quirk::KafkaConnector11) && self.ends >= self.config.vbuckets.len() => self.stop(),
            StreamEnd::OK | StreamEnd::FILTER_EMPTY | StreamEnd::LOST_PRIVILEGES => {
                self.end_stream(vbucket, State::Ended);
            }
            _ if closing => self.end_stream(vbucket, State::Ended),
            _ => {
                self.end_stream(vbucket, State::Ended);
                if self.has(Quirk::SyncGateway5597) {
                    self.take_snapshot_for_read(vbucket);
                }
                self.request_stream(vbucket, now);
            }
        }
    }

    /// Whether a client with a quirk does nothing at a stream's end for this reason.
    fn forgets(&self, reason: u32) -> bool {
        let listed = matches!(
            reason,
            StreamEnd::OK | StreamEnd::CLOSED | StreamEnd::STATE_CHANGED | StreamEnd::DISCONNECTED | StreamEnd::SLOW
        );
        self.has(Quirk::SyncGateway969) || (self.has(Quirk::GoDcp151) && !listed)
    }

    /// sync-gateway-5597: the rest of the open snapshot is taken for received.
    fn take_snapshot_for_read(&mut self, vbucket: u16) {
        let ledger = self.ledger.entry(vbucket);
        if let Some(snapshot) = ledger.snapshot().filter(|snapshot| snapshot.end > ledger.last_seqno()) {
            ledger.advance(snapshot.end);
        }
    }

    fn roll_back(&mut self, vbucket: u16, seqno: u64, now: Timestamp) {
        let ledger = self.ledger.entry(vbucket);
        if seqno > ledger.last_seqno() {
            let what = format!("expected a rollback to at most {}, found {seqno}", ledger.last_seqno());
            self.violation(now, Some(vbucket), what);
        }
        if self.has(Quirk::JavaDcpClient10) {
            return self.request_stream(vbucket, now);
        }
        let ledger = self.ledger.entry(vbucket);
        ledger.roll_back(seqno);
        if let Some(stream) = self.streams.get_mut(&vbucket) {
            stream.prepares.roll_back(seqno);
            stream.acked_prepare = stream.acked_prepare.min(seqno);
        }
        self.request_stream(vbucket, now);
    }

    fn set_state(&mut self, vbucket: u16, state: State) {
        if let Some(stream) = self.streams.get_mut(&vbucket) {
            stream.state = state;
        }
    }

    fn end_stream(&mut self, vbucket: u16, state: State) {
        if let Some(stream) = self.streams.get_mut(&vbucket) {
            stream.end(state);
        }
    }
}
