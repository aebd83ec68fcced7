//! Logging in, with the user's credentials in place of the recorded ones.

use super::Consumer;
use crate::Timestamp;
use crate::dcp::SaslAuth;
use crate::dcp::SaslListMechs;
use crate::dcp::SaslMechanisms;
use crate::node::auth;
use crate::wire::Frame;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// How far the login is.
#[derive(Debug, Default)]
pub(super) struct Login {
    asked: Option<Opaque>,
    scram: Option<auth::Login>,
}

impl Login {
    pub(super) const fn is_under_way(&self) -> bool {
        self.asked.is_some()
    }
}

impl Consumer {
    pub(super) fn begin_login(&mut self) {
        let opaque = self.talk.own_opaque();
        self.talk.say(&SaslListMechs.request(opaque));
        self.login.asked = Some(opaque);
    }

    /// Takes a response if it is one to the login.
    pub(super) fn login_response(&mut self, frame: &Frame<'_>, now: Timestamp) -> bool {
        let header = frame.header();
        if self.login.asked != Some(header.opaque) {
            return false;
        }
        self.login.asked = None;
        let status = header.status().unwrap_or(Status::SUCCESS);
        let value = frame.value().unwrap_or_default();
        match (header.opcode, status) {
            (Opcode::SASL_LIST_MECHS, Status::SUCCESS) => self.choose(&SaslMechanisms::parse(frame).mechanisms, now),
            // A server without logins: it was none of them that the recording was made with.
            (Opcode::SASL_LIST_MECHS, Status::UNKNOWN_COMMAND | Status::NOT_SUPPORTED) => {}
            (Opcode::SASL_AUTH, Status::AUTH_CONTINUE) => self.prove(value, now),
            (Opcode::SASL_AUTH | Opcode::SASL_STEP, Status::SUCCESS) => {
                if self.login.scram.as_ref().is_some_and(|login| !login.is_proven(value)) {
                    self.stop("a live end that proves to know the password", "another proof, or none", now);
                }
            }
            (opcode, status) => {
                self.stop("the login with the given user to be accepted", &format!("{opcode} answered {status}"), now);
            }
        }
        true
    }

    fn choose(&mut self, offered: &[String], now: Timestamp) {
        let Some(credentials) = &self.options.credentials else { return };
        let nonce = format!("dcproxy{:016x}{:08x}", self.options.seed ^ now.0, self.script.number);
        match auth::Login::begin(offered, &credentials.user, &credentials.password, &nonce) {
            Some((login, message)) => {
                self.say_sasl(Opcode::SASL_AUTH, login.mechanism(), &message);
                self.login.scram = Some(login);
            }
            None => {
                let found = format!("the offer of '{}'", offered.join(" "));
                self.stop("a login with SCRAM-SHA512, SCRAM-SHA256, SCRAM-SHA1 or PLAIN", &found, now);
            }
        }
    }

    fn prove(&mut self, challenge: &[u8], now: Timestamp) {
        let Some(login) = &mut self.login.scram else { return };
        match (login.proof(challenge), login.mechanism()) {
            (Ok(proof), mechanism) => self.say_sasl(Opcode::SASL_STEP, mechanism, &proof),
            (Err(what), _) => self.stop("a challenge as SCRAM has it", what, now),
        }
    }

    fn say_sasl(&mut self, opcode: Opcode, mechanism: &str, message: &[u8]) {
        let opaque = self.talk.own_opaque();
        self.talk.say(&SaslAuth { mechanism: mechanism.to_owned() }.request(opcode, message, opaque));
        self.login.asked = Some(opaque);
    }
}
