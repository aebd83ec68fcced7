//! Packets in, events out.

use super::testing::*;
use super::*;

const BOTH: [Side; 2] = [Side::Dialler, Side::Upstream];

#[test]
fn a_whole_connection() {
    let mut talk = Talk::open(100, 200);
    talk.client(b"ask");
    talk.server(b"answer");
    talk.flags(Side::Dialler, FIN | ACK);
    talk.flags(Side::Upstream, FIN | ACK);
    let (seen, summary) = events(&talk.file());
    assert_eq!(
        seen,
        [
            Seen::Opened(1, addr(CLIENT), addr(SERVER)),
            Seen::Data(1, Side::Dialler, b"ask".to_vec()),
            Seen::Data(1, Side::Upstream, b"answer".to_vec()),
            Seen::Closed(1, Side::Dialler, How::Fin),
            Seen::Closed(1, Side::Upstream, How::Fin),
            Seen::Ended(1),
        ]
    );
    assert_eq!(summary.unwrap(), Summary { packets: 7, connections: 1, ..Summary::default() });
}

#[test]
fn events_have_the_time_of_the_packet_that_made_them_known() {
    let mut talk = Talk::open(0, 0);
    talk.server_at(3, b"def"); // 1.003 s
    talk.client(b"x"); // 1.004 s
    talk.server_at(0, b"abc"); // 1.005 s
    let mut times = Vec::new();
    read(&*talk.file(), &mut |event| {
        if let What::Data { bytes, .. } = event.what {
            times.push((event.at.0, bytes.to_vec()));
        }
    })
    .unwrap();
    let second = 1_000_000_000;
    assert_eq!(
        times,
        [
            (second + 4_000_000, b"x".to_vec()),
            (second + 5_000_000, b"abc".to_vec()),
            (second + 5_000_000, b"def".to_vec()),
        ]
    );
}

#[test]
fn order_repeats_overlaps_and_the_wrap_of_sequence_numbers() {
    for start in [0, 1000, u32::MAX - 5, u32::MAX, 0x7fff_fffd, 0x8000_0000] {
        let mut talk = Talk::open(7, start);
        talk.server_at(6, b"ghi");
        talk.server_at(0, b"abc");
        talk.server_at(0, b"abc");
        talk.server_at(2, b"cdefg");
        talk.server_at(8, b"ijk");
        talk.server_at(0, b"abcdefghijklm");
        talk.server_at(u32::MAX, b"."); // a keep-alive: the last byte but one again
        talk.client_acks(13);
        let seen = read_all(&talk.file());
        assert_eq!(text(&seen, 1, Side::Upstream), "abcdefghijklm", "first byte at {start}");
        assert!(!seen.iter().any(|event| matches!(event, Seen::Gap(..))));
    }
}

#[test]
fn what_came_first_wins_where_copies_differ() {
    let mut talk = Talk::open(7, 0);
    talk.server_at(2, b"cde");
    talk.server_at(0, b"abXXXf");
    assert_eq!(text(&read_all(&talk.file()), 1, Side::Upstream), "abcdef");
}

#[test]
fn an_acknowledgement_proves_a_gap_with_its_place_and_size() {
    let mut talk = Talk::open(7, u32::MAX - 4);
    talk.server(b"abc");
    talk.server_at(4, b"hij"); // "defg" is missing
    talk.client_acks(7);
    let before = talk.packets.len();
    for _ in 0..20 {
        talk.client_acks(7);
    }
    let seen = read_all(&talk.file());
    assert_eq!(text(&seen, 1, Side::Upstream), "abc[4]hij");
    assert!(seen.contains(&Seen::Gap(1, Side::Upstream, 3, Some(4))));

    let mut at = None;
    read(&*talk.file(), &mut |event| {
        if matches!(event.what, What::Gap { .. }) {
            at = Some(event.at.0);
        }
    })
    .unwrap();
    let packet = (at.unwrap() - 1_000_000_000) / 1_000_000;
    assert!((before..before + 10).contains(&(packet as usize)), "told at packet {packet}, soon after the proof");
}

#[test]
fn an_acknowledgement_that_was_captured_before_its_data_is_no_gap() {
    let mut talk = Talk::open(7, 0);
    talk.client_acks(6);
    talk.client_acks(6);
    talk.server_at(3, b"def");
    talk.client_acks(6);
    talk.server_at(0, b"abc");
    assert_eq!(text(&read_all(&talk.file()), 1, Side::Upstream), "abcdef");
}

#[test]
fn a_hole_that_nothing_proves_waits_and_is_told_at_the_end() {
    let mut talk = Talk::open(7, 0);
    talk.server_at(3, b"def");
    for _ in 0..50 {
        talk.client_acks(0);
    }
    let seen = read_all(&talk.file());
    assert_eq!(
        seen[seen.len() - 3..],
        [Seen::Gap(1, Side::Upstream, 0, Some(3)), Seen::Data(1, Side::Upstream, b"def".to_vec()), Seen::Ended(1)]
    );
}

#[test]
fn bytes_missing_at_the_very_end_are_told() {
    let mut acked = Talk::open(7, 0);
    acked.server(b"abc");
    acked.client_acks(5);
    assert_eq!(text(&read_all(&acked.file()), 1, Side::Upstream), "abc[5]");

    let mut finished = Talk::open(7, 0);
    finished.server(b"abc");
    finished.server += 4;
    finished.flags(Side::Upstream, FIN | ACK);
    let seen = read_all(&finished.file());
    assert_eq!(text(&seen, 1, Side::Upstream), "abc[4]");
    assert_eq!(seen[seen.len() - 2], Seen::Closed(1, Side::Upstream, How::Fin));
}

#[test]
fn an_acknowledged_fin_that_was_not_captured_is_no_missing_byte() {
    let mut talk = Talk::open(7, 0);
    talk.server(b"abc");
    talk.client_acks(1);
    assert_eq!(text(&read_all(&talk.file()), 1, Side::Upstream), "abc");
}

#[test]
fn memory_is_bounded_without_acknowledgements() {
    let mut talk = Talk::open(7, 0);
    let segment = [b'x'; 60_000];
    for n in 0..400_u32 {
        talk.server_at(1 + n * 60_000, &segment);
    }
    let mut first_gap = None;
    let mut packet = 0_u64;
    read(&*talk.file(), &mut |event| {
        packet = (event.at.0 - 1_000_000_000) / 1_000_000;
        if matches!(event.what, What::Gap { .. }) {
            first_gap.get_or_insert(packet);
        }
    })
    .unwrap();
    assert!(first_gap.is_some_and(|at| (130..160).contains(&at)), "given up at 8 MiB, found packet {first_gap:?}");
}

#[test]
fn a_packet_cut_by_the_snaplen_is_a_gap() {
    let mut talk = Talk::open(7, 0);
    talk.server(b"abcdefgh");
    talk.server(b"ij");
    let mut file = pcap_header(1);
    for (n, packet) in talk.packets.iter().enumerate() {
        let packet = ethernet(packet);
        file.extend(record(n as u32, packet.len() as u32, &packet[..packet.len().min(14 + 40 + 5)]));
    }
    let seen = read_all(&file);
    assert_eq!(text(&seen, 1, Side::Upstream), "abcde[3]ij");
    assert_eq!(seen[2], Seen::Gap(1, Side::Upstream, 5, Some(3)));
}

#[test]
fn a_snaplen_that_cuts_the_tcp_options_leaves_the_sequence_known() {
    let mut talk = Talk::open(7, 0);
    talk.server(b"abcdefgh");
    let last = talk.packets.last_mut().unwrap();
    let mut with_options = last[..40].to_vec();
    with_options[32] = 0x80; // a header of 8 words
    with_options.extend([1; 12]);
    with_options.extend(b"abcdefgh");
    let len = with_options.len() as u16;
    with_options[2..4].copy_from_slice(&len.to_be_bytes());
    *last = with_options;
    let mut file = pcap_header(1);
    for (n, packet) in talk.packets.iter().enumerate() {
        let packet = ethernet(packet);
        file.extend(record(n as u32, packet.len() as u32, &packet[..packet.len().min(14 + 40 + 4)]));
    }
    assert_eq!(text(&read_all(&file), 1, Side::Upstream), "[8]");
}

#[test]
fn how_much_is_missing_is_what_the_ip_header_says() {
    let mut talk = Talk::open(7, 0);
    talk.server(b"abcdefgh");
    talk.server(b"ij");
    // A tool has cut the packets and says nothing of it, or counts a frame check sequence.
    for counted in [-3_i32, 0, 4] {
        let mut file = pcap_header(1);
        for (n, packet) in talk.packets.iter().enumerate() {
            let packet = ethernet(packet);
            let kept = packet.len().min(14 + 40 + 5);
            file.extend(record(n as u32, packet.len().saturating_add_signed(counted as isize) as u32, &packet[..kept]));
        }
        assert_eq!(text(&read_all(&file), 1, Side::Upstream), "abcde[3]ij", "{counted}");
    }
}

#[test]
fn what_is_held_when_a_file_is_cut_off_is_told_too() {
    let mut talk = Talk::open(7, 0);
    talk.server_at(3, b"def");
    talk.server_at(0, b"abc");
    let file = talk.file();
    let (seen, result) = events(&file[..file.len() - 1]);
    assert!(matches!(result, Err(CaptureError::Cut { .. })));
    assert_eq!(text(&seen, 1, Side::Upstream), "[3]def");
    assert_eq!(seen.last(), Some(&Seen::Ended(1)));
}

#[test]
fn a_length_of_zero_is_a_segment_that_the_card_cuts_up() {
    let mut talk = Talk::open(7, 0);
    talk.server(b"abcdefgh");
    for packet in &mut talk.packets {
        packet[2..4].copy_from_slice(&[0, 0]);
    }
    assert_eq!(text(&read_all(&talk.file()), 1, Side::Upstream), "abcdefgh");
}

#[test]
fn a_reset_is_told_at_once_with_what_was_held() {
    let mut talk = Talk::open(7, 0);
    talk.client(b"abc");
    talk.client += 2;
    talk.client(b"fg");
    talk.flags(Side::Dialler, RST);
    talk.server(b"late");
    let seen = read_all(&talk.file());
    assert_eq!(
        seen[2..],
        [
            Seen::Gap(1, Side::Dialler, 3, Some(2)),
            Seen::Data(1, Side::Dialler, b"fg".to_vec()),
            Seen::Closed(1, Side::Dialler, How::Reset),
            Seen::Data(1, Side::Upstream, b"late".to_vec()),
            Seen::Ended(1),
        ]
    );
}

#[test]
fn a_fin_waits_for_what_is_before_it_and_a_reset_may_follow_it() {
    let mut talk = Talk::open(7, 0);
    talk.packets.push(tcp(SERVER, CLIENT, FIN | ACK, 3, 7, b"def"));
    talk.server(b"abc");
    talk.flags(Side::Dialler, FIN | ACK);
    talk.flags(Side::Dialler, FIN | ACK);
    talk.flags(Side::Upstream, RST);
    talk.flags(Side::Upstream, RST);
    let seen = read_all(&talk.file());
    assert_eq!(
        seen[1..],
        [
            Seen::Data(1, Side::Upstream, b"abc".to_vec()),
            Seen::Data(1, Side::Upstream, b"def".to_vec()),
            Seen::Closed(1, Side::Upstream, How::Fin),
            Seen::Closed(1, Side::Dialler, How::Fin),
            Seen::Closed(1, Side::Upstream, How::Reset),
            Seen::Ended(1),
        ]
    );
}

#[test]
fn a_half_closed_connection_goes_on() {
    let mut talk = Talk::open(7, 0);
    talk.flags(Side::Dialler, FIN | ACK);
    talk.server(b"still here");
    let seen = read_all(&talk.file());
    assert_eq!(seen[1], Seen::Closed(1, Side::Dialler, How::Fin));
    assert_eq!(text(&seen, 1, Side::Upstream), "still here");
}

#[test]
fn a_refused_connection() {
    let packets =
        [tcp(CLIENT, SERVER, SYN, 5, 0, b""), tcp(SERVER, CLIENT, RST | ACK, 0, 6, b"")].map(|ip| ethernet(&ip));
    assert_eq!(
        read_all(&pcap(1, &packets)),
        [Seen::Opened(1, addr(CLIENT), addr(SERVER)), Seen::Closed(1, Side::Upstream, How::Reset), Seen::Ended(1)]
    );
}

#[test]
fn the_same_addresses_again_are_a_new_connection() {
    let mut first = Talk::open(100, 200);
    first.client(b"one");
    let mut again = Talk::open(100, 200); // every packet sent twice changes nothing
    again.client(b"one");
    let mut second = Talk::open(9000, 70);
    second.client(b"two");
    second.server(b"2");
    let packets: Vec<Vec<u8>> =
        [first.packets, again.packets, second.packets].concat().iter().map(|ip| ethernet(ip)).collect();
    let seen = read_all(&pcap(1, &packets));
    assert_eq!(
        seen,
        [
            Seen::Opened(1, addr(CLIENT), addr(SERVER)),
            Seen::Data(1, Side::Dialler, b"one".to_vec()),
            Seen::Ended(1),
            Seen::Opened(2, addr(CLIENT), addr(SERVER)),
            Seen::Data(2, Side::Dialler, b"two".to_vec()),
            Seen::Data(2, Side::Upstream, b"2".to_vec()),
            Seen::Ended(2),
        ]
    );
}

#[test]
fn stragglers_of_a_closed_connection_are_no_new_one() {
    let mut talk = Talk::open(100, 200);
    talk.server(b"abc");
    talk.flags(Side::Dialler, FIN | ACK);
    talk.flags(Side::Upstream, FIN | ACK);
    talk.server_at(0_u32.wrapping_sub(3), b"abc");
    talk.flags(Side::Dialler, FIN | ACK);
    talk.client_acks(1);
    let seen = read_all(&talk.file());
    assert_eq!(seen.iter().filter(|event| matches!(event, Seen::Opened(..))).count(), 1);
    assert_eq!(text(&seen, 1, Side::Upstream), "abc");
}

#[test]
fn in_the_middle_each_direction_begins_with_an_unknown_gap() {
    let mut talk = Talk::middle(5000, 6000);
    talk.client_acks(0);
    talk.server(b"abc");
    talk.client(b"x");
    talk.server(b"def");
    let seen = read_all(&talk.file());
    assert_eq!(seen[0], Seen::Opened(1, addr(CLIENT), addr(SERVER)), "11210 is well known");
    assert_eq!(text(&seen, 1, Side::Upstream), "[?]abcdef");
    assert_eq!(text(&seen, 1, Side::Dialler), "[?]x");
}

#[test]
fn a_handshake_of_which_a_part_is_missing_is_no_gap() {
    for missing in 0..2 {
        let mut talk = Talk::open(100, 200);
        talk.client(b"ask");
        talk.server(b"answer");
        talk.packets.remove(missing);
        let seen = read_all(&talk.file());
        assert_eq!(seen[0], Seen::Opened(1, addr(CLIENT), addr(SERVER)));
        assert_eq!(BOTH.map(|side| text(&seen, 1, side)), ["ask", "answer"], "without packet {missing}");
    }
}

#[test]
fn who_was_dialled_is_guessed_where_no_syn_says_it() {
    let open = crate::wire::FrameBuilder::request(crate::wire::Opcode::DCP_OPEN).extras([0; 8]).key(*b"n").build();
    let mutation = crate::wire::FrameBuilder::request(crate::wire::Opcode::DCP_MUTATION).build();
    let cases: [(&str, &str, &[u8], &str); 8] = [
        ("10.0.0.1:40000", "10.0.0.2:11210", b"x", "10.0.0.2:11210"),
        ("10.0.0.1:11207", "10.0.0.2:8091", b"x", "10.0.0.1:11207"),
        ("10.0.0.1:40000", "10.0.0.2:12000", b"x", "10.0.0.2:12000"),
        ("10.0.0.1:12000", "10.0.0.2:40000", b"x", "10.0.0.1:12000"),
        ("10.0.0.1:45000", "10.0.0.2:44000", b"x", "10.0.0.2:44000"),
        ("10.0.0.1:44000", "10.0.0.2:45000", &open, "10.0.0.2:45000"),
        ("10.0.0.1:45000", "10.0.0.2:44000", &mutation, "10.0.0.1:45000"),
        ("10.0.0.1:12000", "10.0.0.2:40000", &open, "10.0.0.2:40000"),
    ];
    for (from, to, bytes, dialled) in cases {
        let seen = read_all(&pcap(1, &[ethernet(&tcp(from, to, ACK, 1, 1, bytes))]));
        assert!(matches!(seen[0], Seen::Opened(1, _, upstream) if upstream == addr(dialled)), "{from} {to} {seen:?}");
    }
    let known = [
        tcp("10.0.0.1:33000", "10.0.0.2:45000", SYN, 1, 0, b""),
        tcp("10.0.0.2:45000", "10.0.0.3:44000", ACK, 1, 0, b"x"),
    ]
    .map(|ip| ethernet(&ip));
    assert!(
        matches!(read_all(&pcap(1, &known))[1], Seen::Opened(2, _, upstream) if upstream == addr("10.0.0.2:45000"))
    );
}

#[test]
fn every_link_type_and_ip_version() {
    let v4 = tcp(CLIENT, SERVER, SYN, 1, 0, b"data in the SYN");
    let v6 = tcp("[fe80::1]:40000", "[fe80::2]:11210", SYN, 1, 0, b"data in the SYN");
    let v6_options = {
        let mut packet = v6.clone();
        packet[6] = 0; // hop-by-hop options, then TCP
        packet.splice(40..40, [6, 0, 1, 4, 0, 0, 0, 0]);
        let len = (packet.len() - 40) as u16;
        packet[4..6].copy_from_slice(&len.to_be_bytes());
        packet
    };
    let wrap = |front: &[u8], ip: &[u8]| [front, ip].concat();
    let cooked1 = |kind: [u8; 2]| [&[0; 14], &kind[..]].concat();
    let cooked2 = |kind: [u8; 2]| [&kind[..], &[0; 18]].concat();
    let mut padded = ethernet(&v4);
    padded.extend([0xee; 20]);
    let cases: Vec<(u32, Vec<u8>)> = vec![
        (1, ethernet(&v4)),
        (1, ethernet(&v6)),
        (1, ethernet(&v6_options)),
        (1, padded),
        (1, [&[0; 12], &[0x81, 0, 0, 5, 8, 0][..], &v4].concat()),
        (1, [&[0; 12], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 0x86, 0xdd][..], &v6].concat()),
        (113, wrap(&cooked1([8, 0]), &v4)),
        (113, wrap(&cooked1([0x86, 0xdd]), &v6)),
        (113, wrap(&[&cooked1([0x81, 0])[..], &[0, 5, 8, 0]].concat(), &v4)),
        (276, wrap(&cooked2([8, 0]), &v4)),
        (276, wrap(&cooked2([0x86, 0xdd]), &v6)),
        (0, wrap(&[2, 0, 0, 0], &v4)),
        (0, wrap(&[0, 0, 0, 30], &v6)),
        (108, wrap(&[0, 0, 0, 2], &v4)),
        (101, v4.clone()),
        (101, v6.clone()),
        (12, v4.clone()),
        (14, v6.clone()),
        (228, v4.clone()),
        (229, v6.clone()),
    ];
    for (n, (link, packet)) in cases.into_iter().enumerate() {
        let (seen, summary) = events(&pcap(link, &[packet]));
        assert_eq!(text(&seen, 1, Side::Dialler), "data in the SYN", "case {n}, link type {link}");
        assert_eq!(summary.unwrap().other_packets, 0);
    }
}

#[test]
fn what_is_not_tcp_is_counted() {
    let mut udp = Vec::new();
    etherparse::PacketBuilder::ipv4([1; 4], [2; 4], 64).udp(1, 2).write(&mut udp, b"x").unwrap();
    let mut fragment = tcp(CLIENT, SERVER, ACK, 1, 1, b"x");
    fragment[6] = 0x20;
    let packets = [ethernet(&udp), ethernet(&fragment), vec![0; 5], Vec::new(), [&[0; 12], &[8, 6][..]].concat()];
    let (seen, summary) = events(&pcap(1, &packets));
    assert_eq!(seen, []);
    assert_eq!(
        summary.unwrap(),
        Summary { packets: 5, fragments: 1, lost_fragments: 1, other_packets: 4, ..Summary::default() }
    );
}

#[test]
fn a_file_cut_off_anywhere_gives_what_is_readable_then_an_error() {
    let mut talk = Talk::open(7, 0);
    talk.server(b"abcd");
    talk.client(b"xy");
    talk.server(b"efgh");
    let file = talk.file();
    let whole = read_all(&file);
    let starts: Vec<usize> = talk
        .packets
        .iter()
        .scan(24, |at, packet| {
            let here = *at;
            *at += 16 + 14 + packet.len();
            Some(here)
        })
        .chain([file.len()])
        .collect();
    for len in 0..file.len() {
        let (seen, result) = events(&file[..len]);
        let told =
            |seen: &[Seen]| -> Vec<Seen> { seen.iter().filter(|e| !matches!(e, Seen::Ended(_))).cloned().collect() };
        assert!(told(&whole).starts_with(&told(&seen)), "cut at {len}: {seen:?}");
        let complete = starts.iter().filter(|&&at| at <= len).count().saturating_sub(1);
        assert_eq!(told(&seen).len(), [0, 1, 1, 1, 2, 3, 4][complete], "cut at {len}");
        match result {
            Ok(_) => assert!(starts.contains(&len), "cut at {len}"),
            Err(CaptureError::Cut { expected, found, offset, .. }) => {
                assert!(len > 3 && !starts.contains(&len), "cut at {len}");
                assert_eq!((offset + found) as usize, len);
                assert!(expected > found);
            }
            Err(CaptureError::NotACapture { found }) => assert!(len < 4 && found == file[..len]),
            Err(other) => panic!("cut at {len}: {other}"),
        }
    }
    let error = events(&file[..file.len() - 3]).1.unwrap_err().to_string();
    assert_eq!(error, format!("the capture is cut off at byte {}: expected 74 bytes of a packet, found 71", starts[5]));
}

#[test]
fn reading_stops_when_told_to() {
    let mut talk = Talk::open(7, 0);
    talk.server(b"abc");
    talk.server(b"def");
    let mut seen = 0;
    let summary = read_while(&*talk.file(), &mut |_| {
        seen += 1;
        if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((seen, summary.unwrap().packets), (2, 4));
}

#[test]
fn random_bytes_never_panic() {
    use proptest::prelude::*;
    proptest!(ProptestConfig::with_cases(300), |(link in prop::sample::select(vec![0_u32, 1, 101, 113, 276, 108]),
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..90), 0..6),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12))| {
        let mut talk = Talk::open(7, u32::MAX);
        talk.server(b"abcdef");
        talk.client_acks(9);
        talk.flags(Side::Upstream, FIN | ACK);
        let mut all: Vec<Vec<u8>> = talk.packets.iter().map(|ip| ethernet(ip)).collect();
        all.extend(packets);
        let mut file = pcap(link, &all);
        for (at, value) in flips {
            let at = at.index(file.len());
            file[at] = value;
        }
        let _ = events(&file);
    });
}
