//! How a frame changes the state of its connection.

use super::Asked;
use super::Close;
use super::MAX_FAILOVER_LOG;
use super::MAX_TEXT;
use super::Open;
use super::Orphan;
use super::OrphanOf;
use super::Owner;
use super::Request;
use super::Session;
use super::State;
use super::Stream;
use super::StreamContext;
use super::StreamKey;
use super::agreed;
use crate::dcp;
use crate::dcp::FrameHead;
use crate::dcp::Message;
use crate::dcp::StreamReqResponse;
use crate::journal::Direction;
use crate::journal::Entry;
use crate::journal::Role;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

impl Session {
    pub(super) fn frame(&mut self, entry: &Entry, head: &FrameHead) {
        let count = match entry.direction {
            Direction::From => &mut self.frames[0],
            Direction::To => &mut self.frames[1],
        };
        *count = count.saturating_add(1);
        let header = &head.header;
        self.context.sender = self.role(entry.sender());
        if header.is_response() {
            self.response(entry, head, header.status().unwrap_or(Status::SUCCESS));
        } else if header.is_request() {
            if self.context.sender == Some(Role::Producer) {
                self.produced(entry, head);
            } else {
                self.request(entry, head);
            }
        }
    }

    /// A request of the producer: what streams are made of, and its no-ops.
    fn produced(&mut self, entry: &Entry, head: &FrameHead) {
        let header = &head.header;
        let charge = dcp::charge(header);
        if charge > 0 {
            self.context.charge = charge;
            self.flow.charge(charge.into());
        }
        if !dcp::is_stream_message(header.opcode) {
            if header.opcode == Opcode::DCP_NOOP {
                self.noop.sent(header.opaque, entry.at);
            }
            return self.request(entry, head);
        }
        let mut key = StreamKey { vbucket: header.vbucket_or_status, stream_id: head.stream_id };
        if self.negotiated.stream_id && key.stream_id.is_none() {
            key = self.streams.without_id(key.vbucket, header.opaque).unwrap_or(key);
        }
        let Some(stream) = self.streams.of_mut(key, header.opaque) else {
            let owner = self.streams.owner(key, header.opaque);
            self.context.stream = Some(StreamContext { key, owner, older: None, before: None });
            self.ask(entry, head, None);
            return;
        };
        let owner = if stream.state == State::Requested { Owner::Requested } else { Owner::Current(stream.state) };
        self.context.stream = Some(StreamContext { key, owner, older: None, before: Some(stream.before()) });
        let (named, state) = ((key, stream.generation), stream.state);
        if self.gap && state == State::Requested {
            stream.opened(Vec::new());
        }
        stream.take(entry, head, charge);
        if stream.state != state {
            self.streams.recount(key);
        }
        self.ask(entry, head, Some(named));
    }

    /// Any other request, and all before DCP_OPEN.
    fn request(&mut self, entry: &Entry, head: &FrameHead) {
        let header = &head.header;
        let to = self.role(entry.sender().other());
        let key = StreamKey { vbucket: header.vbucket_or_status, stream_id: head.stream_id };
        let named = match &head.message {
            Ok(Message::StreamReq(request)) => {
                let key = StreamKey { stream_id: request.value.as_deref().and_then(|value| value.sid), ..key };
                self.generation = self.generation.saturating_add(1);
                let stream = Stream::new(key, header.opaque, self.generation, Request::new(entry, request));
                self.context.stream = Some(self.stream_context(key, &stream));
                self.streams.request(stream);
                Some((key, self.generation))
            }
            Ok(Message::CloseStream(_)) => {
                let before = self.streams.closable(key).map(|stream| (stream.opaque, stream.before()));
                let owner = before.map_or(Owner::Unknown, |(_, before)| Owner::Current(before.state));
                self.context.stream =
                    Some(StreamContext { key, owner, older: None, before: before.map(|(_, before)| before) });
                let close =
                    Close { to: to.unwrap_or(Role::Producer), origin: entry.origin, at: entry.at, answered: None };
                let named = self.streams.closable(key).map(|stream| {
                    stream.close_sent(close);
                    (key, stream.generation)
                });
                self.streams.recount(key);
                named
            }
            Ok(Message::SeqnoAck(_)) => {
                let owner = self.streams.owner(key, header.opaque);
                let before = self.streams.of(key, header.opaque).map(Stream::before);
                self.context.stream = Some(StreamContext { key, owner, older: None, before });
                None
            }
            Ok(Message::BufferAck(ack)) if self.context.sender == Some(Role::Consumer) => {
                self.flow.ack(ack.bytes_to_ack, entry.at);
                None
            }
            _ => None,
        };
        let Some(serial) = self.ask(entry, head, named) else { return };
        match &head.message {
            Ok(Message::Open(open)) if self.opening.len() < 16 => {
                let mut name = open.name.clone();
                truncate(&mut name);
                let consumer_name = open.consumer_name.clone();
                let (by, flags) = (entry.sender(), open.flags);
                self.opening.push((serial, Open { by, name, flags, consumer_name, accepted: false }));
                self.context.sender = self.role(entry.sender());
                self.agree();
            }
            Ok(Message::Control(control)) => self.controls.ask(serial, &control.key, &control.value),
            Ok(Message::Hello(hello)) => {
                self.features.asked_for(hello.features.iter().copied());
                self.agree();
            }
            _ => {}
        }
    }

    fn ask(&mut self, entry: &Entry, head: &FrameHead, stream: Option<(StreamKey, u64)>) -> Option<u64> {
        let header = &head.header;
        head.expects_answer().then(|| {
            self.outstanding.ask(Asked {
                by: entry.sender(),
                origin: entry.origin,
                opcode: header.opcode,
                opaque: header.opaque,
                at: entry.at,
                stream,
                serial: 0,
            })
        })
    }

    fn response(&mut self, entry: &Entry, head: &FrameHead, status: Status) {
        let header = &head.header;
        let receiver = entry.sender().other();
        // STAT alone has many answers; the last has no key.
        let more = header.opcode == Opcode::STAT && status == Status::SUCCESS && header.key_len > 0;
        let answers = if more {
            self.outstanding.find(receiver, header.opcode, header.opaque).copied()
        } else {
            self.outstanding.answer(receiver, header.opcode, header.opaque)
        };
        self.context.answers = answers;
        self.context.unasked = answers.is_none();
        if let Some(asked) = answers {
            self.answered(entry, head, status, asked);
        }
        if self.role(receiver) == Some(Role::Producer) {
            self.orphan(entry, head, status);
        }
    }

    fn answered(&mut self, entry: &Entry, head: &FrameHead, status: Status, asked: Asked) {
        let success = status == Status::SUCCESS;
        if let Some((key, generation)) = asked.stream {
            let owner = self.streams.owner(key, asked.opaque);
            let stream = self.streams.generation_mut(key, generation);
            let before = stream.map(|stream| stream.before());
            let older = self.streams.at(key).filter(|older| older.generation != generation).map(|older| older.state);
            self.context.stream = Some(StreamContext { key, owner, older, before });
        }
        match asked.opcode {
            Opcode::DCP_OPEN => {
                let Some(at) = self.opening.iter().position(|(serial, _)| *serial == asked.serial) else { return };
                let (_, open) = self.opening.remove(at);
                if success {
                    self.open = Some(Open { accepted: true, ..open });
                }
                self.agree();
            }
            Opcode::DCP_CONTROL => {
                let accepted = self.controls.answered(asked.serial, status);
                if let Some(("connection_buffer_size", value)) = accepted
                    && let Ok(window) = value.parse()
                {
                    self.flow.set_window(window);
                }
                self.agree();
            }
            Opcode::HELLO => {
                if let Ok(Message::HelloResponse(response)) = &head.message {
                    self.features.granted(response.features.iter().copied());
                }
                self.agree();
            }
            Opcode::VERSION => {
                if let Ok(Message::VersionResponse(response)) = &head.message {
                    let mut text = response.version.clone();
                    truncate(&mut text);
                    self.version = Some(text);
                }
            }
            Opcode::DCP_STREAM_REQ => {
                let Some((key, generation)) = asked.stream else { return };
                self.streams.answered(key, generation, |stream| match &head.message {
                    Ok(Message::StreamReqResponse(StreamReqResponse::FailoverLog(log))) => {
                        stream.opened(log.iter().take(MAX_FAILOVER_LOG).copied().collect());
                    }
                    Ok(Message::StreamReqResponse(StreamReqResponse::Rollback { rollback_seqno })) => {
                        stream.state = State::RolledBack(Some(*rollback_seqno));
                    }
                    _ if success => stream.opened(Vec::new()),
                    _ if status == Status::ROLLBACK => stream.state = State::RolledBack(None),
                    _ => stream.state = State::Refused(status),
                });
            }
            Opcode::DCP_CLOSE_STREAM => {
                let Some((key, generation)) = asked.stream else { return };
                if let Some(stream) = self.streams.generation_mut(key, generation) {
                    stream.close_answered(status, entry.at);
                }
                self.streams.recount(key);
            }
            _ => {}
        }
    }

    /// A response to the producer: an answer it awaits, or an orphan.
    fn orphan(&mut self, entry: &Entry, head: &FrameHead, status: Status) {
        let header = &head.header;
        let of_stream = dcp::is_stream_message(header.opcode);
        if header.opcode == Opcode::DCP_NOOP {
            self.noop.answered(header.opaque, entry.at);
        }
        if !self.context.unasked && (!of_stream || status == Status::SUCCESS) {
            return;
        }
        if !of_stream {
            self.context.orphan = Some(Orphan { status, to: OrphanOf::Connection, stream: None });
            return;
        }
        let (to, stream) = self.trace(header.opaque);
        if self.context.stream.is_none()
            && let Some(key) = stream
        {
            let before = self.streams.of(key, header.opaque).map(Stream::before);
            let owner = self.streams.owner(key, header.opaque);
            self.context.stream = Some(StreamContext { key, owner, older: None, before });
        }
        self.context.orphan = Some(Orphan { status, to, stream });
    }

    /// Whose an opaque is, when there is no vbucket to tell.
    fn trace(&self, opaque: Opaque) -> (OrphanOf, Option<StreamKey>) {
        let mut found: Option<(OrphanOf, Option<StreamKey>)> = None;
        for stream in self.streams.with_opaque(opaque) {
            let to = match stream.state {
                State::Open => OrphanOf::Live,
                State::Closing | State::Closed => OrphanOf::Closing,
                State::Requested => OrphanOf::Unknown,
                State::Ended(_) | State::RolledBack(_) | State::Refused(_) => OrphanOf::Gone,
            };
            found = Some(match found {
                Some((best, _)) if rank(best) < rank(to) => continue,
                Some((best, _)) if rank(best) == rank(to) => (best, None),
                _ => (to, Some(stream.key)),
            });
        }
        found
            .filter(|(to, _)| *to != OrphanOf::Unknown)
            .or_else(|| {
                let gone = self.streams.gone().rev().find(|gone| gone.opaque == opaque)?;
                Some((OrphanOf::Gone, Some(gone.key)))
            })
            .unwrap_or((OrphanOf::Unknown, None))
    }

    fn stream_context(&self, key: StreamKey, requested: &Stream) -> StreamContext {
        match self.streams.at(key) {
            Some(old) => StreamContext {
                key,
                owner: if old.opaque == requested.opaque {
                    Owner::Current(old.state)
                } else {
                    Owner::OtherOpaque(old.state)
                },
                older: Some(old.state),
                before: Some(old.before()),
            },
            None => StreamContext { key, owner: Owner::Unknown, older: None, before: None },
        }
    }

    fn agree(&mut self) {
        let flags = self.open_or_opening().map_or(0, |open| open.flags);
        self.negotiated = agreed::negotiated(&self.features, &self.controls, flags);
        self.v7 = self.controls.is_true("v7_dcp_status_codes");
        let sync_writes = self.controls.is_true("enable_sync_writes");
        let named = self.controls.accepted("consumer_name").is_some()
            || self.open_or_opening().is_some_and(|open| open.consumer_name.is_some());
        self.sync_writes = sync_writes || self.controls.is_true("enable_synchronous_replication");
        self.sync_replication = sync_writes && named;
    }
}

const fn rank(to: OrphanOf) -> u8 {
    match to {
        OrphanOf::Live => 0,
        OrphanOf::Closing => 1,
        OrphanOf::Gone => 2,
        OrphanOf::Unknown | OrphanOf::Connection => 3,
    }
}

fn truncate(text: &mut String) {
    let end = (0..=MAX_TEXT.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text.truncate(end);
}
