use std::fmt;

use super::Action;
use super::Era;
use super::Situation;
use super::consumer_answer;
use super::producer_action;
use crate::wire::Opcode;
use crate::wire::Status;

/// What is demanded of a producer that was told a status (design.md §6 "Eras").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Cell {
    /// Closing the connection is the failure.
    Keep,
    /// Either will do.
    MayClose,
    /// Keeping the connection is the failure.
    MustClose,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Keep => "keep",
            Self::MayClose => "may close",
            Self::MustClose => "must close",
        })
    }
}

/// What is demanded of a producer of the era, where [`producer_action`] says what its code does.
///
/// A disconnect is demanded only of 6.5 and later; what the older ones close on, and every accident (no handler, a
/// throw), is allowed. `Cancel` is allowed either way: it keeps or disconnects by whether the stream is still known.
pub fn producer_cell(era: Era, v7: bool, opcode: Opcode, status: Status, own_noop: bool) -> Cell {
    match producer_action(era, v7, opcode, status, own_noop) {
        Action::Ignore | Action::Ack => Cell::Keep,
        Action::Close | Action::Throw | Action::Cancel => Cell::MayClose,
        Action::Disc => match era {
            Era::V6_0 | Era::V2019_07 => Cell::MayClose,
            Era::V6_5 | Era::V6_6 | Era::V7_0 | Era::Master => Cell::MustClose,
        },
    }
}

/// What `cut` answers to a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CutAnswer {
    /// The status to answer with.
    pub status: Status,
    /// What is demanded of the producer then. Anything but [`Cell::Keep`] means that no status keeps the connection, so
    /// that this message is left out unless it is asked for.
    pub cell: Cell,
    /// What a consumer of the era whose stream is gone answers.
    pub own: Status,
}

/// Statuses that stand in for the era consumer's own, in this order (design.md §6).
const STAND_INS: [Status; 4] =
    [Status::KEY_ENOENT, Status::DCP_STREAM_NOT_FOUND, Status::KEY_EEXISTS, Status::NOT_MY_VBUCKET];

/// The status that `cut` answers a message with: that of the era's consumer where the era's producer must survive it,
/// else the first of 0x01, 0x0a, 0x02, 0x07 that it must survive; where there is none, the consumer's own.
pub fn cut_status(era: Era, v7: bool, opcode: Opcode) -> CutAnswer {
    let own = consumer_answer(era, v7, Situation::NoStream, opcode).unwrap_or(Status::KEY_ENOENT);
    let cell = |status| producer_cell(era, v7, opcode, status, true);
    let status = std::iter::once(own).chain(STAND_INS).find(|&status| cell(status) == Cell::Keep).unwrap_or(own);
    CutAnswer { status, cell: cell(status), own }
}
