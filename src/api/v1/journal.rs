use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::http::Uri;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde::Serialize;
use serde_json::{Value, json};

use super::ask::{Named, not_found};
use super::query::{Query, number};
use super::view::{edge, seconds, side_name};
use crate::api::limits::Tails;
use crate::filter::{Filter, Subject, json_line};
use crate::journal::{Act, Direction, Entry, How, Origin, What};
use crate::net::control::{Heard, Hearing, Noted, NotedKind, said_by};

/// A comment is sent where nothing else was for so long, so that whoever is in between knows that somebody is there.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The journal from now on, as events: `frame`, `act`, `closed`, `paused`, `framing_lost`; and `lost`, with how many of these
/// had no room.
pub(super) async fn tail(uri: Uri, Extension(tails): Extension<Tails>, named: Named) -> Result<Response, Response> {
    let query = Query::of(&uri, &["filter", "connection", "edge", "events"])?;
    let hearing = Hearing {
        filter: query.parsed("filter", str::parse::<Filter>)?,
        connection: query.parsed("connection", number)?,
        edge: query.parsed("edge", edge)?,
        kinds: query.parsed("events", kinds)?.unwrap_or_default(),
    };
    let place = tails.enter().map_err(IntoResponse::into_response)?;
    let Some(tail) = named.proxy.journal().listen(hearing) else {
        return Err(not_found(&format!("expected the proxy '{}', found that it has ended", named.proxy.name())));
    };
    let events = unfold((tail, place), |(mut tail, place)| async move {
        let heard = tail.next().await?;
        Some((Ok::<_, Infallible>(event(&heard)), (tail, place)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

fn kinds(text: &str) -> Result<Vec<NotedKind>, String> {
    text.split(',').map(|kind| kind.trim().parse()).collect()
}

fn event(heard: &Heard) -> Event {
    match heard {
        Heard::Lost(lost) => Event::default().event("lost").data(json!({ "lost": lost }).to_string()),
        Heard::Noted(noted) => {
            let kind = NotedKind::of(&noted.entry.what);
            Event::default().event(kind.as_str()).data(data(noted))
        }
    }
}

/// Where an entry is, in front of what it tells.
#[derive(Serialize)]
struct Place {
    edge: &'static str,
    /// `from`: the end said it; `to`: it was delivered to the end.
    direction: &'static str,
    /// `peer` or `tool`.
    origin: &'static str,
}

impl Place {
    const fn of(entry: &Entry) -> Self {
        Self {
            edge: side_name(entry.edge),
            direction: match entry.direction {
                Direction::From => "from",
                Direction::To => "to",
            },
            origin: match entry.origin {
                Origin::Peer => "peer",
                Origin::Tool => "tool",
            },
        }
    }
}

/// One object of JSON. Of a frame it is what `decode` writes, as far as a journal knows it: no keys, no documents.
fn data(noted: &Noted) -> String {
    let Noted { connection, entry, sender, orphan, .. } = noted;
    let mut text = serde_json::to_vec(&Place::of(entry)).unwrap_or_default();
    text.pop();
    text.push(b',');
    let start = text.len();
    match &entry.what {
        What::Frame(head) => {
            let subject = Subject {
                conn: Some(*connection),
                from: Some(said_by(entry, *sender)),
                orphan: *orphan,
                ..Subject::of_head(head, entry.at)
            };
            json_line(&subject, None, false, &mut text);
        }
        other @ (What::FramingLost(_) | What::Gap(_) | What::Paused(_) | What::Acted(_) | What::Closed { .. }) => {
            let mut told = json!({ "time": seconds(entry.at), "conn": connection });
            if let Value::Object(told) = &mut told
                && let Value::Object(more) = what(other)
            {
                told.extend(more);
            }
            text.extend_from_slice(told.to_string().as_bytes());
        }
    }
    // The two objects are one.
    text.remove(start);
    String::from_utf8(text).unwrap_or_default()
}

fn what(what: &What) -> Value {
    match what {
        What::Frame(_) => json!({}),
        What::FramingLost(error) => json!({ "reason": error.to_string() }),
        What::Gap(bytes) => json!({ "reason": "bytes are missing", "bytes": bytes }),
        What::Paused(paused) => json!({ "paused": paused }),
        What::Closed { how, partial } => {
            let how = match how {
                How::Fin => "fin",
                How::Reset => "reset",
            };
            json!({ "how": how, "partial": partial })
        }
        What::Acted(act) => acted(act),
    }
}

fn acted(act: &Act) -> Value {
    match act {
        Act::Fired { step, vbucket, stream_id, opaque, seqno, cut } => json!({
            "act": "fired", "step": step, "vbucket": vbucket, "stream_id": stream_id, "opaque": opaque.to_string(),
            "seqno": seqno, "cut": cut,
        }),
        Act::Triggered { step, stream } => {
            let (vbucket, stream_id, opaque, seqno) = stream
                .map(|(vbucket, stream_id, opaque, seqno)| (Some(vbucket), stream_id, Some(opaque), Some(seqno)))
                .unwrap_or_default();
            let opaque = opaque.map(|opaque| opaque.to_string());
            json!({
                "act": "triggered", "step": step, "vbucket": vbucket, "stream_id": stream_id, "opaque": opaque,
                "seqno": seqno,
            })
        }
        Act::Resuming { cut, opaque, start_seqno } => json!({
            "act": "resuming", "cut": cut.to_string(), "opaque": opaque.to_string(), "start_seqno": start_seqno,
        }),
        Act::Narrowed(window) => json!({ "act": "narrowed", "window": window }),
        Act::LeftOut { message, status } => {
            json!({ "act": "left_out", "message": message.to_string(), "status": status.to_string() })
        }
        Act::Armed { course, orphans, fatal_too, messages } => json!({
            "act": "armed", "course": course, "orphans": orphans, "fatal_too": fatal_too,
            "messages": messages.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
        Act::NeverFired { step } => json!({ "act": "never_fired", "step": step }),
        Act::Swallowed => json!({ "act": "swallowed" }),
        Act::Replaced => json!({ "act": "replaced" }),
        Act::Cut(len) => json!({ "act": "cut", "len": len }),
        Act::Settling => json!({ "act": "settling" }),
        Act::Settled => json!({ "act": "settled" }),
    }
}
