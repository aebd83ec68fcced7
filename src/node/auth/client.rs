//! The client's side of SASL: who dials a server logs in with it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Hash;
use super::attribute;

/// A login to a server, with the best mechanism that both ends know.
pub(crate) struct Login {
    mechanism: &'static str,
    hash: Option<Hash>,
    password: String,
    nonce: String,
    /// The client's first message without its header.
    first: String,
    /// What the server must say last.
    expected: Option<String>,
}

/// The credentials do not show (law L9).
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

/// From the best to the least.
const KNOWN: [(&str, Option<Hash>); 4] = [
    ("SCRAM-SHA512", Some(Hash::Sha512)),
    ("SCRAM-SHA256", Some(Hash::Sha256)),
    ("SCRAM-SHA1", Some(Hash::Sha1)),
    ("PLAIN", None),
];

/// Rounds that a server may ask for: what is beyond keeps the client busy for minutes.
const MAX_ITERATIONS: u32 = 1_000_000;

const HEADER: &str = "n,,";

impl Login {
    /// Begins a login with the best of the mechanisms on offer, and says the client's first message; `None` where none of
    /// them is known. `nonce` is to be printable, without a comma.
    pub(crate) fn begin(offered: &[String], user: &str, password: &str, nonce: &str) -> Option<(Self, Vec<u8>)> {
        let (mechanism, hash) =
            KNOWN.into_iter().find(|(name, _)| offered.iter().any(|offer| offer.eq_ignore_ascii_case(name)))?;
        let escaped = user.replace('=', "=3D").replace(',', "=2C");
        let login = Self {
            mechanism,
            hash,
            password: password.to_owned(),
            nonce: nonce.to_owned(),
            first: format!("n={escaped},r={nonce}"),
            expected: None,
        };
        let message = match hash {
            Some(_) => format!("{HEADER}{}", login.first),
            None => format!("\0{user}\0{password}"),
        };
        Some((login, message.into_bytes()))
    }

    /// The mechanism, as SASL_AUTH names it.
    pub(crate) const fn mechanism(&self) -> &'static str {
        self.mechanism
    }

    /// The client's proof, for the server's challenge.
    ///
    /// # Errors
    /// What was expected of the challenge, and what was found; never what it holds.
    pub(crate) fn proof(&mut self, challenge: &[u8]) -> Result<Vec<u8>, &'static str> {
        let hash = self.hash.ok_or("expected PLAIN to be over after one step, found another")?;
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
    pub(crate) fn is_proven(&self, last: &[u8]) -> bool {
        match &self.expected {
            Some(expected) => expected.as_bytes() == last,
            None => self.hash.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Account;
    use super::super::Outcome;
    use super::super::begin;
    use super::*;

    const ACCOUNT: Account<'_> = Account { user: "a,b=c", password: "pencil" };

    #[test]
    fn every_mechanism_is_understood_by_the_server() {
        for (name, hash) in KNOWN {
            let offered = ["OTHER".to_owned(), name.to_owned()];
            let (mut login, first) = Login::begin(&offered, ACCOUNT.user, ACCOUNT.password, "abc").unwrap();
            assert_eq!(login.mechanism(), name);
            let (outcome, scram) = begin(name.as_bytes(), &first, ACCOUNT, "def", b"salt-salt");
            let last = match (outcome, hash) {
                (Outcome::Done(last), None) => last,
                (Outcome::Continue(challenge), Some(_)) => {
                    let proof = login.proof(&challenge).unwrap();
                    let Outcome::Done(last) = scram.unwrap().finish(&proof, ACCOUNT) else { panic!("{name}") };
                    last
                }
                other => panic!("{name}: {other:?}"),
            };
            assert!(login.is_proven(&last), "{name}");
            assert!(hash.is_none() || !login.is_proven(b"v=AAAA"), "{name}");
        }
    }

    #[test]
    fn the_best_mechanism_is_taken() {
        let offered = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let taken = |text| Login::begin(&offered(text), "u", "p", "n").map(|(login, _)| login.mechanism());
        assert_eq!(taken("PLAIN SCRAM-SHA1 SCRAM-SHA256"), Some("SCRAM-SHA256"));
        assert_eq!(taken("PLAIN"), Some("PLAIN"));
        assert_eq!(taken("OAUTHBEARER"), None);
    }

    #[test]
    fn a_challenge_that_is_none_is_refused() {
        let offered = ["SCRAM-SHA1".to_owned()];
        let refused = |challenge: &str| {
            let (mut login, _) = Login::begin(&offered, "u", "p", "abc").unwrap();
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
