//! What lies below IP: one page for each link type that is read.

/// What a frame of a link holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Link<'a> {
    /// What should be an IPv4 packet.
    Ipv4(&'a [u8]),
    /// What should be an IPv6 packet.
    Ipv6(&'a [u8]),
    /// Something else, or too little to tell.
    Other,
    /// A link type that is not read.
    Unknown,
}

/// Link types by their numbers (the registry of tcpdump.org).
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

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// VLAN tags: 802.1Q, 802.1ad, and what was used before 802.1ad.
const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// The most tags that are taken off.
const MAX_TAGS: usize = 8;

/// Takes the headers of a link off.
pub(super) fn strip(link: u16, bytes: &[u8]) -> Link<'_> {
    match link {
        link_type::ETHERNET => typed(bytes, 12, 14),
        link_type::LINUX_SLL => typed(bytes, 14, 16),
        link_type::LINUX_SLL2 => typed(bytes, 0, 20),
        // An address family in the byte order of the capturing machine, whose numbers differ between systems: what is there
        // is told by IP itself.
        link_type::NULL | link_type::LOOP => ip(bytes.get(4..)),
        link_type::RAW | link_type::RAW_BSD | link_type::RAW_OPENBSD | link_type::IPV4 | link_type::IPV6 => {
            ip(Some(bytes))
        }
        _ => Link::Unknown,
    }
}

fn ip(bytes: Option<&[u8]>) -> Link<'_> {
    match bytes.and_then(|bytes| Some((bytes, bytes.first()? >> 4))) {
        Some((bytes, 4)) => Link::Ipv4(bytes),
        Some((bytes, 6)) => Link::Ipv6(bytes),
        _ => Link::Other,
    }
}

/// A header with an EtherType, behind which tags may be.
fn typed(bytes: &[u8], at: usize, header: usize) -> Link<'_> {
    let ether_type = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes);
    let (mut kind, mut header) = (ether_type(at), header);
    for _ in 0..MAX_TAGS {
        if !kind.is_some_and(|kind| TAGS.contains(&kind)) {
            break;
        }
        // Two bytes of tag, then the next type.
        kind = ether_type(header.saturating_add(2));
        header = header.saturating_add(4);
    }
    match (kind, bytes.get(header..)) {
        (Some(IPV4), Some(packet)) => Link::Ipv4(packet),
        (Some(IPV6), Some(packet)) => Link::Ipv6(packet),
        _ => Link::Other,
    }
}
