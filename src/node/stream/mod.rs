use super::Quirk;
use super::document::Item;
use super::filter::Filter;
use super::parts::Address;
use super::send;
use super::send::Sender;
use super::takeover::Takeover;
use super::takeover::Turn;
use super::terms::Terms;
use super::vbucket::Span;
use super::vbucket::Vbucket;
use crate::dcp::MarkerVersion;
use crate::dcp::SnapshotMarker;
use crate::dcp::StreamReq;

mod fault;

pub(super) use fault::Fault;

/// One stream of a producer: a position in a vbucket, moved on message by message.
///
/// ```text
///             marker                  last item
///   between ----------> in a snapshot ----------> between ...
///      |                     | CLOSE_STREAM: the rest of a memory snapshot is
///      | end reached         | queued and still goes; that of a disk one is dropped
///      v                     v
///   ending ------------------------> STREAM_END sent, gone
/// ```
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) to: Address,
    filter: Filter,
    /// The last seqno that was dealt with.
    at: u64,
    end_seqno: u64,
    /// Where the consumer's snapshot began: the first marker starts no later.
    snap_start: Option<u64>,
    disk_only: bool,
    skip_deletes: bool,
    snapshot: Option<Open>,
    /// The span of the last marker that was sent.
    told: Option<Span>,
    /// The reason of the STREAM_END that goes once nothing is queued.
    ending: Option<u32>,
    takeover: Option<Takeover>,
    fault: Option<Fault>,
    /// A message of it was answered as nothing of a live stream is.
    answered: bool,
}

/// A snapshot that is being sent.
#[derive(Clone, Copy, Debug)]
struct Open {
    span: Span,
    /// The last seqno of it that the stream is sent.
    last: u64,
    /// Whether its end is told by SEQNO_ADVANCED, and is still to be told.
    advance: bool,
    /// The last three seqnos that were sent, newest first; 0 for none.
    recent: [u64; 3],
}

/// What a stream did with its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// It sent a message of this charge.
    Sent(u32),
    /// It sent its STREAM_END, of this charge.
    Ended(u32),
    /// It waits for something.
    Idle,
}

/// STREAM_END's reasons (dcp-protocol.md §3.5).
pub(super) const OK: u32 = 0;
pub(super) const CLOSED: u32 = 1;
pub(super) const STATE_CHANGED: u32 = 2;
pub(super) const FILTER_EMPTY: u32 = 7;

impl Stream {
    pub(super) fn new(to: Address, filter: Filter, request: &StreamReq, high: u64, terms: &Terms) -> Self {
        let flag = |flag| request.flags & flag != 0;
        let bounded = flag(StreamReq::TO_LATEST) || flag(StreamReq::DISK_ONLY);
        let inside = request.snap_start_seqno < request.start_seqno && request.start_seqno < request.snap_end_seqno;
        let start = match terms.has(Quirk::SkipAfterClose) && inside {
            true => request.snap_end_seqno.min(high),
            false => request.start_seqno,
        };
        Self {
            to,
            filter,
            at: if flag(StreamReq::FROM_LATEST) { high } else { start },
            end_seqno: if bounded { request.end_seqno.min(high) } else { request.end_seqno },
            snap_start: Some(request.snap_start_seqno),
            disk_only: flag(StreamReq::DISK_ONLY),
            skip_deletes: terms.skip_deletes && request.start_seqno == 0,
            snapshot: None,
            told: None,
            ending: None,
            takeover: flag(StreamReq::TAKEOVER).then(Takeover::new),
            fault: None,
            answered: false,
        }
    }

    /// Whether it is neither closed nor at its end: such a stream can be closed, and keeps others from its place.
    pub(super) const fn is_active(&self) -> bool {
        self.ending.is_none() && !matches!(self.fault, Some(Fault::Undead(_)))
    }

    /// Whether it stands inside a snapshot of which it has sent something, and something is left.
    pub(super) const fn is_inside(&self) -> bool {
        matches!(self.snapshot, Some(open) if open.recent[0] != 0 && self.at < open.last)
    }

    /// Whether it waits for the vbucket to get more.
    pub(super) fn is_waiting(&self, high: u64) -> bool {
        self.snapshot.is_none() && self.ending.is_none() && self.at >= high
    }

    /// The last seqno that may have been sent.
    pub(super) const fn last_seqno(&self) -> u64 {
        self.at
    }

    /// CLOSE_STREAM: what is queued of a memory snapshot still goes, then STREAM_END.
    pub(super) fn close(&mut self) {
        if self.snapshot.is_some_and(|open| open.span.disk) {
            self.snapshot = None;
        }
        self.takeover = None;
        self.fault = None;
        self.ending = Some(CLOSED);
    }

    /// A message of it was answered as nothing of a live stream is.
    pub(super) const fn answer(&mut self) {
        self.answered = true;
    }

    /// Whether [`Stream::answer`] was called.
    pub(super) const fn was_answered(&self) -> bool {
        self.answered
    }

    /// A response to a marker came, whatever its status.
    pub(super) fn marker_answered(&mut self, terms: &Terms) {
        if let Some(takeover) = &mut self.takeover {
            takeover.acknowledged(terms.has(Quirk::StrayMarkerAck));
        }
    }

    /// A response to a vbucket state came, whatever its status; whether the vbucket is dead from here on.
    pub(super) fn state_answered(&mut self) -> bool {
        self.takeover.as_mut().is_some_and(Takeover::state_answered)
    }

    fn advance(
        &mut self,
        vbucket: &Vbucket,
        terms: &Terms,
        sender: &mut Sender,
        item: &mut Item,
        out: &mut Vec<u8>,
    ) -> Step {
        loop {
            if let Some(mut open) = self.snapshot {
                if open.span.disk && vbucket.is_dead() && self.takeover.is_none() {
                    if terms.has(Quirk::Mb27489) {
                        return Step::Idle;
                    }
                    self.snapshot = None;
                    self.ending.get_or_insert(STATE_CHANGED);
                    continue;
                }
                if open.advance && terms.has(Quirk::Mb66612) {
                    open.advance = false;
                    self.snapshot = Some(open);
                    return Step::Sent(send::seqno_advanced(open.span.end, terms, &self.to, out));
                }
                if let Some(seqno) = self.next(&open, vbucket, terms) {
                    return Step::Sent(self.send(seqno, vbucket, terms, sender, item, out));
                }
                self.snapshot = None;
                self.at = open.span.end;
                if open.advance && terms.has(Quirk::Mb62847) {
                    if self.at >= self.end_seqno {
                        self.fault = Some(Fault::Endless);
                    }
                } else if open.advance {
                    return Step::Sent(send::seqno_advanced(open.span.end, terms, &self.to, out));
                }
                continue;
            }
            if let Some(reason) = self.ending {
                return Step::Ended(send::stream_end(reason, terms, &self.to, out));
            }
            if self.at >= self.end_seqno {
                if self.fault == Some(Fault::Endless) {
                    return Step::Idle;
                }
                self.ending = Some(OK);
                continue;
            }
            if let Some(takeover) = &mut self.takeover {
                match takeover.turn(self.at >= vbucket.high()) {
                    Turn::Send => {}
                    Turn::Wait => return Step::Idle,
                    Turn::State(state) => {
                        return Step::Sent(send::vbucket_state(state, terms, &self.to, out));
                    }
                    Turn::End => {
                        self.ending = Some(OK);
                        continue;
                    }
                }
            } else if vbucket.is_dead() {
                self.ending = Some(STATE_CHANGED);
                continue;
            }
            let Some(span) = self.next_span(vbucket) else { return Step::Idle };
            if let Some(charge) = self.open(span, vbucket, terms, sender, out) {
                return Step::Sent(charge);
            }
            self.at = span.end;
        }
    }

    fn next_span(&self, vbucket: &Vbucket) -> Option<Span> {
        if self.disk_only {
            return (self.at < self.end_seqno).then_some(Span { end: self.end_seqno, disk: true });
        }
        vbucket.snapshot_behind(self.at)
    }

    /// Opens a snapshot and appends its marker; nothing where the stream gets nothing of it.
    fn open(
        &mut self,
        span: Span,
        vbucket: &Vbucket,
        terms: &Terms,
        sender: &mut Sender,
        out: &mut Vec<u8>,
    ) -> Option<u32> {
        let passing = (self.at + 1..=span.end).rev().find(|&seqno| self.takes(seqno, span, vbucket, terms));
        let advance = terms.seqno_advanced() && passing != Some(span.end);
        let last = match passing {
            Some(seqno) => seqno,
            None if advance => self.at,
            None => return None,
        };
        let end = if advance { span.end } else { last };
        let behind_disk = self.told.filter(|told| told.disk && !span.disk);
        let start = match behind_disk {
            Some(told) if terms.has(Quirk::Mb50543) => told.end,
            _ => self.at + 1,
        };
        if behind_disk.is_some() && terms.has(Quirk::Mb51105) {
            self.fault = Some(Fault::Repeat);
        }
        let mut flags = SnapshotMarker::CHECKPOINT;
        flags |= if span.disk { SnapshotMarker::DISK } else { SnapshotMarker::MEMORY };
        if let Some(takeover) = self.takeover.as_mut().filter(|_| !span.disk) {
            takeover.marker_sent();
            flags |= SnapshotMarker::ACK;
        }
        let mut marker = SnapshotMarker {
            start_seqno: self.snap_start.take().map_or(start, |snap_start| snap_start.min(start)),
            end_seqno: end,
            flags,
            ..SnapshotMarker::default()
        };
        if terms.marker_v2_2 && span.disk {
            marker.version = MarkerVersion::V2_2;
        } else if terms.sync_replication() {
            marker.version = MarkerVersion::V2_0;
        }
        if marker.version != MarkerVersion::V1 {
            marker.max_visible_seqno = Some(vbucket.max_visible(end));
            if span.disk {
                marker.high_completed_seqno = Some(vbucket.high_completed(end));
                marker.purge_seqno = Some(0);
                marker.high_prepared_seqno = Some(vbucket.high_prepared(end));
            }
        }
        self.told = Some(Span { end, disk: span.disk });
        self.snapshot = Some(Open { span, last, advance, recent: [0; 3] });
        Some(sender.marker(&marker, terms, &self.to, out))
    }

    /// The next seqno of a snapshot that the stream is sent.
    fn next(&self, open: &Open, vbucket: &Vbucket, terms: &Terms) -> Option<u64> {
        (self.at + 1..=open.last).find(|&seqno| self.takes(seqno, open.span, vbucket, terms))
    }

    fn takes(&self, seqno: u64, span: Span, vbucket: &Vbucket, terms: &Terms) -> bool {
        let it = vbucket.outline(seqno);
        self.filter.passes(&it)
            && (it.kind.is_visible() || terms.sync_writes)
            && !it.is_left_out(span.end, span.disk)
            && !(self.skip_deletes && span.disk && it.kind.is_removal())
    }

    fn send(
        &mut self,
        seqno: u64,
        vbucket: &Vbucket,
        terms: &Terms,
        sender: &mut Sender,
        item: &mut Item,
        out: &mut Vec<u8>,
    ) -> u32 {
        vbucket.read(seqno, item);
        self.at = seqno;
        if let Some(open) = &mut self.snapshot {
            open.recent = [seqno, open.recent[0], open.recent[1]];
            let disk = open.span.disk;
            if seqno >= open.last && !open.advance {
                self.at = open.span.end;
                self.snapshot = None;
            }
            if self.filter.is_exhausted_by(&item.outline) && terms.collections {
                self.snapshot = None;
                self.ending = Some(FILTER_EMPTY);
            }
            return sender.item(item, disk, terms, &self.to, out);
        }
        0
    }
}
