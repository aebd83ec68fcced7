use serde::Serialize;

use super::seconds;
use crate::Timestamp;
use crate::dcp::FrameHead;
use crate::dcp::Message;
use crate::dcp::OsoSnapshot;
use crate::session::Request;
use crate::session::StreamKey;
use crate::wire::Opaque;
use crate::wire::Status;

/// Where a stream stood when nothing more was seen of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// Requested, or never seen to be.
    Unknown,
    Open,
    Closed,
    Ended(u32),
    RolledBack,
    Refused(Status),
    /// Requested again, and opened, without having ended.
    Replaced,
}

impl Standing {
    pub(super) const fn is_over(self) -> bool {
        matches!(self, Self::Ended(_) | Self::RolledBack | Self::Refused(_) | Self::Replaced)
    }

    fn name(self) -> String {
        match self {
            Self::Unknown => "unknown".to_owned(),
            Self::Open => "open".to_owned(),
            Self::Closed => "closed".to_owned(),
            Self::Ended(reason) => format!("ended {reason}"),
            Self::RolledBack => "rolled back".to_owned(),
            Self::Replaced => "replaced".to_owned(),
            Self::Refused(status) => format!("refused {status}"),
        }
    }
}

/// What was seen of one generation of a stream.
#[derive(Clone, Debug)]
pub(super) struct StreamStats {
    key: StreamKey,
    opaque: Opaque,
    request: Option<Request>,
    pub(super) standing: Standing,
    pub(super) frames: u64,
    pub(super) bytes: u64,
    pub(super) items: u64,
    snapshots: u64,
    seqnos: Option<(u64, u64)>,
    times: Option<(Timestamp, Timestamp)>,
}

impl StreamStats {
    pub(super) const fn new(key: StreamKey, opaque: Opaque) -> Self {
        Self {
            key,
            opaque,
            request: None,
            standing: Standing::Unknown,
            frames: 0,
            bytes: 0,
            items: 0,
            snapshots: 0,
            seqnos: None,
            times: None,
        }
    }

    pub(super) fn requested(&mut self, request: Request) {
        self.request.get_or_insert(request);
    }

    /// A frame of the stream that counts.
    pub(super) fn count(&mut self, at: Timestamp, head: &FrameHead) {
        self.frames += 1;
        self.bytes = self.bytes.saturating_add(head.header.frame_len());
        let (first, _) = self.times.unwrap_or((at, at));
        self.times = Some((first, at));
        let Ok(message) = &head.message else { return };
        let begins = matches!(message, Message::SnapshotMarker(_))
            || matches!(message, Message::OsoSnapshot(oso) if oso.flags & OsoSnapshot::START != 0);
        self.snapshots += u64::from(begins);
        if let Some(seqno) = message.by_seqno() {
            self.items += u64::from(!matches!(message, Message::SeqnoAdvanced(_)));
            let (low, high) = self.seqnos.unwrap_or((seqno, seqno));
            self.seqnos = Some((low.min(seqno), high.max(seqno)));
        }
    }

    pub(super) fn report(&self) -> StreamReport {
        StreamReport {
            vbucket: self.key.vbucket,
            stream_id: self.key.stream_id,
            opaque: self.opaque.to_string(),
            start_seqno: self.request.map(|request| request.start_seqno),
            end_seqno: self.request.map(|request| request.end_seqno),
            first_seqno: self.seqnos.map(|(low, _)| low),
            last_seqno: self.seqnos.map(|(_, high)| high),
            items: self.items,
            snapshots: self.snapshots,
            state: self.standing.name(),
            frames: self.frames,
            bytes: self.bytes,
            seconds: seconds(self.times.map_or(0, |(first, last)| last.0.saturating_sub(first.0))),
        }
    }
}

/// What is said of a stream.
#[derive(Serialize, Clone, Debug)]
pub(super) struct StreamReport {
    pub(super) vbucket: u16,
    pub(super) stream_id: Option<u16>,
    pub(super) opaque: String,
    /// What was asked for.
    pub(super) start_seqno: Option<u64>,
    pub(super) end_seqno: Option<u64>,
    /// What was seen.
    pub(super) first_seqno: Option<u64>,
    pub(super) last_seqno: Option<u64>,
    pub(super) items: u64,
    pub(super) snapshots: u64,
    pub(super) state: String,
    pub(super) frames: u64,
    pub(super) bytes: u64,
    pub(super) seconds: String,
}
