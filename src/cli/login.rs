use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::tls::UpstreamTls;
use crate::net::tls::Secrets;
use crate::net::{Target, Upstream};
use crate::probe::Access;

/// The producer that a command is the consumer of, and how it gets in.
#[derive(clap::Args, Debug)]
pub(super) struct Producer {
    /// The producer
    #[arg(long, value_name = "HOST:PORT", env = "DCPROXY_UPSTREAM")]
    upstream: Target,

    /// The bucket to stream
    #[arg(short, long, value_name = "BUCKET", env = "DCPROXY_BUCKET")]
    bucket: String,

    /// The user to log in with; nobody logs in if not given
    #[arg(short, long, value_name = "USER", env = "DCPROXY_USER")]
    user: Option<String>,

    /// The file that holds the password; if not given, the environment variable DCPROXY_PASSWORD is read
    #[arg(long, value_name = "FILE", env = "DCPROXY_PASSWORD_FILE")]
    password_file: Option<PathBuf>,

    #[command(flatten)]
    tls: UpstreamTls,
}

impl Producer {
    /// Where it is dialled, and how.
    pub(super) fn upstream(&self) -> anyhow::Result<Upstream> {
        self.tls.to(&self.upstream, &Secrets::from_environment()?)
    }

    pub(super) fn access(&self) -> anyhow::Result<Access> {
        let login = match &self.user {
            Some(user) => Some((user.clone(), password(user, self.password_file.as_deref())?)),
            None if self.password_file.is_some() => bail!("expected --user with --password-file, found none"),
            None => None,
        };
        Ok(Access { login, bucket: self.bucket.clone() })
    }
}

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
