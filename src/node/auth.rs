//! SASL: PLAIN (RFC 4616), SCRAM (RFC 5802, RFC 7677) with SHA-1, SHA-256 and SHA-512, and OAUTHBEARER (RFC 7628). Here the
//! server's side; the client's is in [`client`].

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::Hmac;
use hmac::Mac;
use sha1::Sha1;
use sha2::Digest;
use sha2::Sha256;
use sha2::Sha512;

use crate::wire::Status;

mod client;
mod credentials;

pub(crate) use client::Next;
pub use client::Refusal;
pub(crate) use client::SignOn;
pub use credentials::Credentials;
pub use credentials::Mechanism;
pub use credentials::NoMechanism;
pub use credentials::Secret;

/// The mechanisms on offer, as SASL_LIST_MECHS names them, where there are passwords only.
const MECHANISMS: &str = "SCRAM-SHA512 SCRAM-SHA256 SCRAM-SHA1 PLAIN";

/// Rounds of PBKDF2, as kv_engine has them.
const ITERATIONS: u32 = 4096;

/// Who may log in.
#[derive(Clone, Copy)]
pub(crate) struct Account<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    /// The bearer token that lets in too.
    pub(crate) token: Option<&'a str>,
}

impl Account<'_> {
    /// The mechanisms on offer, as SASL_LIST_MECHS names them.
    pub(crate) fn mechanisms(&self) -> String {
        if self.token.is_some() { format!("{MECHANISMS} {}", Mechanism::OauthBearer) } else { MECHANISMS.to_owned() }
    }
}

/// What a step of a login came to.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Logged in; this is the server's last word.
    Done(Vec<u8>),
    /// The client is to go on from this.
    Continue(Vec<u8>),
    /// Refused.
    Refused,
}

impl Outcome {
    /// The status and the value of the answer that says so.
    pub(crate) fn said(self) -> (Status, Vec<u8>) {
        match self {
            Self::Done(value) => (Status::SUCCESS, value),
            Self::Continue(value) => (Status::AUTH_CONTINUE, value),
            Self::Refused => (Status::AUTH_ERROR, Vec::new()),
        }
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done(_) => "Done",
            Self::Continue(_) => "Continue",
            Self::Refused => "Refused",
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hash {
    Sha1,
    Sha256,
    Sha512,
}

/// A login that waits for the client's proof.
pub(crate) struct Scram {
    hash: Hash,
    user_is_known: bool,
    gs2_header: String,
    nonce: String,
    salt: Vec<u8>,
    /// The client's first message without its header, and the server's.
    first_messages: String,
}

impl fmt::Debug for Scram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scram").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// SASL_AUTH: begins a login. `nonce` and `salt` are the server's own; the nonce is to be printable, without a comma.
pub(crate) fn begin(
    mechanism: &[u8],
    payload: &[u8],
    account: Account<'_>,
    nonce: &str,
    salt: &[u8],
) -> (Outcome, Option<Scram>) {
    let hash = match mechanism {
        b"PLAIN" => return (plain(payload, account), None),
        b"OAUTHBEARER" => return (bearer(payload, account), None),
        b"SCRAM-SHA1" => Hash::Sha1,
        b"SCRAM-SHA256" => Hash::Sha256,
        b"SCRAM-SHA512" => Hash::Sha512,
        _ => return (Outcome::Refused, None),
    };
    match Scram::begin(hash, payload, account, nonce, salt) {
        Some((scram, reply)) => (Outcome::Continue(reply), Some(scram)),
        None => (Outcome::Refused, None),
    }
}

fn plain(payload: &[u8], account: Account<'_>) -> Outcome {
    let mut parts = payload.split(|&byte| byte == 0);
    let given = (parts.next(), parts.next(), parts.next(), parts.next());
    match given {
        (Some(_), Some(user), Some(password), None)
            if user == account.user.as_bytes() && password == account.password.as_bytes() =>
        {
            Outcome::Done(Vec::new())
        }
        _ => Outcome::Refused,
    }
}

/// RFC 7628 §3.1: `n,a=user,`, then key=value pairs between bytes of 1. Of a token that lets nobody in the client is told
/// why, and says that it knows before it is refused (§3.2.3).
fn bearer(payload: &[u8], account: Account<'_>) -> Outcome {
    let let_in = || {
        let message = std::str::from_utf8(payload).ok()?;
        let (header, pairs) = message.split_once('\x01')?;
        let identity = header.strip_prefix("n,")?.strip_suffix(',')?;
        let user = identity.strip_prefix("a=").map(|user| user.replace("=2C", ",").replace("=3D", "="));
        let token = pairs.strip_suffix("\x01\x01")?.split('\x01').find_map(|pair| pair.strip_prefix("auth=Bearer "))?;
        let is_user = user.map_or(identity.is_empty(), |user| user == account.user);
        Some(is_user && account.token == Some(token))
    };
    match let_in() {
        Some(true) => Outcome::Done(Vec::new()),
        Some(false) if account.token.is_some() => Outcome::Continue(br#"{"status":"invalid_token"}"#.to_vec()),
        Some(false) | None => Outcome::Refused,
    }
}

impl Scram {
    fn begin(hash: Hash, payload: &[u8], account: Account<'_>, nonce: &str, salt: &[u8]) -> Option<(Self, Vec<u8>)> {
        let message = std::str::from_utf8(payload).ok()?;
        let mut commas = message.match_indices(',').map(|(at, _)| at);
        let (binding, bare_from) = (commas.next()?, commas.nth(0)? + 1);
        let gs2_header = &message[..bare_from];
        // RFC 5802 §6: 'p' asks for a channel binding, which is not on offer.
        if !matches!(&message[..binding], "n" | "y") {
            return None;
        }
        let bare = &message[bare_from..];
        let user = attribute(bare, 'n')?.replace("=2C", ",").replace("=3D", "=");
        let nonce = format!("{}{nonce}", attribute(bare, 'r')?);
        let server_first = format!("r={nonce},s={},i={ITERATIONS}", STANDARD.encode(salt));
        let scram = Self {
            hash,
            user_is_known: user == account.user,
            gs2_header: gs2_header.to_owned(),
            nonce,
            salt: salt.to_vec(),
            first_messages: format!("{bare},{server_first}"),
        };
        Some((scram, server_first.into_bytes()))
    }

    /// SASL_STEP: the client's proof, answered with the server's.
    pub(crate) fn finish(&self, payload: &[u8], account: Account<'_>) -> Outcome {
        self.verify(payload, account).map_or(Outcome::Refused, Outcome::Done)
    }

    fn verify(&self, payload: &[u8], account: Account<'_>) -> Option<Vec<u8>> {
        let message = std::str::from_utf8(payload).ok()?;
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        let binding = STANDARD.decode(attribute(without_proof, 'c')?).ok()?;
        if binding != self.gs2_header.as_bytes() || attribute(without_proof, 'r')? != self.nonce {
            return None;
        }
        let proof = STANDARD.decode(proof).ok()?;
        let salted = self.hash.salted(account.password.as_bytes(), &self.salt, ITERATIONS);
        let spoken = format!("{},{without_proof}", self.first_messages);
        let stored_key = self.hash.digest(&self.hash.hmac(&salted, b"Client Key"));
        let signature = self.hash.hmac(&stored_key, spoken.as_bytes());
        if proof.len() != signature.len() {
            return None;
        }
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        if self.hash.digest(&client_key) != stored_key || !self.user_is_known {
            return None;
        }
        let server_key = self.hash.hmac(&salted, b"Server Key");
        let server_signature = self.hash.hmac(&server_key, spoken.as_bytes());
        Some(format!("v={}", STANDARD.encode(server_signature)).into_bytes())
    }
}

/// The value of an attribute in `a=..,b=..`.
fn attribute(message: &str, name: char) -> Option<&str> {
    message.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

impl Hash {
    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(data).to_vec(),
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        const ANY_LENGTH: &str = "HMAC takes a key of any length";
        match self {
            Self::Sha1 => {
                Hmac::<Sha1>::new_from_slice(key).expect(ANY_LENGTH).chain_update(data).finalize().into_bytes().to_vec()
            }
            Self::Sha256 => Hmac::<Sha256>::new_from_slice(key)
                .expect(ANY_LENGTH)
                .chain_update(data)
                .finalize()
                .into_bytes()
                .to_vec(),
            Self::Sha512 => Hmac::<Sha512>::new_from_slice(key)
                .expect(ANY_LENGTH)
                .chain_update(data)
                .finalize()
                .into_bytes()
                .to_vec(),
        }
    }

    fn salted(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        match self {
            Self::Sha1 => pbkdf2::pbkdf2_hmac_array::<Sha1, 20>(password, salt, iterations).to_vec(),
            Self::Sha256 => pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, salt, iterations).to_vec(),
            Self::Sha512 => pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(password, salt, iterations).to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: Account<'_> = Account { user: "user", password: "pencil", token: None };

    fn login(mechanism: &str, nonce: &str, salt: &str, messages: [&str; 4]) {
        let [client_first, server_first, client_final, server_final] = messages;
        let salt = STANDARD.decode(salt).unwrap();
        let (outcome, scram) = begin(mechanism.as_bytes(), client_first.as_bytes(), ACCOUNT, nonce, &salt);
        assert_eq!(outcome, Outcome::Continue(server_first.as_bytes().to_vec()));
        let scram = scram.unwrap();
        assert_eq!(scram.finish(client_final.as_bytes(), ACCOUNT), Outcome::Done(server_final.as_bytes().to_vec()));
        let wrong = Account { password: "pen", ..ACCOUNT };
        assert_eq!(scram.finish(client_final.as_bytes(), wrong), Outcome::Refused);
        let stranger = client_first.replace("n=user", "n=guest");
        let (_, scram) = begin(mechanism.as_bytes(), stranger.as_bytes(), ACCOUNT, nonce, &salt);
        assert_eq!(scram.unwrap().finish(client_final.as_bytes(), ACCOUNT), Outcome::Refused);
    }

    #[test]
    fn scram_sha1_speaks_as_rfc_5802_section_5() {
        login(
            "SCRAM-SHA1",
            "3rfcNHYJY1ZVvWVs7j",
            "QSXCR+Q6sek8bf92",
            [
                "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
                "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
                "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
                "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            ],
        );
    }

    #[test]
    fn scram_sha256_speaks_as_rfc_7677_section_3() {
        login(
            "SCRAM-SHA256",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            [
                "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ],
        );
    }

    /// No RFC has a vector for SHA-512: the client's side is done here, from RFC 5802 §3.
    #[test]
    fn scram_sha512_agrees_with_a_client() {
        let client_first = "n,,n=user,r=abc";
        let (outcome, scram) = begin(b"SCRAM-SHA512", client_first.as_bytes(), ACCOUNT, "def", b"salt-salt");
        let Outcome::Continue(server_first) = outcome else { panic!("{outcome:?}") };
        let server_first = String::from_utf8(server_first).unwrap();
        assert_eq!(server_first, format!("r=abcdef,s={},i=4096", STANDARD.encode("salt-salt")));
        let hash = Hash::Sha512;
        let salted = hash.salted(b"pencil", b"salt-salt", ITERATIONS);
        let client_key = hash.hmac(&salted, b"Client Key");
        let spoken = format!("n=user,r=abc,{server_first},c=biws,r=abcdef");
        let signature = hash.hmac(&hash.digest(&client_key), spoken.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let client_final = format!("c=biws,r=abcdef,p={}", STANDARD.encode(proof));
        let scram = scram.unwrap();
        let replayed = {
            let spoken = format!("n=user,r=abc,{server_first},c=biws,r=other");
            let signature = hash.hmac(&hash.digest(&client_key), spoken.as_bytes());
            let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
            format!("c=biws,r=other,p={}", STANDARD.encode(proof))
        };
        assert_eq!(scram.finish(replayed.as_bytes(), ACCOUNT), Outcome::Refused, "a proof over another nonce");
        assert!(matches!(scram.finish(client_final.as_bytes(), ACCOUNT), Outcome::Done(_)));
        for broken in [
            client_final.replace("biws", "eSws"),
            client_final.replace("r=abcdef", "r=abc"),
            client_final.replace(",p=", ",q="),
            format!("c=biws,r=abcdef,p={}", STANDARD.encode([0; 64])),
            "c=biws,r=abcdef,p=AA==".to_owned(),
        ] {
            assert_eq!(scram.finish(broken.as_bytes(), ACCOUNT), Outcome::Refused, "{broken}");
        }
    }

    #[test]
    fn plain_wants_the_user_and_the_password() {
        let login = |payload: &[u8]| begin(b"PLAIN", payload, ACCOUNT, "", b"").0;
        assert_eq!(login(b"\0user\0pencil"), Outcome::Done(Vec::new()));
        assert_eq!(login(b"me\0user\0pencil"), Outcome::Done(Vec::new()));
        for payload in [&b"\0user\0pen"[..], b"\0guest\0pencil", b"user\0pencil", b"", b"\0user\0pencil\0"] {
            assert_eq!(login(payload), Outcome::Refused);
        }
    }

    #[test]
    fn a_token_lets_in_where_there_is_one() {
        let account = Account { token: Some("tok"), ..ACCOUNT };
        let login = |payload: &[u8], account| begin(b"OAUTHBEARER", payload, account, "", b"").0;
        for good in [&b"n,a=user,\x01auth=Bearer tok\x01\x01"[..], b"n,,\x01host=h\x01auth=Bearer tok\x01\x01"] {
            assert_eq!(login(good, account), Outcome::Done(Vec::new()));
            assert_eq!(login(good, ACCOUNT), Outcome::Refused);
        }
        for other in [&b"n,a=user,\x01auth=Bearer other\x01\x01"[..], b"n,a=me,\x01auth=Bearer tok\x01\x01"] {
            assert!(matches!(login(other, account), Outcome::Continue(_)));
        }
        for nonsense in
            [&b""[..], b"n,,", b"n,,\x01\x01", b"n,,\x01auth=Bearer tok", b"\xff", b"y,,\x01auth=Bearer tok\x01\x01"]
        {
            assert_eq!(login(nonsense, account), Outcome::Refused);
        }
        assert!(account.mechanisms().ends_with(" PLAIN OAUTHBEARER") && !ACCOUNT.mechanisms().contains("OAUTH"));
    }

    #[test]
    fn nonsense_is_refused() {
        for payload in [&b""[..], b"n", b"n,", b"n,,", b"n,,n=user", b"p=tls-unique,,n=user,r=a", b"\xff,,n=user,r=a"] {
            assert_eq!(begin(b"SCRAM-SHA1", payload, ACCOUNT, "n", b"s").0, Outcome::Refused);
        }
        assert_eq!(begin(b"CRAM-MD5", b"", ACCOUNT, "n", b"s").0, Outcome::Refused);
    }
}
