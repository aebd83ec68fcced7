use std::time::Duration;

use crate::net::Sockets;
use crate::units;

/// The flags of a command that relays: what its sockets are like.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct SocketFlags {
    /// How long a dial may take, handshakes included
    #[arg(long, value_name = "DUR", env = "DCPROXY_CONNECT_TIMEOUT", default_value = "10s", value_parser = units::duration)]
    pub(super) connect_timeout: Duration,

    /// Ask an end that is silent for so long whether it is there (TCP keepalive), and give it up after as long again; or off
    #[arg(long, value_name = "DUR|off", env = "DCPROXY_KEEPALIVE", default_value = "1m", value_parser = keepalive)]
    keepalive: Keepalive,

    /// Hand over what is small at once (TCP_NODELAY): true or false
    #[arg(long, value_name = "BOOL", env = "DCPROXY_NODELAY", default_value_t = true, action = clap::ArgAction::Set)]
    nodelay: bool,

    /// Let other programs listen on the same address too (SO_REUSEPORT); the system shares out what comes
    #[arg(long, env = "DCPROXY_REUSE_PORT")]
    reuse_port: bool,
}

impl SocketFlags {
    pub(super) const fn sockets(&self) -> Sockets {
        Sockets { no_delay: self.nodelay, keepalive: self.keepalive.0, reuse_port: self.reuse_port }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Keepalive(Option<Duration>);

/// The system counts in seconds, at most 32767 of them.
const LONGEST: Duration = Duration::from_secs(32_767);

fn keepalive(text: &str) -> Result<Keepalive, String> {
    if text == "off" {
        return Ok(Keepalive(None));
    }
    match units::duration(text) {
        Ok(idle) if (Duration::from_secs(1)..=LONGEST).contains(&idle) => Ok(Keepalive(Some(idle))),
        _ => Err(format!("expected off, or a duration from 1s to 9h, found '{text}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keepalive_is_off_or_what_the_system_takes() {
        assert_eq!(keepalive("off"), Ok(Keepalive(None)));
        assert_eq!(keepalive("90s"), Ok(Keepalive(Some(Duration::from_secs(90)))));
        for text in ["", "on", "0s", "999ms", "10h", "-1s"] {
            assert_eq!(keepalive(text), Err(format!("expected off, or a duration from 1s to 9h, found '{text}'")));
        }
    }
}
