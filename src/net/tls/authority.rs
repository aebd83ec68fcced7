use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::SetUpError;
use super::acceptor::is_somewhere;
use crate::net::Clock;

/// A CA that lasts as long as the program: its key is never written. Clones are the same.
#[derive(Clone, Debug)]
pub struct Authority {
    issuer: Arc<CertifiedIssuer<'static, KeyPair>>,
}

/// How long what is made here holds: longer than any run, and not long enough to be trusted for ever by mistake.
const VALID: Duration = Duration::from_secs(365 * 24 * 3600);
/// Clocks differ.
const VALID_BEFORE: Duration = Duration::from_secs(24 * 3600);

impl Authority {
    /// Another one each time.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new() -> Result<Self, SetUpError> {
        let key = KeyPair::generate()?;
        // Another name each time, so that nobody takes one for the other.
        let number: Vec<u8> = key.public_key_raw().iter().rev().take(4).copied().collect();
        let mut params = params(Vec::new(), &format!("dcproxy throw-away CA {}", hex::encode(number)))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = Arc::new(CertifiedIssuer::self_signed(params, key)?);
        Ok(Self { issuer })
    }

    /// Its certificate, which whoever dials is to trust.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }
}

/// A certificate that is made on the spot.
#[derive(Debug)]
pub struct AutoCertificate {
    authority: Authority,
    names: Vec<String>,
}

impl AutoCertificate {
    /// One for localhost and loopback, and for these names and addresses too. Addresses to listen on everywhere are no names.
    pub fn new(authority: Authority, names: impl IntoIterator<Item = String>) -> Self {
        let ours = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let all: BTreeSet<String> = ours.into_iter().chain(names).filter(|name| is_somewhere(name)).collect();
        Self { authority, names: all.into_iter().collect() }
    }

    pub(super) fn make(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), SetUpError> {
        let mut params = params(self.names.clone(), "dcproxy")?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.authority.issuer)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| SetUpError::Made(error.to_owned()))?;
        Ok((vec![certificate.der().clone()], key))
    }
}

fn params(names: Vec<String>, name: &str) -> Result<CertificateParams, SetUpError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_nanos(Clock::start().now().0);
    (params.not_before, params.not_after) = (now - VALID_BEFORE, now + VALID);
    Ok(params)
}
