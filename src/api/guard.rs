use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::sync::Arc;

use axum::extract::Request;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::Version;
use axum::http::header::HOST;
use axum::http::header::ORIGIN;
use axum::middleware::Next;
use axum::response::Response;

use super::answer;

/// Tells requests that are meant for this API from those that a stranger's web page makes a browser send.
///
/// A page can let its own name lead to this address (DNS rebinding): then `Host` is that name. Or it asks this address
/// right away: then `Origin` is the page's. Addresses and `localhost` cannot be made to lead elsewhere; any other name must
/// be the one that the user named.
#[derive(Debug)]
pub(super) struct Guard {
    named: String,
}

impl Guard {
    /// `host` is where the user has it listen.
    pub(super) fn new(host: &str) -> Self {
        Self { named: host.to_ascii_lowercase() }
    }

    /// Whether this is a name or an address of ours: `host`, `host:port`, `[::1]:port`.
    fn is_ours(&self, authority: &str) -> bool {
        let host = match authority.strip_prefix('[') {
            Some(rest) => {
                let Some((inner, port)) = rest.split_once(']') else { return false };
                return inner.parse::<Ipv6Addr>().is_ok()
                    && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
            }
            None => match authority.split_once(':') {
                Some((host, port)) if is_port(port) => host,
                Some(_) => return false,
                None => authority,
            },
        };
        // `localhost.` is the same name.
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        host == "localhost" || host.parse::<IpAddr>().is_ok() || (!host.is_empty() && host == self.named)
    }

    /// What is wrong with a request, if anything is.
    fn objection(&self, request: &Request) -> Option<(StatusCode, String)> {
        let headers = request.headers();
        let foreign = |what: &str, found: &str| {
            let expected = format!("expected {what} to be localhost, an address or '{}', found '{found}'", self.named);
            Some((StatusCode::FORBIDDEN, expected))
        };
        // A whole address as target stands in the place of Host.
        if let Some(authority) = request.uri().authority().filter(|authority| !self.is_ours(authority.as_str())) {
            return foreign("the host", authority.as_str());
        }
        let mut hosts = headers.get_all(HOST).iter();
        match (hosts.next(), hosts.next()) {
            (Some(host), None) => {
                let host = String::from_utf8_lossy(host.as_bytes());
                if !self.is_ours(host.trim()) {
                    return foreign("Host", &host);
                }
            }
            // As balancers of old ask.
            (None, _) if request.version() == Version::HTTP_10 => {}
            (None, _) => return Some((StatusCode::BAD_REQUEST, "expected a Host, found none".to_owned())),
            (Some(_), Some(_)) => {
                return Some((StatusCode::BAD_REQUEST, "expected one Host, found several".to_owned()));
            }
        }
        for origin in headers.get_all(ORIGIN) {
            let origin = String::from_utf8_lossy(origin.as_bytes());
            let host = origin.split_once("://").map_or("", |(_, host)| host);
            if !self.is_ours(host) {
                return foreign("Origin", &origin);
            }
        }
        None
    }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

/// Lets a request through, or refuses it.
pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.objection(&request) {
        Some((status, error)) => answer::refusal(status, &error),
        None => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn addresses_localhost_and_the_named_host_are_ours_and_no_other_name() {
        let guard = Guard::new("Proxy.Example");
        for ours in [
            "localhost",
            "LOCALHOST:1",
            "localhost.",
            "127.0.0.1:8474",
            "10.1.2.3",
            "[::1]:80",
            "[::1]",
            "proxy.example:9",
        ] {
            assert!(guard.is_ours(ours), "{ours}");
        }
        for foreign in [
            "",
            ":80",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "localhost:80:80",
            "[::1",
            "[::1]evil",
            "[evil]",
            "localhost:x",
        ] {
            assert!(!guard.is_ours(foreign), "{foreign}");
        }
    }

    fn request(version: Version, uri: &str, headers: &[(&str, &str)]) -> Request {
        let builder = Request::builder().version(version).uri(uri);
        let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        builder.body(Body::empty()).expect("a request")
    }

    #[test]
    fn what_a_strangers_page_makes_a_browser_send_is_refused() {
        let guard = Guard::new("127.0.0.1");
        let status = |version, uri, headers: &[_]| {
            guard.objection(&request(version, uri, headers)).map(|(status, _)| status.as_u16())
        };
        let (v10, v11) = (Version::HTTP_10, Version::HTTP_11);
        assert_eq!(status(v11, "/healthz", &[("host", "127.0.0.1:8474")]), None);
        assert_eq!(status(v11, "/healthz", &[("host", "localhost"), ("origin", "http://localhost:8474")]), None);
        assert_eq!(status(v11, "/healthz", &[("host", "evil.example")]), Some(403));
        assert_eq!(status(v11, "/healthz", &[("host", "127.0.0.1"), ("origin", "https://evil.example")]), Some(403));
        assert_eq!(status(v11, "/healthz", &[("host", "127.0.0.1"), ("origin", "null")]), Some(403));
        assert_eq!(status(v11, "http://evil.example/healthz", &[("host", "127.0.0.1")]), Some(403));
        assert_eq!(status(v11, "/healthz", &[("host", "127.0.0.1"), ("host", "evil.example")]), Some(400));
        assert_eq!(status(v11, "/healthz", &[]), Some(400));
        assert_eq!(status(v10, "/healthz", &[]), None);
    }
}
