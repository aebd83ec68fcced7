use super::Before;
use super::Counts;
use super::Snapshot;
use super::SnapshotKind;
use crate::Timestamp;
use crate::dcp::FailoverEntry;
use crate::dcp::FrameHead;
use crate::dcp::Message;
use crate::dcp::OsoSnapshot;
use crate::dcp::StreamReq;
use crate::dcp::Stretch;
use crate::journal::Entry;
use crate::journal::Origin;
use crate::journal::Role;
use crate::wire::Opaque;
use crate::wire::Status;

/// What tells the streams of a connection apart; the opaque says which generation of it is meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct StreamKey {
    /// The vbucket.
    pub vbucket: u16,
    /// The stream id, on connections that have agreed on them.
    pub stream_id: Option<u16>,
}

/// Where a stream stands, as far as this edge has seen.
///
/// ```text
///            STREAM_REQ
///                |
///                v      Rollback
///          +-----------+-----------> RolledBack      (requested again: a new generation)
///          | Requested |
///          +-----------+-----------> Refused
///                |      other status
///        Success |
///                v  CLOSE_STREAM          Success
///           +------+ ------------> +---------+ --> +--------+
///           | Open |               | Closing |     | Closed |
///           +------+ <------------ +---------+     +--------+
///                |   other refusal      |   KeyEnoent: Closed
///     STREAM_END |                      |              |
///                v                      v              v
///              Ended <--------------- STREAM_END ------+
/// ```
///
/// `Closed` is the end where the end that was told to close is a consumer, or a producer without the control
/// `send_stream_end_on_client_close_stream`; frames that were under way may follow it all the same
/// (dcp-protocol.md §3.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// STREAM_REQ was sent; its answer is awaited.
    Requested,
    /// STREAM_REQ was answered with Success.
    Open,
    /// CLOSE_STREAM was sent; its answer is awaited.
    Closing,
    /// CLOSE_STREAM was answered; STREAM_END may follow.
    Closed,
    /// STREAM_END crossed, with this reason.
    Ended(u32),
    /// STREAM_REQ was answered with Rollback, to this seqno (`None` where the answer does not decode).
    RolledBack(Option<u64>),
    /// STREAM_REQ was answered with another error.
    Refused(Status),
}

impl State {
    /// Whether messages of the stream may still be expected.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Open | Self::Closing | Self::Closed)
    }

    /// Whether a close is under way or done, and the end has not crossed yet.
    pub const fn is_closing(self) -> bool {
        matches!(self, Self::Closing | Self::Closed)
    }
}

/// What a STREAM_REQ asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Request {
    /// When it crossed this edge.
    pub at: Timestamp,
    /// Whether the tool sent it.
    pub by_tool: bool,
    /// The request's flags (dcp-protocol.md §3.1, [`StreamReq`]).
    pub flags: u32,
    /// What the consumer has already.
    pub start_seqno: u64,
    /// Where the stream is to end.
    pub end_seqno: u64,
    /// The branch of history that the consumer is on.
    pub vb_uuid: u64,
    /// The snapshot that the consumer was in: its first seqno.
    pub snap_start_seqno: u64,
    /// Its last seqno.
    pub snap_end_seqno: u64,
    /// Whether it names collections or a scope.
    pub filtered: bool,
}

impl Request {
    pub(super) fn new(entry: &Entry, request: &StreamReq) -> Self {
        let value = request.value.as_deref();
        Self {
            at: entry.at,
            by_tool: entry.origin == Origin::Tool,
            flags: request.flags,
            start_seqno: request.start_seqno,
            end_seqno: request.end_seqno,
            vb_uuid: request.vb_uuid,
            snap_start_seqno: request.snap_start_seqno,
            snap_end_seqno: request.snap_end_seqno,
            filtered: value.is_some_and(|value| value.collections.is_some() || value.scope.is_some()),
        }
    }

    /// Whether all bits of `flags` are set.
    pub const fn has(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }
}

/// A CLOSE_STREAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Close {
    /// The end that was told to close.
    pub to: Role,
    /// Who sent it.
    pub origin: Origin,
    /// When it crossed this edge.
    pub at: Timestamp,
    /// Its answer and when that crossed.
    pub answered: Option<(Status, Timestamp)>,
}

/// A STREAM_END.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// The reason it gives (dcp-protocol.md §3.5).
    pub reason: u32,
    /// Who sent it.
    pub origin: Origin,
    /// When it crossed this edge.
    pub at: Timestamp,
}

/// One generation of one stream as seen at one edge.
#[derive(Clone, PartialEq, Debug)]
pub struct Stream {
    /// Which stream.
    pub key: StreamKey,
    /// The opaque of its STREAM_REQ, which all its messages carry.
    pub opaque: Opaque,
    /// Counts the STREAM_REQs of the connection, so it is unique on it.
    pub generation: u64,
    /// Where it stands.
    pub state: State,
    /// What was asked for.
    pub request: Request,
    /// The failover log that it was opened with, newest first.
    pub failover_log: Vec<FailoverEntry>,
    /// The snapshot that the last marker or OSO start began.
    pub snapshot: Option<Snapshot>,
    /// The last seqno that crossed this edge; the request's start before the first. While an OSO snapshot is open this is
    /// where the stream would resume: the last seqno before it (dcp-protocol.md §4.10).
    pub last_seqno: u64,
    /// What has crossed this edge.
    pub counts: Counts,
    /// The first CLOSE_STREAM for it that was not refused.
    pub close: Option<Close>,
    /// Its STREAM_END.
    pub end: Option<End>,
}

impl Stream {
    pub(super) const fn new(key: StreamKey, opaque: Opaque, generation: u64, request: Request) -> Self {
        Self {
            key,
            opaque,
            generation,
            state: State::Requested,
            request,
            failover_log: Vec::new(),
            snapshot: None,
            last_seqno: request.start_seqno,
            counts: Counts::new(),
            close: None,
            end: None,
        }
    }

    /// Whether the stream is live and its last message is not the last of its snapshot.
    pub fn mid_snapshot(&self) -> bool {
        self.state.is_live() && self.snapshot.is_some_and(|snapshot| !snapshot.is_complete(self.last_seqno))
    }

    /// How it stands.
    #[inline]
    pub(super) const fn before(&self) -> Before {
        Before {
            generation: self.generation,
            state: self.state,
            request: self.request,
            snapshot: self.snapshot,
            last_seqno: self.last_seqno,
            items: self.counts.items,
            snapshots: self.counts.snapshots,
            cache_transfers: self.counts.cache_transfers,
            cache_transfer_ends: self.counts.cache_transfer_ends,
            close: self.close,
        }
    }

    /// A message of the stream crossed.
    #[inline]
    pub(super) fn take(&mut self, entry: &Entry, head: &FrameHead, charge: u32) {
        self.counts.frames = self.counts.frames.saturating_add(1);
        self.counts.charged = self.counts.charged.saturating_add(charge.into());
        if !self.state.is_live() {
            return;
        }
        let Ok(message) = &head.message else {
            if let Some(snapshot) = &mut self.snapshot {
                snapshot.undecoded = snapshot.undecoded.saturating_add(1);
            }
            return;
        };
        if let Some(seqno) = message.by_seqno() {
            return self.item(seqno);
        }
        #[allow(clippy::wildcard_enum_match_arm)] // the other messages change nothing
        match message {
            Message::SnapshotMarker(marker) => {
                self.begin(Snapshot {
                    kind: SnapshotKind::Marker(marker.version),
                    start: marker.start_seqno,
                    end: marker.end_seqno,
                    flags: marker.flags,
                    max_visible_seqno: marker.max_visible_seqno,
                    purge_seqno: marker.purge_seqno,
                    items: 0,
                    undecoded: 0,
                    oso_ended: false,
                });
            }
            Message::OsoSnapshot(oso) if oso.flags == OsoSnapshot::START => {
                let at = self.last_seqno;
                self.begin(Snapshot {
                    kind: SnapshotKind::Oso,
                    start: at,
                    end: at,
                    flags: 0,
                    max_visible_seqno: None,
                    purge_seqno: None,
                    items: 0,
                    undecoded: 0,
                    oso_ended: false,
                });
            }
            Message::OsoSnapshot(_) => {
                if let Some(snapshot) = self.snapshot.as_mut().filter(|snapshot| snapshot.is_open_oso()) {
                    snapshot.oso_ended = true;
                    self.last_seqno = self.last_seqno.max(snapshot.end);
                }
            }
            Message::StreamEnd(end) => {
                self.end = Some(End { reason: end.end_reason, origin: entry.origin, at: entry.at });
                self.state = State::Ended(end.end_reason);
            }
            Message::CacheTransfer(_) => {
                self.counts.cache_transfers = self.counts.cache_transfers.saturating_add(1);
            }
            Message::CacheTransferEnd(_) => {
                self.counts.cache_transfer_ends = self.counts.cache_transfer_ends.saturating_add(1);
            }
            _ => {}
        }
    }

    /// Mutations of the stream crossed, each as if it had come by itself.
    pub(super) fn take_stretch(&mut self, stretch: &Stretch<'_>) {
        let (frames, counts) = (stretch.frames(), &mut self.counts);
        counts.frames = counts.frames.saturating_add(frames);
        counts.charged = counts.charged.saturating_add(stretch.charge());
        counts.items = counts.items.saturating_add(frames);
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.items = snapshot.items.saturating_add(frames);
        }
        self.last_seqno = stretch.last_seqno();
    }

    #[inline]
    fn item(&mut self, seqno: u64) {
        self.counts.items = self.counts.items.saturating_add(1);
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.items = snapshot.items.saturating_add(1);
            if snapshot.is_open_oso() {
                snapshot.end = snapshot.end.max(seqno);
                return;
            }
        }
        self.last_seqno = seqno;
    }

    const fn begin(&mut self, snapshot: Snapshot) {
        self.counts.snapshots = self.counts.snapshots.saturating_add(1);
        self.snapshot = Some(snapshot);
    }

    pub(super) fn close_sent(&mut self, close: Close) {
        if self.close.is_none() {
            self.close = Some(close);
        }
        if self.state == State::Open {
            self.state = State::Closing;
        }
    }

    pub(super) fn close_answered(&mut self, status: Status, at: Timestamp) {
        let gone = matches!(status, Status::SUCCESS | Status::KEY_ENOENT | Status::DCP_STREAM_NOT_FOUND);
        if let Some(close) = &mut self.close {
            close.answered = Some((status, at));
        }
        if self.state == State::Closing {
            self.state = if gone { State::Closed } else { State::Open };
        }
        if !gone {
            self.close = None;
        }
    }

    pub(super) fn opened(&mut self, failover_log: Vec<FailoverEntry>) {
        self.failover_log = failover_log;
        self.state = if self.close.is_some() { State::Closing } else { State::Open };
    }
}
