//! TLS as the user of the program meets it: what works with which flags, and what is said where it does not.

use std::io::{BufRead, Read, Write};
use std::path::Path;
use std::process::Command;

use crate::program::{Listening, command, start};
use crate::support::certificates::{Ca, Files};
use crate::support::{PATIENCE, run};
use dcproxy::era::Era;
use dcproxy::net::tls::{Connector, ConnectorOptions, Roots, Secrets};
use dcproxy::net::{Shutdown, Upstream, consume};
use dcproxy::node::consumer::ClientConfig;

const NOOP: [u8; 24] = [0x80, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of this test")
}

fn signal(started: &Listening, name: &str) {
    let pid = started.child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill").success());
}

/// The exit code, and what was said on stderr.
fn end(mut started: Listening) -> (Option<i32>, String) {
    let mut rest = String::new();
    started.stderr.read_to_string(&mut rest).expect("text");
    (started.child.wait().expect("it ends").code(), rest)
}

/// The embedded node with a certificate of these files.
fn sealed_node(files: &Files, more: &[&str]) -> Listening {
    let tls = ["--tls", text(&files.certificate), "--tls-key", text(&files.key)];
    start(&[&["node", "--listen", "0", "--items", "2000"][..], &tls, more].concat())
}

/// A consumer of this project's own, which trusts the CA in the file, if it is to speak TLS.
fn consumes(address: &str, ca: Option<&Path>) {
    run(async {
        let options = |ca: &Path| ConnectorOptions {
            roots: Roots::File(ca.to_owned()),
            identity: None,
            name: None,
            secrets: Secrets::default(),
        };
        let tls = ca.map(|ca| Connector::new(options(ca)).expect("usable"));
        let upstream = Upstream { target: address.parse().expect("an address"), tls };
        let login = Some(("Administrator".to_owned(), "password".to_owned()).into());
        let config = ClientConfig { login, ..ClientConfig::new(Era::V7_0, 0..4) };
        consume(upstream, PATIENCE, config, &Shutdown::new()).await.expect("it connects");
    });
}

/// The verdict is that of plain connections, whichever edge has TLS: 0 without a quirk, 1 with one.
#[test]
fn the_scenario_passes_a_node_and_fails_one_with_a_quirk_over_tls() {
    let one = |dialler: bool, upstream: bool, quirk: bool| {
        let directory = tempfile::tempdir().expect("a directory");
        let (node_ca, proxy_ca) = (directory.path().join("node.pem"), directory.path().join("proxy.pem"));
        let mut args = vec!["node", "--listen", "0", "--items", "2000", "--tls-ca-out", text(&node_ca)];
        args.extend(upstream.then_some(["--tls", "auto"]).iter().flatten());
        args.extend(quirk.then_some(["--quirk", "mb-35287"]).iter().flatten());
        let node = start(&args);
        let report = directory.path().join("r.json");
        let mut args = vec!["proxy", "--once", "--listen", "0", "--upstream", &node.address, "--settle", "500ms"];
        args.extend(["--scenario", "orphaned-responses", "--report", text(&report), "--tls-ca-out", text(&proxy_ca)]);
        args.extend(dialler.then_some(["--tls", "auto"]).iter().flatten());
        args.extend(upstream.then_some(["--upstream-ca", text(&node_ca)]).iter().flatten());
        let proxy = start(&args);
        consumes(&proxy.address, dialler.then_some(&*proxy_ca));
        let (code, rest) = end(proxy);
        let report = std::fs::read_to_string(report).expect("written");
        assert_eq!(code, Some(i32::from(quirk)), "{dialler} {upstream} {quirk}: {rest}{report}");
    };
    std::thread::scope(|scope| {
        for (dialler, upstream) in [(true, false), (false, true), (true, true)] {
            for quirk in [false, true] {
                scope.spawn(move || one(dialler, upstream, quirk));
            }
        }
    });
}

/// Puts a proxy before a node, dials it once, and says how it ended.
fn dials_once(node: &str, flags: &[&str]) -> (Option<i32>, String) {
    let proxy = start(&[&["proxy", "--once", "--listen", "0", "--upstream", node][..], flags].concat());
    let mut dialler = std::net::TcpStream::connect(&proxy.address).expect("connected");
    // So that there is something to be said.
    let _ = dialler.write_all(&NOOP);
    let _ = dialler.read(&mut [0]);
    drop(dialler);
    end(proxy)
}

/// What is wrong with a certificate is one line, which names the flag that mends it, and exit 2.
#[test]
fn a_certificate_that_cannot_be_trusted_is_one_line_and_exit_2() {
    let (ca, others) = (Ca::new(), Ca::new());
    let ours = ca.file();
    let good = ["--upstream-ca", text(&ours)];
    let cases: [(Files, &[&str], &str); 4] = [
        (ca.signs_expired(&["127.0.0.1"]), &good, "its certificate expired "),
        (
            ca.signs(&["elsewhere.example"]),
            &good,
            "is not for '127.0.0.1', found elsewhere.example: --upstream-name NAME",
        ),
        (others.signs(&["127.0.0.1"]), &good, "of a CA that is not trusted here: --upstream-ca FILE"),
        (ca.signs(&["127.0.0.1"]), &["--upstream-tls"], "of a CA that is not trusted here: --upstream-ca FILE"),
    ];
    for (files, flags, told) in cases {
        let node = sealed_node(&files, &[]);
        let (code, rest) = dials_once(&node.address, flags);
        assert_eq!((code, rest.lines().count()), (Some(2), 1), "{rest}");
        assert!(rest.starts_with(&format!("dcproxy: cannot speak TLS with {}: ", node.address)), "{rest}");
        assert!(rest.contains(told), "{rest}");
    }
    let node = sealed_node(&ca.signs(&["elsewhere.example"]), &[]);
    let named = [&good[..], &["--upstream-name", "elsewhere.example"]].concat();
    assert_eq!(dials_once(&node.address, &named).0, Some(0), "the name that was asked for");
    let node = sealed_node(&ca.signs_expired(&["elsewhere.example"]), &[]);
    let (code, rest) = dials_once(&node.address, &["--upstream-insecure"]);
    assert_eq!(code, Some(0), "{rest}");
    let args = ["proxy", "--listen", "0", "--upstream", "127.0.0.1:1", "--upstream-insecure", "--timeout", "1ms"];
    let told = command(&args).output().expect("it runs").stderr;
    assert!(String::from_utf8_lossy(&told).contains("--upstream-insecure: whoever answers is believed"));
}

/// TLS where plain was meant and the reverse, at either edge.
#[test]
fn tls_for_plain_and_plain_for_tls_are_told_with_the_flag_that_mends_it() {
    let plain = start(&["node", "--listen", "0"]);
    let (code, rest) = dials_once(&plain.address, &["--upstream-insecure"]);
    assert_eq!(code, Some(2), "{rest}");
    assert!(
        rest.lines().last().is_some_and(|line| line.contains("is that a TLS port? Without --upstream-tls")),
        "{rest}"
    );
    let ca = Ca::new();
    let sealed = sealed_node(&ca.signs(&["127.0.0.1"]), &[]);
    let (_, rest) = dials_once(&sealed.address, &[]);
    assert!(rest.contains("the upstream speaks TLS") && rest.contains("--upstream-tls"), "{rest}");
    let told = command(&["node", "--connect", &sealed.address, "--timeout", "5s"]).output().expect("it runs").stderr;
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("the other end speaks TLS") && told.contains("--upstream-tls"), "{told}");
    let proxy = sealed_proxy(&ca.signs(&["127.0.0.1"]), &plain.address, &[]);
    let mut dialler = std::net::TcpStream::connect(&proxy.address).expect("connected");
    dialler.write_all(&[0x80; 24]).expect("written");
    let mut said = Vec::new();
    dialler.read_to_end(&mut said).expect("closed");
    assert_eq!(said, [0x15, 3, 3, 0, 2, 2, 70], "an alert, as of any TLS port");
    signal(&proxy, "TERM");
    let (code, rest) = end(proxy);
    assert_eq!(code, Some(0), "it does not count");
    assert!(rest.contains("it speaks memcached's protocol without TLS, where TLS is expected"), "{rest}");
}

fn sealed_proxy(files: &Files, upstream: &str, more: &[&str]) -> Listening {
    let tls = ["--tls", text(&files.certificate), "--tls-key", text(&files.key)];
    start(&[&["proxy", "--listen", "0", "--upstream", upstream][..], &tls, more].concat())
}

/// Mutual TLS end to end: the node's user proves to be it by a certificate, to the proxy and by the proxy's to the node.
#[test]
fn a_client_certificate_is_demanded_shown_and_is_a_login() {
    let (ca, others) = (Ca::new(), Ca::new());
    let (server, user) = (ca.signs(&["127.0.0.1"]), ca.signs(&["Administrator"]));
    let ca_file = ca.file();
    let node = sealed_node(&server, &["--tls-client-ca", text(&ca_file)]);
    let trust = ["--upstream-ca", text(&ca_file)];
    let (code, rest) = dials_once(&node.address, &trust);
    assert_eq!((code, rest.lines().count()), (Some(2), 1), "{rest}");
    assert!(rest.contains("it demands a client certificate: --upstream-cert FILE and --upstream-key FILE"), "{rest}");
    let stranger = others.signs(&["Administrator"]);
    let shows = |files: &Files| {
        [&trust[..], &["--upstream-cert", text(&files.certificate), "--upstream-key", text(&files.key)]]
            .concat()
            .iter()
            .map(|&flag| flag.to_owned())
            .collect::<Vec<_>>()
    };
    let strangers = shows(&stranger);
    let strangers: Vec<&str> = strangers.iter().map(String::as_str).collect();
    let (code, rest) = dials_once(&node.address, &strangers);
    assert_eq!((code, rest.lines().count()), (Some(2), 1), "{rest}");
    assert!(rest.contains("it does not take the client certificate"), "{rest}");
    let users = shows(&user);
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let proxy = sealed_proxy(&server, &node.address, &[&["--tls-client-ca", text(&ca_file)][..], &users].concat());
    let case = "orphan/mutation/KeyEnoent";
    let probe = ["probe", case, "--upstream", &proxy.address, "-b", "default", "--settle", "300ms", "--era", "7.0"];
    let probe = command(&[&probe[..], &users].concat()).output().expect("it runs");
    let stderr = String::from_utf8_lossy(&probe.stderr);
    assert_eq!(probe.status.code(), Some(0), "the certificate is the login: {stderr}");
    let consumer = [&["node", "--connect", &proxy.address, "-u", "nobody", "--timeout", "3s"][..], &users].concat();
    let refused = command(&consumer).output().expect("it runs");
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "a wrong password stays one: {stderr}");
    let without = command(&["node", "--connect", &proxy.address, trust[0], trust[1], "--timeout", "3s"]).output();
    let without = without.expect("it runs");
    assert_eq!(without.status.code(), Some(2), "no certificate, no connection");
    signal(&proxy, "TERM");
    let (code, rest) = end(proxy);
    assert_eq!(code, Some(0), "{rest}");
    assert!(rest.contains("it shows no client certificate, which --tls-client-ca demands"), "{rest}");
}

/// SIGHUP: connections from then on get the new certificate, those before go on; what cannot be read changes nothing.
#[test]
fn certificates_are_read_again_at_a_hangup() {
    let (before, after) = (Ca::new(), Ca::new());
    let files = before.signs(&["127.0.0.1"]);
    let node = start(&["node", "--listen", "0"]);
    let tls = ["--tls", text(&files.certificate), "--tls-key", text(&files.key)];
    let mut proxy = {
        let args = [&["proxy", "--listen", "0", "--upstream", &node.address][..], &tls].concat();
        let mut child = command(&args).env("RUST_LOG", "info").spawn().expect("it starts");
        let mut stderr = std::io::BufReader::new(child.stderr.take().expect("piped"));
        let address = said(&mut stderr, "listening on ").split_whitespace().last().expect("an address").to_owned();
        Listening { child, address, stderr }
    };
    let mut old = dial(&proxy.address, &before.file()).expect("agreed");
    assert!(dial(&proxy.address, &after.file()).is_err(), "the new CA is not in force");
    files.become_those(&after.signs(&["127.0.0.1"]));
    signal(&proxy, "HUP");
    said(&mut proxy.stderr, "certificates were read again");
    dial(&proxy.address, &after.file()).expect("agreed");
    assert!(dial(&proxy.address, &before.file()).is_err(), "the old CA is in force");
    std::fs::write(&files.key, "no key").expect("written");
    signal(&proxy, "HUP");
    let line = said(&mut proxy.stderr, "stay in force");
    assert!(line.contains("expected a private key in PEM, found none"), "{line}");
    dial(&proxy.address, &after.file()).expect("agreed");
    old.write_all(&NOOP).expect("written");
    let mut answer = [0; 24];
    old.read_exact(&mut answer).expect("it goes on");
    assert_eq!(answer[..2], [0x81, 0x0a]);
}

/// The next line that has this in it.
fn said(stderr: &mut impl BufRead, what: &str) -> String {
    let mut line = String::new();
    while !line.contains(what) {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).expect("text"), 0, "it never says {what}");
    }
    line
}

/// A TLS connection of a client that trusts this CA.
fn dial(
    address: &str,
    ca: &Path,
) -> Result<rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream>, std::io::Error> {
    use rustls::pki_types::pem::PemObject;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(ca).expect("one")).expect("a CA");
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").expect("a name");
    let tls = rustls::ClientConnection::new(config.into(), name).expect("it begins");
    let mut stream = rustls::StreamOwned::new(tls, std::net::TcpStream::connect(address)?);
    stream.conn.complete_io(&mut stream.sock)?;
    Ok(stream)
}

/// SSLKEYLOGFILE and the recording hold the same secrets, of both edges.
#[test]
fn the_recording_holds_the_secrets_of_the_key_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let of = |name: &str| directory.path().join(name);
    let (node_ca, proxy_ca, keys, record) = (of("node.pem"), of("proxy.pem"), of("keys"), of("r.pcapng"));
    let node = start(&["node", "--listen", "0", "--items", "10", "--tls", "auto", "--tls-ca-out", text(&node_ca)]);
    let mut args = vec!["proxy", "--once", "--listen", "0", "--upstream", &node.address, "--tls", "auto"];
    args.extend(["--tls-ca-out", text(&proxy_ca), "--upstream-ca", text(&node_ca), "--record", text(&record)]);
    args.push("--record-secrets");
    let mut child = command(&args).env("SSLKEYLOGFILE", &keys).spawn().expect("it starts");
    let mut stderr = std::io::BufReader::new(child.stderr.take().expect("piped"));
    let address = said(&mut stderr, "listening on ").split_whitespace().last().expect("an address").to_owned();
    let proxy = Listening { child, address, stderr };
    let mut dialler = dial(&proxy.address, &proxy_ca).expect("agreed");
    dialler.write_all(&NOOP).expect("written");
    dialler.read_exact(&mut [0; 24]).expect("answered");
    drop(dialler);
    assert_eq!(end(proxy).0, Some(0));
    let keys = std::fs::read_to_string(keys).expect("written");
    let recorded = secrets(&std::fs::read(&record).expect("written"));
    assert_eq!(keys, recorded);
    let clients: Vec<_> = keys.lines().filter(|line| line.starts_with("CLIENT_TRAFFIC_SECRET_0 ")).collect();
    assert_eq!(clients.len(), 2, "one for each edge: {keys}");
    let decoded = command(&["decode", text(&record)]).output().expect("it runs");
    assert_eq!(decoded.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&decoded.stdout).contains("NOOP"), "the packets are plain");
}

/// What the decryption secrets blocks of a pcapng file hold.
fn secrets(mut file: &[u8]) -> String {
    let word = |at: usize, file: &[u8]| u32::from_le_bytes(file[at..at + 4].try_into().expect("four")) as usize;
    let mut all = String::new();
    while !file.is_empty() {
        let (kind, len) = (word(0, file), word(4, file));
        if kind == 10 {
            assert_eq!(&file[8..12], b"KSLT");
            all.push_str(std::str::from_utf8(&file[16..16 + word(12, file)]).expect("text"));
        }
        file = &file[len..];
    }
    all
}

/// Files and flags that cannot be used: one line, before anything listens.
#[test]
fn what_cannot_be_used_is_one_line_and_exit_2() {
    let ca = Ca::new();
    let (one, other) = (ca.signs(&["a"]), ca.signs(&["b"]));
    let (certificate, key, others) = (text(&one.certificate), text(&one.key), text(&other.key));
    for (flags, told) in [
        (&["--tls", certificate][..], "expected --tls-key FILE with --tls "),
        (&["--tls", "/nowhere.pem", "--tls-key", key], "cannot read /nowhere.pem: No such file"),
        (&["--tls", key, "--tls-key", key], "expected certificates in PEM, found none"),
        (&["--tls", certificate, "--tls-key", certificate], "expected a private key in PEM, found none"),
        (&["--tls", certificate, "--tls-key", others], "expected the key of the certificate in "),
        (&["--tls-client-ca", certificate], "--tls <auto|CERT.pem>"),
        (&["--upstream-ca", key], "expected certificates in PEM, found none"),
        (&["--upstream-cert", certificate], "--upstream-key <FILE>"),
        (&["--upstream-name", "a b"], "expected the name of a host or an address, found 'a b'"),
        (&["--upstream-insecure", "--upstream-ca", certificate], "cannot be used with"),
    ] {
        let output = command(&["proxy", "--listen", "0", "--upstream", "localhost:1"]).args(flags).output();
        let output = output.expect("it runs");
        let stderr = String::from_utf8(output.stderr).expect("text");
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{flags:?}: {stderr}");
        assert!(stderr.contains(told), "{flags:?}: {stderr}");
    }
}
