use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::ask::{Named, json, not_found};
use super::query::{Query, wrong};
use crate::api::{answer, limits};
use crate::capture::write::{About, MIN_SNAPLEN, Redaction};
use crate::net::control::{Registry, TapingError};
use crate::net::{RecorderLimits, RecorderOptions};
use crate::units;

/// What is kept of a packet, at most.
const MAX_SNAPLEN: u32 = 262_144;
/// The characters of a file's name.
const MAX_NAME: usize = 200;

/// What is to be recorded: as the flags of `proxy` say it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    file: String,
    #[serde(default)]
    rotate: Option<String>,
    #[serde(default)]
    snaplen: Option<u32>,
    #[serde(default)]
    redact: Option<String>,
}

#[derive(Serialize)]
struct Recording {
    /// The file; `null` where nothing is recorded.
    file: Option<String>,
}

pub(super) async fn show(uri: Uri, named: Named) -> Result<Response, Response> {
    Query::of(&uri, &[])?;
    Ok(answer::json(StatusCode::OK, &Recording { file: named.proxy.recorded_to() }))
}

/// Records from now on: connections to come, and those that are open from their next frames on.
pub(super) async fn start(
    uri: Uri,
    State(registry): State<Registry>,
    named: Named,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Response> {
    Query::of(&uri, &[])?;
    let Some(folder) = registry.recordings() else {
        let error = "expected --api-recordings DIR, the folder that recordings may be written to, found none";
        return Err(answer::refusal(StatusCode::FORBIDDEN, error));
    };
    let Wanted { file, rotate, snaplen, redact } = json(body)?;
    plain_name(&file).map_err(|error| wrong(&error))?;
    let rotate =
        rotate.map(|text| units::size(&text)).transpose().map_err(|error| wrong(&format!("rotate: {error}")))?;
    let redaction = redact.map(|text| text.parse::<Redaction>()).transpose();
    let redaction = redaction.map_err(|error| wrong(&format!("redact: {error}")))?.unwrap_or_default();
    if let Some(snaplen) = snaplen.filter(|snaplen| !(MIN_SNAPLEN..=MAX_SNAPLEN).contains(snaplen)) {
        return Err(wrong(&format!("snaplen: expected a number from {MIN_SNAPLEN} to {MAX_SNAPLEN}, found {snaplen}")));
    }
    let proxy = named.proxy;
    let holds = redaction.holds();
    let about = About {
        comment: About::comment_of(&format!("proxy '{}'", proxy.name()), holds),
        upstream_name: None,
        snaplen,
        redaction,
    };
    let path = folder.join(&file);
    let options = RecorderOptions { path, rotate, fresh: true, about, limits: RecorderLimits::default() };
    match proxy.record(&file, options).await {
        Ok(()) => {
            tracing::warn!("recording proxy '{}' to {file}: it holds {holds}; SASL payloads are zeroed", proxy.name());
            Ok(answer::json(StatusCode::CREATED, &Recording { file: Some(file) }))
        }
        Err(error @ TapingError::Busy(_)) => Err(answer::refusal(StatusCode::CONFLICT, &error.to_string())),
        Err(TapingError::Record(error)) => {
            let exists = error.error.kind() == std::io::ErrorKind::AlreadyExists;
            let status = if exists { StatusCode::CONFLICT } else { StatusCode::INSUFFICIENT_STORAGE };
            Err(answer::refusal(status, &format!("expected to create '{file}', found: {}", error.error)))
        }
    }
}

/// Ends the recording that was begun here, and tells what became of it.
pub(super) async fn stop(uri: Uri, named: Named) -> Result<Response, Response> {
    Query::of(&uri, &[])?;
    if let Some(recording) = named.proxy.stop_recording().await {
        return Ok(answer::json(StatusCode::OK, &recording));
    }
    match named.proxy.recorded_to() {
        Some(file) => {
            let error =
                format!("expected a recording that was begun over HTTP, found '{file}', which came with the proxy");
            Err(answer::refusal(StatusCode::CONFLICT, &error))
        }
        None => Err(not_found("expected a recording under way, found none")),
    }
}

/// Whether this names a file inside a folder, and nothing else.
fn plain_name(name: &str) -> Result<(), String> {
    let stem = name.strip_suffix(".pcapng").unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.len() <= MAX_NAME
        && stem.bytes().all(plain)
        && stem.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
    {
        return Ok(());
    }
    Err(format!(
        "file: expected a plain name of letters, digits, '-', '_' and '.' that ends in .pcapng, of up to {MAX_NAME} \
         characters, found '{}'",
        limits::shown(name)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_a_file_in_its_folder_and_nothing_else() {
        assert_eq!(plain_name("run-7.a_b.pcapng"), Ok(()));
        for name in [
            "",
            ".pcapng",
            "..pcapng",
            "-run.pcapng",
            "run.pcap",
            "../run.pcapng",
            "a/run.pcapng",
            "/run.pcapng",
            "a\\run.pcapng",
            "run\0.pcapng",
            "run.pcapng/",
            &format!("{}.pcapng", "x".repeat(MAX_NAME)),
        ] {
            assert!(plain_name(name).is_err(), "{name}");
        }
    }
}
