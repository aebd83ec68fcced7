use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, Error};

/// Why two ends did not come to speak TLS: one line, which says how to mend it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The client closed without a word, as whoever only looks whether a port is open does.
    #[error("it closed the connection before it said anything")]
    Silent,
    /// The client does not speak TLS; what it speaks instead is inside.
    #[error("it speaks {0}, where TLS is expected: have it use TLS, or leave out --tls")]
    Plain(String),
    /// The handshake came to nothing.
    #[error("{0}")]
    Failed(String),
    /// It took too long.
    #[error("the TLS handshake took longer than {0:?}")]
    TimedOut(Duration),
}

impl HandshakeError {
    /// Tells of a client with which there is no TLS. It counts for nothing else.
    pub(in crate::net) fn tell(&self) {
        match self {
            Self::Silent => tracing::debug!("a client was let go: {self}"),
            Self::Plain(_) | Self::Failed(_) | Self::TimedOut(_) => tracing::warn!("a client was turned away: {self}"),
        }
    }

    pub(super) fn of_client(error: &io::Error) -> Self {
        Self::Failed(match tls(error) {
            Some(error) => why(error, false),
            None => format!(
                "it closed the connection during the TLS handshake ({error}): does it trust the certificate? (--tls, \
                 --tls-ca-out)"
            ),
        })
    }

    pub(super) fn of_upstream(error: &io::Error, has_identity: bool) -> Self {
        Self::Failed(match tls(error) {
            Some(Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::BadCertificate))
                if !has_identity =>
            {
                format!("it broke the TLS handshake off: {WANTS_CERTIFICATE}")
            }
            Some(error) => why(error, true),
            None => format!(
                "it closed the connection during the TLS handshake ({error}): is that a TLS port? Without --upstream-tls \
                 and the like it is dialled plain"
            ),
        })
    }
}

fn tls(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

const WANTS_CERTIFICATE: &str =
    "it may demand a client certificate: --upstream-cert FILE and --upstream-key FILE give it one";

/// Why TLS with the other end cannot be, or go on, and how to mend that. `upstream` says which end it is.
#[expect(clippy::wildcard_enum_match_arm, reason = "lists of TLS have no end")]
pub(in crate::net) fn why(error: &Error, upstream: bool) -> String {
    match error {
        Error::InvalidCertificate(error) if upstream => why_untrusted(error),
        Error::InvalidCertificate(error) => why_client_untrusted(error),
        Error::NoCertificatesPresented if !upstream => {
            "it shows no client certificate, which --tls-client-ca demands: give it one".to_owned()
        }
        Error::AlertReceived(alert) if upstream => why_refused(*alert),
        Error::AlertReceived(alert) => why_refused_by_client(*alert),
        Error::InvalidMessage(_) if upstream => {
            "what it answers is not TLS: is that a TLS port? Without --upstream-tls and the like it is dialled plain"
                .to_owned()
        }
        Error::InvalidMessage(_) => format!("what it says is not TLS ({error})"),
        Error::PeerIncompatible(why) => format!("there is no version or cipher of TLS that both ends have ({why:?})"),
        _ => error.to_string(),
    }
}

/// What is wrong with an upstream's certificate.
#[expect(clippy::wildcard_enum_match_arm, reason = "lists of TLS have no end")]
fn why_untrusted(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired => "its certificate has expired: renew it".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            let since = ago(time.as_secs().saturating_sub(not_after.as_secs()));
            format!("its certificate expired {since} ago: renew it; --upstream-insecure takes it as it is, for a test")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet: are the clocks right?".to_owned()
        }
        // A CA of the same name has signed it, such as that of another run.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is of a CA that is not trusted here: --upstream-ca FILE says whom to trust".to_owned()
        }
        CertificateError::NotValidForName => {
            "its certificate is for another name: --upstream-name NAME says which one to expect".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = if presented.is_empty() {
                "none".to_owned()
            } else {
                presented.iter().map(|it| bare(it)).collect::<Vec<_>>().join(", ")
            };
            format!(
                "its certificate is not for '{}', found {names}: --upstream-name NAME says which one to expect",
                expected.to_str()
            )
        }
        _ => format!("its certificate cannot be trusted: {error}"),
    }
}

/// What is wrong with a client's certificate.
#[expect(clippy::wildcard_enum_match_arm, reason = "lists of TLS have no end")]
fn why_client_untrusted(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its client certificate has expired: renew it".to_owned()
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its client certificate is of a CA that --tls-client-ca does not name".to_owned()
        }
        _ => format!("its client certificate cannot be trusted: {error}"),
    }
}

/// What an upstream says by an alert (RFC 8446 §6).
#[expect(clippy::wildcard_enum_match_arm, reason = "lists of TLS have no end")]
fn why_refused(alert: AlertDescription) -> String {
    let said = said(alert);
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            "it demands a client certificate: --upstream-cert FILE and --upstream-key FILE give it one".to_owned()
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::DecryptError
        | AlertDescription::AccessDenied => {
            format!("it does not take the client certificate (it says: {said}): is that in --upstream-cert right?")
        }
        AlertDescription::UnrecognisedName => {
            format!("it knows no such host (it says: {said}): --upstream-name NAME says whom to ask for")
        }
        _ => format!("it breaks TLS off (it says: {said})"),
    }
}

/// What a client says by an alert.
#[expect(clippy::wildcard_enum_match_arm, reason = "lists of TLS have no end")]
fn why_refused_by_client(alert: AlertDescription) -> String {
    let said = said(alert);
    match alert {
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::DecryptError
        | AlertDescription::UnknownCA => format!(
            "it does not trust the certificate (it says: {said}): have it trust the CA (with --tls auto: the file of \
             --tls-ca-out) and dial a name that is in the certificate (--tls-name)"
        ),
        _ => format!("it breaks TLS off (it says: {said})"),
    }
}

/// `UnknownCA`: unknown ca.
fn said(alert: AlertDescription) -> String {
    let mut text = String::new();
    let name = format!("{alert:?}");
    let mut before_is_capital = true;
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !before_is_capital {
            text.push(' ');
        }
        before_is_capital = letter.is_ascii_uppercase();
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// `DnsName("a")`: a.
fn bare(presented: &str) -> &str {
    let inner = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(presented);
    inner.trim_matches('"')
}

fn ago(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tls_says_is_put_into_words() {
        assert_eq!(said(AlertDescription::UnknownCA), "unknown ca");
        assert_eq!(said(AlertDescription::CertificateRequired), "certificate required");
        assert_eq!((bare("DnsName(\"a.b\")"), bare("IpAddress(::1)"), bare("c")), ("a.b", "::1", "c"));
        for (seconds, told) in [(1, "1 second"), (7_199, "119 minutes"), (7_200, "2 hours"), (86_400 * 30, "30 days")] {
            assert_eq!(ago(seconds), told);
        }
    }
}
