use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use super::Output;
use super::index;
use crate::Timestamp;
use crate::journal::How;
use crate::journal::Side;

/// What the driver is to do, in order. Relayed bytes that lie side by side in one chunk become one write, and are not
/// copied.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Output>,
    chunk: Bytes,
    run: Option<(Side, Range<usize>)>,
    closed: [bool; 2],
}

impl Outbox {
    /// The chunk that relayed bytes are from, up to [`Self::end`].
    pub(super) fn begin(&mut self, chunk: &Bytes) {
        self.chunk = chunk.clone();
    }

    pub(super) fn end(&mut self) {
        self.flush();
        self.chunk = Bytes::new();
    }

    /// Whether the direction to an end was not closed: what is written after a close goes nowhere.
    pub(super) const fn is_open(&self, to: Side) -> bool {
        !self.closed[index(to)]
    }

    /// Writes relayed bytes: a part of the chunk, or bytes kept from an earlier one.
    pub(super) fn relay(&mut self, to: Side, bytes: &[u8]) {
        let offset = (bytes.as_ptr() as usize).wrapping_sub(self.chunk.as_ptr() as usize);
        if offset >= self.chunk.len() || bytes.len() > self.chunk.len() - offset {
            return self.write(to, Bytes::copy_from_slice(bytes));
        }
        let end = offset + bytes.len();
        match &mut self.run {
            Some((side, range)) if *side == to && range.end == offset => range.end = end,
            _ => {
                self.flush();
                self.run = Some((to, offset..end));
            }
        }
    }

    pub(super) fn write(&mut self, to: Side, bytes: Bytes) {
        self.flush();
        if !bytes.is_empty() {
            self.queue.push_back(Output::Write { to, bytes });
        }
    }

    pub(super) fn close(&mut self, side: Side, how: How) {
        self.flush();
        self.closed[index(side)] = true;
        self.queue.push_back(Output::Close { side, how });
    }

    pub(super) fn wait(&mut self, until: Option<Timestamp>) {
        self.flush();
        self.queue.push_back(Output::Wait(until));
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    fn flush(&mut self) {
        if let Some((to, range)) = self.run.take() {
            self.queue.push_back(Output::Write { to, bytes: self.chunk.slice(range) });
        }
    }
}
