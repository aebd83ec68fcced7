use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::ask::{Named, ask};
use super::query::Query;
use crate::Timestamp;
use crate::api::{answer, limits};
use crate::net::Core;
use crate::net::control::{Controlled, Open, no_producer};
use crate::report::{self, Format, Report};
use crate::scenario::judge::{Judgement, not_enough};
use crate::units;
use crate::verdict::Judge;

/// What settling may take beyond the settling time.
const SLACK: Duration = Duration::from_secs(8);
/// The longest that anybody may ask to wait.
const LONGEST: Duration = Duration::from_secs(600);

/// Settles all connections of the proxy and tells what they, and those before them, come to.
pub(super) async fn judge(uri: Uri, named: Named) -> Result<Response, Response> {
    let query = Query::of(&uri, &["settle", "format"])?;
    let format = query.parsed("format", format)?.unwrap_or(Format::Json);
    let proxy = named.proxy;
    let own = proxy.settle();
    let settle = query.parsed("settle", |text| match units::duration(text)? {
        settle if settle > LONGEST.max(own) => {
            Err(format!("expected up to {}, found {text}", units::duration_text(LONGEST.max(own))))
        }
        settle if settle < own => {
            Err(format!("expected at least the proxy's own {}, found {text}", units::duration_text(own)))
        }
        settle => Ok(settle),
    })?;
    let Some(alone) = proxy.judge_alone() else {
        let error = format!("expected no verdict of '{}' under way, found one", proxy.name());
        return Err(answer::refusal(StatusCode::CONFLICT, &error));
    };
    let report = found_out(&proxy, settle.unwrap_or(own)).await;
    proxy.totals().demanded(report.verdict);
    drop(alone);
    written(report, format).await
}

/// Settles the connections that are open, and judges all.
async fn found_out(proxy: &Arc<Controlled>, settle: Duration) -> Report {
    let setup = proxy.setup();
    let (begun, open) = (Instant::now(), proxy.connections());
    let (soonest, latest) = (begun + settle, begun + settle + SLACK);
    let longer = settle > setup.plan.settle;
    let judged = open.into_iter().map(|(id, open)| async move {
        let judgement = settled(&open, soonest, latest, longer, setup.judge).await;
        (id, open, judgement)
    });
    let judged = join_all(judged).await;
    // Those that have ended meanwhile are there too.
    let mut past = proxy.past();
    for (id, open, judgement) in judged {
        match judgement {
            Some(judgement) => past.add_open(judgement, setup.judge),
            None if past.has(id) => {}
            None => past.add_silent(id, &open.ends, setup.judge),
        }
    }
    let (count, has_producer) = (past.len(), past.has_producer());
    let orders = proxy.orders();
    let mut report = past.report(&setup.plan, setup.judge);
    for (_, scenario) in &orders.scenarios {
        if !report.scenarios.contains(&scenario.name) {
            report.scenarios.push(scenario.name.clone());
        }
    }
    if !has_producer {
        report.add_finding(&no_producer(count));
    }
    report
}

/// What a connection comes to once it has settled, or when it should have; `None` where it has ended or does not answer.
async fn settled(open: &Open, soonest: Instant, latest: Instant, longer: bool, judge: Judge) -> Option<Judgement> {
    ask(&open.handle, |core, now| core.settle(now)).await?;
    let in_time = timeout_at(latest, open.handle.settled()).await.is_ok();
    if longer {
        sleep_until(soonest).await;
    }
    let mut judgement = ask(&open.handle, |core, _| core.verdict_now()).await?;
    if !in_time {
        let finding = not_enough("a connection that settles", "it had not settled when it was to be judged");
        judgement.connection.add_finding(finding, judge, None, Timestamp::default());
    }
    Some(judgement)
}

fn format(text: &str) -> Result<Format, String> {
    match text {
        "json" => Ok(Format::Json),
        "junit" => Ok(Format::Junit),
        "text" => Ok(Format::Text),
        _ => Err(format!("expected json, junit or text, found '{}'", limits::shown(text))),
    }
}

/// The report as the body of an answer: made where nobody's bytes wait for it.
async fn written(report: Report, format: Format) -> Result<Response, Response> {
    let made = tokio::task::spawn_blocking(move || {
        let mut body = Vec::new();
        report::write(format, &report, &mut body).map(|()| body)
    });
    let failed = |error: &dyn std::fmt::Display| {
        answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, &format!("cannot write the report: {error}"))
    };
    let body = made.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    let content_type = match format {
        Format::Json => "application/json",
        Format::Junit => "application/xml",
        Format::Text => "text/plain; charset=utf-8",
    };
    Ok(([(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store")], body).into_response())
}

#[derive(Serialize)]
struct Forgotten {
    forgotten: u64,
}

/// Forgets what the connections came to that have ended.
pub(super) async fn forget(uri: Uri, named: Named) -> Result<Response, Response> {
    Query::of(&uri, &[])?;
    Ok(answer::json(StatusCode::OK, &Forgotten { forgotten: named.proxy.forget() }))
}
