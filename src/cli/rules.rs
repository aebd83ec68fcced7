mod script;
mod to;

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use anyhow::{anyhow, bail};

use super::{output, transparent};
use crate::net::{Mode, Target};
use crate::verdict::ExitStatus;
use script::{Script, Taken};
use to::To;

/// Prints the firewall rules that bring connections to a transparent proxy, and their undo, for sh
///
/// As root: 'dcproxy rules ... | sh', and 'dcproxy rules ... --undo | sh'. They can be given again in the place of what they
/// were; they are in an nftables table of their own, which the undo removes. Without --to all destinations are taken.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// How the proxy is given connections: redirect or tproxy, as its own --transparent
    #[arg(long, value_name = "MODE", env = "DCPROXY_TRANSPARENT")]
    transparent: Mode,

    /// Where the proxy listens, as its own --listen; [::]:PORT takes IPv4 and IPv6
    #[arg(long, value_name = "ADDR", env = "DCPROXY_LISTEN", value_parser = Target::to_listen_on,
        required_unless_present = "undo")]
    listen: Option<Target>,

    /// A node to take the connections to, with a port or without: 10.0.0.5, 10.0.0.0/24, [fd00::5]:11210, a name; repeatable
    #[arg(long, value_name = "HOST[:PORT]", env = "DCPROXY_TO")]
    to: Vec<To>,

    /// Ports to take connections to, where --to names none
    #[arg(long, value_name = "LIST", env = "DCPROXY_PORTS", default_value = "11210,11207", value_delimiter = ',',
        value_parser = clap::value_parser!(u16).range(1..))]
    ports: Vec<u16>,

    /// Take only what comes in by this interface: that of the consumers; repeatable
    #[arg(long, value_name = "NAME", env = "DCPROXY_INTERFACE", value_parser = interface)]
    interface: Vec<String>,

    /// Take the connections that this machine's own programs make, too (redirect)
    #[arg(long, env = "DCPROXY_LOCAL")]
    local: bool,

    /// The mark of what the proxy dials, as its own --mark. What tproxy delivers here has the next one
    #[arg(long, value_name = "N", env = "DCPROXY_MARK", value_parser = transparent::mark, default_value = "0xdcb0")]
    mark: u32,

    /// The name of the nftables table [default: dcproxy_redirect or dcproxy_tproxy]
    #[arg(long, value_name = "NAME", env = "DCPROXY_TABLE", value_parser = table)]
    table: Option<String>,

    /// Print only the undo
    #[arg(long, env = "DCPROXY_UNDO")]
    undo: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let text = args.text()?;
    let mut stdout = output::stdout();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(ExitStatus::Pass)
}

impl Args {
    fn text(&self) -> anyhow::Result<String> {
        let mode = self.transparent;
        let (mark, table) = (self.mark, self.table.clone().unwrap_or_else(|| format!("dcproxy_{mode}")));
        let delivered =
            mark.checked_add(1).ok_or_else(|| anyhow!("expected a --mark below 0xffffffff, found {mark:#x}"))?;
        let Some(listen) = self.listen.as_ref().filter(|_| !self.undo) else {
            return Ok(script::undo(mode, &table, delivered));
        };
        let at = self.listener(listen)?;
        let script = Script {
            mode,
            at,
            taken: self.taken(at)?,
            interfaces: self.interface.clone(),
            forwarded: mode == Mode::Tproxy || !at.ip().is_loopback(),
            local: self.local,
            mark,
            delivered,
            table,
        };
        Ok(script.to_string())
    }

    /// The proxy's address, if connections can be brought there.
    fn listener(&self, listen: &Target) -> anyhow::Result<SocketAddr> {
        let ip: IpAddr = listen.host.parse().map_err(|_| anyhow!("--listen: expected an address, found '{listen}'"))?;
        let at = SocketAddr::new(ip, listen.port);
        if at.port() == 0 {
            bail!("--listen: expected the port that the proxy listens on, found 0: give both a port of their own");
        }
        match self.transparent {
            Mode::Tproxy if self.local => {
                bail!("--local is for --transparent redirect: tproxy can take only what comes in from elsewhere")
            }
            Mode::Tproxy if self.mark == 0 => bail!("--mark: tproxy needs one, found 0"),
            Mode::Redirect if self.local && self.mark == 0 => {
                bail!("--mark: --local needs one, found 0: nothing else tells the proxy's own connections from others")
            }
            Mode::Redirect if ip.is_loopback() && !self.local => bail!(
                "a proxy that listens on {at} is out of reach for what comes in from elsewhere: let it listen on {}:{}, or \
                 give --local for the connections of this machine's own programs",
                if at.is_ipv4() { "0.0.0.0" } else { "[::]" },
                at.port()
            ),
            Mode::Redirect if ip.is_loopback() && !self.interface.is_empty() => {
                bail!(
                    "--interface is for what comes in, and to {at} nothing does: leave it out, or listen on another address"
                )
            }
            Mode::Redirect | Mode::Tproxy => Ok(at),
        }
    }

    /// What is taken, by family and ports.
    fn taken(&self, at: SocketAddr) -> anyhow::Result<Vec<Taken>> {
        let v4 = at.is_ipv4() || at.ip().is_unspecified();
        let v6 = at.is_ipv6();
        let mut taken = Vec::new();
        if self.to.is_empty() {
            taken.extend([(v4, false), (v6, true)].into_iter().filter(|(served, _)| *served).map(|(_, v6)| Taken {
                v6,
                to: Vec::new(),
                ports: self.ports.clone(),
            }));
        }
        for to in &self.to {
            let ports = to.port.map_or_else(|| self.ports.clone(), |port| vec![port]);
            let mut reached = false;
            for (is_v6, net) in to.nets()? {
                if (is_v6 && !v6) || (!is_v6 && !v4) {
                    continue;
                }
                reached = true;
                match taken.iter_mut().find(|one: &&mut Taken| one.v6 == is_v6 && one.ports == ports) {
                    Some(one) if one.to.contains(&net) => {}
                    Some(one) => one.to.push(net),
                    None => taken.push(Taken { v6: is_v6, to: vec![net], ports: ports.clone() }),
                }
            }
            if !reached {
                let (has, lacks) = if v6 { ("IPv6", "IPv4") } else { ("IPv4", "IPv6") };
                bail!(
                    "--to {to}: it is of {lacks}, and {at} takes {has} alone: let the proxy listen on [::]:{}",
                    at.port()
                );
            }
        }
        Ok(taken)
    }
}

/// A name that the shell and nft take as it is; with a * at its end it stands for several.
fn interface(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-@:".contains(c);
    let name = text.strip_suffix('*').unwrap_or(text);
    if name.is_empty() || text.len() > 15 || !name.chars().all(plain) {
        return Err(format!("expected the name of a network interface, such as eth0 or veth*, found '{text}'"));
    }
    Ok(text.to_owned())
}

fn table(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) || !text.chars().all(plain) || text.len() > 31 {
        return Err(format!("expected a name of letters, digits and _, such as dcproxy_redirect, found '{text}'"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
