//! The live streams of a replayed consumer.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;

use super::super::differences::Phases;
use super::steps::Manner;
use crate::Timestamp;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// How the live stream stands that stands for a recorded one.
#[derive(Clone, Debug, Default)]
pub(super) struct Live {
    pub(super) state: State,
    pub(super) opaque: Opaque,
    /// Messages that came.
    pub(super) messages: usize,
    pub(super) by_opcode: BTreeMap<Opcode, usize>,
    /// When the last message came that the recorded stream has a counterpart of.
    pub(super) came_at: Timestamp,
    pub(super) last_prepare: u64,
    /// Messages that the recording had by some step, and the live end had not when it was quiet.
    pub(super) shortfall: usize,
    /// Types that did not come though the stream was kept open for them.
    pub(super) forgone: BTreeSet<Opcode>,
    /// The messages that wait to be answered: those from the first on that is.
    pub(super) unanswered: VecDeque<Opcode>,
    pub(super) manner: Option<Manner>,
    pub(super) phases: Phases,
    /// Messages that came after STREAM_END.
    pub(super) late: u64,
}

/// Where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum State {
    /// It was not requested yet, or its answer is awaited.
    #[default]
    Awaited,
    /// It is open.
    Open,
    /// It was refused.
    Refused,
    /// It ended.
    Ended,
}

impl Live {
    /// Whether nothing more is to be expected of it.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.state, State::Refused | State::Ended)
    }

    /// Whether it has brought as much as the recorded one had, as far as the live end has so much.
    pub(super) const fn has(&self, messages: usize) -> bool {
        self.is_over() || self.messages + self.shortfall >= messages
    }
}

/// Messages that wait to be answered at most; real ones are far fewer.
pub(super) const MAX_UNANSWERED: usize = 1 << 20;
