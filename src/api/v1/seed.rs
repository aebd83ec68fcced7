use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::ask::{Named, json};
use super::query::{Query, wrong};
use crate::api::answer;

/// The seed of the connections to come.
#[derive(Serialize)]
struct Seed {
    seed: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    seed: Either,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Either {
    Number(u64),
    Other(serde_json::Value),
}

pub(super) async fn show(uri: Uri, named: Named) -> Result<Response, Response> {
    Query::of(&uri, &[])?;
    Ok(answer::json(StatusCode::OK, &Seed { seed: named.proxy.seed() }))
}

/// Takes a number, or `"random"`; connections that are open keep theirs.
pub(super) async fn sow(uri: Uri, named: Named, body: Result<Bytes, BytesRejection>) -> Result<Response, Response> {
    Query::of(&uri, &[])?;
    let seed = match json::<Wanted>(body)?.seed {
        Either::Number(seed) => seed,
        Either::Other(value) if value == "random" => RandomState::new().build_hasher().finish(),
        Either::Other(value) => {
            return Err(wrong(&format!("seed: expected a number from 0 or \"random\", found {value}")));
        }
    };
    named.proxy.sow(seed);
    Ok(answer::json(StatusCode::OK, &Seed { seed }))
}
