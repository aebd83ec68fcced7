use rustls::pki_types::CertificateDer;

/// Types of DER (X.690).
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// The version of a certificate, which the first one left out.
const VERSION: u8 = 0xa0;
/// `id-at-commonName`, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The common name of a certificate's subject (RFC 5280 §4.1.2.6), the last if there are several, where it is text.
pub(in crate::net) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let mut outer = Der(certificate);
    let mut certificate = Der(outer.take(SEQUENCE)?);
    let mut signed = Der(certificate.take(SEQUENCE)?);
    signed.take(VERSION);
    // Serial number, signature, issuer, validity.
    for _ in 0..4 {
        signed.next()?;
    }
    let mut subject = Der(signed.take(SEQUENCE)?);
    let mut name = None;
    while let Some(part) = subject.take(SET) {
        let mut part = Der(part);
        while let Some(attribute) = part.take(SEQUENCE) {
            let mut attribute = Der(attribute);
            if attribute.take(OBJECT_IDENTIFIER)? == COMMON_NAME {
                let (_, text) = attribute.next()?;
                name = String::from_utf8(text.to_vec()).ok();
            }
        }
    }
    name
}

/// What is left of some DER.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value with its type.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&kind, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let len = if first < 0x80 {
            usize::from(first)
        } else {
            let bytes = rest.get(..usize::from(first & 0x7f)).filter(|bytes| (1..=4).contains(&bytes.len()))?;
            rest = rest.get(bytes.len()..)?;
            bytes.iter().fold(0, |len, &byte| len << 8 | usize::from(byte))
        };
        let value = rest.get(..len)?;
        self.0 = rest.get(len..)?;
        Some((kind, value))
    }

    /// The next value, if it is of this type.
    fn take(&mut self, kind: u8) -> Option<&'a [u8]> {
        let &found = self.0.first()?;
        if found == kind { self.next().map(|(_, value)| value) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn the_subjects_common_name_is_found_and_no_other() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["elsewhere".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "an organisation ".repeat(20));
        let without = params.self_signed(&key).unwrap();
        assert_eq!(common_name(without.der()), None);
        params.distinguished_name.push(DnType::CommonName, "Jürgen");
        let with = params.self_signed(&key).unwrap();
        assert_eq!(common_name(with.der()).as_deref(), Some("Jürgen"));
        let cut = with.der().len() / 3;
        for len in 0..cut {
            common_name(&CertificateDer::from(with.der()[..len].to_vec()));
        }
    }
}
