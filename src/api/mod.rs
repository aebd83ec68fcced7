//! The tool over HTTP: whether it is well, and what it counts. Control is to come here, a file each with its routes.
//!
//! Whoever can reach it may use it, so it is for loopback; beyond it whoever asks must bring a token ([`Token`]). What a web
//! page of a stranger makes a browser send is refused ([`guard`]). What may be sent and named is bounded in one place
//! ([`limits`]).

mod answer;
mod guard;
mod health;
mod limits;
mod metrics;
mod patient;
mod seats;
mod server;
mod token;
pub mod toxiproxy;
mod v1;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn;
use axum::middleware::from_fn_with_state;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::token::NoToken;
pub use self::token::Token;

use self::guard::Guard;
use self::metrics::Requests;
use self::server::Bounds;
use self::server::serve;
use crate::net::Health;
use crate::net::Target;
use crate::net::control::Registry;
use crate::net::listen;

/// The API while it serves; it ends when this is dropped.
#[derive(Debug)]
pub struct Api {
    address: SocketAddr,
    task: JoinHandle<()>,
    close: watch::Sender<bool>,
    registry: Registry,
}

/// Where the API can be reached, and by whom.
#[derive(Clone, Debug)]
pub struct Access {
    /// Where it listens.
    pub at: Target,
    /// What whoever asks must bring; beyond loopback there must be one.
    pub token: Option<Token>,
    /// Further names by which it is asked for.
    pub names: Vec<String>,
}

impl From<Target> for Access {
    /// Without a token, and by no other name.
    fn from(at: Target) -> Self {
        Self { at, token: None, names: Vec::new() }
    }
}

impl Api {
    /// Listens on an address, and answers there.
    ///
    /// # Errors
    /// It cannot listen there, or a token is missing.
    pub async fn start(access: Access, health: Health, registry: Registry) -> io::Result<Self> {
        let Access { at, token, names } = access;
        let listener = listen(&at).await?;
        let address = listener.local_addr()?;
        // What a name leads to is known only now.
        if token.is_none() && !address.ip().to_canonical().is_loopback() {
            let expected =
                "a token where the API listens beyond loopback (--api-token-file FILE, or DCPROXY_API_TOKEN)";
            return Err(io::Error::other(format!("expected {expected}, found none with --api {at}")));
        }
        let guard = Guard::new([&*at.host].into_iter().chain(names.iter().map(String::as_str)));
        let bounds = Bounds::default();
        let requests = Requests::default();
        let routes = routes(health, registry.clone(), &requests);
        let router = router(guard, token, bounds, routes).layer(from_fn_with_state(requests, metrics::count));
        let close = watch::Sender::new(false);
        let task = tokio::spawn(serve(listener, router, bounds, close.subscribe()));
        Ok(Self { address, task, close, registry })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nobody in any more, and waits for a moment that those who have asked are answered.
    pub async fn finish(mut self) {
        self.close.send_replace(true);
        self.registry.end();
        let answered = tokio::time::timeout(Bounds::default().leave, &mut self.task);
        if let Ok(Err(error)) = answered.await {
            tracing::error!("the API has crashed: {error}");
        }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        // Answers that would go on for ever end.
        self.registry.end();
        self.task.abort();
    }
}

/// All that is answered.
fn routes(health: Health, registry: Registry, requests: &Requests) -> Router {
    Router::new()
        .merge(metrics::routes(registry.clone(), health.clone(), requests.clone()))
        .merge(health::routes(health))
        .merge(toxiproxy::routes(registry.clone()))
        .merge(v1::routes(registry))
}

/// These routes, behind all that is checked of every request.
fn router(guard: Guard, token: Option<Token>, bounds: Bounds, routes: Router) -> Router {
    routes
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_method)
        // The last comes first.
        .layer(from_fn_with_state(bounds.patience, limits::whole_body))
        .layer(from_fn_with_state(token.map(Arc::new), token::check))
        .layer(from_fn_with_state(Arc::new(guard), guard::check))
        .layer(from_fn(answer::always))
}

#[cfg(test)]
mod tests;
