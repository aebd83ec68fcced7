//! Proxies that are made, changed and ended over HTTP, by `dcproxy serve` and beside those of a file.

use std::net::SocketAddr;

use super::{Service, ask, pair, relays, written};
use crate::program::command;
use crate::support::{loopback, run};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Asks, and expects this status.
async fn asked(api: SocketAddr, line: &str, body: &Value, expected: u16) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, _, answer) = ask(api, line, "Host: localhost\r\n", &body).await;
    assert_eq!(status, expected, "{line}: {answer}");
    if answer.is_empty() { Value::Null } else { serde_json::from_str(&answer).expect("JSON") }
}

fn listen(proxy: &Value) -> SocketAddr {
    proxy["listen"].as_str().expect("text").parse().expect("an address")
}

impl Service {
    /// Where something that is called so listens, of which the next line that says so tells.
    fn told(&mut self, what: &str) -> SocketAddr {
        let line = self.line_with(&format!("{what} listening on "));
        line.rsplit(' ').next().expect("a word").parse().expect("an address")
    }
}

#[test]
fn serve_begins_with_the_proxies_of_a_file_makes_others_and_ends_as_a_success() {
    run(async {
        let upstream = loopback().await;
        let to = upstream.local_addr().expect("bound").to_string();
        let directory = tempfile::tempdir().expect("a directory");
        let proxy = |name: &str| json!({"name": name, "listen": "127.0.0.1:0", "upstream": to});
        let mut off = proxy("off");
        off["enabled"] = false.into();
        let file = directory.path().join("proxies.json");
        std::fs::write(&file, json!([proxy("one"), off]).to_string()).expect("written");
        let mut serve = command(&["serve", "--api", "0", "--populate", &file.to_string_lossy()]);
        let mut service = Service::of(&mut serve, 0);
        let (one, api) = (service.told("one"), service.told("api"));
        assert!(relays(&mut pair(one, &upstream).await).await);
        let all = asked(api, "GET /proxies", &Value::Null, 200).await;
        assert_eq!((listen(&all["one"]), &all["off"]["enabled"]), (one, &json!(false)));

        let made = asked(api, "POST /proxies", &proxy("made\n"), 400).await;
        assert!(made["error"].as_str().is_some_and(|error| error.contains("name of a proxy")), "{made}");
        let made = asked(api, "POST /proxies", &proxy("made"), 201).await;
        assert_eq!(service.told("made"), listen(&made));
        let (mut near, mut far) = pair(listen(&made), &upstream).await;
        assert!(relays(&mut (near, far)).await);

        // On a connection that is open, from the answer on.
        (near, far) = pair(listen(&made), &upstream).await;
        let cut = json!({"type": "limit_data", "attributes": {"bytes": 3}});
        asked(api, "POST /proxies/made/toxics", &cut, 200).await;
        far.write_all(b"12345").await.expect("written");
        let mut arrived = Vec::new();
        near.read_to_end(&mut arrived).await.expect("closed");
        assert_eq!(arrived, b"123");

        let _open = pair(one, &upstream).await;
        service.signal("TERM");
        assert_eq!(service.end(), (Some(0), String::new()));
    });
}

#[test]
fn a_file_of_proxies_that_cannot_be_is_an_error_before_anything_serves() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("proxies.json");
        let path = file.to_string_lossy();
        let taken = loopback().await.local_addr().expect("bound");
        let taken_still = TcpListener::bind(taken).await.expect("free");
        for (text, told) in [
            ("{", "bad request body: expected JSON, found otherwise: ".to_owned()),
            ("[{}]", "missing required field: name at proxy 1".to_owned()),
            (
                &*json!([{"name": "a", "listen": taken.to_string(), "upstream": "a:1"}]).to_string(),
                format!("proxy 'a': listen tcp {taken}: bind: address already in use"),
            ),
        ] {
            std::fs::write(&file, text).expect("written");
            let output = command(&["serve", "--api", "0", "--populate", &path]).output().expect("it runs");
            let said = String::from_utf8(output.stderr).expect("text");
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.starts_with(&format!("dcproxy: {path}: {told}")), "{said}");
        }
        drop(taken_still);
    });
}

#[test]
fn proxies_of_a_file_are_changed_over_http_and_a_reload_leaves_what_was_made_beside() {
    run(async {
        let (old, new) = (loopback().await, loopback().await);
        let (to_old, to_new) = (old.local_addr().expect("bound"), new.local_addr().expect("bound"));
        let directory = tempfile::tempdir().expect("a directory");
        let table = |name, to| format!("[[proxy]]\nname = '{name}'\nlisten = 0\nupstream = '{to}'\n");
        let text = format!("api = 0\n{}{}", table("a", to_old), table("b", to_old));
        let file = written(&directory, &text);
        let mut service = Service::of_file(&file, 2);
        let api = service.told("api");
        let a = service.at("a");

        // Nothing holds the port of one that is disabled, and a reload finds it again where it is enabled.
        let mut through = pair(a, &old).await;
        asked(api, "PATCH /proxies/a", &json!({"enabled": false}), 200).await;
        assert!(TcpStream::connect(a).await.is_err() && !relays(&mut through).await);
        drop(TcpListener::bind(a).await.expect("its port is free"));
        let enabled = asked(api, "POST /proxies/a", &json!({"enabled": true}), 200).await;
        assert_eq!(listen(&enabled), a);

        let made = json!({"name": "made", "upstream": to_old.to_string()});
        let made = listen(&asked(api, "POST /proxies", &made, 201).await);
        let mut through_made = pair(made, &old).await;
        written(&directory, &format!("api = 0\n{}{}", table("a", to_new), table("b", to_old)));
        service.signal("HUP");
        assert_eq!(service.door(), ("a".to_owned(), a));
        assert!(relays(&mut pair(a, &new).await).await && relays(&mut through_made).await);
        assert!(relays(&mut pair(made, &old).await).await);
        let all = asked(api, "GET /proxies", &Value::Null, 200).await;
        assert_eq!(
            (&all["a"]["upstream"], all.as_object().map(|all| all.len())),
            (&json!(to_new.to_string()), Some(3))
        );

        // What was removed is in the file, and so it is there again.
        let b = service.at("b");
        asked(api, "DELETE /proxies/b", &Value::Null, 204).await;
        assert!(TcpStream::connect(b).await.is_err());
        service.signal("HUP");
        let (name, b) = service.door();
        assert!(name == "b" && relays(&mut pair(b, &old).await).await);

        written(&directory, &format!("api = 0\n{}", table("made", to_new)));
        service.signal("HUP");
        service.line_with("expected a name that no proxy made over HTTP has, found 'made'");
        assert!(relays(&mut pair(made, &old).await).await && relays(&mut pair(a, &new).await).await);
        service.signal("TERM");
        assert_eq!(service.end().0, Some(0));
    });
}

#[test]
fn the_only_proxy_may_be_removed_and_another_made() {
    run(async {
        let upstream = loopback().await;
        let to = upstream.local_addr().expect("bound").to_string();
        let mut service = Service::start(&["--listen", "0", "--upstream", &to, "--api", "0"], &[], 1);
        let api = service.told("api");
        asked(api, "DELETE /proxies/proxy", &Value::Null, 204).await;
        assert!(TcpStream::connect(service.at("")).await.is_err());
        let made = asked(api, "POST /proxies", &json!({"name": "proxy", "upstream": to}), 201).await;
        assert!(relays(&mut pair(listen(&made), &upstream).await).await);
        service.signal("TERM");
        assert_eq!(service.end().0, Some(0));
    });
}
