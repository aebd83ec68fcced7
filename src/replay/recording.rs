use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use super::script::End;
use super::script::Line;
use super::script::Recorded as Stream;
use super::script::Script;
use crate::capture;
use crate::capture::CaptureError;
use crate::capture::Happened;
use crate::capture::Identity;
use crate::capture::Recorded;
use crate::capture::Remark;
use crate::dcp::FrameHead;
use crate::dcp::Message;
use crate::dcp::StreamReqResponse;
use crate::journal::Role;
use crate::journal::Side;
use crate::journal::What;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// What can be replayed of a capture: its connections whose producer was dialled, each as a [`Script`].
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// In the order of the capture.
    pub scripts: Vec<Arc<Script>>,
    /// The connections that are left out, and why.
    pub left_out: Vec<(u32, String)>,
    /// The failover logs that producers told.
    pub(super) logs: Arc<Logs>,
}

/// The uuids of each vbucket's failover log, the oldest branch first: a uuid means the same branch in every longer log.
#[derive(Clone, Debug, Default)]
pub(super) struct Logs {
    branches: BTreeMap<u16, Vec<u64>>,
}

/// Why a capture cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It cannot be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// It holds more than is kept in memory.
    #[error("expected at most {limit} bytes of frames to replay, found more; --connections chooses fewer")]
    TooLong {
        /// [`Recording::MAX_BYTES`].
        limit: usize,
    },
}

impl Logs {
    fn told(&mut self, vbucket: u16, newest_first: impl DoubleEndedIterator<Item = u64>) {
        let told: Vec<u64> = newest_first.rev().collect();
        let known = self.branches.entry(vbucket).or_default();
        if told.len() >= known.len() {
            *known = told;
        }
    }

    /// Which branch of the vbucket's history a uuid names, counted from the oldest; `None` where no log told of it.
    pub(super) fn branch(&self, vbucket: u16, vb_uuid: u64) -> Option<usize> {
        self.branches.get(&vbucket)?.iter().position(|&uuid| uuid == vb_uuid)
    }
}

impl Recording {
    /// The most bytes of frames that are kept.
    pub const MAX_BYTES: usize = 1 << 30;

    /// Reads a capture for replaying the end in `role`. Of the other end's frames only heads are kept. Where `wanted` names
    /// connections (by number, as `decode` prints them), the others are passed over.
    ///
    /// # Errors
    /// The capture cannot be read to its end, or holds too much.
    pub fn read(reader: impl Read, role: Role, wanted: Option<&BTreeSet<u32>>) -> Result<Self, RecordingError> {
        let mut reading = Reading {
            role,
            number: 0,
            bytes: 0,
            drafts: BTreeMap::new(),
            logs: Logs::default(),
            other_edges: BTreeMap::new(),
        };
        let mut recorded = Recorded::new(0);
        capture::read_while(reader, &mut |event| {
            let is_wanted = wanted.is_none_or(|wanted| wanted.contains(&event.conn));
            if let capture::What::Comment { text, .. } = event.what
                && let Ok(Remark::Connection(identity)) = text.parse()
                && identity.edge != reading.edge()
            {
                reading.other_edges.insert(event.conn, identity);
            }
            recorded.event(&event, &mut |happened| {
                reading.number += u64::from(happened.frame.is_some());
                if is_wanted {
                    reading.happened(&happened);
                }
            });
            if reading.bytes > Self::MAX_BYTES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if reading.bytes > Self::MAX_BYTES {
            return Err(RecordingError::TooLong { limit: Self::MAX_BYTES });
        }
        Ok(reading.finish())
    }
}

impl Recording {
    /// Whether the connection with this number can be replayed.
    pub fn has(&self, number: u32) -> bool {
        self.scripts.iter().any(|script| script.number == number)
    }
}

#[derive(Debug)]
struct Reading {
    role: Role,
    number: u64,
    bytes: usize,
    drafts: BTreeMap<u32, Draft>,
    logs: Logs,
    /// In a recording of the tool's own: the connections at the edge that is not played.
    other_edges: BTreeMap<u32, Identity>,
}

/// A connection that is being read.
#[derive(Debug)]
struct Draft {
    script: Script,
    /// Requests that await their answer, by who asked.
    asked: BTreeMap<(Role, Opcode, Opaque), Vec<usize>>,
    /// The latest stream with an opaque and, where streams have one, an id.
    by_opaque: BTreeMap<(Opaque, Option<u16>), usize>,
    by_vbucket: BTreeMap<(u16, Option<u16>), usize>,
    producer: Option<Side>,
    accepted: bool,
    lost: bool,
}

impl Reading {
    /// Of a connection that the tool had recorded, the edge at which the partner of the replayed end stood: a producer was
    /// told what crossed the upstream's edge, a consumer what crossed the dialler's.
    const fn edge(&self) -> Side {
        match self.role {
            Role::Consumer => Side::Upstream,
            Role::Producer => Side::Dialler,
        }
    }

    fn happened(&mut self, happened: &Happened<'_>) {
        if self.other_edges.contains_key(&happened.conn) {
            return;
        }
        let draft = self.drafts.entry(happened.conn).or_insert_with(|| Draft::new(happened.conn));
        // Until DCP_OPEN, who was dialled is taken for the producer: no other is replayed.
        draft.producer = happened.session.producer().or(draft.producer);
        let sender = happened.entry.sender();
        let from = if sender == draft.producer.unwrap_or(Side::Upstream) { Role::Producer } else { Role::Consumer };
        match &happened.entry.what {
            What::Frame(head) => {
                if let Some(open) = happened.session.open() {
                    draft.script.name.clone_from(&open.name);
                    draft.accepted |= open.accepted;
                }
                let Some(frame) = &happened.frame else { return };
                let bytes = if from == self.role { Bytes::copy_from_slice(frame.bytes()) } else { Bytes::new() };
                self.bytes += bytes.len() + size_of::<Line>();
                let line = Line {
                    number: self.number,
                    at: happened.entry.at,
                    from,
                    header: head.header,
                    message: head.message.as_ref().ok().filter(|message| matters(message)).cloned().map(Box::new),
                    seqno: head.message.as_ref().ok().and_then(Message::by_seqno),
                    stream: None,
                    answers: None,
                    answered: None,
                    bytes,
                    whole: frame.is_whole(),
                };
                draft.add(line, head, &mut self.logs);
            }
            What::Closed { how, .. } => {
                let end = End { by: from, how: *how, at: happened.entry.at, after: draft.script.lines.len() };
                draft.script.end.get_or_insert(end);
            }
            What::Gap(_) => draft.script.gap = true,
            What::FramingLost(_) => draft.lost = true,
            What::Paused(_) | What::Acted(_) => {}
        }
    }

    fn finish(self) -> Recording {
        let mut recording = Recording { logs: Arc::new(self.logs), ..Recording::default() };
        for (number, identity) in self.other_edges {
            let edge = if identity.edge == Side::Upstream { "upstream" } else { "dialler" };
            let reason =
                format!("it is the {edge}'s edge of the tool's connection {}, the other one is played", identity.id);
            recording.left_out.push((number, reason));
        }
        for (number, draft) in self.drafts {
            match draft.refusal(self.role) {
                None => recording.scripts.push(Arc::new(draft.script)),
                Some(reason) => recording.left_out.push((number, reason)),
            }
        }
        recording
    }
}

/// Whether what a message says matters to the conversation.
fn matters(message: &Message) -> bool {
    message.by_seqno().is_none() && !matches!(message, Message::Other | Message::Response | Message::Stat(_))
}

impl Draft {
    fn new(number: u32) -> Self {
        let script =
            Script { number, name: String::new(), lines: Vec::new(), streams: Vec::new(), end: None, gap: false };
        Self {
            script,
            asked: BTreeMap::new(),
            by_opaque: BTreeMap::new(),
            by_vbucket: BTreeMap::new(),
            producer: None,
            accepted: false,
            lost: false,
        }
    }

    /// Why it cannot be replayed.
    fn refusal(&self, role: Role) -> Option<String> {
        let script = &self.script;
        match self.producer {
            None => return Some("it has no DCP_OPEN".to_owned()),
            Some(Side::Dialler) => {
                return Some(
                    "its consumer was dialled; only connections whose producer was dialled are replayed".into(),
                );
            }
            Some(Side::Upstream) => {}
        }
        if !self.accepted {
            return Some("its DCP_OPEN was not accepted".to_owned());
        }
        let ours = |line: &&Line| line.from == role;
        if let Some(cut) = script.lines.iter().filter(ours).find(|line| !line.whole) {
            return Some(format!("expected frames that are whole, found {} cut in the capture", cut.name()));
        }
        if self.lost {
            return Some("expected frames to the end, found a direction whose framing is lost".to_owned());
        }
        (script.gap && role == Role::Producer)
            .then(|| "expected all that the producer sent, found a gap in the capture".to_owned())
    }

    fn add(&mut self, mut line: Line, head: &FrameHead, logs: &mut Logs) {
        let at = self.script.lines.len();
        let header = line.header;
        if header.is_response() {
            self.answer(at, &mut line, logs);
        } else if header.is_request() {
            self.request(at, &mut line, head);
        }
        self.script.lines.push(line);
    }

    fn answer(&mut self, at: usize, line: &mut Line, logs: &mut Logs) {
        let header = line.header;
        let asker = other(line.from);
        let key = (asker, header.opcode, header.opaque);
        // Of the answers to a STAT only the last has no key.
        let more = header.opcode == Opcode::STAT && line.status() == Status::SUCCESS && header.key_len > 0;
        if let Some(waiting) = self.asked.get_mut(&key) {
            let request = waiting.first().copied();
            if !more {
                waiting.remove(0);
                if waiting.is_empty() {
                    self.asked.remove(&key);
                }
            }
            line.answers = request;
        }
        match line.answers {
            Some(request) => {
                if let Some(asked) = self.script.lines.get_mut(request) {
                    asked.answered.get_or_insert(at);
                    line.stream = asked.stream;
                    let log = match line.message.as_deref() {
                        Some(Message::StreamReqResponse(StreamReqResponse::FailoverLog(log))) => log.as_slice(),
                        Some(Message::FailoverLog(log)) => log.failover_log.as_slice(),
                        _ => &[],
                    };
                    if !log.is_empty() {
                        logs.told(asked.header.vbucket_or_status, log.iter().map(|entry| entry.vb_uuid));
                    }
                }
            }
            None => line.stream = self.by_opaque.get(&(header.opaque, None)).copied(),
        }
    }

    fn request(&mut self, at: usize, line: &mut Line, head: &FrameHead) {
        let header = line.header;
        let vbucket = header.vbucket_or_status;
        if header.opcode == Opcode::DCP_STREAM_REQ && line.from == Role::Consumer {
            let stream_id = match line.message.as_deref() {
                Some(Message::StreamReq(request)) => request.stream_id(),
                _ => None,
            };
            let index = self.script.streams.len();
            self.script.streams.push(Stream {
                vbucket,
                stream_id,
                request: at,
                messages: Vec::new(),
                close: None,
                end: None,
            });
            line.stream = Some(index);
            self.by_opaque.insert((header.opaque, stream_id), index);
            self.by_opaque.insert((header.opaque, None), index);
            self.by_vbucket.insert((vbucket, stream_id), index);
        } else if line.is_stream_message() && line.from == Role::Producer {
            let found = self.by_opaque.get(&(header.opaque, head.stream_id));
            line.stream = found.or_else(|| self.by_opaque.get(&(header.opaque, None))).copied();
            if let Some(stream) = line.stream.and_then(|stream| self.script.streams.get_mut(stream)) {
                stream.messages.push(at);
                if header.opcode == Opcode::DCP_STREAM_END {
                    stream.end.get_or_insert(at);
                }
            }
        } else if header.opcode == Opcode::DCP_CLOSE_STREAM || header.opcode == Opcode::DCP_SEQNO_ACK {
            line.stream = self.by_vbucket.get(&(vbucket, head.stream_id)).copied();
            if header.opcode == Opcode::DCP_CLOSE_STREAM
                && let Some(stream) = line.stream.and_then(|stream| self.script.streams.get_mut(stream))
                && stream.end.is_none()
            {
                stream.close.get_or_insert(at);
            }
        }
        let key = (line.from, header.opcode, header.opaque);
        if head.expects_answer() {
            self.asked.entry(key).or_default().push(at);
        } else if matches!(header.opcode, Opcode::DCP_SEQNO_ACK | Opcode::DCP_BUFFER_ACK) {
            // These are answered where something is wrong with them.
            self.asked.insert(key, vec![at]);
        }
    }
}

/// The end across.
pub(super) const fn other(role: Role) -> Role {
    match role {
        Role::Producer => Role::Consumer,
        Role::Consumer => Role::Producer,
    }
}
