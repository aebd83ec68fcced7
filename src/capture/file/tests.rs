use std::io::Write;

use super::*;

type Found = (u64, u16, u32, Vec<u8>);

fn packets(file: &[u8]) -> (Vec<Found>, Result<(), CaptureError>) {
    let mut found = Vec::new();
    let mut open = match PacketFile::open(file) {
        Ok(open) => open,
        Err(error) => return (found, Err(error)),
    };
    loop {
        match open.next() {
            Ok(Some(packet)) => found.push((packet.at.0, packet.link, packet.wire_len, packet.bytes.to_vec())),
            Ok(None) => return (found, Ok(())),
            Err(error) => return (found, Err(error)),
        }
    }
}

fn whole(file: &[u8]) -> Vec<Found> {
    let (found, result) = packets(file);
    result.unwrap();
    found
}

/// Numbers of a file in one byte order.
struct Order(bool);

impl Order {
    fn u16(&self, n: u16) -> [u8; 2] {
        if self.0 { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    fn u32(&self, n: u32) -> [u8; 4] {
        if self.0 { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    fn block(&self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let len = self.u32(padded as u32 + 12);
        let mut block = [&self.u32(kind)[..], &len, body].concat();
        block.resize(8 + padded, 0);
        block.extend(len);
        block
    }

    fn section(&self) -> Vec<u8> {
        let body = [&self.u32(0x1a2b_3c4d)[..], &self.u16(1), &self.u16(0), &[0xff; 8]].concat();
        self.block(0x0a0d_0d0a, &body)
    }

    /// `options`: pairs of code and value.
    fn interface(&self, link: u16, snaplen: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = [&self.u16(link)[..], &[0, 0], &self.u32(snaplen)].concat();
        for (code, value) in options {
            body.extend(self.u16(*code));
            body.extend(self.u16(value.len() as u16));
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        self.block(1, &body)
    }

    fn packet(&self, interface: u32, units: u64, wire_len: u32, bytes: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        for field in [interface, (units >> 32) as u32, units as u32, bytes.len() as u32, wire_len] {
            body.extend(self.u32(field));
        }
        body.extend(bytes);
        body.resize(body.len().next_multiple_of(4), 0);
        self.block(6, &body)
    }

    fn simple(&self, wire_len: u32, bytes: &[u8]) -> Vec<u8> {
        self.block(3, &[&self.u32(wire_len)[..], bytes].concat())
    }
}

#[test]
fn pcap_in_both_byte_orders_and_resolutions() {
    for big_endian in [false, true] {
        for (magic, scale) in [(0xa1b2_c3d4, 1000), (0xa1b2_3c4d, 1)] {
            let order = Order(big_endian);
            let mut file = [order.u32(magic).as_slice(), &order.u16(2), &order.u16(4), &[0; 8]].concat();
            file.extend([order.u32(65535), order.u32(0x1000_0071)].concat());
            for n in [3_500_000_000_u32, 5, 3, 7] {
                file.extend(order.u32(n));
            }
            file.extend(b"abc");
            let at = 3_500_000_000 * 1_000_000_000 + 5 * scale;
            assert_eq!(whole(&file), [(at, 113, 7, b"abc".to_vec())], "big endian: {big_endian}");
        }
    }
}

#[test]
fn the_modified_pcap_of_old_linux_has_longer_headers() {
    let order = Order(false);
    let mut file = [order.u32(0xa1b2_cd34).as_slice(), &[2, 0, 4, 0], &[0; 8], &order.u32(9), &order.u32(1)].concat();
    for n in [1_u32, 2, 3, 3, 99, 99] {
        file.extend(order.u32(n));
    }
    file.extend(b"abc");
    assert_eq!(whole(&file), [(1_000_002_000, 1, 3, b"abc".to_vec())]);
}

#[test]
fn pcapng_with_several_interfaces_and_resolutions() {
    for big_endian in [false, true] {
        let order = Order(big_endian);
        let offset = if big_endian { 100_i64.to_be_bytes() } else { 100_i64.to_le_bytes() };
        let file = [
            order.section(),
            order.interface(1, 0, &[]),
            order.interface(113, 0, &[(9, &[9])]),
            order.block(0x0bad, b"a block of no known type"),
            order.packet(1, 1_500_000_000_000_000_123, 9, b"abcde"),
            order.packet(0, 1_500_000_000_000_123, 3, b"xyz"),
            order.interface(276, 0, &[(2, b"eth0"), (9, &[0x8a]), (14, &offset), (0, &[])]),
            order.packet(2, 3 * 1024 + 512, 1, b"b"),
            order.packet(2, 0, 0, b""),
        ]
        .concat();
        assert_eq!(
            whole(&file),
            [
                (1_500_000_000_000_000_123, 113, 9, b"abcde".to_vec()),
                (1_500_000_000_000_123_000, 1, 3, b"xyz".to_vec()),
                (103_500_000_000, 276, 1, b"b".to_vec()),
                (100_000_000_000, 276, 0, Vec::new()),
            ]
        );
    }
}

#[test]
fn simple_packets_are_of_the_first_interface_and_cut_at_its_snaplen() {
    let order = Order(false);
    let file = [
        order.section(),
        order.interface(1, 6, &[]),
        order.packet(0, 7, 1, b"a"),
        order.simple(3, b"abc"),
        order.simple(100, b"abcdef"),
    ]
    .concat();
    assert_eq!(whole(&file)[1..], [(7_000, 1, 3, b"abc".to_vec()), (7_000, 1, 100, b"abcdef".to_vec())]);
}

#[test]
fn a_new_section_forgets_the_interfaces_and_may_have_the_other_byte_order() {
    let (little, big) = (Order(false), Order(true));
    let mut file = [little.section(), little.interface(1, 0, &[]), little.packet(0, 1, 1, b"a")].concat();
    file.extend([big.section(), big.interface(101, 0, &[]), big.packet(0, 2, 1, b"b")].concat());
    assert_eq!(whole(&file), [(1000, 1, 1, b"a".to_vec()), (2000, 101, 1, b"b".to_vec())]);
    file.extend([little.section(), little.packet(0, 3, 1, b"c")].concat());
    let (found, result) = packets(&file);
    assert_eq!(found.len(), 2);
    assert_eq!(
        result.unwrap_err().to_string(),
        "the capture is damaged at byte 196: expected a packet of one of the 0 interfaces described before it, \
         found interface 0"
    );
}

#[test]
fn gzip_is_told_by_its_bytes_and_a_cut_one_gives_what_is_readable() {
    let order = Order(false);
    let mut file = [order.section(), order.interface(1, 0, &[])].concat();
    for n in 0..2000_u64 {
        file.extend(order.packet(0, n, 4, &(n.wrapping_mul(0x9e37_79b9) as u32).to_be_bytes()));
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&file).unwrap();
    let gzip = gzip.finish().unwrap();
    assert_eq!(whole(&gzip), whole(&file));
    let (found, result) = packets(&gzip[..gzip.len() - 500]);
    assert!((100..2000).contains(&found.len()), "{}", found.len());
    assert!(matches!(result, Err(CaptureError::Cut { .. })));
    let (found, result) = packets(&gzip[..gzip.len() - 4]);
    assert_eq!(found.len(), 2000);
    assert!(matches!(result, Err(CaptureError::CutGzip { offset }) if offset == file.len() as u64));
    let two = [&gzip[..], &gzip[..]].concat();
    assert_eq!(whole(&two).len(), 4000, "a file of two gzip members is one");
}

#[test]
fn what_is_no_capture_says_what_was_found() {
    let message = |file: &[u8]| packets(file).1.unwrap_err().to_string();
    assert_eq!(message(b""), "expected a pcap or pcapng file, plain or gzip, found an empty file");
    assert_eq!(message(b"\x7fELF..."), "expected a pcap or pcapng file, plain or gzip, found the bytes 7f454c46");
    assert_eq!(
        message(&[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 1, 2, 3, 4]),
        "the capture is damaged at byte 0: expected a section header with the byte-order mark 1a2b3c4d, found \
         01020304"
    );
    assert_eq!(
        message(&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0]),
        "the capture is cut off at byte 0: expected 24 bytes of the file header, found 6"
    );
}

#[test]
fn lengths_that_lie_cost_no_memory() {
    let mut file = super::super::testing::pcap_header(1);
    file.extend([[0; 4], [0; 4], [0xff; 4], [0xff; 4]].concat());
    assert_eq!(
        packets(&file).1.unwrap_err().to_string(),
        "the capture is damaged at byte 24: expected a packet of at most 16777216 bytes, found one that claims \
         4294967295"
    );
    let order = Order(false);
    let file = [order.section(), order.u32(6).to_vec(), order.u32(0xffff_fff0).to_vec()].concat();
    assert!(matches!(packets(&file).1, Err(CaptureError::Damaged { offset: 28, .. })));
    let file = [order.section(), order.u32(6).to_vec(), order.u32(14).to_vec(), vec![0; 20]].concat();
    assert!(matches!(packets(&file).1, Err(CaptureError::Damaged { offset: 28, .. })));
}
