use clap::Parser;

use super::*;

#[derive(Parser, Debug)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn text(flags: &str) -> Result<String, String> {
    let parsed = Command::try_parse_from(std::iter::once("rules").chain(flags.split_whitespace()));
    parsed.map_err(|error| error.to_string())?.args.text().map_err(|error| format!("{error:#}"))
}

#[test]
fn redirect_for_what_comes_in() {
    let found = text(
        "--transparent redirect --listen [::]:11999 --interface eth0 --to 10.0.0.5 --to 10.0.1.0/24 --to 10.0.0.5 \
         --to fd00::5 --to 10.0.0.7:11211",
    );
    let expected = "\
# For: dcproxy proxy --listen [::]:11999 --transparent redirect --mark 0xdcb0
set -e
nft -f - <<'RULES'
table inet dcproxy_redirect
delete table inet dcproxy_redirect
table inet dcproxy_redirect {
	chain prerouting {
		type nat hook prerouting priority -100; policy accept;
		meta mark 0xdcb0 return
		iifname \"lo\" return
		iifname \"eth0\" ip daddr { 10.0.0.5, 10.0.1.0/24 } tcp dport { 11210, 11207 } redirect to :11999
		iifname \"eth0\" ip6 daddr { fd00::5 } tcp dport { 11210, 11207 } redirect to :11999
		iifname \"eth0\" ip daddr { 10.0.0.7 } tcp dport { 11211 } redirect to :11999
	}
}
RULES
# To undo it (dcproxy rules ... --undo | sh):
# nft 'add table inet dcproxy_redirect; delete table inet dcproxy_redirect'
";
    assert_eq!(found, Ok(expected.to_owned()));
}

#[test]
fn redirect_for_what_the_machine_itself_dials() {
    let found = text("--transparent redirect --listen 11999 --local --ports 11210 --table mine --mark 7");
    let expected = "\
# For: dcproxy proxy --listen 127.0.0.1:11999 --transparent redirect --mark 0x7
set -e
nft -f - <<'RULES'
table inet mine
delete table inet mine
table inet mine {
	chain output {
		type nat hook output priority -100; policy accept;
		meta mark 0x7 return
		meta nfproto ipv4 tcp dport { 11210 } redirect to :11999
	}
}
RULES
# To undo it (dcproxy rules ... --undo | sh):
# nft 'add table inet mine; delete table inet mine'
";
    assert_eq!(found, Ok(expected.to_owned()));
    // A proxy with an address of its own is sent what it is to have by that address.
    let found = text("--transparent redirect --listen 10.0.0.1:11999 --local --mark 0xdcb0").expect("printed");
    for line in [
        "\t\tmeta nfproto ipv4 tcp dport { 11210, 11207 } dnat ip to 10.0.0.1:11999\n",
        "\tchain prerouting {\n",
        "\tchain output {\n",
    ] {
        assert!(found.contains(line), "{line} in {found}");
    }
    let found = text("--transparent redirect --listen [fd00::1]:11999 --mark 0").expect("printed");
    assert!(found.contains(
        "\t\tiifname \"lo\" return\n\t\tmeta nfproto ipv6 tcp dport { 11210, 11207 } dnat ip6 to [fd00::1]:11999\n"
    ));
    assert!(!found.contains("meta mark"), "{found}");
}

const UNDO_TPROXY: &str = "\
nft 'add table inet dcproxy_tproxy; delete table inet dcproxy_tproxy'
ip -4 rule del fwmark 0xdcb1 lookup 56497 2>/dev/null || true
ip -4 route del local default dev lo table 56497 2>/dev/null || true
ip -6 rule del fwmark 0xdcb1 lookup 56497 2>/dev/null || true
ip -6 route del local default dev lo table 56497 2>/dev/null || true
";

#[test]
fn tproxy_for_both_families_and_its_undo() {
    let found = text("--transparent tproxy --listen [::]:11999 --interface lan0 --interface wg*").expect("printed");
    let expected = "\
# For: dcproxy proxy --listen [::]:11999 --transparent tproxy --mark 0xdcb0
set -e
nft -f - <<'RULES'
table inet dcproxy_tproxy
delete table inet dcproxy_tproxy
table inet dcproxy_tproxy {
	chain prerouting {
		type filter hook prerouting priority -300; policy accept;
		meta l4proto tcp socket transparent 1 notrack meta mark set 0xdcb1 accept
		iifname { \"lan0\", \"wg*\" } meta nfproto ipv4 tcp dport { 11210, 11207 } tproxy ip to :11999 notrack meta mark set \
0xdcb1 accept
		iifname { \"lan0\", \"wg*\" } meta nfproto ipv6 tcp dport { 11210, 11207 } tproxy ip6 to :11999 notrack meta mark set \
0xdcb1 accept
	}
	chain output {
		type filter hook output priority -300; policy accept;
		meta mark 0xdcb0 notrack
	}
}
RULES
ip -4 rule del fwmark 0xdcb1 lookup 56497 2>/dev/null || true
ip -4 rule add fwmark 0xdcb1 lookup 56497
ip -4 route replace local default dev lo table 56497
ip -6 rule del fwmark 0xdcb1 lookup 56497 2>/dev/null || true
ip -6 rule add fwmark 0xdcb1 lookup 56497
ip -6 route replace local default dev lo table 56497
# To undo it (dcproxy rules ... --undo | sh):
";
    assert!(found.starts_with(expected), "{found}");
    let undo: String = found
        .lines()
        .skip(expected.lines().count())
        .map(|line| line.trim_start_matches("# ").to_owned() + "\n")
        .collect();
    assert_eq!(undo, UNDO_TPROXY);
    assert_eq!(text("--transparent tproxy --undo"), Ok(UNDO_TPROXY.to_owned()));
    assert_eq!(text("--transparent tproxy --listen 127.0.0.1:5 --to 10.0.0.5 --undo"), Ok(UNDO_TPROXY.to_owned()));
    // A listener of one family has rules and routes of that family alone.
    let found = text("--transparent tproxy --listen 127.0.0.1:11999").expect("printed");
    assert!(found.contains("tproxy ip to 127.0.0.1:11999 ") && !found.contains("\nip -6 "), "{found}");
}

#[test]
fn the_manual_shows_what_is_printed() {
    let manual = include_str!("../../../docs/INSERTION.md");
    for flags in [
        "--transparent redirect --listen 0.0.0.0:11999 --interface clients",
        "--transparent tproxy --listen 127.0.0.1:11999 --interface clients",
    ] {
        assert!(manual.contains(&format!("dcproxy rules {flags} | ")), "{flags}");
        let printed = text(flags).expect("printed");
        assert!(manual.contains(&format!("```text\n{printed}```\n")), "{printed}");
    }
}

#[test]
fn what_cannot_work_is_refused_with_what_would() {
    for (flags, told) in [
        ("--transparent nat --listen 1", "expected redirect or tproxy, found 'nat'"),
        ("--transparent redirect --listen 0.0.0.0:0", "--listen: expected the port that the proxy listens on, found 0"),
        ("--transparent redirect --listen proxy:1", "--listen: expected an address, found 'proxy:1'"),
        ("--transparent redirect --listen 11999", "let it listen on 0.0.0.0:11999, or give --local"),
        ("--transparent redirect --listen [::1]:11999", "let it listen on [::]:11999, or give --local"),
        ("--transparent redirect --listen 11999 --local --interface eth0", "--interface is for what comes in"),
        ("--transparent redirect --listen 0.0.0.0:1 --local --mark 0", "--mark: --local needs one, found 0"),
        ("--transparent tproxy --listen 11999 --local", "--local is for --transparent redirect"),
        ("--transparent tproxy --listen 11999 --mark 0", "--mark: tproxy needs one, found 0"),
        (
            "--transparent tproxy --listen 11999 --mark 0xffffffff",
            "expected a --mark below 0xffffffff, found 0xffffffff",
        ),
        (
            "--transparent tproxy --listen 11999 --to fd00::5",
            "--to fd00::5: it is of IPv6, and 127.0.0.1:11999 takes IPv4 alone: let the proxy listen on [::]:11999",
        ),
        ("--transparent tproxy --listen [::1]:11999 --to 10.0.0.5", "it is of IPv4, and [::1]:11999 takes IPv6 alone"),
        ("--transparent tproxy --listen 1 --ports 11210,0", "0 is not in 1..=65535"),
        ("--transparent tproxy --listen 1 --interface eth0;reboot", "expected the name of a network interface"),
        ("--transparent tproxy --listen 1 --interface a\"b", "expected the name of a network interface"),
        ("--transparent tproxy --listen 1 --table x'y", "expected a name of letters, digits and _"),
        ("--transparent tproxy", "--listen <ADDR>"),
    ] {
        let error = text(flags).expect_err(flags);
        assert!(error.contains(told), "{flags}: {error}");
    }
}
