use std::net::SocketAddr;

use super::{Service, pair, relays};
use crate::support::{loopback, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The status, and the body.
async fn get(at: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(at).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    assert!(head.to_ascii_lowercase().contains("content-type: application/json"), "{head}");
    (status.unwrap_or_else(|| panic!("no status: {answer}")), body.to_owned())
}

#[test]
fn health_is_ok_while_it_serves_and_503_while_it_drains() {
    run(async {
        let upstream = loopback().await;
        let target = upstream.local_addr().expect("bound").to_string();
        let args = ["--listen", "0", "--upstream", &target, "--api", "0", "--drain", "10m"];
        let mut service = Service::start(&args, &[("RUST_LOG", "info")], 1);
        let line = service.line_with("api listening on ");
        let api: SocketAddr = line.trim_start_matches("api listening on ").parse().expect("an address");
        assert!(api.ip().is_loopback());
        let host = format!("Host: {api}\r\n");
        let ok = (200, r#"{"status":"ok","proxies":1}"#.to_owned());
        assert_eq!(get(api, "/healthz", &host).await, ok);
        assert_eq!(get(api, "/healthz", "Host: localhost\r\n").await, ok);
        assert_eq!(get(api, "/healthz", "Host: evil.example\r\n").await.0, 403);
        assert_eq!(get(api, "/healthz", &format!("{host}Origin: http://evil.example\r\n")).await.0, 403);
        assert_eq!(get(api, "/nothing", &host).await.0, 404);
        let mut through = pair(service.at(""), &upstream).await;
        service.signal("TERM");
        service.line_with("draining");
        assert_eq!(get(api, "/healthz", &host).await, (503, r#"{"status":"draining","proxies":0}"#.to_owned()));
        assert!(TcpStream::connect(service.at("")).await.is_err(), "nobody is let in");
        assert!(relays(&mut through).await);
        drop(through);
        assert_eq!(service.end().0, Some(0));
    });
}
