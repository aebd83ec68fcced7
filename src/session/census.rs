use super::State;

/// How many streams of a connection are in each state. It is kept as they change, so that nobody need look through them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// Their STREAM_REQ awaits its answer.
    pub requested: u32,
    /// They are open.
    pub open: u32,
    /// Their CLOSE_STREAM awaits its answer.
    pub closing: u32,
    /// They are closed; STREAM_END may follow.
    pub closed: u32,
    /// They have ended, were refused or rolled back, and nobody has requested them again.
    pub over: u32,
}

impl Census {
    /// A stream that was counted in one state is in another; `None` where it is not there.
    pub(super) fn moved(&mut self, from: Option<State>, to: Option<State>) {
        if let Some(from) = from {
            let count = self.of(from);
            *count = count.saturating_sub(1);
        }
        if let Some(to) = to {
            let count = self.of(to);
            *count = count.saturating_add(1);
        }
    }

    const fn of(&mut self, state: State) -> &mut u32 {
        match state {
            State::Requested => &mut self.requested,
            State::Open => &mut self.open,
            State::Closing => &mut self.closing,
            State::Closed => &mut self.closed,
            State::Ended(_) | State::RolledBack(_) | State::Refused(_) => &mut self.over,
        }
    }
}
