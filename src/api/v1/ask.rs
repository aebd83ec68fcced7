use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use tokio::time::timeout;

use super::query::{number, wrong};
use crate::Timestamp;
use crate::api::{answer, limits};
use crate::net::Tapped;
use crate::net::control::{Controlled, Handle, Open, Registry};

/// How long a link has to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Asks a link something; `None` where it has ended, or does not answer in time.
pub(super) async fn ask<R: Send + 'static>(
    handle: &Handle<Tapped>,
    what: impl FnOnce(&mut Tapped, Timestamp) -> R + Send + 'static,
) -> Option<R> {
    timeout(PATIENCE, handle.visit(what)).await.ok().flatten()
}

/// The proxy that the path names, and what else it names.
#[derive(Debug)]
pub(super) struct Named {
    /// The proxy.
    pub(super) proxy: Arc<Controlled>,
    names: Vec<(String, String)>,
}

impl Named {
    /// What the path has in the place of `{key}`.
    pub(super) fn text(&self, key: &str) -> &str {
        self.names.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
    }

    /// The open connection that the path names.
    ///
    /// # Errors
    /// There is none: the answer that says so.
    pub(super) fn connection(&self) -> Result<(u64, Open), Response> {
        let id = number(self.text("id")).map_err(|error| wrong(&format!("id: {error}")))?;
        let open = self.proxy.connections().remove(&id);
        let found = || not_found(&format!("expected an open connection of '{}', found {id}", self.proxy.name()));
        Ok((id, open.ok_or_else(found)?))
    }
}

impl FromRequestParts<Registry> for Named {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, registry: &Registry) -> Result<Self, Response> {
        let names = path_names(parts, registry).await?;
        let name = names.iter().find(|(name, _)| name == "proxy").map_or("", |(_, value)| value);
        match registry.get(name) {
            Some(proxy) => Ok(Self { proxy, names }),
            None => Err(not_found(&format!("expected the name of a proxy, found '{}'", limits::shown(name)))),
        }
    }
}

/// A name that the path has, where it names no proxy.
#[derive(Debug)]
pub(super) struct Name(pub(super) String);

impl FromRequestParts<Registry> for Name {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, registry: &Registry) -> Result<Self, Response> {
        let names = path_names(parts, registry).await?;
        Ok(Self(names.into_iter().find(|(name, _)| name == "name").map_or_else(String::new, |(_, value)| value)))
    }
}

async fn path_names(parts: &mut Parts, registry: &Registry) -> Result<Vec<(String, String)>, Response> {
    let names = RawPathParams::from_request_parts(parts, registry).await;
    let names = names.map_err(|_| wrong("expected UTF-8 behind '%', found other bytes in the path"))?;
    Ok(names.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// The answer about something that is not there.
pub(super) fn not_found(error: &str) -> Response {
    answer::refusal(StatusCode::NOT_FOUND, error)
}

/// A body as JSON of a known shape.
///
/// # Errors
/// It is none: the answer that says where.
pub(super) fn json<T: serde::de::DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Response> {
    let body = whole(body)?;
    serde_json::from_slice(&body).map_err(|error| wrong(&error.to_string()))
}

/// A body.
///
/// # Errors
/// It did not come, or not whole.
pub(super) fn whole(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Response> {
    body.map_err(|refused| answer::refusal(refused.status(), &refused.body_text()))
}
