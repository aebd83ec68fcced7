use std::io;
use std::path::PathBuf;

use rustls::Error;

use super::Identity;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file holds something else.
    #[error("{path}: expected {expected}, found {found}", path = path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What it is to hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// A key is another certificate's.
    #[error("{key}: expected the key of the certificate in {certificate}, found another", key = identity.key.display(), certificate = identity.certificate.display())]
    Mismatch {
        /// The files.
        identity: Identity,
    },
    /// What is to be in a certificate cannot be.
    #[error("expected the name of a host or an address, found '{0}'")]
    NoName(String),
    /// The system trusts nobody.
    #[error("expected CA certificates on this system, found {0}: --upstream-ca FILE says whom to trust")]
    NoRoots(String),
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Made(String),
    /// The secrets cannot be written.
    #[error("cannot write the file that SSLKEYLOGFILE names, {path}: {error}", path = path.display())]
    NoKeyLog {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Something that TLS itself does not take.
    #[error("cannot set up TLS: {0}")]
    Tls(Error),
}

impl SetUpError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of errors has no end")]
    pub(super) fn mismatch(identity: &Identity, error: Error) -> Self {
        match error {
            Error::InconsistentKeys(_) => Self::Mismatch { identity: identity.clone() },
            error => Self::Unusable {
                path: identity.certificate.clone(),
                expected: "a certificate and its key",
                found: error.to_string(),
            },
        }
    }
}

impl From<rcgen::Error> for SetUpError {
    fn from(error: rcgen::Error) -> Self {
        Self::Made(error.to_string())
    }
}
