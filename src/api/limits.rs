//! What may be named, and how many there may be.

use axum::http::StatusCode;

/// The characters of a name.
pub(super) const MAX_NAME: usize = 128;
/// The toxics of one proxy.
pub(super) const MAX_TOXICS: usize = 1_000;
/// The milliseconds of any duration: a year. Nothing that is added to a time leaves the range of times.
pub(super) const MAX_MILLIS: u64 = 365 * 24 * 60 * 60 * 1000;

/// More than may be, or something that cannot be named so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Exceeded {
    pub(super) status: StatusCode,
    /// Expected and found.
    pub(super) said: String,
}

/// Whether something can be called so: 1 to [`MAX_NAME`] characters, none of which is a control character or ends a segment
/// of a path.
///
/// # Errors
/// Status 400.
pub(super) fn name(what: &str, text: &str) -> Result<(), Exceeded> {
    let unfit = text.is_empty()
        || text.chars().nth(MAX_NAME).is_some()
        || text.chars().any(|char| char.is_control() || char == '/')
        || matches!(text, "." | "..");
    if !unfit {
        return Ok(());
    }
    let said =
        format!("expected 1 to {MAX_NAME} characters that can stand in a path as the name of {what}, found others");
    Err(Exceeded { status: StatusCode::BAD_REQUEST, said })
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
    Err(Exceeded { status: StatusCode::CONFLICT, said: format!("expected up to {most} {what}, found {wanted}") })
}
