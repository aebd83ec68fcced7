use anyhow::bail;

use crate::net::{Mode, Transparent};

/// The flags of a proxy that the kernel brings connections to.
#[derive(clap::Args, Debug)]
pub(super) struct Transparently {
    /// Dial what each dialler dialled before the kernel brought it here: redirect, or tproxy (each end sees the other's
    /// address); 'dcproxy rules' prints the rules (Linux)
    #[arg(long, value_name = "MODE", env = "DCPROXY_TRANSPARENT", conflicts_with = "upstream")]
    transparent: Option<Mode>,

    /// Mark on the packets that the proxy dials with, so that rules can leave them alone; 0 for none [default: 0xdcb0]
    #[arg(long, value_name = "N", env = "DCPROXY_MARK", value_parser = mark)]
    mark: Option<u32>,
}

impl Transparently {
    /// What finds the destinations, if that is asked for.
    pub(super) fn transparent(&self) -> anyhow::Result<Option<Transparent>> {
        match (self.transparent, self.mark) {
            (Some(mode), mark) => Ok(Some(Transparent::new(mode, mark.unwrap_or(Transparent::MARK))?)),
            (None, None) => Ok(None),
            // clap does not hold it against a flag that cannot be given beside --upstream.
            (None, Some(mark)) => bail!("--mark {mark:#x}: expected --transparent MODE with it, found none"),
        }
    }
}

/// A mark as nft and ip take it: decimal, or hexadecimal after 0x.
pub(super) fn mark(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+')),
        None => text.parse().ok().filter(|_| !text.starts_with('+')),
    };
    parsed.ok_or_else(|| format!("expected a mark from 0 to 0xffffffff, such as 0xdcb0, found '{text}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_decimal_or_hexadecimal() {
        for (text, expected) in [("0", 0), ("56496", 0xdcb0), ("0xdcb0", 0xdcb0), ("0xFFFFFFFF", u32::MAX)] {
            assert_eq!(mark(text), Ok(expected));
        }
        for text in ["", "dcb0", "0x", "0x+1", "+1", "-1", "4294967296"] {
            let told = format!("expected a mark from 0 to 0xffffffff, such as 0xdcb0, found '{text}'");
            assert_eq!(mark(text), Err(told));
        }
    }
}
