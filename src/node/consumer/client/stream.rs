use super::super::ledger::Snapshot;
use super::super::prepares::Prepares;
use crate::Timestamp;
use crate::wire::Opaque;

/// The states of a client's stream:
///
/// ```text
///                                            +--------------------------------------+ STREAM_END, to be asked
///   login   failover log      STREAM_REQ     v            Success                   | for again
///  -------> AwaitingLog ----------------> Requested ----------------> Open ---------+
///                                         ^   | Rollback: at once      | \ close_stream
///                             after a     |   | refused                |  v
///                             while       +- Later <-+                 | Closing
///                                                                      v    | STREAM_END, or the answer without
///                                                                     Ended <
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// GET_FAILOVER_LOG is not answered yet.
    AwaitingLog,
    /// STREAM_REQ is not answered yet.
    Requested,
    /// It streams.
    Open,
    /// CLOSE_STREAM was sent; what still comes is taken in.
    Closing,
    /// It is to be asked for (again) then.
    Later(Timestamp),
    /// It is over, and the client with a quirk does not see it: it is never asked for again.
    Forgotten,
    /// It is over.
    Ended,
}

/// A vbucket's stream at the client.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) opaque: Opaque,
    pub(super) state: State,
    /// The seqno that it was asked for from.
    pub(super) asked_from: u64,
    /// Whether it was asked for from 0 at first, so that all prepares are known.
    pub(super) from_zero: bool,
    /// The snapshot that is open on this stream.
    pub(super) snapshot: Option<Snapshot>,
    /// The opaques of streams of this vbucket that have ended, the last few.
    pub(super) ended: Vec<Opaque>,
    /// Requests since something came.
    pub(super) tries: u32,
    pub(super) prepares: Prepares,
    pub(super) acked_prepare: u64,
}

const REMEMBERED: usize = 8;

impl Stream {
    pub(super) fn new() -> Self {
        Self {
            opaque: Opaque::default(),
            state: State::AwaitingLog,
            asked_from: 0,
            from_zero: false,
            snapshot: None,
            ended: Vec::new(),
            tries: 0,
            prepares: Prepares::default(),
            acked_prepare: 0,
        }
    }

    pub(super) fn end(&mut self, state: State) {
        if self.ended.len() == REMEMBERED {
            self.ended.remove(0);
        }
        self.ended.push(self.opaque);
        self.state = state;
        self.snapshot = None;
    }

    /// Whether messages of the stream may come.
    pub(super) const fn is_running(&self) -> bool {
        matches!(self.state, State::Open | State::Closing)
    }
}
