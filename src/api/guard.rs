use std::collections::BTreeSet;
use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::sync::Arc;

use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::Version;
use axum::http::header::HOST;
use axum::http::header::ORIGIN;
use axum::http::header::USER_AGENT;
use axum::middleware::Next;
use axum::response::Response;

use super::answer;
use super::limits::shown;

/// Tells requests that are meant for this API from those that a stranger's web page makes a browser send.
///
/// A page can let its own name lead to this address (DNS rebinding): then `Host` is that name. Or it asks this address
/// right away: then `Origin` is the page's, or `Sec-Fetch-Site` says that it is a page at all. Addresses and `localhost`
/// cannot be made to lead elsewhere; any other name must be one that the user named. No page is ever given leave by CORS.
#[derive(Debug)]
pub(super) struct Guard {
    named: BTreeSet<String>,
}

impl Guard {
    /// `names` are where the user has it listen, and what else it is called.
    pub(super) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { named: names.into_iter().map(plain).filter(|name| !name.is_empty()).collect() }
    }

    /// Whether this is a name or an address of ours: `host`, `host:port`, `[::1]:port`.
    fn is_ours(&self, authority: &str) -> bool {
        let Some((host, _)) = split(authority) else { return false };
        if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            return inner.parse::<Ipv6Addr>().is_ok();
        }
        let host = plain(host);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()) || self.named.contains(&host)
    }

    /// What is wrong with a request, if anything is.
    fn objection(&self, request: &Request) -> Option<Objection> {
        let headers = request.headers();
        let foreign = |what: &str, found: &str| {
            let named = self.named.iter().map(|name| format!(" or '{name}'")).collect::<String>();
            let said = format!("expected {what} to be localhost, an address{named}, found '{}'", shown(found));
            Some((StatusCode::FORBIDDEN, said))
        };
        // A whole address as target stands in the place of Host.
        if let Some(authority) = request.uri().authority().filter(|authority| !self.is_ours(authority.as_str())) {
            return foreign("the host", authority.as_str());
        }
        let host = match only(headers, HOST.as_str()) {
            Ok(Some(host)) if !self.is_ours(&host) => return foreign("Host", &host),
            Ok(host) => host,
            Err(several) => return Some(several),
        };
        // As balancers of old ask.
        if host.is_none() && request.version() != Version::HTTP_10 {
            return Some((StatusCode::BAD_REQUEST, "expected a Host, found none".to_owned()));
        }
        of_a_page(headers, host.as_deref())
    }
}

/// How a request is refused.
type Objection = (StatusCode, String);

/// What tells that a web page sent a request that is none of this address's own: there are none such.
fn of_a_page(headers: &HeaderMap, host: Option<&str>) -> Option<Objection> {
    let refused = |said: String| Some((StatusCode::FORBIDDEN, said));
    let origin = match only(headers, ORIGIN.as_str()) {
        Ok(origin) => origin,
        Err(several) => return Some(several),
    };
    if let Some(origin) = origin.filter(|origin| !host.is_some_and(|host| is_same(origin, host))) {
        return refused(format!("expected no Origin or that of this address, found '{}'", shown(&origin)));
    }
    for site in headers.get_all("sec-fetch-site") {
        if !["same-origin", "none"].iter().any(|fine| site.as_bytes().eq_ignore_ascii_case(fine.as_bytes())) {
            let site = String::from_utf8_lossy(site.as_bytes());
            return refused(format!("expected Sec-Fetch-Site to be same-origin, found '{}'", shown(&site)));
        }
    }
    // Every browser says so; toxiproxy refuses it likewise.
    if headers.get_all(USER_AGENT).iter().any(|agent| agent.as_bytes().starts_with(b"Mozilla/")) {
        return refused("expected a client of this API, found a browser (User-Agent: Mozilla/...)".to_owned());
    }
    None
}

/// The value of a header that comes once at most.
fn only(headers: &HeaderMap, name: &str) -> Result<Option<String>, Objection> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Ok(Some(String::from_utf8_lossy(value.as_bytes()).trim().to_owned())),
        (Some(_), Some(_)) => Err((StatusCode::BAD_REQUEST, format!("expected one {name}, found several"))),
    }
}

/// Whether an origin is the one of which a request with this `Host` would be.
fn is_same(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let standard = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let place = |authority| split(authority).map(|(host, port)| (plain(host), port.unwrap_or(standard)));
    place(authority).is_some_and(|of_page| place(host) == Some(of_page))
}

/// Host and port; `None` where it is not of the form `host`, `host:port` or `[address]:port`.
fn split(authority: &str) -> Option<(&str, Option<u16>)> {
    let end = match authority.strip_prefix('[') {
        Some(_) => authority.find(']')? + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at_checked(end)?;
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        // RFC 3986, 3.2.3: nothing after the colon is the port of the scheme.
        Some("") => None,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
        _ => return None,
    };
    Some((host, port))
}

/// A name as it is compared: `localhost.` is the same name.
fn plain(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
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
    fn addresses_localhost_and_the_named_hosts_are_ours_and_no_other_name() {
        let guard = Guard::new(["Proxy.Example", "dcproxy."]);
        for ours in [
            "localhost",
            "LOCALHOST:1",
            "localhost:",
            "localhost.",
            "127.0.0.1:8474",
            "10.1.2.3",
            "[::1]:80",
            "[::1]",
            "proxy.example:9",
            "DCPROXY:8474",
        ] {
            assert!(guard.is_ours(ours), "{ours}");
        }
        for foreign in [
            "",
            ".",
            ":80",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "evil.example@127.0.0.1",
            "localhost:80@evil.example",
            "localhost:80:80",
            "localhost:+80",
            "localhost:65536",
            "localhost evil",
            "localhost,evil",
            "localhost/evil",
            "::1",
            "[::1",
            "[::1]evil",
            "[::1%lo]",
            "[::1%25lo]:80",
            "[evil]",
            "[127.0.0.1]",
            "localhost:x",
            "localhost\u{e9}",
            "xn--localhost",
        ] {
            assert!(!guard.is_ours(foreign), "{foreign}");
        }
        // Nobody named it.
        assert!(!Guard::new(["", "."]).is_ours(""));
        assert!(!Guard::new(["0.0.0.0"]).is_ours("dcproxy"));
    }

    fn status_of(version: Version, uri: &str, headers: &[(&str, &str)]) -> Option<u16> {
        let builder = Request::builder().version(version).uri(uri);
        let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        let request = builder.body(Body::empty()).expect("a request");
        Guard::new(["127.0.0.1"]).objection(&request).map(|(status, said)| {
            assert!(said.chars().count() < 300 && !said.chars().any(char::is_control), "{said}");
            status.as_u16()
        })
    }

    #[test]
    fn one_host_is_named_in_whatever_form_a_request_has() {
        let (v10, v11) = (Version::HTTP_10, Version::HTTP_11);
        let long = "x".repeat(9_000);
        assert_eq!(status_of(v11, "/healthz", &[("host", "127.0.0.1:8474")]), None);
        assert_eq!(status_of(v11, "/healthz", &[("host", "evil.example")]), Some(403));
        assert_eq!(status_of(v11, "/healthz", &[("host", &long)]), Some(403));
        assert_eq!(status_of(v11, "/healthz", &[("host", "")]), Some(403));
        assert_eq!(status_of(v11, "/healthz", &[("host", "127.0.0.1"), ("host", "evil.example")]), Some(400));
        assert_eq!(status_of(v11, "/healthz", &[]), Some(400));
        assert_eq!(status_of(v11, "http://127.0.0.1:1/healthz", &[("host", "127.0.0.1:1")]), None);
        assert_eq!(status_of(v11, "http://evil.example/healthz", &[("host", "127.0.0.1")]), Some(403));
        assert_eq!(status_of(v11, "http://127.0.0.1/healthz", &[("host", "evil.example")]), Some(403));
        assert_eq!(status_of(v11, "http://a@127.0.0.1/healthz", &[("host", "127.0.0.1")]), Some(403));
        assert_eq!(status_of(v11, "evil.example:443", &[("host", "127.0.0.1")]), Some(403));
        assert_eq!(status_of(v10, "/healthz", &[]), None);
        assert_eq!(status_of(v10, "/healthz", &[("host", "evil.example")]), Some(403));
    }

    #[test]
    fn what_a_web_page_makes_a_browser_send_is_refused() {
        let of = |host: &str, headers: &[(&str, &str)]| {
            let headers: Vec<_> = [("host", host)].into_iter().chain(headers.iter().copied()).collect();
            status_of(Version::HTTP_11, "/reset", &headers)
        };
        let here = "127.0.0.1:8474";
        assert_eq!(of(here, &[("origin", "http://127.0.0.1:8474")]), None);
        assert_eq!(of("localhost", &[("origin", "https://localhost:443")]), None);
        for foreign in [
            "null",
            "",
            "https://evil.example",
            // An address is no name that could be made to lead elsewhere, but a page can be there.
            "http://203.0.113.5",
            "http://127.0.0.1",
            "http://127.0.0.1:3000",
            "http://localhost:8474",
            "file://127.0.0.1:8474",
            "http://127.0.0.1:8474@evil.example",
            "http://127.0.0.1:8474/",
        ] {
            assert_eq!(of(here, &[("origin", foreign)]), Some(403), "{foreign}");
        }
        assert_eq!(of(here, &[("origin", "http://127.0.0.1:8474"), ("origin", "null")]), Some(400));
        assert_eq!(status_of(Version::HTTP_10, "/reset", &[("origin", "http://127.0.0.1")]), Some(403));
        for site in ["cross-site", "same-site", "", "else"] {
            assert_eq!(of(here, &[("sec-fetch-site", site)]), Some(403), "{site}");
        }
        assert_eq!(of(here, &[("sec-fetch-site", "same-origin")]), None);
        assert_eq!(of(here, &[("sec-fetch-site", "none")]), None);
        assert_eq!(of(here, &[("user-agent", "Mozilla/5.0 (X11; Linux x86_64)")]), Some(403));
        assert_eq!(of(here, &[("user-agent", "curl/8.5.0")]), None);
    }
}
