use bytes::Bytes;

use crate::Timestamp;
use crate::dcp;
use crate::dcp::Message;
use crate::journal::How;
use crate::journal::Role;
use crate::wire::Header;
use crate::wire::Opcode;
use crate::wire::Status;

/// One recorded connection, as a conversation: who said what, which answer belongs to which request, and which message to
/// which stream.
#[derive(Clone, Debug)]
pub struct Script {
    /// The connection's number in the capture, as `decode` prints it.
    pub number: u32,
    /// The name given in DCP_OPEN.
    pub name: String,
    /// Its frames, in the order of the recording.
    pub(super) lines: Vec<Line>,
    /// Its streams, in the order in which they were requested.
    pub(super) streams: Vec<Recorded>,
    /// Who closed first.
    pub(super) end: Option<End>,
    /// Bytes of it are missing.
    pub(super) gap: bool,
}

impl Script {
    /// Who sent what: the opcode of each frame.
    pub fn opcodes(&self) -> impl Iterator<Item = (Role, Opcode)> {
        self.lines.iter().map(|line| (line.from, line.header.opcode))
    }
}

/// One recorded frame.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The frame's number in the capture, as `decode` prints it.
    pub(super) number: u64,
    pub(super) at: Timestamp,
    pub(super) from: Role,
    pub(super) header: Header,
    /// What it says, where that matters to the conversation; never of an item.
    pub(super) message: Option<Box<Message>>,
    pub(super) seqno: Option<u64>,
    /// The stream that it belongs to: index into [`Script::streams`].
    pub(super) stream: Option<usize>,
    /// The request that it answers: index into [`Script::lines`].
    pub(super) answers: Option<usize>,
    /// The first answer to it: index into [`Script::lines`].
    pub(super) answered: Option<usize>,
    /// The frame, where the replayed end may have to say it.
    pub(super) bytes: Bytes,
    /// Whether all of the frame is in the recording.
    pub(super) whole: bool,
}

/// A stream as it was recorded.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    pub(super) vbucket: u16,
    pub(super) stream_id: Option<u16>,
    /// Its STREAM_REQ: index into [`Script::lines`].
    pub(super) request: usize,
    /// Its messages in order: indexes into [`Script::lines`].
    pub(super) messages: Vec<usize>,
    /// The first CLOSE_STREAM for it.
    pub(super) close: Option<usize>,
    /// Its STREAM_END.
    pub(super) end: Option<usize>,
}

/// How the recorded connection ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) by: Role,
    pub(super) how: How,
    pub(super) at: Timestamp,
    /// So many lines were said before.
    pub(super) after: usize,
}

impl Line {
    /// Whether it is a message of a stream.
    pub(super) const fn is_stream_message(&self) -> bool {
        self.header.is_request() && dcp::is_stream_message(self.header.opcode)
    }

    /// Whether it answers something that awaits no answer: an orphaned response.
    pub(super) const fn is_orphan(&self) -> bool {
        self.header.is_response() && self.answers.is_none()
    }

    /// Its status, where it is a response.
    pub(super) fn status(&self) -> Status {
        self.header.status().unwrap_or(Status::SUCCESS)
    }

    /// How findings name it: `frame 30 (DCP_STREAM_REQ, vbucket 0)`.
    pub(super) fn name(&self) -> String {
        let of = match &self.message.as_deref() {
            Some(Message::Control(control)) => format!(" {}", control.key),
            _ if self.header.is_response() => format!("/{}", self.status()),
            _ if has_vbucket(self.header.opcode) => format!(" for vbucket {}", self.header.vbucket_or_status),
            _ => String::new(),
        };
        format!("frame {} ({}{of})", self.number, self.header.opcode)
    }
}

/// Whether requests with this opcode are about a vbucket.
pub(super) const fn has_vbucket(opcode: Opcode) -> bool {
    dcp::is_stream_message(opcode)
        || matches!(
            opcode,
            Opcode::DCP_STREAM_REQ
                | Opcode::DCP_CLOSE_STREAM
                | Opcode::DCP_GET_FAILOVER_LOG
                | Opcode::DCP_SEQNO_ACK
                | Opcode::DCP_ADD_STREAM
        )
}

/// Whether a request with this opcode is part of logging in: that is done anew, with the user's credentials.
pub(super) const fn is_login(opcode: Opcode) -> bool {
    matches!(opcode, Opcode::SASL_LIST_MECHS | Opcode::SASL_AUTH | Opcode::SASL_STEP)
}

/// Whether a message with this opcode is an item of a stream: data, of which a live end has its own.
pub(super) const fn is_item(opcode: Opcode) -> bool {
    dcp::is_stream_message(opcode)
        && !matches!(
            opcode,
            Opcode::DCP_SNAPSHOT_MARKER
                | Opcode::DCP_STREAM_END
                | Opcode::DCP_SET_VBUCKET_STATE
                | Opcode::DCP_OSO_SNAPSHOT
                | Opcode::DCP_CACHE_TRANSFER_END
        )
}
