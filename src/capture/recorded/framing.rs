use super::search::Search;
use crate::wire::Deframer;
use crate::wire::Frame;
use crate::wire::FramingError;
use crate::wire::Header;
use crate::wire::MAX_FRAME_LEN;
use crate::wire::Piece;

/// What one direction of a recording turns out to hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'a> {
    Frame {
        frame: Frame<'a>,
        /// Whether a search found it, after framing was lost.
        resynchronised: bool,
    },
    Gap(Option<u64>),
    Lost(FramingError),
}

/// How often frames may be found again by mistake before the direction is given up, till the next gap.
const MAX_MISTAKES: u8 = 16;

/// Cuts the bytes of one direction into frames, over gaps too.
///
/// ```text
///            gap in a frame, that ends in it
///   Framed --------------------------------> Skipping --the rest of the frame--> Framed
///     | | \--any other gap--> Searching --a frame that is followed by another--> Framed
///     |  \--no frame, though found again--> Searching
///      \--no frame--> Lost --gap--> Searching
/// ```
#[derive(Debug, Default)]
pub(super) struct Framing {
    state: State,
    /// Times that frames may still be found again by mistake; 0 before the first gap.
    mistakes_left: u8,
    /// Whether a search has just ended, so that the next frame is the one that it found.
    found_again: bool,
}

#[derive(Debug)]
enum State {
    Framed(Deframer),
    /// So many bytes still belong to the frame that the gap was in.
    Skipping(u64),
    Searching(Search),
    Lost,
}

impl Default for State {
    fn default() -> Self {
        // A frame that is read at leisure may be as long as frames can be.
        Self::Framed(Deframer::new(MAX_FRAME_LEN))
    }
}

impl Framing {
    /// The next bytes.
    pub(super) fn data(&mut self, bytes: &[u8], out: &mut dyn FnMut(Found<'_>)) {
        let mut again = self.step(bytes, out);
        while let Some(bytes) = again {
            again = self.step(&bytes, out);
        }
    }

    /// Takes in bytes; gives back those to be taken in once more, in another state.
    fn step(&mut self, bytes: &[u8], out: &mut dyn FnMut(Found<'_>)) -> Option<Vec<u8>> {
        let mut bytes = bytes;
        while !bytes.is_empty() {
            match &mut self.state {
                State::Framed(deframer) => match deframer.next(&mut bytes) {
                    Some(Piece::Frame(frame)) => {
                        out(Found::Frame { frame, resynchronised: std::mem::take(&mut self.found_again) });
                    }
                    Some(Piece::Raw { bytes: raw, error }) => {
                        let Some(left) = self.mistakes_left.checked_sub(1) else {
                            out(Found::Lost(error));
                            self.state = State::Lost;
                            return None;
                        };
                        let again = [raw, bytes].concat();
                        *self = Self {
                            state: State::Searching(Search::default()),
                            mistakes_left: left,
                            found_again: false,
                        };
                        return Some(again);
                    }
                    Some(Piece::Value { .. }) | None => {}
                },
                State::Skipping(left) => {
                    let len = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left = left.saturating_sub(len as u64);
                    if *left == 0 {
                        self.state = State::default();
                    }
                    bytes = bytes.get(len..).unwrap_or_default();
                }
                State::Searching(search) => {
                    let found = search.data(bytes)?;
                    self.state = State::default();
                    self.found_again = true;
                    return Some(found);
                }
                State::Lost => return None,
            }
        }
        None
    }

    /// Bytes are missing here. A frame whose value they are in is passed on if `readable` says that it can be read so.
    pub(super) fn gap(
        &mut self,
        bytes: Option<u64>,
        readable: &mut dyn FnMut(&Frame<'_>) -> bool,
        out: &mut dyn FnMut(Found<'_>),
    ) {
        let left = match &self.state {
            State::Framed(deframer) => {
                let partial = deframer.partial();
                if let Ok(frame) = Frame::new(partial)
                    && readable(&frame)
                {
                    out(Found::Frame { frame, resynchronised: std::mem::take(&mut self.found_again) });
                }
                match Header::parse_slice(partial) {
                    Ok(header) => header.frame_len().saturating_sub(partial.len() as u64),
                    Err(_) => 0,
                }
            }
            State::Skipping(left) => *left,
            State::Searching(_) | State::Lost => 0,
        };
        out(Found::Gap(bytes));
        self.mistakes_left = MAX_MISTAKES;
        self.found_again = false;
        self.state = match bytes.and_then(|bytes| left.checked_sub(bytes)) {
            Some(0) => State::default(),
            Some(left) => State::Skipping(left),
            None => State::Searching(Search::default()),
        };
    }

    /// What comes is in no frame, for good.
    pub(super) fn give_up(&mut self) {
        self.state = State::Lost;
    }

    /// Bytes of a frame that is not complete.
    pub(super) fn partial(&self) -> u64 {
        match &self.state {
            State::Framed(deframer) => deframer.partial().len() as u64,
            State::Skipping(_) | State::Searching(_) | State::Lost => 0,
        }
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::wire::FrameBuilder;
    use crate::wire::Opaque;
    use crate::wire::Opcode;

    fn mutation(n: u32, value: usize) -> Vec<u8> {
        let frame = FrameBuilder::request(Opcode::DCP_MUTATION).opaque(Opaque(n.to_be_bytes()));
        frame.extras([1; 31]).key(*b"key").value(vec![b'v'; value]).build().to_vec()
    }

    #[derive(Default)]
    struct Run {
        framing: Framing,
        seen: Vec<String>,
    }

    impl Run {
        fn tell(seen: &mut Vec<String>, found: Found<'_>) {
            seen.push(match found {
                Found::Frame { frame, resynchronised } => format!(
                    "{}{}{}",
                    if resynchronised { "found " } else { "" },
                    u32::from_be_bytes(frame.header().opaque.0),
                    if frame.is_whole() { "" } else { " cut" }
                ),
                Found::Gap(bytes) => format!("gap {bytes:?}"),
                Found::Lost(error) => format!("lost: {error}"),
            });
        }

        fn data(&mut self, bytes: &[u8]) -> &mut Self {
            self.framing.data(bytes, &mut |found| Self::tell(&mut self.seen, found));
            self
        }

        fn gap(&mut self, bytes: Option<u64>) -> &mut Self {
            self.framing.gap(bytes, &mut |_| true, &mut |found| Self::tell(&mut self.seen, found));
            self
        }
    }

    #[test]
    fn a_gap_inside_a_value_loses_nothing_else() {
        let (one, two) = (mutation(1, 500), mutation(2, 3));
        let mut run = Run::default();
        run.data(&one[..200]).gap(Some(300)).data(&one[500..]).data(&two);
        assert_eq!(run.seen, ["1 cut", "gap Some(300)", "2"]);
        let mut run = Run::default();
        run.data(&one[..200]).gap(Some(one.len() as u64 - 200)).data(&two);
        assert_eq!(run.seen, ["1 cut", "gap Some(358)", "2"]);
        let mut run = Run::default();
        run.data(&one[..200]).gap(Some(100)).gap(Some(50)).data(&one[350..400]).gap(Some(158)).data(&two);
        assert_eq!(run.seen, ["1 cut", "gap Some(100)", "gap Some(50)", "gap Some(158)", "2"]);
    }

    #[test]
    fn the_rest_of_a_value_is_never_taken_for_frames() {
        let mut one = mutation(1, 500);
        let trap = [mutation(8, 0), mutation(9, 0)].concat();
        one[300..300 + trap.len()].copy_from_slice(&trap);
        let mut run = Run::default();
        run.data(&one[..200]).gap(Some(50)).data(&one[250..]).data(&mutation(2, 3));
        assert_eq!(run.seen, ["1 cut", "gap Some(50)", "2"]);
    }

    #[test]
    fn a_gap_inside_a_key_loses_that_frame_alone() {
        let (one, two) = (mutation(1, 500), mutation(2, 3));
        let mut run = Run::default();
        run.data(&one[..56]).gap(Some(1)).data(&one[57..]).data(&two);
        assert_eq!(run.seen, ["gap Some(1)", "2"]);
    }

    #[test]
    fn behind_a_gap_over_frames_framing_is_found_again() {
        let stream: Vec<u8> = (1..=9).flat_map(|n| mutation(n, 700)).collect();
        let len = stream.len() / 9;
        for missing in [1, 23, 24, 700, len, len + 10, 3 * len] {
            for chunk in [1, 7, 1448, 100_000] {
                let mut run = Run::default();
                run.data(&stream[..len + 10]).gap(Some(missing as u64));
                for bytes in stream[len + 10 + missing..].chunks(chunk) {
                    run.data(bytes);
                }
                let first = (len + 10 + missing).div_ceil(len) + 1;
                let mut expected = vec!["1".to_owned(), format!("gap Some({missing})")];
                expected.push(format!("found {first}"));
                expected.extend((first + 1..=9).map(|n| n.to_string()));
                assert_eq!(run.seen, expected, "missing {missing}, chunks of {chunk}");
            }
        }
    }

    #[test]
    fn in_the_middle_of_a_connection_the_first_frame_is_found() {
        let stream: Vec<u8> = (1..=3).flat_map(|n| mutation(n, 100)).collect();
        let mut run = Run::default();
        run.gap(None).data(&stream[50..]);
        assert_eq!(run.seen, ["gap None", "found 2", "3"]);
        let mut run = Run::default();
        run.gap(None).data(&stream[..158]);
        assert_eq!(run.seen, ["gap None", "found 1"], "a segment with one frame");
    }

    #[test]
    fn what_looks_like_a_frame_in_a_document_is_not_believed() {
        let mut trap = mutation(7, 900);
        trap[100..124].copy_from_slice(&mutation(8, 300)[..24]);
        let stream: Vec<u8> = [trap, mutation(2, 10), mutation(3, 10)].concat();
        let mut run = Run::default();
        run.gap(None).data(&stream[60..]);
        assert_eq!(run.seen, ["gap None", "found 2", "3"]);
    }

    /// As [`mutation`], but another message, or an answer.
    fn other(n: u32, frame: FrameBuilder, extras: usize) -> Vec<u8> {
        frame.opaque(Opaque(n.to_be_bytes())).extras(vec![1; extras]).build().to_vec()
    }

    #[test]
    fn one_or_two_frames_are_not_enough_but_where_a_segment_ends() {
        let text = b"no frame at all, but text that goes on for a while";
        for (frames, believed) in [(1, false), (2, false), (3, true)] {
            let mut run = Run::default();
            let stream: Vec<u8> = (1..=frames).flat_map(|n| mutation(n, 9)).collect();
            run.gap(None).data(&[b"....", &stream[..], text].concat());
            assert_eq!(run.seen.len() > 1, believed, "{frames} frames in the middle of a segment");
            let mut run = Run::default();
            run.gap(None).data(&[b"....", &stream[..]].concat());
            assert_eq!(run.seen.len() > 1, frames > 1, "{frames} frames at the end of a segment");
        }
        let mut run = Run::default();
        run.gap(None).data(b"....").data(&mutation(1, 9));
        assert_eq!(run.seen, ["gap None", "found 1"], "one that is a segment");
    }

    #[test]
    fn extras_of_another_length_or_another_sender_are_not_believed() {
        let request = FrameBuilder::request;
        let ack = || other(2, request(Opcode::DCP_BUFFER_ACK), 4);
        let answer = || other(3, FrameBuilder::response(Opcode::DCP_MUTATION, crate::wire::Status::KEY_ENOENT), 0);
        let noop = || other(4, request(Opcode::DCP_NOOP), 0);
        let wrong = || other(5, request(Opcode::DCP_MUTATION), 28);
        let cases: [(Vec<Vec<u8>>, bool); 7] = [
            (vec![ack(), answer(), noop()], true),
            (vec![mutation(1, 0), noop(), mutation(6, 0)], true),
            (vec![mutation(1, 0), noop(), ack()], false),
            (vec![mutation(1, 0), answer(), noop()], false),
            (vec![ack(), noop(), mutation(1, 0)], false),
            (vec![noop(), wrong(), noop()], false),
            (vec![noop(), noop(), noop()], true),
        ];
        for (n, (frames, believed)) in cases.into_iter().enumerate() {
            let mut run = Run::default();
            run.gap(None).data(&[&frames.concat()[..], b"no frame"].concat());
            assert_eq!(run.seen.len() > 1, believed, "case {n}: {:?}", run.seen);
        }
    }

    #[test]
    fn a_mistake_is_mended() {
        let trap = [mutation(7, 0), mutation(8, 0), mutation(9, 0)].concat();
        let mut run = Run::default();
        run.gap(None).data(&[&trap[..], b"no frame at all, but text"].concat());
        run.data(&mutation(3, 5)).data(&mutation(4, 5));
        assert_eq!(run.seen, ["gap None", "found 7", "8", "9", "found 3", "4"]);
    }

    #[test]
    fn framing_that_was_never_lost_by_a_gap_is_lost_for_good() {
        let mut run = Run::default();
        run.data(&mutation(1, 0)).data(b"GET / HTTP/1.1").data(&mutation(2, 0)).gap(Some(5)).data(&mutation(3, 0));
        assert_eq!(run.seen[0], "1");
        assert!(run.seen[1].starts_with("lost: expected a magic"), "{:?}", run.seen);
        assert_eq!(run.seen[2..], ["gap Some(5)", "found 3"]);
    }

    #[test]
    fn the_search_is_bounded() {
        let mut run = Run::default();
        run.gap(None);
        let mut noise = vec![0x80; 1_000_003];
        for _ in 0..5 {
            run.data(&noise);
        }
        assert_eq!(run.seen, ["gap None"]);
        noise.truncate(10);
        run.data(&mutation(5, 9)).data(&mutation(6, 9));
        assert_eq!(run.seen, ["gap None", "found 5", "6"]);
    }
}
