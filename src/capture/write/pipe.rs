use std::collections::VecDeque;

use bytes::Bytes;
use bytes::BytesMut;

use super::Part;
use super::Run;
use crate::capture::Remark;
use crate::journal::Direction;
use crate::journal::How;
use crate::wire::HEADER_LEN;
use crate::wire::Header;

/// Bytes of a direction that wait for the first whole frame.
const MAX_JOINING: u64 = 256 * 1024;

/// One edge: what its end said, and what it was told.
#[derive(Debug, Default)]
pub(super) struct Edge {
    pub(super) opened: bool,
    pub(super) from: Pipe,
    pub(super) to: Pipe,
    /// Remarks that no packet has taken yet.
    pub(super) remarks: Vec<Remark>,
}

/// One direction of an edge.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    /// Bytes of which no entry has told yet, but for those of the run.
    waiting: VecDeque<Bytes>,
    waiting_len: u64,
    /// Of the first of them: whole frames that are to be one record, and their bytes.
    run: Option<(Run, usize)>,
    /// The frame that flows by: its entry came, and some of its bytes are still to come.
    pub(super) part: Option<Part>,
    /// Whether the first whole frame has yet to come, as this begins in the middle.
    pub(super) joining: bool,
    /// Whether entries and bytes do not tell of the same: nothing is known of where frames are.
    pub(super) unframed: bool,
    /// Bytes recorded, or lost.
    pub(super) offset: u64,
    pub(super) closed: Option<How>,
    /// What is lost since the last packet that was recorded: frames, bytes.
    pub(super) lost: (u64, u64),
    /// What the last packet of this direction acknowledged, and the window that it told.
    pub(super) acked: u64,
    pub(super) window: u16,
}

impl Edge {
    pub(super) const fn pipe(&mut self, direction: Direction) -> &mut Pipe {
        match direction {
            Direction::From => &mut self.from,
            Direction::To => &mut self.to,
        }
    }
}

impl Pipe {
    pub(super) fn push(&mut self, bytes: Bytes) {
        // What is written after a close goes nowhere.
        if self.closed.is_none() && !bytes.is_empty() {
            self.waiting_len = self.waiting_len.saturating_add(bytes.len() as u64);
            self.waiting.push_back(bytes);
        }
    }

    /// Begins with the frame of this header, if all of it is here.
    pub(super) fn begin_at(&mut self, header: &Header) -> bool {
        let mut bytes = self.pull(u64::MAX);
        let place = bytes
            .windows(HEADER_LEN)
            .position(|window| Header::parse_slice(window).is_ok_and(|found| found == *header));
        self.joining = place.is_none();
        self.push(bytes.split_off(place.unwrap_or(0)));
        !self.joining
    }

    /// Until it begins, no more is kept than the longest frame that comes whole, and a read.
    pub(super) fn forget_what_is_too_old(&mut self) {
        while self.joining
            && self.waiting_len > MAX_JOINING
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.waiting_len = self.waiting_len.saturating_sub(oldest.len() as u64);
        }
    }

    /// Lets the run go on, or begin, with these frames of `len` bytes, if they are what comes next: all of them here in one
    /// piece, and `is_it` knows them. There is no run while it joins, or while a frame flows by.
    pub(super) fn goes_on(&mut self, frames: Run, len: usize, is_it: impl FnOnce(&[u8]) -> bool) -> bool {
        let (run, before) = self.run.unwrap_or((Run { frames: 0, ..frames }, 0));
        let end = before.saturating_add(len);
        let next = self.waiting.front().and_then(|front| front.get(before..end));
        let goes_on = !self.joining
            && !self.unframed
            && self.part.is_none()
            && run.collections == frames.collections
            && next.is_some_and(is_it);
        if goes_on {
            self.run = Some((Run { frames: run.frames.saturating_add(frames.frames), ..run }, end));
        }
        goes_on
    }

    /// Takes the run.
    pub(super) fn pull_run(&mut self) -> Option<(Bytes, Run)> {
        let (run, len) = self.run.take()?;
        Some((self.pull(len as u64), run))
    }

    /// Takes up to `len` bytes; copies only where they came in several pieces.
    pub(super) fn pull(&mut self, len: u64) -> Bytes {
        let len = usize::try_from(len.min(self.waiting_len)).unwrap_or(usize::MAX);
        self.waiting_len = self.waiting_len.saturating_sub(len as u64);
        let Some(first) = self.waiting.front_mut() else { return Bytes::new() };
        if len < first.len() {
            return first.split_to(len);
        }
        if len == first.len() {
            return self.waiting.pop_front().unwrap_or_default();
        }
        let mut all = BytesMut::with_capacity(len);
        while all.len() < len
            && let Some(mut next) = self.waiting.pop_front()
        {
            let piece = next.split_to(next.len().min(len.saturating_sub(all.len())));
            all.extend_from_slice(&piece);
            if !next.is_empty() {
                self.waiting.push_front(next);
            }
        }
        all.freeze()
    }
}
