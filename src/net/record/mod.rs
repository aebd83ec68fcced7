mod disk;
mod writer;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::thread::Thread;
use std::time::Duration;

use disk::Disk;
use writer::{Files, Writer};

use crate::capture::write::{About, Lost, Queue, Record};
use crate::journal::Side;
use crate::net::meter::Recorded;
use crate::report;

/// Once so much waits the writer is woken: not for each record, as waking costs the traffic more than all else does.
const WAKE_AT: usize = 256 * 1024;

/// Writes what the connections of a proxy record, in a thread of its own: the traffic never waits for the disk. What does
/// not fit its queue, or the disk, is counted.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    sender: mpsc::Sender<Item>,
    writer: Thread,
    done: mpsc::Receiver<()>,
}

/// Where a recording goes, and what it is to be.
#[derive(Clone, Debug, Default)]
pub struct RecorderOptions {
    /// The file; with `rotate` the names of the files are made of it: `run.pcapng` becomes `run_00001.pcapng` and so on.
    pub path: PathBuf,
    /// Begin another file once one has so many bytes.
    pub rotate: Option<u64>,
    /// A file that is there already is never written over.
    pub fresh: bool,
    /// What it says of itself, and what it leaves out. The secret of the redaction is chosen here.
    pub about: About,
    /// What it may use.
    pub limits: RecorderLimits,
}

/// What a recorder may use.
#[derive(Clone, Copy, Debug)]
pub struct RecorderLimits {
    /// Bytes that may wait for the disk, about.
    pub waiting: usize,
    /// How long the end of a run waits for the disk to take what is left.
    pub end_within: Duration,
}

impl Default for RecorderLimits {
    fn default() -> Self {
        Self { waiting: 64 * 1024 * 1024, end_within: Duration::from_secs(10) }
    }
}

/// A recording cannot be begun.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the recording {}: {error}", path.display())]
pub struct RecordError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub error: io::Error,
}

/// What is written.
#[expect(clippy::large_enum_variant, reason = "nearly all are records")]
enum Item {
    Record(Record),
    /// A line of a key log.
    Secrets(String),
    /// There will be no more.
    End,
}

/// Takes the secrets of TLS connections into a recording, as lines of a key log.
#[derive(Clone, Debug)]
pub struct SecretsTape {
    shared: Arc<Shared>,
    sender: mpsc::Sender<Item>,
}

impl SecretsTape {
    /// Takes a line, if there is room for it and the recording has not ended.
    pub(super) fn put(&self, line: String) {
        let cost = line.len();
        if self.shared.take_room(cost).is_some() && self.sender.send(Item::Secrets(line)).is_err() {
            self.shared.waiting.fetch_sub(cost, Ordering::SeqCst);
        }
    }
}

/// What became so far of what was to be recorded.
#[derive(Clone, Debug)]
pub struct Losses {
    shared: Arc<Shared>,
}

impl Losses {
    /// As it is now.
    pub fn recorded(&self) -> Recorded {
        let (written, lost) = (total(&self.shared.written), total(&self.shared.lost));
        Recorded {
            frames: written.frames,
            bytes: written.bytes,
            lost_frames: lost.frames,
            lost_bytes: lost.bytes,
            waiting: self.shared.waiting.load(Ordering::SeqCst) as u64,
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicUsize,
    limits: RecorderLimits,
    /// What was to be recorded, what is written, and what is known not to be, by edge.
    offered: [Counted; 2],
    written: [Counted; 2],
    lost: [Counted; 2],
    /// What the disk refused, and where it was to go.
    failed: AtomicBool,
    error: Mutex<Option<String>>,
    files: Mutex<Vec<PathBuf>>,
    /// Nobody waits for the disk any more.
    abandoned: AtomicBool,
}

#[derive(Debug, Default)]
struct Counted {
    frames: AtomicU64,
    bytes: AtomicU64,
}

impl Recorder {
    /// Creates the first file, and starts to write.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn start(options: RecorderOptions) -> Result<Self, RecordError> {
        let RecorderOptions { path, rotate, fresh, mut about, limits } = options;
        about.redaction.secret = RandomState::new().build_hasher().finish();
        let mut count = 0;
        let named = path.clone();
        let files = move || {
            count += 1;
            let path = if rotate.is_some() { numbered(&named, count) } else { named.clone() };
            let disk = Disk::create(&path, fresh)?;
            Ok((path, Box::new(disk) as Box<dyn Write + Send>))
        };
        Self::write_to(files, rotate, about, limits).map_err(|error| RecordError { path, error })
    }

    fn write_to(mut files: impl Files, rotate: Option<u64>, about: About, limits: RecorderLimits) -> io::Result<Self> {
        let (path, out) = files.next()?;
        let shared = Arc::new(Shared { limits, files: Mutex::new(vec![path]), ..Shared::default() });
        let (sender, items) = mpsc::channel();
        let (tell_done, done) = mpsc::channel();
        let mut writer = Writer::new(Arc::clone(&shared), about, out, files, rotate);
        let thread = thread::Builder::new().name("recorder".to_owned()).spawn(move || {
            writer.run(&items);
            tell_done.send(()).ok();
        })?;
        Ok(Self { shared, sender, writer: thread.thread().clone(), done })
    }

    /// The files so far, in order.
    pub fn files(&self) -> Vec<String> {
        let files = self.shared.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.iter().map(|path| path.display().to_string()).collect()
    }

    /// What a connection records through.
    pub fn queue(&self) -> Box<dyn Queue> {
        let (sender, writer) = (self.sender.clone(), self.writer.clone());
        Box::new(Sender { shared: Arc::clone(&self.shared), sender, writer })
    }

    /// What is written and what is lost, for whoever asks while it goes on and afterwards.
    pub fn losses(&self) -> Losses {
        Losses { shared: Arc::clone(&self.shared) }
    }

    /// Where the secrets of TLS connections are recorded, until the recording ends.
    pub fn secrets(&self) -> SecretsTape {
        SecretsTape { shared: Arc::clone(&self.shared), sender: self.sender.clone() }
    }

    /// Ends the recording, once all connections have ended, and tells what became of it.
    pub fn finish(self) -> report::Recording {
        let Self { shared, sender, writer, done } = self;
        // Who might record secrets may still be there.
        let _ = sender.send(Item::End);
        writer.unpark();
        if let Err(RecvTimeoutError::Timeout) = done.recv_timeout(shared.limits.end_within) {
            shared.abandoned.store(true, Ordering::SeqCst);
            let within = shared.limits.end_within.as_secs_f32();
            shared.fail(format!("the disk has not taken the rest of the recording within {within} s"));
        }
        let (offered, written) = (total(&shared.offered), total(&shared.written));
        let files = shared.files.lock().unwrap_or_else(PoisonError::into_inner);
        report::Recording {
            files: files.iter().map(|path| path.display().to_string()).collect(),
            frames: written.frames,
            lost_frames: offered.frames.saturating_sub(written.frames),
            lost_bytes: offered.bytes.saturating_sub(written.bytes),
            error: shared.error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

const fn index(edge: Side) -> usize {
    match edge {
        Side::Dialler => 0,
        Side::Upstream => 1,
    }
}

fn total(counts: &[Counted; 2]) -> Lost {
    let [dialler, upstream] = counts.each_ref().map(Counted::load);
    Lost { frames: dialler.frames + upstream.frames, bytes: dialler.bytes + upstream.bytes }
}

/// `run.pcapng` and 1: `run_00001.pcapng`.
fn numbered(path: &Path, count: u32) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}_{count:05}{extension}"))
}

impl Counted {
    fn add(&self, (frames, bytes): (u64, u64)) {
        self.frames.fetch_add(frames, Ordering::SeqCst);
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
    }

    fn load(&self) -> Lost {
        Lost { frames: self.frames.load(Ordering::SeqCst), bytes: self.bytes.load(Ordering::SeqCst) }
    }
}

impl Shared {
    /// Lets so much more wait for the disk, if it may; tells whether the writer is to be woken for it.
    fn take_room(&self, cost: usize) -> Option<bool> {
        let before = self.waiting.fetch_add(cost, Ordering::SeqCst);
        let waiting = before.saturating_add(cost);
        if waiting > self.limits.waiting {
            self.waiting.fetch_sub(cost, Ordering::SeqCst);
            return None;
        }
        Some(before < WAKE_AT && waiting >= WAKE_AT)
    }

    fn lose(&self, record: &Record) {
        self.lost[index(record.edge)].add(record.size());
    }

    /// Notes the first thing that went wrong.
    fn fail(&self, told: String) {
        self.failed.store(true, Ordering::SeqCst);
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        if error.is_none() {
            tracing::error!("{told}: the traffic goes on, unrecorded");
            *error = Some(told);
        }
    }
}

struct Sender {
    shared: Arc<Shared>,
    sender: mpsc::Sender<Item>,
    writer: Thread,
}

impl Queue for Sender {
    fn put(&mut self, record: Record) -> Option<Record> {
        self.shared.offered[index(record.edge)].add(record.size());
        let Some(wakes) = self.shared.take_room(record.cost()) else {
            self.shared.lose(&record);
            return Some(record);
        };
        if let Err(mpsc::SendError(Item::Record(record))) = self.sender.send(Item::Record(record)) {
            self.shared.lose(&record);
            return Some(record);
        }
        if wakes {
            self.writer.unpark();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::capture::Remark;
    use crate::capture::write::{Ends, Kind};
    use bytes::Bytes;
    use std::io::{ErrorKind, IoSlice};

    /// A disk that takes a piece whenever it is let to, and keeps what it took.
    struct SlowDisk {
        lets: mpsc::Receiver<()>,
        took: Arc<Mutex<Vec<u8>>>,
        room: usize,
    }

    impl Write for SlowDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Once nobody holds it back any more it takes all.
            self.lets.recv().ok();
            let mut took = self.took.lock().expect("not poisoned");
            if took.len() + bytes.len() > self.room {
                return Err(io::Error::from(ErrorKind::StorageFull));
            }
            took.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
            let all: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
            self.write(&all)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn recorder(room: usize, rotate: Option<u64>, waiting: usize) -> (Recorder, mpsc::Sender<()>, Arc<Mutex<Vec<u8>>>) {
        let (sender, lets) = mpsc::channel();
        let took = Arc::new(Mutex::new(Vec::new()));
        let mut disk = Some(SlowDisk { lets, took: Arc::clone(&took), room });
        let files = move || {
            let disk = disk.take().ok_or(ErrorKind::PermissionDenied)?;
            Ok((PathBuf::from("disk"), Box::new(disk) as Box<dyn Write + Send>))
        };
        let limits = RecorderLimits { waiting, end_within: Duration::from_secs(30) };
        (Recorder::write_to(files, rotate, About::default(), limits).expect("started"), sender, took)
    }

    fn frame(offset: u64) -> Record {
        let at = |text: &str| text.parse().expect("an address");
        let ends = Ends {
            dialler: at("127.0.0.1:1"),
            accepted_at: at("127.0.0.1:2"),
            dialled_from: at("127.0.0.1:3"),
            upstream: at("127.0.0.1:4"),
        };
        let bytes = crate::wire::FrameBuilder::request(crate::wire::Opcode::NOOP).value(vec![7; 976]).build();
        let header = crate::wire::Header::parse_slice(&bytes).expect("a header");
        let part = crate::capture::write::Part { header, start: 0, collections: false };
        Record {
            at: Timestamp(offset),
            conn: 1,
            ends,
            edge: Side::Upstream,
            by_dialler: false,
            offset,
            ack: 0,
            window: 1,
            pins: bytes.len(),
            kind: Kind::Data(bytes, Some(part)),
            remarks: Vec::new(),
        }
    }

    #[test]
    fn a_disk_that_stands_still_loses_frames_and_counts_them_exactly() {
        let (recorder, lets, took) = recorder(usize::MAX, None, 100_000);
        let mut queue = recorder.queue();
        let refused = (0..1000).filter(|n| queue.put(frame(n * 1000)).is_some()).count() as u64;
        assert!((850..1000).contains(&refused), "{refused} of 1000 were refused, though nothing was taken");
        drop((queue, lets));
        let recording = recorder.finish();
        assert_eq!(
            (recording.frames, recording.lost_frames, recording.lost_bytes),
            (1000 - refused, refused, refused * 1000)
        );
        assert_eq!(recording.error, None);
        let took = took.lock().expect("not poisoned");
        let told = format!("dcproxy: {refused} frames ({} bytes) could not be recorded", refused * 1000);
        assert!(took.windows(told.len()).any(|part| part == told.as_bytes()), "the count is in the file");
    }

    #[test]
    fn a_disk_that_is_full_is_told_of_once_and_everything_is_counted() {
        let (recorder, lets, took) = recorder(1_600_000, None, 1 << 30);
        drop(lets);
        let mut queue = recorder.queue();
        for n in 0..2000 {
            queue.put(frame(n * 1000));
        }
        drop(queue);
        let recording = recorder.finish();
        let took = took.lock().expect("not poisoned");
        let written = took.windows(4).filter(|bytes| *bytes == [0x80, 0x0a, 0, 0]).count() as u64;
        assert!(written > 0, "what there was room for is there");
        assert_eq!((recording.frames, recording.lost_frames), (written, 2000 - written));
        assert!(recording.error.is_some_and(|error| error.starts_with("cannot write the recording disk: ")));
    }

    #[test]
    fn a_next_file_that_cannot_be_had_is_told_of_and_counted() {
        let (recorder, lets, _) = recorder(usize::MAX, Some(50_000), 1 << 30);
        drop(lets);
        let mut queue = recorder.queue();
        for n in 0..200 {
            queue.put(frame(n * 1000));
        }
        drop(queue);
        let recording = recorder.finish();
        assert!((40..60).contains(&recording.frames), "{recording:?}");
        assert_eq!(recording.frames + recording.lost_frames, 200);
        assert!(recording.error.is_some_and(|error| error.starts_with("cannot write the recording's next file: ")));
    }

    #[test]
    fn a_disk_that_never_comes_back_does_not_keep_the_run_from_its_end() {
        let (recorder, lets, _) = recorder(usize::MAX, None, 1 << 20);
        let mut queue = recorder.queue();
        for n in 0..10 {
            assert!(queue.put(frame(n * 1000)).is_none());
        }
        drop(queue);
        let shared = Arc::clone(&recorder.shared);
        let impatient = Arc::new(Shared {
            limits: RecorderLimits { end_within: Duration::ZERO, ..shared.limits },
            ..Shared::default()
        });
        impatient.offered[1].add((10, 10_000));
        let recording = Recorder { shared: impatient, ..recorder }.finish();
        assert_eq!((recording.frames, recording.lost_frames), (0, 10));
        assert!(recording.error.is_some_and(|error| error.contains("has not taken the rest")));
        drop(lets);
    }

    #[test]
    fn files_are_numbered_as_dumpcap_does() {
        assert_eq!(numbered(Path::new("a/run.pcapng"), 1), Path::new("a/run_00001.pcapng"));
        assert_eq!(numbered(Path::new("run"), 123_456), Path::new("run_123456"));
    }

    #[test]
    fn remarks_are_charged_for() {
        let bare = frame(0);
        let remarked = Record { remarks: vec![Remark::Paused(true)], ..bare.clone() };
        assert!(remarked.cost() > bare.cost() && bare.cost() > 1000);
        assert_eq!(Record { kind: Kind::Data(Bytes::from_static(b"x"), None), ..bare }.size(), (0, 1));
    }
}
