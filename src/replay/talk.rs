use bytes::Bytes;

use crate::wire::Deframer;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Piece;

/// Frames up to this size are looked at whole; of longer ones the value is not needed.
const WHOLE_LIMIT: usize = 1024 * 1024;

/// The bytes of one connection, in and out.
#[derive(Debug)]
pub(super) struct Talk {
    deframer: Deframer,
    out: Vec<u8>,
    /// Bytes of `out` that were pulled.
    pulled: usize,
    /// Requests of the player's own that were made.
    own: u32,
}

impl Talk {
    pub(super) const fn new() -> Self {
        Self { deframer: Deframer::new(WHOLE_LIMIT), out: Vec::new(), pulled: 0, own: 0 }
    }

    /// The whole frames that `bytes` complete, and the error where what comes is none.
    pub(super) fn frames(&mut self, mut bytes: &[u8]) -> (Vec<Bytes>, Option<String>) {
        let mut frames = Vec::new();
        while let Some(piece) = self.deframer.next(&mut bytes) {
            match piece {
                Piece::Frame(frame) => frames.push(Bytes::copy_from_slice(frame.bytes())),
                Piece::Value { .. } => {}
                Piece::Raw { error, .. } => return (frames, Some(error.to_string())),
            }
        }
        (frames, None)
    }

    /// Says a frame that was built.
    pub(super) fn say(&mut self, frame: &FrameBuilder) {
        frame.write(&mut self.out);
    }

    /// Says a recorded frame, with another opaque.
    pub(super) fn say_again(&mut self, frame: &[u8], opaque: Opaque) {
        let start = self.out.len();
        self.out.extend_from_slice(frame);
        if let Some(place) = self.out.get_mut(start + OPAQUE_AT..start + OPAQUE_AT + 4) {
            place.copy_from_slice(&opaque.0);
        }
    }

    /// An opaque for a request that no recording holds.
    pub(super) const fn own_opaque(&mut self) -> Opaque {
        self.own = self.own.wrapping_add(1);
        let [_, b, c, d] = self.own.to_be_bytes();
        Opaque([0xdc, b, c, d])
    }

    /// Bytes that wait to be pulled.
    pub(super) fn waiting(&self) -> usize {
        self.out.len() - self.pulled
    }

    /// Moves about `budget` waiting bytes to `to`.
    pub(super) fn pull(&mut self, to: &mut Vec<u8>, budget: usize) {
        let taken = self.waiting().min(budget);
        to.extend_from_slice(self.out.get(self.pulled..self.pulled + taken).unwrap_or_default());
        self.pulled += taken;
        if self.pulled == self.out.len() {
            self.out.clear();
            self.pulled = 0;
        }
    }
}

/// Where the opaque is in every frame.
const OPAQUE_AT: usize = 12;
