//! Proxies and toxics as they are answered, member by member in toxiproxy's order.

use serde::Serialize;
use serde::Serializer;
use serde_json::Map;
use serde_json::Value;

use super::attributes;
use crate::net::control::Controlled;
use crate::toxic::Stream;
use crate::toxic::Toxic;

/// A proxy, and its toxics.
#[derive(Serialize, Debug)]
pub(super) struct ShownProxy {
    name: String,
    listen: String,
    upstream: String,
    enabled: bool,
    toxics: Vec<ShownToxic>,
}

/// A toxic.
#[derive(Serialize, Debug)]
pub(super) struct ShownToxic {
    attributes: Map<String, Value>,
    name: String,
    r#type: String,
    stream: &'static str,
    #[serde(serialize_with = "plainly")]
    toxicity: f32,
}

impl ShownProxy {
    pub(super) fn of(proxy: &Controlled) -> Self {
        let standing = proxy.standing();
        Self {
            name: proxy.name().to_owned(),
            listen: standing.listen.text.clone(),
            upstream: standing.upstream.clone(),
            enabled: standing.enabled,
            toxics: toxics(proxy),
        }
    }
}

impl ShownToxic {
    pub(super) fn of(toxic: &Toxic) -> Self {
        let (kind, attributes) = attributes::written(&toxic.kind);
        Self {
            attributes,
            name: toxic.name.clone(),
            r#type: kind,
            stream: match toxic.stream {
                Stream::Upstream => "upstream",
                Stream::Downstream => "downstream",
            },
            toxicity: toxic.toxicity as f32,
        }
    }
}

/// Those of a proxy, upstream ones first.
pub(super) fn toxics(proxy: &Controlled) -> Vec<ShownToxic> {
    let orders = proxy.orders();
    let of = |stream| orders.toxics.iter().filter(move |toxic| toxic.stream == stream);
    of(Stream::Upstream).chain(of(Stream::Downstream)).map(ShownToxic::of).collect()
}

/// Without a fraction where there is none.
fn plainly<S: Serializer>(number: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    if number.fract() == 0.0 && number.abs() < 1e9 {
        serializer.serialize_i64(*number as i64)
    } else {
        serializer.serialize_f32(*number)
    }
}
