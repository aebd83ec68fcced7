use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Service, ask, pair, relays, written};
use crate::program::command;
use crate::support::{PATIENCE, loopback, run, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The status, and the body.
async fn get(at: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let (status, head, body) = ask(at, &format!("GET {path}"), headers, "").await;
    assert!(head.to_ascii_lowercase().contains("content-type: application/json"), "{head}");
    (status, body)
}

/// A proxy with an API: what goes through it, where the API is.
async fn with_api(args: &[&str], environment: &[(&str, &str)]) -> (Service, tokio::net::TcpListener, SocketAddr) {
    let upstream = loopback().await;
    let target = upstream.local_addr().expect("bound").to_string();
    let args = [&["--listen", "0", "--upstream", &target, "--api", "0"], args].concat();
    let mut service = Service::start(&args, environment, 1);
    let line = service.line_with("api listening on ");
    (service, upstream, line.trim_start_matches("api listening on ").parse().expect("an address"))
}

/// What it says, in one line, of an API that it does not serve.
#[track_caller]
fn refused(args: &[&str], environment: &[(&str, &str)]) -> String {
    let args = [&["proxy", "--listen", "0", "--upstream", "localhost:1"], args].concat();
    let output = command(&args).envs(environment.iter().copied()).output().expect("it runs");
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
    stderr
}

#[test]
fn an_api_beyond_loopback_has_a_token_or_is_not_there() {
    let expected = "dcproxy: expected a token where the API listens beyond loopback (--api-token-file FILE, or \
        DCPROXY_API_TOKEN), found none with --api 0.0.0.0:0\n";
    assert_eq!(refused(&["--api", "0.0.0.0:0"], &[]), expected);
    let directory = tempfile::tempdir().expect("a directory");
    let text = "api = '0.0.0.0:0'\n[[proxy]]\nlisten = 0\nupstream = 'localhost:1'\n";
    let file = written(&directory, text).to_string_lossy().into_owned();
    assert_eq!(refused(&["--config", &file], &[]), expected);
    let said = refused(&["--api", "0"], &[("DCPROXY_API_TOKEN", "too-short")]);
    assert_eq!(said, "dcproxy: reading DCPROXY_API_TOKEN: expected a token of 16 to 4096 characters, found 9\n");
    let said = refused(&["--api-token-file", "/does/not/exist"], &[]);
    assert_eq!(said, "dcproxy: expected --api with --api-token-file, found none\n");
}

#[test]
fn a_token_is_demanded_wherever_it_is_given_and_other_names_are_ours_once_they_are_named() {
    const TOKEN: &str = "correct-horse-battery";
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let token = directory.path().join("token");
        std::fs::write(&token, format!("{TOKEN}\n")).expect("written");
        let upstream = "upstream = 'localhost:1'\n";
        let text = format!(
            "api = 0\napi_token_file = '{}'\napi-host = ['a', 'b']\n{upstream}[[proxy]]\nlisten = 0\n",
            token.display()
        );
        let file = written(&directory, &text).to_string_lossy().into_owned();
        let mut by_file = Service::start(&["--config", &file], &[("DCPROXY_API_TOKEN", "of-no-account-here")], 1);
        let line = by_file.line_with("api listening on ");
        let of_file = line.trim_start_matches("api listening on ").parse().expect("an address");
        let args = ["--api-host", "a", "--api-host", "b"];
        let (_by_flags, _upstream, of_flags) = with_api(&args, &[("DCPROXY_API_TOKEN", TOKEN)]).await;
        for api in [of_file, of_flags] {
            let right = format!("Host: b:8474\r\nAuthorization: Bearer {TOKEN}\r\n");
            assert_eq!(get(api, "/nothing", &right).await.0, 404);
            assert_eq!(get(api, "/nothing", "Host: a\r\n").await.0, 401);
            assert_eq!(get(api, "/healthz", "Host: a\r\n").await.0, 200);
            assert_eq!(get(api, "/healthz", "Host: c\r\n").await.0, 403);
        }
    });
}

#[test]
fn whoever_is_connected_to_the_api_does_not_keep_the_process_from_its_end() {
    run(async {
        let (service, _upstream, api) = with_api(&[], &[]).await;
        let mut open = Vec::new();
        for said in [
            "",
            "GET /healthz HTTP/1.1\r\nHost: loc",
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "POST /proxies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
        ] {
            let mut stream = TcpStream::connect(api).await.expect("connected");
            stream.write_all(said.as_bytes()).await.expect("sent");
            open.push(stream);
        }
        assert_eq!(open[2].read_u8().await.expect("answered"), b'H');
        service.signal("TERM");
        assert_eq!(service.end().0, Some(0));
    });
}

/// As many as there are places for, each asking again as soon as it is answered, small things and large ones.
#[test]
fn what_goes_through_a_proxy_goes_on_while_its_api_is_flooded() {
    const FLOODERS: usize = 64;
    run(async {
        let (service, upstream, api) = with_api(&[], &[]).await;
        let mut through = pair(service.at(""), &upstream).await;
        let answered = Arc::new(AtomicUsize::new(0));
        for flooder in 0..FLOODERS {
            let answered = Arc::clone(&answered);
            let body = if flooder % 2 == 0 { String::new() } else { "[".repeat(1024 * 1024) };
            let request =
                format!("POST /proxies HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            tokio::spawn(async move {
                loop {
                    let mut stream = TcpStream::connect(api).await.expect("connected");
                    // Where it is refused at once, the rest of it need not be read.
                    if stream.write_all(request.as_bytes()).await.is_ok() && stream.read_u8().await.is_ok() {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let mut relayed = 0;
        within(PATIENCE, async {
            // Until each of them has been answered, as it were, something was relayed between any two answers.
            while answered.load(Ordering::Relaxed) < 2 * FLOODERS || relayed < FLOODERS {
                assert!(relays(&mut through).await);
                relayed += 1;
                tokio::task::yield_now().await;
            }
        })
        .await;
    });
}

#[test]
fn health_is_ok_while_it_serves_and_503_while_it_drains() {
    run(async {
        let (mut service, upstream, api) = with_api(&["--drain", "10m"], &[("RUST_LOG", "info")]).await;
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
