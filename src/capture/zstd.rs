use std::io::Error;
use std::io::ErrorKind;
use std::io::Read;

use ruzstd::decoding::BlockDecodingStrategy;
use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::errors::ReadFrameHeaderError;

/// What a zstd frame begins with.
pub(super) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The largest window that is believed: as much memory is needed to inflate, and zstd itself takes no more unless told to.
const MAX_WINDOW: u64 = 128 * 1024 * 1024;

/// Inflates zstd frames, one after the other, up to the end of its source.
///
/// An error of kind [`ErrorKind::UnexpectedEof`] means that the source ends too early, one of [`ErrorKind::InvalidData`]
/// that what it says cannot be inflated.
pub(super) struct Zstd<R> {
    source: Watched<R>,
    decoder: FrameDecoder,
    in_frame: bool,
}

/// Remembers whether the end of a source was met.
struct Watched<R> {
    source: R,
    read: u64,
    ended: bool,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize, Error> {
        let len = self.source.read(to)?;
        self.ended |= len == 0 && !to.is_empty();
        self.read = self.read.saturating_add(len as u64);
        Ok(len)
    }
}

impl<R: Read> Zstd<R> {
    /// `source` is read in small pieces: it is to be buffered.
    pub(super) fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW);
        Self { source: Watched { source, read: 0, ended: false }, decoder, in_frame: false }
    }

    /// Begins the next frame, or passes over one that is to be skipped; false where there is none.
    fn begin(&mut self) -> Result<bool, Error> {
        let before = self.source.read;
        match self.decoder.reset(&mut self.source) {
            Ok(()) => {
                self.in_frame = true;
                Ok(true)
            }
            Err(_) if self.source.ended && self.source.read == before => Ok(false),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                let mut skipped = self.source.by_ref().take(length.into());
                std::io::copy(&mut skipped, &mut std::io::sink())?;
                if skipped.limit() > 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                Ok(true)
            }
            Err(FrameDecoderError::WindowSizeTooBig { requested, max }) => Err(damaged(&format!(
                "expected a window of at most {max} bytes, found one of {requested}: inflate it with zstd --long first"
            ))),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Blocks until there is something to hand on, or the frame ends.
    fn inflate(&mut self) -> Result<(), Error> {
        while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
            let one = BlockDecodingStrategy::UptoBlocks(1);
            if let Err(error) = self.decoder.decode_blocks(&mut self.source, one) {
                return Err(self.failed(&error));
            }
        }
        Ok(())
    }

    fn failed(&self, error: &FrameDecoderError) -> Error {
        if self.source.ended { ErrorKind::UnexpectedEof.into() } else { damaged(&error.to_string()) }
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize, Error> {
        loop {
            if !self.in_frame {
                if !self.begin()? {
                    return Ok(0);
                }
                continue;
            }
            self.inflate()?;
            let len = self.decoder.read(to)?;
            if len > 0 || to.is_empty() {
                return Ok(len);
            }
            self.in_frame = false;
            let (said, found) = (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum());
            if let (Some(said), Some(found)) = (said, found)
                && said != found
            {
                return Err(damaged(&format!("expected a check sum of {said:08x}, found {found:08x}")));
            }
        }
    }
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("the zstd stream is damaged: {what}"))
}
