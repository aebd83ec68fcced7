//! The one place of this crate with unsafe code: a file seen through a memory map, so that packets are read where the
//! kernel has them.
//!
//! What is unsafe about it: the bytes may change under the reader, and where another process makes the file shorter,
//! touching what is gone kills this one (SIGBUS). No map is without that. It is kept small: only regular files are mapped,
//! a window at a time, and before each window the file's length is asked for, so that a file that was made shorter before
//! simply ends, and one that grew goes on. What changes inside a window is data like any other: every length is checked
//! against the bytes that are there, after it was read once.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::Error;

use memmap2::Mmap;
use memmap2::MmapOptions;

/// As much of a file is mapped at a time, if no record is longer: memory stays flat, however long the file.
const WINDOW: u64 = 16 * 1024 * 1024;

/// A regular file, seen through a window.
#[derive(Debug)]
pub(super) struct Mapped {
    file: File,
    window: Mmap,
    /// Where in the file the window begins.
    base: u64,
}

impl Mapped {
    /// Maps the front of a file; gives the file back where it must be read instead: it is none of the regular ones, has
    /// nothing to be mapped, or its file system maps no files.
    pub(super) fn new(file: File) -> Result<Self, File> {
        let len = match file.metadata() {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Ok(_) | Err(_) => 0,
        };
        match map(&file, 0, len.min(WINDOW)) {
            Ok(Some(window)) => Ok(Self { file, window, base: 0 }),
            Ok(None) | Err(_) => Err(file),
        }
    }

    /// The `len` bytes at an offset, or as many as the file has there by now.
    pub(super) fn bytes(&mut self, at: u64, len: usize) -> Result<&[u8], Error> {
        if self.part(at, len).len() < len {
            let left = self.file.metadata()?.len().saturating_sub(at);
            let Some(window) = map(&self.file, at, left.min(WINDOW.max(len as u64)))? else { return Ok(&[]) };
            (self.window, self.base) = (window, at);
        }
        Ok(self.part(at, len))
    }

    /// The file itself, which nothing was read from.
    pub(super) fn into_file(self) -> File {
        self.file
    }

    fn part(&self, at: u64, len: usize) -> &[u8] {
        let from = at.checked_sub(self.base).and_then(|from| usize::try_from(from).ok());
        let rest = from.and_then(|from| self.window.get(from..)).unwrap_or_default();
        rest.get(..len).unwrap_or(rest)
    }
}

fn map(file: &File, at: u64, len: u64) -> Result<Option<Mmap>, Error> {
    if len == 0 {
        return Ok(None);
    }
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    // SAFETY: the map is read-only and is only ever seen as bytes, of which any are valid. That they may change or vanish
    // is what the head of this file is about.
    let window = unsafe { MmapOptions::new().offset(at).len(len).map(file) }?;
    #[cfg(unix)]
    window.advise(memmap2::Advice::Sequential).ok();
    Ok(Some(window))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn windows_follow_the_reader_over_a_file_that_grows_and_shrinks() {
        let mut file = tempfile::tempfile().unwrap();
        let byte = |at: u64| (at / 4096 % 251) as u8;
        let content: Vec<u8> = (0..WINDOW + 10_000).map(byte).collect();
        file.write_all(&content).unwrap();
        let mut mapped = Mapped::new(file.try_clone().unwrap()).unwrap();
        for at in [0, 5000, WINDOW - 3, WINDOW + 9_990, 17] {
            let seen = mapped.bytes(at, 10).unwrap().to_vec();
            assert_eq!(seen, (at..at + 10).map(byte).collect::<Vec<_>>(), "{at}");
        }
        assert_eq!(mapped.bytes(WINDOW + 9_990, 30).unwrap().len(), 10, "the end");
        file.write_all(&[7; 20]).unwrap();
        assert_eq!(mapped.bytes(WINDOW + 9_990, 30).unwrap()[10..], [7; 20], "it grew");
        file.set_len(5000).unwrap();
        assert_eq!(mapped.bytes(WINDOW + 20_000, 30).unwrap(), [0; 0], "it was made shorter");
        assert!(mapped.bytes(0, WINDOW as usize * 2).unwrap().len() == 5000, "a piece longer than a window");
    }

    #[test]
    fn what_cannot_be_mapped_is_given_back() {
        assert!(Mapped::new(tempfile::tempfile().unwrap()).is_err(), "an empty file");
        assert!(Mapped::new(File::open(std::env::temp_dir()).unwrap()).is_err(), "a directory");
        #[cfg(unix)]
        assert!(Mapped::new(File::open("/dev/null").unwrap()).is_err(), "a device");
    }
}
