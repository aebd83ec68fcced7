//! What is answered, in JSON.

use axum::http::Method;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header::CACHE_CONTROL;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Serialize;

/// An object of JSON, which nobody is to keep for later.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    match serde_json::to_vec(body) {
        Ok(body) => (status, headers, body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Serialize)]
struct Refusal<'a> {
    error: &'a str,
    status: u16,
}

/// Why something is not done: expected and found.
pub(super) fn refusal(status: StatusCode, error: &str) -> Response {
    json(status, &Refusal { error, status: status.as_u16() })
}

pub(super) async fn no_such_path(uri: Uri) -> Response {
    refusal(StatusCode::NOT_FOUND, &format!("expected /healthz or /metrics, found '{}'", uri.path()))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Response {
    refusal(StatusCode::METHOD_NOT_ALLOWED, &format!("expected another method for '{}', found {method}", uri.path()))
}
