//! pcapng blocks, little endian. Each is whole in the bytes that it is appended to.

use super::Gathered;

/// The options of a block.
pub(super) struct Options<'a>(pub(super) &'a mut Vec<u8>);

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const NAME_RESOLUTION: u32 = 4;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
const DECRYPTION_SECRETS: u32 = 10;
/// The longest option: what is beyond is cut.
const MAX_OPTION: usize = 65_532;

const OPT_END: u16 = 0;
const OPT_COMMENT: u16 = 1;

/// A section header: the hardware, the system and the program, and a comment.
pub(super) fn section_header(hardware: &str, os: &str, program: &str, comment: &str, to: &mut Vec<u8>) {
    block(SECTION_HEADER, to, |to| {
        to.extend(0x1a2b_3c4d_u32.to_le_bytes());
        to.extend([1, 0, 0, 0]); // version 1.0
        to.extend(u64::MAX.to_le_bytes()); // of unknown length
        let mut options = Options(to);
        options.text(2, hardware);
        options.text(3, os);
        options.text(4, program);
        options.text(OPT_COMMENT, comment);
        options.end();
    });
}

/// An interface whose packets are raw IP, with times in nanoseconds. A `snaplen` of 0 is no limit.
pub(super) fn interface(name: &str, description: &str, snaplen: u32, to: &mut Vec<u8>) {
    const RAW_IP: u16 = 101;
    block(INTERFACE_DESCRIPTION, to, |to| {
        to.extend(RAW_IP.to_le_bytes());
        to.extend([0, 0]);
        to.extend(snaplen.to_le_bytes());
        let mut options = Options(to);
        options.text(2, name);
        options.text(3, description);
        options.bytes(9, &[9]);
        options.end();
    });
}

/// Names of addresses.
pub(super) fn names(records: &[(std::net::IpAddr, String)], to: &mut Vec<u8>) {
    block(NAME_RESOLUTION, to, |to| {
        for (address, name) in records {
            let mut value = match address {
                std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
                std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
            };
            value.extend_from_slice(clipped(name, 1024).as_bytes());
            value.push(0);
            to.extend((if address.is_ipv4() { 1_u16 } else { 2 }).to_le_bytes());
            to.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
            to.extend_from_slice(&value);
            pad(value.len(), to);
        }
        to.extend([0; 4]);
    });
}

/// Secrets of TLS, as lines of a key log (draft-ietf-tls-keylogfile).
pub(super) fn secrets(lines: &str, to: &mut Vec<u8>) {
    const TLS_KEY_LOG: u32 = 0x544c_534b;
    block(DECRYPTION_SECRETS, to, |to| {
        to.extend(TLS_KEY_LOG.to_le_bytes());
        to.extend(u32::try_from(lines.len()).unwrap_or(u32::MAX).to_le_bytes());
        to.extend_from_slice(lines.as_bytes());
        pad(lines.len(), to);
    });
}

/// Of a packet: what its block says besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    pub(super) interface: u32,
    /// Nanoseconds since the epoch.
    pub(super) at: u64,
    /// How many bytes it had, and how many are kept.
    pub(super) wire_len: usize,
    pub(super) kept_len: usize,
}

/// A packet; `keep` appends the bytes of it that are kept.
pub(super) fn packet<'c>(
    packet: &Packet,
    comments: impl Iterator<Item = &'c str>,
    to: &mut Gathered,
    keep: impl FnOnce(&mut Gathered),
) {
    let number = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    let (start, own_start) = (to.len(), to.own().len());
    let own = to.own();
    own.extend_from_slice(&ENHANCED_PACKET.to_le_bytes());
    own.extend_from_slice(&[0; 4]);
    own.extend_from_slice(&packet.interface.to_le_bytes());
    time(packet.at, own);
    own.extend_from_slice(&number(packet.kept_len));
    own.extend_from_slice(&number(packet.wire_len));
    keep(to);
    let own = to.own();
    pad(packet.kept_len, own);
    let mut options = Options(own);
    let mut any = false;
    for comment in comments {
        options.text(OPT_COMMENT, comment);
        any = true;
    }
    if any {
        options.end();
    }
    let len = to.len().saturating_sub(start);
    end_block(own_start, len, to.own());
}

/// What an interface has counted.
pub(super) struct Statistics<'a> {
    pub(super) interface: u32,
    /// The time of the last packet, and of the first.
    pub(super) at: u64,
    pub(super) start: u64,
    pub(super) received: u64,
    pub(super) dropped: u64,
    pub(super) comment: &'a str,
}

/// The statistics of an interface.
pub(super) fn statistics(statistics: &Statistics<'_>, to: &mut Vec<u8>) {
    block(INTERFACE_STATISTICS, to, |to| {
        to.extend(statistics.interface.to_le_bytes());
        time(statistics.at, to);
        let mut options = Options(to);
        options.text(OPT_COMMENT, statistics.comment);
        options.time(2, statistics.start);
        options.time(3, statistics.at);
        options.bytes(4, &statistics.received.to_le_bytes());
        options.bytes(5, &statistics.dropped.to_le_bytes());
        options.end();
    });
}

impl Options<'_> {
    fn bytes(&mut self, code: u16, value: &[u8]) {
        let value = value.get(..value.len().min(MAX_OPTION)).unwrap_or_default();
        self.0.extend(code.to_le_bytes());
        self.0.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
        self.0.extend_from_slice(value);
        pad(value.len(), self.0);
    }

    fn text(&mut self, code: u16, text: &str) {
        self.bytes(code, clipped(text, MAX_OPTION).as_bytes());
    }

    fn time(&mut self, code: u16, at: u64) {
        let mut value = Vec::new();
        time(at, &mut value);
        self.bytes(code, &value);
    }

    fn end(&mut self) {
        self.bytes(OPT_END, &[]);
    }
}

/// A time as two halves, the upper one first.
fn time(at: u64, to: &mut Vec<u8>) {
    let [a, b, c, d, e, f, g, h] = at.to_le_bytes();
    to.extend([e, f, g, h, a, b, c, d]);
}

fn block(kind: u32, to: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = to.len();
    to.extend(kind.to_le_bytes());
    to.extend([0; 4]);
    body(to);
    end_block(start, to.len().saturating_sub(start), to);
}

/// Ends the block that begins at `start`, of `len` bytes so far: its length stands at both of its ends.
fn end_block(start: usize, len: usize, to: &mut Vec<u8>) {
    let len = u32::try_from(len.saturating_add(4)).unwrap_or(u32::MAX).to_le_bytes();
    if let Some(place) = to.get_mut(start.saturating_add(4)..start.saturating_add(8)) {
        place.copy_from_slice(&len);
    }
    to.extend_from_slice(&len);
}

fn pad(len: usize, to: &mut Vec<u8>) {
    to.resize(to.len().saturating_add(len.wrapping_neg() % 4), 0);
}

fn clipped(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    fn hex(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut to = Vec::new();
        write(&mut to);
        hex::encode(to)
    }

    #[test]
    fn a_section_header_byte_by_byte() {
        let found = hex(|to| section_header("x86", "os", "prog", "c", to));
        let expected = [
            "0a0d0d0a",
            "40000000",
            "4d3c2b1a",
            "01000000",
            "ffffffffffffffff", // block, byte order, version, length
            "02000300",
            "78383600",
            "03000200",
            "6f730000",
            "04000400",
            "70726f67",
            "01000100",
            "63000000",
            "00000000",
            "40000000",
        ];
        assert_eq!(found, expected.concat());
    }

    #[test]
    fn an_interface_byte_by_byte() {
        let found = hex(|to| interface("up", "d", 96, to));
        let expected = [
            "01000000", "30000000", "65000000", "60000000", "02000200", "75700000", "03000100", "64000000", "09000100",
            "09000000", "00000000", "30000000",
        ];
        assert_eq!(found, expected.concat());
    }

    fn packet_hex(of: Packet, bytes: &'static [u8], comments: &[&str]) -> String {
        let mut to = Gathered::default();
        packet(&of, comments.iter().copied(), &mut to, |to| to.payload(&bytes::Bytes::from_static(bytes), 0));
        hex::encode(to.to_vec())
    }

    #[test]
    fn a_packet_byte_by_byte() {
        let of = Packet { interface: 1, at: 0x1122_3344_5566_7788, wire_len: 9, kept_len: 5 };
        let found = packet_hex(of, b"abcde", &["hi"]);
        let expected = [
            "06000000",
            "34000000",
            "01000000",
            "44332211",
            "88776655",
            "05000000",
            "09000000",
            "6162636465000000",
            "01000200",
            "68690000",
            "00000000",
            "34000000",
        ];
        assert_eq!(found, expected.concat());
        let bare = packet_hex(Packet { interface: 0, at: 0, wire_len: 4, kept_len: 4 }, b"abcd", &[]);
        assert_eq!(bare, "060000002400000000000000000000000000000004000000040000006162636424000000");
    }

    #[test]
    fn a_block_counts_what_is_lent_to_it() {
        static LONG: [u8; 5_001] = [7; 5_001];
        let found = packet_hex(Packet { interface: 0, at: 0, wire_len: 5_001, kept_len: 5_001 }, &LONG, &["hi"]);
        let len = 28 + 5_001 + 3 + 8 + 4 + 4;
        assert_eq!(found.len() / 2, len);
        let told = hex::encode(u32::try_from(len).unwrap().to_le_bytes());
        assert_eq!((&found[8..16], &found[found.len() - 8..]), (&*told, &*told));
    }

    #[test]
    fn secrets_byte_by_byte() {
        let found = hex(|to| secrets("A b c\n", to));
        let expected = ["0a000000", "1c000000", "4b534c54", "06000000", "4120622063", "0a", "0000", "1c000000"];
        assert_eq!(found, expected.concat());
    }

    #[test]
    fn names_byte_by_byte() {
        let found = hex(|to| names(&[([127, 0, 0, 1].into(), "abc".into())], to));
        let expected = ["04000000", "1c000000", "01000800", "7f000001", "61626300", "00000000", "1c000000"];
        assert_eq!(found, expected.concat());
    }

    #[test]
    fn statistics_byte_by_byte() {
        let of = Statistics { interface: 1, at: 2, start: 1, received: 7, dropped: 3, comment: "c" };
        let found = hex(|to| statistics(&of, to));
        let expected = [
            "05000000",
            "54000000",
            "01000000",
            "0000000002000000",
            "01000100",
            "63000000",
            "02000800",
            "0000000001000000",
            "03000800",
            "0000000002000000",
            "04000800",
            "0700000000000000",
            "05000800",
            "0300000000000000",
            "00000000",
            "54000000",
        ];
        assert_eq!(found, expected.concat());
    }

    #[test]
    fn an_option_is_cut_between_characters() {
        assert_eq!(clipped("aä", 2), "a");
        let of = Packet { interface: 0, at: 0, wire_len: 0, kept_len: 0 };
        let long = packet_hex(of, b"", &["ä".repeat(40_000).as_str()]);
        assert_eq!(long.len() / 2, 32 + 4 + MAX_OPTION + 4);
    }
}
