//! Where data comes from: files, and stdin for `-`.

use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::Read;
use std::path::Path;

use anyhow::Context;

/// Opens a file for reading, buffered; `-` is stdin.
pub(crate) fn open(path: &Path) -> anyhow::Result<BufReader<Box<dyn Read>>> {
    let reader: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).with_context(|| format!("opening {}", path.display()))?)
    };
    Ok(BufReader::with_capacity(64 * 1024, reader))
}
