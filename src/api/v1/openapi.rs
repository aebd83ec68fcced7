use axum::http::Uri;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::query::Query;

/// What the API can be asked, and what it answers (OpenAPI 3.1).
const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn document(uri: Uri) -> Result<Response, Response> {
    Query::of(&uri, &[])?;
    Ok(([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], DOCUMENT).into_response())
}
