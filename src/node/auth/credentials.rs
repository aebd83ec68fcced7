use std::fmt;
use std::str::FromStr;

use super::Hash;

/// Who logs in to a server, with what, and how.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user; empty where the token says who it is.
    pub user: String,
    /// Where that is: told in messages, empty where nobody knows.
    pub at: String,
    /// What shows that it is the user.
    pub secret: Secret,
    /// The mechanism to insist on; `None` takes the best that both ends know.
    pub mechanism: Option<Mechanism>,
    /// Whether the secret itself may be sent, as PLAIN and OAUTHBEARER do: where nobody listens, or the user has asked for it.
    pub may_be_seen: bool,
}

/// What shows that somebody is a user.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The user's password.
    Password(String),
    /// A bearer token (RFC 7628).
    Token(String),
}

/// How one logs in, as SASL names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mechanism {
    /// RFC 4616: the password is sent.
    Plain,
    /// RFC 5802.
    ScramSha1,
    /// RFC 7677.
    ScramSha256,
    /// As RFC 7677, with SHA-512.
    ScramSha512,
    /// RFC 7628: a token is sent.
    OauthBearer,
}

/// Expected a mechanism, found another text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected SCRAM-SHA512, SCRAM-SHA256, SCRAM-SHA1, PLAIN or OAUTHBEARER, found '{0}'")]
pub struct NoMechanism(String);

impl Mechanism {
    /// All of them, from the best to the least.
    pub const ALL: [Self; 5] = [Self::ScramSha512, Self::ScramSha256, Self::ScramSha1, Self::OauthBearer, Self::Plain];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha1 => "SCRAM-SHA1",
            Self::ScramSha256 => "SCRAM-SHA256",
            Self::ScramSha512 => "SCRAM-SHA512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }

    /// Whether it sends the secret itself, for whoever listens to see.
    pub const fn shows_secret(self) -> bool {
        matches!(self, Self::Plain | Self::OauthBearer)
    }

    /// Whether it is for this kind of secret.
    pub(super) const fn takes(self, secret: &Secret) -> bool {
        matches!(secret, Secret::Token(_)) == matches!(self, Self::OauthBearer)
    }

    pub(super) const fn hash(self) -> Option<Hash> {
        match self {
            Self::Plain | Self::OauthBearer => None,
            Self::ScramSha1 => Some(Hash::Sha1),
            Self::ScramSha256 => Some(Hash::Sha256),
            Self::ScramSha512 => Some(Hash::Sha512),
        }
    }
}

impl FromStr for Mechanism {
    type Err = NoMechanism;

    fn from_str(text: &str) -> Result<Self, NoMechanism> {
        let is_it = |it: &Self| it.name().eq_ignore_ascii_case(text);
        Self::ALL.into_iter().find(is_it).ok_or_else(|| NoMechanism(text.to_owned()))
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Credentials {
    /// The password, if that is what there is.
    pub fn password(&self) -> Option<&str> {
        match &self.secret {
            Secret::Password(password) => Some(password),
            Secret::Token(_) => None,
        }
    }

    /// Who logs in, and where, as told in a message.
    pub fn who(&self) -> String {
        let user = if self.user.is_empty() { "the token's user" } else { &self.user };
        if self.at.is_empty() { user.to_owned() } else { format!("{user} at {}", self.at) }
    }
}

/// A user and a password, to be sent in any way.
impl From<(String, String)> for Credentials {
    fn from((user, password): (String, String)) -> Self {
        Self { user, at: String::new(), secret: Secret::Password(password), mechanism: None, may_be_seen: true }
    }
}

/// The secret does not show (law L9).
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .field("at", &self.at)
            .field("secret", &self.secret)
            .field("mechanism", &self.mechanism)
            .field("may_be_seen", &self.may_be_seen)
            .finish()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password",
            Self::Token(_) => "Token",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mechanisms_are_read_by_their_names() {
        for mechanism in Mechanism::ALL {
            assert_eq!(mechanism.name().to_lowercase().parse(), Ok(mechanism));
        }
        let error = "CRAM-MD5".parse::<Mechanism>().unwrap_err().to_string();
        assert_eq!(error, "expected SCRAM-SHA512, SCRAM-SHA256, SCRAM-SHA1, PLAIN or OAUTHBEARER, found 'CRAM-MD5'");
    }

    #[test]
    fn no_secret_shows() {
        for secret in [Secret::Password("secret-of-mine".to_owned()), Secret::Token("secret-of-mine".to_owned())] {
            let credentials = Credentials { secret, ..("u".to_owned(), String::new()).into() };
            assert!(!format!("{credentials:?} {:#?}", credentials.secret).contains("secret-of-mine"));
        }
    }
}
