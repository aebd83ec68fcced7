use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use axum::extract::MatchedPath;
use axum::extract::State;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use crate::net::meter::OTHER;

/// The requests that were answered. There are as many kinds of them as routes, methods and statuses, whatever is asked.
#[derive(Clone, Debug, Default)]
pub(in crate::api) struct Requests {
    answered: Arc<Mutex<BTreeMap<Answered, u64>>>,
}

/// A kind of request, and what was answered.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Answered {
    /// As it is written in the code; [`OTHER`] where there is none.
    pub(super) route: Arc<str>,
    pub(super) method: &'static str,
    pub(super) status: u16,
}

impl Requests {
    pub(super) fn read(&self) -> BTreeMap<Answered, u64> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, answered: Answered) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner).entry(answered).or_default() += 1;
    }
}

/// Counts a request once it is answered.
pub(in crate::api) async fn count(
    State(requests): State<Requests>,
    request: axum::extract::Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or(OTHER, MatchedPath::as_str).into();
    let method = named(request.method());
    let response = next.run(request).await;
    requests.count(Answered { route, method, status: response.status().as_u16() });
    response
}

/// Whatever can be sent as a method, these are all there are.
fn named(method: &Method) -> &'static str {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ];
    let names = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    known.iter().zip(names).find(|(known, _)| *known == method).map_or(OTHER, |(_, name)| name)
}
