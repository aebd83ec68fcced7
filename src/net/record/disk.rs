//! The file of a recording.

use std::fs::File;
use std::io;
use std::io::{IoSlice, Write};
use std::path::Path;

use direct::Direct;

/// A file that is written from its beginning to its end. What is little goes through the system's page cache. Where much is
/// written it goes whichever way is faster: through the cache, which takes a burst at once, or past it to the disk, once the
/// cache is full and waits for the disk itself, for several times the processor's time, which is the traffic's.
#[derive(Debug)]
pub(super) struct Disk {
    file: File,
    /// Bytes that it has.
    len: u64,
    direct: Option<Direct>,
}

impl Disk {
    /// An empty file; where it has to be `fresh` there must be none yet.
    pub(super) fn create(path: &Path, fresh: bool) -> io::Result<Self> {
        let file = if fresh { File::create_new(path)? } else { File::create(path)? };
        let direct = Direct::of(&file);
        Ok(Self { file, len: 0, direct })
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = match &mut self.direct {
            Some(direct) => direct.write(&self.file, self.len, pieces)?,
            None => self.file.write_vectored(pieces)?,
        };
        self.len = self.len.saturating_add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(target_os = "linux")]
mod direct {
    use std::fs::File;
    use std::io;
    use std::io::{ErrorKind, IoSlice, Write};
    use std::time::{Duration, Instant};

    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};

    /// What goes past the cache begins and ends at places in the file, and in memory, that this divides.
    const ALIGN: usize = 4096;
    /// The most that is written at once.
    const MOST: usize = 1024 * 1024;
    /// Less than that is not worth waiting for the disk.
    const LEAST: usize = 64 * 1024;

    /// How a file is written past the cache.
    #[derive(Debug)]
    pub(super) struct Direct {
        /// Room for [`MOST`] bytes from the first place in it that is aligned; none yet.
        room: Vec<u8>,
        pace: Pace,
    }

    impl Direct {
        /// `None` where the system does not offer that for a file, where there is no disk below it, or where it is a pipe, a
        /// terminal.
        pub(super) fn of(file: &File) -> Option<Self> {
            let is_on_disk = fstatfs(file).is_ok_and(|about| about.filesystem_type() != TMPFS_MAGIC);
            let is_file = is_on_disk && file.metadata().is_ok_and(|about| about.is_file());
            let offers = || switch(file, true).and_then(|()| switch(file, false)).is_ok();
            (is_file && offers()).then(|| Self { room: Vec::new(), pace: Pace::default() })
        }

        /// Writes what pieces begin with to a file that has `len` bytes, one way or the other.
        pub(super) fn write(&mut self, file: &File, len: u64, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
            let all: usize = pieces.iter().map(|piece| piece.len()).sum();
            let mut cached = file;
            if all < LEAST {
                return cached.write_vectored(pieces);
            }
            let began = Instant::now();
            if !self.pace.wants_direct() {
                let written = cached.write_vectored(pieces)?;
                self.pace.cached(written, began.elapsed());
                return Ok(written);
            }
            // Up to the next place that is aligned what is written is little.
            let lead = (ALIGN - (len % ALIGN as u64) as usize) % ALIGN;
            if lead > 0 {
                let first = pieces.iter().find(|piece| !piece.is_empty()).map_or(&[][..], |piece| piece);
                return cached.write(first.get(..lead).unwrap_or(first));
            }
            match past_cache(file, self.gather(pieces)) {
                Ok(written) => {
                    self.pace.direct(written, began.elapsed());
                    Ok(written)
                }
                // What the system offers a filesystem may have refused, or begin to refuse.
                Err(error) if error.kind() == ErrorKind::InvalidInput => {
                    self.pace.give_up();
                    cached.write_vectored(pieces)
                }
                Err(error) => Err(error),
            }
        }

        /// Has the cache be slow.
        #[cfg(test)]
        pub(super) const fn prefer(&mut self) {
            (self.pace.direct, self.pace.cached) = (Some(1.0), Some(0.0));
        }

        /// Whether the system has refused a write past the cache.
        #[cfg(test)]
        pub(super) const fn was_refused(&self) -> bool {
            self.pace.refused
        }

        /// Copies what pieces begin with to a place that is aligned, a length that is.
        fn gather(&mut self, pieces: &[IoSlice<'_>]) -> &[u8] {
            self.room.resize(MOST + ALIGN, 0);
            let start = self.room.as_ptr().align_offset(ALIGN);
            let room = self.room.get_mut(start..).unwrap_or_default();
            let mut filled = 0;
            for piece in pieces {
                let len = piece.len().min(MOST - filled);
                room[filled..filled + len].copy_from_slice(&piece[..len]);
                filled += len;
            }
            &room[..filled - filled % ALIGN]
        }
    }

    fn past_cache(file: &File, bytes: &[u8]) -> io::Result<usize> {
        switch(file, true)?;
        let mut out = file;
        let written = out.write(bytes);
        switch(file, false)?;
        written
    }

    /// Whether what is written to a file goes past the cache.
    fn switch(file: &File, past_cache: bool) -> io::Result<()> {
        let mut flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
        flags.set(OFlag::O_DIRECT, past_cache);
        fcntl(file, FcntlArg::F_SETFL(flags))?;
        Ok(())
    }

    /// How fast each way has been of late, in bytes a second; none where it is not known yet.
    #[derive(Debug, Default)]
    pub(super) struct Pace {
        direct: Option<f64>,
        cached: Option<f64>,
        /// Bytes written since the slower way was tried.
        since: usize,
        /// The system does not let it.
        refused: bool,
    }

    impl Pace {
        /// So seldom, in bytes, it is looked whether the other way is the faster one now.
        const LOOK_EVERY: usize = 32 * 1024 * 1024;
        /// The part of the newest in what is known.
        const NEW: f64 = 0.125;

        fn wants_direct(&self) -> bool {
            let (Some(direct), Some(cached)) = (self.direct, self.cached) else {
                return !self.refused && self.direct.is_none();
            };
            !self.refused && (direct >= cached) != (self.since >= Self::LOOK_EVERY)
        }

        fn direct(&mut self, bytes: usize, took: Duration) {
            self.wrote(bytes);
            Self::know(&mut self.direct, bytes, took);
        }

        fn cached(&mut self, bytes: usize, took: Duration) {
            self.wrote(bytes);
            Self::know(&mut self.cached, bytes, took);
        }

        const fn give_up(&mut self) {
            self.refused = true;
        }

        fn wrote(&mut self, bytes: usize) {
            self.since = if self.since >= Self::LOOK_EVERY { 0 } else { self.since + bytes };
        }

        fn know(speed: &mut Option<f64>, bytes: usize, took: Duration) {
            let new = bytes as f64 / took.as_secs_f64().max(1e-9);
            *speed = Some(speed.map_or(new, |old| old + (new - old) * Self::NEW));
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        const MIB: usize = 1024 * 1024;

        /// Writes so many MiB, each as its way takes micros. Returns how many went past the cache.
        fn written(pace: &mut Pace, mib: usize, direct: u64, cached: u64) -> usize {
            let mut past_cache = 0;
            for _ in 0..mib {
                if pace.wants_direct() {
                    past_cache += 1;
                    pace.direct(MIB, Duration::from_micros(direct));
                } else {
                    pace.cached(MIB, Duration::from_micros(cached));
                }
            }
            past_cache
        }

        #[test]
        fn the_faster_way_is_taken_and_the_other_tried_now_and_then() {
            let mut pace = Pace::default();
            let few = written(&mut pace, 330, 1_000, 600);
            assert!((2..15).contains(&few), "the cache takes all: {few}");
            // The cache is full, and waits for the disk.
            written(&mut pace, 330, 1_000, 4_000);
            let most = written(&mut pace, 330, 1_000, 4_000);
            assert!((315..330).contains(&most), "{most}");
            // The disk is slow.
            written(&mut pace, 330, 8_000, 4_000);
            let few = written(&mut pace, 330, 8_000, 4_000);
            assert!((1..15).contains(&few), "{few}");
            pace.give_up();
            assert_eq!(written(&mut pace, 330, 1, 600), 0);
        }

        #[test]
        fn what_is_no_file_on_a_disk_is_not_written_so() {
            assert!(Direct::of(&File::create("/dev/null").expect("it is there")).is_none());
            if let Ok(in_memory) = tempfile::tempfile_in("/dev/shm") {
                assert!(Direct::of(&in_memory).is_none());
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod direct {
    use std::fs::File;
    use std::io;
    use std::io::IoSlice;

    /// There is no such way.
    #[derive(Debug)]
    pub(super) enum Direct {}

    impl Direct {
        pub(super) const fn of(_: &File) -> Option<Self> {
            None
        }

        pub(super) const fn write(&mut self, _: &File, _: u64, _: &[IoSlice<'_>]) -> io::Result<usize> {
            match *self {}
        }

        #[cfg(test)]
        pub(super) const fn prefer(&mut self) {
            match *self {}
        }

        #[cfg(test)]
        pub(super) const fn was_refused(&self) -> bool {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_all(disk: &mut Disk, mut bytes: &[u8], dice: &mut fastrand::Rng) {
        while !bytes.is_empty() {
            // Each in pieces of all lengths, empty ones among them.
            let mut cuts: Vec<_> = (0..dice.usize(0..4)).map(|_| dice.usize(0..=bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| IoSlice::new(&bytes[cut[0]..cut[1]])).collect();
            let written = disk.write_vectored(&pieces).expect("the disk has room");
            assert!(written > 0);
            bytes = &bytes[written..];
        }
    }

    #[test]
    fn a_file_is_what_was_written_whichever_way_it_went() {
        let dir = tempfile::tempdir().expect("a directory");
        for seed in 0..12 {
            let mut dice = fastrand::Rng::with_seed(seed);
            let path = dir.path().join(seed.to_string());
            let mut disk = Disk::create(&path, true).expect("created");
            match seed % 3 {
                0 => disk.direct = None,
                1 => disk.direct.iter_mut().for_each(Direct::prefer),
                _ => {}
            }
            let mut all = vec![7; 1 << 20];
            write_all(&mut disk, &all, &mut dice);
            let refused = |disk: &Disk| disk.direct.as_ref().is_some_and(Direct::was_refused);
            // Some filesystems take none such, not even at their beginning.
            let takes_none = refused(&disk);
            for _ in 0..20 {
                let most = [100, 10_000, 300_000, 2_000_000][dice.usize(0..4)];
                let len = if dice.bool() { most / 4096 * 4096 } else { dice.usize(1..most) };
                let bytes: Vec<u8> = std::iter::repeat_with(|| dice.u8(..)).take(len).collect();
                write_all(&mut disk, &bytes, &mut dice);
                all.extend(bytes);
                assert_eq!(disk.len, all.len() as u64);
                assert!(std::fs::read(&path).expect("it is there") == all, "seed {seed}, {} bytes", all.len());
            }
            assert!(takes_none || !refused(&disk), "seed {seed}: what went past the cache was not aligned");
            assert!(Disk::create(&path, true).is_err(), "it is there already");
        }
    }
}
