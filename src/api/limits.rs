//! What a request may cost, and what may be named: one place, so that all routes agree.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::body::HttpBody;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header::EXPECT;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use super::answer;

/// Connections at a time. One more is let in where one of these has nothing to do, else it waits.
pub(super) const MAX_CONNECTIONS: usize = 64;
/// The bytes of a request before its body.
pub(super) const MAX_HEAD: usize = 16 * 1024;
/// The header lines of a request.
pub(super) const MAX_HEADERS: usize = 64;
/// The bytes of a request's body: ten thousand proxies, or any scenario.
pub(super) const MAX_BODY: usize = 2 * 1024 * 1024;
/// How long a request may take to come, its head and its body each; how long nothing may be asked on a connection, and how
/// long nothing of an answer may be taken.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// The characters of a name.
pub(super) const MAX_NAME: usize = 128;
/// The proxies that there may be.
pub(super) const MAX_PROXIES: usize = crate::net::control::MOST_PROXIES;
/// The toxics of one proxy.
pub(super) const MAX_TOXICS: usize = 1_000;
/// The scenarios that are armed on one proxy.
pub(super) const MAX_SCENARIOS: usize = 64;
/// The journals that are followed at a time, in all: the other connections are for those who ask and go.
pub(super) const MAX_TAILS: usize = 16;
/// The milliseconds of any duration: a year. Nothing that is added to a time leaves the range of times.
pub(super) const MAX_MILLIS: u64 = 365 * 24 * 60 * 60 * 1000;

/// More than may be, or something that cannot be named so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Exceeded {
    pub(super) status: StatusCode,
    /// Expected and found.
    pub(super) said: String,
}

impl Exceeded {
    fn new(status: StatusCode, said: String) -> Self {
        Self { status, said }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl IntoResponse for Exceeded {
    fn into_response(self) -> Response {
        answer::refusal(self.status, &self.said)
    }
}

/// Whether something can be called so: 1 to [`MAX_NAME`] characters, none of which is a control character or ends a segment
/// of a path.
///
/// # Errors
/// Status 400.
pub(super) fn name(what: &str, text: &str) -> Result<(), Exceeded> {
    let unfit = |expected: &str| {
        let said = format!("expected {expected} as the name of {what}, found '{}'", shown(text));
        Err(Exceeded::new(StatusCode::BAD_REQUEST, said))
    };
    if text.is_empty() || text.chars().nth(MAX_NAME).is_some() {
        return unfit(&format!("1 to {MAX_NAME} characters"));
    }
    if text.chars().any(|char| char.is_control() || char == '/') {
        return unfit("no control character and no '/'");
    }
    // As a segment of a path they are taken out of it by whoever asks.
    if text == "." || text == ".." {
        return unfit("something else than dots");
    }
    Ok(())
}

/// The characters of an address: a host name has 253 at most, and a port comes behind it.
const MAX_ADDRESS: usize = 300;

/// Whether that can be an address at all; what reads it says the rest.
///
/// # Errors
/// Status 400.
pub(super) fn address(what: &str, text: &str) -> Result<(), Exceeded> {
    if text.chars().nth(MAX_ADDRESS).is_none() && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let expected = format!("up to {MAX_ADDRESS} characters, none of which is a control character, as {what}");
    Err(Exceeded::new(StatusCode::BAD_REQUEST, format!("expected {expected}, found '{}'", shown(text))))
}

/// Whether there may be `more` of something of which there are `have`.
///
/// # Errors
/// Status 409: some can be removed first.
pub(super) fn room(what: &str, have: usize, more: usize, most: usize) -> Result<(), Exceeded> {
    let wanted = have.saturating_add(more);
    if wanted <= most {
        return Ok(());
    }
    Err(Exceeded::new(StatusCode::CONFLICT, format!("expected up to {most} {what}, found {wanted}")))
}

/// Characters of a text that somebody else wrote that an answer repeats.
const SHOWN: usize = 80;
/// Characters of any error.
const MAX_SAID: usize = 1_000;

/// What somebody else wrote, as an answer or a log repeats it: its beginning, quotes and control characters escaped.
pub(super) fn shown(text: &str) -> String {
    beginning(text, SHOWN, char::escape_debug)
}

/// An error as it is answered, whatever went into it: its beginning, control characters escaped.
pub(super) fn said(text: &str) -> String {
    beginning(text, MAX_SAID, |char| {
        // One of the two is empty.
        let (plain, escaped) = if char.is_control() { (None, Some(char)) } else { (Some(char), None) };
        plain.into_iter().chain(escaped.into_iter().flat_map(char::escape_default))
    })
}

fn beginning<I: Iterator<Item = char>>(text: &str, most: usize, as_shown: impl Fn(char) -> I) -> String {
    let mut shown: String = text.chars().take(most).flat_map(as_shown).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

/// Places for those who follow a journal.
#[derive(Clone, Debug)]
pub(super) struct Tails {
    places: Arc<Semaphore>,
}

impl Default for Tails {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_TAILS)) }
    }
}

impl Tails {
    /// One of them, until it is dropped.
    ///
    /// # Errors
    /// Status 429: all are taken.
    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit, Exceeded> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let said = format!("expected up to {MAX_TAILS} that follow a journal, found one more");
            Exceeded::new(StatusCode::TOO_MANY_REQUESTS, said)
        })
    }
}

/// Reads the body of a request to its end before anything looks at it, and no more of it than may be.
pub(super) async fn whole_body(State(patience): State<Duration>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(patience, read(&parts.headers, body)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Ok(Err(exceeded)) => exceeded.into_response(),
        Err(_) => {
            let said = format!("expected a whole body within {patience:?}, found a part of it");
            answer::refusal(StatusCode::REQUEST_TIMEOUT, &said)
        }
    }
}

/// What is read of a body that is too long, so that whoever sends it reads the answer: one that is still sending hears only
/// that the connection is reset.
const MOST_IN_VAIN: u64 = 8 * MAX_BODY as u64;

async fn read(headers: &HeaderMap, mut body: Body) -> Result<Bytes, Exceeded> {
    let too_long = |found: &str| {
        let said = format!("expected a body of up to {MAX_BODY} bytes, found {found}");
        Err(Exceeded::new(StatusCode::PAYLOAD_TOO_LARGE, said))
    };
    let announced = body.size_hint().lower();
    // Whoever asks before it sends is told before it has.
    if announced > MOST_IN_VAIN || announced > MAX_BODY as u64 && headers.contains_key(EXPECT) {
        return too_long(&announced.to_string());
    }
    let (mut whole, mut found) = (Vec::new(), 0_u64);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let said = format!("expected a whole body, found {found} bytes of it: {error}");
            Exceeded::new(StatusCode::BAD_REQUEST, said)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        found += data.len() as u64;
        if found <= MAX_BODY as u64 {
            whole.extend_from_slice(&data);
        } else if found > MOST_IN_VAIN {
            return too_long("more");
        } else {
            whole = Vec::new();
        }
    }
    if found > MAX_BODY as u64 { too_long(&found.to_string()) } else { Ok(whole.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_can_stand_in_a_path() {
        for fine in ["a", "orders db → cache", ".hidden", "%2F", "\u{e9}", &"é".repeat(MAX_NAME)] {
            assert_eq!(name("a proxy", fine), Ok(()), "{fine}");
        }
        for unfit in ["", ".", "..", "a/b", "a\nb", "\0", "\u{7f}", "\u{85}", &"é".repeat(MAX_NAME + 1)] {
            let error = name("a toxic", unfit).expect_err("unfit");
            assert!(error.status == StatusCode::BAD_REQUEST && error.said.contains("the name of a toxic"), "{error}");
            assert!(!error.said.chars().any(char::is_control) && error.said.chars().count() < 200, "{error}");
        }
    }

    #[test]
    fn an_address_is_short_and_on_one_line() {
        for fine in ["", "localhost:1", &"x".repeat(MAX_ADDRESS)] {
            assert_eq!(address("listen", fine), Ok(()), "{fine}");
        }
        for unfit in ["localhost\r\n:1", &"x".repeat(MAX_ADDRESS + 1)] {
            let error = address("upstream", unfit).expect_err("unfit");
            assert!(error.status == StatusCode::BAD_REQUEST && error.said.chars().count() < 250, "{error}");
        }
    }

    #[test]
    fn there_is_room_for_the_last_one_and_for_no_more() {
        assert_eq!(room("toxics", MAX_TOXICS - 1, 1, MAX_TOXICS), Ok(()));
        let error = room("toxics", MAX_TOXICS, 1, MAX_TOXICS).expect_err("full");
        assert_eq!((error.status.as_u16(), &*error.said), (409, "expected up to 1000 toxics, found 1001"));
        assert!(room("toxics", usize::MAX, usize::MAX, MAX_TOXICS).is_err());
    }

    #[test]
    fn what_is_repeated_is_short_and_plain() {
        assert_eq!(shown("a'b\r\n\u{1b}[31m"), "a\\'b\\r\\n\\u{1b}[31m");
        assert_eq!(shown(&"x".repeat(SHOWN)), "x".repeat(SHOWN));
        assert_eq!(shown(&"x".repeat(SHOWN + 1)), format!("{}…", "x".repeat(SHOWN)));
        assert_eq!(said("expected 'é',\tfound \"\u{1b}\""), "expected 'é',\\tfound \"\\u{1b}\"");
        assert_eq!(said(&"x".repeat(MAX_SAID + 1)).chars().count(), MAX_SAID + 1);
    }

    #[test]
    fn a_place_at_a_journal_is_free_again_when_its_reader_has_gone() {
        let tails = Tails::default();
        let mut taken: Vec<_> = (0..MAX_TAILS).map(|_| tails.enter().expect("free")).collect();
        assert_eq!(tails.enter().expect_err("full").status, StatusCode::TOO_MANY_REQUESTS);
        taken.pop();
        assert!(tails.enter().is_ok());
    }

    #[tokio::test]
    async fn a_body_may_be_as_long_as_is_said_and_no_longer() {
        let read_of = async |len: usize| read(&HeaderMap::new(), Body::from(vec![b'x'; len])).await;
        assert_eq!(read_of(MAX_BODY).await.map(|body| body.len()), Ok(MAX_BODY));
        let error = read_of(MAX_BODY + 1).await.expect_err("too long");
        assert_eq!(
            (error.status.as_u16(), &*error.said),
            (413, "expected a body of up to 2097152 bytes, found 2097153")
        );
        assert!(read_of(9 * MAX_BODY).await.is_err_and(|error| error.said.ends_with("found 18874368")));
        // Of one whose length nobody said, no more is read than that.
        let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 65536])));
        let error = read(&HeaderMap::new(), Body::from_stream(endless)).await.expect_err("too long");
        assert!(error.said.ends_with("found more"), "{error}");
        let broken = futures_util::stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("gone"))]);
        let error = read(&HeaderMap::new(), Body::from_stream(broken)).await.expect_err("cut");
        assert!(error.status == StatusCode::BAD_REQUEST && error.said.contains("found 1 bytes of it"), "{error}");
    }
}
