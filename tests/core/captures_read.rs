//! Every capture of `captures/` is read whole: as many connections as tshark counts, and no gap.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use dcproxy::capture;
use dcproxy::capture::What;
use dcproxy::journal::Side;

/// Each capture with its number of TCP connections (`tshark -T fields -e tcp.stream | sort -u | wc -l`).
const CONNECTIONS: &[(&str, u32)] = &[
    ("bridged-close-at-both-natural.2019-07-after.pcap.gz", 2),
    ("bridged-close-at-both.2019-07-after.pcap", 2),
    ("bridged-close-at-both.2019-07-after_old-consumer.pcap", 2),
    ("bridged-close-at-both.2019-07-before.pcap", 2),
    ("bridged-close-at-both.2019-07-before_old-consumer.pcap", 2),
    ("bridged-close-at-both.6.5.0.pcap", 2),
    ("bridged-close-at-both.7.0.5-v7off.pcap", 2),
    ("bridged-close-at-both.7.0.5-v7on.pcap", 2),
    ("bridged-close-at-both.producer-6.5.0_consumer-7.0.5.pcap", 2),
    ("bridged-close-at-consumer.2019-07-after.pcap", 2),
    ("bridged-close-at-consumer.2019-07-after_old-consumer.pcap", 2),
    ("bridged-close-at-consumer.2019-07-before.pcap", 2),
    ("bridged-close-at-consumer.2019-07-before_old-consumer.pcap", 2),
    ("bridged-close-at-consumer.6.5.0.pcap", 2),
    ("bridged-close-at-consumer.7.0.5-v7on.pcap", 2),
    ("bridged-close-both-then-readd.2019-07-after.pcap", 2),
    ("bridged-close-both-then-readd.2019-07-before.pcap", 2),
    ("bridged-close-both-then-readd.6.5.0.pcap", 2),
    ("bridged-close-both-then-readd.7.0.5-v7off.pcap", 2),
    ("bridged-close-both-then-readd.7.0.5-v7on.pcap", 2),
    ("bridged-close-both-then-readd.producer-6.5.0_consumer-7.0.5.pcap", 2),
    ("bridged-every-frame-twice.2019-07-after.pcap", 2),
    ("bridged-every-frame-twice.6.5.0.pcap", 2),
    ("bridged-failover-natural.2019-07-after.pcap.gz", 3),
    ("bridged-failover-natural.2019-07-before.pcap.gz", 3),
    ("bridged-failover-natural.6.5.0.pcap.gz", 3),
    ("bridged-failover.2019-07-after.pcap", 3),
    ("bridged-failover.2019-07-before.pcap", 3),
    ("bridged-failover.6.5.0.pcap", 3),
    ("bridged-failover.7.0.5-v7off.pcap", 3),
    ("bridged-failover.7.0.5-v7on.pcap", 3),
    ("bridged-markers-withheld.2019-07-after.pcap", 2),
    ("bridged-mixed.producer-2019-07-before_consumer-6.5.0.pcap", 10),
    ("bridged-mixed.producer-6.5.0_consumer-2019-07.pcap", 7),
    ("bridged-plain.6.5.0.pcap", 2),
    ("bridged-plain.7.0.5-v7off.pcap", 2),
    ("bridged-plain.7.0.5-v7on.pcap", 2),
    ("bridged-plain.producer-6.5.0_consumer-7.0.5.pcap", 2),
    ("bridged-prepares-withheld.2019-07-after.pcap", 2),
    ("bridged-readd-producer-open.2019-07-after.pcap", 2),
    ("bridged-readd-producer-open.2019-07-before.pcap", 2),
    ("bridged-readd-producer-open.6.5.0.pcap", 2),
    ("bridged-readd-producer-open.7.0.5-v7on.pcap", 2),
    ("bridged-stream-end-first.2019-07-after.pcap", 2),
    ("bridged-stream-end-first.2019-07-before.pcap", 2),
    ("bridged-stream-end-first.6.5.0.pcap", 2),
    ("bridged-stream-end-first.7.0.5-v7off.pcap", 2),
    ("bridged-stream-end-first.7.0.5-v7on.pcap", 2),
    ("bridged-system-events-withheld.2019-07-after.pcap", 2),
    ("bridged-system-events-withheld.6.5.0.pcap", 2),
    ("bridged-vbucket-rewritten.2019-07-after.pcap", 2),
    ("bridged-without-delete-times.7.0.5.pcap", 2),
    ("client-answers-0x01.2019-07-after.pcap", 1),
    ("client-answers-0x01.2019-07-before.pcap", 1),
    ("client-answers-0x04.2019-07-after.pcap", 1),
    ("client-answers-0x04.2019-07-before.pcap", 1),
    ("client-answers-0x07.2019-07-after.pcap", 1),
    ("client-answers-0x07.2019-07-before.pcap", 1),
    ("client-answers-0x0d.2019-07-after.pcap", 1),
    ("client-answers-0x0d.2019-07-before.pcap", 1),
    ("close-while-stalled.2019-07-after.pcap", 6),
    ("consumer-answers.7.0.5.pcap.gz", 149),
    ("everything.2019-07-after.pcap.gz", 13),
    ("everything.6.5.0.pcap.gz", 13),
    ("everything.7.0.5.pcap.gz", 20),
    ("formats.2019-07-after.pcap", 11),
    ("formats.6.5.0.pcap", 12),
    ("orphans-extra.7.0.5.pcap.gz", 14),
    ("truth-table.2019-07-after.pcap.gz", 266),
    ("truth-table.2019-07-before.pcap.gz", 266),
    ("truth-table.6.5.0.pcap.gz", 266),
    ("truth-table.7.0.5.pcap.gz", 676),
];

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/captures"))
}

#[test]
fn every_capture_is_listed() {
    let mut found: Vec<String> = std::fs::read_dir(folder())
        .expect("captures/ is part of the project")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("plain names"))
        .filter(|name| name.contains(".pcap"))
        .collect();
    found.sort();
    let listed: Vec<&str> = CONNECTIONS.iter().map(|(name, _)| *name).collect();
    assert_eq!(found, listed);
}

#[test]
fn every_capture_is_read_whole() {
    for &(name, connections) in CONNECTIONS {
        let mut frames = BTreeMap::new();
        let mut state: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
        let summary = capture::read(File::open(folder().join(name)).expect("a capture"), &mut |event| {
            let (opened, ended) = state.entry(event.conn).or_default();
            match event.what {
                What::Opened { dialler, upstream } => {
                    assert!((12000..=13100).contains(&upstream.port()), "{name}: {dialler} dialled {upstream}");
                    *opened += 1;
                }
                What::Data { from, bytes } => {
                    frames.entry((event.conn, from)).or_insert_with(Vec::new).extend_from_slice(bytes);
                }
                What::Gap { .. } | What::Comment { .. } => panic!("{name}: {event:?}"),
                What::Closed { .. } => {}
                What::Ended => *ended += 1,
            }
        })
        .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(summary.connections, connections, "{name}");
        assert_eq!((summary.gaps, summary.other_packets, summary.fragments), (0, 0, 0), "{name}");
        assert_eq!(state.len(), connections as usize, "{name}");
        assert!(state.values().all(|counts| *counts == (1, 1)), "{name}");
        for ((conn, from), bytes) in frames {
            only_whole_frames(&bytes, &format!("{name}: connection {conn}, {from:?}"), from);
        }
    }
}

/// What a connection carried is frame after frame, up to its last bytes.
fn only_whole_frames(bytes: &[u8], at: &str, from: Side) {
    let mut deframer = dcproxy::wire::Deframer::new(dcproxy::wire::MAX_FRAME_LEN);
    let mut input = bytes;
    let mut frames = 0;
    while let Some(piece) = deframer.next(&mut input) {
        assert!(matches!(piece, dcproxy::wire::Piece::Frame(_)), "{at}: {piece:?}");
        frames += 1;
    }
    assert!(frames > 0 && deframer.at_boundary(), "{at}: {from:?} leaves {} bytes", deframer.partial().len());
}
