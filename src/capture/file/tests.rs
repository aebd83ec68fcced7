use std::io::Seek;
use std::io::Write;

use super::*;

type Found = (u64, u16, u32, Vec<u8>);

/// What is in a file, read from a stream, and looked at in a map.
fn packets(file: &[u8]) -> (Vec<Found>, Result<(), CaptureError>) {
    let streamed = found(Input::Reader(Box::new(file)));
    let mut on_disk = tempfile::tempfile().unwrap();
    on_disk.write_all(file).unwrap();
    on_disk.rewind().unwrap();
    let mapped = found(Input::File(on_disk));
    assert_eq!(streamed.0, mapped.0);
    assert_eq!(streamed.1.as_ref().map_err(ToString::to_string), mapped.1.as_ref().map_err(ToString::to_string));
    streamed
}

fn found(input: Input<'_>) -> (Vec<Found>, Result<(), CaptureError>) {
    let mut found = Vec::new();
    let mut open = match PacketFile::open(input) {
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
fn zstd_is_told_by_its_bytes_and_a_cut_one_gives_what_is_readable() {
    let order = Order(false);
    let mut file = [order.section(), order.interface(1, 0, &[])].concat();
    for n in 0..40_000_u64 {
        file.extend(order.packet(0, n, 4, &(n.wrapping_mul(0x9e37_79b9) as u32).to_be_bytes()));
    }
    let zstd = |bytes: &[u8]| ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest);
    let whole_stream = zstd(&file);
    assert_eq!(whole(&whole_stream), whole(&file));
    let halves = [zstd(&file[..file.len() / 2]), zstd(&file[file.len() / 2..])];
    let skipped = [&[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let several = [&skipped, &skipped, &halves[0], &skipped, &halves[1], &skipped].map(|part| &part[..]).concat();
    assert_eq!(whole(&several), whole(&file), "frames, and frames that are skipped, are one stream");
    let mut last = 0;
    for at in [several.len() / 3, several.len() / 2, several.len() - 300] {
        let (found, result) = packets(&several[..at]);
        assert!(found.len() >= last && found.len() < 40_000, "{} at {at}", found.len());
        assert!(matches!(result, Err(CaptureError::Cut { .. } | CaptureError::CutZstd { .. })), "{result:?}");
        last = found.len();
    }
    assert!(last > 10_000);
    let (found, result) = packets(&several[..several.len() - 2]);
    assert_eq!(found.len(), 40_000);
    assert!(matches!(result, Err(CaptureError::CutZstd { offset }) if offset == file.len() as u64), "{result:?}");
}

#[test]
fn zstd_that_wants_too_much_memory_or_is_damaged_is_refused() {
    use std::error::Error;
    let why = |file: &[u8]| {
        let error = packets(file).1.unwrap_err();
        format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default())
    };
    // A frame without a check sum, whose window is 2 to the power of 30.
    assert_eq!(
        why(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 1, 0, 0]),
        "reading the capture: the zstd stream is damaged: expected a window of at most 134217728 bytes, found one of \
         1073741824: inflate it with zstd --long first"
    );
    let pcap = super::super::testing::pcap(1, &[vec![7; 3000]]);
    let good = ruzstd::encoding::compress_to_vec(&pcap[..], ruzstd::encoding::CompressionLevel::Uncompressed);
    assert_eq!(whole(&good).len(), 1);
    let mut bad = good;
    let at = bad.len() - 100;
    bad[at] ^= 1;
    let why = why(&bad);
    assert!(why.contains("the zstd stream is damaged: expected a check sum of "), "{why}");
}

#[test]
fn obsolete_packets_have_a_short_interface_number() {
    for big_endian in [false, true] {
        let order = Order(big_endian);
        let mut body = [order.u16(1), order.u16(0xffff)].concat();
        for field in [0, 7_000, 3, 9] {
            body.extend(order.u32(field));
        }
        body.extend(b"abc\0");
        let file =
            [order.section(), order.interface(1, 0, &[]), order.interface(113, 0, &[]), order.block(2, &body)].concat();
        assert_eq!(whole(&file), [(7_000_000, 113, 9, b"abc".to_vec())]);
    }
}

#[test]
fn a_packet_is_not_longer_than_its_block() {
    let order = Order(false);
    let mut packet = order.packet(0, 1, 9, b"abcd");
    packet[20..24].copy_from_slice(&order.u32(5));
    let file = [order.section(), order.interface(1, 0, &[]), packet].concat();
    assert_eq!(
        packets(&file).1.unwrap_err().to_string(),
        "the capture is damaged at byte 48: expected a packet of at most 4 bytes in a block of 36, found one that claims 5"
    );
    let mut packet = order.packet(0, 1, 9, b"abcd");
    packet[32] ^= 1;
    let file = [order.section(), order.interface(1, 0, &[]), packet].concat();
    assert!(matches!(packets(&file).1, Err(CaptureError::Damaged { offset: 48, .. })), "two lengths that differ");
}

#[test]
fn what_is_no_capture_says_what_was_found() {
    let message = |file: &[u8]| packets(file).1.unwrap_err().to_string();
    assert_eq!(message(b""), "expected a pcap or pcapng file, plain, gzip or zstd, found an empty file");
    assert_eq!(message(b"\x7fELF..."), "expected a pcap or pcapng file, plain, gzip or zstd, found the bytes 7f454c46");
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
