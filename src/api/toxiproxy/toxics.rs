use std::sync::Arc;

use axum::extract::Path;
use axum::extract::State;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use bytes::Bytes;
use serde_json::Value;

use super::attributes;
use super::body;
use super::body::Members;
use super::proxies::found;
use super::refused::Refused;
use super::shown;
use super::shown::ShownToxic;
use crate::api::answer;
use crate::api::limits;
use crate::net::control::Controlled;
use crate::net::control::Registry;
use crate::toxic::Kind;
use crate::toxic::Stream;
use crate::toxic::Toxic;

type Named = Result<Path<(String, String)>, PathRejection>;

pub(super) async fn index(
    State(registry): State<Registry>,
    proxy: Result<Path<String>, PathRejection>,
) -> Result<Response, Refused> {
    Ok(answer::json(StatusCode::OK, &shown::toxics(&*found(&registry, proxy)?)))
}

pub(super) async fn show(State(registry): State<Registry>, named: Named) -> Result<Response, Refused> {
    let (proxy, name) = proxy_and_name(&registry, named)?;
    let orders = proxy.orders();
    let toxic = orders.toxics.iter().find(|toxic| toxic.name == name).ok_or_else(Refused::no_such_toxic)?;
    Ok(answer::json(StatusCode::OK, &ShownToxic::of(toxic)))
}

pub(super) async fn create(
    State(registry): State<Registry>,
    proxy: Result<Path<String>, PathRejection>,
    body: Bytes,
) -> Result<Response, Refused> {
    let proxy = found(&registry, proxy)?;
    let asked = Asked::read(&body)?;
    let toxic = proxy.order(|orders| {
        let toxic = asked.beside(&orders.toxics)?;
        orders.toxics.push(toxic.clone());
        Ok::<_, Refused>(toxic)
    })?;
    proxy.obeyed().await;
    Ok(answer::json(StatusCode::OK, &ShownToxic::of(&toxic)))
}

pub(super) async fn update(State(registry): State<Registry>, named: Named, body: Bytes) -> Result<Response, Refused> {
    let (proxy, name) = proxy_and_name(&registry, named)?;
    let mut body_value = None;
    let toxic = loop {
        let there = proxy.orders().toxics.iter().find(|toxic| toxic.name == name).cloned();
        let there = there.ok_or_else(Refused::no_such_toxic)?;
        let value = match &body_value {
            Some(value) => value,
            None => body_value.insert(body::value(&body)?),
        };
        let changed = changed(&there, value)?;
        // Links look at the orders too, so nothing is read or worked out while they are changed.
        let is_done = proxy.order(|orders| {
            let found = orders.toxics.iter_mut().find(|toxic| **toxic == there);
            found.map(|toxic| toxic.clone_from(&changed)).is_some()
        });
        if is_done {
            break changed;
        }
    };
    proxy.obeyed().await;
    Ok(answer::json(StatusCode::OK, &ShownToxic::of(&toxic)))
}

pub(super) async fn delete(State(registry): State<Registry>, named: Named) -> Result<Response, Refused> {
    let (proxy, name) = proxy_and_name(&registry, named)?;
    proxy.order(|orders| {
        let at = orders.toxics.iter().position(|toxic| toxic.name == name).ok_or_else(Refused::no_such_toxic)?;
        orders.toxics.remove(at);
        Ok::<_, Refused>(())
    })?;
    proxy.obeyed().await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn proxy_and_name(registry: &Registry, named: Named) -> Result<(Arc<Controlled>, String), Refused> {
    let Ok(Path((proxy, name))) = named else { return Err(Refused::no_such_proxy()) };
    let proxy = registry.get(&proxy).ok_or_else(Refused::no_such_proxy)?;
    Ok((proxy, name))
}

/// The toxic that a body asks for.
pub(super) struct Asked {
    name: String,
    stream: Stream,
    toxicity: f32,
    kind: Result<Kind, Refused>,
}

impl Asked {
    /// What is wrong is looked for in toxiproxy's order: what is wrong with attributes counts after whether the name is free.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refused> {
        let value = body::value(body)?;
        let members = Members::of(&value, "the toxic")?;
        let name = members.text("name")?.filter(|name| !name.is_empty());
        let kind = members.text("type")?.unwrap_or_default();
        let stream = members.text("stream")?.unwrap_or_else(|| "downstream".to_owned());
        let toxicity = members.share("toxicity")?.unwrap_or(1.0);
        let attributes = attributes_of(&members)?;
        let name = name.unwrap_or_else(|| format!("{kind}_{stream}"));
        let stream = match stream.to_ascii_lowercase().as_str() {
            "upstream" => Stream::Upstream,
            "downstream" => Stream::Downstream,
            _ => return Err(Refused::no_such_stream()),
        };
        if !attributes::is_type(&kind) {
            return Err(Refused::no_such_type());
        }
        limits::name("a toxic", &name)?;
        Ok(Self { name, stream, toxicity, kind: attributes::read(&kind, &attributes, None) })
    }

    /// It, if it can be beside these.
    pub(super) fn beside(self, there: &[Toxic]) -> Result<Toxic, Refused> {
        if there.iter().any(|toxic| toxic.name == self.name) {
            return Err(Refused::toxic_exists());
        }
        limits::room("toxics", there.len(), 1, limits::MAX_TOXICS)?;
        Ok(Toxic { name: self.name, stream: self.stream, toxicity: self.toxicity.into(), kind: self.kind? })
    }
}

/// A toxic as a body has it be: its attributes and its toxicity, and nothing else, are otherwise.
fn changed(toxic: &Toxic, body: &Value) -> Result<Toxic, Refused> {
    let members = Members::of(body, "the toxic")?;
    let toxicity = members.share("toxicity")?.map_or(toxic.toxicity, f64::from);
    let (name, _) = attributes::written(&toxic.kind);
    let kind = attributes::read(&name, &attributes_of(&members)?, Some(&toxic.kind))?;
    Ok(Toxic { name: toxic.name.clone(), stream: toxic.stream, toxicity, kind })
}

fn attributes_of<'a>(members: &Members<'a>) -> Result<Members<'a>, Refused> {
    Members::of(members.get("attributes").unwrap_or(&Value::Null), "attributes")
}
