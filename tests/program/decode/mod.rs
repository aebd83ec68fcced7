//! `dcproxy decode` as its user sees it: the vectors as hex lines, real captures, cut-off files, filters, statistics, exit codes.
#![allow(clippy::unwrap_used)] // helpers of tests

mod docs;
mod fields;
mod gaps;
mod lines;
mod stats;

use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use assert_cmd::Command;
use serde_json::Value;

pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn decode(args: &[&str], stdin: &[u8]) -> Ran {
    let mut command = Command::cargo_bin("dcproxy").unwrap();
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DCPROXY_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    let output = command.arg("decode").args(args).write_stdin(stdin).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// As [`decode`] of a file of `captures/`.
pub(crate) fn decoded(name: &str, args: &[&str]) -> Ran {
    decode(&[args, &[capture(name).to_str().unwrap()]].concat(), b"")
}

pub(crate) fn lines(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(name)
}

pub(crate) fn captured(name: &str) -> Vec<u8> {
    let bytes = std::fs::read(capture(name)).unwrap();
    if !name.ends_with(".gz") {
        return bytes;
    }
    let mut inflated = Vec::new();
    flate2::read::GzDecoder::new(&*bytes).read_to_end(&mut inflated).unwrap();
    inflated
}

/// A capture without some of its packets, told by their number.
pub(crate) fn without(bytes: &[u8], lost: impl Fn(usize) -> bool) -> Vec<u8> {
    let (mut kept, mut at, mut number) = (bytes[..24].to_vec(), 24, 0);
    while at < bytes.len() {
        let next = at + 16 + u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
        if !lost(number) {
            kept.extend(&bytes[at..next]);
        }
        (at, number) = (next, number + 1);
    }
    kept
}
