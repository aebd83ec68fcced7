//! What is answered, in JSON.

use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header::CACHE_CONTROL;
use axum::http::header::CONTENT_TYPE;
use axum::http::header::X_CONTENT_TYPE_OPTIONS;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Response;
use futures_util::FutureExt;
use serde::Serialize;

use super::limits;
use super::limits::shown;
use crate::net::proxy::said;

/// An object of JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => (status, [(CONTENT_TYPE, "application/json")], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// An error as toxiproxy says it.
#[derive(Serialize)]
struct Refusal<'a> {
    error: &'a str,
    status: u16,
}

/// Why something is not done: expected and found.
pub(super) fn refusal(status: StatusCode, error: &str) -> Response {
    json(status, &Refusal { error: &limits::said(error), status: status.as_u16() })
}

pub(super) async fn no_such_path(uri: Uri) -> Response {
    refusal(StatusCode::NOT_FOUND, &format!("expected a path of /dcp/v1/openapi.json, found '{}'", shown(uri.path())))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Response {
    let (path, method) = (shown(uri.path()), shown(method.as_str()));
    refusal(StatusCode::METHOD_NOT_ALLOWED, &format!("expected another method for '{path}', found {method}"))
}

/// Makes an answer of whatever becomes of a request: one that nobody keeps for later or takes for something else than it
/// says, also where the tool crashes.
pub(super) async fn always(request: Request, next: Next) -> Response {
    let mut response = AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|panic| {
        let told = format!("the tool crashed: {}", shown(&said(panic.as_ref())));
        tracing::error!("a request to the API was not answered: {told}");
        refusal(StatusCode::INTERNAL_SERVER_ERROR, &told)
    });
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
