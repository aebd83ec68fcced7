//! The program itself, started as a user does.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::io::BufRead;
use std::io::BufReader;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

/// A node or a replay that listens; it ends with the test.
pub struct Listening {
    pub child: Child,
    pub address: String,
    pub stderr: BufReader<std::process::ChildStderr>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The program with these arguments, and nothing of the environment that it reads.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dcproxy"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DCPROXY_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command.args(args).env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts what listens, and waits until it says where.
pub fn start(args: &[&str]) -> Listening {
    let mut child = command(args).spawn().expect("it starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.starts_with("listening on ") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).expect("text"), 0, "it never says where it listens");
    }
    let address = line.trim_start_matches("listening on ").trim().to_owned();
    Listening { child, address, stderr }
}
