//! TCP segments in IP packets, with their checksums.

use std::net::IpAddr;
use std::net::SocketAddr;

/// The longest payload of one segment: with the longest headers a packet stays below 64 KiB.
pub(super) const SEGMENT: usize = 65_000;
/// Bytes of the headers of IP and TCP before a payload, at the most.
pub(super) const LONGEST_HEADERS: usize = 60;
/// The smallest snaplen: the headers of IP and TCP, and one of memcached's with its extras.
pub const MIN_SNAPLEN: u32 = 128;
const SYN: u8 = 0x02;
const HOPS: u8 = 64;
const TCP: u8 = 6;

/// One segment to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) seq: u32,
    /// What it acknowledges; a segment without an ACK has 0.
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
    pub(super) payload_len: usize,
    /// As [`sum`] has it.
    pub(super) payload_sum: u64,
}

impl Segment {
    /// Bytes of what is before the payload.
    pub(super) fn headers_len(&self) -> usize {
        let ip = if let Ends::V4(..) = self.ends() { 20 } else { 40 };
        self.options().len().saturating_add(20).saturating_add(ip)
    }

    const fn options(&self) -> &'static [u8] {
        const MSS_AND_SCALE: [u8; 8] = [2, 4, 0xfd, 0xe8, 1, 3, 3, 8];
        if self.flags & SYN != 0 { &MSS_AND_SCALE } else { &[] }
    }

    fn ends(&self) -> Ends {
        // Both ends of a socket are of one family, but for a mapped address.
        match (self.from.ip().to_canonical(), self.to.ip().to_canonical()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => Ends::V4(from.octets(), to.octets()),
            (from, to) => Ends::V6(v6(from), v6(to)),
        }
    }

    /// Appends what is before the payload in its packet: the headers of IP and TCP. A SYN says that windows are scaled.
    pub(super) fn headers(&self, to: &mut Vec<u8>) {
        let (options, ends) = (self.options(), self.ends());
        let len = self.payload_len.saturating_add(20).saturating_add(options.len());
        let len = u16::try_from(len).unwrap_or(u16::MAX);
        let words: u8 = if options.is_empty() { 5 } else { 7 };
        let [f, g] = self.from.port().to_be_bytes();
        let [t, u] = self.to.port().to_be_bytes();
        let [s0, s1, s2, s3] = self.seq.to_be_bytes();
        let [a0, a1, a2, a3] = self.ack.to_be_bytes();
        let [w, x] = self.window.to_be_bytes();
        let tcp = |c: u8, d: u8| {
            // Behind the window: the checksum, the urgent pointer.
            [f, g, t, u, s0, s1, s2, s3, a0, a1, a2, a3, words << 4, self.flags, w, x, c, d, 0, 0]
        };
        let parts = [ends.pseudo_header_sum(len), sum(&tcp(0, 0)), sum(options), self.payload_sum];
        let [c, d] = checksum(parts.into_iter().fold(0, u64::wrapping_add));
        ends.header(len, to);
        to.extend_from_slice(&tcp(c, d));
        to.extend_from_slice(options);
    }
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
    fn header(&self, tcp_len: u16, to: &mut Vec<u8>) {
        match self {
            Self::V4([a, b, c, d], [e, f, g, h]) => {
                let [high, low] = tcp_len.saturating_add(20).to_be_bytes();
                let ip =
                    |x: u8, y: u8| [0x45, 0, high, low, 0, 0, 0x40, 0, HOPS, TCP, x, y, *a, *b, *c, *d, *e, *f, *g, *h];
                let [x, y] = checksum(sum(&ip(0, 0)));
                to.extend_from_slice(&ip(x, y));
            }
            Self::V6(source, destination) => {
                let [high, low] = tcp_len.to_be_bytes();
                to.extend_from_slice(&[0x60, 0, 0, 0, high, low, TCP, HOPS]);
                to.extend_from_slice(source);
                to.extend_from_slice(destination);
            }
        }
    }

    fn pseudo_header_sum(&self, tcp_len: u16) -> u64 {
        let [high, low] = tcp_len.to_be_bytes();
        let rest = sum(&[0, TCP, high, low]);
        match self {
            Self::V4(from, to) => sum(from).wrapping_add(sum(to)).wrapping_add(rest),
            Self::V6(from, to) => sum(from).wrapping_add(sum(to)).wrapping_add(rest),
        }
    }
}

/// What the Internet checksum of bytes is made of: those of parts, of which only the last has an odd length, are added up
/// (RFC 1071 §2, which tells too that the order of bytes in a word does not matter, nor how many words are taken at once).
pub(super) fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    for (place, byte) in last.iter_mut().zip(rest) {
        *place = *byte;
    }
    let halves = |word: [u8; 8]| {
        let word = u64::from_le_bytes(word);
        (word & 0xffff_ffff).wrapping_add(word >> 32)
    };
    words.iter().fold(halves(last), |sum, word| sum.wrapping_add(halves(*word)))
}

/// The Internet checksum, as it stands in a header.
fn checksum(mut sum: u64) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum & 0xffff).wrapping_add(sum >> 16);
    }
    (!u16::try_from(sum).unwrap_or_default()).to_le_bytes()
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    fn of(from: &str, to: &str, flags: u8, payload: &[u8]) -> Vec<u8> {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        let (payload_len, payload_sum) = (payload.len(), sum(payload));
        let segment = Segment { from, to, seq: 0xffff_fff0, ack: 77, flags, window: 65_535, payload_len, payload_sum };
        let mut packet = Vec::new();
        segment.headers(&mut packet);
        assert_eq!(packet.len(), segment.headers_len());
        packet.extend_from_slice(payload);
        packet
    }

    #[test]
    fn packets_are_those_of_another_implementation() {
        let mixed: Vec<u8> = (0..65_000_u32).map(|n| n.wrapping_mul(0x9e37_79b1).to_be_bytes()[0]).collect();
        for payload in [&b""[..], b"a", b"ab", &mixed[1..10], &mixed, &mixed[1..], &[0xff; 64_999], &[7; 65_000]] {
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
        assert_eq!(checksum(sum(&packet[..20])), [0, 0]);
    }

    #[test]
    fn an_address_that_is_mapped_is_the_one_that_it_stands_for() {
        assert_eq!(
            of("[::ffff:127.0.0.1]:4000", "[::ffff:10.0.0.2]:1", 0x10, b"x"),
            of("127.0.0.1:4000", "10.0.0.2:1", 0x10, b"x")
        );
    }
}
