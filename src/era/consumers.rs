use super::Era;
use crate::wire::Opcode;
use crate::wire::Status;

/// What a message of a stream meets at the consumer, other than the live stream that it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Situation {
    /// No stream for the vbucket: never added, ended, or the vbucket was deleted or made active.
    NoStream,
    /// A stream for the vbucket with another opaque, whether live, closed or added again.
    OtherOpaque,
    /// The message's own stream, dead but kept: closed (since 6.5), or its STREAM_REQ was refused.
    DeadStream,
}

#[derive(Clone, Copy)]
enum Family {
    /// MUTATION, PREPARE, COMMIT, ABORT, SYSTEM_EVENT, SNAPSHOT_MARKER, SET_VBUCKET_STATE.
    Stream,
    /// DELETION, EXPIRATION.
    Removal,
    StreamEnd,
    CacheTransfer,
    CloseStream,
    Noop,
    /// SEQNO_ADVANCED, OSO_SNAPSHOT: no consumer has a handler.
    NoHandler,
}

/// The statuses of a consumer: 0x01, 0x02 (later 0x0b), 0x0a, 0x00, 0x81, and none.
#[derive(Clone, Copy)]
enum Answer {
    /// 0x01, or 0x0a once v7 status codes are agreed on.
    NotFound,
    /// 0x02, or 0x0b once v7 status codes are agreed on.
    Mismatch,
    Success,
    Unknown,
    Silence,
}

/// One row a family of messages; columns: no stream, other opaque, dead stream.
type Table = [(Family, [Answer; 3]); 7];

/// Real consumers of that time have no kept streams but those whose STREAM_REQ was refused.
const V6_0: Table = {
    use Answer::*;
    [
        (Family::Stream, [NotFound, NotFound, NotFound]),
        (Family::Removal, [NotFound, NotFound, NotFound]),
        (Family::StreamEnd, [NotFound, NotFound, NotFound]),
        (Family::CacheTransfer, [Unknown, Unknown, Unknown]),
        (Family::CloseStream, [NotFound, Success, NotFound]),
        (Family::Noop, [Success, Success, Success]),
        (Family::NoHandler, [Unknown, Unknown, Unknown]),
    ]
};

/// STREAM_END with another opaque is met with silence (MB-34951 came before MB-35287, and so does
/// `bridged-close-both-then-readd.2019-07-after`), closed streams are kept (MB-34850); the rest is as before.
const V2019_07: Table = {
    use Answer::*;
    [
        (Family::Stream, [NotFound, NotFound, Silence]),
        (Family::Removal, [NotFound, NotFound, Silence]),
        (Family::StreamEnd, [NotFound, Silence, Silence]),
        (Family::CacheTransfer, [Unknown, Unknown, Unknown]),
        (Family::CloseStream, [NotFound, Success, Success]),
        (Family::Noop, [Success, Success, Success]),
        (Family::NoHandler, [Unknown, Unknown, Unknown]),
    ]
};

const V6_5_AND_6_6: Table = {
    use Answer::*;
    [
        (Family::Stream, [NotFound, Mismatch, Silence]),
        (Family::Removal, [NotFound, NotFound, Silence]),
        (Family::StreamEnd, [NotFound, Silence, Silence]),
        (Family::CacheTransfer, [Unknown, Unknown, Unknown]),
        (Family::CloseStream, [NotFound, Success, Success]),
        (Family::Noop, [Success, Success, Success]),
        (Family::NoHandler, [Unknown, Unknown, Unknown]),
    ]
};

const V7_0: Table = {
    use Answer::*;
    [
        (Family::Stream, [NotFound, Mismatch, Silence]),
        (Family::Removal, [NotFound, Mismatch, Silence]),
        (Family::StreamEnd, [NotFound, Silence, Silence]),
        (Family::CacheTransfer, [Unknown, Unknown, Unknown]),
        (Family::CloseStream, [NotFound, Success, Success]),
        (Family::Noop, [Success, Success, Success]),
        (Family::NoHandler, [Unknown, Unknown, Unknown]),
    ]
};

const MASTER: Table = {
    use Answer::*;
    [
        (Family::Stream, [NotFound, Mismatch, Silence]),
        (Family::Removal, [NotFound, Mismatch, Silence]),
        (Family::StreamEnd, [NotFound, Silence, Silence]),
        (Family::CacheTransfer, [NotFound, Mismatch, Silence]),
        (Family::CloseStream, [NotFound, Success, Success]),
        (Family::Noop, [Success, Success, Success]),
        (Family::NoHandler, [Unknown, Unknown, Unknown]),
    ]
};

/// What a consumer node of the era answers to a message that meets the situation; `None` is silence. `v7`: the control
/// `v7_dcp_status_codes` was accepted, which matters only from 7.0 on.
///
/// Message types that the era does not have yet (PREPARE in 6.0) are answered as its others are. Opcodes that are no
/// business of a stream's consumer are `None`.
pub fn consumer_answer(era: Era, v7: bool, situation: Situation, opcode: Opcode) -> Option<Status> {
    let v7 = v7 && era >= Era::V7_0;
    let [no_stream, other_opaque, dead_stream] =
        table(era).into_iter().find(|&(family, _)| holds(family, opcode)).map(|(_, answers)| answers)?;
    let answer = match situation {
        Situation::NoStream => no_stream,
        Situation::OtherOpaque => other_opaque,
        Situation::DeadStream => dead_stream,
    };
    match answer {
        Answer::NotFound if v7 => Some(Status::DCP_STREAM_NOT_FOUND),
        Answer::NotFound => Some(Status::KEY_ENOENT),
        Answer::Mismatch if v7 => Some(Status::OPAQUE_NO_MATCH),
        Answer::Mismatch => Some(Status::KEY_EEXISTS),
        Answer::Success => Some(Status::SUCCESS),
        Answer::Unknown => Some(Status::UNKNOWN_COMMAND),
        Answer::Silence => None,
    }
}

/// Whether a consumer of the era keeps a stream that it was told to close, dead and swallowing, until STREAM_END or the
/// next ADD_STREAM for its vbucket (MB-34850). Before, the stream was gone at once.
pub const fn keeps_closed_streams(era: Era) -> bool {
    !matches!(era, Era::V6_0)
}

const fn table(era: Era) -> Table {
    match era {
        Era::V6_0 => V6_0,
        Era::V2019_07 => V2019_07,
        Era::V6_5 | Era::V6_6 => V6_5_AND_6_6,
        Era::V7_0 => V7_0,
        Era::Master => MASTER,
    }
}

const fn holds(family: Family, opcode: Opcode) -> bool {
    match family {
        Family::Stream => matches!(
            opcode,
            Opcode::DCP_MUTATION
                | Opcode::DCP_PREPARE
                | Opcode::DCP_COMMIT
                | Opcode::DCP_ABORT
                | Opcode::DCP_SYSTEM_EVENT
                | Opcode::DCP_SNAPSHOT_MARKER
                | Opcode::DCP_SET_VBUCKET_STATE
        ),
        Family::Removal => matches!(opcode, Opcode::DCP_DELETION | Opcode::DCP_EXPIRATION),
        Family::StreamEnd => matches!(opcode, Opcode::DCP_STREAM_END),
        Family::CacheTransfer => matches!(opcode, Opcode::DCP_CACHE_TRANSFER | Opcode::DCP_CACHE_TRANSFER_END),
        Family::CloseStream => matches!(opcode, Opcode::DCP_CLOSE_STREAM),
        Family::Noop => matches!(opcode, Opcode::DCP_NOOP),
        Family::NoHandler => matches!(opcode, Opcode::DCP_SEQNO_ADVANCED | Opcode::DCP_OSO_SNAPSHOT),
    }
}
