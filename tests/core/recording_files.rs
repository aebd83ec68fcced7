//! What a recording's file holds: every byte that crossed the two edges, and the journal, as they were; whatever is lost
//! on the way shows as a gap of its size.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)] // helpers of tests

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use dcproxy::Timestamp;
use dcproxy::capture;
use dcproxy::capture::write::{About, Ends, Gathered, Kind, Lost, Queue, Record, Recording, Redaction, Tape};
use dcproxy::capture::{Event, Recorded, Remark, What};
use dcproxy::dcp;
use dcproxy::engine::{Engine, Observer, Output};
use dcproxy::journal::{Direction, Entry, How, Side};
use dcproxy::session::{Context, Session};
use dcproxy::wire::{Deframer, FrameBuilder, Opcode, Piece};

const SIDES: [Side; 2] = [Side::Dialler, Side::Upstream];

/// A queue that remembers what it takes, and refuses what it is told to.
#[derive(Clone)]
pub(super) struct Heap {
    pub(super) records: Arc<Mutex<Vec<Record>>>,
    refuses: fn(u64) -> bool,
    count: Arc<Mutex<u64>>,
    pub(super) lost: Arc<Mutex<[Lost; 2]>>,
}

impl Heap {
    pub(super) fn new(refuses: fn(u64) -> bool) -> Self {
        Self { records: Arc::default(), refuses, count: Arc::default(), lost: Arc::default() }
    }

    pub(super) fn file(&self, about: About) -> Vec<u8> {
        let (mut recording, mut file) = (Recording::new(about), Gathered::default());
        recording.begin(&mut file);
        for record in self.records.lock().unwrap().iter() {
            recording.record(record, &mut file);
        }
        recording.end(*self.lost.lock().unwrap(), &mut file);
        file.to_vec()
    }
}

impl Queue for Heap {
    fn put(&mut self, record: Record) -> Option<Record> {
        let mut count = self.count.lock().unwrap();
        *count += 1;
        if (self.refuses)(*count) {
            let (frames, bytes) = record.size();
            let lost = &mut self.lost.lock().unwrap()[usize::from(record.edge == Side::Upstream)];
            *lost = Lost { frames: lost.frames + frames, bytes: lost.bytes + bytes };
            return Some(record);
        }
        self.records.lock().unwrap().push(record);
        None
    }
}

/// What is seen of a connection: the journal of the upstream's edge.
struct Watch {
    tape: Tape,
    /// Whether the tape runs.
    runs: bool,
    entries: Vec<Entry>,
}

impl Observer for Watch {
    fn observe(&mut self, entry: &Entry, _: &Context, session: &Session) {
        if self.runs {
            self.tape.entry(entry, session);
        }
        if entry.edge == Side::Upstream {
            self.entries.push(entry.clone());
        }
    }
}

/// A connection that is relayed and taped, without sockets.
struct Relay {
    engine: Engine<Watch>,
    now: Timestamp,
    bytes: [Vec<u8>; 2],
}

impl Relay {
    fn new(conn: u64, ends: Ends, heap: &Heap) -> Self {
        let tape = Tape::new(conn, ends, "seed=1".to_owned(), Timestamp(1_000), Box::new(heap.clone()));
        Self::watched(tape, true)
    }

    fn watched(tape: Tape, runs: bool) -> Self {
        Self {
            engine: Engine::new(None, Watch { tape, runs, entries: Vec::new() }, 0),
            now: Timestamp(1_000),
            bytes: Default::default(),
        }
    }

    /// The tape begins here.
    fn join(&mut self) {
        let now = self.now;
        let (watch, sessions) = self.engine.observed();
        watch.tape.join([sessions.at(Side::Dialler), sessions.at(Side::Upstream)], now);
        watch.runs = true;
    }

    fn feed(&mut self, from: Side, bytes: &[u8]) {
        self.now.0 += 1_000;
        let bytes = Bytes::copy_from_slice(bytes);
        self.bytes[usize::from(from == Side::Upstream)].extend_from_slice(&bytes);
        let watch = self.engine.observed().0;
        if watch.runs {
            watch.tape.came(from, bytes.clone());
        }
        self.engine.feed(from, bytes, self.now);
        self.drain();
    }

    fn close(&mut self, from: Side, how: How) {
        self.now.0 += 1_000;
        self.engine.closed(from, how, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll() {
            let watch = self.engine.observed().0;
            if let Output::Write { to, bytes } = output
                && watch.runs
            {
                watch.tape.went(to, bytes);
            }
        }
        let now = self.now;
        let watch = self.engine.observed().0;
        if watch.runs {
            watch.tape.turn(now);
        }
    }

    fn over(&mut self) -> Vec<Entry> {
        let now = self.now;
        let watch = self.engine.observed().0;
        watch.tape.over("closed", now);
        std::mem::take(&mut watch.entries)
    }
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn ends(n: u64) -> Ends {
    let of = |host: &str, port: u64| addr(&format!("{host}:{port}"));
    Ends {
        dialler: of("127.0.0.1", 40_000 + n),
        accepted_at: addr("127.0.0.1:11111"),
        dialled_from: of("10.0.0.1", 50_000 + n),
        upstream: addr("10.0.0.2:11210"),
    }
}

/// One direction of one edge as it is read back: bytes at their offsets, and what is missing.
#[derive(Default, Debug)]
pub(super) struct Way {
    pub(super) pieces: Vec<(u64, Vec<u8>)>,
    pub(super) gaps: Vec<(u64, u64)>,
    pub(super) len: u64,
    closed: Option<How>,
}

#[derive(Default, Debug)]
pub(super) struct Seen {
    ends: Option<(SocketAddr, SocketAddr)>,
    pub(super) ways: [Way; 2],
    pub(super) entries: Vec<Entry>,
    pub(super) remarks: Vec<Remark>,
}

pub(super) fn read_back(file: &[u8]) -> BTreeMap<(u64, bool), Seen> {
    let mut seen: BTreeMap<u32, Seen> = BTreeMap::new();
    let mut recorded = Recorded::new(0);
    capture::read(file, &mut |event: Event<'_>| {
        let this = seen.entry(event.conn).or_default();
        match event.what {
            What::Opened { dialler, upstream } => this.ends = Some((dialler, upstream)),
            What::Comment { text, .. } => this.remarks.push(text.parse().expect("a remark")),
            What::Data { from, bytes } => {
                let way = &mut this.ways[usize::from(from == Side::Upstream)];
                way.pieces.push((way.len, bytes.to_vec()));
                way.len += bytes.len() as u64;
            }
            What::Gap { from, offset, bytes } => {
                let way = &mut this.ways[usize::from(from == Side::Upstream)];
                assert_eq!(way.len, offset);
                // What was before a recording that begins in the middle is of no known size.
                let bytes = if way.len == 0 { bytes.unwrap_or(0) } else { bytes.expect("of known size") };
                way.gaps.push((offset, bytes));
                way.len += bytes;
            }
            What::Closed { from, how } => this.ways[usize::from(from == Side::Upstream)].closed = Some(how),
            What::Ended => {}
        }
        recorded.event(&event, &mut |happened| this.entries.push(happened.entry.clone()));
    })
    .expect("it can be read");
    let by_identity = seen.into_values().map(|seen| {
        let identity = seen.remarks.iter().find_map(|remark| match remark {
            Remark::Connection(identity) => Some(*identity),
            _ => None,
        });
        let identity = identity.expect("each says which it is");
        assert_eq!(seen.ends.expect("opened").1, identity.dialled);
        ((identity.id, identity.edge == Side::Upstream), seen)
    });
    by_identity.collect()
}

fn captures() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/captures");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().contains(".pcap"));
    // By hand, in release, with DCPROXY_WHOLE=1: the long ones too.
    let most = if std::env::var_os("DCPROXY_WHOLE").is_some() { u64::MAX } else { 100_000 };
    files.retain(|path| path.metadata().unwrap().len() <= most);
    files.sort();
    assert!(files.len() > 40, "{} captures", files.len());
    files
}

/// Relays every connection of a capture, in pieces of at most `cut` bytes.
fn relayed(path: &PathBuf, cut: usize, heap: &Heap) -> BTreeMap<u64, (Relay, Vec<Entry>)> {
    let mut bytes = Vec::new();
    File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    let mut relays: BTreeMap<u64, (Relay, Vec<Entry>)> = BTreeMap::new();
    capture::read(&bytes[..], &mut |event| {
        let id = u64::from(event.conn);
        let (relay, _) = relays.entry(id).or_insert_with(|| (Relay::new(id, ends(id), heap), Vec::new()));
        match event.what {
            What::Data { from, bytes } => bytes.chunks(cut).for_each(|bytes| relay.feed(from, bytes)),
            What::Closed { from, how } => relay.close(from, how),
            What::Ended => relays.get_mut(&id).unwrap().1 = relays.get_mut(&id).unwrap().0.over(),
            What::Opened { .. } | What::Comment { .. } | What::Gap { .. } => {}
        }
    })
    .unwrap();
    for (relay, _) in relays.values_mut() {
        relay.bytes = std::mem::take(&mut relay.bytes).map(without_logins);
    }
    relays
}

/// What is left of a direction where the values of logins are zeroed.
fn without_logins(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    for frame in frames(&bytes) {
        let header = *dcproxy::wire::Frame::new(&frame).unwrap().header();
        if matches!(header.opcode, Opcode::SASL_AUTH | Opcode::SASL_STEP) && !header.magic.is_server() {
            bytes[at + header.head_len()..at + frame.len()].fill(0);
        }
        at += frame.len();
    }
    bytes
}

/// Everything is read back as it was; `whole` where nothing may be missing.
fn assert_read_back(path: &Path, relays: &BTreeMap<u64, (Relay, Vec<Entry>)>, file: &[u8], whole: bool) -> u64 {
    let name = path.file_name().unwrap().to_string_lossy();
    let mut missing = 0;
    let seen = read_back(file);
    assert_eq!(seen.len(), 2 * relays.len(), "{name}");
    for ((id, is_upstream), seen) in &seen {
        let (relay, entries) = &relays[id];
        let (dialler, upstream) = ends(*id).at(if *is_upstream { Side::Upstream } else { Side::Dialler });
        assert_eq!(seen.ends, Some((dialler, upstream)), "{name}");
        for (way, sent) in seen.ways.iter().zip(&relay.bytes) {
            assert_eq!(way.len, sent.len() as u64, "{name} {id} {is_upstream}: every byte is there or missing");
            for (offset, bytes) in &way.pieces {
                let at = usize::try_from(*offset).unwrap();
                assert!(sent[at..at + bytes.len()] == bytes[..], "{name} {id}: other bytes at {offset}");
            }
            missing += way.gaps.iter().map(|(_, bytes)| bytes).sum::<u64>();
        }
        if *is_upstream && whole {
            for (ours, theirs) in seen.entries.iter().zip(entries) {
                assert_eq!(ours, theirs, "{name} {id}");
            }
            assert_eq!(seen.entries.len(), entries.len(), "{name} {id}");
        }
    }
    missing
}

#[test]
fn every_byte_and_every_entry_is_read_back() {
    for path in captures() {
        let heap = Heap::new(|_| false);
        let relays = relayed(&path, 5_000, &heap);
        assert_eq!(assert_read_back(&path, &relays, &heap.file(About::default()), true), 0);
    }
}

#[test]
fn it_does_not_depend_on_where_the_bytes_were_cut() {
    let path = captures().into_iter().find(|path| path.ends_with("bridged-plain.6.5.0.pcap")).unwrap();
    for cut in [1, 7, 100_000] {
        let heap = Heap::new(|_| false);
        let relays = relayed(&path, cut, &heap);
        assert_eq!(assert_read_back(&path, &relays, &heap.file(About::default()), true), 0);
    }
}

#[test]
fn what_is_lost_is_a_gap_of_its_size_and_is_counted() {
    for path in captures().iter().take(12) {
        // In runs, and now and then: the handshakes too.
        let heap = Heap::new(|n| n < 4 || n % 97 < 5 || n % 11 == 0);
        let relays = relayed(path, 5_000, &heap);
        let missing = assert_read_back(path, &relays, &heap.file(About::default()), false);
        let [dialler, upstream] = *heap.lost.lock().unwrap();
        assert!(missing > 0 && dialler.frames > 0 && upstream.frames > 0);
        assert_eq!(missing, dialler.bytes + upstream.bytes);
        let told: u64 = read_back(&heap.file(About::default()))
            .values()
            .flat_map(|seen| &seen.remarks)
            .map(|remark| if let Remark::Lost { bytes, .. } = remark { *bytes } else { 0 })
            .sum();
        assert!(
            told <= missing && told > 0,
            "what went missing is remarked where the next packet is: {told} of {missing}"
        );
    }
}

/// A tape that joins after so many reads holds each direction from its next frame on, whole, and reads as that did.
#[test]
fn a_tape_that_joins_begins_with_the_next_frame_of_each_direction() {
    let path = captures().into_iter().find(|path| path.ends_with("bridged-plain.6.5.0.pcap")).unwrap();
    let mut capture = Vec::new();
    File::open(&path).unwrap().read_to_end(&mut capture).unwrap();
    for (cut, join) in [(1_000, 40), (97, 60), (97, 61), (31, 200), (31, 201), (31, 202), (7, 1_003)] {
        let heap = Heap::new(|_| false);
        let tape = Tape::joining(1, ends(1), "seed=1".to_owned(), Box::new(heap.clone()));
        let mut relay = Relay::watched(tape, false);
        let (mut reads, mut before, mut negotiated) = (0, [0, 0], None);
        capture::read(&capture[..], &mut |event| match event.what {
            What::Data { from, bytes } if event.conn == 1 => {
                for bytes in bytes.chunks(cut) {
                    if reads == join {
                        before = relay.bytes.each_ref().map(Vec::len);
                        relay.join();
                        negotiated = Some(*relay.engine.observed().1.at(Side::Upstream).negotiated());
                        relay.engine.observed().0.entries.clear();
                    }
                    relay.feed(from, bytes);
                    reads += 1;
                }
            }
            _ => {}
        })
        .unwrap();
        assert!(reads > join, "{reads} reads of {cut}");
        let entries = relay.over();
        let bytes = std::mem::take(&mut relay.bytes).map(without_logins);
        let mut first = [0, 0];
        for (first, (bytes, before)) in first.iter_mut().zip(bytes.iter().zip(before)) {
            for frame in frames(bytes) {
                if *first >= before {
                    break;
                }
                *first += frame.len();
            }
        }
        let seen = read_back(&heap.file(About::default()));
        assert_eq!(seen.len(), 2);
        for ((_, is_upstream), seen) in &seen {
            for ((way, sent), first) in seen.ways.iter().zip(&bytes).zip(first) {
                assert_eq!(way.gaps, [(0, 0)], "what was before is missing, and nothing else");
                let found: Vec<u8> = way.pieces.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
                assert_eq!(found.len(), sent.len() - first, "{cut} {join} {is_upstream}");
                assert!(found == sent[first..], "{cut} {join}: the bytes from the next frame on");
            }
            assert!(seen.remarks.contains(&Remark::Joined(negotiated.unwrap())));
        }
        // Those of a frame that had begun are not there; the others read alike.
        let frame = |entry: &Entry| match &entry.what {
            dcproxy::journal::What::Frame(head) => Some((entry.direction, head.clone())),
            _ => None,
        };
        let read: Vec<_> = seen[&(1, true)].entries.iter().filter_map(frame).collect();
        let said: Vec<_> = entries.iter().filter_map(frame).collect();
        for direction in [Direction::From, Direction::To] {
            let of = |all: &[(Direction, dcp::FrameHead)]| {
                all.iter().filter(|(way, _)| *way == direction).map(|(_, head)| head.clone()).collect::<Vec<_>>()
            };
            let (read, said) = (of(&read), of(&said));
            assert!(
                said.ends_with(&read) && said.len() - read.len() <= 1,
                "{cut} {join}: {} {}",
                said.len(),
                read.len()
            );
        }
    }
}

#[test]
fn a_snaplen_cuts_packets_and_nothing_else() {
    for path in captures().iter().take(5) {
        let heap = Heap::new(|_| false);
        let relays = relayed(path, 5_000, &heap);
        let file = heap.file(About { snaplen: Some(150), ..About::default() });
        let missing = assert_read_back(path, &relays, &file, false);
        assert!(missing > 0);
    }
}

#[test]
fn ipv6_and_frames_longer_than_a_segment() {
    let ends = Ends {
        dialler: addr("[2001:db8::1]:40000"),
        accepted_at: addr("[2001:db8::2]:11111"),
        dialled_from: addr("[::1]:50000"),
        upstream: addr("[::1]:11210"),
    };
    for len in [64_000, 65_000 - 24, 65_000 - 23, 130_000, 131_072, 1_000_000] {
        let heap = Heap::new(|_| false);
        let mut relay = Relay::new(9, ends, &heap);
        let frame = FrameBuilder::request(Opcode::SET).value(vec![7; len]).build();
        for bytes in frame.chunks(60_000) {
            relay.feed(Side::Dialler, bytes);
        }
        relay.feed(Side::Upstream, &FrameBuilder::request(Opcode::NOOP).build());
        relay.feed(Side::Dialler, &frame[..10]);
        relay.close(Side::Dialler, How::Fin);
        relay.close(Side::Upstream, How::Reset);
        relay.over();
        let seen = read_back(&heap.file(About::default()));
        for edge in SIDES {
            let seen = &seen[&(9, edge == Side::Upstream)];
            assert_eq!(seen.ends, Some(ends.at(edge)));
            let [dialler, upstream] = &seen.ways;
            assert_eq!((dialler.closed, upstream.closed), (Some(How::Fin), Some(How::Reset)));
            assert_eq!(dialler.pieces.concat_bytes(), relay.bytes[0]);
            assert_eq!(upstream.pieces.concat_bytes(), relay.bytes[1]);
        }
    }
}

pub(super) trait Concat {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl Concat for Vec<(u64, Vec<u8>)> {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}

/// Each of the files says whose packets it holds.
#[test]
fn each_file_of_a_rotated_recording_can_be_read_by_itself() {
    let path = captures().into_iter().find(|path| path.ends_with("bridged-plain.6.5.0.pcap")).unwrap();
    let heap = Heap::new(|_| false);
    let relays = relayed(&path, 5_000, &heap);
    let records = heap.records.lock().unwrap();
    let mut recording = Recording::new(About::default());
    let mut data = 0;
    for part in records.chunks(records.len() / 3) {
        let mut file = Gathered::default();
        recording.begin(&mut file);
        part.iter().for_each(|record| recording.record(record, &mut file));
        recording.end([Lost::default(); 2], &mut file);
        let mut identities: BTreeMap<u32, Vec<Remark>> = BTreeMap::new();
        capture::read(&file.to_vec()[..], &mut |event| match event.what {
            What::Opened { dialler, upstream } => {
                assert!(
                    (1..=relays.len() as u64)
                        .flat_map(|id| SIDES.map(|side| ends(id).at(side)))
                        .any(|of| of == (dialler, upstream))
                );
                identities.insert(event.conn, Vec::new());
            }
            What::Comment { text, .. } => identities.get_mut(&event.conn).unwrap().push(text.parse().unwrap()),
            What::Data { bytes, .. } => {
                data += bytes.len();
                let remarks = &identities[&event.conn];
                assert!(matches!(remarks[..], [Remark::Connection(_), Remark::Terms(_), ..]), "{remarks:?}");
            }
            What::Gap { .. } | What::Closed { .. } | What::Ended => {}
        })
        .unwrap();
    }
    let sent: usize = relays.values().flat_map(|(relay, _)| &relay.bytes).map(Vec::len).sum();
    assert_eq!(data, 2 * sent);
}

/// The frames of a direction, each with whether the connection has collections.
fn frames(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut deframer, mut input, mut frames) = (Deframer::new(1 << 25), bytes, Vec::new());
    while let Some(piece) = deframer.next(&mut input) {
        if let Piece::Frame(frame) = piece {
            frames.push(frame.bytes().to_vec());
        }
    }
    frames
}

#[test]
fn what_is_blanked_still_says_the_same_of_itself() {
    let redaction = Redaction { keys: true, values: true, secret: 77 };
    let mut changed = 0;
    for path in captures() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let heap = Heap::new(|_| false);
        let relays = relayed(&path, 5_000, &heap);
        let seen = read_back(&heap.file(About { redaction, ..About::default() }));
        for (id, (relay, live)) in &relays {
            let seen = &seen[&(*id, true)];
            // The journal, but for the hashes of keys.
            let plain = |entry: &Entry| {
                let mut entry = entry.clone();
                if let dcproxy::journal::What::Frame(head) = &mut entry.what {
                    head.key_hash = 0;
                    if head.message.is_err() {
                        head.message = Err(dcp::Malformed("malformed".into()));
                    }
                }
                entry
            };
            for (ours, theirs) in seen.entries.iter().zip(live) {
                assert_eq!(plain(ours), plain(theirs), "{name} {id}");
            }
            assert_eq!(seen.entries.len(), live.len());
            for (way, sent) in seen.ways.iter().zip(&relay.bytes) {
                for (ours, theirs) in frames(&way.pieces.concat_bytes()).iter().zip(frames(sent)) {
                    assert_eq!((ours.len(), &ours[..24]), (theirs.len(), &theirs[..24]), "{name} {id}");
                    changed += usize::from(*ours != theirs);
                    let opcode = Opcode(ours[1]);
                    if dcp::carries_key(opcode) && ours[0] & 0x81 == 0x80 {
                        let frame = dcproxy::wire::Frame::new(ours).unwrap();
                        let datatype = frame.header().datatype;
                        assert_ne!(frame.key(), dcproxy::wire::Frame::new(&theirs).unwrap().key());
                        let value = frame.value().unwrap_or_default();
                        if datatype == dcproxy::wire::Datatype::JSON && !value.is_empty() {
                            assert!(
                                serde_json::from_slice::<serde_json::Value>(value).is_ok(),
                                "{name} {id} {value:?}"
                            );
                        }
                    }
                }
            }
        }
    }
    assert!(changed > 5_000, "{changed}");
}

#[test]
fn equal_keys_are_equal_still() {
    let path = captures().into_iter().find(|path| path.ends_with("bridged-every-frame-twice.6.5.0.pcap")).unwrap();
    let heap = Heap::new(|_| false);
    let relays = relayed(&path, 5_000, &heap);
    let redaction = Redaction { keys: true, values: false, secret: 77 };
    let seen = read_back(&heap.file(About { redaction, ..About::default() }));
    let hashes = |entries: &[Entry]| -> Vec<u64> {
        let heads = entries.iter().filter_map(|entry| match &entry.what {
            dcproxy::journal::What::Frame(head) if head.header.key_len > 3 && head.key_hash != 0 => Some(head.key_hash),
            _ => None,
        });
        heads.collect()
    };
    let mut keys = 0;
    for (id, (_, live)) in &relays {
        let (live, blank) = (hashes(live), hashes(&seen[&(*id, true)].entries));
        let pairs: BTreeMap<u64, u64> = live.iter().copied().zip(blank.iter().copied()).collect();
        let back: BTreeMap<u64, u64> = blank.iter().copied().zip(live.iter().copied()).collect();
        assert_eq!(pairs.len(), back.len(), "as many keys, and each another");
        assert!(live.iter().zip(&blank).all(|(live, blank)| pairs[live] == *blank));
        keys += pairs.len();
    }
    assert!(keys > 50, "{keys}");
}

#[test]
fn no_login_is_in_a_recording_however_it_was_cut() {
    let part = |bytes: &[u8], secret: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
    for cut in [1, 24, 30, 10_000] {
        let heap = Heap::new(|_| false);
        let mut relay = Relay::new(1, ends(1), &heap);
        let secret = b"\0Administrator\0hunter2hunter2";
        let auth = FrameBuilder::request(Opcode::SASL_AUTH).key(*b"PLAIN").value(*secret).build();
        let step =
            FrameBuilder::request(Opcode::SASL_STEP).key(*b"SCRAM-SHA1").value(*b"c=biws,r=hunter2hunter2").build();
        let answer = FrameBuilder::response(Opcode::SASL_AUTH, dcproxy::wire::Status(0x21))
            .value(*b"r=hunter2hunter2,s=")
            .build();
        for bytes in [&auth[..], &step].concat().chunks(cut) {
            relay.feed(Side::Dialler, bytes);
        }
        answer.chunks(cut).for_each(|bytes| relay.feed(Side::Upstream, bytes));
        // One that never ends.
        relay.feed(Side::Dialler, &auth[..auth.len() - 1]);
        relay.close(Side::Dialler, How::Fin);
        relay.over();
        let file = heap.file(About::default());
        assert!(part(&file, b"PLAIN") && !part(&file, b"hunter2"), "cut at {cut}");
        assert!(
            heap.records
                .lock()
                .unwrap()
                .iter()
                .any(|record| matches!(&record.kind, Kind::Data(bytes, _) if part(bytes, b"hunter2")))
        );
        let seen = read_back(&file);
        assert_eq!(seen[&(1, true)].ways[0].len, relay.bytes[0].len() as u64, "lengths are kept");
    }
}

/// What the tool did is never lost with the bytes.
#[test]
fn acts_wait_until_there_is_room() {
    use dcproxy::journal::{Act, Origin};
    let heap = Heap::new(|n| (3..40).contains(&n));
    let mut relay = Relay::new(1, ends(1), &heap);
    for n in 0..60_u16 {
        let act = Act::NeverFired { step: n.to_string() };
        let entry = Entry {
            at: relay.now,
            edge: Side::Upstream,
            direction: Direction::To,
            origin: Origin::Tool,
            what: dcproxy::journal::What::Acted(act),
        };
        relay.engine.observed().0.tape.entry(&entry, &Session::new(Side::Upstream));
        relay.feed(Side::Upstream, &FrameBuilder::request(Opcode::NOOP).build());
    }
    relay.over();
    let seen = read_back(&heap.file(About::default()));
    let acts = seen[&(1, true)].remarks.iter().filter(|remark| matches!(remark, Remark::Act(_)));
    let steps: Vec<String> = acts
        .map(|remark| match remark {
            Remark::Act(Act::NeverFired { step }) => step.clone(),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(steps, (0..60).map(|n: u16| n.to_string()).collect::<Vec<_>>());
}
