use super::Frame;
use super::FramingError;
use super::HEADER_LEN;
use super::Header;

/// The longest frame that is believed: 30 MiB, header included (`max_packet_size`); a longer one is lost framing.
pub const MAX_FRAME_LEN: usize = 30 * 1024 * 1024;

/// What a deframer makes of the bytes of one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece<'a> {
    /// A whole frame, or the head of one that is longer than the limit; its value then follows as [`Piece::Value`].
    Frame(Frame<'a>),
    /// Some bytes of the value of the frame before.
    Value {
        /// The bytes.
        bytes: &'a [u8],
        /// Whether the value ends with them.
        last: bool,
    },
    /// Bytes that are in no frame: framing is lost, for good.
    Raw {
        /// The bytes.
        bytes: &'a [u8],
        /// Why they are not a frame.
        error: FramingError,
    },
}

#[derive(Clone, Copy, Debug)]
enum State {
    Framing,
    InValue(u64),
    Lost(FramingError),
}

/// Room for parts of frames that is kept though there is none.
const KEPT: usize = 8 * 1024;

/// Cuts the bytes of one direction into frames, however they arrive.
///
/// What it yields depends on the bytes alone, not on where they were cut, but for the pieces of a long value. It keeps
/// at most `whole_limit` bytes, one head (under 66 KiB) where that is more, or what [`Self::next_with`] is told.
#[derive(Debug)]
pub struct Deframer {
    whole_limit: u64,
    state: State,
    partial: Vec<u8>,
    done: usize,
}

impl Deframer {
    /// A deframer that yields frames of up to `whole_limit` bytes whole, and the longer ones in pieces.
    pub const fn new(whole_limit: usize) -> Self {
        Self { whole_limit: whole_limit as u64, state: State::Framing, partial: Vec::new(), done: 0 }
    }

    /// The next piece; `input` is moved past what was taken. `None` when `input` is used up.
    ///
    /// ```
    /// # use dcproxy::wire::{Deframer, FrameBuilder, Opcode, Piece};
    /// let bytes = FrameBuilder::request(Opcode::NOOP).build();
    /// let mut deframer = Deframer::new(1024);
    /// let mut input = &bytes[..10];
    /// assert!(deframer.next(&mut input).is_none());
    /// let mut input = &bytes[10..];
    /// assert!(matches!(deframer.next(&mut input), Some(Piece::Frame(f)) if f.bytes() == bytes));
    /// ```
    pub fn next<'a, 'b: 'a>(&'a mut self, input: &mut &'b [u8]) -> Option<Piece<'a>> {
        self.next_with(input, |_| None)
    }

    /// As [`Self::next`]; a frame for whose header `limit` names a length is whole up to that length instead.
    #[inline]
    pub fn next_with<'a, 'b: 'a>(
        &'a mut self,
        input: &mut &'b [u8],
        limit: impl Fn(&Header) -> Option<usize>,
    ) -> Option<Piece<'a>> {
        if self.done > 0 {
            self.partial.drain(..self.done);
            self.done = 0;
            if self.partial.is_empty() && self.partial.capacity() > KEPT {
                self.partial = Vec::new();
            }
        }
        match self.state {
            State::Lost(error) => (!input.is_empty()).then(|| Piece::Raw { bytes: std::mem::take(input), error }),
            State::InValue(left) => {
                if input.is_empty() {
                    return None;
                }
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                let (bytes, rest) = input.split_at_checked(len)?;
                *input = rest;
                let left = left.saturating_sub(len as u64);
                self.state = if left == 0 { State::Framing } else { State::InValue(left) };
                Some(Piece::Value { bytes, last: left == 0 })
            }
            State::Framing => self.frame(input, limit),
        }
    }

    /// The bytes kept of a frame that is not complete yet.
    pub fn partial(&self) -> &[u8] {
        self.partial.get(self.done..).unwrap_or_default()
    }

    /// Whether the bytes so far end between two frames.
    pub fn at_boundary(&self) -> bool {
        self.partial().is_empty() && matches!(self.state, State::Framing)
    }

    /// Bytes of the current frame's value that are still to come, where it is passed on in pieces.
    pub const fn value_left(&self) -> u64 {
        match self.state {
            State::InValue(left) => left,
            State::Framing | State::Lost(_) => 0,
        }
    }

    #[inline]
    fn frame<'a, 'b: 'a>(
        &'a mut self,
        input: &mut &'b [u8],
        limit: impl Fn(&Header) -> Option<usize>,
    ) -> Option<Piece<'a>> {
        if self.partial.is_empty() {
            let bytes: &'b [u8] = input;
            match self.wanted(bytes, &limit) {
                Ok(len) if len <= bytes.len() && !bytes.is_empty() => {
                    let (taken, rest) = bytes.split_at_checked(len)?;
                    *input = rest;
                    return Self::emit(&mut self.state, taken);
                }
                Ok(_) => {}
                Err(error) => {
                    *input = &[];
                    return self.lose(bytes, error);
                }
            }
        }
        loop {
            let wanted = self.wanted(&self.partial, &limit);
            match wanted.map(|len| self.whole_where_kept(len)) {
                Ok(len) if len <= self.partial.len() => {
                    self.done = len;
                    return Self::emit(&mut self.state, self.partial.get(..len)?);
                }
                Ok(len) => {
                    if input.is_empty() {
                        return None;
                    }
                    let missing = len.saturating_sub(self.partial.len()).min(input.len());
                    let (taken, rest) = input.split_at_checked(missing)?;
                    self.partial.extend_from_slice(taken);
                    *input = rest;
                }
                Err(error) => {
                    self.done = self.partial.len();
                    self.state = State::Lost(error);
                    return Some(Piece::Raw { bytes: &self.partial, error });
                }
            }
        }
    }

    /// How many bytes are needed to go on: the header, then the head or the whole frame.
    #[inline]
    fn wanted(&self, bytes: &[u8], limit: &impl Fn(&Header) -> Option<usize>) -> Result<usize, FramingError> {
        if let Some(&magic) = bytes.first()
            && !super::Magic(magic).is_known()
        {
            return Err(FramingError::Magic(super::Magic(magic)));
        }
        let Ok(header) = Header::parse_slice(bytes) else { return Ok(HEADER_LEN) };
        header.check()?;
        let is_whole = header.frame_len() <= self.whole_limit
            || limit(&header).is_some_and(|limit| header.frame_len() <= limit as u64);
        if is_whole { Ok(usize::try_from(header.frame_len()).unwrap_or(usize::MAX)) } else { Ok(header.head_len()) }
    }

    /// A frame that has been kept beyond its head, by a limit that is there no more, is whole all the same.
    #[inline]
    fn whole_where_kept(&self, wanted: usize) -> usize {
        if wanted >= self.partial.len() {
            return wanted;
        }
        let whole = Header::parse_slice(&self.partial).map(|header| header.frame_len());
        whole.map_or(wanted, |len| usize::try_from(len).unwrap_or(usize::MAX))
    }

    #[inline]
    fn emit<'s>(state: &mut State, bytes: &'s [u8]) -> Option<Piece<'s>> {
        let frame = Frame::new(bytes).ok()?;
        if !frame.is_whole() {
            *state = State::InValue(frame.header().value_len().into());
        }
        Some(Piece::Frame(frame))
    }

    fn lose<'s>(&mut self, bytes: &'s [u8], error: FramingError) -> Option<Piece<'s>> {
        self.state = State::Lost(error);
        Some(Piece::Raw { bytes, error })
    }
}

#[cfg(test)]
mod tests {
    use super::super::FrameBuilder;
    use super::super::Magic;
    use super::super::Opcode;
    use super::*;

    #[derive(PartialEq, Debug)]
    enum Seen {
        Frame(Vec<u8>),
        Value(usize),
        Raw(usize),
    }

    fn run(limit: usize, chunks: &[&[u8]]) -> (Vec<Seen>, Vec<u8>) {
        let mut deframer = Deframer::new(limit);
        let mut seen: Vec<Seen> = Vec::new();
        let mut bytes_out = Vec::new();
        for &chunk in chunks {
            let mut input = chunk;
            while let Some(piece) = deframer.next(&mut input) {
                match piece {
                    Piece::Frame(f) => {
                        bytes_out.extend_from_slice(f.bytes());
                        seen.push(Seen::Frame(f.bytes().to_vec()));
                    }
                    Piece::Value { bytes, .. } => {
                        bytes_out.extend_from_slice(bytes);
                        match seen.last_mut() {
                            Some(Seen::Value(n)) => *n = n.saturating_add(bytes.len()),
                            _ => seen.push(Seen::Value(bytes.len())),
                        }
                    }
                    Piece::Raw { bytes, .. } => {
                        bytes_out.extend_from_slice(bytes);
                        match seen.last_mut() {
                            Some(Seen::Raw(n)) => *n = n.saturating_add(bytes.len()),
                            _ => seen.push(Seen::Raw(bytes.len())),
                        }
                    }
                }
            }
        }
        bytes_out.extend_from_slice(deframer.partial());
        (seen, bytes_out)
    }

    fn sample() -> Vec<u8> {
        let mut bytes = FrameBuilder::request(Opcode::NOOP).build().to_vec();
        bytes.extend(FrameBuilder::request(Opcode::SET).key(*b"k").extras([0; 8]).value(vec![7; 300]).build());
        bytes.extend(FrameBuilder::request(Opcode::DCP_NOOP).build());
        bytes
    }

    #[test]
    fn one_byte_at_a_time_is_the_same_as_all_at_once() {
        let mut bytes = sample();
        bytes.extend([0x80, 0x57, 0, 1]);
        for limit in [100, 1000] {
            let whole = run(limit, &[&bytes]);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(run(limit, &single), whole);
            assert_eq!(whole.1, bytes, "no byte is lost");
            assert_eq!(whole.0.len(), if limit == 100 { 4 } else { 3 });
        }
    }

    #[test]
    fn a_chosen_frame_is_whole_beyond_the_limit_however_it_is_cut() {
        let bytes = sample();
        let is_set = |header: &Header| (header.opcode == Opcode::SET).then_some(400);
        for (size, most) in [(1, 400), (7, 400), (1000, 400), (7, 300)] {
            let mut deframer = Deframer::new(100);
            let mut whole = Vec::new();
            for mut chunk in bytes.chunks(size) {
                let limit = |header: &Header| is_set(header).map(|limit: usize| limit.min(most));
                while let Some(piece) = deframer.next_with(&mut chunk, limit) {
                    if let Piece::Frame(frame) = piece {
                        whole.push(frame.is_whole());
                    }
                }
            }
            assert_eq!(whole, [true, most == 400, true], "in pieces of {size}, at most {most}");
            assert!(deframer.at_boundary());
        }
    }

    #[test]
    fn a_frame_that_is_being_kept_whole_is_whole_though_nobody_asks_for_it_any_more() {
        let bytes = sample();
        for asked_for in 0..bytes.len() {
            let mut deframer = Deframer::new(100);
            let mut out = Vec::new();
            for (at, mut chunk) in bytes.chunks(1).enumerate() {
                let limit = |_: &Header| (at < asked_for).then_some(400);
                while let Some(piece) = deframer.next_with(&mut chunk, limit) {
                    match piece {
                        Piece::Frame(frame) => out.extend_from_slice(frame.bytes()),
                        Piece::Value { bytes, .. } | Piece::Raw { bytes, .. } => out.extend_from_slice(bytes),
                    }
                }
            }
            assert!(out == bytes && deframer.at_boundary(), "asked for up to byte {asked_for}");
        }
    }

    #[test]
    fn lost_framing_gives_the_bytes_all_the_same() {
        let mut bytes = sample();
        bytes.push(0x79);
        bytes.extend([0; 40]);
        let (seen, out) = run(1000, &bytes.chunks(7).collect::<Vec<_>>());
        assert_eq!(seen.last(), Some(&Seen::Raw(41)));
        assert_eq!(out, bytes);
        assert_eq!(Magic(0x79).to_string(), "0x79");
    }
}
