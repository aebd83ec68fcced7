//! Logging in at the replayed producer.

use super::Producer;
use crate::dcp;
use crate::node::Secret;
use crate::node::auth;
use crate::node::auth::Account;
use crate::node::auth::Outcome;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opcode;
use crate::wire::Status;

impl Producer {
    /// With the user's credentials these are demanded; without any, every PLAIN login is taken, and only PLAIN is on offer:
    /// SCRAM needs the password at both ends.
    pub(super) fn login(&mut self, frame: &Frame<'_>) {
        let header = *frame.header();
        let payload = frame.value().unwrap_or_default();
        let Some(credentials) = self.options.credentials.clone() else {
            let answer = match header.opcode {
                Opcode::SASL_LIST_MECHS => {
                    dcp::response(header.opcode, Status::SUCCESS, header.opaque).value(*b"PLAIN")
                }
                Opcode::SASL_AUTH if frame.key() == b"PLAIN" => {
                    dcp::response(header.opcode, Status::SUCCESS, header.opaque)
                }
                opcode => dcp::response(opcode, Status::AUTH_ERROR, header.opaque),
            };
            return self.talk.say(&answer);
        };
        let (password, token) = match &credentials.secret {
            Secret::Password(password) => (password.as_str(), None),
            Secret::Token(token) => ("", Some(token.as_str())),
        };
        let account = Account { user: &credentials.user, password, token };
        let outcome = match header.opcode {
            Opcode::SASL_LIST_MECHS => {
                let offer = dcp::response(header.opcode, Status::SUCCESS, header.opaque);
                return self.talk.say(&offer.value(account.mechanisms().into_bytes()));
            }
            Opcode::SASL_AUTH => {
                self.nonces += 1;
                let own = self.options.seed ^ self.last.0;
                let nonce = format!("{own:016x}{:08x}{:08x}", self.script.number, self.nonces);
                let salt = own.rotate_left(17).to_be_bytes();
                let (outcome, scram) = auth::begin(frame.key(), payload, account, &nonce, &salt);
                self.scram = scram;
                outcome
            }
            _ => self.scram.take().map_or(Outcome::Refused, |scram| scram.finish(payload, account)),
        };
        let (status, value) = outcome.said();
        self.talk.say(&FrameBuilder::response(header.opcode, status).opaque(header.opaque).value(value));
    }
}
