//! How a connection gets into a server: HELLO, the login, the bucket.

use super::Credentials;
use super::auth::Next;
use super::auth::Refusal;
use super::auth::SignOn;
use crate::dcp::Hello;
use crate::dcp::HelloResponse;
use crate::dcp::SelectBucket;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// A connection on its way into a server; whoever has it sends what is to be asked, one request at a time and under an
/// opaque of its own, and hands over the answers.
#[derive(Debug)]
pub(crate) struct Entry {
    login: Option<Credentials>,
    nonce: String,
    bucket: String,
    sign_on: Option<SignOn>,
    features: Vec<u16>,
}

/// What comes next on the way in.
pub(crate) enum Step {
    /// This is to be asked.
    Ask(FrameBuilder),
    /// The connection is in its bucket.
    In,
    /// It does not get in.
    Failed(NoEntry),
}

/// Why a connection does not get into a server: one line for the user.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoEntry {
    /// The login came to nothing.
    #[error("login of {who} refused: {why}")]
    Login {
        /// Who wanted in, and where.
        who: String,
        /// Why not.
        why: Refusal,
    },
    /// There is no such bucket, or it is not the user's.
    #[error("the bucket '{bucket}' cannot be selected: {status}{hint}")]
    Bucket {
        /// Which.
        bucket: String,
        /// What was said.
        status: Status,
        /// What may help.
        hint: &'static str,
    },
    /// Another request was refused.
    #[error("expected {0} to succeed, found {1}")]
    Refused(Opcode, Status),
}

impl Entry {
    /// A connection that was just made, and what it is to ask first. `nonce` is as in
    /// [`super::consumer::ClientConfig::nonce`].
    pub(crate) fn begin(
        hello: &Hello,
        login: Option<Credentials>,
        nonce: String,
        bucket: String,
    ) -> (Self, FrameBuilder) {
        (Self { login, nonce, bucket, sign_on: None, features: Vec::new() }, hello.request(Opaque::default()))
    }

    /// The features that the server has agreed to.
    pub(crate) fn features(&self) -> &[u16] {
        &self.features
    }

    /// Takes the answer to what was asked last.
    pub(crate) fn answer(&mut self, frame: &Frame<'_>) -> Step {
        match (frame.header().opcode, frame.header().status().unwrap_or(Status::SUCCESS)) {
            (Opcode::HELLO, status) => {
                // Servers that know no HELLO have no features either.
                if status == Status::SUCCESS
                    && let Ok(hello) = HelloResponse::parse(frame)
                {
                    self.features = hello.features;
                }
                match self.login.clone() {
                    Some(credentials) => {
                        let (sign_on, next) = SignOn::begin(credentials, Some(&self.nonce));
                        self.sign_on = Some(sign_on);
                        self.log_in(next)
                    }
                    None => self.select_bucket(),
                }
            }
            (Opcode::SELECT_BUCKET, Status::SUCCESS) => Step::In,
            (Opcode::SELECT_BUCKET, status) => {
                let hint = match status {
                    Status::KEY_ENOENT => " (there is none of that name)",
                    Status::EACCESS if self.login.is_none() => " (give --user)",
                    Status::EACCESS => " (the user has no access to it, or there is none of that name)",
                    _ => "",
                };
                Step::Failed(NoEntry::Bucket { bucket: self.bucket.clone(), status, hint })
            }
            (opcode, status) => match &mut self.sign_on {
                Some(sign_on) => {
                    let next = sign_on.answer(frame);
                    self.log_in(next)
                }
                None => Step::Failed(NoEntry::Refused(opcode, status)),
            },
        }
    }

    fn log_in(&mut self, next: Next) -> Step {
        match next {
            Next::Ask(request) => Step::Ask(request),
            Next::In => {
                self.sign_on = None;
                self.select_bucket()
            }
            Next::Refused(why) => {
                let who = self.login.as_ref().map(Credentials::who).unwrap_or_default();
                Step::Failed(NoEntry::Login { who, why })
            }
        }
    }

    fn select_bucket(&self) -> Step {
        Step::Ask(SelectBucket { bucket: self.bucket.clone() }.request(Opaque::default()))
    }
}
