//! Frames of which there is nothing to say are recorded together, whether they were told at once or one by one: what is
//! read back is each of them, and of none a key or a document that was to be blanked.

use bytes::Bytes;
use dcproxy::Timestamp;
use dcproxy::capture::Remark;
use dcproxy::capture::write::{About, Kind, Record, Redaction, Tape};
use dcproxy::engine::{Engine, Observer, Output};
use dcproxy::journal::{Entries, Entry, How, Side, What};
use dcproxy::session::{Context, Session};
use dcproxy::wire::{Header, Opcode};
use fastrand::Rng;

use crate::mutations::{Producer, opening, stream_req};
use crate::recording_files::{Concat, Heap, Seen, ends, read_back};

const PRODUCER: Side = Side::Upstream;

/// A tape, and what it was told. `at_once`: many mutations may be.
struct Watch {
    tape: Tape,
    at_once: bool,
    /// The journal of the upstream's edge, as far as it was told one by one.
    entries: Vec<Entry>,
    /// Frames that it was told of, and how many of them at once.
    frames: u64,
    together: u64,
}

impl Observer for Watch {
    fn observe(&mut self, entry: &Entry, _: &Context, session: &Session) {
        self.tape.entry(entry, session);
        self.frames += u64::from(matches!(entry.what, What::Frame(_)));
        if entry.edge == Side::Upstream {
            self.entries.push(entry.clone());
        }
    }

    fn bears_stretch(&self, _: &Header) -> bool {
        self.at_once
    }

    fn observe_stretch(&mut self, entries: &Entries<'_>, session: &Session) {
        self.tape.entries(entries, session);
        self.frames += entries.stretch.frames();
        self.together += entries.stretch.frames();
    }
}

struct Relay {
    engine: Engine<Watch>,
    heap: Heap,
    now: Timestamp,
    /// Of the bytes that are said to have gone to the dialler, the place of one that is another.
    tampered: Option<u64>,
    went: u64,
}

impl Relay {
    fn new(at_once: bool, heap: Heap) -> Self {
        let tape = Tape::new(1, ends(1), "seed=1".to_owned(), Timestamp(1_000), Box::new(heap.clone()));
        let watch = Watch { tape, at_once, entries: Vec::new(), frames: 0, together: 0 };
        Self { engine: Engine::new(None, watch, 0), heap, now: Timestamp(1_000), tampered: None, went: 0 }
    }

    fn watch(&mut self) -> &mut Watch {
        self.engine.observed().0
    }

    fn feed(&mut self, from: Side, bytes: &Bytes) {
        self.now.0 += 1_000;
        self.watch().tape.came(from, bytes.clone());
        self.engine.feed(from, bytes.clone(), self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll() {
            let Output::Write { to, mut bytes } = output else { continue };
            if to == Side::Dialler {
                let place = self.tampered.and_then(|place| place.checked_sub(self.went));
                self.went += bytes.len() as u64;
                if let Some(place) = place.filter(|place| *place < bytes.len() as u64) {
                    let mut other = bytes.to_vec();
                    other[place as usize] ^= 1;
                    bytes = other.into();
                }
            }
            self.watch().tape.went(to, bytes);
        }
        let now = self.now;
        self.watch().tape.turn(now);
    }

    fn over(&mut self) {
        for side in [Side::Dialler, Side::Upstream] {
            self.engine.closed(side, How::Fin, self.now);
            self.drain();
        }
        let now = self.now;
        self.watch().tape.over("closed", now);
    }

    /// What was put on record of an edge, in frames and bytes, lost or not.
    fn offered(&self, edge: Side) -> (u64, u64) {
        let lost = self.heap.lost.lock().expect("no panic")[usize::from(edge == Side::Upstream)];
        let records = self.heap.records.lock().expect("no panic");
        let sizes = records.iter().filter(|record| record.edge == edge).map(Record::size);
        sizes.fold((lost.frames, lost.bytes), |all, size| (all.0 + size.0, all.1 + size.1))
    }
}

/// A connection, in pieces as they are read.
fn conversation(seed: u64) -> Vec<(Side, Bytes)> {
    let mut dice = Rng::with_seed(seed);
    let collections = dice.bool();
    let mut said = opening(&mut dice, collections);
    let sound = [60, 900, 1_000_000][dice.usize(0..3)];
    let mut producer = Producer::new(dice.fork(), collections, sound);
    said.extend(producer.streams.iter().flat_map(|stream| stream_req(stream.vbucket, stream.opaque)));
    let consumer = PRODUCER.other();
    let mut pieces: Vec<_> =
        said.into_iter().map(|(is_consumer, bytes)| (if is_consumer { consumer } else { PRODUCER }, bytes)).collect();
    for _ in 0..6 {
        let mut rest = Bytes::from(producer.says(dice.usize(1..500)));
        while !rest.is_empty() {
            let most = [100, 4_000, 65_536, 1 << 20][dice.usize(0..4)];
            pieces.push((PRODUCER, rest.split_to(rest.len().min(most))));
        }
        pieces.push((consumer, dcproxy::wire::FrameBuilder::request(Opcode::NOOP).build()));
    }
    pieces
}

fn relayed(pieces: &[(Side, Bytes)], at_once: bool, refuses: fn(u64) -> bool) -> Relay {
    let mut relay = Relay::new(at_once, Heap::new(refuses));
    pieces.iter().for_each(|(from, bytes)| relay.feed(*from, bytes));
    relay.over();
    relay
}

/// What is seen of an edge.
fn seen(file: &[u8], edge: Side) -> Seen {
    read_back(file).remove(&(1, edge == Side::Upstream)).expect("it was recorded")
}

fn holds(file: &[u8], part: &[u8]) -> bool {
    file.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_recording_of_what_was_told_at_once_is_that_of_what_was_told_one_by_one() {
    let (mut together, mut all) = (0, 0);
    for seed in 0..10 {
        let pieces = conversation(seed);
        let [mut at_once, mut one_by_one] = [true, false].map(|at_once| relayed(&pieces, at_once, |_| false));
        let redaction = Redaction { keys: true, values: true, secret: 7 };
        for about in [
            About::default(),
            About { redaction, ..About::default() },
            About { snaplen: Some(150), ..About::default() },
            About { snaplen: Some(150), redaction, ..About::default() },
        ] {
            let [ours, theirs] = [&at_once, &one_by_one].map(|relay| relay.heap.file(about.clone()));
            assert!(ours == theirs, "seed {seed}: {about:?}");
            let hides = about.redaction.keys;
            for secret in [&b"key-1"[..], &[b'k'; 12], &[b'v'; 12]] {
                let told = String::from_utf8_lossy(secret);
                assert_eq!(holds(&ours, secret), !hides, "seed {seed}, {told}: {about:?}");
            }
        }
        let file = at_once.heap.file(About::default());
        let entries = std::mem::take(&mut one_by_one.watch().entries);
        let read = seen(&file, Side::Upstream).entries;
        assert_eq!(read.len(), entries.len(), "seed {seed}");
        for (n, (ours, theirs)) in read.iter().zip(&entries).enumerate() {
            // Of one too long to be looked at whole is told when its head came, and read back when it ended.
            let is_long = matches!(&ours.what, What::Frame(head) if head.header.frame_len() > 128 * 1024);
            let theirs = Entry { at: if is_long { ours.at } else { theirs.at }, ..theirs.clone() };
            assert_eq!(*ours, theirs, "seed {seed}, entry {n}");
        }
        for edge in [Side::Dialler, Side::Upstream] {
            for (n, way) in seen(&file, edge).ways.iter().enumerate() {
                let side = [Side::Dialler, Side::Upstream][n];
                let sent: Vec<u8> =
                    pieces.iter().filter(|piece| piece.0 == side).flat_map(|piece| piece.1.to_vec()).collect();
                assert!(way.gaps.is_empty() && way.pieces.concat_bytes() == sent, "seed {seed} at {edge:?}");
            }
        }
        together += at_once.watch().together;
        all += at_once.watch().frames;
    }
    assert!(together * 3 > all, "little was told at once: {together} of {all}");
}

#[test]
fn every_frame_is_counted_whether_it_is_recorded_or_lost() {
    for seed in 0..10 {
        let pieces = conversation(seed);
        let bytes: u64 = pieces.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        for at_once in [true, false] {
            for refuses in [(|_| false) as fn(u64) -> bool, |n| n > 2 && n % 3 == 0, |n| (20..60).contains(&n)] {
                let mut relay = relayed(&pieces, at_once, refuses);
                let offered = [Side::Dialler, Side::Upstream].map(|edge| relay.offered(edge));
                assert_eq!([offered[0].1, offered[1].1], [bytes; 2], "seed {seed}");
                // Of a frame that never ends nothing is told, though it is one on record.
                let frames = relay.watch().frames;
                let recorded = offered[0].0 + offered[1].0;
                assert!((frames..=frames + 2).contains(&recorded), "seed {seed}: {recorded} of {frames}");
                let file = relay.heap.file(About::default());
                for (edge, lost) in [Side::Dialler, Side::Upstream].into_iter().zip(*relay.heap.lost.lock().unwrap()) {
                    let seen = seen(&file, edge);
                    let missing: u64 = seen.ways.iter().flat_map(|way| &way.gaps).map(|(_, bytes)| bytes).sum();
                    assert_eq!(missing, lost.bytes, "seed {seed} at {edge:?}");
                    let told = seen.remarks.iter().filter_map(|remark| {
                        if let Remark::Lost { frames, bytes } = remark { Some((*frames, *bytes)) } else { None }
                    });
                    let told = told.fold((0, 0), |all, lost| (all.0 + lost.0, all.1 + lost.1));
                    assert!(told.0 <= lost.frames && told.1 <= lost.bytes, "seed {seed} at {edge:?}");
                }
            }
        }
    }
}

#[test]
fn no_frame_is_cut_because_of_others_in_its_packet() {
    let mut relay = relayed(&conversation(3), true, |_| false);
    let runs = |kind: &Kind| if let Kind::Run(_, run) = kind { run.frames } else { 0 };
    let longest = relay.heap.records.lock().unwrap().iter().map(|record| runs(&record.kind)).max().unwrap();
    assert!(longest > 50 && relay.watch().together > 100, "{longest}");
    let file = relay.heap.file(About { snaplen: Some(200), ..About::default() });
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut cut, mut shared) = (0, 0, 0);
    while at < file.len() {
        let (kind, len) = (number(at), number(at + 4));
        // Where each packet has headers of IPv4 and TCP without options: those of a SYN carry nothing.
        if kind == 6 {
            let (kept, wire) = (number(at + 20), number(at + 24));
            let payload = &file[at + 28 + 40..at + 28 + kept];
            // What is in the midst of a frame begins with neither magic.
            if let Ok(header) = Header::parse_slice(payload)
                && matches!(payload[0], 0x80 | 0x81)
            {
                let alone = header.frame_len() as usize + 40 >= wire;
                assert!(alone || kept == wire, "a packet of {wire} bytes, {kept} of them kept, of several frames");
                cut += usize::from(kept < wire);
                shared += usize::from(!alone);
            }
        }
        at += len;
    }
    assert!(cut > 10 && shared > 10, "{cut} cut, {shared} shared");
}

/// Bytes that are not those of which entries tell are in no frame, and so is all behind them.
#[test]
fn bytes_that_are_not_those_of_the_journal_are_in_no_frame() {
    let pieces = conversation(2);
    let whole = relayed(&pieces, true, |_| false);
    // The opcode of a frame in the midst of a run to the dialler.
    let (mut place, mut offset) = (None, 0);
    for record in whole.heap.records.lock().unwrap().iter() {
        if record.edge == Side::Dialler && !record.by_dialler {
            if let Kind::Run(bytes, run) = &record.kind
                && run.frames > 30
            {
                let first = Header::parse_slice(bytes).unwrap().frame_len();
                place.get_or_insert(offset + first + 1);
            }
            offset += record.size().1;
        }
    }
    let place = place.expect("a long run");
    for at_once in [true, false] {
        let mut relay = Relay { tampered: Some(place), ..Relay::new(at_once, Heap::new(|_| false)) };
        pieces.iter().for_each(|(from, bytes)| relay.feed(*from, bytes));
        relay.over();
        let mut offset = 0;
        for record in relay.heap.records.lock().unwrap().iter() {
            if record.edge != Side::Dialler || record.by_dialler {
                continue;
            }
            match &record.kind {
                Kind::Data(_, None) => assert!(offset + 1 >= place, "{at_once}: {offset} of {place}"),
                Kind::Data(..) | Kind::Run(..) => assert!(offset + record.size().1 < place, "{at_once}: {offset}"),
                Kind::Opened | Kind::Joined | Kind::Closed(_) | Kind::Empty => {}
            }
            offset += record.size().1;
        }
        assert!(offset > place);
    }
}

/// What was read at once is kept as long as any part of it waits: it is charged once, and for the first that is taken.
#[test]
fn what_was_read_at_once_is_charged_once() {
    let pieces = conversation(5);
    let longest = pieces.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    for refuses in [(|_| false) as fn(u64) -> bool, |n| n % 2 == 0] {
        let relay = relayed(&pieces, true, refuses);
        let records = relay.heap.records.lock().unwrap();
        let read = longest.1.as_ptr_range();
        let of_it = |record: &&Record| record.bytes().is_some_and(|bytes| read.contains(&bytes.as_ptr()));
        let pins: Vec<usize> = records.iter().filter(of_it).map(|record| record.pins).collect();
        assert_eq!((pins[0], pins[1..].iter().sum::<usize>()), (longest.1.len(), 0), "{pins:?}");
    }
}
