use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::Path;
use axum::extract::State;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use bytes::Bytes;

use super::body;
use super::body::ProxyBody;
use super::refused::Refused;
use super::shown::ShownProxy;
use crate::api::answer;
use crate::api::limits;
use crate::net::control::Change;
use crate::net::control::Controlled;
use crate::net::control::CreateError;
use crate::net::control::Place;
use crate::net::control::Registry;
use crate::net::control::Wanted;

type Named = Result<Path<String>, PathRejection>;

/// The proxy of a path.
pub(super) fn found(registry: &Registry, named: Named) -> Result<Arc<Controlled>, Refused> {
    let Ok(Path(name)) = named else { return Err(Refused::no_such_proxy()) };
    registry.get(&name).ok_or_else(Refused::no_such_proxy)
}

pub(super) async fn index(State(registry): State<Registry>) -> Response {
    let proxies = registry.all();
    let shown: BTreeMap<&str, ShownProxy> = proxies.iter().map(|proxy| (proxy.name(), ShownProxy::of(proxy))).collect();
    answer::json(StatusCode::OK, &shown)
}

pub(super) async fn show(State(registry): State<Registry>, named: Named) -> Result<Response, Refused> {
    Ok(answer::json(StatusCode::OK, &ShownProxy::of(&*found(&registry, named)?)))
}

pub(super) async fn create(State(registry): State<Registry>, body: Bytes) -> Result<Response, Refused> {
    let asked = ProxyBody::of(&body::value(&body)?, "the proxy")?;
    if asked.name.is_empty() {
        return Err(Refused::missing("name"));
    }
    if asked.upstream.as_ref().is_none_or(String::is_empty) {
        return Err(Refused::missing("upstream"));
    }
    if registry.get(&asked.name).is_some() {
        return Err(CreateError::Exists.into());
    }
    let proxy = registry.create(wanted(asked).await?).await?;
    Ok(answer::json(StatusCode::CREATED, &ShownProxy::of(&proxy)))
}

pub(super) async fn update(State(registry): State<Registry>, named: Named, body: Bytes) -> Result<Response, Refused> {
    let proxy = found(&registry, named)?;
    let asked = ProxyBody::of(&body::value(&body)?, "the proxy")?;
    let standing = proxy.standing();
    let listen = match asked.listen {
        // Not looked up again: a name may lead elsewhere by now.
        Some(listen) if listen != standing.listen.text => Some(Place::find(&listen).await?),
        Some(_) | None => None,
    };
    let upstream = asked.upstream.filter(|upstream| *upstream != standing.upstream).map(body::lead).transpose()?;
    proxy.change(Change { listen, upstream, enabled: asked.enabled }).await?;
    Ok(answer::json(StatusCode::OK, &ShownProxy::of(&proxy)))
}

pub(super) async fn delete(State(registry): State<Registry>, named: Named) -> Result<Response, Refused> {
    if !found(&registry, named)?.end().await {
        return Err(Refused::no_such_proxy());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The proxy that is asked for, as it can be made.
pub(super) async fn wanted(asked: ProxyBody) -> Result<Wanted, Refused> {
    let ProxyBody { name, listen, upstream, enabled } = asked;
    limits::name("a proxy", &name)?;
    let upstream = body::lead(upstream.unwrap_or_default())?;
    let listen = Place::find(&listen.unwrap_or_default()).await?;
    Ok(Wanted { name, listen, upstream, enabled: enabled.unwrap_or(true) })
}
