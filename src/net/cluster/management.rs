//! The management port of a node, proxied for those who bootstrap by HTTP: GET of what holds cluster maps, and no more.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::ClusterDoors;
use crate::cluster::{Directory, Document, MAX_MAP_LEN, MapStream, Trouble, document};
use crate::net::listen::accept;
use crate::net::tls::Acceptor;
use crate::net::{Upstream, dial};

/// Where the requests to a listener go.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) doors: ClusterDoors,
    pub(super) upstream: Upstream,
    pub(super) tls: Option<Acceptor>,
}

/// The connections that a listener serves at once; others wait until they are accepted.
const AT_ONCE: usize = 128;
/// How long a handshake, a dial or the head of a message may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How long an answer that is no stream may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(75);
/// The longest answer that is no document with a map, in bytes.
const MOST: usize = 64 * 1024;

type Answer = Response<UnsyncBoxBody<Bytes, String>>;

/// Serves what comes to a listener until that is aborted; its connections go on.
pub(super) fn serve(listener: TcpListener, desk: Desk) -> AbortHandle {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let serving = tokio::spawn(async move {
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let (stream, desk) = (accept(&listener).await, desk.clone());
            tokio::spawn(async move {
                desk.connection(stream).await;
                drop(place);
            });
        }
    });
    serving.abort_handle()
}

impl Desk {
    async fn connection(self, stream: TcpStream) {
        let Ok(accepted_at) = stream.local_addr() else { return };
        let me = Arc::new((self, accepted_at));
        match &me.0.tls {
            None => requests(Box::new(TokioIo::new(stream)), &me).await,
            Some(tls) => match tls.accept_stream(stream, LIMIT).await {
                Ok(stream) => requests(Box::new(TokioIo::new(stream)), &me).await,
                Err(error) => error.tell(),
            },
        }
    }

    async fn answer(&self, request: Request<Incoming>, mut directory: Box<dyn Directory>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let Some(wanted) = Document::at(&path).filter(|_| method == Method::GET) else {
            let path: String = path.chars().take(80).collect();
            directory.told(&Trouble::NotProxied(format!("{method} {path}")));
            let status = if method == Method::GET { StatusCode::NOT_FOUND } else { StatusCode::FORBIDDEN };
            return said(
                status,
                "this is dcproxy: of a management port it proxies GET of what holds cluster maps, no more",
            );
        };
        match self.ask(&request).await {
            Ok(answer) => readdressed(answer, wanted, directory).await,
            Err(why) => {
                let why = format!("the management of {}: {why}", self.upstream.target);
                tracing::warn!("{why}");
                said(StatusCode::BAD_GATEWAY, &why)
            }
        }
    }

    /// Asks the node the same.
    async fn ask(&self, request: &Request<Incoming>) -> Result<Response<Incoming>, String> {
        let target = &self.upstream.target;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let uri: Uri = path.parse().map_err(|error| format!("no path: {error}"))?;
        let mut asked = Request::new(Empty::<Bytes>::new());
        *asked.uri_mut() = uri;
        *asked.headers_mut() = end_to_end(request.headers());
        // What is compressed cannot be rewritten.
        asked.headers_mut().remove(header::ACCEPT_ENCODING);
        let host = HeaderValue::from_str(&target.to_string()).map_err(|error| error.to_string())?;
        asked.headers_mut().insert(header::HOST, host);
        let asking = async {
            let stream = dial(target, LIMIT).await.map_err(|error| error.to_string())?;
            match &self.upstream.tls {
                None => send(Box::new(TokioIo::new(stream)), asked).await,
                Some(tls) => {
                    let stream = tls.connect_stream(stream, &target.host).await.map_err(|error| error.to_string())?;
                    send(Box::new(TokioIo::new(stream)), asked).await
                }
            }
        };
        timeout(ANSWERED_WITHIN, asking).await.unwrap_or_else(|_| Err(format!("no answer within {ANSWERED_WITHIN:?}")))
    }
}

/// A connection, plain or not: hyper is built once for both.
trait Io: Read + Write + Unpin + Send {}

impl<I: Read + Write + Unpin + Send> Io for I {}

async fn requests(io: Box<dyn Io>, me: &Arc<(Desk, std::net::SocketAddr)>) {
    let service = service_fn(|request| {
        let me = Arc::clone(me);
        async move {
            let (desk, accepted_at) = &*me;
            Ok::<_, std::convert::Infallible>(desk.answer(request, desk.doors.directory(*accepted_at)).await)
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(LIMIT);
    // What is no HTTP, or ends in the middle, is nobody's loss.
    if let Err(error) = http.serve_connection(io, service).await {
        tracing::debug!("a connection to a management port ended: {error}");
    }
}

async fn send(io: Box<dyn Io>, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, String> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(io).await.map_err(|error| error.to_string())?;
    // It ends when the answer's body is read, or nobody wants it any more.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|error| error.to_string())
}

/// A node's answer, in which every address is the proxy's.
async fn readdressed(answer: Response<Incoming>, wanted: Document, mut directory: Box<dyn Directory>) -> Answer {
    let (head, body) = answer.into_parts();
    let mut headers = end_to_end(&head.headers);
    // They speak of the document as it was, or lead past the proxy.
    for name in [header::CONTENT_LENGTH, header::ETAG, header::LOCATION, header::CONTENT_LOCATION, header::REFRESH] {
        headers.remove(name);
    }
    let body = if head.status != StatusCode::OK {
        let rest = timeout(ANSWERED_WITHIN, Limited::new(body, MOST).collect()).await;
        let rest = rest.ok().and_then(Result::ok).map(|rest| rest.to_bytes()).unwrap_or_default();
        full(rest)
    } else if wanted == Document::Stream {
        UnsyncBoxBody::new(Maps { body: Some((body, MapStream::default())), directory })
    } else {
        let whole = timeout(ANSWERED_WITHIN, Limited::new(body, MAX_MAP_LEN).collect()).await;
        let whole = match whole {
            Ok(Ok(whole)) => document(&whole.to_bytes(), &mut *directory),
            Ok(Err(error)) => Err(format!("expected a document of at most {MAX_MAP_LEN} bytes, found: {error}")),
            Err(_) => Err(format!("expected a whole document within {ANSWERED_WITHIN:?}, found less")),
        };
        match whole {
            Ok(document) => full(document.into()),
            Err(why) => {
                directory.told(&Trouble::Refused(why.clone()));
                return said(StatusCode::BAD_GATEWAY, &format!("the cluster map cannot be rewritten: {why}"));
            }
        }
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = head.status;
    *answer.headers_mut() = headers;
    answer
}

/// The headers that are for the other end, and not for the next (RFC 9110 §7.6.1).
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    const BY_HOP: [HeaderName; 6] = [
        header::CONNECTION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
    ];
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
        .collect();
    let is_kept = |name: &HeaderName| !BY_HOP.contains(name) && !named.iter().any(|named| named == name.as_str());
    headers.iter().filter(|(name, _)| is_kept(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn full(bytes: Bytes) -> UnsyncBoxBody<Bytes, String> {
    UnsyncBoxBody::new(Full::new(bytes).map_err(|never| match never {}))
}

fn said(status: StatusCode, line: &str) -> Answer {
    let mut answer = Response::new(full(format!("{line}\n").into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// A stream of maps, rewritten as they come. One that cannot be rewritten ends it: clients ask again then.
struct Maps {
    body: Option<(Incoming, MapStream)>,
    directory: Box<dyn Directory>,
}

impl Maps {
    fn give_up(&mut self, why: String) -> String {
        self.directory.told(&Trouble::Refused(why.clone()));
        self.body = None;
        why
    }
}

impl Body for Maps {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        let me = &mut *self;
        while let Some((body, maps)) = &mut me.body {
            let out = match std::task::ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    maps.feed(&data, &mut *me.directory)
                }
                Some(Err(error)) => {
                    me.body = None;
                    return Poll::Ready(Some(Err(error.to_string())));
                }
                None => {
                    let Some((_, maps)) = me.body.take() else { break };
                    maps.end(&mut *me.directory)
                }
            };
            match out {
                Ok(out) if out.is_empty() => {}
                Ok(out) => return Poll::Ready(Some(Ok(Frame::data(out.into())))),
                Err(why) => return Poll::Ready(Some(Err(me.give_up(why)))),
            }
        }
        Poll::Ready(None)
    }
}
