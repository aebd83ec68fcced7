use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use etherparse::EtherType;
use etherparse::IpNumber;
use etherparse::Ipv6ExtensionSlice;
use etherparse::LaxNetSlice;
use etherparse::LaxSlicedPacket;
use etherparse::ether_type;

use super::fragments::Fragment;
use super::link;
use super::link::Link;

/// What a packet holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Sliced<'a> {
    /// Part of a TCP stream.
    Tcp(Segment<'a>),
    /// A fragment of an IP packet that holds a part of a TCP segment.
    Fragment(Fragment<'a>),
    /// Something that is not TCP over IP, or of which too little was captured to tell.
    Other,
    /// A link type that is not read.
    UnknownLink,
}

/// One TCP segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Segment<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) seq: u32,
    pub(super) ack: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) payload: &'a [u8],
    /// Bytes of payload behind `payload` that the segment had, but the capture has not.
    pub(super) missing: u32,
}

/// Finds the TCP segment in a packet of `wire_len` bytes, of which `bytes` were captured.
pub(super) fn slice(link: u16, wire_len: u32, bytes: &[u8]) -> Sliced<'_> {
    let (kind, net) = match link::strip(link, bytes) {
        Link::Ipv4(net) => (ether_type::IPV4, net),
        Link::Ipv6(net) => (ether_type::IPV6, net),
        Link::Other => return Sliced::Other,
        Link::Unknown => return Sliced::UnknownLink,
    };
    if let Some(segment) = plain(kind, net) {
        return Sliced::Tcp(segment);
    }
    let uncaptured = wire_len.saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    odd(kind, net, uncaptured).unwrap_or(Sliced::Other)
}

/// Packets as nearly all are: whole, without options, in one piece. Everything else is looked at by [`odd`], which says the
/// same of these.
fn plain(kind: EtherType, bytes: &[u8]) -> Option<Segment<'_>> {
    const TCP: u8 = IpNumber::TCP.0;
    if kind == ether_type::IPV4 {
        let &[0x45, _, l0, l1, _, _, f0, f1, _, TCP, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = bytes.first_chunk()?
        else {
            return None;
        };
        // Not the first fragment, or more to come.
        if u16::from_be_bytes([f0, f1]) & 0x3fff != 0 {
            return None;
        }
        let payload = bytes.get(20..u16::from_be_bytes([l0, l1]).into())?;
        return tcp(Ipv4Addr::new(s0, s1, s2, s3).into(), Ipv4Addr::new(d0, d1, d2, d3).into(), payload, 0);
    }
    let (&[v, _, _, _, l0, l1, TCP, _], rest) = bytes.split_first_chunk()? else { return None };
    let (from, rest) = rest.split_first_chunk::<16>()?;
    let (to, rest) = rest.split_first_chunk::<16>()?;
    let len = u16::from_be_bytes([l0, l1]);
    if v >> 4 != 6 || len == 0 {
        return None;
    }
    tcp(Ipv6Addr::from(*from).into(), Ipv6Addr::from(*to).into(), rest.get(..len.into())?, 0)
}

/// Any packet, also one that is cut, has options, says nothing of its length, or is a fragment.
fn odd(kind: EtherType, bytes: &[u8], uncaptured: u32) -> Option<Sliced<'_>> {
    let sliced = LaxSlicedPacket::from_ether_type(kind, bytes);
    let net = sliced.net.as_ref()?;
    let payload = net.ip_payload_ref()?;
    let (from, to, claimed, here): (IpAddr, IpAddr, usize, usize) = match net {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            let authentication = ip.extensions().auth.as_ref().map_or(0, |auth| auth.slice().len());
            let headers = header.slice().len().saturating_add(authentication);
            (
                header.source_addr().into(),
                header.destination_addr().into(),
                header.total_len().into(),
                headers.saturating_add(payload.payload.len()),
            )
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header();
            (
                header.source_addr().into(),
                header.destination_addr().into(),
                usize::from(header.payload_length()).saturating_add(header.slice().len()),
                header
                    .slice()
                    .len()
                    .saturating_add(ip.extensions().slice().len())
                    .saturating_add(payload.payload.len()),
            )
        }
        LaxNetSlice::Arp(_) => return None,
    };
    if payload.ip_number != IpNumber::TCP {
        return None;
    }
    if payload.fragmented {
        let (id, offset, more) = place(net)?;
        let whole = !payload.incomplete;
        return Some(Sliced::Fragment(Fragment { from, to, id, offset, more, bytes: payload.payload, whole }));
    }
    // A length of 0 is what a capture has of a segment that the network card cuts up later.
    let missing = if payload.incomplete {
        u32::try_from(claimed.saturating_sub(here)).unwrap_or(u32::MAX)
    } else if payload.len_source == etherparse::LenSource::Slice {
        uncaptured
    } else {
        0
    };
    tcp(from, to, payload.payload, missing).map(Sliced::Tcp)
}

/// Of a fragment: which packet it belongs to, where in it, and whether more follows.
fn place(net: &LaxNetSlice<'_>) -> Option<(u32, usize, bool)> {
    match net {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            let offset = header.fragments_offset().byte_offset();
            Some((header.identification().into(), offset.into(), header.more_fragments()))
        }
        LaxNetSlice::Ipv6(ip) => ip.extensions().clone().into_iter().find_map(|extension| match extension {
            Ipv6ExtensionSlice::Fragment(header) => {
                let offset = header.fragment_offset().byte_offset();
                Some((header.identification(), offset.into(), header.more_fragments()))
            }
            Ipv6ExtensionSlice::HopByHop(_)
            | Ipv6ExtensionSlice::Routing(_)
            | Ipv6ExtensionSlice::DestinationOptions(_)
            | Ipv6ExtensionSlice::Authentication(_) => None,
        }),
        LaxNetSlice::Arp(_) => None,
    }
}

/// Reads the fixed part of a TCP header by itself: a small snaplen cuts the options off, and they are not needed.
pub(super) fn tcp(from: IpAddr, to: IpAddr, bytes: &[u8], missing: u32) -> Option<Segment<'_>> {
    let &[s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, offset, flags, ..] = bytes.first_chunk::<20>()?;
    let header = usize::from(offset >> 4).saturating_mul(4);
    if header < 20 {
        return None;
    }
    let cut_header = u32::try_from(header.saturating_sub(bytes.len())).unwrap_or(u32::MAX);
    Some(Segment {
        from: SocketAddr::new(from, u16::from_be_bytes([s0, s1])),
        to: SocketAddr::new(to, u16::from_be_bytes([d0, d1])),
        seq: u32::from_be_bytes([q0, q1, q2, q3]),
        ack: (flags & 0x10 != 0).then_some(u32::from_be_bytes([a0, a1, a2, a3])),
        syn: flags & 0x02 != 0,
        fin: flags & 0x01 != 0,
        rst: flags & 0x04 != 0,
        payload: bytes.get(header..).unwrap_or_default(),
        missing: missing.saturating_sub(cut_header),
    })
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::capture::testing::ethernet;
    use crate::capture::testing::tcp as packet;

    /// What [`odd`] alone says of a packet.
    fn slowly(link: u16, wire_len: u32, bytes: &[u8]) -> Sliced<'_> {
        let (kind, net) = match link::strip(link, bytes) {
            Link::Ipv4(net) => (ether_type::IPV4, net),
            Link::Ipv6(net) => (ether_type::IPV6, net),
            Link::Other => return Sliced::Other,
            Link::Unknown => return Sliced::UnknownLink,
        };
        odd(kind, net, wire_len.saturating_sub(bytes.len() as u32)).unwrap_or(Sliced::Other)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn the_short_way_finds_what_the_long_way_finds(
            v6: bool,
            flags: u8,
            seq: u32,
            payload in prop::collection::vec(any::<u8>(), 0..60),
            padding in 0..20_usize,
            cut in prop::option::of(0..80_usize),
            // Bytes of the headers that are something else.
            changes in prop::collection::vec((12..90_usize, any::<u8>()), 0..4),
            bits in prop::collection::vec((12..90_usize, 0..8_u8), 0..3),
        ) {
            let (from, to) = if v6 { ("[fe80::1]:40000", "[fe80::2]:11210") } else { ("10.1.2.3:40000", "10.9.8.7:11210") };
            let mut bytes = ethernet(&packet(from, to, flags & 0x17, seq, !seq, &payload));
            bytes.extend(vec![0xee; padding]);
            for (at, byte) in changes {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            for (at, bit) in bits {
                if let Some(place) = bytes.get_mut(at) {
                    *place ^= 1 << bit;
                }
            }
            let wire_len = bytes.len() as u32;
            bytes.truncate(cut.unwrap_or(usize::MAX));
            prop_assert_eq!(slice(1, wire_len, &bytes), slowly(1, wire_len, &bytes));
        }
    }

    #[test]
    fn the_usual_packets_go_the_short_way() {
        for (kind, ip) in [
            (ether_type::IPV4, packet("10.1.2.3:40000", "10.9.8.7:11210", 0x10, 1, 2, b"abc")),
            (ether_type::IPV6, packet("[fe80::1]:40000", "[fe80::2]:11210", 0x10, 1, 2, b"abc")),
        ] {
            assert_eq!(plain(kind, &ip).map(|segment| segment.payload), Some(&b"abc"[..]));
        }
    }
}
