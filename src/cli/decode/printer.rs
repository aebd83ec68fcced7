use std::io;
use std::io::Write;

use super::columns;

use super::stats::Stats;
use super::text::Text;
use crate::filter::Field;
use crate::filter::Filter;
use crate::filter::Subject;
use crate::filter::json_line;

/// Bytes of lines that are written at once.
const BATCH: usize = 64 * 1024;

/// How frames are printed.
#[derive(Debug)]
pub(super) enum Layout {
    Text(Text),
    Jsonl,
    Fields(Vec<Field>),
    /// Not at all.
    Silent,
}

/// Numbers frames, and prints those that the filter lets through. Once writing has failed nothing more is written, and
/// [`Printer::flush`] tells of it.
pub(super) struct Printer {
    to: Box<dyn Write>,
    lines: Vec<u8>,
    layout: Layout,
    values: bool,
    filter: Option<Filter>,
    /// Frames that may still be printed.
    left: u64,
    frames: u64,
    stats: Option<Stats>,
    failed: Option<io::Error>,
}

impl Printer {
    pub(super) fn new(to: impl Write + 'static, layout: Layout) -> Self {
        Self {
            to: Box::new(to),
            lines: Vec::with_capacity(2 * BATCH),
            layout,
            values: false,
            filter: None,
            left: u64::MAX,
            frames: 0,
            stats: None,
            failed: None,
        }
    }

    /// Whether documents are printed.
    pub(super) fn values(mut self, values: bool) -> Self {
        self.values = values;
        self
    }

    /// Only these frames.
    pub(super) fn filter(mut self, filter: Option<Filter>) -> Self {
        self.filter = filter;
        self
    }

    /// At most so many frames.
    pub(super) fn limit(mut self, limit: Option<u64>) -> Self {
        self.left = limit.unwrap_or(u64::MAX);
        self
    }

    /// Counts all that is printed, or would be.
    pub(super) fn stats(mut self, stats: Option<Stats>) -> Self {
        self.stats = stats;
        self
    }

    /// What counts, if anything does.
    pub(super) const fn counting(&mut self) -> Option<&mut Stats> {
        self.stats.as_mut()
    }

    /// Prints what was counted, if anything was, and writes what is buffered.
    pub(super) fn finish(mut self, as_json: bool) -> anyhow::Result<()> {
        if let Some(stats) = self.stats.take() {
            let report = if as_json { stats.json()? + "\n" } else { stats.text() };
            self.lines.extend_from_slice(report.as_bytes());
        }
        Ok(self.flush()?)
    }

    /// The number of the next frame.
    pub(super) const fn number(&mut self) -> u64 {
        self.frames += 1;
        self.frames
    }

    /// Prints a frame if the filter lets it through, and tells whether it did.
    pub(super) fn frame(&mut self, subject: &Subject<'_>) -> bool {
        self.print(subject, None)
    }

    /// As [`Printer::frame`], of bytes that are no frame.
    pub(super) fn no_frame(&mut self, subject: &Subject<'_>, bytes: &[u8]) -> bool {
        self.print(subject, bytes.first().copied())
    }

    /// Prints that bytes are missing, where a line need not be a frame and none is kept back.
    pub(super) fn gap(&mut self, conn: u64, who: &str, bytes: Option<u64>, offset: Option<u64>) {
        if let (Layout::Text(text), None, 1..) = (&self.layout, &self.filter, self.left) {
            text.gap(conn, who, bytes, offset, &mut self.lines);
            self.end_line();
        }
    }

    /// Whether nothing more will be printed: enough was, or writing has failed.
    pub(super) const fn is_done(&self) -> bool {
        self.left == 0 || self.failed.is_some()
    }

    /// Writes what is buffered.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.write();
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.to.flush(),
        }
    }

    fn print(&mut self, subject: &Subject<'_>, first: Option<u8>) -> bool {
        if self.left == 0 || self.filter.as_ref().is_some_and(|filter| !filter.matches(subject)) {
            return false;
        }
        self.left -= 1;
        if let Some(stats) = &mut self.stats {
            stats.count(subject);
        }
        match &mut self.layout {
            Layout::Jsonl => json_line(subject, first, self.values, &mut self.lines),
            Layout::Text(text) => text.line(subject, first, self.values, &mut self.lines),
            Layout::Fields(fields) => columns::line(fields, subject, &mut self.lines),
            Layout::Silent => return true,
        }
        self.end_line();
        true
    }

    fn end_line(&mut self) {
        self.lines.push(b'\n');
        if self.lines.len() >= BATCH {
            self.write();
        }
    }

    fn write(&mut self) {
        if self.failed.is_none() {
            self.failed = self.to.write_all(&self.lines).err();
        }
        self.lines.clear();
        // A line with a document of many MiB is no reason to keep as much for the next ones.
        self.lines.shrink_to(2 * BATCH);
    }
}
