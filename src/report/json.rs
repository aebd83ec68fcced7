use std::io;
use std::io::Write;

use super::Report;

/// Writes the report as one JSON object, indented, with a final line feed.
pub(super) fn write(report: &Report, to: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, report)?;
    to.write_all(b"\n")
}

#[cfg(test)]
mod tests;
