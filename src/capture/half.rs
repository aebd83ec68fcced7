use std::collections::BTreeMap;
use std::time::Duration;

use crate::Timestamp;

/// Bytes that one direction may hold back behind a hole before it gives the hole up. No TCP window of a real connection
/// that is being recorded comes near it without an acknowledgement.
const HOLD_LIMIT: usize = 8 * 1024 * 1024;
/// What one held piece is charged on top of its bytes, so that tiny pieces are bounded too.
const PIECE_CHARGE: usize = 64;
/// The furthest that a sequence number can be from the next expected one: TCP's largest window.
const MAX_WINDOW: i64 = 1 << 30;
/// Captures may show an acknowledgement before what it acknowledges (each CPU has its queue). A hole that one proves is
/// given up only after so many more packets of the connection, or so much time.
const PATIENCE: u32 = 8;
const PATIENCE_TIME: Duration = Duration::from_millis(100);

/// What one direction yields, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Delivery<'a> {
    Data(&'a [u8]),
    /// Bytes that the capture has not; `None` where their number is unknown.
    Gap(Option<u64>),
    /// The end of the direction (FIN), nothing missing before it.
    End,
}

/// One direction of a TCP connection, put back in order.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// The sequence number of the byte at `offset`; `None` before it is known.
    next: Option<u32>,
    /// Bytes delivered or given up so far.
    offset: u64,
    held: BTreeMap<u64, Piece>,
    held_cost: usize,
    /// How far the other end has acknowledged.
    acked: u64,
    /// Since when, and since how many packets, an acknowledgement has been proving a hole.
    proven: Option<(Timestamp, u32)>,
    fin: Option<u64>,
    ended: bool,
}

#[derive(Debug)]
enum Piece {
    Data(Vec<u8>),
    Missing(u64),
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Data(bytes) => bytes.len() as u64,
            Self::Missing(len) => *len,
        }
    }

    fn cost(&self) -> usize {
        match self {
            Self::Data(bytes) => bytes.len().saturating_add(PIECE_CHARGE),
            Self::Missing(_) => PIECE_CHARGE,
        }
    }
}

impl Half {
    /// The direction's first byte has this sequence number.
    pub(super) fn begin(&mut self, seq: u32) {
        if self.next.is_none() {
            self.next = Some(seq);
        }
    }

    /// Whether the first byte's sequence number is known.
    pub(super) const fn has_begun(&self) -> bool {
        self.next.is_some()
    }

    /// Whether nothing came yet and the first byte will have this sequence number.
    pub(super) fn begins_at(&self, seq: u32) -> bool {
        self.next == Some(seq) && self.offset == 0
    }

    /// Whether the end was delivered.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// A segment: `bytes` at `seq`, then `missing` bytes that were not captured, then perhaps the end.
    pub(super) fn segment(
        &mut self,
        seq: u32,
        bytes: &[u8],
        missing: u32,
        fin: bool,
        out: &mut dyn FnMut(u64, Delivery<'_>),
    ) {
        if self.ended {
            return;
        }
        let len = (bytes.len() as u64).saturating_add(missing.into());
        let distance = self.distance(seq, out);
        if self.ended {
            return;
        }
        let past_end = distance.saturating_add_unsigned(len);
        if fin && past_end >= 0 {
            self.fin.get_or_insert(self.offset.saturating_add(past_end.unsigned_abs()));
        }
        let start = self.offset.saturating_add(distance.max(0).unsigned_abs());
        let seen = distance.min(0).unsigned_abs();
        let missing = u64::from(missing).saturating_sub(seen.saturating_sub(bytes.len() as u64));
        let bytes = usize::try_from(seen).ok().and_then(|seen| bytes.get(seen..)).unwrap_or_default();
        if start == self.offset && self.held.is_empty() && missing == 0 {
            self.deliver(bytes, out);
        } else {
            self.hold(start, bytes);
            self.hold_missing(start.saturating_add(bytes.len() as u64), missing);
            self.drain(out);
        }
        while self.held_cost > HOLD_LIMIT && !self.ended {
            self.give_up(u64::MAX, out);
        }
        self.end(out);
    }

    /// The other end has everything before `ack`.
    pub(super) fn acknowledged(&mut self, ack: u32) {
        let Some(next) = self.next else { return };
        let distance = i64::from(ack.wrapping_sub(next).cast_signed());
        if (0..=MAX_WINDOW).contains(&distance) {
            self.acked = self.acked.max(self.offset.saturating_add_signed(distance));
        }
    }

    /// A packet of the connection was dealt with: gives up holes that have been proven long enough.
    pub(super) fn settle(&mut self, at: Timestamp, out: &mut dyn FnMut(u64, Delivery<'_>)) {
        let Some(limit) = self.proof() else {
            self.proven = None;
            return;
        };
        let (since, packets) = self.proven.unwrap_or((at, 0));
        if packets < PATIENCE && at.since(since) < PATIENCE_TIME {
            self.proven = Some((since, packets.saturating_add(1)));
            return;
        }
        while self.offset < limit && !self.ended {
            self.give_up(limit, out);
        }
    }

    /// Nothing more will come: what is held is delivered, and what is missing told.
    pub(super) fn flush(&mut self, out: &mut dyn FnMut(u64, Delivery<'_>)) {
        while !self.held.is_empty() && !self.ended {
            self.give_up(u64::MAX, out);
        }
        if let Some(limit) = self.fin.or_else(|| self.proof())
            && !self.ended
        {
            self.give_up(limit, out);
        }
    }

    /// How far `seq` is from the next byte that is expected.
    fn distance(&mut self, seq: u32, out: &mut dyn FnMut(u64, Delivery<'_>)) -> i64 {
        if let Some(next) = self.next {
            let distance = i64::from(seq.wrapping_sub(next).cast_signed());
            if distance <= MAX_WINDOW {
                return distance;
            }
            // Nothing that TCP allows leads here: the capture has left out more than can be counted.
            self.flush(out);
        }
        self.next = Some(seq);
        self.acked = self.acked.min(self.offset);
        out(self.offset, Delivery::Gap(None));
        0
    }

    /// Up to where an acknowledgement proves that bytes are missing.
    fn proof(&self) -> Option<u64> {
        let acked = self.acked.min(self.fin.unwrap_or(u64::MAX));
        if self.ended || acked <= self.offset {
            return None;
        }
        // One byte beyond all that was seen may be a FIN that was not captured.
        let perhaps_fin = self.fin.is_none() && self.held.is_empty() && acked == self.offset.saturating_add(1);
        (!perhaps_fin).then_some(acked)
    }

    /// Gives up the hole in front, but no further than `limit`, and delivers what is behind it.
    fn give_up(&mut self, limit: u64, out: &mut dyn FnMut(u64, Delivery<'_>)) {
        let held = self.held.first_key_value().map_or(u64::MAX, |(&start, _)| start);
        let hole_end = held.min(self.fin.unwrap_or(u64::MAX)).min(limit);
        self.gap(hole_end.saturating_sub(self.offset), out);
        self.drain(out);
        self.end(out);
    }

    /// Bytes that may still come before the end.
    fn room(&self) -> u64 {
        self.fin.map_or(u64::MAX, |fin| fin.saturating_sub(self.offset))
    }

    fn deliver(&mut self, bytes: &[u8], out: &mut dyn FnMut(u64, Delivery<'_>)) {
        let bytes = usize::try_from(self.room()).ok().and_then(|room| bytes.get(..room)).unwrap_or(bytes);
        if !bytes.is_empty() {
            let at = self.offset;
            self.advance(bytes.len() as u64);
            out(at, Delivery::Data(bytes));
        }
    }

    fn gap(&mut self, len: u64, out: &mut dyn FnMut(u64, Delivery<'_>)) {
        let len = len.min(self.room());
        if len > 0 {
            let at = self.offset;
            self.advance(len);
            out(at, Delivery::Gap(Some(len)));
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "sequence numbers are modulo 2^32")]
    fn advance(&mut self, by: u64) {
        self.offset = self.offset.saturating_add(by);
        self.next = self.next.map(|next| next.wrapping_add(by as u32));
        self.proven = None;
    }

    fn drain(&mut self, out: &mut dyn FnMut(u64, Delivery<'_>)) {
        while let Some(entry) = self.held.first_entry() {
            if *entry.key() != self.offset {
                return;
            }
            let piece = entry.remove();
            self.held_cost = self.held_cost.saturating_sub(piece.cost());
            match piece {
                Piece::Data(bytes) => self.deliver(&bytes, out),
                Piece::Missing(len) => self.gap(len, out),
            }
        }
    }

    fn end(&mut self, out: &mut dyn FnMut(u64, Delivery<'_>)) {
        if !self.ended && self.fin.is_some_and(|fin| self.offset >= fin) {
            self.ended = true;
            self.held.clear();
            self.held_cost = 0;
            out(self.offset, Delivery::End);
        }
    }

    /// Holds those parts of `bytes` that no piece covers yet: what came first wins.
    fn hold(&mut self, start: u64, bytes: &[u8]) {
        for (from, to) in self.uncovered(start, bytes.len() as u64) {
            let at = |offset: u64| usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX);
            let part = bytes.get(at(from)..at(to)).unwrap_or_default();
            self.insert(from, Piece::Data(part.to_vec()));
        }
    }

    fn hold_missing(&mut self, start: u64, len: u64) {
        for (from, to) in self.uncovered(start, len) {
            self.insert(from, Piece::Missing(to.saturating_sub(from)));
        }
    }

    fn insert(&mut self, at: u64, piece: Piece) {
        self.held_cost = self.held_cost.saturating_add(piece.cost());
        self.held.insert(at, piece);
    }

    /// The parts of `len` bytes at `start` that no piece covers.
    fn uncovered(&self, start: u64, len: u64) -> Vec<(u64, u64)> {
        let end = start.saturating_add(len);
        let mut parts = Vec::new();
        let mut at = start;
        if let Some((&from, piece)) = self.held.range(..=start).next_back() {
            at = at.max(from.saturating_add(piece.len()));
        }
        for (&from, piece) in self.held.range(start..end) {
            if from > at {
                parts.push((at, from));
            }
            at = at.max(from.saturating_add(piece.len()));
        }
        if at < end {
            parts.push((at, end));
        }
        parts
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests;
