use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::Quirk;
use crate::era::Era;

/// What an embedded node is told to be. The defaults are those of design.md §6.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// Whose rules it follows.
    pub era: Era,
    /// What its data, nonces and ticks are made from.
    pub seed: u64,
    /// How many vbuckets it has, all active, numbered from 0; at most 1024.
    pub vbuckets: u16,
    /// Seqnos that each vbucket has at first; at most 2^36.
    pub items: u64,
    /// Of these, how many come from disk: one disk snapshot, before the memory snapshots. None of its COMMITs is seen as
    /// such there.
    pub disk_items: u64,
    /// How long between two small memory snapshots that every vbucket makes of itself; `None` for never.
    pub interval: Option<Duration>,
    /// The historical bugs that it has.
    pub quirks: BTreeSet<Quirk>,
    /// Who may log in.
    pub user: String,
    /// With which password.
    pub password: String,
    /// The bearer token that lets in too (OAUTHBEARER); `None` offers no such login.
    pub token: Option<String>,
    /// The name of its bucket.
    pub bucket: String,
    /// The host name that it gives itself in cluster maps.
    pub host: String,
    /// The port that it gives itself in cluster maps.
    pub port: u16,
}

impl Config {
    /// The most vbuckets that a node has.
    pub const MAX_VBUCKETS: u16 = 1024;
}

impl Default for Config {
    fn default() -> Self {
        Self {
            era: Era::V7_0,
            seed: 0,
            vbuckets: 4,
            items: 10_000,
            disk_items: 96,
            interval: Some(Duration::from_millis(100)),
            quirks: BTreeSet::new(),
            user: "Administrator".to_owned(),
            password: "password".to_owned(),
            token: None,
            bucket: "default".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 11210,
        }
    }
}

impl fmt::Debug for Config {
    /// Password and token are left out (law L9).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("era", &self.era)
            .field("seed", &self.seed)
            .field("vbuckets", &self.vbuckets)
            .field("items", &self.items)
            .field("disk_items", &self.disk_items)
            .field("interval", &self.interval)
            .field("quirks", &self.quirks)
            .field("bucket", &self.bucket)
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_shown() {
        let token = Some("secret-of-mine-too".to_owned());
        let config = Config { password: "secret-of-mine".to_owned(), token, ..Config::default() };
        assert!(!format!("{config:?}").contains("secret-of-mine"));
    }
}
