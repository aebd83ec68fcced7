use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use bytes::Bytes;
use hyper::body::Frame;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::listen::accept;
use super::{Entrance, Shutdown, Stop, serve_node};
use crate::node::{Answer, Cluster, MAP_END, Method, Node};

/// Where one node of a cluster listens.
#[derive(Debug)]
pub struct NodeListeners {
    /// For KV and DCP.
    pub entrances: Vec<Entrance>,
    /// For its management, which speaks HTTP.
    pub management: Vec<Entrance>,
}

/// Serves the nodes of a cluster, in order, each on listeners of its own, until `shutdown` says stop. Their connections end
/// with them.
pub async fn serve_cluster(listeners: impl IntoIterator<Item = NodeListeners>, cluster: &Cluster, shutdown: &Shutdown) {
    let changes = watch::Sender::new(());
    let mut serving = JoinSet::new();
    for (NodeListeners { entrances, management }, node) in listeners.into_iter().zip(cluster.nodes()) {
        for entrance in management {
            serving.spawn(serve_management(entrance, node.clone(), changes.clone(), shutdown.clone()));
        }
        let shutdown = shutdown.clone();
        serving.spawn(async move { serve_node(entrances, node, &shutdown).await });
    }
    while let Some(ended) = serving.join_next().await {
        if let Err(error) = ended {
            tracing::error!("a node of the embedded cluster crashed: {error}");
        }
    }
}

/// What a request is answered from.
#[derive(Clone, Debug)]
struct Desk {
    node: Node,
    /// Told of each change of the cluster.
    changes: watch::Sender<()>,
}

async fn serve_management(entrance: Entrance, node: Node, changes: watch::Sender<()>, shutdown: Shutdown) {
    let mut stop = shutdown.listen();
    let router = Router::new().fallback(answer).with_state(Desk { node, changes });
    let serving = async { axum::serve(Joined::new(entrance)?, router).await };
    tokio::select! {
        served = serving => {
            if let Err(error) = served {
                tracing::error!("the management of the embedded node ended: {error}");
            }
        }
        _ = stop.wait_for(|&stop| stop != Stop::No) => {}
    }
}

/// A connection, plain or not: hyper is built once for both.
trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<I: AsyncRead + AsyncWrite + Unpin + Send> Io for I {}

/// Connections whose handshake, if there is one, is done; those that are slow at it keep nobody.
struct Joined {
    streams: mpsc::Receiver<(Box<dyn Io>, SocketAddr)>,
    at: SocketAddr,
}

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

impl Joined {
    fn new(Entrance { listener, tls }: Entrance) -> io::Result<Self> {
        let at = listener.local_addr()?;
        let (sender, streams) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let stream = tokio::select! {
                    stream = accept(&listener) => stream,
                    () = sender.closed() => return,
                };
                let (tls, sender) = (tls.clone(), sender.clone());
                tokio::spawn(async move {
                    let Ok(from) = stream.peer_addr() else { return };
                    let stream: Box<dyn Io> = match tls {
                        None => Box::new(stream),
                        Some(tls) => match tls.accept_stream(stream, HANDSHAKE).await {
                            Ok(stream) => Box::new(stream),
                            Err(error) => return error.tell(),
                        },
                    };
                    drop(sender.send((stream, from)).await);
                });
            }
        });
        Ok(Self { streams, at })
    }
}

impl Listener for Joined {
    type Io = Box<dyn Io>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.streams.recv().await {
            Some(accepted) => accepted,
            // Nobody accepts any more.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.at)
    }
}

async fn answer(State(desk): State<Desk>, request: Request) -> Response {
    let method = match *request.method() {
        axum::http::Method::GET => Method::Get,
        axum::http::Method::POST => Method::Post,
        _ => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
    };
    match desk.node.manage(method, request.uri().path(), authorization(request.headers())) {
        Answer::Json(value) => json(StatusCode::OK, Body::from(value.to_string())),
        Answer::Maps => json(StatusCode::OK, Body::new(Maps::of(desk))),
        Answer::Changed(revision) => {
            desk.changes.send_replace(());
            json(StatusCode::OK, Body::from(format!("{{\"rev\":{revision}}}")))
        }
        Answer::Unauthorized => {
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"Couchbase Server\"")]).into_response()
        }
        Answer::Refused(status, why) => {
            (StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), why).into_response()
        }
    }
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()
}

fn json(status: StatusCode, body: Body) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The cluster map, now and after each change, until nobody reads it any more.
#[derive(Debug)]
struct Maps {
    maps: mpsc::Receiver<Bytes>,
}

impl Maps {
    fn of(desk: Desk) -> Self {
        let (sender, maps) = mpsc::channel(1);
        let mut changes = desk.changes.subscribe();
        tokio::spawn(async move {
            loop {
                let map = desk.node.bucket_map() + MAP_END;
                if sender.send(map.into()).await.is_err() {
                    return;
                }
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() { return },
                    () = sender.closed() => return,
                }
            }
        });
        Self { maps }
    }
}

impl HttpBody for Maps {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.maps.poll_recv(context).map(|map| map.map(|map| Ok(Frame::data(map))))
    }
}
