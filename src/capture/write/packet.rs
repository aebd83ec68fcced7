//! TCP segments in IP packets, with their checksums.

use std::net::IpAddr;
use std::net::SocketAddr;

/// The longest payload of one segment: with the longest headers a packet stays below 64 KiB.
pub(super) const SEGMENT: usize = 65_000;
/// The smallest snaplen: the headers of IP and TCP, and one of memcached's with its extras.
pub const MIN_SNAPLEN: u32 = 128;
const SYN: u8 = 0x02;
const HOPS: u8 = 64;
const TCP: u8 = 6;

/// One segment to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) seq: u32,
    /// What it acknowledges; a segment without an ACK has 0.
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
    pub(super) payload: &'a [u8],
}

/// The IP packet of a segment. A SYN says that windows are scaled.
pub(super) fn packet(segment: &Segment<'_>) -> Vec<u8> {
    const MSS_AND_SCALE: [u8; 8] = [2, 4, 0xfd, 0xe8, 1, 3, 3, 8];
    let options: &[u8] = if segment.flags & SYN != 0 { &MSS_AND_SCALE } else { &[] };
    let mut tcp = Vec::with_capacity(segment.payload.len().saturating_add(28));
    tcp.extend(segment.from.port().to_be_bytes());
    tcp.extend(segment.to.port().to_be_bytes());
    tcp.extend(segment.seq.to_be_bytes());
    tcp.extend(segment.ack.to_be_bytes());
    let words: u8 = if options.is_empty() { 5 } else { 7 };
    tcp.extend([words << 4, segment.flags]);
    tcp.extend(segment.window.to_be_bytes());
    tcp.extend([0; 4]); // checksum, urgent pointer
    tcp.extend_from_slice(options);
    tcp.extend_from_slice(segment.payload);
    // Both ends of a socket are of one family, but for a mapped address.
    let ends = match (segment.from.ip().to_canonical(), segment.to.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Ends::V4(from.octets(), to.octets()),
        (from, to) => Ends::V6(v6(from), v6(to)),
    };
    let len = u16::try_from(tcp.len()).unwrap_or(u16::MAX);
    let sum = checksum(&[&ends.pseudo_header(len), &tcp]);
    if let Some(place) = tcp.get_mut(16..18) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
    let mut packet = ends.header(len);
    packet.extend_from_slice(&tcp);
    packet
}

enum Ends {
    V4([u8; 4], [u8; 4]),
    V6([u8; 16], [u8; 16]),
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

impl Ends {
    fn header(&self, tcp_len: u16) -> Vec<u8> {
        match self {
            Self::V4(from, to) => {
                let [high, low] = tcp_len.saturating_add(20).to_be_bytes();
                let mut header = vec![0x45, 0, high, low, 0, 0, 0x40, 0, HOPS, TCP, 0, 0];
                header.extend(from.iter().chain(to));
                let sum = checksum(&[&header]);
                if let Some(place) = header.get_mut(10..12) {
                    place.copy_from_slice(&sum.to_be_bytes());
                }
                header
            }
            Self::V6(from, to) => {
                let [high, low] = tcp_len.to_be_bytes();
                let mut header = vec![0x60, 0, 0, 0, high, low, TCP, HOPS];
                header.extend(from.iter().chain(to));
                header
            }
        }
    }

    fn pseudo_header(&self, tcp_len: u16) -> Vec<u8> {
        let [high, low] = tcp_len.to_be_bytes();
        match self {
            Self::V4(from, to) => [&from[..], &to[..], &[0, TCP, high, low]].concat(),
            Self::V6(from, to) => [&from[..], &to[..], &[0, 0, high, low, 0, 0, 0, TCP]].concat(),
        }
    }
}

/// The Internet checksum of parts, of which only the last may have an odd length (RFC 1071).
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        for pair in part.chunks(2) {
            let word = match *pair {
                [high, low] => u16::from_be_bytes([high, low]),
                [high] => u16::from_be_bytes([high, 0]),
                _ => 0,
            };
            sum = sum.saturating_add(word.into());
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff).saturating_add(sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    fn of(from: &str, to: &str, flags: u8, payload: &[u8]) -> Vec<u8> {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        packet(&Segment { from, to, seq: 0xffff_fff0, ack: 77, flags, window: 65_535, payload })
    }

    #[test]
    fn packets_are_those_of_another_implementation() {
        for payload in [&b""[..], b"a", b"ab", &[0xff; 64_999], &[7; 65_000]] {
            let mut expected = Vec::new();
            let builder = PacketBuilder::ipv4([127, 0, 0, 1], [10, 0, 0, 2], 64).tcp(4000, 11210, 0xffff_fff0, 65_535);
            builder.ack(77).psh().write(&mut expected, payload).unwrap();
            assert_eq!(of("127.0.0.1:4000", "10.0.0.2:11210", 0x18, payload), expected);

            let mut expected = Vec::new();
            let (from, to) = ("::1".parse::<std::net::Ipv6Addr>().unwrap(), "fe80::2".parse::<std::net::Ipv6Addr>());
            let builder = PacketBuilder::ipv6(from.octets(), to.unwrap().octets(), 64);
            builder.tcp(4000, 11210, 0xffff_fff0, 65_535).ack(77).fin().write(&mut expected, payload).unwrap();
            assert_eq!(of("[::1]:4000", "[fe80::2]:11210", 0x11, payload), expected);
        }
    }

    #[test]
    fn a_syn_scales_its_window() {
        let packet = of("127.0.0.1:4000", "127.0.0.1:11210", SYN, b"");
        assert_eq!(packet.len(), 20 + 28);
        assert_eq!(checksum(&[&packet[..20]]), 0);
    }

    #[test]
    fn an_address_that_is_mapped_is_the_one_that_it_stands_for() {
        assert_eq!(
            of("[::ffff:127.0.0.1]:4000", "[::ffff:10.0.0.2]:1", 0x10, b"x"),
            of("127.0.0.1:4000", "10.0.0.2:1", 0x10, b"x")
        );
    }
}
