use crate::journal::Side;

/// Tells, once, that what arrives first on a plain port is not memcached's protocol.
#[derive(Debug, Default)]
pub(super) struct Hint {
    seen: [bool; 2],
}

impl Hint {
    /// Looks at bytes just read; only the first of each side matter.
    pub(super) fn look(&mut self, side: Side, bytes: &[u8]) {
        let (seen, who) = match side {
            Side::Dialler => (&mut self.seen[0], "the client"),
            Side::Upstream => (&mut self.seen[1], "the upstream"),
        };
        // TLS is what this end can put right itself.
        let mend = match side {
            Side::Dialler => "--tls auto|CERT.pem takes it up, with --upstream-tls towards the upstream",
            Side::Upstream => "--upstream-tls speaks it too",
        };
        if std::mem::replace(seen, true) {
            return;
        }
        if let Some(what) = foreign(bytes) {
            let mend = if what == TLS { format!(" ({mend})") } else { String::new() };
            tracing::warn!(
                "{who} speaks {what}, not DCP: it is relayed as it is, but nothing of it can be judged{mend}"
            );
        }
    }
}

/// As [`Hint`] does, where this end is one of the two: looks at the first bytes that came.
pub(super) fn look_at_first(bytes: &[u8]) {
    if let Some(what) = foreign(bytes) {
        let mend = if what == TLS {
            " (--upstream-tls speaks it with whom is dialled, --tls with those who dial)"
        } else {
            ""
        };
        tracing::warn!("the other end speaks {what}, where memcached's protocol is expected{mend}");
    }
}

const TLS: &str = "TLS";

/// The protocol that starts so, if it is one of those that often reach a port of memcached's by mistake.
pub(super) fn foreign(bytes: &[u8]) -> Option<&'static str> {
    const HTTP: [&[u8]; 7] = [b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"OPTIONS ", b"HTTP/1."];
    // A TLS record: handshake or alert, version 3.x.
    if matches!(bytes, [0x16 | 0x15, 0x03, 0..=4, ..]) {
        return Some(TLS);
    }
    HTTP.iter().any(|start| bytes.starts_with(start)).then_some("HTTP (was a management port meant?)")
}

#[cfg(test)]
mod tests {
    use super::foreign;

    #[test]
    fn tls_and_http_are_named_and_memcached_is_not() {
        assert!(foreign(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).is_some_and(|what| what.contains("TLS")));
        assert!(foreign(b"GET /pools HTTP/1.1\r\n").is_some_and(|what| what.contains("HTTP")));
        assert!(foreign(b"HTTP/1.1 400 Bad Request").is_some());
        assert_eq!(foreign(&[0x80, 0x1f, 0x00, 0x0b]), None);
        assert_eq!(foreign(&[0x81, 0x1f, 0x00, 0x00]), None);
        assert_eq!(foreign(b"G"), None);
        assert_eq!(foreign(b""), None);
    }
}
