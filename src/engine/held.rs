use bytes::Bytes;

use super::outbox::Outbox;
use crate::Timestamp;
use crate::journal::Entry;
use crate::journal::How;
use crate::journal::Side;
use crate::wire::FramingError;

/// Something that goes to an end, and may have to wait: bytes, and what is to be told or done behind the last of them.
#[derive(Debug)]
pub(super) struct Held {
    bytes: Bytes,
    /// Whether a frame ends with them, or they are in none.
    ends: bool,
    then: Then,
}

#[derive(Debug)]
enum Then {
    Nothing,
    Tell(Box<Entry>),
    Cut(FramingError),
    Close(How, Box<Entry>),
}

/// What is to be told, or done, of something that was delivered.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Told {
    /// This.
    Entry(Box<Entry>),
    /// Nothing yet: whatever comes behind is taken for the rest of a frame.
    Cut(FramingError),
    /// A gate ends the connection.
    Over(How),
}

impl Held {
    /// A frame, the last bytes of one, or bytes at which an end loses its framing, with the entry that tells of that. It `ends`
    /// unless a value flows by behind it.
    pub(super) fn frame(bytes: Bytes, entry: Entry, ends: bool) -> Self {
        Self { bytes, ends, then: Then::Tell(Box::new(entry)) }
    }

    /// The first bytes of a frame that ends before its time; it `ends` where no more of its value are to follow.
    pub(super) const fn cut(bytes: Bytes, error: FramingError, ends: bool) -> Self {
        Self { bytes, ends, then: Then::Cut(error) }
    }

    /// Bytes that are no frame, or a part of one, which `ends` with them or does not.
    pub(super) const fn raw(bytes: Bytes, ends: bool) -> Self {
        Self { bytes, ends, then: Then::Nothing }
    }

    /// The close, with the entry that tells of it.
    pub(super) fn close(how: How, entry: Entry) -> Self {
        Self { bytes: Bytes::new(), ends: false, then: Then::Close(how, Box::new(entry)) }
    }

    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) const fn is_close(&self) -> bool {
        matches!(self.then, Then::Close(..))
    }

    /// Whether the last byte that was delivered is inside a frame, once this has been.
    pub(super) const fn is_inside_after(&self, before: bool) -> bool {
        if self.bytes.is_empty() { before } else { !self.ends }
    }

    /// The first `len` bytes, and the rest if there is one. What is told goes with the last piece.
    pub(super) fn split(mut self, len: usize) -> (Self, Option<Self>) {
        if self.bytes.len() <= len {
            return (self, None);
        }
        let first = self.bytes.split_to(len);
        (Self::raw(first, false), Some(self))
    }

    /// Writes it; tells at the time `at`, where that is not what the entry says.
    pub(super) fn deliver(self, to: Side, at: Option<Timestamp>, outbox: &mut Outbox) -> Option<Told> {
        if !outbox.is_open(to) && !matches!(self.then, Then::Close(How::Reset, _)) {
            return None;
        }
        outbox.write(to, self.bytes);
        let told = |mut entry: Box<Entry>| {
            entry.at = at.unwrap_or(entry.at);
            Some(Told::Entry(entry))
        };
        match self.then {
            Then::Nothing => None,
            Then::Tell(entry) => told(entry),
            Then::Cut(error) => Some(Told::Cut(error)),
            Then::Close(how, entry) => {
                outbox.close(to, how);
                told(entry)
            }
        }
    }
}
