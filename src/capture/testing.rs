//! Hand-made packets and files for the tests of this module.

use std::net::SocketAddr;

use etherparse::PacketBuilder;

use super::*;

pub(super) const CLIENT: &str = "127.0.0.1:40000";
pub(super) const SERVER: &str = "127.0.0.1:11210";
pub(super) const SYN: u8 = 0x02;
pub(super) const ACK: u8 = 0x10;
pub(super) const FIN: u8 = 0x01;
pub(super) const RST: u8 = 0x04;

/// An event that owns its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    Opened(u32, SocketAddr, SocketAddr),
    Data(u32, Side, Vec<u8>),
    Gap(u32, Side, u64, Option<u64>),
    Closed(u32, Side, How),
    Comment(u32, Side, String),
    Ended(u32),
}

impl Seen {
    pub(super) fn new(event: Event<'_>) -> Self {
        let conn = event.conn;
        match event.what {
            What::Opened { dialler, upstream } => Self::Opened(conn, dialler, upstream),
            What::Data { from, bytes } => Self::Data(conn, from, bytes.to_vec()),
            What::Gap { from, offset, bytes } => Self::Gap(conn, from, offset, bytes),
            What::Closed { from, how } => Self::Closed(conn, from, how),
            What::Comment { from, text } => Self::Comment(conn, from, text.to_owned()),
            What::Ended => Self::Ended(conn),
        }
    }
}

pub(super) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// An IP packet with one TCP segment.
pub(super) fn tcp(from: &str, to: &str, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
    let (from, to) = (addr(from), addr(to));
    let ip = match (from, to) {
        (SocketAddr::V4(from), SocketAddr::V4(to)) => PacketBuilder::ipv4(from.ip().octets(), to.ip().octets(), 64),
        (SocketAddr::V6(from), SocketAddr::V6(to)) => PacketBuilder::ipv6(from.ip().octets(), to.ip().octets(), 64),
        _ => panic!("two versions of IP"),
    };
    let mut tcp = ip.tcp(from.port(), to.port(), seq, 65535);
    if flags & SYN != 0 {
        tcp = tcp.syn();
    }
    if flags & FIN != 0 {
        tcp = tcp.fin();
    }
    if flags & RST != 0 {
        tcp = tcp.rst();
    }
    if flags & ACK != 0 {
        tcp = tcp.ack(ack);
    }
    let mut bytes = Vec::new();
    tcp.write(&mut bytes, payload).unwrap();
    bytes
}

pub(super) fn ethernet(ip: &[u8]) -> Vec<u8> {
    let kind: [u8; 2] = if ip.first().is_some_and(|b| b >> 4 == 6) { [0x86, 0xdd] } else { [0x08, 0x00] };
    [&[0; 12], &kind[..], ip].concat()
}

/// One conversation between [`CLIENT`] and [`SERVER`], packet by packet.
pub(super) struct Talk {
    pub(super) packets: Vec<Vec<u8>>,
    pub(super) client: u32,
    pub(super) server: u32,
}

impl Talk {
    /// Begins with a handshake; the first bytes have the sequence numbers `client` and `server`.
    pub(super) fn open(client: u32, server: u32) -> Self {
        let packets = vec![
            tcp(CLIENT, SERVER, SYN, client.wrapping_sub(1), 0, b""),
            tcp(SERVER, CLIENT, SYN | ACK, server.wrapping_sub(1), client, b""),
            tcp(CLIENT, SERVER, ACK, client, server, b""),
        ];
        Self { packets, client, server }
    }

    /// Begins in the middle.
    pub(super) fn middle(client: u32, server: u32) -> Self {
        Self { packets: Vec::new(), client, server }
    }

    pub(super) fn client(&mut self, bytes: &[u8]) {
        self.packets.push(tcp(CLIENT, SERVER, ACK, self.client, self.server, bytes));
        self.client = self.client.wrapping_add(bytes.len() as u32);
    }

    pub(super) fn server(&mut self, bytes: &[u8]) {
        self.packets.push(tcp(SERVER, CLIENT, ACK, self.server, self.client, bytes));
        self.server = self.server.wrapping_add(bytes.len() as u32);
    }

    /// The server's bytes at a distance from where it is; it does not move on.
    pub(super) fn server_at(&mut self, distance: u32, bytes: &[u8]) {
        self.packets.push(tcp(SERVER, CLIENT, ACK, self.server.wrapping_add(distance), self.client, bytes));
    }

    /// The client acknowledges the server's bytes up to a distance from where it is.
    pub(super) fn client_acks(&mut self, distance: u32) {
        self.packets.push(tcp(CLIENT, SERVER, ACK, self.client, self.server.wrapping_add(distance), b""));
    }

    pub(super) fn flags(&mut self, from: Side, flags: u8) {
        match from {
            Side::Dialler => self.packets.push(tcp(CLIENT, SERVER, flags, self.client, self.server, b"")),
            Side::Upstream => self.packets.push(tcp(SERVER, CLIENT, flags, self.server, self.client, b"")),
        }
    }

    /// The file of it, a millisecond between packets.
    pub(super) fn file(&self) -> Vec<u8> {
        let packets: Vec<Vec<u8>> = self.packets.iter().map(|ip| ethernet(ip)).collect();
        pcap(1, &packets)
    }
}

/// A little-endian pcap file with microseconds, a millisecond between packets, from 1 s on.
pub(super) fn pcap(link: u32, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = pcap_header(link);
    for (n, packet) in packets.iter().enumerate() {
        file.extend(record(n as u32, packet.len() as u32, packet));
    }
    file
}

pub(super) fn pcap_header(link: u32) -> Vec<u8> {
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    file.extend([0; 8]);
    file.extend(262_144_u32.to_le_bytes());
    file.extend(link.to_le_bytes());
    file
}

pub(super) fn record(n: u32, wire_len: u32, captured: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in [1 + n / 1000, n % 1000 * 1000, captured.len() as u32, wire_len] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(captured);
    bytes
}

pub(super) fn events(file: &[u8]) -> (Vec<Seen>, Result<Summary, CaptureError>) {
    let mut seen = Vec::new();
    let result = read(file, &mut |event| seen.push(Seen::new(event)));
    (seen, result)
}

/// The events of a file that can be read to its end.
pub(super) fn read_all(file: &[u8]) -> Vec<Seen> {
    let (seen, result) = events(file);
    result.unwrap();
    seen
}

/// What one side of a connection sent, pieces joined; a gap is shown as `[n]`, of unknown size as `[?]`.
pub(super) fn text(seen: &[Seen], conn: u32, side: Side) -> String {
    let mut text = String::new();
    for event in seen {
        match event {
            Seen::Data(c, from, bytes) if (*c, *from) == (conn, side) => {
                text.push_str(std::str::from_utf8(bytes).unwrap());
            }
            Seen::Gap(c, from, _, n) if (*c, *from) == (conn, side) => {
                text.push_str(&n.map_or("[?]".into(), |n| format!("[{n}]")));
            }
            Seen::Opened(..)
            | Seen::Data(..)
            | Seen::Gap(..)
            | Seen::Closed(..)
            | Seen::Comment(..)
            | Seen::Ended(_) => {}
        }
    }
    text
}
