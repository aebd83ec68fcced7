//! `dcproxy proxy` as its user meets it: what it says, how it ends, what it leaves behind.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command};

use crate::program::command;
use crate::support::{PATIENCE, loopback, run, within};
use dcproxy::era::Era;
use dcproxy::net::{Shutdown, Target, consume};
use dcproxy::node::consumer::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Started {
    child: Child,
    address: SocketAddr,
    stderr: BufReader<ChildStderr>,
}

fn start(args: &[&str]) -> Started {
    let mut child = command(args).spawn().expect("it starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.starts_with("listening on ") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).expect("text"), 0, "it never says where it listens");
    }
    let address = line.strip_prefix("listening on ").and_then(|rest| rest.trim().parse().ok());
    Started { child, address: address.unwrap_or_else(|| panic!("not where it listens: {line:?}")), stderr }
}

impl Started {
    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill").success());
    }

    /// Everything on stdout, once it has ended.
    fn stdout(&mut self) -> String {
        let mut text = String::new();
        self.child.stdout.take().expect("piped").read_to_string(&mut text).expect("text");
        text
    }

    /// The exit code and the rest of stderr.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).expect("text");
        (self.child.wait().expect("it ends").code(), rest)
    }
}

/// A test that fails leaves no process behind.
impl Drop for Started {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An address of loopback where nobody listens.
fn nobody() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").to_string()
}

#[test]
fn bad_addresses_are_one_line_and_exit_2() {
    for (args, told) in [
        (["--listen", "nowhere", "--upstream", "localhost:1"], "'nowhere' for '--listen <ADDR>': expected HOST:PORT"),
        (["--listen", "0", "--upstream", "localhost"], "'localhost' for '--upstream <HOST:PORT>': expected HOST:PORT"),
        (["--listen", "192.0.2.1:0", "--upstream", "localhost:1"], "cannot listen on 192.0.2.1:0: "),
        (["--listen", "0", "--scenario", "nonsense"], "a built-in scenario (orphaned-responses"),
    ] {
        let output = command(&["proxy"]).args(args).output().expect("it runs");
        let stderr = String::from_utf8(output.stderr).expect("text");
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(stderr.starts_with("dcproxy: ") && stderr.contains(told), "{stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn where_to_dial_is_said_once() {
    for (args, told) in [
        (vec!["--listen", "0"], "required arguments were not provided: --upstream <HOST:PORT>"),
        (vec!["--listen", "0", "--transparent", "redirect", "--upstream", "localhost:1"], "cannot be used with"),
        (vec!["--listen", "0", "--transparent", "redirect", "--cluster"], "cannot be used with"),
        (vec!["--listen", "0", "--transparent", "nat"], "expected redirect or tproxy, found 'nat'"),
        (vec!["--listen", "0", "--upstream", "localhost:1", "--mark", "7"], "expected --transparent MODE with it"),
    ] {
        let output = command(&["proxy"]).args(args).output().expect("it runs");
        let stderr = String::from_utf8(output.stderr).expect("text");
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(stderr.starts_with("dcproxy: ") && stderr.contains(told), "{stderr}");
    }
}

#[test]
fn a_refused_upstream_ends_once_with_one_line_and_a_report() {
    let directory = tempfile::tempdir().expect("a directory");
    let report = directory.path().join("r.json");
    let upstream = nobody();
    let report_arg = report.to_string_lossy();
    let args = ["proxy", "--once", "--listen", "127.0.0.1:0", "--upstream", &upstream, "--report", &report_arg];
    let started = start(&args);
    let mut dialler = std::net::TcpStream::connect(started.address).expect("connected");
    assert_eq!(dialler.read(&mut [0]).expect("closed"), 0);
    let (code, rest) = started.end();
    let line = rest.lines().last().unwrap_or_default();
    assert_eq!(code, Some(2));
    assert!(line.starts_with(&format!("dcproxy: cannot connect to {upstream}: Connection refused")), "{rest}");
    assert_eq!(rest.lines().count(), 1, "{rest}");
    let report = std::fs::read_to_string(report).expect("written all the same");
    assert!(report.contains(&format!("cannot connect to {upstream}")), "{report}");
}

#[test]
fn a_refused_upstream_is_logged_and_told_of_at_the_end() {
    let upstream = nobody();
    let started = start(&["proxy", "--listen", "0", "--upstream", &upstream]);
    for _ in 0..2 {
        let mut dialler = std::net::TcpStream::connect(started.address).expect("still served");
        assert_eq!(dialler.read(&mut [0]).expect("closed"), 0);
    }
    started.signal("TERM");
    let (code, rest) = started.end();
    assert_eq!(code, Some(2));
    assert_eq!(rest.matches(&format!("cannot connect to {upstream}")).count(), 2, "{rest}");
}

/// SIGINT once, with nothing armed: everything ends, the exit code is 0, the report is there.
#[test]
fn an_interrupt_writes_the_report() {
    run(async {
        let upstream = loopback().await;
        let target = upstream.local_addr().expect("bound").to_string();
        let mut started = start(&["proxy", "--listen", "0", "--upstream", &target, "--report", "-"]);
        let mut dialler = TcpStream::connect(started.address).await.expect("connected");
        let mut served = upstream.accept().await.expect("dialled").0;
        dialler.write_all(b"\x80").await.expect("written");
        assert_eq!(served.read_u8().await.expect("relayed"), 0x80);
        started.signal("INT");
        assert_eq!(within(PATIENCE, dialler.read(&mut [0])).await.expect("closed"), 0);
        let report = started.stdout();
        assert_eq!(started.end().0, Some(0));
        assert!(report.starts_with("verdict: PASS") && report.contains("connections: 1"), "{report}");
    });
}

/// With a scenario, that nothing could be judged is no pass (law L7), however it ends.
#[test]
fn without_a_stream_the_verdict_is_inconclusive() {
    run(async {
        let upstream = loopback().await;
        let target = upstream.local_addr().expect("bound").to_string();
        let args = ["proxy", "--listen", "0", "--upstream", &target, "--scenario", "orphaned-responses"];
        for end in ["nobody", "timeout", "interrupt", "interrupts"] {
            let mut args = args.to_vec();
            if matches!(end, "timeout" | "nobody") {
                args.extend(["--timeout", "200ms"]);
            }
            let started = start(&args);
            if end != "nobody" {
                let mut dialler = TcpStream::connect(started.address).await.expect("connected");
                let mut served = upstream.accept().await.expect("dialled").0;
                dialler.write_all(&[0x80; 24]).await.expect("written");
                let mut first = [0; 24];
                served.read_exact(&mut first).await.expect("relayed");
                if end.starts_with("interrupt") {
                    started.signal("INT");
                }
                if end == "interrupts" {
                    started.signal("TERM");
                }
                within(PATIENCE, dialler.read(&mut [0])).await.ok();
            }
            assert_eq!(started.end().0, Some(3), "{end}");
        }
    });
}

/// Plain ports tell what came in DCP's place.
#[test]
fn tls_and_http_are_hinted_at() {
    run(async {
        for (first, hint) in [(&b"\x16\x03\x01\x00\x10"[..], "TLS"), (b"GET /pools HTTP/1.1\r\n\r\n", "HTTP")] {
            let upstream = loopback().await;
            let target = upstream.local_addr().expect("bound").to_string();
            let started = start(&["proxy", "--once", "--listen", "0", "--upstream", &target]);
            let mut dialler = TcpStream::connect(started.address).await.expect("connected");
            let mut served = upstream.accept().await.expect("dialled").0;
            dialler.write_all(first).await.expect("written");
            dialler.shutdown().await.expect("a FIN");
            let mut relayed = Vec::new();
            served.read_to_end(&mut relayed).await.expect("relayed");
            assert_eq!(relayed, first);
            drop((dialler, served));
            let (code, rest) = started.end();
            assert_eq!(code, Some(0));
            assert!(rest.contains(hint), "{rest}");
        }
    });
}

/// `dcproxy node`, `dcproxy proxy` and a consumer that negotiates all eight types: 0 without a quirk, 1 with one.
#[test]
fn the_scenario_passes_a_node_and_fails_one_with_a_quirk() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        for (quirk, expected) in [(None, 0), (Some("mb-35287"), 1)] {
            let mut args = vec!["node", "--listen", "0", "--items", "2000"];
            args.extend(quirk.iter().flat_map(|quirk| ["--quirk", quirk]));
            let node = start(&args);
            let (upstream, report) = (node.address.to_string(), directory.path().join("r.json"));
            let file = report.to_string_lossy();
            let scenario = ["--once", "--scenario", "orphaned-responses", "--report", &file];
            let proxy = start(&[&["proxy", "--listen", "0", "--upstream", &upstream][..], &scenario].concat());
            let login = Some(("Administrator".to_owned(), "password".to_owned()).into());
            let config = ClientConfig { login, ..ClientConfig::new(Era::V7_0, 0..4) };
            let client = consume(&Target::from(proxy.address), PATIENCE, config, &Shutdown::new()).await;
            client.expect("it connects");
            let (code, rest) = proxy.end();
            let report = std::fs::read_to_string(report).expect("written");
            assert_eq!(code, Some(expected), "{rest}{report}");
            node.signal("TERM");
            assert_eq!(node.end().0, Some(0));
        }
    });
}

/// `node --listen`, `proxy --judge consumer` and `node --connect`: what a user types to try it.
#[test]
fn a_consumer_that_dials_is_judged_and_tells_what_it_has_received() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let node = start(&["node", "--listen", "0", "--items", "2000"]);
        let (upstream, report) = (node.address.to_string(), directory.path().join("r.json"));
        let file = report.to_string_lossy();
        let judging = ["--once", "--judge", "consumer", "--report", &file];
        let proxy = start(&[&["proxy", "--listen", "0", "--upstream", &upstream][..], &judging].concat());
        let to = proxy.address.to_string();
        let client = command(&["node", "--connect", &to, "--timeout", "3s"]).output().expect("it runs");
        let (stdout, stderr) = (String::from_utf8_lossy(&client.stdout), String::from_utf8_lossy(&client.stderr));
        assert_eq!(client.status.code(), Some(0), "{stderr}");
        assert!(stdout.contains("DCP_MUTATION") && stdout.contains("violations                         0"), "{stdout}");
        let (_, rest) = proxy.end();
        let report = std::fs::read_to_string(report).expect("written");
        assert!(report.contains("consumer-answers") && report.contains("consumer-acknowledges"), "{rest}{report}");
        assert!(!report.contains("\"verdict\": \"fail\"") && !report.contains("\"verdict\":\"fail\""), "{report}");
        let login = command(&["node", "--connect", &upstream, "-u", "nobody"]).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&login.stderr);
        assert_eq!((login.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        node.signal("TERM");
        assert_eq!(node.end().0, Some(0));
    });
}

#[test]
fn a_quirk_of_the_wrong_role_is_refused() {
    for (args, said) in [
        (["--connect", "127.0.0.1:1", "--quirk", "mb-35287"], "expected a quirk of a consumer that dials"),
        (["--listen", "0", "--quirk", "go-dcp-151"], "expected a quirk of a node that is dialled"),
    ] {
        let output = command(&[&["node"][..], &args].concat()).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
    let both = command(&["node", "--listen", "0", "--connect", "127.0.0.1:1"]).output().expect("it runs");
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn the_node_says_who_may_log_in_and_names_its_quirks() {
    let unknown = command(&["node", "--listen", "0", "--quirk", "mb-1"]).output().expect("it runs");
    let stderr = String::from_utf8(unknown.stderr).expect("text");
    assert_eq!((unknown.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
    assert!(stderr.contains("mb-35287") && stderr.contains("late-disconnect") && stderr.contains("'mb-1'"), "{stderr}");
    let mut child = command(&["node", "--listen", "0"]).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let first = lines.next().expect("a line").expect("text");
    assert_eq!(first, "user Administrator password password bucket default");
    assert!(lines.next().expect("a line").expect("text").starts_with("listening on 127.0.0.1:"));
    child.kill().expect("ended");
    child.wait().expect("ended");
}
