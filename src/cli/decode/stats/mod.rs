//! `--stats`: one report of all that was read, in memory that does not grow with it.

mod connection;
mod histogram;
mod stream;
mod text;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use crate::Timestamp;
use crate::capture::Happened;
use crate::dcp::FrameHead;
use crate::filter::Subject;
use crate::wire::Header;
use crate::wire::Opcode;
use crate::wire::Status;

use connection::ConnectionReport;
use connection::ConnectionStats;
use connection::MoreStreams;
use connection::share;
use histogram::Histogram;

/// Connections that are over and told one by one; the others are told together.
const MAX_CONNECTIONS: usize = 1_024;
/// Streams that are over and told one by one, and streams of one open connection; the others are told together.
const MAX_STREAMS: usize = 16_384;
/// Kinds of messages that are told apart.
const MAX_MESSAGES: usize = 4_096;

/// Counts frames, by message, connection and stream.
#[derive(Debug, Default)]
pub(super) struct Stats {
    filtered: bool,
    total: Counts,
    times: Option<(Timestamp, Timestamp)>,
    messages: BTreeMap<Kind, Counts>,
    more_messages: Counts,
    response_times: BTreeMap<Opcode, Histogram>,
    open: BTreeMap<u64, ConnectionStats>,
    over: Vec<ConnectionStats>,
    more_connections: MoreConnections,
    /// Streams of connections that are open which may still be kept when they are over.
    kept_streams: usize,
}

/// Frames and their bytes.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

impl Counts {
    const fn add(&mut self, bytes: u64) {
        self.frames += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Messages that are counted together: requests by opcode, responses by status too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Kind {
    server: bool,
    opcode: Opcode,
    status: Option<Status>,
}

impl Kind {
    const fn of(header: &Header) -> Self {
        Self { server: header.magic.is_server(), opcode: header.opcode, status: header.status() }
    }
}

/// Connections that are told together.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct MoreConnections {
    connections: u64,
    frames: u64,
    bytes: u64,
}

impl Stats {
    /// `filtered`: only some frames are counted.
    pub(super) fn new(filtered: bool) -> Self {
        Self { filtered, kept_streams: MAX_STREAMS, ..Self::default() }
    }

    /// A connection begins.
    pub(super) fn opened(&mut self, conn: u64, dialler: SocketAddr, upstream: SocketAddr) {
        self.connection(conn).opened(dialler, upstream);
    }

    /// Bytes are missing.
    pub(super) fn gap(&mut self, conn: u64, bytes: Option<u64>) {
        self.connection(conn).gap(bytes);
    }

    /// A frame that counts.
    pub(super) fn count(&mut self, subject: &Subject<'_>) {
        let Some(header) = subject.header else { return };
        let bytes = header.frame_len();
        self.total.add(bytes);
        if let Some(at) = subject.time {
            let (first, last) = self.times.unwrap_or((at, at));
            self.times = Some((first.min(at), last.max(at)));
        }
        let kind = Kind::of(header);
        if self.messages.len() < MAX_MESSAGES || self.messages.contains_key(&kind) {
            self.messages.entry(kind).or_default().add(bytes);
        } else {
            self.more_messages.add(bytes);
        }
        if let Some(time) = subject.response_time {
            self.response_times.entry(header.opcode).or_default().add(time);
        }
    }

    /// A frame of a connection, counted by [`Stats::count`] or not.
    pub(super) fn frame(&mut self, conn: u64, head: &FrameHead, happened: &Happened<'_>, counted: bool) {
        let connection = self.open.entry(conn).or_insert_with(|| ConnectionStats::new(conn));
        connection.frame(head, happened, counted, &mut self.kept_streams);
    }

    /// A connection is over.
    pub(super) fn ended(&mut self, conn: u64) {
        let Some(connection) = self.open.remove(&conn) else { return };
        let counts = connection.counts();
        if self.filtered && counts.frames == 0 {
            return;
        }
        let (live, over) = connection.streams();
        if self.over.len() < MAX_CONNECTIONS && live <= self.kept_streams {
            self.kept_streams -= live;
            self.over.push(connection);
        } else {
            self.kept_streams += over;
            self.more_connections.connections += 1;
            self.more_connections.frames += counts.frames;
            self.more_connections.bytes = self.more_connections.bytes.saturating_add(counts.bytes);
        }
    }

    /// All that was counted, as people read it.
    pub(super) fn text(mut self) -> String {
        text::write(&self.report())
    }

    /// All that was counted, as one JSON object.
    pub(super) fn json(mut self) -> serde_json::Result<String> {
        serde_json::to_string(&self.report())
    }

    fn connection(&mut self, conn: u64) -> &mut ConnectionStats {
        self.open.entry(conn).or_insert_with(|| ConnectionStats::new(conn))
    }

    fn report(&mut self) -> Report {
        for conn in self.open.keys().copied().collect::<Vec<_>>() {
            self.ended(conn);
        }
        self.over.sort_by_key(|connection| connection.conn);
        let span = self.times.map_or(0, |(first, last)| last.0.saturating_sub(first.0));
        let mut more_streams = MoreStreams::default();
        let connections: Vec<_> = self.over.iter().map(|connection| connection.report(self.filtered)).collect();
        connections.iter().for_each(|connection| more_streams.join(connection.more_streams));
        Report {
            frames: self.total.frames,
            bytes: self.total.bytes,
            first: self.times.map(|(first, _)| seconds(first.0)),
            seconds: seconds(span),
            messages: self.messages.iter().map(|(kind, counts)| MessageReport::new(*kind, *counts, span)).collect(),
            more_messages: self.more_messages,
            response_times: self
                .response_times
                .iter()
                .map(|(opcode, times)| TimesReport::new(*opcode, times))
                .collect(),
            connections,
            more_connections: self.more_connections,
            more_streams,
        }
    }
}

/// The whole report.
#[derive(Serialize, Clone, Debug)]
struct Report {
    frames: u64,
    bytes: u64,
    first: Option<String>,
    seconds: String,
    messages: Vec<MessageReport>,
    more_messages: Counts,
    response_times: Vec<TimesReport>,
    connections: Vec<ConnectionReport>,
    more_connections: MoreConnections,
    more_streams: MoreStreams,
}

/// What is said of a kind of messages.
#[derive(Serialize, Clone, Debug)]
struct MessageReport {
    message: String,
    status: Option<String>,
    frames: u64,
    bytes: u64,
    frames_per_second: Option<f64>,
    bytes_per_second: Option<f64>,
}

impl MessageReport {
    fn new(kind: Kind, counts: Counts, span: u64) -> Self {
        let opcode = kind.opcode;
        let rate = |count: u64| (span > 0).then(|| share(count.saturating_mul(1_000_000), span / 1_000));
        Self {
            message: if kind.server { crate::wire::ServerOpcode(opcode.0).to_string() } else { opcode.to_string() },
            status: kind.status.map(|status| status.to_string()),
            frames: counts.frames,
            bytes: counts.bytes,
            frames_per_second: rate(counts.frames),
            bytes_per_second: rate(counts.bytes),
        }
    }
}

/// How long a request's responses took, seconds. Least and most are exact, the others right to 1.6 percent.
#[derive(Serialize, Clone, Debug)]
struct TimesReport {
    message: String,
    count: u64,
    min: String,
    median: String,
    p99: String,
    max: String,
}

impl TimesReport {
    fn new(opcode: Opcode, times: &Histogram) -> Self {
        Self {
            message: opcode.to_string(),
            count: times.count(),
            min: seconds(times.min()),
            median: seconds(times.quantile(50)),
            p99: seconds(times.quantile(99)),
            max: seconds(times.max()),
        }
    }
}

/// Nanoseconds as seconds with nine decimals.
fn seconds(nanos: u64) -> String {
    let time = Duration::from_nanos(nanos);
    format!("{}.{:09}", time.as_secs(), time.subsec_nanos())
}
