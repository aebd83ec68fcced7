//! What becomes of the counts of a proxy that is disabled, read again, or deleted; and what is armed over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Text, scrape};
use crate::api_v1::asked;
use crate::program::command;
use crate::service::{Service, pair, relays, written};
use crate::support::{PATIENCE, loopback, run, within};

const OPENED: &str = "dcproxy_connections_opened_total";

fn api(service: &mut Service) -> SocketAddr {
    let line = service.line_with("api listening on ");
    line.trim_start_matches("api listening on ").parse().expect("an address")
}

/// Scrapes until that is so.
async fn until(at: SocketAddr, is: impl Fn(&Text) -> bool) -> Text {
    within(PATIENCE, async {
        loop {
            let text = scrape(at).await;
            if is(&text) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

#[test]
fn over_http_a_proxy_is_made_disabled_and_deleted_and_its_counts_with_it() {
    run(async {
        let upstream = loopback().await;
        let to = upstream.local_addr().expect("bound");
        let mut service = Service::of(command(&["serve", "--api", "0"]).env("RUST_LOG", "error"), 0);
        let at = api(&mut service);
        let ask = async |method: &'static str, path: &str, body: &str| {
            let (status, _, body) = asked(at, method, path, "application/json", body).await;
            (status, serde_json::from_str::<serde_json::Value>(&body).unwrap_or_default())
        };
        let of = [("proxy", "made")];
        let made = format!(r#"{{"name":"made","listen":"127.0.0.1:0","upstream":"{to}"}}"#);
        let (status, proxy) = ask("POST", "/proxies", &made).await;
        assert_eq!(status, 201, "{proxy}");
        let listener = proxy["listen"].as_str().expect("an address").to_owned();
        let door: SocketAddr = listener.parse().expect("an address");

        // A toxic for which bytes wait.
        let slow = r#"{"name":"slow","type":"latency","attributes":{"latency":600000}}"#;
        let mut through = pair(door, &upstream).await;
        assert!(relays(&mut through).await);
        assert_eq!(ask("POST", "/proxies/made/toxics", slow).await.0, 200);
        let frame = dcproxy::wire::FrameBuilder::request(dcproxy::wire::Opcode::NOOP).build();
        tokio::io::AsyncWriteExt::write_all(&mut through.1, &frame).await.expect("written");
        let text = until(at, |text| text.sum("dcproxy_held_bytes", &of) > 0.0).await;
        let down = [of[0], ("direction", "downstream")];
        assert_eq!(text.sum("dcproxy_held_bytes", &down), frame.len() as f64);
        assert_eq!(text.sum("dcproxy_toxics", &[of[0], down[1], ("kind", "bytes")]), 1.0);
        assert_eq!(text.sum("dcproxy_toxics", &of), 1.0);
        let toxiproxy = [of[0], ("direction", "upstream"), ("listener", &*listener), ("upstream", &*to.to_string())];
        assert!(text.sum("toxiproxy_proxy_received_bytes_total", &toxiproxy) > 0.0);

        assert_eq!(ask("POST", "/proxies/made", r#"{"enabled":false}"#).await.0, 200);
        let text = until(at, |text| text.sum("dcproxy_connections", &of) == 0.0).await;
        assert_eq!(text.sum(OPENED, &of), 1.0, "it is disabled, and still told of");
        assert_eq!(ask("POST", "/proxies/made", r#"{"enabled":true}"#).await.0, 200);
        drop(pair(door, &upstream).await);
        assert_eq!(until(at, |text| text.sum(OPENED, &of) >= 2.0).await.sum(OPENED, &of), 2.0);

        assert_eq!(ask("DELETE", "/proxies/made", "").await.0, 204);
        let text = scrape(at).await;
        assert!(!text.samples.iter().any(|sample| sample.labels.get("proxy").is_some_and(|name| name == "made")));
        assert_eq!(ask("POST", "/proxies", &made).await.0, 201);
        assert_eq!(scrape(at).await.sum(OPENED, &of), 0.0, "another of its name is another");

        // The API counts what it is asked, by route.
        assert_eq!(ask("GET", "/proxies/nobody", "").await.0, 404);
        assert_eq!(ask("GET", "/nowhere/at/all", "").await.0, 404);
        let text = scrape(at).await;
        let requests = |labels: &[_]| text.sum("dcproxy_api_requests_total", labels);
        assert_eq!(requests(&[("route", "/proxies"), ("method", "POST"), ("status", "201")]), 2.0);
        assert_eq!(requests(&[("route", "other"), ("method", "GET"), ("status", "404")]), 1.0);
        assert!(requests(&[("route", "/metrics"), ("method", "GET"), ("status", "200")]) >= 4.0);
        assert_eq!(text.series("dcproxy_api_requests_total", &[("route", "/proxies/nobody")]).count(), 0);
        service.signal("TERM");
        assert_eq!(service.end().0, Some(0));
    });
}

#[test]
fn a_proxy_that_is_read_again_counts_on_and_one_that_is_gone_is_told_of_no_more() {
    run(async {
        let (old, new) = (loopback().await, loopback().await);
        let (to_old, to_new) = (old.local_addr().expect("bound"), new.local_addr().expect("bound"));
        let directory = tempfile::tempdir().expect("a directory");
        let proxy = |name, upstream| format!("[[proxy]]\nname = '{name}'\nlisten = 0\nupstream = '{upstream}'\n");
        let file = written(&directory, &format!("api = 0\n{}{}", proxy("changed", to_old), proxy("gone", to_old)));
        let mut service = Service::of_file(&file, 2);
        let at = api(&mut service);
        let mut through = pair(service.at("changed"), &old).await;
        assert!(relays(&mut through).await);
        let mut through_gone = pair(service.at("gone"), &old).await;
        assert!(relays(&mut through_gone).await);

        written(&directory, &format!("api = 0\n{}", proxy("changed", to_new)));
        service.signal("HUP");
        let (_, door) = service.door();
        assert!(relays(&mut pair(door, &new).await).await);
        // The first goes on, and is counted with those after it.
        assert!(relays(&mut through).await);
        let of = [("proxy", "changed")];
        let text = until(at, |text| text.sum(OPENED, &of) >= 2.0).await;
        assert_eq!((text.sum(OPENED, &of), text.sum("dcproxy_reloads_total", &[("result", "success")])), (2.0, 1.0));
        drop((through, through_gone));
        let text = until(at, |text| text.sum("dcproxy_connections_closed_total", &of) >= 2.0).await;
        assert_eq!((text.sum("dcproxy_connections", &of), text.sum(OPENED, &of)), (0.0, 2.0));
        until(at, |text| text.series(OPENED, &[("proxy", "gone")]).next().is_none()).await;
        written(&directory, "nonsense");
        service.signal("HUP");
        until(at, |text| text.sum("dcproxy_reloads_total", &[("result", "failure")]) == 1.0).await;
        service.signal("TERM");
        assert_eq!(service.end().0, Some(0));
    });
}
