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
    #[inline]
    pub(super) fn begin(&mut self, chunk: &Bytes) {
        self.chunk = chunk.clone();
    }

    #[inline]
    pub(super) fn end(&mut self) {
        self.flush();
        self.chunk = Bytes::new();
    }

    /// Whether the direction to an end was not closed: what is written after a close goes nowhere.
    #[inline]
    pub(super) const fn is_open(&self, to: Side) -> bool {
        !self.closed[index(to)]
    }

    /// Writes relayed bytes: a part of the chunk, or bytes kept from an earlier one.
    #[inline]
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

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    #[inline]
    fn flush(&mut self) {
        if let Some((to, range)) = self.run.take() {
            self.queue.push_back(Output::Write { to, bytes: self.chunk.slice(range) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn popped(outbox: &mut Outbox) -> Vec<Output> {
        std::iter::from_fn(|| outbox.pop()).collect()
    }

    fn write(to: Side, bytes: &'static [u8]) -> Output {
        Output::Write { to, bytes: Bytes::from_static(bytes) }
    }

    #[test]
    fn what_lies_side_by_side_is_one_write_without_a_copy() {
        let chunk = Bytes::from_static(b"abcdefgh");
        let mut outbox = Outbox::default();
        outbox.begin(&chunk);
        outbox.relay(Side::Dialler, &chunk[0..2]);
        outbox.relay(Side::Dialler, &chunk[2..5]);
        outbox.relay(Side::Dialler, &chunk[6..7]);
        outbox.relay(Side::Upstream, &chunk[7..8]);
        outbox.end();
        let all = popped(&mut outbox);
        assert_eq!(all, [write(Side::Dialler, b"abcde"), write(Side::Dialler, b"g"), write(Side::Upstream, b"h")]);
        let Output::Write { bytes, .. } = &all[0] else { panic!("a write") };
        assert_eq!(bytes.as_ptr(), chunk.as_ptr());
    }

    #[test]
    fn what_comes_between_keeps_its_place() {
        let chunk = Bytes::from_static(b"abcd");
        let mut outbox = Outbox::default();
        outbox.begin(&chunk);
        outbox.relay(Side::Dialler, &chunk[0..2]);
        outbox.write(Side::Dialler, Bytes::from_static(b"X"));
        outbox.relay(Side::Dialler, &chunk[2..4]);
        outbox.wait(None);
        outbox.relay(Side::Dialler, b"elsewhere");
        outbox.end();
        assert_eq!(
            popped(&mut outbox),
            [
                write(Side::Dialler, b"ab"),
                write(Side::Dialler, b"X"),
                write(Side::Dialler, b"cd"),
                Output::Wait(None),
                write(Side::Dialler, b"elsewhere"),
            ]
        );
    }

    #[test]
    fn a_close_is_known() {
        let mut outbox = Outbox::default();
        outbox.close(Side::Dialler, How::Fin);
        assert!(!outbox.is_open(Side::Dialler) && outbox.is_open(Side::Upstream));
    }
}
