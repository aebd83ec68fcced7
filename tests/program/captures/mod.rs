//! Real input: `dcproxy check` gives every capture of `captures/` the verdict that its README gives, and the truth tables
//! come out cell by cell as they were measured.

mod bytes;
mod files;
mod matrix;
mod verdicts;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use dcproxy::report::Connection;
use dcproxy::report::Finding;
use dcproxy::report::Report;

/// What a run of `dcproxy check` came to.
struct Checked {
    code: i32,
    stderr: String,
    report: Report,
}

/// Runs `dcproxy check --era ERA --report r.json FILE...`.
fn check(era: &str, files: &[impl AsRef<Path>]) -> Checked {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("r.json");
    let mut args: Vec<OsString> = vec!["check".into(), "--era".into(), era.into(), "--report".into(), (&file).into()];
    args.extend(files.iter().map(|path| path.as_ref().into()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_dcproxy"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DCPROXY_") || name == "GITHUB_ACTIONS") {
        command.env_remove(name);
    }
    let output = command.args(&args).output().expect("it runs");
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert!(output.stdout.is_empty(), "{args:?} prints data though the report goes to a file");
    let code = output.status.code().unwrap_or_else(|| panic!("{args:?} was killed: {stderr}"));
    let text = fs::read(&file).unwrap_or_else(|error| panic!("{args:?} left no report: {error}; {stderr}"));
    Checked { code, stderr, report: serde_json::from_slice(&text).expect("a report") }
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/captures"))
}

fn capture(name: &str) -> PathBuf {
    folder().join(name)
}

/// The names of all captures, sorted.
fn captures() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder())
        .expect("captures/ is part of the project")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("plain names"))
        .filter(|name| name.contains(".pcap"))
        .collect();
    names.sort();
    names
}

fn finding<'a>(connection: &'a Connection, id: &str) -> Option<&'a Finding> {
    connection.findings.iter().find(|finding| finding.id == id)
}
