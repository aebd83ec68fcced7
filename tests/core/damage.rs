//! Captures whose packets were damaged at random: reordered, repeated, cut into other segments down to every byte, sent again with other
//! boundaries, lost. Read back, each direction of each connection has the same frames in the same order, less those that the loss touched;
//! and what was lost is told, at its place and with its size.
//!
//! `DCPROXY_SEEDS=100 cargo test --release --test core damage` does a hundred times as much.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use dcproxy::capture::{self, Event, Recorded, Summary, What};
use dcproxy::journal::{self, Side};
use etherparse::PacketBuilder;

/// One direction of one connection.
type Direction = (u32, Side);

/// What a direction said, and what of it is known to be missing: where, and how much.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Said {
    bytes: Vec<u8>,
    gaps: Vec<(u64, Option<u64>)>,
    frames: Vec<Vec<u8>>,
    /// Of the frames, those that a search found.
    found: usize,
}

type Story = BTreeMap<Direction, Said>;

fn read(file: &[u8]) -> (Story, Summary) {
    let mut story = Story::new();
    let mut recorded = Recorded::new(0);
    let summary = capture::read(file, &mut |event: Event<'_>| {
        match event.what {
            What::Data { from, bytes } => {
                story.entry((event.conn, from)).or_default().bytes.extend_from_slice(bytes);
            }
            What::Gap { from, offset, bytes } => {
                story.entry((event.conn, from)).or_default().gaps.push((offset, bytes));
            }
            What::Opened { .. } | What::Comment { .. } | What::Closed { .. } | What::Ended => {}
        }
        recorded.event(&event, &mut |happened| {
            let said = story.entry((happened.conn, happened.entry.sender())).or_default();
            if let (journal::What::Frame(_), Some(frame)) = (&happened.entry.what, &happened.frame) {
                // One whose value is cut was touched by the loss.
                if frame.is_whole() {
                    said.frames.push(frame.bytes().to_vec());
                    said.found += usize::from(happened.resynchronised);
                }
            }
        });
    });
    (story, summary.unwrap())
}

/// A TCP segment on its way.
#[derive(Clone, Debug)]
struct Segment {
    conn: u32,
    from: Side,
    /// Bytes of its direction before it.
    offset: usize,
    bytes: Vec<u8>,
    flags: u8,
}

const SYN: u8 = 0x02;
const FIN: u8 = 0x01;
const ACK: u8 = 0x10;

#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize).checked_rem(limit).unwrap_or_default()
    }
}

/// What a capture tells, as segments of another size.
struct Wire {
    ends: BTreeMap<u32, (SocketAddr, SocketAddr)>,
    segments: Vec<Segment>,
}

impl Wire {
    /// The bytes of a capture in segments of at most `most` bytes, each connection with a handshake and its ends.
    fn new(file: &[u8], most: usize, dice: &mut Dice) -> Self {
        let mut wire = Self { ends: BTreeMap::new(), segments: Vec::new() };
        let mut offsets: BTreeMap<Direction, usize> = BTreeMap::new();
        capture::read(file, &mut |event: Event<'_>| {
            let conn = event.conn;
            let mut push = |from, offset, bytes: &[u8], flags| {
                wire.segments.push(Segment { conn, from, offset, bytes: bytes.to_vec(), flags });
            };
            match event.what {
                What::Opened { dialler, upstream } => {
                    wire.ends.insert(conn, (dialler, upstream));
                    push(Side::Dialler, 0, b"", SYN);
                    push(Side::Upstream, 0, b"", SYN | ACK);
                }
                What::Data { from, bytes } => {
                    let offset = offsets.entry((conn, from)).or_default();
                    let mut rest = bytes;
                    while !rest.is_empty() {
                        let len = (1 + dice.below(most)).min(rest.len());
                        push(from, *offset, &rest[..len], ACK);
                        *offset += len;
                        rest = &rest[len..];
                    }
                }
                What::Ended => {
                    for from in [Side::Dialler, Side::Upstream] {
                        push(from, offsets.get(&(conn, from)).copied().unwrap_or_default(), b"", FIN | ACK);
                    }
                }
                What::Comment { .. } | What::Gap { .. } | What::Closed { .. } => {}
            }
        })
        .unwrap();
        wire
    }

    /// A pcap file of the segments. Acknowledgements are those of who has seen everything before.
    fn file(&self, first_seq: u32) -> Vec<u8> {
        let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 101, 0, 0, 0];
        for (n, segment) in (0_u32..).zip(&self.segments) {
            let (dialler, upstream) = self.ends[&segment.conn];
            let (from, to) = if segment.from == Side::Dialler { (dialler, upstream) } else { (upstream, dialler) };
            let (SocketAddr::V4(from), SocketAddr::V4(to)) = (from, to) else { panic!("the captures are of IPv4") };
            let before = if segment.flags & SYN != 0 { 0 } else { 1 + segment.offset as u32 };
            let seq = first_seq.wrapping_add(segment.conn.wrapping_mul(0x1234_5677)).wrapping_add(before);
            let mut tcp =
                PacketBuilder::ipv4(from.ip().octets(), to.ip().octets(), 64).tcp(from.port(), to.port(), seq, 9);
            if segment.flags & SYN != 0 {
                tcp = tcp.syn();
            }
            if segment.flags & FIN != 0 {
                tcp = tcp.fin();
            }
            let mut packet = Vec::new();
            tcp.write(&mut packet, &segment.bytes).unwrap();
            let len = packet.len() as u32;
            for field in [n / 1000, n % 1000 * 1000, len, len] {
                file.extend(field.to_le_bytes());
            }
            file.extend(packet);
        }
        file
    }

    /// Each segment goes up to so many places away from where it was; handshakes stay, and ends come last.
    fn shuffle(&mut self, window: usize, dice: &mut Dice) {
        let mut keyed: Vec<(usize, Segment)> = Vec::new();
        for (n, segment) in std::mem::take(&mut self.segments).into_iter().enumerate() {
            let at = if segment.flags & (SYN | FIN) != 0 { n } else { n + dice.below(window) };
            let at = if segment.flags & FIN != 0 { at + window } else { at };
            keyed.push((at, segment));
        }
        keyed.sort_by_key(|(at, _)| *at);
        self.segments = keyed.into_iter().map(|(_, segment)| segment).collect();
    }

    /// Some segments are there again, later, and some parts of two that lie side by side.
    fn repeat(&mut self, dice: &mut Dice) {
        let mut again: Vec<Segment> = Vec::new();
        for pair in self.segments.windows(2) {
            let [one, two] = pair else { continue };
            if dice.below(4) == 0 {
                again.push(one.clone());
            }
            let side_by_side = (one.conn, one.from, one.offset + one.bytes.len()) == (two.conn, two.from, two.offset);
            if side_by_side && one.flags | two.flags == ACK && dice.below(3) == 0 {
                let both = [&one.bytes[..], &two.bytes].concat();
                let from = dice.below(both.len());
                let len = 1 + dice.below(both.len() - from);
                again.push(Segment {
                    offset: one.offset + from,
                    bytes: both[from..from + len].to_vec(),
                    ..one.clone()
                });
            }
        }
        // Somewhere between its connection's handshake and its end.
        let mut lives: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
        for (n, segment) in self.segments.iter().enumerate() {
            let life = lives.entry(segment.conn).or_insert((n, usize::MAX));
            if segment.flags & SYN != 0 {
                life.0 = n;
            } else if segment.flags & FIN != 0 {
                life.1 = life.1.min(n);
            }
        }
        let mut keyed: Vec<(usize, Segment)> = std::mem::take(&mut self.segments).into_iter().enumerate().collect();
        for segment in again.into_iter().filter(|segment| segment.flags == ACK) {
            let (begin, end) = lives[&segment.conn];
            keyed.push((begin + dice.below(end - begin), segment));
        }
        keyed.sort_by_key(|(at, _)| *at);
        self.segments = keyed.into_iter().map(|(_, segment)| segment).collect();
    }

    /// Loses about one of so many segments with bytes; gives what is then missing of each direction, joined.
    fn lose(&mut self, one_of: usize, dice: &mut Dice) -> BTreeMap<Direction, Vec<(u64, u64)>> {
        let mut lost: BTreeMap<Direction, Vec<(u64, u64)>> = BTreeMap::new();
        self.segments.retain(|segment| {
            let goes = !segment.bytes.is_empty() && dice.below(one_of) == 0;
            if goes {
                let ranges = lost.entry((segment.conn, segment.from)).or_default();
                match ranges.last_mut() {
                    Some((offset, len)) if *offset + *len == segment.offset as u64 => {
                        *len += segment.bytes.len() as u64
                    }
                    _ => ranges.push((segment.offset as u64, segment.bytes.len() as u64)),
                }
            }
            !goes
        });
        lost
    }
}

fn seeds() -> u64 {
    std::env::var("DCPROXY_SEEDS").map_or(1, |text| text.parse().expect("DCPROXY_SEEDS is a number"))
}

/// The captures that are small enough to be taken apart again and again: real connections of every release.
fn captures() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/captures"));
    let mut all: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pcap"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .filter(|(_, bytes)| bytes.len() < 50_000)
        .collect();
    all.sort();
    assert!(all.len() > 20);
    all
}

/// Runs on one capture after the other, and on as many seeds as are wanted.
fn each(salt: u64, mut run: impl FnMut(&str, &[u8], &Story, Dice)) {
    let captures = captures();
    for seed in 0..seeds() * 4 {
        let mut dice = Dice(seed ^ salt << 32);
        let (name, file) = &captures[dice.below(captures.len())];
        let (whole, summary) = read(file);
        assert_eq!(summary.gaps, 0, "{name}");
        run(&format!("seed {seed}: {name}"), file, &whole, dice);
    }
}

/// As large as a segment may be in a run: every byte by itself, or up to what a network has.
const SEGMENTS: [usize; 4] = [1, 40, 1448, 20_000];

#[test]
fn reordered_repeated_and_cut_anew_they_are_the_same_frames() {
    each(1, |what, file, whole, mut dice| {
        for most in SEGMENTS {
            let mut wire = Wire::new(file, most, &mut dice);
            wire.repeat(&mut dice);
            wire.shuffle(1 + dice.below(60), &mut dice);
            // Sequence numbers wrap around somewhere in it.
            let (story, summary) = read(&wire.file(u32::MAX - dice.below(5000) as u32));
            assert_eq!((summary.gaps, summary.connections as usize), (0, wire.ends.len()), "{what}, {most}");
            for (direction, said) in whole {
                assert!(story.get(direction) == Some(said), "{what}, segments of {most}: {direction:?}");
            }
        }
    });
}

#[test]
fn what_is_lost_is_told_and_takes_no_other_frame_with_it() {
    let (mut lost_frames, mut lost_bytes, mut searches) = (0, 0, 0);
    each(2, |what, file, whole, mut dice| {
        for most in [100, 1448] {
            let mut wire = Wire::new(file, most, &mut dice);
            let lost = wire.lose(12, &mut dice);
            wire.shuffle(1 + dice.below(20), &mut dice);
            let (story, summary) = read(&wire.file(dice.below(1 << 31) as u32));
            let told: u64 = lost.values().flatten().map(|(_, len)| len).sum();
            assert_eq!(summary.missing_bytes, told, "{what}");
            for (direction, said) in whole {
                let gaps = lost.get(direction).cloned().unwrap_or_default();
                let seen = story.get(direction).cloned().unwrap_or_default();
                let place = format!("{what}, segments of {most}: {direction:?}");
                let joined = joined(&seen.gaps);
                assert_eq!(joined, gaps, "{place}");
                lost_bytes += gaps.iter().map(|(_, len)| len).sum::<u64>();
                searches += seen.found;
                let (untouched, near) = untouched(said, &gaps);
                lost_frames += said.frames.len() - untouched.len();
                // In order, every one that was sent, and none that was not.
                let mut sent = said.frames.iter();
                for frame in &seen.frames {
                    assert!(sent.any(|one| one == frame), "{place}: a frame that was not sent, or not there");
                }
                // All that no loss touched, but those near a gap, behind which framing had to be found again. Many are the same
                // to the byte, so those that must be there are looked for by themselves.
                let mut left = seen.frames.iter();
                for (frame, _) in untouched.iter().zip(near).filter(|(_, near)| !near) {
                    let found = left.any(|one| one == *frame);
                    assert!(found, "{place}: a frame is lost though it is whole, and not behind a gap");
                }
            }
        }
    });
    assert!(lost_bytes > 1000 && lost_frames > 10 && searches > 0, "{lost_bytes} {lost_frames} {searches}");
}

/// Gaps that lie side by side are one.
fn joined(gaps: &[(u64, Option<u64>)]) -> Vec<(u64, u64)> {
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for &(offset, len) in gaps {
        let len = len.expect("every gap has a size: the handshake is there");
        match joined.last_mut() {
            Some((at, before)) if *at + *before == offset => *before += len,
            _ => joined.push((offset, len)),
        }
    }
    joined
}

/// The frames that no loss touched; and of each whether it may have served to find framing again: whether a frame in which a gap
/// ended, or was whole, or a few frames before it were touched.
fn untouched<'s>(said: &'s Said, gaps: &[(u64, u64)]) -> (Vec<&'s Vec<u8>>, Vec<bool>) {
    let (mut frames, mut near, mut at, mut since) = (Vec::new(), Vec::new(), 0_u64, usize::MAX);
    for frame in &said.frames {
        let end = at + frame.len() as u64;
        let touched = gaps.iter().any(|&(offset, len)| offset < end && offset + len > at);
        since = if touched { 0 } else { since.saturating_add(1) };
        if !touched {
            frames.push(frame);
            near.push(since <= 3);
        }
        at = end;
    }
    (frames, near)
}
