//! Where data goes: stdout, and the files of reports.

use std::fmt;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::net::SocketAddr;

use crate::report::Report;
use crate::verdict::Verdict;

/// One plain line on stderr that says where `what` (empty for the main listener) can be reached, whatever the log settings:
/// `listening on 127.0.0.1:11210`, `api listening on ...`.
pub(crate) fn announce(what: &str, addr: SocketAddr) {
    let space = if what.is_empty() { "" } else { " " };
    // One write, so that lines of several listeners do not mix. A closed stderr is no reason to stop.
    let _ = io::stderr().write_all(format!("{what}{space}listening on {addr}\n").as_bytes());
}

/// As [`announce`], for one listener of several: `listening on 127.0.0.1:11210 for NAME`.
pub(super) fn announce_for(name: &str, addr: SocketAddr) {
    remark(&format!("listening on {addr}{}", of(name)));
}

/// ` for NAME`; nothing where there is no name.
pub(super) fn of(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" for {name}") }
}

/// One plain line on stderr, whatever the log settings.
pub(super) fn remark(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// The verdict, and the first thing that decided it.
pub(super) fn verdict_line(report: &Report) -> String {
    let findings = report.connections.iter().flat_map(|connection| &connection.findings).chain(&report.findings);
    let decided =
        findings.filter(|finding| finding.verdict == report.verdict).find(|_| report.verdict != Verdict::Pass);
    match decided {
        Some(finding) => format!("verdict: {}: {}: {}", report.verdict, finding.id, finding.actual),
        None => format!("verdict: {}", report.verdict),
    }
}

/// Stdout, buffered; flush it before the command ends. When nobody reads any more it fails with an error that, returned by the
/// command, ends it as a success.
pub(crate) fn stdout() -> impl Write {
    BufWriter::with_capacity(64 * 1024, Stdout(io::stdout().lock()))
}

/// Whether the error is that stdout was closed by its reader (`dcproxy decode ... | head`).
pub(super) fn nobody_reads(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<OutputClosed>()
            || cause
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref)
                .is_some_and(|inner| inner.is::<OutputClosed>())
    })
}

/// The reader of stdout has gone. A broken pipe of any other writer is an error like others.
#[derive(Debug)]
struct OutputClosed;

impl fmt::Display for OutputClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads the output")
    }
}

impl std::error::Error for OutputClosed {}

struct Stdout<W>(W);

impl<W: Write> Write for Stdout<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(marked)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(marked)
    }
}

fn marked(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe { io::Error::new(error.kind(), OutputClosed) } else { error }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_broken_pipe_counts_only_if_it_is_stdout() {
        let of_stdout = Stdout(Gone).write(b"x").context("writing").expect_err("closed");
        assert!(nobody_reads(&of_stdout));
        let of_another = Gone.write(b"x").context("writing").expect_err("closed");
        assert!(!nobody_reads(&of_another));
    }
}
