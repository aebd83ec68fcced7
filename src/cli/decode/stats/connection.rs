use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

use super::Counts;
use super::seconds;
use super::stream::Standing;
use super::stream::StreamReport;
use super::stream::StreamStats;
use crate::Timestamp;
use crate::capture::Happened;
use crate::dcp::FrameHead;
use crate::dcp::Message;
use crate::journal::Side;
use crate::session::Request;
use crate::session::StreamKey;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// Kinds of orphaned responses that are told apart in one connection.
const MAX_ORPHANS: usize = 1_024;

/// What was seen of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionStats {
    pub(super) conn: u64,
    ends: Option<(SocketAddr, SocketAddr)>,
    name: Option<String>,
    times: Option<(Timestamp, Timestamp)>,
    /// By sender: the end that dialled, the end that was dialled.
    sent: [Counts; 2],
    malformed: u64,
    resynchronised: u64,
    gaps: u64,
    missing_bytes: u64,
    orphans: BTreeMap<(Opcode, Status), u64>,
    streams: BTreeMap<(StreamKey, u64, Opaque), StreamStats>,
    /// Streams that were over and found no room.
    more_streams: MoreStreams,
    window: Window,
}

/// How the producer's flow-control window was used.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    size: Option<u64>,
    max_outstanding: u64,
    charged: u64,
    full: u64,
    since: Option<Timestamp>,
    full_since: Option<Timestamp>,
    full_nanos: u64,
    last: Timestamp,
}

/// Streams that are told together.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct MoreStreams {
    pub(super) streams: u64,
    pub(super) frames: u64,
    pub(super) bytes: u64,
    pub(super) items: u64,
}

impl ConnectionStats {
    pub(super) fn new(conn: u64) -> Self {
        Self { conn, ..Self::default() }
    }

    pub(super) const fn opened(&mut self, dialler: SocketAddr, upstream: SocketAddr) {
        self.ends = Some((dialler, upstream));
    }

    pub(super) fn gap(&mut self, bytes: Option<u64>) {
        self.gaps += 1;
        self.missing_bytes = self.missing_bytes.saturating_add(bytes.unwrap_or_default());
    }

    /// Takes in a frame; it is counted if the filter lets it through, and followed in any case. `room` says how many more
    /// streams that are over may be kept.
    pub(super) fn frame(&mut self, head: &FrameHead, happened: &Happened<'_>, counted: bool, room: &mut usize) {
        let at = happened.entry.at;
        if counted {
            let (first, _) = self.times.unwrap_or((at, at));
            self.times = Some((first, at));
            self.sent[usize::from(happened.entry.sender() == Side::Upstream)].add(head.header.frame_len());
            self.malformed += u64::from(head.message.is_err());
            self.resynchronised += u64::from(happened.resynchronised);
            if let Some(orphan) = happened.context.orphan {
                let kind = (head.header.opcode, orphan.status);
                if self.orphans.len() < MAX_ORPHANS || self.orphans.contains_key(&kind) {
                    *self.orphans.entry(kind).or_default() += 1;
                }
            }
        }
        if self.name.is_none() {
            self.name = happened.session.open().map(|open| open.name.clone());
        }
        self.window.observe(happened);
        self.stream(head, happened, counted, room);
    }

    fn stream(&mut self, head: &FrameHead, happened: &Happened<'_>, counted: bool, room: &mut usize) {
        let context = happened.context;
        let opaque = head.header.opaque;
        if let Some(asked) = context.answers {
            let Some((key, generation)) = asked.stream else { return };
            let status = head.header.status().unwrap_or(Status::SUCCESS);
            let standing = match (asked.opcode, status) {
                (Opcode::DCP_STREAM_REQ, Status::SUCCESS) => Standing::Open,
                (Opcode::DCP_STREAM_REQ, Status::ROLLBACK) => Standing::RolledBack,
                (Opcode::DCP_STREAM_REQ, status) => Standing::Refused(status),
                (Opcode::DCP_CLOSE_STREAM, Status::SUCCESS) => Standing::Closed,
                _ => return,
            };
            let found = self.streams.range_mut((key, generation, Opaque::default())..).next();
            if let Some((id, stream)) = found.filter(|((k, g, _), _)| (*k, *g) == (key, generation)) {
                let id = *id;
                if !stream.standing.is_over() {
                    stream.standing = standing;
                }
                self.settle(id, room);
                if standing == Standing::Open {
                    self.replaced(id, room);
                }
            }
            return;
        }
        if !head.header.is_request() {
            return;
        }
        let Some(of) = context.stream else { return };
        let requested = matches!(head.message, Ok(Message::StreamReq(_)))
            .then(|| happened.session.streams().requested(of.key))
            .flatten();
        let (generation, request): (u64, Option<Request>) = match (requested, of.before) {
            (Some(stream), _) => (stream.generation, Some(stream.request)),
            (None, Some(before)) => (before.generation, Some(before.request)),
            (None, None) => (0, None),
        };
        if matches!(head.header.opcode, Opcode::DCP_CLOSE_STREAM | Opcode::DCP_SEQNO_ACK) {
            return;
        }
        let id = (of.key, generation, opaque);
        let stream = self.streams.entry(id).or_insert_with(|| StreamStats::new(of.key, opaque));
        request.into_iter().for_each(|request| stream.requested(request));
        if requested.is_none() && counted {
            stream.count(happened.entry.at, head);
        }
        if let Ok(Message::StreamEnd(end)) = &head.message {
            stream.standing = Standing::Ended(end.end_reason);
            self.settle(id, room);
        }
        // Whatever is asked for and never answered: an open connection costs no more memory than this.
        if self.streams.len() > super::MAX_STREAMS
            && let Some((_, stream)) = self.streams.pop_first()
        {
            self.more_streams.add(&stream);
        }
    }

    /// The generations before this one are over.
    fn replaced(&mut self, by: (StreamKey, u64, Opaque), room: &mut usize) {
        let earlier =
            self.streams.range((by.0, 0, Opaque::default())..by).filter(|(_, stream)| !stream.standing.is_over());
        for id in earlier.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.standing = Standing::Replaced;
                self.settle(id, room);
            }
        }
    }

    /// A stream that is over is kept where there is room, else only counted.
    fn settle(&mut self, id: (StreamKey, u64, Opaque), room: &mut usize) {
        let Some(stream) = self.streams.get(&id).filter(|stream| stream.standing.is_over()) else { return };
        if *room > 0 {
            *room -= 1;
            return;
        }
        self.more_streams.add(stream);
        self.streams.remove(&id);
    }

    /// How many of its streams are not over, and are.
    pub(super) fn streams(&self) -> (usize, usize) {
        let over = self.streams.values().filter(|stream| stream.standing.is_over()).count();
        (self.streams.len() - over, over)
    }

    /// Bytes and frames of both ends.
    pub(super) fn counts(&self) -> Counts {
        let [one, other] = self.sent;
        Counts { frames: one.frames + other.frames, bytes: one.bytes.saturating_add(other.bytes) }
    }

    /// What is said of it; of streams, where a filter narrows what counts, only those that it left something of.
    pub(super) fn report(&self, filtered: bool) -> ConnectionReport {
        let [client, server] = self.sent;
        let span = self.times.map_or(0, |(first, last)| last.0.saturating_sub(first.0));
        ConnectionReport {
            conn: self.conn,
            client: self.ends.map(|(client, _)| client.to_string()),
            server: self.ends.map(|(_, server)| server.to_string()),
            name: self.name.clone(),
            first: self.times.map(|(first, _)| seconds(first.0)),
            seconds: seconds(span),
            from_client: client,
            from_server: server,
            malformed: self.malformed,
            resynchronised: self.resynchronised,
            gaps: self.gaps,
            missing_bytes: self.missing_bytes,
            orphans: self
                .orphans
                .iter()
                .map(|((message, status), count)| OrphanReport {
                    message: message.to_string(),
                    status: status.to_string(),
                    count: *count,
                })
                .collect(),
            flow_control: self.window.report(),
            streams: self
                .streams
                .values()
                .filter(|stream| stream.frames > 0 || !filtered)
                .map(StreamStats::report)
                .collect(),
            more_streams: self.more_streams,
        }
    }
}

impl MoreStreams {
    fn add(&mut self, stream: &StreamStats) {
        self.streams += 1;
        self.frames += stream.frames;
        self.bytes = self.bytes.saturating_add(stream.bytes);
        self.items += stream.items;
    }

    pub(super) const fn join(&mut self, other: Self) {
        self.streams += other.streams;
        self.frames += other.frames;
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.items += other.items;
    }
}

impl Window {
    fn observe(&mut self, happened: &Happened<'_>) {
        let (flow, at) = (happened.session.flow(), happened.entry.at);
        self.size = flow.window();
        self.max_outstanding = flow.max_outstanding();
        self.last = at;
        if !flow.is_on() {
            return;
        }
        self.since.get_or_insert(at);
        let full = !flow.has_room();
        if happened.context.charge > 0 {
            self.charged += 1;
            self.full += u64::from(full);
        }
        if full {
            self.full_since.get_or_insert(at);
        } else if let Some(since) = self.full_since.take() {
            self.full_nanos += at.0.saturating_sub(since.0);
        }
    }

    fn report(&self) -> Option<WindowReport> {
        let since = self.since?;
        let still = self.full_since.map_or(0, |since| self.last.0.saturating_sub(since.0));
        let full = self.full_nanos + still;
        let span = self.last.0.saturating_sub(since.0);
        Some(WindowReport {
            window: self.size.unwrap_or_default(),
            max_outstanding: self.max_outstanding,
            charged_frames: self.charged,
            full_frames: self.full,
            full_seconds: seconds(full),
            full_share: if span == 0 { 0.0 } else { share(full, span) },
        })
    }
}

/// A part of a whole, to four decimals.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    (part as f64 / whole as f64 * 10_000.0).round() / 10_000.0
}

/// What is said of a connection.
#[derive(Serialize, Clone, Debug)]
pub(super) struct ConnectionReport {
    pub(super) conn: u64,
    pub(super) client: Option<String>,
    pub(super) server: Option<String>,
    pub(super) name: Option<String>,
    pub(super) first: Option<String>,
    pub(super) seconds: String,
    pub(super) from_client: Counts,
    pub(super) from_server: Counts,
    pub(super) malformed: u64,
    pub(super) resynchronised: u64,
    pub(super) gaps: u64,
    pub(super) missing_bytes: u64,
    pub(super) orphans: Vec<OrphanReport>,
    pub(super) flow_control: Option<WindowReport>,
    pub(super) streams: Vec<StreamReport>,
    pub(super) more_streams: MoreStreams,
}

/// Orphaned responses of one kind.
#[derive(Serialize, Clone, Debug)]
pub(super) struct OrphanReport {
    pub(super) message: String,
    pub(super) status: String,
    pub(super) count: u64,
}

/// How the flow-control window was used: of `charged_frames` the window was full behind `full_frames`.
#[derive(Serialize, Clone, Debug)]
pub(super) struct WindowReport {
    pub(super) window: u64,
    pub(super) max_outstanding: u64,
    pub(super) charged_frames: u64,
    pub(super) full_frames: u64,
    pub(super) full_seconds: String,
    pub(super) full_share: f64,
}
