use axum::http::{StatusCode, Uri};
use axum::response::Response;
use futures_util::future::join_all;
use serde::Serialize;

use super::ask::{Named, ask};
use super::query::{Query, number};
use super::view::{Connection, Inside, StreamPage, Streams, edge};
use crate::api::answer;

/// Connections in one answer, usually and at most.
const PAGE: (usize, usize) = (100, 1_000);
/// Streams in one answer, usually and at most.
const STREAMS: (usize, usize) = (1_024, 4_096);

#[derive(Serialize)]
struct Page {
    connections: Vec<Connection>,
    /// How many are open.
    total: usize,
    /// What `after` is to be for those behind; `null` where these are the last.
    next: Option<u64>,
}

#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    connection: Connection,
    /// `null` where the connection did not answer in time.
    streams: Option<Streams>,
}

/// Those that are open, by number.
pub(super) async fn list(uri: Uri, named: Named) -> Result<Response, Response> {
    let query = Query::of(&uri, &["limit", "after"])?;
    let (limit, after) = (query.limit(PAGE.0, PAGE.1)?, query.parsed("after", number)?);
    let all = named.proxy.connections();
    let total = all.len();
    let behind = all.into_iter().filter(|(id, _)| after.is_none_or(|after| *id > after));
    let mut shown: Vec<_> = behind.take(limit.saturating_add(1)).collect();
    let more = shown.len() > limit;
    shown.truncate(limit);
    let next = shown.last().map(|(id, _)| *id).filter(|_| more);
    let asked = shown.into_iter().map(|(id, open)| async move {
        let inside = ask(&open.handle, |core, _| Inside::of(core)).await;
        Connection::new(id, &open, inside)
    });
    Ok(answer::json(StatusCode::OK, &Page { connections: join_all(asked).await, total, next }))
}

/// One that is open, with its streams.
pub(super) async fn show(uri: Uri, named: Named) -> Result<Response, Response> {
    let query = Query::of(&uri, &["limit", "after", "edge"])?;
    let page = StreamPage {
        limit: query.limit(STREAMS.0, STREAMS.1)?,
        after: query.parsed("after", StreamPage::place)?,
        edge: query.parsed("edge", edge)?,
    };
    let (id, open) = named.connection()?;
    let known = ask(&open.handle, move |core, _| (Inside::of(core), Streams::of(core, &page))).await;
    let (inside, streams) = known.unzip();
    Ok(answer::json(StatusCode::OK, &Whole { connection: Connection::new(id, &open, inside), streams }))
}

#[derive(Serialize)]
struct Closed {
    closed: u64,
}

/// Ends one at once, towards both of its ends.
pub(super) async fn close(uri: Uri, named: Named) -> Result<Response, Response> {
    Query::of(&uri, &[])?;
    let (id, open) = named.connection()?;
    open.handle.end();
    Ok(answer::json(StatusCode::OK, &Closed { closed: id }))
}
