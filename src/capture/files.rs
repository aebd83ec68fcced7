use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use super::CaptureError;
use super::Summary;
use super::file::PacketFile;
use super::reading::Group;
use super::reading::Out;
use super::reading::Reading;
use super::source::Input;
use crate::Timestamp;

/// How much before the last packet of one file the first one of the next may be: the queues of several CPUs.
const EARLY: Duration = Duration::from_millis(10);
/// The longest silence between two files that are one capture: more than the usual interval of DCP's no-ops (20 s).
const SILENCE: Duration = Duration::from_secs(30);
/// The same where the names of the files say that they belong together. Connections are not idle for so long.
const LONG_SILENCE: Duration = Duration::from_secs(600);

/// Several captures, read in one run.
///
/// Captures that were rotated (`tcpdump -C` or `-G`, a ring buffer of dumpcap, `--record-rotate`) are one: a connection that
/// goes on in the next file goes on, without a gap and under its number. The files may be named in any order.
///
/// The rule: a file continues another if its first packet comes no earlier than the other's last one (less 10 ms: the queues of
/// several CPUs), and no more than 30 seconds later, or 10 minutes where their names are the same but for digits
/// (`ring_00001.pcapng`, `ring_00002.pcapng.gz`); of several that it might continue, the one that ends last. All that continue each
/// other are one capture, read in the order of time. A file that continues none is a capture of its own, with connections of its
/// own: files that overlap in time, such as those of two hosts, and files of other days. (Rotated captures of two hosts, all named at
/// once, are told apart like that too.) Captures are read in the order in which they are named. A file without packets is in
/// nobody's way.
///
/// A file that cannot be read, or not to its end, is told of in [`FilesRead::errors`]; the others are read all the same. What a
/// file lacks in the middle of a rotated capture is a gap in its connections.
///
/// Connections are counted from 1 over all files. Memory is bounded by the connections that are open, of all captures that may
/// still be continued. A single file is read as it comes: a pipe is never waited for but for its next packet. Of several, each is
/// asked for its first packet before any is read; and where they are not named in the order of time, for its last one, which reads
/// them twice (what cannot be read twice, such as a pipe, is taken to end where it begins, till it is read).
///
/// ```no_run
/// # use std::ops::ControlFlow;
/// let mut recorded = dcproxy::capture::Recorded::new(0);
/// let files = dcproxy::capture::Files::new().path("ring_00002.pcapng").path("ring_00001.pcapng");
/// let read = files.read(&mut |_file, event| {
///     recorded.event(&event, &mut |happened| println!("{}", happened.conn));
///     ControlFlow::Continue(())
/// });
/// assert!(read.errors.is_empty());
/// ```
#[derive(Default)]
pub struct Files<'r> {
    named: Vec<Named<'r>>,
}

/// What came of reading [`Files`].
#[derive(Debug)]
pub struct FilesRead {
    /// Of all files together.
    pub summary: Summary,
    /// The files that could not be read, or not to their end, by name, in the order in which they were named.
    pub errors: Vec<(String, CaptureError)>,
}

struct Named<'r> {
    name: String,
    place: Place<'r>,
}

enum Place<'r> {
    Path(PathBuf),
    Reader(Box<dyn Read + 'r>),
}

/// A file that has a packet.
struct Ready<'r> {
    /// Which one, in the order in which they were named.
    index: usize,
    name: String,
    first: Timestamp,
    opened: Opened<'r>,
}

enum Opened<'r> {
    /// To be opened again: there may be more files than can be open at a time.
    Again(PathBuf),
    Now(Box<PacketFile<'r>>),
}

impl std::fmt::Debug for Files<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.named.iter().map(|named| &named.name)).finish()
    }
}

impl<'r> Files<'r> {
    /// None yet.
    pub const fn new() -> Self {
        Self { named: Vec::new() }
    }

    /// Adds a file by its path: regular files are mapped into memory, others are read.
    #[must_use]
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.named.push(Named { name: path.display().to_string(), place: Place::Path(path) });
        self
    }

    /// Adds bytes that come from a reader, with the name that errors are to have.
    #[must_use]
    pub fn reader(mut self, name: impl Into<String>, reader: impl Read + 'r) -> Self {
        self.named.push(Named { name: name.into(), place: Place::Reader(Box::new(reader)) });
        self
    }

    /// Reads them all and hands on what they tell, each event with the name of the file that made it known; stops when `out`
    /// breaks.
    pub fn read(self, out: Out<'_>) -> FilesRead {
        let mut errors = Vec::new();
        let mut reading = Reading::new(out);
        for batch in in_order(self.ready(&mut errors)) {
            read_batch(batch, &mut reading, &mut errors);
        }
        errors.sort_by_key(|(index, ..)| *index);
        let errors = errors.into_iter().map(|(_, name, error)| (name, error)).collect();
        FilesRead { summary: reading.summary(), errors }
    }

    /// Those that have a packet, as they are named.
    fn ready(self, errors: &mut Vec<FileError>) -> Vec<Ready<'r>> {
        let single = self.named.len() == 1;
        let mut all = Vec::new();
        for (index, Named { name, place }) in self.named.into_iter().enumerate() {
            match ready(place, single) {
                Ok(Some((first, opened))) => all.push(Ready { index, name, first, opened }),
                Ok(None) => {}
                Err(error) => errors.push((index, name, error)),
            }
        }
        all
    }
}

/// The place in the order in which files were named, the name, and what is wrong.
type FileError = (usize, String, CaptureError);

/// Reads files that are in the order of their first packets, and all that they have begun to its end.
fn read_batch(batch: Vec<Ready<'_>>, reading: &mut Reading<'_>, errors: &mut Vec<FileError>) {
    let mut groups: Vec<Group> = Vec::new();
    for ready in batch {
        let (over, open): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| group.latest().is_over(ready.first));
        over.into_iter().for_each(|group| reading.finish(group));
        groups = open;
        let mut group = match continued(groups.iter().map(Group::latest), &ready) {
            Some(at) => groups.remove(at),
            None => Group::default(),
        };
        let opened = match ready.opened {
            Opened::Now(file) => Ok(*file),
            Opened::Again(path) => open_path(&path),
        };
        if let Err(error) = opened.and_then(|file| reading.file(&ready.name, file, &mut group)) {
            errors.push((ready.index, ready.name, error));
        }
        groups.push(group);
        if reading.has_stopped() {
            break;
        }
    }
    groups.into_iter().for_each(|group| reading.finish(group));
}

/// The latest file of a capture.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Latest {
    pub(super) name: String,
    /// The time of its first packet.
    pub(super) begin: Timestamp,
    /// The latest time that a packet of the capture has.
    pub(super) last: Timestamp,
}

impl Latest {
    /// Whether no file that begins at `first`, or later, continues the capture.
    fn is_over(&self, first: Timestamp) -> bool {
        first.since(self.last) > LONG_SILENCE
    }

    fn is_continued(&self, name: &str, first: Timestamp) -> bool {
        let silence = if stem(&self.name) == stem(name) { LONG_SILENCE } else { SILENCE };
        self.begin < first && self.last.since(first) <= EARLY && first.since(self.last) <= silence
    }
}

/// What rotated files have in common of their names.
fn stem(name: &str) -> String {
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    name.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Which of the captures a file continues.
fn continued<'l>(captures: impl Iterator<Item = &'l Latest>, ready: &Ready<'_>) -> Option<usize> {
    let may = (0..).zip(captures).filter(|(_, latest)| latest.is_continued(&ready.name, ready.first));
    may.max_by_key(|(_, latest)| latest.last).map(|(at, _)| at)
}

/// Batches of files in the order of time: all in one where they are named so, else one for each capture.
fn in_order(all: Vec<Ready<'_>>) -> Vec<Vec<Ready<'_>>> {
    if all.is_sorted_by_key(|ready| ready.first) {
        return vec![all];
    }
    let mut by_time = all;
    by_time.sort_by_key(|ready| ready.first);
    let mut batches: Vec<(Latest, Vec<Ready<'_>>)> = Vec::new();
    for ready in by_time {
        let mut latest = Latest { name: ready.name.clone(), begin: ready.first, last: ready.last() };
        let at = continued(batches.iter().map(|(latest, _)| latest), &ready);
        match at.and_then(|at| batches.get_mut(at)) {
            Some((before, batch)) => {
                latest.last = latest.last.max(before.last);
                *before = latest;
                batch.push(ready);
            }
            None => batches.push((latest, vec![ready])),
        }
    }
    batches.sort_by_key(|(_, batch)| batch.iter().map(|ready| ready.index).min());
    batches.into_iter().map(|(_, batch)| batch).collect()
}

impl Ready<'_> {
    /// The time of the latest packet that can be read, or of the first where the file can be read only once.
    fn last(&self) -> Timestamp {
        let mut last = self.first;
        if let Opened::Again(path) = &self.opened
            && let Ok(mut file) = open_path(path)
        {
            while let Ok(Some(packet)) = file.next() {
                last = last.max(packet.at);
            }
        }
        last
    }
}

/// Opens a file and asks it for the time of its first packet, if it has one and there are others to compare it with.
fn ready(place: Place<'_>, single: bool) -> Result<Option<(Timestamp, Opened<'_>)>, CaptureError> {
    let (mut file, again) = match place {
        Place::Reader(reader) => (PacketFile::open(Input::Reader(reader))?, None),
        Place::Path(path) => (open_path(&path)?, path.is_file().then_some(path)),
    };
    if single {
        return Ok(Some((Timestamp(0), Opened::Now(Box::new(file)))));
    }
    let Some(first) = file.first()? else { return Ok(None) };
    Ok(Some((first, again.map_or_else(|| Opened::Now(Box::new(file)), Opened::Again))))
}

fn open_path<'r>(path: &Path) -> Result<PacketFile<'r>, CaptureError> {
    PacketFile::open(Input::File(File::open(path).map_err(CaptureError::Open)?))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
mod tests;
