//! What a service manager and those who run `dcproxy proxy` for weeks count on.

mod api;
mod config;
mod drain;
mod limits;
mod logs;
mod reload;
mod serve;
mod supervisor;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command};

use crate::program::command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// `dcproxy proxy` while it runs; it ends with the test.
pub(super) struct Service {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// Where each proxy listens, by its name; empty for the only one.
    doors: BTreeMap<String, SocketAddr>,
}

impl Service {
    /// Starts it and waits until it has said where so many proxies listen.
    pub(super) fn start(args: &[&str], environment: &[(&str, &str)], proxies: usize) -> Self {
        Self::of(command(&["proxy"]).args(args).envs(environment.iter().copied()), proxies)
    }

    pub(super) fn of(command: &mut Command, proxies: usize) -> Self {
        let mut child = command.spawn().expect("it starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut service = Self { child, stderr, doors: BTreeMap::new() };
        for _ in 0..proxies {
            service.door();
        }
        service
    }

    /// With the proxies of a file.
    pub(super) fn of_file(file: &Path, proxies: usize) -> Self {
        Self::start(&["--config", &file.to_string_lossy()], &[], proxies)
    }

    /// The next line that contains some text.
    pub(super) fn line_with(&mut self, text: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.stderr.read_line(&mut line).expect("text"), 0, "it never says '{text}'");
            if line.contains(text) {
                return line.trim_end().to_owned();
            }
        }
    }

    /// Reads where the next proxy listens.
    pub(super) fn door(&mut self) -> (String, SocketAddr) {
        let line = loop {
            let line = self.line_with("listening on ");
            if line.starts_with("listening on ") {
                break line;
            }
        };
        let rest = line.trim_start_matches("listening on ");
        let (address, name) = rest.split_once(" for ").unwrap_or((rest, ""));
        let address = address.parse().unwrap_or_else(|_| panic!("no address: {line}"));
        self.doors.insert(name.to_owned(), address);
        (name.to_owned(), address)
    }

    pub(super) fn at(&self, name: &str) -> SocketAddr {
        self.doors[name]
    }

    pub(super) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill").success());
    }

    /// The exit code, and the rest of stderr.
    pub(super) fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).expect("text");
        (self.child.wait().expect("it ends").code(), rest)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Writes a configuration file.
pub(super) fn written(directory: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = directory.path().join("proxies.toml");
    std::fs::write(&path, text).expect("written");
    path
}

/// Both ends of a connection through the proxy that listens at `door`.
pub(super) async fn pair(door: SocketAddr, upstream: &TcpListener) -> (TcpStream, TcpStream) {
    let dialler = TcpStream::connect(door).await.expect("connected");
    (dialler, upstream.accept().await.expect("dialled").0)
}

/// What an API answers: the status, the head, the body.
pub(super) async fn ask(at: SocketAddr, line: &str, headers: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(at).await.expect("connected");
    let length = body.len();
    let request = format!("{line} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    (status.unwrap_or_else(|| panic!("no status: {answer}")), head.to_owned(), body.to_owned())
}

/// Whether bytes cross, each way; as many as make a header, since what is armed waits for one.
pub(super) async fn relays((dialler, upstream): &mut (TcpStream, TcpStream)) -> bool {
    let mut first = [0; HEADER_LEN];
    for outward in [true, false] {
        let (from, to) = if outward { (&mut *dialler, &mut *upstream) } else { (&mut *upstream, &mut *dialler) };
        if from.write_all(&[0x80; HEADER_LEN]).await.is_err() || to.read_exact(&mut first).await.is_err() {
            return false;
        }
    }
    true
}

pub(super) const HEADER_LEN: usize = 24;
