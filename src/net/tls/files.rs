use std::fs;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::SetUpError;

/// The files that prove who this end is, both PEM: a certificate, with those that lead from it to its CA behind it, and its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl Identity {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of errors has no end")]
    pub(super) fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), SetUpError> {
        let pem = read(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
            PemError::NoItemsFound if has(&pem, b"ENCRYPTED PRIVATE KEY") => {
                unusable(&self.key, "a key without a passphrase (`openssl pkey -in FILE -out NEW` takes it off)", "one")
            }
            PemError::NoItemsFound => unusable(&self.key, "a private key in PEM", "none"),
            error => unusable(&self.key, "a private key in PEM", &error.to_string()),
        })?;
        Ok((certificates(&self.certificate)?, key))
    }
}

/// All certificates of a PEM file; never none.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetUpError> {
    let wanted = "certificates in PEM";
    let pem = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|error| unusable(path, wanted, &error.to_string()))?;
    if all.is_empty() { Err(unusable(path, wanted, "none")) } else { Ok(all) }
}

/// Those whose certificates are trusted.
pub(super) fn roots(path: &Path) -> Result<RootCertStore, SetUpError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(path, "certificates of CAs", &error.to_string()))?;
    }
    Ok(roots)
}

fn read(path: &Path) -> Result<Vec<u8>, SetUpError> {
    fs::read(path).map_err(|error| SetUpError::Unreadable { path: path.to_owned(), error })
}

fn unusable(path: &Path, expected: &'static str, found: &str) -> SetUpError {
    SetUpError::Unusable { path: path.to_owned(), expected, found: found.to_owned() }
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
