//! toxiproxy's HTTP API, version 2.12: its paths, methods, bodies, statuses and errors, for the clients that there are.
//!
//! Where it is otherwise here, and why, is listed in `tests/interop/toxiproxy_compare.py`, which asks both the same. Source:
//! `api.go`, `proxy.go`, `proxy_collection.go` and `toxic_collection.go` of <https://github.com/Shopify/toxiproxy> at v2.12.0.

mod attributes;
mod body;
#[cfg(test)]
mod extremes;
mod populate;
mod proxies;
mod refused;
mod shown;
mod toxics;
mod version;

use axum::Router;
use axum::routing::get;
use axum::routing::post;

pub use self::populate::populated;

use crate::net::control::Registry;

/// All of it.
pub(super) fn routes(registry: Registry) -> Router {
    Router::new()
        .route("/version", get(version::version))
        .route("/reset", post(populate::reset))
        .route("/populate", post(populate::populate))
        .route("/proxies", get(proxies::index).post(proxies::create))
        .route(
            "/proxies/{proxy}",
            get(proxies::show).post(proxies::update).patch(proxies::update).delete(proxies::delete),
        )
        .route("/proxies/{proxy}/toxics", get(toxics::index).post(toxics::create))
        .route(
            "/proxies/{proxy}/toxics/{toxic}",
            get(toxics::show).post(toxics::update).patch(toxics::update).delete(toxics::delete),
        )
        .with_state(registry)
}

#[cfg(test)]
mod tests;
