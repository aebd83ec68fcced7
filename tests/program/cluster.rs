//! `proxy --cluster` between a client and the three nodes of `node --nodes 3`: whatever the client learns leads to the proxy.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use base64::Engine;
use dcproxy::dcp::Hello;
use dcproxy::wire::{Frame, FrameBuilder, HEADER_LEN, Header, Opaque, Opcode, ServerOpcode, Status};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::program::command;

const PATIENCE: Duration = Duration::from_secs(30);

/// A program, and what it says on stderr, line by line.
struct Told {
    child: Child,
    lines: Receiver<String>,
    /// What was passed over, looking for another line.
    passed: RefCell<Vec<String>>,
}

impl Told {
    fn start(args: &[&str]) -> Self {
        let mut child = command(args).spawn().expect("it starts");
        let stderr: BufReader<ChildStderr> = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines, passed: RefCell::default() }
    }

    /// The first line that begins so and was not asked for before, without that.
    fn says(&self, start: &str) -> String {
        let mut passed = self.passed.borrow_mut();
        let before = passed.iter().position(|line| line.starts_with(start)).map(|at| passed.remove(at));
        let mut next = before;
        loop {
            let line = next.take().map_or_else(|| self.lines.recv_timeout(PATIENCE), Ok);
            let line = line.unwrap_or_else(|_| panic!("it never says {start}"));
            match line.strip_prefix(start) {
                Some(rest) => return rest.to_owned(),
                None => passed.push(line),
            }
        }
    }

    fn listens(&self, what: &str) -> SocketAddr {
        self.says(&format!("{what}listening on ")).trim().parse().expect("an address")
    }

    /// Ends it as a user does; the exit code and the lines that were not read.
    fn end(mut self) -> (Option<i32>, Vec<String>) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "INT", &pid]).status().expect("kill").success());
        let code = self.child.wait().expect("it ends").code();
        (code, self.lines.try_iter().collect())
    }
}

/// A test that fails leaves no process behind.
impl Drop for Told {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Three nodes, and the proxy before the first of them.
struct Bed {
    nodes: Told,
    management: Vec<SocketAddr>,
    kv: Vec<SocketAddr>,
    proxy: Told,
    at: SocketAddr,
    /// The ports of the proxy that it told of, each with the node.
    doors: BTreeMap<u16, String>,
    /// What else the proxy has said.
    said: Vec<String>,
}

impl Bed {
    fn start(more: &[&str]) -> Self {
        Self::with(|_| more.iter().map(|&arg| arg.to_owned()).collect())
    }

    /// What else the proxy is told may depend on where the nodes' management is.
    fn with(more: impl FnOnce(&[SocketAddr]) -> Vec<String>) -> Self {
        let nodes =
            Told::start(&["node", "--listen", "127.0.0.1:0", "--nodes", "3", "--items", "20", "--vbuckets", "6"]);
        let management: Vec<SocketAddr> = (0..3).map(|_| nodes.listens("management ")).collect();
        let kv: Vec<SocketAddr> = (0..3).map(|_| nodes.listens("")).collect();
        // By another name than the one in maps.
        let upstream = format!("localhost:{}", kv[0].port());
        let more = more(&management);
        let mut args = vec!["proxy", "--cluster", "--listen", "0", "--upstream", &upstream];
        args.extend(more.iter().map(String::as_str));
        let proxy = Told::start(&args);
        let at = proxy.listens("");
        let doors = BTreeMap::from([(at.port(), kv[0].to_string())]);
        Self { nodes, management, kv, proxy, at, doors, said: Vec::new() }
    }

    /// Takes in which listeners the proxy has made.
    fn look(&mut self) {
        while let Ok(line) = self.proxy.lines.try_recv() {
            self.take(line);
        }
    }

    fn take(&mut self, line: String) {
        let Some((at, node)) = line.strip_prefix("listening on ").and_then(|rest| rest.split_once(" for ")) else {
            self.said.push(line);
            return;
        };
        let at: SocketAddr = at.parse().expect("an address");
        self.doors.insert(at.port(), node.to_owned());
    }

    /// The node behind a port of the proxy that a map named. The listener was told of before the map was sent, but what is
    /// told may come later than the map.
    fn behind(&mut self, port: u16) -> String {
        loop {
            if let Some(node) = self.doors.get(&port) {
                return node.clone();
            }
            match self.proxy.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.take(line),
                Err(_) => panic!("{port} is none of {:?}", self.doors),
            }
        }
    }

    /// Ends the proxy; its exit code and all that it said but where it listens.
    fn end(mut self) -> (Option<i32>, Vec<String>) {
        self.look();
        let (code, rest) = self.proxy.end();
        self.nodes.end();
        self.said.extend(rest);
        (code, self.said)
    }

    /// Changes the cluster, at its own management.
    fn change(&self, what: &str) {
        let answer = http(self.management[0], &format!("POST /dcproxy/{what} HTTP/1.1"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// The servers of a map, each as the node that the proxy says is behind it; every address in the map is the proxy's.
    fn servers(&mut self, map: &Value) -> Vec<(SocketAddr, String)> {
        let nodes: BTreeSet<u16> = self.kv.iter().chain(&self.management).map(SocketAddr::port).collect();
        let text = map.to_string();
        for port in nodes {
            assert!(!text.contains(&format!(":{port}")) || self.doors.contains_key(&port), "{port} in {text}");
        }
        let servers = map["vBucketServerMap"]["serverList"].as_array().expect("servers").clone();
        let ext = map["nodesExt"].as_array().expect("nodes").clone();
        for (server, node) in servers.iter().zip(&ext) {
            let at: SocketAddr = server.as_str().expect("text").parse().expect("an address");
            assert_eq!(node["services"]["kv"], at.port(), "{text}");
        }
        let mut all = Vec::new();
        for server in servers {
            let at: SocketAddr = server.as_str().expect("text").parse().expect("an address");
            assert!(at.ip().is_loopback());
            all.push((at, self.behind(at.port())));
        }
        all
    }
}

fn connect(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream
}

/// What an HTTP server answers.
fn http(at: SocketAddr, request: &str) -> String {
    let login = base64::engine::general_purpose::STANDARD.encode("Administrator:password");
    let mut stream = connect(at);
    let head = format!("{request}\r\nHost: {at}\r\nAuthorization: Basic {login}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// A connection, plain or over TLS.
trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// A KV client on one connection.
struct Client {
    stream: Box<dyn Stream>,
    notices: VecDeque<Vec<u8>>,
    asked: u32,
}

const MAP_NOTICES: u16 = 0x0d;
const FEATURES: [u16; 6] = [0x03, 0x07, 0x08, 0x0b, 0x0c, MAP_NOTICES];

impl Client {
    fn dial(at: SocketAddr) -> Self {
        Self::log_in(Box::new(connect(at)))
    }

    /// Over TLS, where the other end has a certificate of the CA in that file.
    fn dial_tls(at: SocketAddr, ca: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).expect("a file") {
            roots.add(certificate.expect("a certificate")).expect("a CA");
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = ClientConnection::new(Arc::new(config), at.ip().into()).expect("a client");
        Self::log_in(Box::new(StreamOwned::new(tls, connect(at))))
    }

    fn log_in(stream: Box<dyn Stream>) -> Self {
        let mut client = Self { stream, notices: VecDeque::new(), asked: 0 };
        let hello = Hello { agent: "test".to_owned(), features: FEATURES.to_vec() };
        client.asks(&hello.request(Opaque([0; 4])), Status::SUCCESS);
        let login = FrameBuilder::request(Opcode::SASL_AUTH).key(*b"PLAIN").value(*b"\0Administrator\0password");
        client.asks(&login, Status::SUCCESS);
        client.asks(&FrameBuilder::request(Opcode::SELECT_BUCKET).key(*b"default"), Status::SUCCESS);
        client
    }

    fn frame(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN];
        self.stream.read_exact(&mut bytes).expect("a header");
        let header = Header::parse_slice(&bytes).expect("whole");
        bytes.resize(usize::try_from(header.frame_len()).expect("short"), 0);
        self.stream.read_exact(&mut bytes[HEADER_LEN..]).expect("a body");
        bytes
    }

    /// The value of the answer, which is to have this status.
    fn asks(&mut self, request: &FrameBuilder, status: Status) -> Vec<u8> {
        self.asked += 1;
        let opaque = Opaque(self.asked.to_be_bytes());
        self.stream.write_all(&request.clone().opaque(opaque).build()).expect("written");
        loop {
            let bytes = self.frame();
            let frame = Frame::whole(&bytes).expect("whole");
            if frame.header().is_response() && frame.header().opaque == opaque {
                assert_eq!(frame.header().status(), Some(status), "{frame:?}");
                return frame.value().unwrap_or_default().to_vec();
            }
            self.notices.push_back(bytes);
        }
    }

    fn map(&mut self) -> Value {
        let map = self.asks(&FrameBuilder::request(Opcode::GET_CLUSTER_CONFIG), Status::SUCCESS);
        serde_json::from_slice(&map).expect("JSON")
    }

    /// The map of the next notice.
    fn notice(&mut self) -> Value {
        let bytes = if let Some(bytes) = self.notices.pop_front() { bytes } else { self.frame() };
        let frame = Frame::whole(&bytes).expect("whole");
        assert_eq!(frame.header().server_opcode(), Some(ServerOpcode::CLUSTERMAP_CHANGE_NOTIFICATION));
        serde_json::from_slice(frame.value().expect("whole")).expect("JSON")
    }

    fn set(&mut self, vbucket: u16, status: Status) -> Vec<u8> {
        let set = FrameBuilder::request(Opcode::SET).vbucket(vbucket).extras([0; 8]).key(*b"key").value(*b"1");
        self.asks(&set, status)
    }
}

fn owner(map: &Value, vbucket: u16) -> usize {
    let owner = &map["vBucketServerMap"]["vBucketMap"][usize::from(vbucket)][0];
    usize::try_from(owner.as_u64().expect("a number")).expect("small")
}

#[test]
fn a_client_that_comes_in_by_the_proxy_stays_behind_it_as_nodes_leave_and_join() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("r.pcapng");
    let recording = file.to_string_lossy().into_owned();
    let mut bed = Bed::start(&["--record", &recording, "--cluster-ports", "1024-65535"]);
    let mut first = Client::dial(bed.at);
    let map = first.map();
    let servers = bed.servers(&map);
    let behind = |servers: &[(SocketAddr, String)]| servers.iter().map(|(_, node)| node.clone()).collect::<Vec<_>>();
    let kv: Vec<String> = bed.kv.iter().map(ToString::to_string).collect();
    assert_eq!(behind(&servers), kv);
    assert_eq!(servers[0].0, bed.at, "the node that was dialled is behind the first listener");

    // Each vbucket is where the map says, and those who have it not say where, in the proxy's words.
    let mut clients: Vec<Client> = servers.iter().map(|(at, _)| Client::dial(*at)).collect();
    for vbucket in 0..6 {
        for (at, client) in clients.iter_mut().enumerate() {
            if at == owner(&map, vbucket) {
                client.set(vbucket, Status::SUCCESS);
            } else {
                let told: Value = serde_json::from_slice(&client.set(vbucket, Status::NOT_MY_VBUCKET)).expect("JSON");
                assert_eq!(bed.servers(&told), servers);
            }
        }
    }

    bed.change("leave/2");
    let told = first.notice();
    assert_eq!((behind(&bed.servers(&told)), told["rev"].as_u64()), (kv[..2].to_vec(), Some(2)));
    assert_eq!(first.map(), told);
    let left = servers[2].0;
    // The listener goes when the change has been heard of, by a task that may have more to do.
    let began = std::time::Instant::now();
    while TcpStream::connect(left).is_ok() {
        assert!(began.elapsed() < PATIENCE, "{left} still accepts connections");
    }
    clients[2].asks(&FrameBuilder::request(Opcode::NOOP), Status::SUCCESS);

    bed.change("join/2");
    let told = first.notice();
    let servers = bed.servers(&told);
    assert_eq!(behind(&servers), kv);
    let mut third = Client::dial(servers[2].0);
    let vbucket = (0..6).find(|vbucket| owner(&told, *vbucket) == 2).expect("it has some");
    third.set(vbucket, Status::SUCCESS);

    drop((first, clients, third));
    let (code, lines) = bed.end();
    assert_eq!(code, Some(0), "nothing was armed: {lines:?}");
    assert!(lines.iter().all(|line| !line.contains("WARN") || line.contains("recording to")), "{lines:?}");
    let check = command(&["check", &recording]).output().expect("it runs");
    let said = String::from_utf8_lossy(&check.stdout).into_owned() + &String::from_utf8_lossy(&check.stderr);
    assert!(!matches!(check.status.code(), Some(1 | 2)), "{said}");
}

/// What cannot be done is one line that says so, and the client does not get away.
#[test]
fn where_there_is_no_port_for_a_node_the_map_is_kept_back_and_the_user_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let bed = Bed::start(&["--cluster-ports", &format!("{port}-{port}")]);
    let mut client = Client::dial(bed.at);
    for _ in 0..2 {
        client.asks(&FrameBuilder::request(Opcode::GET_CLUSTER_CONFIG), Status::ETMPFAIL);
    }
    let refused = client.set(1, Status::NOT_MY_VBUCKET);
    assert!(refused.is_empty(), "a refusal without a map");
    drop(client);
    let (code, lines) = bed.end();
    let told: Vec<&String> = lines.iter().filter(|line| line.contains("--cluster-ports")).collect();
    assert_eq!((code, told.len()), (Some(0), 1), "{lines:?}");
    assert!(
        told[0].contains("a cluster map was kept from the client") && told[0].contains(&port.to_string()),
        "{told:?}"
    );
}

/// An HTTP answer: its status line and its body, of which chunks are taken apart.
fn answer(text: &str) -> (String, String) {
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
    let status = head.lines().next().expect("a line").to_owned();
    (status, body.to_owned())
}

#[test]
fn a_client_that_begins_at_the_management_port_stays_behind_the_proxy_too() {
    let mut bed = Bed::with(|management| vec!["--cluster-management".to_owned(), format!("0={}", management[1])]);
    let management = bed.proxy.listens("management ");
    bed.doors.insert(management.port(), bed.management[1].to_string());

    let get = |path: &str| http(management, &format!("GET {path} HTTP/1.1"));
    for path in
        ["/pools/default/b/default", "/pools/default/buckets/default", "/pools/default", "/pools/default/nodeServices"]
    {
        let (status, body) = answer(&get(path));
        assert_eq!(status, "HTTP/1.1 200 OK", "{path}");
        let map: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"));
        let ports: Vec<u16> = bed.kv.iter().chain(&bed.management).map(SocketAddr::port).collect();
        for port in ports {
            assert!(!body.contains(&format!(":{port}")), "{path} names port {port} of a node: {body}");
        }
        if path.ends_with("/b/default") {
            let servers = bed.servers(&map);
            assert_eq!(servers.len(), 3);
            // The second node's management is where the client began, the others' have listeners of their own.
            assert_eq!(map["nodesExt"][1]["services"]["mgmt"], management.port());
            let first = map["nodesExt"][0]["services"]["mgmt"].as_u64().expect("a port");
            let other = SocketAddr::new(management.ip(), u16::try_from(first).expect("a port"));
            assert_eq!(answer(&http(other, "GET /pools HTTP/1.1")).0, "HTTP/1.1 200 OK");
            Client::dial(servers[2].0).asks(&FrameBuilder::request(Opcode::NOOP), Status::SUCCESS);
        }
    }
    assert!(get("/pools").contains("\"uri\":\"/pools/default\""));

    // What is no map is not passed on, and what the node refuses is refused.
    let refused = |request: &str| answer(&http(management, request));
    assert_eq!(refused("GET /settings/web HTTP/1.1").0, "HTTP/1.1 404 Not Found");
    let (status, why) = refused("POST /dcproxy/leave/0 HTTP/1.1");
    assert!(
        status == "HTTP/1.1 403 Forbidden" && why.contains("of a management port it proxies GET"),
        "{status} {why}"
    );
    let mut stranger = TcpStream::connect(management).expect("connected");
    stranger.write_all(b"GET /pools HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("written");
    let mut text = String::new();
    stranger.read_to_string(&mut text).expect("an answer");
    assert!(text.starts_with("HTTP/1.1 401 "), "{text}");

    // Each map of a stream is rewritten, the listeners of a node that has joined are there before it is named.
    let login = base64::engine::general_purpose::STANDARD.encode("Administrator:password");
    let mut stream = connect(management);
    let head = format!("GET /pools/default/bs/default HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("written");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("text")).filter(|line| line.starts_with('{'));
    let mut next = || serde_json::from_str::<Value>(&lines.next().expect("a map")).expect("JSON");
    assert_eq!(bed.servers(&next()).len(), 3);
    bed.change("leave/2");
    assert_eq!(bed.servers(&next()).len(), 2);
    bed.change("join/2");
    let servers = bed.servers(&next());
    assert_eq!((servers.len(), servers[2].1.clone()), (3, bed.kv[2].to_string()));
    Client::dial(servers[2].0).asks(&FrameBuilder::request(Opcode::NOOP), Status::SUCCESS);

    let (code, said) = bed.end();
    assert_eq!(code, Some(0), "{said:?}");
    let told = said.iter().filter(|line| line.contains("was refused: of management ports")).count();
    assert_eq!(told, 2, "{said:?}");
    assert!(!said.iter().any(|line| line.contains("password") || line.contains(&login)), "{said:?}");
}

/// With TLS at both edges nothing plain is offered, and each node's TLS port is what is dialled for its listener.
#[test]
fn over_tls_every_node_is_behind_a_listener_that_speaks_tls() {
    let directory = tempfile::tempdir().expect("a directory");
    let [node_ca, proxy_ca] = ["node.pem", "proxy.pem"].map(|name| directory.path().join(name));
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (node_pem, proxy_pem) = (text(&node_ca), text(&proxy_ca));
    let nodes =
        ["node", "--listen", "127.0.0.1:0", "--nodes", "3", "--items", "20", "--vbuckets", "6", "--tls", "auto"];
    let nodes = Told::start(&[&nodes[..], &["--tls-ca-out", &node_pem]].concat());
    let tls: Vec<SocketAddr> = (0..3).map(|_| nodes.listens("tls ")).collect();
    let upstream = tls[0].to_string();
    let edges = ["--tls", "auto", "--tls-ca-out", &proxy_pem, "--upstream-ca", &node_pem];
    let proxy = Told::start(
        &[&["proxy", "--cluster", "--listen", "127.0.0.1:0", "--upstream", &upstream][..], &edges].concat(),
    );
    let at = proxy.listens("");
    let map = Client::dial_tls(at, &proxy_ca).map();
    let mut doors = BTreeMap::from([(at.port(), upstream)]);
    // Two more nodes, and the management of all three.
    for _ in 0..2 + 3 {
        let told = proxy.says("listening on ");
        let (door, node) = told.split_once(" for ").expect("a door of a node");
        doors.insert(door.parse::<SocketAddr>().expect("an address").port(), node.to_owned());
    }
    for (number, node) in map["nodesExt"].as_array().expect("nodes").iter().enumerate() {
        let services = node["services"].as_object().expect("services");
        let port = services["kvSSL"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        assert_eq!((services.len(), doors.get(&port)), (2, Some(&tls[number].to_string())), "{services:?}");
        assert_eq!(map["vBucketServerMap"]["serverList"][number], format!("127.0.0.1:{port}"));
        let mut client = Client::dial_tls(SocketAddr::new(at.ip(), port), &proxy_ca);
        let vbucket = (0..6).find(|vbucket| owner(&map, *vbucket) == number).expect("it has some");
        client.set(vbucket, Status::SUCCESS);
    }
    assert_eq!(proxy.end().0, Some(0));
}
