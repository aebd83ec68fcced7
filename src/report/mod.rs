//! What a run came to, as plain data ([`Report`], the JSON contract of `docs/REPORT.md`), and one file for each format that
//! it is written in.

pub mod github;
mod json;
mod junit;
mod matrix;
mod model;
mod target;
mod text;

#[cfg(test)]
mod sample;

use std::io;
use std::io::Write;

pub use matrix::Outcome;
pub use matrix::Row;
pub use model::Connection;
pub use model::Finding;
pub use model::Frames;
pub use model::MAX_ORPHANS;
pub use model::Orphan;
pub use model::OrphanOrigin;
pub use model::Recording;
pub use model::Report;
pub use model::SCHEMA;
pub use model::Step;
pub use model::millis;
pub use target::Format;
pub use target::NoSuchFormat;
pub use target::Target;

/// Writes the report in a format. The same report gives the same bytes.
///
/// # Errors
/// Those of `to`.
pub fn write(format: Format, report: &Report, to: &mut impl Write) -> io::Result<()> {
    match format {
        Format::Text => text::write(report, to),
        Format::Json => json::write(report, to),
        Format::Junit => junit::write(report, to),
    }
}

/// `at 1234 ms, vbucket 3, seqno 17`, as far as it is known.
fn place(at_ms: Option<u64>, vbucket: Option<u16>, seqno: Option<u64>) -> String {
    let parts = [
        at_ms.map(|ms| format!("at {ms} ms")),
        vbucket.map(|vbucket| format!("vbucket {vbucket}")),
        seqno.map(|seqno| format!("seqno {seqno}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn place_of(finding: &Finding) -> String {
    place(finding.at_ms, finding.vbucket, finding.seqno)
}

/// The text on one line, without control characters: names in it may come from the wire.
fn line(text: &str) -> String {
    text.split(char::is_control).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}
