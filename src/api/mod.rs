//! The tool over HTTP: whether it is well, and what it counts. Control is to come here, a file each with its routes.
//!
//! Whoever can reach it may use it, so it is for loopback or a network of one's own; what a web page of a stranger makes a
//! browser send is refused ([`guard`]).

mod answer;
mod guard;
mod health;
mod limits;
mod listener;
mod metrics;
pub mod toxiproxy;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio::task::JoinHandle;

use self::guard::Guard;
use self::listener::Limited;
use self::metrics::Requests;
use crate::net::Health;
use crate::net::Target;
use crate::net::control::Registry;
use crate::net::listen;

/// The API while it serves; it ends when this is dropped.
#[derive(Debug)]
pub struct Api {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// Connections at a time; others wait.
const MAX_CONNECTIONS: usize = 64;

impl Api {
    /// Listens on an address, and answers there.
    ///
    /// # Errors
    /// It cannot listen there.
    pub async fn start(at: &Target, health: Health, registry: Registry) -> io::Result<Self> {
        let listener = listen(at).await?;
        let address = listener.local_addr()?;
        let router = router(Guard::new(&at.host), health, registry);
        let task = tokio::spawn(serve(Limited::new(listener, MAX_CONNECTIONS), router));
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: Limited, router: Router) {
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!("the API has ended: {error}");
    }
}

fn router(guard: Guard, health: Health, registry: Registry) -> Router {
    let requests = Requests::default();
    Router::new()
        .merge(metrics::routes(registry.clone(), health.clone(), requests.clone()))
        .merge(health::routes(health))
        .merge(toxiproxy::routes(registry))
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(from_fn_with_state(Arc::new(guard), guard::check))
        .layer(from_fn_with_state(requests, metrics::count))
}
