//! The text of the rules: commands for sh that can be given again and again.
//!
//! Source: nft(8), `Documentation/networking/tproxy.rst` of Linux.

use std::fmt;
use std::net::SocketAddr;

use crate::net::Mode;

/// The commands that bring connections to a proxy.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) mode: Mode,
    /// Where the proxy listens.
    pub(super) at: SocketAddr,
    pub(super) taken: Vec<Taken>,
    /// Where connections come in; anywhere if there is none.
    pub(super) interfaces: Vec<String>,
    /// Take what comes in from elsewhere.
    pub(super) forwarded: bool,
    /// Take what the machine's own programs dial.
    pub(super) local: bool,
    /// The mark of what the proxy dials; 0 for none.
    pub(super) mark: u32,
    /// The mark of what is delivered here though it is for others; also the number of the routing table that says so.
    pub(super) delivered: u32,
    pub(super) table: String,
}

/// Destinations of one family (all of it if there are none) with ports that they have in common.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) v6: bool,
    pub(super) to: Vec<String>,
    pub(super) ports: Vec<u16>,
}

impl Taken {
    fn matches(&self) -> String {
        let ports = list(self.ports.iter().map(ToString::to_string));
        match (self.v6, self.to.is_empty()) {
            (false, true) => format!("meta nfproto ipv4 tcp dport {ports}"),
            (true, true) => format!("meta nfproto ipv6 tcp dport {ports}"),
            (false, false) => format!("ip daddr {} tcp dport {ports}", list(self.to.iter().cloned())),
            (true, false) => format!("ip6 daddr {} tcp dport {ports}", list(self.to.iter().cloned())),
        }
    }

    const fn family(&self) -> &'static str {
        if self.v6 { "ip6" } else { "ip" }
    }
}

/// A set of nft's.
fn list(elements: impl Iterator<Item = String>) -> String {
    format!("{{ {} }}", elements.collect::<Vec<_>>().join(", "))
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, at, table, mark, delivered, .. } = self;
        writeln!(f, "# For: dcproxy proxy --listen {at} --transparent {mode} --mark {mark:#x}")?;
        writeln!(f, "set -e")?;
        writeln!(f, "nft -f - <<'RULES'")?;
        // What was there of it before goes in the same instant.
        writeln!(f, "table inet {table}\ndelete table inet {table}")?;
        writeln!(f, "table inet {table} {{")?;
        match mode {
            Mode::Redirect => self.redirect(f)?,
            Mode::Tproxy => self.tproxy(f)?,
        }
        writeln!(f, "}}\nRULES")?;
        if *mode == Mode::Tproxy {
            for ip in self.families() {
                let [rule, route] = routing(delivered);
                writeln!(f, "{ip} rule del {rule} 2>/dev/null || true")?;
                writeln!(f, "{ip} rule add {rule}")?;
                writeln!(f, "{ip} route replace {route}")?;
            }
        }
        writeln!(f, "# To undo it (dcproxy rules ... --undo | sh):")?;
        for line in undo(*mode, table, *delivered).lines() {
            writeln!(f, "# {line}")?;
        }
        Ok(())
    }
}

impl Script {
    fn redirect(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.forwarded {
            chain(f, "prerouting", "nat hook prerouting priority -100")?;
            self.leave_marked(f)?;
            // What this machine's own programs dial comes by here too if it is for the machine itself.
            writeln!(f, "\t\tiifname \"lo\" return")?;
            for taken in &self.taken {
                writeln!(f, "\t\t{}{} {}", self.interface(), taken.matches(), self.sent_to(taken))?;
            }
            writeln!(f, "\t}}")?;
        }
        if self.local {
            chain(f, "output", "nat hook output priority -100")?;
            self.leave_marked(f)?;
            for taken in &self.taken {
                writeln!(f, "\t\t{} {}", taken.matches(), self.sent_to(taken))?;
            }
            writeln!(f, "\t}}")?;
        }
        Ok(())
    }

    fn tproxy(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = format!("notrack meta mark set {:#x} accept", self.delivered);
        // Before connection tracking: the proxy's two connections have the same addresses, and would be taken for one.
        chain(f, "prerouting", "filter hook prerouting priority -300")?;
        // What belongs to a connection that is there, such as the answers to what the proxy dialled.
        writeln!(f, "\t\tmeta l4proto tcp socket transparent 1 {set}")?;
        for taken in &self.taken {
            let at = if self.at.ip().is_unspecified() { format!(":{}", self.at.port()) } else { self.at.to_string() };
            writeln!(f, "\t\t{}{} tproxy {} to {at} {set}", self.interface(), taken.matches(), taken.family())?;
        }
        writeln!(f, "\t}}")?;
        chain(f, "output", "filter hook output priority -300")?;
        writeln!(f, "\t\tmeta mark {:#x} notrack\n\t}}", self.mark)
    }

    fn leave_marked(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mark == 0 { Ok(()) } else { writeln!(f, "\t\tmeta mark {:#x} return", self.mark) }
    }

    fn interface(&self) -> String {
        match self.interfaces.as_slice() {
            [] => String::new(),
            [one] => format!("iifname \"{one}\" "),
            several => format!("iifname {} ", list(several.iter().map(|name| format!("\"{name}\"")))),
        }
    }

    /// The machine's own address where that is where the proxy listens, else the proxy's.
    fn sent_to(&self, taken: &Taken) -> String {
        let ip = self.at.ip();
        if ip.is_unspecified() || (ip.is_loopback() && ["127.0.0.1", "::1"].contains(&ip.to_string().as_str())) {
            format!("redirect to :{}", self.at.port())
        } else {
            format!("dnat {} to {}", taken.family(), self.at)
        }
    }

    /// The commands for the families that are taken.
    fn families(&self) -> impl Iterator<Item = &'static str> {
        [(false, "ip -4"), (true, "ip -6")]
            .into_iter()
            .filter(|(v6, _)| self.taken.iter().any(|taken| taken.v6 == *v6))
            .map(|(_, ip)| ip)
    }
}

fn chain(f: &mut fmt::Formatter<'_>, name: &str, what: &str) -> fmt::Result {
    writeln!(f, "\tchain {name} {{\n\t\ttype {what}; policy accept;")
}

/// The rule that looks into the routing table, and the route in it by which everything is delivered here.
fn routing(delivered: &u32) -> [String; 2] {
    [format!("fwmark {delivered:#x} lookup {delivered}"), format!("local default dev lo table {delivered}")]
}

/// The commands that take everything back; nothing is wrong where it is not there.
pub(super) fn undo(mode: Mode, table: &str, delivered: u32) -> String {
    let mut text = format!("nft 'add table inet {table}; delete table inet {table}'\n");
    if mode == Mode::Tproxy {
        let [rule, route] = routing(&delivered);
        for ip in ["ip -4", "ip -6"] {
            text.push_str(&format!("{ip} rule del {rule} 2>/dev/null || true\n"));
            text.push_str(&format!("{ip} route del {route} 2>/dev/null || true\n"));
        }
    }
    text
}
