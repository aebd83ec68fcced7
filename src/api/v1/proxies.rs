use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;

use super::ask::Named;
use super::query::Query;
use super::scenarios::armed_names;
use crate::api::answer;
use crate::net::control::{Controlled, Registry};

/// A proxy, in short.
#[derive(Serialize)]
struct Proxy {
    name: String,
    /// Where it listens, or would; and where its connections go.
    listen: String,
    upstream: String,
    enabled: bool,
    /// Whether anything is done to its connections.
    armed: bool,
    /// The names of the scenarios that are armed.
    scenarios: Vec<String>,
    /// The names of the toxics.
    toxics: Vec<String>,
    /// The seed of the connections to come.
    seed: u64,
    /// Whose faults decide.
    judge: &'static str,
    /// How long the ends are watched after the last step, in milliseconds.
    settle_ms: u64,
    /// The file that is recorded to.
    recording: Option<String>,
    connections: Connections,
}

#[derive(Serialize)]
struct Connections {
    /// Those that are open.
    open: usize,
    /// Those that have ended and are part of a verdict.
    ended: u64,
}

#[derive(Serialize)]
struct Proxies {
    proxies: Vec<Proxy>,
}

fn shown(proxy: &Arc<Controlled>) -> Proxy {
    let (setup, orders, standing) = (proxy.setup(), proxy.orders(), proxy.standing());
    let scenarios = armed_names(proxy);
    let toxics: Vec<String> = orders.toxics.iter().map(|toxic| toxic.name.clone()).collect();
    Proxy {
        name: proxy.name().to_owned(),
        listen: standing.listen.text.clone(),
        upstream: standing.upstream.clone(),
        enabled: standing.enabled,
        armed: !scenarios.is_empty() || !toxics.is_empty(),
        scenarios,
        toxics,
        seed: setup.plan.seed,
        judge: setup.judge.as_str(),
        settle_ms: u64::try_from(setup.plan.settle.as_millis()).unwrap_or(u64::MAX),
        recording: proxy.recorded_to(),
        connections: Connections { open: proxy.connections().len(), ended: proxy.ended_count() },
    }
}

pub(super) async fn list(uri: Uri, State(registry): State<Registry>) -> Result<Response, Response> {
    Query::of(&uri, &[])?;
    let proxies = registry.all().iter().map(shown).collect();
    Ok(answer::json(StatusCode::OK, &Proxies { proxies }))
}

pub(super) async fn show(uri: Uri, named: Named) -> Result<Response, Response> {
    Query::of(&uri, &[])?;
    Ok(answer::json(StatusCode::OK, &shown(&named.proxy)))
}
