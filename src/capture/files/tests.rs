use std::io::Write;
use std::ops::ControlFlow;

use super::super::testing::*;
use super::super::*;
use super::*;
use crate::journal::How;
use crate::journal::Side;

/// A file whose packets are a millisecond apart, from `from` ms after the first second on.
fn file(packets: &[Vec<u8>], from: u32) -> Vec<u8> {
    let mut file = pcap_header(1);
    for (n, packet) in (from..).zip(packets) {
        let packet = ethernet(packet);
        file.extend(record(n, packet.len() as u32, &packet));
    }
    file
}

/// A conversation in three parts, each a file; the packets that are missing in none.
fn rotated() -> [Vec<u8>; 3] {
    let mut talk = Talk::open(100, u32::MAX - 3);
    talk.client(b"ask");
    talk.server(b"ans");
    let first = talk.packets.len();
    talk.server(b"wer, which goes on");
    talk.client(b" again");
    let second = talk.packets.len();
    talk.server(b" and on");
    talk.flags(Side::Dialler, FIN | ACK);
    talk.flags(Side::Upstream, FIN | ACK);
    let parts = [&talk.packets[..first], &talk.packets[first..second], &talk.packets[second..]];
    [file(parts[0], 0), file(parts[1], 1000), file(parts[2], 2000)]
}

fn on_disk(folder: &tempfile::TempDir, files: &[(&str, &[u8])]) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        paths.push(path);
    }
    paths
}

fn run(files: Files<'_>) -> (Vec<Seen>, FilesRead) {
    let mut seen = Vec::new();
    let read = files.read(&mut |_, event| {
        seen.push(Seen::new(event));
        ControlFlow::Continue(())
    });
    (seen, read)
}

fn texts(seen: &[Seen], conn: u32) -> [String; 2] {
    [Side::Dialler, Side::Upstream].map(|side| text(seen, conn, side))
}

const WHOLE: [&str; 2] = ["ask again", "answer, which goes on and on"];

#[test]
fn rotated_captures_are_one_in_whatever_order_they_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two, three] = rotated();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&two).unwrap();
    let two = gzip.finish().unwrap();
    let empty = pcap_header(1);
    let paths = on_disk(&folder, &[("a", &one), ("b.gz", &two), ("c", &three), ("none", &empty)]);
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 2, 3, 0], [2, 0, 3, 1]] {
        let files = order.iter().fold(Files::new(), |files, &n: &usize| files.path(&paths[n]));
        let (seen, read) = run(files);
        assert!(read.errors.is_empty(), "{:?}", read.errors);
        assert_eq!((read.summary.connections, read.summary.gaps, read.summary.packets), (1, 0, 10), "{order:?}");
        assert_eq!(texts(&seen, 1), WHOLE, "{order:?}");
        assert_eq!(seen.iter().filter(|event| matches!(event, Seen::Opened(..))).count(), 1);
        assert_eq!(seen.last(), Some(&Seen::Ended(1)));
        assert!(seen.contains(&Seen::Closed(1, Side::Upstream, How::Fin)));
    }
}

#[test]
fn stdin_is_one_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two, three] = rotated();
    let paths = on_disk(&folder, &[("a", &one), ("c", &three)]);
    let in_order = Files::new().path(&paths[0]).reader("-", &two[..]).path(&paths[1]);
    let out_of_order = Files::new().reader("-", &two[..]).path(&paths[1]).path(&paths[0]);
    for files in [in_order, out_of_order] {
        let (seen, read) = run(files);
        assert!(read.errors.is_empty());
        assert_eq!(texts(&seen, 1), WHOLE);
    }
}

#[test]
fn each_event_has_the_name_of_its_file() {
    let [one, two, three] = rotated();
    let mut names = Vec::new();
    let files = Files::new().reader("c", &three[..]).reader("a", &one[..]).reader("b", &two[..]);
    files.read(&mut |name, event| {
        if let What::Data { from: Side::Upstream, .. } = event.what {
            names.push(name.to_owned());
        }
        ControlFlow::Continue(())
    });
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
fn one_that_is_cut_off_is_told_and_the_others_are_read() {
    let [one, two, three] = rotated();
    let last = 14 + 40 + 6 + 16;
    let cut = &two[..two.len() - last - 1];
    let missing = PathBuf::from("/nowhere/at/all");
    let files = Files::new()
        .reader("three", &three[..])
        .path(&missing)
        .reader("two", cut)
        .reader("no capture", &b"text"[..])
        .reader("one", &one[..]);
    let (seen, read) = run(files);
    let names: Vec<&str> = read.errors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["/nowhere/at/all", "two", "no capture"], "in the order in which they were named");
    assert!(matches!(read.errors[0].1, CaptureError::Open(_)));
    assert!(matches!(read.errors[1].1, CaptureError::Cut { what: "a packet", .. }), "{:?}", read.errors[1]);
    assert_eq!(texts(&seen, 1), ["ask[6]", "ans[18] and on"], "what it lacks is a gap");
    assert_eq!(read.summary.connections, 1);
}

#[test]
fn captures_that_overlap_or_are_of_other_times_are_read_each_on_its_own_as_named() {
    let talk = |answer: &[u8]| {
        let mut talk = Talk::middle(5, 6);
        talk.client(b"x");
        talk.server(answer);
        talk.server(b".");
        talk.packets
    };
    let cases: [(u32, u32, &str); 4] =
        [(0, 0, "the same time"), (50, 0, "overlapping"), (0, 31_000, "later"), (31_000, 0, "earlier")];
    for (one, two, what) in cases {
        let long = |packets: Vec<Vec<u8>>, from: u32| {
            // The last packet comes 100 ms after the others.
            let (last, others) = packets.split_last().unwrap();
            let mut bytes = file(others, from);
            bytes.extend(&file(std::slice::from_ref(last), from + 100)[24..]);
            bytes
        };
        let (one, two) = (long(talk(b"one"), one), long(talk(b"two"), two));
        let (seen, read) = run(Files::new().reader("a", &one[..]).reader("b", &two[..]));
        assert_eq!(read.summary.connections, 2, "{what}");
        // What can be read only once is read in the order of time.
        let folder = tempfile::tempdir().unwrap();
        let paths = on_disk(&folder, &[("a", &one), ("b", &two)]);
        let (on_disk, _) = run(Files::new().path(&paths[0]).path(&paths[1]));
        assert_eq!(texts(&on_disk, 1), ["[?]x", "[?]one."], "{what}");
        assert_eq!(texts(&on_disk, 2), ["[?]x", "[?]two."], "{what}");
        assert_eq!(seen.len(), on_disk.len());
    }
}

#[test]
fn files_whose_names_say_that_they_are_one_capture_may_be_silent_for_longer() {
    let read = |names: [&str; 2], seconds: u32| {
        let mut talk = Talk::open(5, 6);
        talk.client(b"x");
        let front = file(&talk.packets, 0);
        talk.packets.clear();
        talk.client(b"y");
        let back = file(&talk.packets, seconds * 1000);
        run(Files::new().reader(names[0], &front[..]).reader(names[1], &back[..])).1.summary.connections
    };
    let (alike, other) = (["ring_9.pcap", "ring_10.pcap.gz"], ["a.pcap", "b.pcap"]);
    assert_eq!(
        [read(other, 29), read(other, 31), read(alike, 31), read(alike, 599), read(alike, 601)],
        [1, 2, 1, 1, 2]
    );
}

#[test]
fn two_captures_that_were_both_rotated_are_told_apart() {
    let [a1, a2, a3] = rotated();
    let shifted = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let mut at = 24;
        while at < bytes.len() {
            let field = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let (micros, len) = (field(at + 4) + 500_000, field(at + 8));
            bytes[at + 4..at + 8].copy_from_slice(&micros.to_le_bytes());
            at += 16 + len as usize;
        }
        bytes
    };
    // The other host's files begin before those of the first one have ended.
    let longer =
        |bytes: &[u8], from: u32| [bytes, &file(&[tcp("9.9.9.9:1", "9.9.9.8:2", ACK, 1, 1, b"")], from)[24..]].concat();
    let (a1, a2) = (longer(&a1, 990), longer(&a2, 1990));
    let (b1, b2, b3) = (shifted(&longer(&rotated()[0], 990)), shifted(&longer(&rotated()[1], 1990)), shifted(&a3));
    for named in [[&a1, &b1, &a2, &b2, &a3, &b3], [&a3, &a1, &b3, &a2, &b2, &b1]] {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<(String, &[u8])> =
            (0..).zip(named).map(|(n, bytes): (u32, &Vec<u8>)| (n.to_string(), &bytes[..])).collect();
        let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
        let files = on_disk(&folder, &files).into_iter().fold(Files::new(), Files::path);
        let (seen, read) = run(files);
        assert_eq!((read.summary.connections, read.summary.gaps), (2, 0));
        assert_eq!([texts(&seen, 1), texts(&seen, 2)], [WHOLE, WHOLE].map(|whole| whole.map(str::to_owned)));
    }
}

#[test]
fn it_stops_when_it_is_told_to() {
    let [one, two, three] = rotated();
    let mut seen = 0;
    Files::new().reader("a", &one[..]).reader("b", &two[..]).reader("c", &three[..]).read(&mut |_, _| {
        seen += 1;
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(seen, 3);
}
