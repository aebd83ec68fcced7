use std::fmt;

/// A node's host name or address, without brackets, and a port of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The host name, or the address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// What stands in maps for the host that the client has dialled.
pub(super) const DIALLED_HOST: &str = "$HOST";

impl Place {
    /// Reads `HOST:PORT` or `[::1]:PORT`, as maps have them; `$HOST` is a host like others.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = bare(host);
        (!host.is_empty()).then_some(())?;
        Some(Self { host: host.to_owned(), port: port.parse().ok()? })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A host without the brackets that an IPv6 address may have.
pub(super) fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_shown_with_brackets_where_they_need_some() {
        for text in ["node-1.example:11210", "10.0.0.1:8091", "[::1]:11210", "$HOST:11210"] {
            assert_eq!(Place::read(text).unwrap().to_string(), text);
        }
        assert_eq!(Place::read("[fd00::7]:1"), Some(Place { host: "fd00::7".to_owned(), port: 1 }));
        for text in ["", "node", ":11210", "[]:1", "node:", "node:70000"] {
            assert_eq!(Place::read(text), None, "{text}");
        }
    }
}
