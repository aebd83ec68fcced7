use std::io::Read;
use std::io::Write;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::routing::get;
use axum::routing::post;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::pending;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

use super::*;

const TOKEN: &str = "correct-horse-battery";
/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(60);

/// What comes, in much less time than whoever is silent has.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG / 2, what).await.expect("in time")
}

const BOUNDS: Bounds = Bounds { connections: 3, patience: LONG, leave: Duration::from_millis(10) };

/// An API with routes that a request can be lost in.
fn api(bounds: Bounds, token: Option<&str>) -> impl Future<Output = Api> {
    let routes = health::routes(Health::default())
        .route("/crash", get(async || -> &'static str { panic!("said \u{1b}[31m by a handler") }))
        .route("/endless", get(async || Body::from_stream(pending::<io::Result<Bytes>>())))
        .route("/length", post(async |body: String| body.len().to_string()));
    let token = token.map(|text| Token::new(text).expect("a token"));
    let router = router(Guard::new(["127.0.0.1"]), token, bounds, routes);
    serving(router, bounds)
}

async fn serving(router: Router, bounds: Bounds) -> Api {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a listener");
    let address = listener.local_addr().expect("bound");
    let close = watch::Sender::new(false);
    let task = tokio::spawn(serve(listener, router, bounds, close.subscribe()));
    Api { address, task, close, registry: Registry::default() }
}

/// A connection on which that much was sent.
async fn sent(api: &Api, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(api.address).await.expect("connected");
    stream.write_all(text.as_bytes()).await.expect("sent");
    stream
}

/// A connection that is in the middle of an answer.
async fn endless(api: &Api) -> TcpStream {
    let mut stream = sent(api, "GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    head(&mut stream).await;
    stream
}

/// All that comes until the connection is closed; one that is reset at its end is closed.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    soon(stream.read_to_end(&mut text)).await.ok();
    String::from_utf8(text).expect("text")
}

/// The answer to the only request of a connection: its status, its head, its body.
async fn ask(api: &Api, line: &str, headers: &str, body: &str) -> (u16, String, String) {
    let len = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let text = format!("{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}{len}\r\n{body}");
    let answer = rest(sent(api, &text).await).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: '{answer}'"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, head.to_ascii_lowercase(), body.to_owned())
}

/// The head of the next answer on a connection.
async fn head(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(soon(stream.read_u8()).await.expect("an answer"));
    }
    String::from_utf8(text).expect("text")
}

#[tokio::test]
async fn every_answer_is_for_now_is_what_it_says_and_gives_no_page_leave() {
    let api = api(BOUNDS, Some(TOKEN)).await;
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    let page = format!("{right}Origin: http://127.0.0.1\r\nAccess-Control-Request-Method: POST\r\n");
    let long = "x".repeat(limits::MAX_BODY + 1);
    for (status, line, headers, body) in [
        (503, "GET /healthz", "", ""),
        (401, "GET /nothing", "", ""),
        (403, "GET /healthz", "Origin: null\r\n", ""),
        (404, "GET /nothing", &*right, ""),
        (404, "GET //healthz", &right, ""),
        (405, "DELETE /healthz", "", ""),
        (405, "OPTIONS /length", &page, ""),
        (413, "POST /length", &right, &*long),
        (500, "GET /crash", &right, ""),
        (200, "POST /length", &page, "abc"),
    ] {
        let (found, head, answer) = ask(&api, line, headers, body).await;
        assert_eq!(found, status, "{line}: {head}");
        for header in ["cache-control: no-store", "x-content-type-options: nosniff"] {
            assert_eq!(head.matches(header).count(), 1, "{line}: {head}");
        }
        assert!(!head.contains("access-control"), "{line}: {head}");
        if status > 400 && status != 503 {
            assert!(
                answer.starts_with(r#"{"error":"#) && answer.ends_with(&format!(r#""status":{status}}}"#)),
                "{answer}"
            );
        }
    }
}

#[tokio::test]
async fn without_the_token_nothing_but_health_is_told() {
    let api = api(BOUNDS, Some(TOKEN)).await;
    assert_eq!(ask(&api, "GET /healthz", "", "").await.0, 503);
    for (headers, challenge) in [
        ("", "www-authenticate: bearer realm=\"dcproxy\"\r\n"),
        ("Authorization: Bearer correct-horse-batterx\r\n", ", error=\"invalid_token\"\r\n"),
        ("Authorization: Basic Y29ycmVjdA==\r\n", "www-authenticate: bearer realm=\"dcproxy\"\r\n"),
    ] {
        for line in ["POST /length", "GET /crash", "GET /nothing", "OPTIONS /length", "GET /healthz/", "GET //healthz"]
        {
            let (status, head, answer) = ask(&api, line, headers, "").await;
            assert_eq!(status, 401, "{line} {headers}");
            assert!(format!("{head}\r\n").contains(challenge), "{head}");
            assert!(!answer.contains("batter"), "{answer}");
        }
    }
    let headers = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(ask(&api, "POST /length", &headers, "abcd").await.2, "4");
}

#[tokio::test]
async fn a_handler_that_crashes_is_answered_for_and_the_connection_goes_on() {
    let api = api(BOUNDS, None).await;
    let mut stream = sent(&api, "GET /crash HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 500"));
    let said = r#"{"error":"the tool crashed: said \\u{1b}[31m by a handler","status":500}"#;
    let mut body = vec![0; said.len()];
    stream.read_exact(&mut body).await.expect("its body");
    assert_eq!(String::from_utf8(body).expect("text"), said);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 503"));
}

#[tokio::test]
async fn a_head_is_short_and_has_few_lines() {
    let api = api(BOUNDS, None).await;
    let lines = |count: usize| "A: b\r\n".repeat(count);
    // Two lines are those of every request here.
    assert_eq!(ask(&api, "GET /healthz", &lines(limits::MAX_HEADERS - 2), "").await.0, 503);
    assert_eq!(ask(&api, "GET /healthz", &lines(limits::MAX_HEADERS - 1), "").await.0, 431);
    assert_eq!(ask(&api, "GET /healthz", &format!("A: {}\r\n", "x".repeat(limits::MAX_HEAD)), "").await.0, 431);
    assert_eq!(ask(&api, &format!("GET /{}", "x".repeat(limits::MAX_HEAD)), "", "").await.0, 431);
}

#[tokio::test]
async fn who_has_nothing_to_say_makes_room_and_who_waits_for_an_answer_stays() {
    let api = api(BOUNDS, None).await;
    let mut waits = endless(&api).await;
    let silent = sent(&api, "").await;
    let half = sent(&api, "GET /healthz HT").await;
    let (status, ..) = ask(&api, "GET /healthz", "", "").await;
    assert_eq!(status, 503);
    assert_eq!(rest(silent).await, "", "the one that was silent for longest has gone");
    let _others = (sent(&api, "").await, sent(&api, "").await);
    assert_eq!(ask(&api, "GET /healthz", "", "").await.0, 503);
    assert_eq!(rest(half).await, "");
    assert!(waits.read_u8().now_or_never().is_none(), "it has neither come to an end nor been closed");
}

#[tokio::test]
async fn where_all_wait_for_answers_one_more_waits_until_one_has_gone() {
    let api = api(BOUNDS, None).await;
    let mut asked = Vec::new();
    for _ in 0..BOUNDS.connections {
        asked.push(endless(&api).await);
    }
    let asking = ask(&api, "GET /healthz", "", "");
    let mut asking = std::pin::pin!(asking);
    for _ in 0..100 {
        assert!(asking.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    asked.pop();
    assert_eq!(asking.await.0, 503);
}

#[tokio::test]
async fn who_does_not_come_to_an_end_with_a_request_is_given_up() {
    let api = api(Bounds { patience: Duration::from_millis(100), ..BOUNDS }, None).await;
    for part in ["", "GET /healthz HTTP/1.1\r\nHost: local"] {
        assert_eq!(rest(sent(&api, part).await).await, "", "{part}");
    }
    let half = "POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc";
    let answer = rest(sent(&api, half).await).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("expected a whole body within 100ms"), "{answer}");
}

#[tokio::test]
async fn the_end_waits_for_nobody_who_is_silent_and_only_for_a_moment_for_others() {
    let api = api(BOUNDS, None).await;
    let at = api.address;
    let mut idle = sent(&api, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    head(&mut idle).await;
    let half = sent(&api, "POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc").await;
    let endless = endless(&api).await;
    soon(api.finish()).await;
    for stream in [idle, half, endless] {
        rest(stream).await;
    }
    assert!(TcpStream::connect(at).await.is_err());
}

/// Each answer keeps a thread for a while, as a long document may. Between two answers whoever is no part of the API is heard
/// many times; if they kept all threads, some thirty would be given before that is heard once.
#[test]
fn a_flood_of_requests_leaves_a_thread_for_traffic() {
    const FLOODERS: usize = 32;
    const ROUNDS: usize = 50;
    let answered = Arc::new(AtomicUsize::new(0));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let _entered = runtime.enter();
    let counted = Arc::clone(&answered);
    let busy = async move || {
        std::thread::sleep(Duration::from_millis(2));
        counted.fetch_add(1, Ordering::Relaxed);
    };
    let router = router(Guard::new([]), None, BOUNDS, Router::new().route("/busy", get(busy)));
    let api = runtime.block_on(serving(router, Bounds { connections: FLOODERS, ..BOUNDS }));
    let echo = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("a listener");
    let (at, echo_at) = (api.address, echo.local_addr().expect("bound"));
    runtime.spawn(async move {
        let (mut stream, _) = echo.accept().await.expect("accepted");
        let (mut from, mut to) = stream.split();
        tokio::io::copy(&mut from, &mut to).await.ok();
    });
    for _ in 0..FLOODERS {
        let mut stream = std::net::TcpStream::connect(at).expect("connected");
        std::thread::spawn(move || {
            let mut answer = [0; 1024];
            while stream.write_all(b"GET /busy HTTP/1.1\r\nHost: localhost\r\n\r\n").is_ok()
                && stream.read(&mut answer).is_ok_and(|len| len > 0)
            {}
        });
    }
    while answered.load(Ordering::Relaxed) < FLOODERS {
        std::thread::yield_now();
    }
    let mut through = std::net::TcpStream::connect(echo_at).expect("connected");
    let before = answered.load(Ordering::Relaxed);
    for _ in 0..ROUNDS {
        through.write_all(b"x").expect("sent");
        through.read_exact(&mut [0]).expect("it comes back");
    }
    let meanwhile = answered.load(Ordering::Relaxed) - before;
    runtime.shutdown_background();
    assert!(meanwhile < 4 * ROUNDS, "{meanwhile} answers while {ROUNDS} bytes came and went");
}

#[tokio::test]
async fn beyond_loopback_there_is_no_api_without_a_token() {
    let start = async |at: &str, token: Option<&str>| {
        let at = at.parse::<Target>().expect("an address");
        let token = token.map(|text| Token::new(text).expect("a token"));
        Api::start(Access { token, ..at.into() }, Health::default(), Registry::default()).await.map(drop)
    };
    for beyond in ["0.0.0.0:0", "[::]:0"] {
        let error = start(beyond, None).await.expect_err("refused").to_string();
        assert!(error.contains("--api-token-file") && error.contains(beyond), "{error}");
    }
    assert!(start("127.0.0.2:0", None).await.is_ok());
    assert!(start("127.0.0.1:0", Some(TOKEN)).await.is_ok());
}
