//! The thread that writes a recording: whatever the disk does, the traffic does not wait for it.

use std::io;
use std::io::{ErrorKind, IoSlice, Write};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::TryRecvError;
use std::sync::{Arc, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use super::{Counted, Item, Shared, index};
use crate::capture::write::{About, Gathered, Lost, Record, Recording};

/// What is recorded is on its way to the disk after so long at the latest.
const FLUSH_EVERY: Duration = Duration::from_millis(250);
/// Blocks are gathered up to this size before they are written.
const GATHER: usize = 1024 * 1024;

/// Opens the files of a recording, one after another.
pub(super) trait Files: Send + 'static {
    fn next(&mut self) -> io::Result<(PathBuf, Box<dyn Write + Send>)>;
}

impl<F: FnMut() -> io::Result<(PathBuf, Box<dyn Write + Send>)> + Send + 'static> Files for F {
    fn next(&mut self) -> io::Result<(PathBuf, Box<dyn Write + Send>)> {
        self()
    }
}

/// Writes what is recorded, in a thread of its own.
pub(super) struct Writer {
    shared: Arc<Shared>,
    recording: Recording,
    files: Box<dyn Files>,
    out: Box<dyn Write + Send>,
    rotate: Option<u64>,
    /// Bytes in the file that is written.
    written: u64,
    /// Whole blocks that are to be written.
    blocks: Gathered,
    /// What is in them, by edge.
    gathered: [(u64, u64); 2],
    /// The room that it takes till then.
    taken: usize,
    /// What was lost before this file.
    lost_before: [Lost; 2],
}

impl Writer {
    /// Writes to `out` first, and then to the next of `files` whenever one has as much as `rotate` says.
    pub(super) fn new(
        shared: Arc<Shared>,
        about: About,
        out: Box<dyn Write + Send>,
        files: impl Files,
        rotate: Option<u64>,
    ) -> Self {
        Self {
            shared,
            recording: Recording::new(about),
            files: Box::new(files),
            out,
            rotate,
            written: 0,
            blocks: Gathered::default(),
            gathered: Default::default(),
            taken: 0,
            lost_before: Default::default(),
        }
    }

    /// Writes all that comes, until there will be no more.
    pub(super) fn run(&mut self, items: &mpsc::Receiver<Item>) {
        give_way();
        self.recording.begin(&mut self.blocks);
        self.flush();
        while !self.take(items) && !self.shared.abandoned.load(Ordering::SeqCst) {
            // Woken sooner where much waits.
            thread::park_timeout(FLUSH_EVERY);
        }
        if !self.shared.abandoned.load(Ordering::SeqCst) {
            self.end();
        }
    }

    /// Writes all that waits; tells whether there will be no more.
    fn take(&mut self, items: &mpsc::Receiver<Item>) -> bool {
        let is_over = loop {
            match items.try_recv() {
                Ok(Item::Record(record)) => self.write(&record),
                Ok(Item::Secrets(line)) => {
                    self.recording.secrets(&line, &mut self.blocks);
                    self.taken += line.len();
                }
                Err(TryRecvError::Empty) => break false,
                Ok(Item::End) | Err(TryRecvError::Disconnected) => break true,
            }
            if self.blocks.len() >= GATHER {
                self.flush();
            }
            if self.shared.abandoned.load(Ordering::SeqCst) {
                return true;
            }
        };
        self.flush();
        is_over
    }

    fn write(&mut self, record: &Record) {
        self.taken += record.cost();
        if self.shared.failed.load(Ordering::SeqCst) {
            return self.shared.lose(record);
        }
        let file_len = self.written.saturating_add(self.blocks.len() as u64);
        if self.rotate.is_some_and(|most| file_len >= most) {
            self.next_file();
        }
        self.recording.record(record, &mut self.blocks);
        let (frames, bytes) = record.size();
        let gathered = &mut self.gathered[index(record.edge)];
        *gathered = (gathered.0 + frames, gathered.1 + bytes);
    }

    fn next_file(&mut self) {
        self.end();
        match self.files.next() {
            Ok((path, out)) => {
                self.shared.files.lock().unwrap_or_else(PoisonError::into_inner).push(path);
                self.out = out;
                self.written = 0;
                self.recording.begin(&mut self.blocks);
            }
            Err(error) => self.shared.fail(format!("cannot write the recording's next file: {error}")),
        }
    }

    fn end(&mut self) {
        let lost = self.shared.lost.each_ref().map(Counted::load);
        let since = [0, 1].map(|edge: usize| Lost {
            frames: lost[edge].frames.saturating_sub(self.lost_before[edge].frames),
            bytes: lost[edge].bytes.saturating_sub(self.lost_before[edge].bytes),
        });
        self.lost_before = lost;
        self.recording.end(since, &mut self.blocks);
        self.flush();
    }

    /// Writes what has been gathered: whole blocks, so that a file is never left inside one but by a kill in the middle of
    /// this.
    fn flush(&mut self) {
        let gathered = std::mem::take(&mut self.gathered);
        let written = if self.blocks.is_empty() || self.shared.failed.load(Ordering::SeqCst) {
            Ok(())
        } else {
            write_all(&mut *self.out, &mut self.blocks.slices()).and_then(|()| self.out.flush())
        };
        match written {
            Ok(()) => {
                self.written = self.written.saturating_add(self.blocks.len() as u64);
                for (count, gathered) in self.shared.written.iter().zip(gathered) {
                    count.add(gathered);
                }
            }
            Err(error) => {
                for (count, gathered) in self.shared.lost.iter().zip(gathered) {
                    count.add(gathered);
                }
                let files = self.shared.files.lock().unwrap_or_else(PoisonError::into_inner);
                let path = files.last().map(|path| path.display().to_string()).unwrap_or_default();
                drop(files);
                self.shared.fail(format!("cannot write the recording {path}: {error}"));
            }
        }
        self.blocks.clear();
        self.shared.waiting.fetch_sub(std::mem::take(&mut self.taken), Ordering::SeqCst);
    }
}

/// Writes pieces one after another, many at once.
fn write_all(out: &mut (impl Write + ?Sized), mut pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut pieces, 0);
    while !pieces.is_empty() {
        match out.write_vectored(pieces) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut pieces, written),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Lets the traffic go first where all processors are busy: this thread has a quarter of one then, or less. So a recording costs
/// the traffic little, and may lose something instead, which is counted.
#[cfg(target_os = "linux")]
fn give_way() {
    // Of Linux's threads each has a niceness of its own; at 5 its weight is a third of that at 0.
    if let Err(error) = rustix::process::nice(5) {
        tracing::debug!(%error, "the recorder's niceness is not raised");
    }
}

/// Elsewhere a niceness is that of the whole process.
#[cfg(not(target_os = "linux"))]
const fn give_way() {}
