use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::body;
use super::body::ProxyBody;
use super::proxies::wanted;
use super::refused::Refused;
use super::shown::ShownProxy;
use crate::api::answer;
use crate::api::limits;
use crate::net::control::Change;
use crate::net::control::ChangeError;
use crate::net::control::Controlled;
use crate::net::control::Orders;
use crate::net::control::Registry;
use crate::net::control::Wanted;

/// What `/populate` says: why it went no further, if it did not, and the proxies that are as asked; `null` for none.
#[derive(Serialize)]
struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    proxies: Option<Vec<ShownProxy>>,
}

/// The proxies of a file as `toxiproxy-server -config` reads it: a list of what `/proxies` takes.
///
/// # Errors
/// One line: expected and found.
pub async fn populated(file: &[u8]) -> Result<Vec<Wanted>, String> {
    let mut all = Vec::new();
    for asked in list(file).map_err(|refused| refused.said)? {
        all.push(wanted(asked).await.map_err(|refused| refused.said)?);
    }
    Ok(all)
}

/// Has proxies be as a list says, one after the other, up to the first that cannot be.
pub(super) async fn populate(State(registry): State<Registry>, body: Bytes) -> Response {
    let mut proxies = Vec::new();
    let populated = all(&registry, &body, &mut proxies).await;
    let refused = populated.err();
    let status = refused.as_ref().map_or(StatusCode::CREATED, |refused| refused.status);
    let body = Body {
        status: refused.as_ref().map(|refused| refused.status.as_u16()),
        error: refused.map(|refused| limits::said(&refused.said)),
        proxies: (!proxies.is_empty()).then(|| proxies.iter().map(|proxy| ShownProxy::of(proxy)).collect()),
    };
    answer::json(status, &body)
}

/// Enables all proxies, removes all toxics, and disarms what was armed over HTTP.
pub(super) async fn reset(State(registry): State<Registry>) -> Result<Response, Refused> {
    for proxy in registry.all() {
        match proxy.change(Change { enabled: Some(true), ..Change::default() }).await {
            // It is there no more.
            Ok(_) | Err(ChangeError::Ended) => {}
            Err(error @ (ChangeError::Bind { .. } | ChangeError::Fixed(_))) => return Err(error.into()),
        }
        proxy.order(|orders| *orders = Orders::default());
        proxy.obeyed().await;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn all(registry: &Registry, body: &[u8], proxies: &mut Vec<Arc<Controlled>>) -> Result<(), Refused> {
    for asked in list(body)? {
        let wanted = wanted(asked).await?;
        let proxy = match registry.get(&wanted.name) {
            None => registry.create(wanted).await?,
            Some(proxy) => {
                let Wanted { listen, upstream, enabled, .. } = wanted;
                let change = Change { listen: Some(listen), upstream: Some(upstream), enabled: Some(enabled) };
                // Where it is as asked already it stays as it is, with its toxics, and disabled if it is.
                if proxy.standing().moves(&change) {
                    proxy.order(|orders| *orders = Orders::default());
                    proxy.change(change).await?;
                }
                proxy
            }
        };
        proxies.push(proxy);
    }
    Ok(())
}

/// The proxies of a list. None is wanted if one of them is nothing.
fn list(body: &[u8]) -> Result<Vec<ProxyBody>, Refused> {
    let all = match body::value(body)? {
        Value::Array(all) => all,
        Value::Null => Vec::new(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            return Err(Refused::body("expected a list of proxies, found something else"));
        }
    };
    limits::room("proxies", 0, all.len(), limits::MAX_PROXIES)?;
    let asked = all.iter().map(|one| ProxyBody::of(one, "a proxy")).collect::<Result<Vec<_>, _>>()?;
    for (asked, count) in asked.iter().zip(1..) {
        if asked.name.is_empty() {
            return Err(Refused::missing(&format!("name at proxy {count}")));
        }
        if asked.upstream.as_ref().is_none_or(String::is_empty) {
            return Err(Refused::missing(&format!("upstream at proxy {count}")));
        }
    }
    Ok(asked)
}
