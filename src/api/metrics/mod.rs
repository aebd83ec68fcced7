//! `/metrics`: what Prometheus, and whatever reads as it does, asks for.

mod family;
mod format;
mod plain;
mod process;
mod requests;
mod scrape;
mod series;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use self::format::Format;
use self::plain::plain;
pub(super) use self::requests::Requests;
pub(super) use self::requests::count;
use self::scrape::Scrape;
use super::answer;
use crate::net::Health;
use crate::net::control::Registry;

#[derive(Clone)]
struct Metrics {
    told: Arc<registry::Registry>,
    /// One scrape at a time, so that many who ask take no more of a processor than one does.
    turn: Arc<Semaphore>,
}

pub(super) fn routes(registry: Registry, health: Health, requests: Requests) -> Router {
    let mut told = registry::Registry::default();
    told.register_collector(Box::new(Scrape { registry, health, requests, since: Instant::now() }));
    let metrics = Metrics { told: Arc::new(told), turn: Arc::new(Semaphore::new(1)) };
    Router::new().route("/metrics", get(scrape)).with_state(metrics)
}

async fn scrape(State(metrics): State<Metrics>, headers: HeaderMap) -> Response {
    let format = Format::asked_for(&headers);
    let Metrics { told, turn } = metrics;
    let Ok(turn) = turn.acquire_owned().await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    // Thousands of proxies take a while, and the threads that relay are not to be kept from it.
    let written = spawn_blocking(move || {
        let _turn = turn;
        let mut text = String::new();
        encode(&mut text, &told)?;
        Ok::<_, std::fmt::Error>(if format == Format::Plain { plain(&text) } else { text })
    });
    match written.await {
        Ok(Ok(text)) => ([(CONTENT_TYPE, format.content_type()), (CACHE_CONTROL, "no-store")], text).into_response(),
        Ok(Err(_)) | Err(_) => answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written"),
    }
}
