use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use super::answer;
use crate::net::Condition;
use crate::net::Health;

/// What `/healthz` says.
#[derive(Serialize)]
struct Body {
    /// `ok`, `starting` or `draining`.
    status: &'static str,
    /// The proxies that let connections in.
    proxies: usize,
}

/// Where it is asked for.
pub(super) const PATH: &str = "/healthz";

pub(super) fn routes(health: Health) -> Router {
    Router::new().route(PATH, get(healthz)).with_state(health)
}

/// 200 while connections are let in, 503 before that and once the process has been told to stop.
async fn healthz(State(health): State<Health>) -> Response {
    let (code, status, proxies) = match health.condition() {
        Condition::Serving(proxies) => (StatusCode::OK, "ok", proxies),
        Condition::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting", 0),
        Condition::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining", 0),
    };
    answer::json(code, &Body { status, proxies })
}
