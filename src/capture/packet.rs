use std::net::SocketAddr;

use etherparse::EtherType;
use etherparse::IpNumber;
use etherparse::LaxNetSlice;
use etherparse::LaxSlicedPacket;

/// What a packet holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Sliced<'a> {
    /// Part of a TCP stream.
    Tcp(Segment<'a>),
    /// A fragment of an IP packet: its TCP bytes will be missing.
    Fragment,
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
    let sliced = match link {
        link_type::ETHERNET => LaxSlicedPacket::from_ethernet(bytes).ok(),
        link_type::NULL | link_type::LOOP => bytes.get(4..).and_then(|ip| LaxSlicedPacket::from_ip(ip).ok()),
        link_type::RAW | link_type::RAW_BSD | link_type::RAW_OPENBSD | link_type::IPV4 | link_type::IPV6 => {
            LaxSlicedPacket::from_ip(bytes).ok()
        }
        link_type::LINUX_SLL => cooked(bytes, 14, 16),
        link_type::LINUX_SLL2 => cooked(bytes, 0, 20),
        _ => return Sliced::UnknownLink,
    };
    let uncaptured = wire_len.saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    sliced.and_then(|sliced| net(&sliced, uncaptured)).unwrap_or(Sliced::Other)
}

mod link_type {
    pub(super) const NULL: u16 = 0;
    pub(super) const ETHERNET: u16 = 1;
    pub(super) const RAW_BSD: u16 = 12;
    pub(super) const RAW_OPENBSD: u16 = 14;
    pub(super) const RAW: u16 = 101;
    pub(super) const LOOP: u16 = 108;
    pub(super) const LINUX_SLL: u16 = 113;
    pub(super) const IPV4: u16 = 228;
    pub(super) const IPV6: u16 = 229;
    pub(super) const LINUX_SLL2: u16 = 276;
}

fn cooked(bytes: &[u8], protocol: usize, header: usize) -> Option<LaxSlicedPacket<'_>> {
    let protocol = bytes.get(protocol..)?.first_chunk().copied().map(u16::from_be_bytes)?;
    Some(LaxSlicedPacket::from_ether_type(EtherType(protocol), bytes.get(header..)?))
}

fn net<'a>(sliced: &LaxSlicedPacket<'a>, uncaptured: u32) -> Option<Sliced<'a>> {
    let net = sliced.net.as_ref()?;
    let payload = net.ip_payload_ref()?;
    let (from, to, claimed, here): (std::net::IpAddr, std::net::IpAddr, usize, usize) = match net {
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
        return Some(Sliced::Fragment);
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

/// Reads the fixed part of a TCP header by itself: a small snaplen cuts the options off, and they are not needed.
fn tcp(from: std::net::IpAddr, to: std::net::IpAddr, bytes: &[u8], missing: u32) -> Option<Segment<'_>> {
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
