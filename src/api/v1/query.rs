use std::str::FromStr;

use axum::http::{StatusCode, Uri};
use axum::response::Response;

use crate::api::{answer, limits};

/// The parameters behind the question mark of a request.
#[derive(Debug)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads them.
    ///
    /// # Errors
    /// One that is not among `known`, one that is there twice, or text that is no UTF-8: the answer that says so.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Response> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
                return Err(wrong("expected UTF-8 behind '%', found other bytes in the query"));
            };
            if !known.contains(&&*name) {
                let expected = if known.is_empty() { "no parameter".to_owned() } else { known.join(", ") };
                return Err(wrong(&format!("expected {expected}, found the parameter '{}'", limits::shown(&name))));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(wrong(&format!("expected one {name}, found several")));
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// The text of one.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(other, _)| other == name).map(|(_, value)| &**value)
    }

    /// What one says.
    ///
    /// # Errors
    /// It is not understood: the answer that says so.
    pub(super) fn parsed<T, E: std::fmt::Display>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Response> {
        self.text(name).map(|text| parse(text).map_err(|error| wrong(&format!("{name}: {error}")))).transpose()
    }

    /// A number from 1 to `most`, or the usual one.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn limit(&self, usual: usize, most: usize) -> Result<usize, Response> {
        let parse = |text: &str| match usize::from_str(text) {
            Ok(limit) if (1..=most).contains(&limit) => Ok(limit),
            _ => Err(format!("expected a number from 1 to {most}, found '{}'", limits::shown(text))),
        };
        Ok(self.parsed("limit", parse)?.unwrap_or(usual))
    }
}

/// A number.
///
/// # Errors
/// Expected and found.
pub(super) fn number(text: &str) -> Result<u64, String> {
    // `+1` would be another spelling of the same.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).ok_or_else(|| format!("expected a number, found '{}'", limits::shown(text)))
}

/// The answer to a request that is not understood.
pub(super) fn wrong(error: &str) -> Response {
    answer::refusal(StatusCode::BAD_REQUEST, error)
}

/// Text with `%20` and `+` in it; `None` where it is no UTF-8. A `%` without two digits behind it is one.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let escaped = behind.first_chunk::<2>().filter(|_| first == b'%');
        let byte = escaped.and_then(|digits| {
            let mut byte = [0];
            hex::decode_to_slice(digits, &mut byte).ok().map(|()| byte[0])
        });
        rest = if byte.is_some() { &behind[2..] } else { behind };
        bytes.push(byte.unwrap_or(if first == b'+' { b' ' } else { first }));
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_is_read_and_what_is_unknown_is_refused() {
        let uri: Uri = "/x?filter=dcp.opcode%20%3D%3D+prepare&limit=7&&".parse().expect("a URI");
        let query = Query::of(&uri, &["filter", "limit"]).expect("known");
        assert_eq!(query.text("filter"), Some("dcp.opcode == prepare"));
        assert_eq!(query.limit(1, 10).expect("in range"), 7);
        assert!(query.limit(1, 6).is_err());
        assert!(Query::of(&uri, &["filter"]).is_err());
        assert!(Query::of(&"/?a=1&a=2".parse().expect("a URI"), &["a"]).is_err());
        assert_eq!(
            (decoded("100%"), decoded("%zz%4"), decoded("%ff")),
            (Some("100%".into()), Some("%zz%4".into()), None)
        );
        assert!(number("+1").is_err() && number("").is_err() && number("7") == Ok(7));
    }
}
