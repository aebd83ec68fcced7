//! What toxiproxy lacks, under `/dcp/v1`: what goes on inside connections, their journals, scenarios, verdicts, seeds and
//! recordings; one file a resource. `openapi.json` describes all of it, and the rest of the API.
//!
//! Nothing here waits for traffic: a question is a visit to a link, and one that does not come back in time is answered with
//! what is known. No answer holds a key, a document or a credential (law L9).

#![allow(clippy::result_large_err, reason = "what is refused is an answer, and there is one a request")]

mod ask;
mod connections;
mod journal;
mod openapi;
mod proxies;
mod query;
mod recording;
mod scenarios;
mod seed;
mod verdict;
mod view;

use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};

use super::limits::Tails;
use crate::net::control::Registry;

/// Its routes, as the document names them.
fn table() -> [(&'static str, MethodRouter<Registry>); 13] {
    [
        ("/dcp/v1/openapi.json", get(openapi::document)),
        ("/dcp/v1/scenarios", get(scenarios::catalogue)),
        ("/dcp/v1/scenarios/{name}", get(scenarios::built_in)),
        ("/dcp/v1/proxies", get(proxies::list)),
        ("/dcp/v1/proxies/{proxy}", get(proxies::show)),
        ("/dcp/v1/proxies/{proxy}/connections", get(connections::list)),
        ("/dcp/v1/proxies/{proxy}/connections/{id}", get(connections::show).delete(connections::close)),
        ("/dcp/v1/proxies/{proxy}/journal", get(journal::tail)),
        ("/dcp/v1/proxies/{proxy}/scenarios", get(scenarios::armed).post(scenarios::arm).delete(scenarios::disarm_all)),
        (
            "/dcp/v1/proxies/{proxy}/scenarios/{name}",
            get(scenarios::show).put(scenarios::arm_named).delete(scenarios::disarm),
        ),
        ("/dcp/v1/proxies/{proxy}/verdict", post(verdict::judge).delete(verdict::forget)),
        ("/dcp/v1/proxies/{proxy}/seed", get(seed::show).put(seed::sow)),
        ("/dcp/v1/proxies/{proxy}/recording", get(recording::show).put(recording::start).delete(recording::stop)),
    ]
}

pub(super) fn routes(registry: Registry) -> Router {
    let router = table().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    router.layer(Extension(Tails::default())).with_state(registry)
}
