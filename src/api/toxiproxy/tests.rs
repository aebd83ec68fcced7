//! Routes by themselves, with no sockets; `tests/interop/toxiproxy_compare.py` asks the real server the same.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use serde_json::json;

use super::*;
use crate::net::control::Controlled;

/// One proxy that nobody serves.
fn registry() -> Registry {
    let registry = Registry::default();
    registry.enter(Arc::new(Controlled::new("a")));
    registry
}

async fn ask(registry: &Registry, method: &str, path: &str, body: &str) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).expect("a request");
    let response = TowerToHyperService::new(routes(registry.clone())).call(request).await.expect("answered");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") })
}

fn refused(status: u16, error: &str) -> (u16, Value) {
    (status, json!({"error": error, "status": status}))
}

#[tokio::test]
async fn toxics_are_made_shown_changed_and_removed() {
    let registry = registry();
    let asked = r#"{"type": "latency", "toxicity": 0.1, "attributes": {"latency": 5}}"#;
    let toxic = json!({
        "attributes": {"latency": 5, "jitter": 0},
        "name": "latency_downstream",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 0.1,
    });
    assert_eq!(ask(&registry, "POST", "/proxies/a/toxics", asked).await, (200, toxic.clone()));
    assert_eq!(ask(&registry, "POST", "/proxies/a/toxics", asked).await, refused(409, "toxic already exists"));
    let (status, up) = ask(&registry, "POST", "/proxies/a/toxics", r#"{"type":"noop","stream":"upstream"}"#).await;
    assert_eq!((status, &up["name"], &up["toxicity"]), (200, &json!("noop_upstream"), &json!(1)));
    assert_eq!(ask(&registry, "GET", "/proxies/a/toxics", "").await, (200, json!([up, toxic])));
    let path = "/proxies/a/toxics/latency_downstream";
    let (status, changed) = ask(&registry, "PATCH", path, r#"{"attributes": {"jitter": 2}, "type": "x"}"#).await;
    assert_eq!((status, &changed["attributes"]), (200, &json!({"latency": 5, "jitter": 2})));
    assert_eq!(ask(&registry, "GET", path, "").await, (200, changed));
    assert_eq!(ask(&registry, "DELETE", path, "").await, (204, Value::Null));
    assert_eq!(ask(&registry, "DELETE", path, "").await, refused(404, "toxic not found"));
    assert_eq!(registry.get("a").expect("there").orders().toxics.len(), 1);
}

#[tokio::test]
async fn what_is_wrong_with_a_change_changes_nothing() {
    let registry = registry();
    ask(&registry, "POST", "/proxies/a/toxics", r#"{"type": "latency", "name": "t"}"#).await;
    let before = registry.get("a").expect("there").orders();
    for body in ["", "[]", r#"{"toxicity": 0.5, "attributes": {"latency": 1, "jitter": "x"}}"#, r#"{"toxicity": "x"}"#]
    {
        let (status, answer) = ask(&registry, "POST", "/proxies/a/toxics/t", body).await;
        assert!(status == 400 && answer["error"].as_str().is_some_and(|error| error.starts_with("bad request body: ")));
    }
    assert_eq!(registry.get("a").expect("there").orders(), before);
}

#[tokio::test]
async fn what_is_wrong_is_looked_for_in_toxiproxys_order() {
    let registry = registry();
    ask(&registry, "POST", "/proxies/a/toxics", r#"{"type": "latency"}"#).await;
    for (body, expected) in [
        (r#"{"type": "x", "stream": "y"}"#, refused(400, "stream was invalid, can be either upstream or downstream")),
        (r#"{"type": "x"}"#, refused(400, "invalid toxic type")),
        (r#"{"type": "latency", "attributes": {"latency": "x"}}"#, refused(409, "toxic already exists")),
    ] {
        assert_eq!(ask(&registry, "POST", "/proxies/a/toxics", body).await, expected);
    }
    assert_eq!(ask(&registry, "POST", "/proxies/b/toxics", "").await, refused(404, "proxy not found"));
    assert_eq!(ask(&registry, "POST", "/proxies/a/toxics/x", "").await, refused(404, "toxic not found"));
    let taken = r#"{"name": "a", "upstream": "127.0.0.1:1", "listen": "nowhere"}"#;
    assert_eq!(ask(&registry, "POST", "/proxies", taken).await, refused(409, "proxy already exists"));
}

#[tokio::test]
async fn a_list_in_which_one_is_nothing_makes_none() {
    let registry = registry();
    let body = r#"[{"name": "b", "upstream": "127.0.0.1:1", "listen": "127.0.0.1:0"}, {"name": "c"}]"#;
    let (status, answer) = ask(&registry, "POST", "/populate", body).await;
    let said = "missing required field: upstream at proxy 2";
    assert_eq!((status, answer), (400, json!({"error": said, "status": 400, "proxies": null})));
    assert_eq!(registry.all().len(), 1);
}

#[tokio::test]
async fn the_version_is_one_that_clients_know() {
    let (status, answer) = ask(&registry(), "GET", "/version", "").await;
    assert_eq!((status, &answer["version"]), (200, &json!("2.12.0")));
    assert_eq!(answer["dcproxy"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn there_are_as_many_toxics_as_there_may_be() {
    let registry = registry();
    for count in 0..crate::api::limits::MAX_TOXICS {
        let body = format!(r#"{{"type": "noop", "name": "{count}"}}"#);
        assert_eq!(ask(&registry, "POST", "/proxies/a/toxics", &body).await.0, 200);
    }
    let (status, answer) = ask(&registry, "POST", "/proxies/a/toxics", r#"{"type": "noop"}"#).await;
    assert_eq!((status, &answer["error"]), (409, &json!("expected up to 1000 toxics, found 1001")));
}
