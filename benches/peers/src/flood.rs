//! Mutations without an end, as a producer sends them: snapshots with an end, seqnos that rise, keys that differ.

use super::wire;
use super::wire::HEADER;
use super::wire::Head;
use super::wire::MUTATION_EXTRAS;

/// Mutations of a snapshot.
pub(crate) const SNAPSHOT: u64 = 10_000;
/// Mutations in a row that are of one stream, where there are several.
const RUN: u64 = 10;
const KEY: &[u8] = b"doc-0000-00000000";
/// Where the number of its place in the block stands in a key, and where the block's own does.
const PLACE: usize = HEADER + MUTATION_EXTRAS + 4;
const BLOCK: usize = HEADER + MUTATION_EXTRAS + 9;

/// A block of frames that is sent again and again; only what differs is written anew.
pub(crate) struct Flood {
    pub(crate) bytes: Vec<u8>,
    /// What goes before the block: markers, mostly none.
    pub(crate) markers: Vec<u8>,
    /// Of a frame.
    len: usize,
    streams: u64,
    /// Frames in a row of one stream, and such rows of a block.
    run: u64,
    rows: u64,
    block: u64,
}

impl Flood {
    /// Values of so many bytes, blocks of about `size` bytes or of one frame, taking turns on so many streams.
    pub(crate) fn new(value: usize, streams: u64, size: usize) -> Self {
        let head =
            Head { magic: wire::REQUEST, opcode: wire::MUTATION, opaque: wire::stream_opaque(0), ..Head::default() };
        let one = wire::frame(head, &[0; MUTATION_EXTRAS], KEY, &vec![b'v'; value]);
        let fit = (size / one.len()).max(1) as u64;
        let (run, rows) = if streams == 1 {
            ((1..=fit.min(SNAPSHOT)).rev().find(|run| SNAPSHOT.is_multiple_of(*run)).unwrap_or(1), 1)
        } else {
            (RUN, (1..=(fit / RUN).clamp(1, streams)).rev().find(|rows| streams.is_multiple_of(*rows)).unwrap_or(1))
        };
        let mut bytes = one.repeat((run * rows) as usize);
        for (at, frame) in bytes.chunks_exact_mut(one.len()).enumerate() {
            frame[PLACE..PLACE + 4].copy_from_slice(format!("{at:04}").as_bytes());
        }
        Self { bytes, markers: Vec::new(), len: one.len(), streams, run, rows, block: 0 }
    }

    /// Makes it the next block: how many frames that is, markers too.
    pub(crate) fn next(&mut self) -> u64 {
        let first_row = self.block * self.rows;
        let stream = first_row % self.streams;
        let before = first_row / self.streams * self.run;
        self.markers.clear();
        let mut frames = self.run * self.rows;
        if stream == 0 && before.is_multiple_of(SNAPSHOT) {
            // The first begins where the stream does.
            let start = if before == 0 { 0 } else { before + 1 };
            for vbucket in 0..self.streams {
                self.markers.extend(wire::marker(vbucket as u16, start, before + SNAPSHOT));
            }
            frames += self.streams;
        }
        let name = format!("{:08x}", self.block as u32);
        for (row, frames) in self.bytes.chunks_exact_mut(self.len * self.run as usize).enumerate() {
            let vbucket = (stream as usize + row) as u16;
            let mut seqno = before;
            for frame in frames.chunks_exact_mut(self.len) {
                seqno += 1;
                if self.streams > 1 {
                    frame[6..8].copy_from_slice(&vbucket.to_be_bytes());
                    frame[12..16].copy_from_slice(&wire::stream_opaque(vbucket).to_be_bytes());
                }
                // As a producer's clock: milliseconds that rise, above 16 bits that do not matter.
                frame[16..24].copy_from_slice(&(0x17_0000_0000_0000 + (seqno << 16)).to_be_bytes());
                frame[HEADER..HEADER + 8].copy_from_slice(&seqno.to_be_bytes());
                frame[HEADER + 8..HEADER + 16].copy_from_slice(&(seqno % 7 + 1).to_be_bytes());
                frame[BLOCK..BLOCK + 8].copy_from_slice(name.as_bytes());
            }
        }
        self.block += 1;
        frames
    }
}
