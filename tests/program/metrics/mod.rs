//! `/metrics` over real sockets: what is told is what happened, also while it happens.

mod counts;
mod flood;
mod lifecycle;
mod page;
mod text;

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use self::text::Text;
use crate::support::{loopback, run};
use dcproxy::api::Api;
use dcproxy::era::Era;
use dcproxy::net::control::{Controlled, Registry};
use dcproxy::net::meter::Reading;
use dcproxy::net::proxy::{Options, Summary, serve};
use dcproxy::net::{Doors, Health, Judged, RecorderOptions, Rehearsal, Route, Shutdown, Stop, Target};
use dcproxy::node::Config;
use dcproxy::report::Report;
use dcproxy::scenario::{MESSAGES, Plan, Scenario};
use dcproxy::verdict::Judge;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The head and the body of the answer to a request of `/metrics`, with these lines in its head.
async fn ask(at: SocketAddr, headers: &str) -> (String, String) {
    let mut stream = TcpStream::connect(at).await.expect("connected");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    (head.to_ascii_lowercase(), unchunked(body))
}

/// A body that may be sent in chunks, in one piece.
fn unchunked(body: &str) -> String {
    let mut rest = body;
    let mut whole = String::new();
    while let Some((len, chunk)) = rest.split_once("\r\n") {
        let Ok(len) = usize::from_str_radix(len, 16) else { return body.to_owned() };
        whole.push_str(&chunk[..len]);
        rest = chunk[len..].trim_start_matches("\r\n");
    }
    if whole.is_empty() { body.to_owned() } else { whole }
}

async fn scrape(at: SocketAddr) -> Text {
    let (head, body) = ask(at, "").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    Text::parse(&body)
}

async fn api(registry: &Registry) -> Api {
    let target = Target::to_listen_on("0").expect("a port");
    Api::start(target.into(), Health::default(), registry.clone()).await.expect("it listens")
}

/// A proxy of a registry with nothing armed.
struct Watched {
    address: SocketAddr,
    serving: JoinHandle<Summary>,
    shutdown: Shutdown,
}

impl Watched {
    async fn start(registry: &Registry, name: &str, upstream: SocketAddr) -> Self {
        let controlled = Arc::new(Controlled::new(name));
        let plan = Plan {
            scenarios: Vec::new(),
            messages: MESSAGES.into(),
            era: None,
            settle: Duration::from_secs(1),
            fatal_too: false,
            seed: 7,
        };
        let mut judged = Judged::new(plan, Judge::Producer);
        judged.obey(Arc::clone(&controlled));
        let listener = loopback().await;
        let address = listener.local_addr().expect("bound");
        registry.enter(controlled);
        let (doors, shutdown) = (Doors::one(listener, Route::from(Target::from(upstream))), Shutdown::new());
        let told = shutdown.clone();
        let serving = tokio::spawn(async move { serve(doors, Options::default(), &mut judged, &told).await });
        Self { address, serving, shutdown }
    }

    async fn pair(&self, upstream: &TcpListener) -> (TcpStream, TcpStream) {
        let (dialler, upstream) = tokio::join!(TcpStream::connect(self.address), upstream.accept());
        (dialler.expect("connected"), upstream.expect("accepted").0)
    }

    async fn end(self) -> Summary {
        self.shutdown.stop(Stop::Now);
        self.serving.await.expect("it ends")
    }
}

/// A run in which much happens: the built-in scenario against a node, recorded, beside a proxy whose upstream is not there
/// and one with a name that has to be written with care; scraped all the while.
struct Lively {
    report: Report,
    reading: Reading,
    plain: Text,
    open_metrics: String,
    /// Each as it came.
    meanwhile: Vec<Text>,
}

const ODD: &str = "odd \"name\\\n";

static LIVELY: LazyLock<Lively> = LazyLock::new(|| run(lively()));

async fn lively() -> Lively {
    let registry = Registry::default();
    let api = api(&registry).await;
    let at = api.address();
    let tried = Arc::new(Controlled::new("tried"));
    registry.enter(Arc::clone(&tried));
    registry.enter(Arc::new(Controlled::new(ODD)));
    let nowhere = loopback().await.local_addr().expect("bound");
    let unreachable = Watched::start(&registry, "unreachable", nowhere).await;
    let mut refused = TcpStream::connect(unreachable.address).await.expect("connected");
    refused.read_to_end(&mut Vec::new()).await.ok();

    let directory = tempfile::tempdir().expect("a directory");
    let scenario = Scenario::named("orphaned-responses").expect("built in");
    let rehearsal = Rehearsal {
        controlled: Some(Arc::clone(&tried)),
        record: Some(RecorderOptions { path: directory.path().join("run.pcapng"), ..RecorderOptions::default() }),
        ..Rehearsal::new(Config { era: Era::V7_0, seed: 5, ..Config::default() }, scenario)
    };
    let mut running = tokio::spawn(rehearsal.run());
    let mut meanwhile = Vec::new();
    let rehearsed = loop {
        tokio::select! {
            rehearsed = &mut running => break rehearsed.expect("it ends").expect("loopback sockets"),
            text = scrape(at) => meanwhile.push(text),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let plain = scrape(at).await;
    let (head, open_metrics) = ask(at, "Accept: application/openmetrics-text; version=1.0.0\r\n").await;
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(unreachable.end().await.failed_dial.is_some());
    Lively { report: rehearsed.report, reading: tried.totals().read(), plain, open_metrics, meanwhile }
}
