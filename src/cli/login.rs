use std::env;
use std::fmt;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, anyhow, bail};

use super::tls::UpstreamTls;
use crate::net::tls::Secrets;
use crate::net::{Target, Upstream};
use crate::node::{Credentials, Mechanism, Secret};
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

    #[command(flatten)]
    login: Login,

    #[command(flatten)]
    tls: UpstreamTls,
}

impl Producer {
    /// Where it is dialled, and how.
    pub(super) fn upstream(&self) -> anyhow::Result<Upstream> {
        self.tls.to(&self.upstream, &Secrets::from_environment()?)
    }

    pub(super) fn access(&self) -> anyhow::Result<Access> {
        let login = self.login.credentials(&self.upstream, self.tls.wire())?;
        Ok(Access { login, bucket: self.bucket.clone() })
    }
}

/// The flags by which a command logs in to the server that it dials.
#[derive(clap::Args, Debug)]
pub(super) struct Login {
    /// The user to log in with; nobody logs in if not given, as where a client certificate says who it is
    #[arg(short, long, value_name = "USER", env = "DCPROXY_USER")]
    pub(super) user: Option<String>,

    /// The file that holds the password; else DCPROXY_PASSWORD is read from the environment, else it is asked for on a terminal
    #[arg(long, value_name = "FILE", env = "DCPROXY_PASSWORD_FILE")]
    password_file: Option<PathBuf>,

    /// The file that holds a token to log in with in the place of a password; else DCPROXY_TOKEN is read from the environment
    #[arg(long, value_name = "FILE", env = "DCPROXY_TOKEN_FILE", conflicts_with = "password_file")]
    token_file: Option<PathBuf>,

    /// How to log in: auto (the best that both ends know), SCRAM-SHA512, SCRAM-SHA256, SCRAM-SHA1, PLAIN or OAUTHBEARER. The
    /// last two send the secret itself: without TLS auto does that only to loopback
    #[arg(long, value_name = "MECHANISM", env = "DCPROXY_SASL", default_value_t = Sasl(None))]
    sasl: Sasl,
}

/// Who may read what is sent to a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wire {
    /// Whoever listens, unless it goes to loopback.
    Open,
    /// The server alone, which has proved who it is.
    Sealed,
}

/// A mechanism that is asked for, or any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sasl(pub(super) Option<Mechanism>);

impl FromStr for Sasl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self(None));
        }
        let mechanism = text.parse::<Mechanism>();
        mechanism
            .map(|it| Self(Some(it)))
            .map_err(|error| error.to_string().replacen("expected ", "expected auto, ", 1))
    }
}

impl fmt::Display for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.map_or("auto", Mechanism::name))
    }
}

impl Login {
    /// Who logs in at `at`, if anybody does.
    ///
    /// # Errors
    /// A secret is missing, or there are two.
    pub(super) fn credentials(&self, at: &Target, wire: Wire) -> anyhow::Result<Option<Credentials>> {
        self.sources().credentials(self.user.as_deref(), at, wire)
    }

    /// As [`Self::credentials`], with an account of its own where the flags name no secret, or nobody.
    pub(super) fn credentials_or(&self, own: (String, String), at: &Target, wire: Wire) -> anyhow::Result<Credentials> {
        let sources = self.sources();
        let (user, password) = own;
        let (user, secret) = match (&self.user, sources.given()?) {
            (None, Some(secret @ Secret::Token(_))) => (String::new(), secret),
            (asked, secret) => (asked.clone().unwrap_or(user), secret.unwrap_or(Secret::Password(password))),
        };
        Ok(sources.of(user, secret, at, wire))
    }

    /// The token, if one is given.
    pub(super) fn token(&self) -> anyhow::Result<Option<String>> {
        match &self.token_file {
            Some(path) => read(path, "token").map(Some),
            None => variable("DCPROXY_TOKEN"),
        }
    }

    fn sources(&self) -> Sources<'_> {
        Sources {
            password_file: self.password_file.as_deref(),
            token_file: self.token_file.as_deref(),
            flags: ["--user", "--password-file", "--token-file"],
            variables: ["DCPROXY_PASSWORD", "DCPROXY_TOKEN"],
            sasl: self.sasl.0,
        }
    }

    /// Who logs in at the other of two servers: as here, but for what `other` says.
    pub(super) fn credentials_of_other(
        &self,
        other: &OtherLogin,
        at: &Target,
        wire: Wire,
    ) -> anyhow::Result<Option<Credentials>> {
        if other.consumer_user.is_none()
            && other.consumer_password_file.is_none()
            && other.consumer_token_file.is_none()
        {
            return self.credentials(at, wire);
        }
        let sources = Sources {
            password_file: other.consumer_password_file.as_deref(),
            token_file: other.consumer_token_file.as_deref(),
            flags: ["--consumer-user", "--consumer-password-file", "--consumer-token-file"],
            variables: ["DCPROXY_CONSUMER_PASSWORD", "DCPROXY_CONSUMER_TOKEN"],
            sasl: self.sasl.0,
        };
        sources.credentials(other.consumer_user.as_deref().or(self.user.as_deref()), at, wire)
    }
}

/// The flags of a login that differs, at the consumer node of a bridge.
#[derive(clap::Args, Debug)]
pub(super) struct OtherLogin {
    /// The user to log in with at the consumer node, where that is another than --user
    #[arg(long, value_name = "USER", env = "DCPROXY_CONSUMER_USER")]
    consumer_user: Option<String>,

    /// The file that holds that user's password; else DCPROXY_CONSUMER_PASSWORD is read, else it is asked for on a terminal
    #[arg(long, value_name = "FILE", env = "DCPROXY_CONSUMER_PASSWORD_FILE")]
    consumer_password_file: Option<PathBuf>,

    /// The file that holds that user's token; else DCPROXY_CONSUMER_TOKEN is read
    #[arg(long, value_name = "FILE", env = "DCPROXY_CONSUMER_TOKEN_FILE", conflicts_with = "consumer_password_file")]
    consumer_token_file: Option<PathBuf>,
}

/// Where secrets come from: files, the environment, a terminal; never the command line (law L9).
struct Sources<'a> {
    password_file: Option<&'a Path>,
    token_file: Option<&'a Path>,
    /// The flags for user, password and token, as told in messages.
    flags: [&'static str; 3],
    /// The environment's variables for password and token.
    variables: [&'static str; 2],
    sasl: Option<Mechanism>,
}

impl Sources<'_> {
    fn credentials(&self, user: Option<&str>, at: &Target, wire: Wire) -> anyhow::Result<Option<Credentials>> {
        let given = self.given()?;
        let [user_flag, password_flag, token_flag] = self.flags;
        let [password, token] = self.variables;
        let (user, secret) = match (user, given) {
            (Some(user), Some(secret)) => (user, secret),
            // A token says itself whose it is.
            (None, Some(secret @ Secret::Token(_))) => ("", secret),
            (None, _) if self.password_file.is_some() => bail!("expected {user_flag} with {password_flag}, found none"),
            (None, _) => return Ok(None),
            (Some(user), None) if self.sasl == Some(Mechanism::OauthBearer) => {
                bail!("expected the token of {user} in {token_flag} or {token}, found neither")
            }
            (Some(user), None) => {
                let asked = ask(&format!("password of {user} at {at}: "))?;
                let missing =
                    || anyhow!("expected the password of {user} in {password_flag} or {password}, found neither");
                (user, Secret::Password(asked.ok_or_else(missing)?))
            }
        };
        Ok(Some(self.of(user.to_owned(), secret, at, wire)))
    }

    fn of(&self, user: String, secret: Secret, at: &Target, wire: Wire) -> Credentials {
        let may_be_seen = wire == Wire::Sealed || at.is_loopback() || self.sasl.is_some();
        Credentials { user, at: at.to_string(), secret, mechanism: self.sasl, may_be_seen }
    }

    /// The secret that is given, if one is: of files and the environment, files win; of two in the environment, `--sasl` says
    /// which.
    fn given(&self) -> anyhow::Result<Option<Secret>> {
        let [password, token] = self.variables;
        let wants_token = self.sasl.map(|it| it == Mechanism::OauthBearer);
        if let Some(path) = self.token_file {
            if wants_token == Some(false) {
                bail!("expected a password for --sasl {}, found {}", Sasl(self.sasl), self.flags[2]);
            }
            return Ok(Some(Secret::Token(read(path, "token")?)));
        }
        if let Some(path) = self.password_file {
            if wants_token == Some(true) {
                bail!("expected a token for --sasl {}, found {}", Sasl(self.sasl), self.flags[1]);
            }
            return Ok(Some(Secret::Password(read(path, "password")?)));
        }
        let by_password = variable(password)?.filter(|_| wants_token != Some(true)).map(Secret::Password);
        let by_token = variable(token)?.filter(|_| wants_token != Some(false)).map(Secret::Token);
        if by_password.is_some() && by_token.is_some() {
            bail!("expected one of {password} and {token}, found both; --sasl says which is meant");
        }
        Ok(by_password.or(by_token))
    }
}

/// More than this is no password and no token.
const MAX_SECRET: u64 = 64 * 1024;

/// The secret of a file, without the end of its line.
pub(super) fn read(path: &Path, what: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_SECRET + 1).read_to_string(&mut text));
    let len = read.with_context(|| format!("reading the {what} from {}", path.display()))?;
    if len as u64 > MAX_SECRET {
        bail!("expected a {what} of up to {MAX_SECRET} bytes in {}, found more", path.display());
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// A variable of the environment, if it is set.
pub(super) fn variable(name: &str) -> anyhow::Result<Option<String>> {
    match env::var(name) {
        Ok(text) => Ok(Some(text)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => bail!("expected text in {name}, found other bytes"),
    }
}

/// Asks whoever sits at the terminal, if somebody does.
fn ask(prompt: &str) -> anyhow::Result<Option<String>> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(None);
    }
    rpassword::prompt_password(prompt).map(Some).context("asking for the password")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(sasl: Option<Mechanism>) -> Sources<'static> {
        Sources {
            password_file: None,
            token_file: None,
            flags: ["--user", "--password-file", "--token-file"],
            variables: ["DCPROXY_NO_SUCH_PASSWORD", "DCPROXY_NO_SUCH_TOKEN"],
            sasl,
        }
    }

    fn target(text: &str) -> Target {
        text.parse().expect("a target")
    }

    #[test]
    fn a_secret_is_sent_in_the_clear_only_to_loopback_or_where_that_is_asked_for() {
        let of = |host: &str, wire, sasl| {
            sources(sasl).of("u".to_owned(), Secret::Password("p".to_owned()), &target(host), wire).may_be_seen
        };
        assert!(!of("db.example:11210", Wire::Open, None));
        assert!(!of("10.0.0.1:11210", Wire::Open, None));
        assert!(of("db.example:11210", Wire::Sealed, None));
        assert!(of("db.example:11210", Wire::Open, Some(Mechanism::Plain)));
        for host in ["localhost:1", "127.0.0.2:1", "[::1]:1"] {
            assert!(of(host, Wire::Open, None), "{host}");
        }
    }

    #[test]
    fn secrets_come_from_files_and_what_is_missing_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("secret");
        std::fs::write(&file, "hunter2\r\n").expect("written");
        let at = target("localhost:1");
        let with = |password: bool, token: bool, sasl| Sources {
            password_file: password.then_some(file.as_path()),
            token_file: token.then_some(file.as_path()),
            ..sources(sasl)
        };
        let got = |sources: Sources<'_>, user: Option<&str>| {
            sources.credentials(user, &at, Wire::Open).map(|it| it.map(|it| (it.user, it.secret)))
        };
        let secret = got(with(true, false, None), Some("u")).expect("read").expect("one");
        assert!(secret == ("u".to_owned(), Secret::Password("hunter2".to_owned())));
        let secret = got(with(false, true, None), None).expect("read").expect("one");
        assert!(secret == (String::new(), Secret::Token("hunter2".to_owned())));
        assert!(got(sources(None), None).expect("nobody").is_none());
        let told =
            |sources: Sources<'_>, user| got(sources, user).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(
            told(with(true, false, Some(Mechanism::OauthBearer)), Some("u")),
            "expected a token for --sasl OAUTHBEARER, found --password-file"
        );
        assert_eq!(
            told(with(false, true, Some(Mechanism::Plain)), Some("u")),
            "expected a password for --sasl PLAIN, found --token-file"
        );
        assert_eq!(told(with(true, false, None), None), "expected --user with --password-file, found none");
        assert_eq!(
            told(sources(Some(Mechanism::OauthBearer)), Some("u")),
            "expected the token of u in --token-file or DCPROXY_NO_SUCH_TOKEN, found neither"
        );
        std::fs::write(&file, vec![b'x'; MAX_SECRET as usize + 1]).expect("written");
        assert!(told(with(true, false, None), Some("u")).contains("up to 65536 bytes"));
    }
}
