use std::io;
use std::io::Write;

use serde_json::Map;
use serde_json::Value;

use super::Format;
use super::fields;
use super::fields::Place;
use super::text::Text;
use crate::dcp::Malformed;
use crate::dcp::Message;
use crate::dcp::Negotiated;
use crate::wire::Frame;

/// Numbers frames and prints them. Once writing has failed nothing more is written, and [`Printer::flush`] tells of it.
pub(super) struct Printer {
    to: Box<dyn Write>,
    format: Format,
    values: bool,
    text: Text,
    frames: u64,
    failed: Option<io::Error>,
}

impl Printer {
    pub(super) fn new(to: impl Write + 'static, format: Format, values: bool) -> Self {
        Self { to: Box::new(to), format, values, text: Text::default(), frames: 0, failed: None }
    }

    pub(super) fn frame(
        &mut self,
        place: Place,
        frame: &Frame<'_>,
        message: &Result<Message, Malformed>,
        negotiated: &Negotiated,
    ) {
        self.frames += 1;
        let line = fields::of_frame(self.frames, place, frame, message, negotiated, self.values);
        self.line(place, line);
    }

    /// Prints bytes that are no frame.
    pub(super) fn no_frame(&mut self, place: Place, bytes: &[u8], reason: &str) {
        self.frames += 1;
        let line = fields::of_bytes(self.frames, place, bytes, reason);
        self.line(place, line);
    }

    pub(super) const fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Writes what is buffered.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.to.flush(),
        }
    }

    fn line(&mut self, place: Place, line: Map<String, Value>) {
        if self.failed.is_some() {
            return;
        }
        let line = match self.format {
            Format::Text => self.text.line(place, line),
            Format::Jsonl => Value::from(line).to_string(),
        };
        self.failed = writeln!(self.to, "{line}").err();
    }
}
