use std::path::PathBuf;

use anyhow::{Context, bail};

use super::login::{read, variable};
use crate::api::{Access, Token};
use crate::net::Target;
use crate::net::control::Registry;

/// The flags that say where the API listens, and whom it answers.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Api {
    /// Answer HTTP requests here: HOST:PORT, or a port of loopback (see docs/SERVICE.md)
    #[arg(long, value_name = "ADDR", env = "DCPROXY_API", value_parser = Target::to_listen_on)]
    pub(super) api: Option<Target>,

    #[command(flatten)]
    pub(super) whom: ApiWhom,
}

/// The flags that say whom the API answers.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct ApiWhom {
    /// The file that holds the token that whoever uses the API must send ('Authorization: Bearer TOKEN'); else
    /// DCPROXY_API_TOKEN is read from the environment. Beyond loopback there must be one
    #[arg(long, value_name = "FILE", env = "DCPROXY_API_TOKEN_FILE")]
    pub(super) api_token_file: Option<PathBuf>,

    /// A further name by which the API is asked for: requests whose Host is another name are refused
    #[arg(long, value_name = "NAME", env = "DCPROXY_API_HOST")]
    pub(super) api_host: Vec<String>,

    /// Let whoever uses the API record connections: files are made in this folder, and nowhere else
    #[arg(long, value_name = "DIR", env = "DCPROXY_API_RECORDINGS")]
    pub(super) api_recordings: Option<PathBuf>,
}

impl Api {
    /// These, and where they do not say anything what others say.
    pub(super) fn or(self, other: Self) -> Self {
        let (whom, other_whom) = (self.whom, other.whom);
        let hosts = if whom.api_host.is_empty() { other_whom.api_host } else { whom.api_host };
        Self {
            api: self.api.or(other.api),
            whom: ApiWhom {
                api_token_file: whom.api_token_file.or(other_whom.api_token_file),
                api_host: hosts,
                api_recordings: whom.api_recordings.or(other_whom.api_recordings),
            },
        }
    }

    /// Where there is an API, if there is to be one.
    ///
    /// # Errors
    /// The token cannot be read or is none, or there is no API to use it.
    pub(super) fn access(&self) -> anyhow::Result<Option<Access>> {
        match &self.api {
            Some(at) => self.whom.access(at).map(Some),
            None if self.whom.api_token_file.is_some() => bail!("expected --api with --api-token-file, found none"),
            None if self.whom.api_recordings.is_some() => bail!("expected --api with --api-recordings, found none"),
            None => Ok(None),
        }
    }
}

impl ApiWhom {
    /// Tells where recordings may be written to, if they may.
    ///
    /// # Errors
    /// There is no such folder.
    pub(super) fn recordings(&self, registry: &Registry) -> anyhow::Result<()> {
        let Some(folder) = &self.api_recordings else { return Ok(()) };
        if !folder.is_dir() {
            bail!("expected a folder with --api-recordings, found none at {}", folder.display());
        }
        registry.record_into(folder.clone());
        Ok(())
    }

    /// Who may use the API there.
    ///
    /// # Errors
    /// The token is missing, cannot be read or is none.
    pub(super) fn access(&self, at: &Target) -> anyhow::Result<Access> {
        let (text, from) = match &self.api_token_file {
            Some(path) => (Some(read(path, "token of the API")?), path.display().to_string()),
            None => (variable("DCPROXY_API_TOKEN")?, "DCPROXY_API_TOKEN".to_owned()),
        };
        let token = text.map(|text| Token::new(&text)).transpose().with_context(|| format!("reading {from}"))?;
        Ok(Access { token, names: self.api_host.clone(), ..Access::from(at.clone()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_comes_from_its_file_and_is_a_token() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("token");
        let at: Target = "localhost:1".parse().expect("a target");
        let whom =
            ApiWhom { api_token_file: Some(file.clone()), api_host: vec!["dcproxy".to_owned()], api_recordings: None };
        std::fs::write(&file, "correct-horse-battery\n").expect("written");
        let access = whom.access(&at).expect("read");
        assert!(access.token.is_some() && access.names == ["dcproxy"]);
        std::fs::write(&file, "short\n").expect("written");
        let told = format!("{:#}", whom.access(&at).expect_err("too short"));
        assert!(told.ends_with("token: expected a token of 16 to 4096 characters, found 5"), "{told}");
        assert!(!told.contains("short"), "{told}");
        let without = Api { api: None, whom };
        let told = without.access().expect_err("no API").to_string();
        assert_eq!(told, "expected --api with --api-token-file, found none");
    }

    #[test]
    fn flags_beat_the_file_one_by_one() {
        let api = |api: Option<u16>, file: Option<&str>, host: &[&str]| Api {
            api: api.map(|port| Target { host: "localhost".to_owned(), port }),
            whom: ApiWhom {
                api_token_file: file.map(PathBuf::from),
                api_host: host.iter().map(|&host| host.to_owned()).collect(),
                api_recordings: None,
            },
        };
        let both = api(None, Some("a"), &[]).or(api(Some(2), Some("b"), &["c"]));
        assert_eq!(both.api.map(|at| at.port), Some(2));
        assert_eq!((both.whom.api_token_file, both.whom.api_host), (Some("a".into()), vec!["c".to_owned()]));
        assert_eq!(api(Some(1), None, &[]).or(api(Some(2), None, &[])).api.map(|at| at.port), Some(1));
    }
}
