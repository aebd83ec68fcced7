use std::fs;
use std::path::Path;

use anyhow::{Context, anyhow};

/// The password of a user: from the file, or else from the environment; never from the command line (law L9).
pub(super) fn password(user: &str, file: Option<&Path>) -> anyhow::Result<String> {
    given(file)?
        .ok_or_else(|| anyhow!("expected the password of {user} in --password-file or DCPROXY_PASSWORD, found neither"))
}

/// The password, if one is given.
pub(super) fn given(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let Some(path) = file else { return Ok(std::env::var("DCPROXY_PASSWORD").ok()) };
    let text = fs::read_to_string(path).with_context(|| format!("reading the password from {}", path.display()))?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}
