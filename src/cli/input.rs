//! Where data comes from: files, and stdin for `-`.

use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;

use crate::capture::CaptureError;
use crate::capture::Files;

/// Captures to be read in one run; `-` is stdin.
pub(crate) fn captures(paths: &[PathBuf]) -> Files<'static> {
    paths.iter().fold(Files::new(), |files, path| {
        if path.as_os_str() == "-" { files.reader("-", io::stdin()) } else { files.path(path) }
    })
}

/// What is wrong with a capture, as it is told.
pub(crate) fn complaint((name, error): (String, CaptureError)) -> anyhow::Error {
    match error {
        CaptureError::Open(error) => anyhow::Error::new(error).context(format!("opening {name}")),
        error @ (CaptureError::Read(_)
        | CaptureError::NotACapture { .. }
        | CaptureError::Cut { .. }
        | CaptureError::CutGzip { .. }
        | CaptureError::CutZstd { .. }
        | CaptureError::Damaged { .. }
        | CaptureError::UnknownLink(_)) => anyhow::Error::new(error).context(name),
    }
}

/// Opens a file for reading, buffered; `-` is stdin.
pub(crate) fn open(path: &Path) -> anyhow::Result<BufReader<Box<dyn Read>>> {
    let reader: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).with_context(|| format!("opening {}", path.display()))?)
    };
    Ok(BufReader::with_capacity(64 * 1024, reader))
}
