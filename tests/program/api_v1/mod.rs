//! `/dcp/v1` over real sockets: a proxy before an embedded node, its consumers, and whoever asks.

mod armed;
mod connections;
mod journal;
mod openapi;
mod recording;
mod scenarios;
mod verdict;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dcproxy::api::Api;
use dcproxy::net::control::{Controlled, Registry};
use dcproxy::net::proxy::{Options, serve};
use dcproxy::net::{Doors, Health, Judged, Shutdown, Stop, Target, consume, serve_node};
use dcproxy::node::consumer::ClientConfig;
use dcproxy::node::{Config, Node};
use dcproxy::report::Report;
use dcproxy::scenario::{MESSAGES, Plan};
use dcproxy::verdict::Judge;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::{PATIENCE, loopback, within};

/// How long an answer may take at most, whatever the traffic does: the second that a link has to answer, and slack for a
/// machine that is busy.
const PROMPT: Duration = Duration::from_secs(5);
const SETTLE: Duration = Duration::from_millis(200);

/// A proxy that is called `p`, with its API.
struct Bench {
    api: Api,
    proxy: Arc<Controlled>,
    /// Where the proxy listens.
    at: SocketAddr,
    node: Config,
    shutdown: Shutdown,
    serving: JoinHandle<Report>,
}

impl Bench {
    /// Before an embedded node.
    async fn start(folder: Option<&Path>) -> Self {
        let node = Config { items: 2_000, interval: Some(Duration::from_millis(20)), ..Config::default() };
        let listener = loopback().await;
        let upstream = listener.local_addr().expect("bound");
        let (served, shutdown) = (node.clone(), Shutdown::new());
        let stop = shutdown.clone();
        tokio::spawn(async move { serve_node([listener], Node::new(served), &stop).await });
        Self::before(upstream, node, shutdown, folder).await
    }

    /// Before whoever listens there.
    async fn facing(upstream: &TcpListener) -> Self {
        Self::before(upstream.local_addr().expect("bound"), Config::default(), Shutdown::new(), None).await
    }

    async fn before(upstream: SocketAddr, node: Config, shutdown: Shutdown, folder: Option<&Path>) -> Self {
        let listener = loopback().await;
        let at = listener.local_addr().expect("bound");
        let registry = Registry::default();
        if let Some(folder) = folder {
            registry.record_into(folder.to_owned());
        }
        let proxy = Arc::new(Controlled::new("p"));
        let plan = Plan { messages: MESSAGES.into(), settle: SETTLE, seed: 7, ..Plan::default() };
        let mut judged = Judged::new(plan, Judge::Producer);
        judged.obey(Arc::clone(&proxy));
        registry.enter(Arc::clone(&proxy));
        let api = Target::from("127.0.0.1:0".parse::<SocketAddr>().expect("an address"));
        let api = Api::start(api.into(), Health::default(), registry).await.expect("a free port");
        let stop = shutdown.clone();
        let serving = tokio::spawn(async move {
            let doors = Doors::one(listener, Target::from(upstream));
            let summary = serve(doors, Options::default(), &mut judged, &stop).await;
            tokio::task::spawn_blocking(move || judged.report(&summary)).await.expect("a report")
        });
        Self { api, proxy, at, node, shutdown, serving }
    }

    /// A consumer of all vbuckets, which goes on until all is stopped.
    fn consume(&self) {
        let login = Some((self.node.user.clone(), self.node.password.clone()).into());
        let config = ClientConfig {
            login,
            bucket: self.node.bucket.clone(),
            name: "orders".to_owned(),
            ..ClientConfig::new(self.node.era, 0..self.node.vbuckets)
        };
        let (at, shutdown) = (Target::from(self.at), self.shutdown.clone());
        tokio::spawn(async move { consume(&at, PATIENCE, config, &shutdown).await });
    }

    /// A connection that says nothing by itself: what dials it, and what the proxy dialled.
    async fn pair(&self, upstream: &TcpListener) -> (TcpStream, TcpStream) {
        let (dialler, upstream) = tokio::join!(TcpStream::connect(self.at), upstream.accept());
        (dialler.expect("connected"), upstream.expect("accepted").0)
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, _, body) = self.ask_as(method, path, "", body).await;
        (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{method} {path}: {error} in {body}")))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, value) = self.ask("GET", path, "").await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    /// The status, the content type and the body.
    async fn ask_as(&self, method: &str, path: &str, content_type: &str, body: &str) -> (u16, String, String) {
        within(PATIENCE, asked(self.api.address(), method, path, content_type, body)).await
    }

    /// Asks until the answer is as it is to become; what is asked about may yet have to come.
    async fn until(&self, path: &str, is: impl Fn(&Value) -> bool) -> Value {
        within(PATIENCE, async {
            loop {
                let (status, value) = self.ask("GET", path, "").await;
                if status == 200 && is(&value) {
                    return value;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// The one connection, once its streams are open and items have come.
    async fn streaming(&self) -> Value {
        let path = "/dcp/v1/proxies/p/connections";
        let all = self.until(path, |all| all["connections"][0]["opened"] == true).await;
        let id = all["connections"][0]["id"].as_u64().expect("a number");
        self.until(&format!("{path}/{id}"), |one| {
            let streams = one["streams"]["streams"].as_array().map_or(&[][..], Vec::as_slice);
            streams.len() == 4 && streams.iter().all(|stream| stream["items"].as_u64() > Some(0))
        })
        .await
    }

    /// Follows the journal.
    async fn follow(&self, query: &str) -> Followed {
        let stream = TcpStream::connect(self.api.address()).await.expect("connected");
        let (reads, mut writes) = stream.into_split();
        let path = format!("/dcp/v1/proxies/p/journal{query}");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.api.address());
        writes.write_all(request.as_bytes()).await.expect("written");
        let mut followed = Followed { reads: BufReader::new(reads), _writes: writes };
        let status = followed.line().await.expect("a status");
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        while followed.line().await.is_some_and(|line| !line.is_empty()) {}
        followed
    }

    async fn end(self) -> Report {
        self.shutdown.stop(Stop::Now);
        within(PATIENCE, self.serving).await.expect("it ends")
    }
}

/// One request on a connection of its own.
pub(super) async fn asked(
    at: SocketAddr,
    method: &str,
    path: &str,
    content_type: &str,
    body: &str,
) -> (u16, String, String) {
    let mut stream = TcpStream::connect(at).await.expect("connected");
    let content_type =
        if content_type.is_empty() { String::new() } else { format!("Content-Type: {content_type}\r\n") };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n{content_type}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let content_type =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-type: ").map(str::to_owned));
    (status, content_type.unwrap_or_default(), body.to_owned())
}

/// A journal that is followed, as the chunks of its answer come.
struct Followed {
    reads: BufReader<tokio::net::tcp::OwnedReadHalf>,
    _writes: OwnedWriteHalf,
}

impl Followed {
    /// A line; `None` at the end of the answer.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = within(PATIENCE, self.reads.read_line(&mut line)).await.expect("text");
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event: its name, and what it says; `None` once there are no more.
    async fn event(&mut self) -> Option<(String, Value)> {
        let mut name = String::new();
        loop {
            let line = self.line().await?;
            if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((name, serde_json::from_str(data).expect("JSON")));
            } else if line == "0" {
                // The last chunk.
                return None;
            }
        }
    }
}
