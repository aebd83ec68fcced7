//! The client's side of SASL: who dials a server logs in with it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Credentials;
use super::Mechanism;
use super::Secret;
use super::attribute;
use crate::dcp::SaslAuth;
use crate::dcp::SaslListMechs;
use crate::dcp::SaslMechanisms;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opcode;
use crate::wire::Status;

/// A login to a server, from the first question to its end; whoever has the connection sends what is to be asked, under an
/// opaque of its own, and hands over the answers.
pub(crate) struct SignOn {
    credentials: Credentials,
    nonce: String,
    /// The exchange, once a mechanism is chosen.
    login: Option<Login>,
}

/// What comes next in a login.
pub(crate) enum Next {
    /// This is to be asked.
    Ask(FrameBuilder),
    /// The login is over, and was accepted; or the server has no logins.
    In,
    /// It comes to nothing.
    Refused(Refusal),
}

/// Why a login comes to nothing: one line that says what and how to mend it, without the secret.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The server said no.
    #[error("{status}{said}; check the user and the {secret}")]
    Denied {
        /// What it answered.
        status: Status,
        /// What it said besides, behind a space.
        said: String,
        /// What was shown: password or token.
        secret: &'static str,
    },
    /// No mechanism that the server has fits what there is to show.
    #[error("expected {wanted}, found the offer of '{offered}'")]
    NotOffered {
        /// The mechanisms that would do.
        wanted: String,
        /// Those on offer.
        offered: String,
    },
    /// The only mechanisms that are left send the secret, and the connection is open to whoever listens.
    #[error(
        "{mechanism} would send the {secret} in the clear to a host that is not loopback, and the server offers nothing \
         better ('{offered}'); use TLS, or ask for it with --sasl {mechanism}"
    )]
    InTheClear {
        /// The mechanism.
        mechanism: Mechanism,
        /// Those on offer.
        offered: String,
        /// What would be sent: password or token.
        secret: &'static str,
    },
    /// The server does not keep to the mechanism.
    #[error("{0}")]
    Broken(&'static str),
}

impl fmt::Debug for SignOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignOn").field("login", &self.login).finish_non_exhaustive()
    }
}

impl SignOn {
    /// Begins a login, and says what is to be asked first. `nonce` is to be printable, without a comma, and another for each
    /// connection: with it the server is asked for its mechanisms, without it PLAIN is taken as given.
    pub(crate) fn begin(credentials: Credentials, nonce: Option<&str>) -> (Self, Next) {
        let mut this = Self { credentials, nonce: nonce.unwrap_or_default().to_owned(), login: None };
        let next = match (nonce, this.credentials.mechanism) {
            (None, None) => this.choose(&[Mechanism::Plain.name().to_owned()]),
            (Some(_), None) => Next::Ask(SaslListMechs.request(crate::wire::Opaque::default())),
            // Who insists on one need not ask for it.
            (_, Some(mechanism)) => this.choose(&[mechanism.name().to_owned()]),
        };
        (this, next)
    }

    /// Takes the answer to what was asked last.
    pub(crate) fn answer(&mut self, frame: &Frame<'_>) -> Next {
        let (opcode, status) = (frame.header().opcode, frame.header().status().unwrap_or(Status::SUCCESS));
        let value = frame.value().unwrap_or_default();
        match (opcode, status, &mut self.login) {
            (Opcode::SASL_LIST_MECHS, Status::SUCCESS, None) => self.choose(&SaslMechanisms::parse(frame).mechanisms),
            // A server without logins.
            (Opcode::SASL_LIST_MECHS, Status::UNKNOWN_COMMAND | Status::NOT_SUPPORTED, None) => Next::In,
            (Opcode::SASL_AUTH, Status::AUTH_CONTINUE, Some(login)) => match login.proof(value) {
                Ok(proof) => ask(Opcode::SASL_STEP, login.mechanism, &proof),
                Err(what) => Next::Refused(Refusal::Broken(what)),
            },
            (Opcode::SASL_AUTH | Opcode::SASL_STEP, Status::SUCCESS, Some(login)) if login.is_proven(value) => Next::In,
            (Opcode::SASL_AUTH | Opcode::SASL_STEP, Status::SUCCESS, _) => Next::Refused(Refusal::Broken(
                "expected a server that proves to know the password, found another proof or none",
            )),
            (_, status, login) => {
                let said = login.as_mut().and_then(|login| login.denied.take());
                let said = said.map(|said| format!(" ({said})")).unwrap_or_default();
                Next::Refused(Refusal::Denied { status, said, secret: self.secret() })
            }
        }
    }

    const fn secret(&self) -> &'static str {
        match self.credentials.secret {
            Secret::Password(_) => "password",
            Secret::Token(_) => "token",
        }
    }

    /// Takes the best of the mechanisms on offer that fit.
    fn choose(&mut self, offered: &[String]) -> Next {
        let fits = |it: &Mechanism| {
            self.credentials.mechanism.is_none_or(|wanted| wanted == *it) && it.takes(&self.credentials.secret)
        };
        let wanted: Vec<_> = Mechanism::ALL.into_iter().filter(fits).collect();
        let is_offered = |it: &Mechanism| offered.iter().any(|offer| offer.eq_ignore_ascii_case(it.name()));
        let offered = offered.join(" ");
        match wanted.iter().copied().find(is_offered) {
            None => {
                let wanted = wanted.iter().map(|it| it.name()).collect::<Vec<_>>().join(", ");
                Next::Refused(Refusal::NotOffered { wanted, offered })
            }
            Some(mechanism) if mechanism.shows_secret() && !self.credentials.may_be_seen => {
                Next::Refused(Refusal::InTheClear { mechanism, offered, secret: self.secret() })
            }
            Some(mechanism) => {
                let (login, message) = Login::begin(mechanism, &self.credentials, &self.nonce);
                self.login = Some(login);
                ask(Opcode::SASL_AUTH, mechanism, &message)
            }
        }
    }
}

fn ask(opcode: Opcode, mechanism: Mechanism, message: &[u8]) -> Next {
    let auth = SaslAuth { mechanism: mechanism.name().to_owned() };
    Next::Ask(auth.request(opcode, message, crate::wire::Opaque::default()))
}

/// One exchange by a mechanism.
struct Login {
    mechanism: Mechanism,
    password: String,
    nonce: String,
    /// The client's first message without its header.
    first: String,
    /// What the server must say last.
    expected: Option<String>,
    /// What the server has against the token.
    denied: Option<String>,
}

/// The credentials do not show (law L9).
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

/// Rounds that a server may ask for: what is beyond keeps the client busy for minutes.
const MAX_ITERATIONS: u32 = 1_000_000;

const HEADER: &str = "n,,";

/// Of what a server has against a token so much is told.
const DENIED_LEN: usize = 64;

impl Login {
    /// Begins the exchange, and says the client's first message.
    fn begin(mechanism: Mechanism, credentials: &Credentials, nonce: &str) -> (Self, Vec<u8>) {
        let user = &credentials.user;
        let escaped = user.replace('=', "=3D").replace(',', "=2C");
        let login = Self {
            mechanism,
            password: credentials.password().unwrap_or_default().to_owned(),
            nonce: nonce.to_owned(),
            first: format!("n={escaped},r={nonce}"),
            expected: None,
            denied: None,
        };
        let message = match (mechanism, &credentials.secret) {
            (Mechanism::OauthBearer, Secret::Token(token)) => {
                let identity = if user.is_empty() { String::new() } else { format!("a={escaped}") };
                format!("n,{identity},\x01auth=Bearer {token}\x01\x01")
            }
            (Mechanism::Plain | Mechanism::OauthBearer, secret) => {
                let (Secret::Password(secret) | Secret::Token(secret)) = secret;
                format!("\0{user}\0{secret}")
            }
            (Mechanism::ScramSha1 | Mechanism::ScramSha256 | Mechanism::ScramSha512, _) => {
                format!("{HEADER}{}", login.first)
            }
        };
        (login, message.into_bytes())
    }

    /// The client's proof, for the server's challenge.
    ///
    /// # Errors
    /// What was expected of the challenge, and what was found; never what it holds.
    fn proof(&mut self, challenge: &[u8]) -> Result<Vec<u8>, &'static str> {
        if self.mechanism == Mechanism::OauthBearer {
            // RFC 7628 §3.2.3: the challenge says why the token is none; the server goes on once that is acknowledged.
            let said: Option<serde_json::Value> = serde_json::from_slice(challenge).ok();
            let said = said.as_ref().and_then(|said| said.get("status")?.as_str());
            self.denied = said.map(|said| said.chars().filter(|it| !it.is_control()).take(DENIED_LEN).collect());
            return Ok(b"\x01".to_vec());
        }
        let hash = self.mechanism.hash().ok_or("expected PLAIN to be over after one step, found another")?;
        let message = std::str::from_utf8(challenge).map_err(|_| "expected a challenge of text, found other bytes")?;
        let nonce = attribute(message, 'r').ok_or("expected a nonce in the server's challenge, found none")?;
        if !nonce.starts_with(&self.nonce) || nonce == self.nonce {
            return Err("expected the server's nonce to begin with the client's, found another");
        }
        let salt = attribute(message, 's').and_then(|salt| STANDARD.decode(salt).ok());
        let salt = salt.ok_or("expected a salt in base64 in the server's challenge, found none")?;
        let iterations = attribute(message, 'i').and_then(|count| count.parse().ok());
        let iterations = iterations
            .filter(|count| (1..=MAX_ITERATIONS).contains(count))
            .ok_or("expected 1 to 1000000 iterations in the server's challenge, found another number or none")?;
        let salted = hash.salted(self.password.as_bytes(), &salt, iterations);
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(HEADER));
        let spoken = format!("{},{message},{without_proof}", self.first);
        let client_key = hash.hmac(&salted, b"Client Key");
        let signature = hash.hmac(&hash.digest(&client_key), spoken.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let server_key = hash.hmac(&salted, b"Server Key");
        self.expected = Some(format!("v={}", STANDARD.encode(hash.hmac(&server_key, spoken.as_bytes()))));
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes())
    }

    /// Whether the server's last word proves that it knows the password too.
    fn is_proven(&self, last: &[u8]) -> bool {
        match &self.expected {
            Some(expected) => expected.as_bytes() == last,
            None => self.mechanism.hash().is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Account;
    use super::super::Outcome;
    use super::super::Scram;
    use super::super::begin;
    use super::*;

    const ACCOUNT: Account<'_> = Account { user: "a,b=c", password: "pencil", token: Some("token-of-mine") };

    fn by_password() -> Credentials {
        (ACCOUNT.user.to_owned(), ACCOUNT.password.to_owned()).into()
    }

    fn by_token(token: &str) -> Credentials {
        Credentials { secret: Secret::Token(token.to_owned()), ..by_password() }
    }

    /// Logs in at a server that offers these.
    fn log_in(credentials: Credentials, offered: &str) -> Result<(), Refusal> {
        let (mut login, mut next) = SignOn::begin(credentials, Some("abc"));
        let mut scram: Option<Scram> = None;
        for _ in 0..4 {
            let asked = match next {
                Next::Ask(asked) => asked.build(),
                Next::In => return Ok(()),
                Next::Refused(why) => return Err(why),
            };
            let asked = Frame::new(&asked).unwrap();
            let opcode = asked.header().opcode;
            let outcome = match opcode {
                Opcode::SASL_LIST_MECHS => Outcome::Done(offered.as_bytes().to_vec()),
                Opcode::SASL_AUTH => {
                    let (outcome, begun) = begin(asked.key(), asked.value().unwrap(), ACCOUNT, "def", b"salt-salt");
                    scram = begun;
                    outcome
                }
                _ => scram.take().map_or(Outcome::Refused, |scram| scram.finish(asked.value().unwrap(), ACCOUNT)),
            };
            let (status, value) = outcome.said();
            next = login.answer(&Frame::new(&FrameBuilder::response(opcode, status).value(value).build()).unwrap());
        }
        panic!("no end");
    }

    #[test]
    fn every_mechanism_is_understood_by_the_server() {
        for mechanism in Mechanism::ALL {
            let credentials =
                if mechanism == Mechanism::OauthBearer { by_token("token-of-mine") } else { by_password() };
            assert_eq!(log_in(credentials.clone(), &format!("OTHER {mechanism}")), Ok(()), "{mechanism}");
            let insists = Credentials { mechanism: Some(mechanism), ..credentials };
            assert_eq!(log_in(insists, "nothing that is asked for"), Ok(()), "{mechanism}");
        }
    }

    #[test]
    fn a_wrong_secret_is_refused_in_a_line_that_does_not_hold_it() {
        for mechanism in Mechanism::ALL {
            let secret = match mechanism {
                Mechanism::OauthBearer => Secret::Token("not-it".to_owned()),
                Mechanism::Plain | Mechanism::ScramSha1 | Mechanism::ScramSha256 | Mechanism::ScramSha512 => {
                    Secret::Password("not-it".to_owned())
                }
            };
            let refusal = log_in(Credentials { secret, ..by_password() }, mechanism.name()).unwrap_err().to_string();
            let expected = match mechanism {
                Mechanism::OauthBearer => "AuthError (invalid_token); check the user and the token",
                Mechanism::Plain | Mechanism::ScramSha1 | Mechanism::ScramSha256 | Mechanism::ScramSha512 => {
                    "AuthError; check the user and the password"
                }
            };
            assert_eq!(refusal, expected, "{mechanism}");
        }
    }

    #[test]
    fn the_best_mechanism_is_taken() {
        let taken = |credentials: Credentials, offered: &str| {
            let (mut login, _) = SignOn::begin(credentials, Some("n"));
            let offer =
                FrameBuilder::response(Opcode::SASL_LIST_MECHS, Status::SUCCESS).value(offered.as_bytes().to_vec());
            match login.answer(&Frame::new(&offer.build()).unwrap()) {
                Next::Refused(why) => why.to_string(),
                Next::Ask(_) | Next::In => login.login.unwrap().mechanism.to_string(),
            }
        };
        assert_eq!(taken(by_password(), "PLAIN SCRAM-SHA1 SCRAM-SHA256 OAUTHBEARER"), "SCRAM-SHA256");
        assert_eq!(taken(by_password(), "PLAIN"), "PLAIN");
        assert_eq!(taken(by_token("t"), "PLAIN SCRAM-SHA1 OAUTHBEARER"), "OAUTHBEARER");
        assert_eq!(taken(by_token("t"), "PLAIN"), "expected OAUTHBEARER, found the offer of 'PLAIN'");
        let hidden = Credentials { may_be_seen: false, ..by_password() };
        assert_eq!(taken(hidden.clone(), "PLAIN SCRAM-SHA1"), "SCRAM-SHA1");
        let refusal = taken(hidden, "PLAIN");
        assert!(refusal.starts_with("PLAIN would send the password in the clear"), "{refusal}");
        assert!(refusal.ends_with("ask for it with --sasl PLAIN"), "{refusal}");
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        let (mut login, _) =
            SignOn::begin(Credentials { mechanism: Some(Mechanism::ScramSha1), ..by_password() }, Some("abc"));
        let said = |opcode, status, value: &[u8]| FrameBuilder::response(opcode, status).value(value.to_vec()).build();
        let challenge = said(Opcode::SASL_AUTH, Status::AUTH_CONTINUE, b"r=abcdef,s=AAAA,i=1");
        assert!(matches!(login.answer(&Frame::new(&challenge).unwrap()), Next::Ask(_)));
        let last = said(Opcode::SASL_STEP, Status::SUCCESS, b"v=AAAA");
        assert!(matches!(login.answer(&Frame::new(&last).unwrap()), Next::Refused(Refusal::Broken(_))));
    }

    #[test]
    fn a_challenge_that_is_none_is_refused() {
        let refused = |challenge: &str| {
            let (mut login, _) = Login::begin(Mechanism::ScramSha1, &by_password(), "abc");
            login.proof(challenge.as_bytes()).unwrap_err()
        };
        assert!(refused("r=xyz,s=AAAA,i=1").contains("nonce"));
        assert!(refused("r=abc,s=AAAA,i=1").contains("nonce"), "the server adds to it");
        assert!(refused("r=abcd,s=*,i=1").contains("salt"));
        assert!(refused("r=abcd,s=AAAA,i=0").contains("iterations"));
        assert!(refused("r=abcd,s=AAAA,i=4000000000").contains("iterations"));
        assert!(refused("").contains("nonce"));
    }
}
