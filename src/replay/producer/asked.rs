//! What the recorded consumer asked for, by what tells requests apart.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use super::super::script::Line;
use super::super::script::Script;
use super::super::script::has_vbucket;
use super::super::script::is_login;
use crate::dcp::Message;
use crate::dcp::StreamReq;
use crate::journal::Role;
use crate::wire::Opcode;

/// What a request is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Key {
    opcode: Opcode,
    vbucket: u16,
    stream_id: Option<u16>,
    control: String,
}

/// The recorded requests that were not made live yet.
#[derive(Debug)]
pub(super) struct Asked {
    left: BTreeMap<Key, VecDeque<usize>>,
}

impl Key {
    /// Of a request with this header, of that message, with that stream id in its framing extras.
    pub(super) fn new(opcode: Opcode, vbucket: u16, message: Option<&Message>, stream_id: Option<u16>) -> Self {
        let (mut control, mut stream_id) = (String::new(), stream_id);
        match message {
            Some(Message::Control(asked)) => control.clone_from(&asked.key),
            Some(Message::StreamReq(request)) => stream_id = request.stream_id(),
            _ => {}
        }
        let vbucket = if has_vbucket(opcode) { vbucket } else { 0 };
        Self { opcode, vbucket, stream_id, control }
    }

    fn of(line: &Line, script: &Script) -> Self {
        let stream_id = line.stream.and_then(|stream| script.streams.get(stream)).and_then(|it| it.stream_id);
        Self::new(line.header.opcode, line.header.vbucket_or_status, line.message.as_deref(), stream_id)
    }
}

/// Whether a request with this opcode comes when the consumer sees fit: it is neither waited for nor compared.
pub(super) fn is_free(opcode: Opcode) -> bool {
    is_login(opcode) || matches!(opcode, Opcode::DCP_BUFFER_ACK | Opcode::DCP_SEQNO_ACK | Opcode::NOOP)
}

/// How many SEQNO_ACKs and NOOPs the recorded consumer had sent when its producer closed.
pub(super) fn recorded_free(script: &Script) -> usize {
    let after = script.end.filter(|end| end.by == Role::Producer).map_or(0, |end| end.after);
    let before = script.lines.get(..after).unwrap_or_default().iter();
    before.filter(|line| line.from == Role::Consumer && line.header.is_request() && is_told(line.header.opcode)).count()
}

/// Whether it is one of those that say something of the consumer.
pub(super) fn is_told(opcode: Opcode) -> bool {
    matches!(opcode, Opcode::DCP_SEQNO_ACK | Opcode::NOOP)
}

impl Asked {
    pub(super) fn new(script: &Script) -> Self {
        let mut left: BTreeMap<Key, VecDeque<usize>> = BTreeMap::new();
        for (at, line) in script.lines.iter().enumerate() {
            if line.from != Role::Consumer || !line.header.is_request() || is_free(line.header.opcode) {
                continue;
            }
            left.entry(Key::of(line, script)).or_default().push_back(at);
        }
        Self { left }
    }

    /// The recorded request that a live one stands for.
    pub(super) fn take(&mut self, key: &Key, live: Option<&StreamReq>, script: &Script) -> Option<usize> {
        let queue = self.left.get_mut(key)?;
        let place = live.map_or(0, |live| best(queue, live, script));
        let at = queue.remove(place);
        if queue.is_empty() {
            self.left.remove(key);
        }
        at
    }

    /// A recorded request is to be made again, before the others that are alike.
    pub(super) fn give_back(&mut self, at: usize, script: &Script) {
        if let Some(line) = script.lines.get(at) {
            self.left.entry(Key::of(line, script)).or_default().push_front(at);
        }
    }

    /// The recorded requests that were never made live, in their order.
    pub(super) fn left(&self) -> Vec<usize> {
        let mut left: Vec<usize> = self.left.values().flatten().copied().collect();
        left.sort_unstable();
        left
    }
}

/// Of the recorded requests for a stream the one that asks for the same, else the first that was granted, else the first.
fn best(queue: &VecDeque<usize>, live: &StreamReq, script: &Script) -> usize {
    let line = |at: &usize| script.lines.get(*at);
    let same = |line: &Line| match line.message.as_deref() {
        Some(Message::StreamReq(request)) => {
            (request.start_seqno, request.end_seqno, request.flags) == (live.start_seqno, live.end_seqno, live.flags)
        }
        _ => false,
    };
    let granted = |recorded: &Line| {
        let answer = recorded.answered.and_then(|answer| script.lines.get(answer));
        answer.is_some_and(|answer| answer.status() == crate::wire::Status::SUCCESS)
    };
    let position = |wanted: &dyn Fn(&Line) -> bool| queue.iter().position(|at| line(at).is_some_and(wanted));
    position(&same).or_else(|| position(&granted)).unwrap_or_default()
}
