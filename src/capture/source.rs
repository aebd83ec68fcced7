use std::io::BufReader;
use std::io::Cursor;
use std::io::Error;
use std::io::ErrorKind;
use std::io::Read;

use flate2::read::MultiGzDecoder;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const READ_AHEAD: usize = 64 * 1024;

/// The bytes of a capture file, inflated where it is gzip (told by its magic bytes, not by a name).
pub(super) struct Source<R> {
    input: Input<R>,
    buffer: Vec<u8>,
    offset: u64,
    gzip_cut: bool,
}

enum Input<R> {
    Plain(BufReader<Replay<R>>),
    Gzip(BufReader<MultiGzDecoder<Replay<R>>>),
}

type Replay<R> = std::io::Chain<Cursor<Vec<u8>>, R>;

impl<R: Read> Source<R> {
    pub(super) fn new(mut reader: R) -> Result<Self, Error> {
        let mut first = Vec::new();
        reader.by_ref().take(GZIP.len() as u64).read_to_end(&mut first)?;
        let gzip = first == GZIP;
        let replay = Cursor::new(first).chain(reader);
        let input = if gzip {
            Input::Gzip(BufReader::with_capacity(READ_AHEAD, MultiGzDecoder::new(replay)))
        } else {
            Input::Plain(BufReader::with_capacity(READ_AHEAD, replay))
        };
        Ok(Self { input, buffer: Vec::new(), offset: 0, gzip_cut: false })
    }

    /// Where the next byte is, counted after inflating.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether a gzip stream ended before its own end.
    pub(super) const fn gzip_cut(&self) -> bool {
        self.gzip_cut
    }

    /// Forgets what was read before and reads `len` bytes, or as many as there are. A length that the file lies about
    /// costs no memory: the buffer grows with what is really there.
    pub(super) fn read(&mut self, len: usize) -> Result<usize, Error> {
        self.buffer.clear();
        self.more(len)
    }

    /// Reads `len` bytes more, and tells how many are held together.
    pub(super) fn more(&mut self, len: usize) -> Result<usize, Error> {
        let before = self.buffer.len();
        let result = match &mut self.input {
            Input::Plain(input) => input.take(len as u64).read_to_end(&mut self.buffer),
            Input::Gzip(input) => input.take(len as u64).read_to_end(&mut self.buffer),
        };
        self.offset = self.offset.saturating_add(self.buffer.len().saturating_sub(before) as u64);
        match result {
            Ok(_) => Ok(self.buffer.len()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof && matches!(self.input, Input::Gzip(_)) => {
                self.gzip_cut = true;
                Ok(self.buffer.len())
            }
            Err(error) => Err(error),
        }
    }

    /// What was read since the last [`Source::read`].
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer
    }
}
