//! Setting up, and the answers to the client's requests.

use super::Client;
use super::Phase;
use super::Request;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::Control;
use crate::dcp::GetFailoverLog;
use crate::dcp::Hello;
use crate::dcp::Message;
use crate::dcp::Open;
use crate::dcp::SelectBucket;
use crate::node::Credentials;
use crate::node::auth::Next;
use crate::node::auth::SignOn;
use crate::wire::Frame;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

impl Request {
    const fn opcode(&self) -> Opcode {
        match self {
            Self::Hello => Opcode::HELLO,
            Self::Login(opcode) => *opcode,
            Self::SelectBucket => Opcode::SELECT_BUCKET,
            Self::Open => Opcode::DCP_OPEN,
            Self::Control(_) => Opcode::DCP_CONTROL,
            Self::FailoverLog(_) => Opcode::DCP_GET_FAILOVER_LOG,
            Self::Stream(_) => Opcode::DCP_STREAM_REQ,
            Self::Close(_) => Opcode::DCP_CLOSE_STREAM,
        }
    }
}

impl Client {
    pub(super) fn hello(&mut self) {
        let opaque = self.ask(Request::Hello);
        let hello = Hello { agent: self.config.name.clone(), features: self.config.features() };
        self.write(&hello.request(opaque));
    }

    /// A response: it must answer a request that was made.
    pub(super) fn response(&mut self, frame: &Frame<'_>, now: Timestamp) {
        let header = *frame.header();
        let status = header.status().unwrap_or(Status::SUCCESS);
        if matches!(header.opcode, Opcode::DCP_BUFFER_ACK | Opcode::DCP_SEQNO_ACK) {
            self.violation(now, None, format!("expected no answer to {}, found {status}", header.opcode));
            return;
        }
        match self.requests.get(&header.opaque) {
            Some(request) if request.opcode() == header.opcode => {}
            Some(request) => {
                let what = format!("expected the answer to {}, found one to {}", request.opcode(), header.opcode);
                self.violation(now, None, what);
                return;
            }
            None => {
                let opaque = header.opaque;
                let what = format!("expected answers to requests only, found one to {} {opaque}", header.opcode);
                self.violation(now, None, what);
                return;
            }
        }
        match self.requests.remove(&header.opaque) {
            Some(Request::Control(key)) => self.control_response(key, status, now),
            Some(Request::FailoverLog(vbucket)) => self.failover_log_response(vbucket, frame, now),
            Some(Request::Stream(vbucket)) => self.stream_response(vbucket, frame, now),
            Some(Request::Close(vbucket)) => self.close_response(vbucket, status, now),
            Some(Request::Login(_)) => self.login_response(frame, now),
            Some(request) if status != Status::SUCCESS => {
                self.fail(now, &format!("expected {} to succeed, found {status}", request.opcode()));
            }
            Some(Request::Hello) => {
                match dcp::decode(frame, &self.negotiated()) {
                    Ok(Message::HelloResponse(response)) => self.features.extend(response.features),
                    _ => self.violation(now, None, "expected features in answer to HELLO, found none".to_owned()),
                }
                match self.config.login.clone() {
                    Some(credentials) => {
                        let (login, next) = SignOn::begin(credentials, self.config.nonce.as_deref());
                        self.login = Some(login);
                        self.log_in(next, now);
                    }
                    None => self.select_bucket(),
                }
            }
            Some(Request::SelectBucket) => self.open(),
            Some(Request::Open) => self.send_controls(now),
            None => {}
        }
    }

    fn login_response(&mut self, frame: &Frame<'_>, now: Timestamp) {
        if let Some(next) = self.login.as_mut().map(|login| login.answer(frame)) {
            self.log_in(next, now);
        }
    }

    fn log_in(&mut self, next: Next, now: Timestamp) {
        match next {
            Next::Ask(request) => {
                let opaque = self.ask(Request::Login(request.opcode()));
                self.write(&request.opaque(opaque));
            }
            Next::In => {
                self.login = None;
                self.select_bucket();
            }
            Next::Refused(why) => {
                let who = self.config.login.as_ref().map(Credentials::who).unwrap_or_default();
                self.fail(now, &format!("login of {who} refused: {why}"));
            }
        }
    }

    fn select_bucket(&mut self) {
        if self.config.bucket.is_empty() {
            self.open();
        } else {
            let opaque = self.ask(Request::SelectBucket);
            let select = SelectBucket { bucket: self.config.bucket.clone() };
            self.write(&select.request(opaque));
        }
    }

    fn open(&mut self) {
        let opaque = self.ask(Request::Open);
        let open = Open { name: self.config.name.clone(), flags: self.config.open_flags(), ..Open::default() };
        self.write(&open.request(opaque));
    }

    fn send_controls(&mut self, now: Timestamp) {
        for (key, value) in self.config.controls() {
            let opaque = self.ask(Request::Control(key.clone()));
            self.write(&Control { key, value }.request(opaque));
        }
        self.start_streams(now);
    }

    fn control_response(&mut self, key: String, status: Status, now: Timestamp) {
        self.controls.insert(key, status == Status::SUCCESS);
        self.start_streams(now);
    }

    /// Once every control is answered, so that what was agreed on is known.
    fn start_streams(&mut self, now: Timestamp) {
        if self.phase == Phase::SettingUp && self.requests.is_empty() {
            self.phase = Phase::Streaming;
            for vbucket in self.config.vbuckets.clone() {
                self.ask_failover_log(vbucket);
            }
            self.settle(now);
        }
    }

    fn ask_failover_log(&mut self, vbucket: u16) {
        self.streams.insert(vbucket, super::Stream::new());
        let opaque: Opaque = self.ask(Request::FailoverLog(vbucket));
        self.write(&GetFailoverLog.request(vbucket, opaque));
    }
}
