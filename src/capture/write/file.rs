use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::IpAddr;

use bytes::Bytes;

use super::Gathered;
use super::Kind;
use super::Record;
use super::Redaction;
use super::block;
use super::block::Statistics;
use super::packet;
use super::packet::SEGMENT;
use super::packet::Segment;
use super::record::Part;
use super::record::frames;
use crate::capture::Remark;
use crate::journal::How;
use crate::journal::Side;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
static NOTHING: Bytes = Bytes::new();

/// What a recording says of itself, and how much it holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct About {
    /// What it is a recording of, for its readers: one comment of each file.
    pub comment: String,
    /// The upstream's name, where its address has one.
    pub upstream_name: Option<String>,
    /// Bytes kept of a packet; all where there is none. Less than [`super::MIN_SNAPLEN`] is not to be asked for.
    pub snaplen: Option<u32>,
    /// What is blanked.
    pub redaction: Redaction,
}

impl About {
    /// The comment of a recording: of what it is, and what it holds (law L9).
    pub fn comment_of(what: &impl std::fmt::Display, holds: &str) -> String {
        format!(
            "dcproxy: recording of {what}. It holds {holds}; SASL payloads are zeroed. Times are those at which bytes were read \
             from, or handed to, the proxy's sockets; acknowledgements and segments are the recorder's own."
        )
    }
}

/// What could not be recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lost {
    /// Frames.
    pub frames: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Makes pcapng of records: whole blocks, appended to a buffer. A recording may be of several files, each of which can be
/// read by itself.
#[derive(Debug)]
pub struct Recording {
    about: About,
    /// How each edge of the connections that are open is introduced.
    open: BTreeMap<(u64, Side), Vec<Remark>>,
    /// Those that were, in this file.
    introduced: BTreeSet<(u64, Side)>,
    /// Upstreams that were named in this file.
    named: BTreeSet<IpAddr>,
    counts: [Count; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    packets: u64,
    first: u64,
    last: u64,
}

impl Recording {
    /// One that holds nothing yet.
    pub const fn new(about: About) -> Self {
        let none = Count { packets: 0, first: 0, last: 0 };
        Self { about, open: BTreeMap::new(), introduced: BTreeSet::new(), named: BTreeSet::new(), counts: [none; 2] }
    }

    /// Begins a file.
    pub fn begin(&mut self, to: &mut Gathered) {
        self.introduced.clear();
        self.named.clear();
        self.counts = Default::default();
        let program = concat!("dcproxy ", env!("CARGO_PKG_VERSION"));
        let to = to.own();
        block::section_header(std::env::consts::ARCH, std::env::consts::OS, program, &self.about.comment, to);
        let snaplen = self.about.snaplen.unwrap_or(0);
        block::interface("dialler", "dcproxy's edge towards the end that dialled it", snaplen, to);
        block::interface("upstream", "dcproxy's edge towards the end that it dialled", snaplen, to);
    }

    /// Ends a file; `lost` is what each edge has lost since the file was begun, the dialler's first.
    pub fn end(&mut self, lost: [Lost; 2], to: &mut Gathered) {
        for (interface, (count, lost)) in (0..).zip(self.counts.iter().zip(lost)) {
            let comment = match lost.frames {
                0 if lost.bytes == 0 => "dcproxy: every frame was recorded".to_owned(),
                frames => format!("dcproxy: {frames} frames ({} bytes) could not be recorded", lost.bytes),
            };
            let statistics = Statistics {
                interface,
                at: count.last,
                start: count.first,
                received: count.packets.saturating_add(lost.frames),
                dropped: lost.frames,
                comment: &comment,
            };
            block::statistics(&statistics, to.own());
        }
    }

    /// Writes secrets of TLS: lines of a key log. They are for whoever captures the records themselves; the packets here are
    /// plain.
    pub fn secrets(&mut self, lines: &str, to: &mut Gathered) {
        block::secrets(lines, to.own());
    }

    /// Writes a record.
    pub fn record(&mut self, record: &Record, to: &mut Gathered) {
        let key = (record.conn, record.edge);
        if matches!(record.kind, Kind::Joined) {
            self.open.insert(key, record.remarks.clone());
            return;
        }
        if matches!(record.kind, Kind::Opened) {
            let remarks: Vec<String> = record.remarks.iter().map(Remark::to_string).collect();
            self.open.insert(key, record.remarks.clone());
            self.introduced.insert(key);
            self.name(record, to);
            self.packet(record, true, 0, SYN, &NOTHING, &remarks, to);
            self.packet(record, false, 0, SYN | ACK, &NOTHING, &[], to);
            self.packet(record, true, 1, ACK, &NOTHING, &[], to);
            return;
        }
        let mut remarks: Vec<String> = Vec::new();
        if self.introduced.insert(key) {
            self.name(record, to);
            remarks.extend(self.open.get(&key).into_iter().flatten().map(Remark::to_string));
        }
        remarks.extend(record.remarks.iter().map(Remark::to_string));
        let at = record.offset.saturating_add(1);
        match &record.kind {
            Kind::Opened | Kind::Joined => {}
            Kind::Empty => self.packet(record, record.by_dialler, at, ACK, &NOTHING, &remarks, to),
            Kind::Closed(How::Fin) => {
                self.packet(record, record.by_dialler, at, FIN | ACK, &NOTHING, &remarks, to);
            }
            Kind::Closed(How::Reset) => {
                self.packet(record, record.by_dialler, at, RST | ACK, &NOTHING, &remarks, to);
            }
            Kind::Data(bytes, part) => {
                let bytes = self.about.redaction.mask(bytes, part.as_ref());
                self.segments(record, at, bytes, &remarks, to);
            }
            Kind::Run(bytes, run) => {
                let mut rest = self.about.redaction.mask_run(bytes, run);
                let (mut at, mut remarks) = (at, remarks);
                while !rest.is_empty() {
                    let together = rest.split_to(self.together(&rest));
                    let len = together.len() as u64;
                    // What is remarked is told with the first of them.
                    self.segments(record, at, together, &std::mem::take(&mut remarks), to);
                    at = at.saturating_add(len);
                }
            }
        }
        if record.remarks.iter().any(|remark| matches!(remark, Remark::Over(_))) {
            self.open.remove(&key);
        }
    }

    /// Tells the upstream's name, once in each file.
    fn name(&mut self, record: &Record, to: &mut Gathered) {
        let address = record.ends.upstream.ip().to_canonical();
        if let Some(name) = &self.about.upstream_name
            && self.named.insert(address)
        {
            block::names(&[(address, name.clone())], to.own());
        }
    }

    /// Bytes of the frames that share a packet, of those that `run` begins with: as many as fit, and none that is cut because
    /// of others.
    fn together(&self, run: &[u8]) -> usize {
        let most = match self.about.snaplen {
            Some(snaplen) => SEGMENT.min((snaplen as usize).saturating_sub(packet::LONGEST_HEADERS)),
            None => SEGMENT,
        };
        let mut len: usize = 0;
        for (_, frame) in frames(run) {
            let longer = len.saturating_add(frame.len());
            if len > 0 && longer > most {
                return len;
            }
            len = longer;
        }
        run.len()
    }

    /// Bytes in as many segments as they need; `remarks` stand on the last.
    fn segments(&mut self, record: &Record, mut at: u64, mut rest: Bytes, remarks: &[String], to: &mut Gathered) {
        while !rest.is_empty() {
            let segment = rest.split_to(rest.len().min(SEGMENT));
            let (flags, remarks) = if rest.is_empty() { (PSH | ACK, remarks) } else { (ACK, &[][..]) };
            self.packet(record, record.by_dialler, at, flags, &segment, remarks, to);
            at = at.saturating_add(segment.len() as u64);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what a segment is made of")]
    fn packet(
        &mut self,
        record: &Record,
        by_dialler: bool,
        offset: u64,
        flags: u8,
        payload: &Bytes,
        remarks: &[String],
        to: &mut Gathered,
    ) {
        let (dialler, dialled) = record.ends.at(record.edge);
        let (from, towards) = if by_dialler { (dialler, dialled) } else { (dialled, dialler) };
        let (own, other) = if by_dialler { (0, 1) } else { (1, 0) };
        let ack = if flags & ACK != 0 { number(record, other, record.ack.saturating_add(1)) } else { 0 };
        let segment = Segment {
            from,
            to: towards,
            seq: number(record, own, offset),
            ack,
            flags,
            window: record.window,
            payload_len: payload.len(),
            payload_sum: to.sum(payload),
        };
        let headers_len = segment.headers_len();
        let wire_len = headers_len.saturating_add(payload.len());
        let kept_len = self.about.snaplen.map_or(wire_len, |snaplen| wire_len.min(snaplen as usize));
        let (interface, count) = match (record.edge, &mut self.counts) {
            (Side::Dialler, [count, _]) => (0, count),
            (Side::Upstream, [_, count]) => (1, count),
        };
        if count.packets == 0 {
            count.first = record.at.0;
        }
        count.packets = count.packets.saturating_add(1);
        count.last = count.last.max(record.at.0);
        let packet = block::Packet { interface, at: record.at.0, wire_len, kept_len };
        block::packet(&packet, remarks.iter().map(String::as_str), to, |to| {
            segment.headers(to.own());
            let kept = kept_len.saturating_sub(headers_len);
            if kept == payload.len() {
                to.payload(payload, segment.payload_sum);
            } else {
                to.own().extend_from_slice(payload.get(..kept).unwrap_or_default());
            }
        });
    }
}

/// The sequence number of a place in a direction. Each connection has its own to begin with, so that two between the same
/// addresses are told apart.
#[expect(clippy::cast_possible_truncation, reason = "sequence numbers are modulo 2^32")]
const fn number(record: &Record, end: u32, offset: u64) -> u32 {
    let initial = (record.conn as u32).wrapping_mul(2).wrapping_add(end).wrapping_mul(0x9e37_79b1);
    initial.wrapping_add(offset as u32)
}

/// Whether a part is the whole frame, where these are its bytes.
pub(super) fn is_whole(part: &Part, bytes: &[u8]) -> bool {
    part.start == 0 && part.header.frame_len() == bytes.len() as u64
}
