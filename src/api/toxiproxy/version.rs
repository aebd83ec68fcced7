use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::api::answer;

/// The toxiproxy whose API this is: the last one there is. Clients compare it with the least that they need, which is 2.6
/// for those that PATCH.
const TOXIPROXY: &str = "2.12.0";

/// What `/version` says: toxiproxy's member, and one more.
#[derive(Serialize)]
struct Body {
    version: &'static str,
    dcproxy: &'static str,
}

pub(super) async fn version() -> Response {
    answer::json(StatusCode::OK, &Body { version: TOXIPROXY, dcproxy: env!("CARGO_PKG_VERSION") })
}
