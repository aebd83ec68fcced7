use std::fs::File;
use std::io::BufReader;
use std::io::Cursor;
use std::io::Error;
use std::io::ErrorKind;
use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::CaptureError;
use super::map::Mapped;
use super::zstd;
use super::zstd::Zstd;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const READ_AHEAD: usize = 256 * 1024;

/// Where the bytes of a capture are.
pub(super) enum Input<'r> {
    File(File),
    Reader(Box<dyn Read + 'r>),
}

/// The bytes of a capture file, inflated where it is gzip or zstd (told by its magic bytes, not by a name).
///
/// Records are looked at where they are: in a map of the file, or in one buffer that is filled again and again.
pub(super) struct Source<'r> {
    bytes: Bytes<'r>,
    offset: u64,
    /// The compression whose stream ended before its own end.
    cut: Option<Compression>,
}

enum Bytes<'r> {
    Mapped(Mapped),
    Stream(Stream<'r>),
}

struct Stream<'r> {
    reader: Box<dyn Read + 'r>,
    compression: Option<Compression>,
    buffer: Vec<u8>,
    /// What of `buffer` is filled and not used up.
    from: usize,
    to: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Compression {
    Gzip,
    Zstd,
}

impl<'r> Source<'r> {
    pub(super) fn new(input: Input<'r>) -> Result<Self, Error> {
        let reader: Box<dyn Read + 'r> = match input {
            Input::Reader(reader) => reader,
            Input::File(file) => match Mapped::new(file) {
                Ok(mut mapped) => {
                    let first = mapped.bytes(0, zstd::MAGIC.len())?;
                    if compression(first).is_none() {
                        return Ok(Self { bytes: Bytes::Mapped(mapped), offset: 0, cut: None });
                    }
                    Box::new(mapped.into_file())
                }
                Err(file) => Box::new(file),
            },
        };
        Ok(Self { bytes: Bytes::Stream(Stream::new(reader)?), offset: 0, cut: None })
    }

    /// Where the next byte is, counted after inflating.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next `len` bytes, or as many as there are. A length that the file lies about costs no memory: what is held grows
    /// with what is really there.
    pub(super) fn ahead(&mut self, len: usize) -> Result<&[u8], Error> {
        match &mut self.bytes {
            Bytes::Mapped(mapped) => mapped.bytes(self.offset, len),
            Bytes::Stream(stream) => {
                if stream.to.saturating_sub(stream.from) < len && self.cut.is_none() {
                    self.cut = stream.fill(len)?;
                }
                Ok(stream.held(len))
            }
        }
    }

    /// As [`Source::ahead`], and moves on behind them.
    pub(super) fn take(&mut self, len: usize) -> Result<&[u8], Error> {
        let found = self.ahead(len)?.len();
        let at = self.offset;
        self.offset = at.saturating_add(found as u64);
        match &mut self.bytes {
            Bytes::Mapped(mapped) => mapped.bytes(at, found),
            Bytes::Stream(stream) => {
                let from = stream.from;
                stream.from = from.saturating_add(found);
                Ok(stream.buffer.get(from..stream.from).unwrap_or_default())
            }
        }
    }

    /// What the end of the bytes means: an error where a compressed stream was cut off there.
    pub(super) const fn end(&self) -> Result<(), CaptureError> {
        match self.cut {
            Some(Compression::Gzip) => Err(CaptureError::CutGzip { offset: self.offset }),
            Some(Compression::Zstd) => Err(CaptureError::CutZstd { offset: self.offset }),
            None => Ok(()),
        }
    }
}

impl<'r> Stream<'r> {
    fn new(mut reader: Box<dyn Read + 'r>) -> Result<Self, Error> {
        let mut first = Vec::new();
        reader.by_ref().take(zstd::MAGIC.len() as u64).read_to_end(&mut first)?;
        let compression = compression(&first);
        let replay = Cursor::new(first).chain(reader);
        let reader: Box<dyn Read + 'r> = match compression {
            None => Box::new(replay),
            Some(Compression::Gzip) => Box::new(MultiGzDecoder::new(BufReader::with_capacity(READ_AHEAD, replay))),
            Some(Compression::Zstd) => Box::new(Zstd::new(BufReader::with_capacity(READ_AHEAD, replay))),
        };
        Ok(Self { reader, compression, buffer: vec![0; READ_AHEAD], from: 0, to: 0 })
    }

    fn held(&self, len: usize) -> &[u8] {
        let held = self.buffer.get(self.from..self.to).unwrap_or_default();
        held.get(..len).unwrap_or(held)
    }

    /// Reads until `len` bytes are held, or there are no more; says which compression ended too early.
    fn fill(&mut self, len: usize) -> Result<Option<Compression>, Error> {
        self.buffer.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to.saturating_sub(self.from));
        while self.to < len {
            if self.to == self.buffer.len() {
                self.buffer.resize(self.to.saturating_mul(2), 0);
            }
            match self.reader.read(self.buffer.get_mut(self.to..).unwrap_or_default()) {
                Ok(0) => return Ok(None),
                Ok(read) => self.to = self.to.saturating_add(read),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof && self.compression.is_some() => {
                    return Ok(self.compression);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

fn compression(first: &[u8]) -> Option<Compression> {
    if first.starts_with(&GZIP) {
        return Some(Compression::Gzip);
    }
    // A frame to be skipped, as some tools put in front, has one of 16 magics.
    let skipped = matches!(first, [0x50..=0x5f, 0x2a, 0x4d, 0x18]);
    (first == zstd::MAGIC || skipped).then_some(Compression::Zstd)
}
