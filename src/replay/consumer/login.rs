//! Logging in, with the user's credentials in place of the recorded ones.

use super::Consumer;
use crate::Timestamp;
use crate::node::auth::Next;
use crate::node::auth::SignOn;
use crate::wire::Frame;
use crate::wire::Opaque;

/// How far the login is.
#[derive(Debug, Default)]
pub(super) struct Login {
    asked: Option<Opaque>,
    under_way: Option<SignOn>,
    /// Why it came to nothing.
    refused: Option<String>,
}

impl Login {
    pub(super) const fn is_under_way(&self) -> bool {
        self.asked.is_some()
    }
}

impl Consumer {
    pub(super) fn begin_login(&mut self, now: Timestamp) {
        let Some(credentials) = self.options.credentials.clone() else { return };
        let nonce = format!("dcproxy{:016x}{:08x}", self.options.seed ^ now.0, self.script.number);
        let (login, next) = SignOn::begin(credentials, Some(&nonce));
        self.login.under_way = Some(login);
        self.log_in(next, now);
    }

    pub(in crate::replay) fn refused(&self) -> Option<&str> {
        self.login.refused.as_deref()
    }

    /// Takes a response if it is one to the login.
    pub(super) fn login_response(&mut self, frame: &Frame<'_>, now: Timestamp) -> bool {
        if self.login.asked != Some(frame.header().opaque) {
            return false;
        }
        self.login.asked = None;
        if let Some(next) = self.login.under_way.as_mut().map(|login| login.answer(frame)) {
            self.log_in(next, now);
        }
        true
    }

    fn log_in(&mut self, next: Next, now: Timestamp) {
        match next {
            Next::Ask(request) => {
                let opaque = self.talk.own_opaque();
                self.talk.say(&request.opaque(opaque));
                self.login.asked = Some(opaque);
            }
            // A server without logins: it was none of them that the recording was made with.
            Next::In => self.login.under_way = None,
            Next::Refused(why) => {
                let who = self.options.credentials.as_ref().map(|it| it.who()).unwrap_or_default();
                self.stop(&format!("the login of {who} to be accepted"), &format!("refused: {why}"), now);
                self.login.refused = Some(format!("login of {who} refused: {why}"));
            }
        }
    }
}
