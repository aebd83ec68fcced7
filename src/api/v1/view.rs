//! What is inside a connection, as plain data: made in the connection's own task, and written as JSON elsewhere.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Timestamp;
use crate::api::limits;
use crate::filter::put_seconds;
use crate::journal::{Direction, Role, Side};
use crate::net::control::Open;
use crate::net::{Core, Crossed, Progress, Tapped};
use crate::scenario::era_of;
use crate::session::{self, Control, Session, SnapshotKind, State, StreamKey};

/// A connection.
#[derive(Serialize)]
pub(super) struct Connection {
    id: u64,
    dialler: String,
    accepted_at: String,
    dialled_from: String,
    upstream: String,
    /// When both ends were connected, in seconds since the epoch.
    since: String,
    /// Whether it has answered in time; what is only known inside it is missing otherwise.
    answered: bool,
    #[serde(flatten)]
    inside: Option<Inside>,
}

/// What is only known inside.
#[derive(Serialize)]
pub(super) struct Inside {
    /// `unarmed`, `armed` or `settled`.
    progress: &'static str,
    /// The name given in DCP_OPEN.
    name: Option<String>,
    /// The side that produces, and whether DCP_OPEN was accepted.
    producer: Option<&'static str>,
    opened: bool,
    era: Option<String>,
    era_reason: Option<String>,
    negotiated: Negotiated,
    edges: Edges,
}

#[derive(Serialize)]
struct Negotiated {
    /// What changes how frames are read.
    agreed: Vec<&'static str>,
    /// HELLO features by number.
    features: Vec<u16>,
    refused_features: Vec<u16>,
    controls: BTreeMap<String, Asked>,
}

#[derive(Serialize)]
struct Asked {
    /// `accepted`, `refused` or `pending`.
    state: &'static str,
    value: Option<String>,
    status: Option<String>,
}

#[derive(Serialize)]
struct Edges {
    dialler: Edge,
    upstream: Edge,
}

/// One edge. `from` counts what its end said, `to` what was delivered to it.
#[derive(Serialize)]
struct Edge {
    role: Option<&'static str>,
    bytes: FromTo,
    frames: FromTo,
    flow_control: Flow,
    noop: Noop,
    streams: Counted,
    /// Whether the framing of a direction is lost.
    framing_lost: bool,
    /// Whether all that crossed could be kept track of.
    reliable: bool,
}

#[derive(Serialize)]
struct FromTo {
    from: u64,
    to: u64,
}

/// The producer's flow-control window.
#[derive(Serialize)]
struct Flow {
    /// Its size in bytes; `null` or 0 where flow control is off.
    window: Option<u64>,
    /// Bytes charged and not acknowledged yet.
    unacknowledged: u64,
    most_unacknowledged: u64,
    /// Bytes that the producer may still begin to send in.
    room: Option<u64>,
    charged: u64,
    acknowledged: u64,
}

#[derive(Serialize)]
struct Noop {
    sent: u64,
    answered: u64,
    /// Whether the last awaits its answer.
    awaited: bool,
}

#[derive(Serialize)]
struct Counted {
    known: usize,
    live: usize,
}

/// Some of the streams of a connection.
#[derive(Serialize)]
pub(super) struct Streams {
    /// At which edge they are seen so.
    edge: &'static str,
    /// How many there are.
    total: usize,
    streams: Vec<Stream>,
    /// What `after` is to be for those behind; `null` where these are the last.
    next: Option<String>,
}

#[derive(Serialize)]
struct Stream {
    vbucket: u16,
    stream_id: Option<u16>,
    opaque: String,
    /// Counts the STREAM_REQs of the connection.
    generation: u64,
    state: &'static str,
    /// Why it has ended, where it has.
    end_reason: Option<u32>,
    /// Why it was refused, where it was.
    refused: Option<String>,
    rollback_seqno: Option<u64>,
    /// Whether the tool requested it.
    by_tool: bool,
    flags: u32,
    start_seqno: u64,
    end_seqno: u64,
    vb_uuid: u64,
    filtered: bool,
    last_seqno: u64,
    mid_snapshot: bool,
    snapshot: Option<Snapshot>,
    frames: u64,
    items: u64,
    snapshots: u64,
    charged: u64,
}

#[derive(Serialize)]
struct Snapshot {
    /// The form of its marker, or `oso`.
    version: &'static str,
    start_seqno: u64,
    end_seqno: u64,
    flags: u32,
    items: u64,
}

/// Which streams are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamPage {
    pub(super) limit: usize,
    pub(super) after: Option<StreamKey>,
    pub(super) edge: Option<Side>,
}

impl StreamPage {
    /// `3`, or `3:7` where streams have ids: the place of a stream in their order.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn place(text: &str) -> Result<StreamKey, String> {
        let (vbucket, stream_id) = text.split_once(':').map_or((text, None), |(vbucket, id)| (vbucket, Some(id)));
        let key = || {
            let stream_id = stream_id.map(str::parse).transpose().ok()?;
            Some(StreamKey { vbucket: vbucket.parse().ok()?, stream_id })
        };
        key().ok_or_else(|| {
            format!("expected a vbucket, or a vbucket and a stream id such as 3:7, found '{}'", limits::shown(text))
        })
    }
}

/// `dialler` or `upstream`.
///
/// # Errors
/// Another text.
pub(super) fn edge(text: &str) -> Result<Side, String> {
    [Side::Dialler, Side::Upstream]
        .into_iter()
        .find(|side| side_name(*side) == text)
        .ok_or_else(|| format!("expected dialler or upstream, found '{}'", limits::shown(text)))
}

pub(super) const fn side_name(side: Side) -> &'static str {
    match side {
        Side::Dialler => "dialler",
        Side::Upstream => "upstream",
    }
}

/// Seconds since the epoch, as `decode` writes them.
pub(super) fn seconds(at: Timestamp) -> String {
    let mut text = Vec::new();
    put_seconds(at, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

impl Connection {
    /// With what it has told, if it has.
    pub(super) fn new(id: u64, open: &Open, inside: Option<Inside>) -> Self {
        Self {
            id,
            dialler: open.ends.dialler.to_string(),
            accepted_at: open.ends.accepted_at.to_string(),
            dialled_from: open.ends.dialled_from.to_string(),
            upstream: open.ends.upstream.to_string(),
            since: seconds(open.since),
            answered: inside.is_some(),
            inside,
        }
    }
}

impl Inside {
    /// Asks a connection.
    pub(super) fn of(core: &mut Tapped) -> Self {
        let progress = match core.progress() {
            Progress::Unarmed => "unarmed",
            Progress::Armed => "armed",
            Progress::Settled => "settled",
        };
        let crossed = [core.crossed(Side::Dialler), core.crossed(Side::Upstream)];
        let sessions = core.sessions();
        let session = sessions.at(Side::Upstream);
        let opened = session.open().is_some_and(|open| open.accepted);
        let (era, era_reason) = opened.then(|| era_of(session)).unzip();
        Self {
            progress,
            name: session.open().map(|open| open.name.clone()),
            producer: session.producer().map(side_name),
            opened,
            era: era.map(|era| era.to_string()),
            era_reason,
            negotiated: Negotiated::of(session),
            edges: Edges {
                dialler: Edge::of(sessions.at(Side::Dialler), crossed[0]),
                upstream: Edge::of(session, crossed[1]),
            },
        }
    }
}

impl Negotiated {
    fn of(session: &Session) -> Self {
        let controls = session.controls().iter().map(|(key, control)| {
            let asked = match control {
                Control::Accepted(value) => Asked { state: "accepted", value: Some(value.to_owned()), status: None },
                Control::Refused { status, value } => {
                    Asked { state: "refused", value: Some(value.to_owned()), status: Some(status.to_string()) }
                }
                Control::Pending => Asked { state: "pending", value: None, status: None },
            };
            (key.to_owned(), asked)
        });
        Self {
            agreed: session.negotiated().names().collect(),
            features: session.features().accepted().collect(),
            refused_features: session.features().refused().collect(),
            controls: controls.collect(),
        }
    }
}

impl Edge {
    fn of(session: &Session, crossed: Crossed) -> Self {
        let (flow, noop) = (session.flow(), session.noop());
        Self {
            role: session.role(session.edge()).map(|role| match role {
                Role::Producer => "producer",
                Role::Consumer => "consumer",
            }),
            bytes: FromTo { from: crossed.from, to: crossed.to },
            frames: FromTo { from: session.frames(Direction::From), to: session.frames(Direction::To) },
            flow_control: Flow {
                window: flow.window(),
                unacknowledged: flow.outstanding(),
                most_unacknowledged: flow.max_outstanding(),
                room: flow
                    .window()
                    .filter(|window| *window != 0)
                    .map(|window| window.saturating_sub(flow.outstanding())),
                charged: flow.charged_total(),
                acknowledged: flow.acked_total(),
            },
            noop: Noop { sent: noop.sent, answered: noop.answered, awaited: noop.outstanding.is_some() },
            streams: Counted { known: session.streams().len(), live: session.streams().live().count() },
            framing_lost: session.framing_lost(),
            reliable: session.is_reliable(),
        }
    }
}

impl Streams {
    /// Those of a page, seen at the edge that it names, or the producer's.
    pub(super) fn of(core: &mut Tapped, page: &StreamPage) -> Self {
        let sessions = core.sessions();
        let at = page.edge.or_else(|| sessions.at(Side::Upstream).producer()).unwrap_or(Side::Upstream);
        let streams = sessions.at(at).streams();
        let mut behind = streams.iter().filter(|stream| page.after.is_none_or(|after| stream.key > after));
        let shown: Vec<_> = behind.by_ref().take(page.limit).collect();
        let next = shown.last().filter(|_| behind.next().is_some()).map(|last| match last.key.stream_id {
            Some(id) => format!("{}:{id}", last.key.vbucket),
            None => last.key.vbucket.to_string(),
        });
        Self { edge: side_name(at), total: streams.len(), streams: shown.into_iter().map(Stream::of).collect(), next }
    }
}

impl Stream {
    fn of(stream: &session::Stream) -> Self {
        let (state, end_reason, refused, rollback_seqno) = match stream.state {
            State::Requested => ("requested", None, None, None),
            State::Open => ("open", None, None, None),
            State::Closing => ("closing", None, None, None),
            State::Closed => ("closed", None, None, None),
            State::Ended(reason) => ("ended", Some(reason), None, None),
            State::RolledBack(seqno) => ("rolled_back", None, None, seqno),
            State::Refused(status) => ("refused", None, Some(status.to_string()), None),
        };
        Self {
            vbucket: stream.key.vbucket,
            stream_id: stream.key.stream_id,
            opaque: stream.opaque.to_string(),
            generation: stream.generation,
            state,
            end_reason,
            refused,
            rollback_seqno,
            by_tool: stream.request.by_tool,
            flags: stream.request.flags,
            start_seqno: stream.request.start_seqno,
            end_seqno: stream.request.end_seqno,
            vb_uuid: stream.request.vb_uuid,
            filtered: stream.request.filtered,
            last_seqno: stream.last_seqno,
            mid_snapshot: stream.mid_snapshot(),
            snapshot: stream.snapshot.map(|snapshot| Snapshot {
                version: match snapshot.kind {
                    SnapshotKind::Marker(version) => version.name(),
                    SnapshotKind::Oso => "oso",
                },
                start_seqno: snapshot.start,
                end_seqno: snapshot.end,
                flags: snapshot.flags,
                items: snapshot.items,
            }),
            frames: stream.counts.frames,
            items: stream.counts.items,
            snapshots: stream.counts.snapshots,
            charged: stream.counts.charged,
        }
    }
}
