use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::rejection::BytesRejection;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::ask::{Name, Named, PATIENCE, not_found, whole};
use super::query::{Query, wrong};
use crate::api::{answer, limits};
use crate::net::control::Controlled;
use crate::scenario::{Scenario, ScenarioError};
use crate::toxic;

/// A scenario, in short.
#[derive(Serialize)]
struct Listed {
    name: String,
    about: String,
    steps: Vec<String>,
    /// Whether it is there to make orphaned responses.
    makes_orphans: bool,
    /// Whether it may leave the producer otherwise than it was.
    destructive: bool,
}

#[derive(Serialize)]
struct Catalogue {
    scenarios: Vec<Listed>,
}

/// One that is armed.
#[derive(Serialize)]
struct Armed {
    #[serde(flatten)]
    listed: Listed,
    /// `start`: it came with the proxy, and acts on each connection as it begins. `api`: it was armed here.
    by: &'static str,
    /// Counts what was armed here on this proxy.
    number: Option<u64>,
}

#[derive(Serialize)]
struct AllArmed {
    scenarios: Vec<Armed>,
}

/// One with all that it says.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    armed: Armed,
    scenario: Scenario,
}

#[derive(Serialize)]
struct BuiltIn {
    #[serde(flatten)]
    listed: Listed,
    scenario: Scenario,
    /// Its file.
    toml: &'static str,
}

#[derive(Serialize)]
struct Disarmed {
    disarmed: Vec<String>,
}

/// What is wrong with a scenario, with its place.
#[derive(Serialize)]
struct Wrong {
    error: String,
    status: u16,
    line: usize,
    column: usize,
}

impl Listed {
    fn of(scenario: &Scenario) -> Self {
        Self {
            name: scenario.name.clone(),
            about: scenario.about.clone(),
            steps: scenario.steps.iter().map(|step| step.name.clone()).collect(),
            makes_orphans: scenario.makes_orphans(),
            destructive: scenario.is_destructive(),
        }
    }
}

impl Armed {
    fn of(number: u64, scenario: &Scenario) -> Self {
        Self { listed: Listed::of(scenario), by: "api", number: Some(number) }
    }

    fn from_start(scenario: &Scenario) -> Self {
        Self { listed: Listed::of(scenario), by: "start", number: None }
    }
}

/// The scenarios that the tool brings along.
pub(super) async fn catalogue(uri: Uri) -> Result<Response, Response> {
    Query::of(&uri, &[])?;
    let scenarios = Scenario::built_in().iter().map(|(scenario, _)| Listed::of(scenario)).collect();
    Ok(answer::json(StatusCode::OK, &Catalogue { scenarios }))
}

/// One of them, with all that it says.
pub(super) async fn built_in(uri: Uri, Name(name): Name) -> Result<Response, Response> {
    Query::of(&uri, &[])?;
    let found = Scenario::built_in().into_iter().find(|(scenario, _)| scenario.name == name);
    let (scenario, toml) = found.ok_or_else(|| no_such(&name))?;
    Ok(answer::json(StatusCode::OK, &BuiltIn { listed: Listed::of(&scenario), scenario, toml }))
}

fn no_such(name: &str) -> Response {
    match Scenario::named(name) {
        Ok(_) => not_found("expected another name"),
        Err(error) => not_found(&error.to_string().replace(" or a file", "")),
    }
}

/// The names of all that are armed on a proxy, each once.
pub(super) fn armed_names(proxy: &Arc<Controlled>) -> Vec<String> {
    let (setup, orders) = (proxy.setup(), proxy.orders());
    let mut seen = BTreeSet::new();
    let all = setup.plan.scenarios.iter().chain(orders.scenarios.iter().map(|(_, scenario)| scenario));
    all.map(|scenario| scenario.name.clone()).filter(|name| seen.insert(name.clone())).collect()
}

pub(super) async fn armed(uri: Uri, named: Named) -> Result<Response, Response> {
    Query::of(&uri, &[])?;
    let (setup, orders) = (named.proxy.setup(), named.proxy.orders());
    let from_start = setup.plan.scenarios.iter().map(Armed::from_start);
    let scenarios = from_start.chain(orders.scenarios.iter().map(|(number, scenario)| Armed::of(*number, scenario)));
    Ok(answer::json(StatusCode::OK, &AllArmed { scenarios: scenarios.collect() }))
}

pub(super) async fn show(uri: Uri, named: Named) -> Result<Response, Response> {
    Query::of(&uri, &[])?;
    let (setup, orders) = (named.proxy.setup(), named.proxy.orders());
    let name = named.text("name");
    let armed = orders.scenarios.iter().find(|(_, scenario)| scenario.name == name);
    let from_start = || setup.plan.scenarios.iter().find(|scenario| scenario.name == name);
    let (armed, scenario) = match (armed, from_start()) {
        (Some((number, scenario)), _) => (Armed::of(*number, scenario), scenario),
        (None, Some(scenario)) => (Armed::from_start(scenario), scenario),
        (None, None) => return Err(not_armed(&named.proxy, name)),
    };
    Ok(answer::json(StatusCode::OK, &Whole { armed, scenario: scenario.clone() }))
}

fn not_armed(proxy: &Controlled, name: &str) -> Response {
    not_found(&format!("expected a scenario that is armed on '{}', found '{}'", proxy.name(), limits::shown(name)))
}

/// A body that only names a built-in scenario.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    name: String,
}

/// Arms what the body says: a scenario, or the name of a built-in one.
pub(super) async fn arm(
    uri: Uri,
    named: Named,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Response> {
    Query::of(&uri, &[])?;
    let body = whole(body)?;
    let scenario = match serde_json::from_slice::<Reference>(&body) {
        Ok(reference) if !is_toml(&headers)? => {
            Scenario::named(&reference.name).map_err(|_| no_such(&reference.name))?
        }
        _ => parsed(&headers, &body)?,
    };
    put_in(&named.proxy, scenario, false).await
}

/// Arms the scenario of the body, which has that name, or without a body the built-in one; anew, where it is armed.
pub(super) async fn arm_named(
    uri: Uri,
    named: Named,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Response> {
    Query::of(&uri, &[])?;
    let (name, body) = (named.text("name"), whole(body)?);
    let scenario =
        if body.is_empty() { Scenario::named(name).map_err(|_| no_such(name))? } else { parsed(&headers, &body)? };
    if scenario.name != name {
        return Err(wrong(&format!(
            "expected a scenario of the name '{}', found '{}'",
            limits::shown(name),
            limits::shown(&scenario.name)
        )));
    }
    put_in(&named.proxy, scenario, true).await
}

/// Answers once the connections that are open know of it, if they do in time.
async fn put_in(proxy: &Controlled, scenario: Scenario, anew: bool) -> Result<Response, Response> {
    limits::name("a scenario", &scenario.name).map_err(IntoResponse::into_response)?;
    let number = proxy.next_arming();
    let armed = Armed::of(number, &scenario);
    let name = scenario.name.clone();
    let conflict = |error: &str| answer::refusal(StatusCode::CONFLICT, error);
    let was_armed = proxy.order(|orders| {
        let was = orders.scenarios.iter().position(|(_, other)| other.name == name);
        match was {
            Some(_) if !anew => Err(conflict(&format!("expected no armed scenario of the name '{name}', found one"))),
            Some(at) => {
                orders.scenarios.remove(at);
                orders.scenarios.push((number, scenario));
                Ok(true)
            }
            None => {
                limits::room("armed scenarios", orders.scenarios.len(), 1, limits::MAX_SCENARIOS)
                    .map_err(IntoResponse::into_response)?;
                orders.scenarios.push((number, scenario));
                Ok(false)
            }
        }
    })?;
    timeout(PATIENCE, proxy.obeyed()).await.ok();
    Ok(answer::json(if was_armed { StatusCode::OK } else { StatusCode::CREATED }, &armed))
}

/// Disarms one that was armed here.
pub(super) async fn disarm(uri: Uri, named: Named) -> Result<Response, Response> {
    Query::of(&uri, &[])?;
    let name = named.text("name");
    let was = named.proxy.order(|orders| {
        let at = orders.scenarios.iter().position(|(_, scenario)| scenario.name == name)?;
        Some(orders.scenarios.remove(at))
    });
    if was.is_some() {
        timeout(PATIENCE, named.proxy.obeyed()).await.ok();
        return Ok(answer::json(StatusCode::OK, &Disarmed { disarmed: vec![name.to_owned()] }));
    }
    if named.proxy.setup().plan.scenarios.iter().any(|scenario| scenario.name == name) {
        let error = format!("expected a scenario that was armed over HTTP, found '{name}', which came with the proxy");
        return Err(answer::refusal(StatusCode::CONFLICT, &error));
    }
    Err(not_armed(&named.proxy, name))
}

/// Disarms all that were armed here.
pub(super) async fn disarm_all(uri: Uri, named: Named) -> Result<Response, Response> {
    Query::of(&uri, &[])?;
    let all = named.proxy.order(|orders| std::mem::take(&mut orders.scenarios));
    timeout(PATIENCE, named.proxy.obeyed()).await.ok();
    let disarmed = all.into_iter().map(|(_, scenario)| scenario.name).collect();
    Ok(answer::json(StatusCode::OK, &Disarmed { disarmed }))
}

fn is_toml(headers: &HeaderMap) -> Result<bool, Response> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(false) };
    let text = value.to_str().unwrap_or_default();
    match text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/toml" | "text/toml" => Ok(true),
        "application/json" | "" => Ok(false),
        // What curl says of a body where nothing else is said.
        "application/x-www-form-urlencoded" | "text/plain" => Ok(false),
        _ => {
            let error = format!("expected application/toml or application/json, found '{}'", limits::shown(text));
            Err(answer::refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error))
        }
    }
}

/// The scenario of a body; never a file's.
fn parsed(headers: &HeaderMap, body: &Bytes) -> Result<Scenario, Response> {
    let toml = is_toml(headers)?;
    let text = std::str::from_utf8(body).map_err(|error| {
        wrong(&format!("expected UTF-8, found other bytes behind the first {}", error.valid_up_to()))
    })?;
    let scenario = if toml { Scenario::parse(text) } else { Scenario::parse_json(text) };
    let scenario = scenario.map_err(|error| match error {
        ScenarioError::Malformed { line, column, .. } => {
            let status = StatusCode::BAD_REQUEST;
            answer::json(status, &Wrong { error: error.to_string(), status: status.as_u16(), line, column })
        }
        ScenarioError::Unknown { .. } => wrong(&error.to_string()).into_response(),
    })?;
    for spec in scenario.steps.iter().flat_map(|step| &step.faults) {
        toxic::dcp::check(spec).map_err(|error| wrong(&error))?;
    }
    Ok(scenario)
}
