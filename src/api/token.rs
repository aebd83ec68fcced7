use std::fmt;
use std::sync::Arc;

use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::header::WWW_AUTHENTICATE;
use axum::middleware::Next;
use axum::response::Response;
use sha2::Digest;
use sha2::Sha256;
use subtle::Choice;
use subtle::ConstantTimeEq;

use super::answer;
use super::health;

/// What whoever asks must know: `Authorization: Bearer TOKEN`.
///
/// Only its hash is kept. Hashes are of one length and are compared in constant time, so that how long a refusal takes says
/// nothing of the token.
#[derive(Clone)]
pub struct Token {
    hash: [u8; 32],
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// The characters of a token: fewer could be guessed.
const MIN_LEN: usize = 16;
/// More than a request has room for beside what else it says.
const MAX_LEN: usize = 4096;

/// A text is no token.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoToken {
    /// It is too short or too long: so many bytes.
    #[error("expected a token of {MIN_LEN} to {MAX_LEN} characters, found {0}")]
    Length(usize),
    /// It cannot stand in a header.
    #[error("expected a token of letters, digits and signs of ASCII without spaces, found another character")]
    Character,
}

impl Token {
    /// Takes a text for the token.
    ///
    /// # Errors
    /// It is too short, too long, or cannot be sent in a header. It is not repeated.
    pub fn new(text: &str) -> Result<Self, NoToken> {
        if !(MIN_LEN..=MAX_LEN).contains(&text.len()) {
            return Err(NoToken::Length(text.len()));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NoToken::Character);
        }
        Ok(Self { hash: Sha256::digest(text).into() })
    }

    fn is(&self, given: &str) -> Choice {
        let given: [u8; 32] = Sha256::digest(given).into();
        self.hash.ct_eq(&given)
    }

    /// What is wrong with what a request brings, if anything is.
    fn objection(&self, headers: &HeaderMap) -> Option<Objection> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (Some(given), None) = (given.next(), given.next()) else {
            return Some(if headers.contains_key(AUTHORIZATION) { Objection::Several } else { Objection::Missing });
        };
        match given.to_str().ok().and_then(|given| given.split_once(' ')) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                (!bool::from(self.is(token.trim()))).then_some(Objection::Wrong)
            }
            _ => Some(Objection::Scheme),
        }
    }
}

/// Why a request may not be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Objection {
    Missing,
    Several,
    Scheme,
    Wrong,
}

impl Objection {
    const fn found(self) -> &'static str {
        match self {
            Self::Missing => "none",
            Self::Several => "several",
            Self::Scheme => "another scheme",
            Self::Wrong => "another token",
        }
    }
}

/// Lets a request through that brings the token, where there is one; and whoever looks whether the process is well.
pub(super) async fn check(State(token): State<Option<Arc<Token>>>, request: Request, next: Next) -> Response {
    let objection =
        token.filter(|_| request.uri().path() != health::PATH).and_then(|it| it.objection(request.headers()));
    let Some(objection) = objection else { return next.run(request).await };
    let said = format!("expected the token of the API as 'Authorization: Bearer TOKEN', found {}", objection.found());
    let mut refusal = answer::refusal(StatusCode::UNAUTHORIZED, &said);
    // RFC 6750, 3.1: the error is named only to those who brought something.
    let challenge = match objection {
        Objection::Missing | Objection::Scheme => "Bearer realm=\"dcproxy\"",
        Objection::Several => "Bearer realm=\"dcproxy\", error=\"invalid_request\"",
        Objection::Wrong => "Bearer realm=\"dcproxy\", error=\"invalid_token\"",
    };
    refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "correct-horse-battery";

    #[test]
    fn a_token_is_long_enough_and_can_be_sent() {
        assert!(Token::new("0123456789abcdef").is_ok());
        assert!(Token::new(&"x".repeat(MAX_LEN)).is_ok());
        let said = |text: &str| Token::new(text).expect_err("no token").to_string();
        assert_eq!(said("0123456789abcde"), "expected a token of 16 to 4096 characters, found 15");
        assert!(said("").ends_with("found 0") && said(&"x".repeat(MAX_LEN + 1)).ends_with("found 4097"));
        for unfit in ["0123456789 abcdef", "0123456789\nabcdef", "0123456789abcdé", "0123456789abcde\0"] {
            assert_eq!(Token::new(unfit).expect_err("no token"), NoToken::Character, "{unfit}");
        }
    }

    #[test]
    fn only_who_brings_the_token_and_nothing_else_is_let_through() {
        let token = Token::new(TEXT).expect("a token");
        let objection = |given: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(AUTHORIZATION, HeaderValue::from_str(value).expect("a value"));
            }
            token.objection(&headers)
        };
        for right in ["Bearer correct-horse-battery", "bearer  correct-horse-battery ", "BEARER correct-horse-battery"]
        {
            assert_eq!(objection(&[right]), None, "{right}");
        }
        assert_eq!(objection(&[]), Some(Objection::Missing));
        let right = "Bearer correct-horse-battery";
        assert_eq!(objection(&[right, right]), Some(Objection::Several));
        for other in
            ["", "Bearer", "correct-horse-battery", "Basic correct-horse-battery", "Bearercorrect-horse-battery"]
        {
            assert_eq!(objection(&[other]), Some(Objection::Scheme), "{other}");
        }
        for wrong in ["Bearer ", "Bearer correct-horse-batter", "Bearer correct-horse-battery2", "Bearer \u{ff}"] {
            assert!(objection(&[wrong]).is_some_and(|it| it != Objection::Missing), "{wrong}");
        }
        assert_eq!(objection(&["Bearer correct-horse-batterx"]), Some(Objection::Wrong));
        assert_eq!(objection(&["Bearer correct-horse battery"]), Some(Objection::Wrong));
    }

    #[test]
    fn a_token_is_never_shown() {
        assert_eq!(format!("{:?}", Token::new(TEXT)), "Ok(Token)");
    }
}
