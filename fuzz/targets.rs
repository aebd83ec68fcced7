//! What is fuzzed: one function a target, each with what must hold beside "no panic". `tests/core/fuzz.rs` runs them on the
//! corpus as plain tests, `fuzz/run` with libFuzzer.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use dcproxy::Timestamp;
use dcproxy::capture;
use dcproxy::capture::CaptureError;
use dcproxy::capture::Event;
use dcproxy::capture::Recorded;
use dcproxy::capture::What;
use dcproxy::dcp;
use dcproxy::dcp::Negotiated;
use dcproxy::engine::Observer as _;
use dcproxy::filter::Filter;
use dcproxy::filter::Subject;
use dcproxy::journal::How;
use dcproxy::journal::Side;
use dcproxy::scenario::MESSAGES;
use dcproxy::scenario::judge::Judge;
use dcproxy::scenario::judge::Source;
use dcproxy::scenario::judge::Terms;
use dcproxy::verdict;
use dcproxy::wire::Frame;

/// Every target, by its name.
#[allow(clippy::type_complexity, dead_code)] // each fuzzer takes one of them
pub(crate) const ALL: &[(&str, fn(&[u8]))] = &[
    ("capture", capture),
    ("packet", packet),
    ("reassembly", reassembly),
    ("framing", framing),
    ("message", message),
    ("judge", judge),
    ("filter", filter),
];

/// A file of any format: pcap, pcapng, compressed or not. What is told of a connection begins with `Opened`, ends with
/// `Ended`, and its gaps are where its bytes are not.
pub(crate) fn capture(data: &[u8]) {
    let mut open = BTreeMap::new();
    let result = capture::read(data, &mut |event| told(&mut open, &event));
    match result {
        Ok(_) | Err(CaptureError::Read(_)) => {}
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("expected") && text.contains("found"), "{text}");
        }
    }
    assert!(open.values().all(|ended| *ended), "a connection was not ended");
}

fn told(open: &mut BTreeMap<u32, bool>, event: &Event<'_>) {
    match event.what {
        What::Opened { .. } => assert!(open.insert(event.conn, false).is_none(), "opened twice"),
        What::Ended => assert_eq!(open.insert(event.conn, true), Some(false), "ended twice or before it began"),
        What::Data { bytes, .. } => {
            assert!(!bytes.is_empty(), "data of no bytes");
            assert_eq!(open.get(&event.conn), Some(&false));
        }
        What::Gap { bytes, .. } => {
            assert_ne!(bytes, Some(0), "a gap of no bytes");
            assert_eq!(open.get(&event.conn), Some(&false));
        }
        What::Closed { .. } | What::Comment { .. } => assert_eq!(open.get(&event.conn), Some(&false)),
    }
}

/// One packet of each link type, its first byte chooses which.
pub(crate) fn packet(data: &[u8]) {
    let Some((&link, packet)) = data.split_first() else { return };
    const LINKS: [u32; 10] = [0, 1, 12, 14, 101, 108, 113, 228, 229, 276];
    let mut file = pcap(LINKS[usize::from(link) % LINKS.len()]);
    let wire = packet.len() as u32 + u32::from(link >> 6) * 100;
    record(&mut file, 1, packet, wire);
    record(&mut file, 2, packet, wire);
    capture(&file);
}

fn pcap(link: u32) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 262_144, link] {
        file.extend(word.to_le_bytes());
    }
    file
}

fn record(file: &mut Vec<u8>, nanoseconds: u32, packet: &[u8], wire: u32) {
    for word in [1, nanoseconds, packet.len() as u32, wire] {
        file.extend(word.to_le_bytes());
    }
    file.extend(packet);
}

/// Segments of two directions whose bytes are known, in any order, with acknowledgements, FINs and RSTs: whatever is
/// delivered is the right byte at its place, and without any sign that bytes are lost, all that was captured is delivered.
pub(crate) fn reassembly(data: &[u8]) {
    let mut file = pcap(101);
    let mut at = 0;
    let mut send = |from: usize, seq: u32, ack: Option<u32>, flags: u8, payload: &[u8], cut: usize| {
        at += 1_000;
        let bytes = segment(from, seq, ack, flags, payload);
        record(&mut file, at, &bytes[..bytes.len() - cut], bytes.len() as u32);
    };
    send(0, ISN, None, 0x02, &[], 0);
    send(1, ISN, Some(ISN.wrapping_add(1)), 0x12, &[], 0);
    let mut covered = [vec![false; 70_000], vec![false; 70_000]];
    let mut plain = true;
    for op in data.chunks_exact(5).take(2_000) {
        let (from, offset) = (usize::from(op[0] & 1), u32::from(u16::from_be_bytes([op[1], op[2]])));
        let payload: Vec<u8> = (offset..offset + u32::from(op[3])).map(|at| content(from, at)).collect();
        let flags = match op[0] >> 1 & 31 {
            30 => 0x11,
            31 => 0x14,
            _ => 0x10,
        };
        let ack = (op[4] & 0x80 != 0).then(|| first().wrapping_add(u32::from(op[4] & 0x7f) << 9));
        let cut = if op[4] & 0x40 != 0 { payload.len() / 2 } else { 0 };
        plain &= flags == 0x10 && ack.is_none() && cut == 0;
        for at in offset..offset + payload.len() as u32 {
            covered[from][at as usize] = true;
        }
        send(from, first().wrapping_add(offset), ack.or(Some(first())), flags, &payload, cut);
    }
    let mut next = [0_u64; 2];
    let mut delivered = [0, 0];
    let result = capture::read(&file[..], &mut |event| match event.what {
        What::Data { from, bytes } => {
            let from = usize::from(from == Side::Upstream);
            for &byte in bytes {
                let at = next[from] as u32;
                assert_eq!(byte, content(from, at), "direction {from}, byte {at}");
                assert!(covered[from][at as usize], "direction {from}, byte {at} was not captured");
                next[from] += 1;
                delivered[from] += 1;
            }
        }
        What::Gap { from, offset, bytes } => {
            let from = usize::from(from == Side::Upstream);
            assert_eq!(offset, next[from], "where the gap is");
            next[from] += bytes.expect("all of these have a size");
        }
        What::Opened { .. } | What::Comment { .. } | What::Closed { .. } | What::Ended => {}
    });
    result.expect("a sound file");
    if plain {
        let captured = covered.map(|bytes| bytes.iter().filter(|&&seen| seen).count());
        assert_eq!(delivered, captured, "nothing was lost");
    }
}

/// The sequence numbers wrap around in the middle.
const ISN: u32 = u32::MAX - 30_000;

const fn first() -> u32 {
    ISN.wrapping_add(1)
}

const fn content(from: usize, at: u32) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 8) ^ (at >> 13) ^ (from as u32 * 0x55)) as u8
}

fn segment(from: usize, seq: u32, ack: Option<u32>, flags: u8, payload: &[u8]) -> Vec<u8> {
    let len = 40 + payload.len() as u16;
    let (ports, addresses) = ([[0x9c, 0x40], [0x2b, 0xca]], [[127, 0, 0, 1], [127, 0, 0, 2]]);
    let mut bytes = vec![0x45, 0];
    bytes.extend(len.to_be_bytes());
    bytes.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    bytes.extend(addresses[from]);
    bytes.extend(addresses[1 - from]);
    bytes.extend(ports[from]);
    bytes.extend(ports[1 - from]);
    bytes.extend(seq.to_be_bytes());
    bytes.extend(ack.unwrap_or_default().to_be_bytes());
    bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(payload);
    bytes
}

/// A conversation in pieces: `side/gap, length, bytes` over and over. The same bytes in other pieces give the same entries.
pub(crate) fn framing(data: &[u8]) {
    let entries = |longest: usize| {
        let mut entries = Vec::new();
        let mut recorded = recorded();
        for (from, piece) in pieces(data) {
            let whats: Vec<What<'_>> = match piece {
                Piece::Bytes(bytes) => bytes.chunks(longest).map(|bytes| What::Data { from, bytes }).collect(),
                Piece::Gap(bytes) => vec![What::Gap { from, offset: 0, bytes }],
                Piece::Close(how) => vec![What::Closed { from, how }],
            };
            for what in whats {
                recorded.event(&Event { at: Timestamp(1), conn: 1, what }, &mut |happened| {
                    entries.push(format!("{:?} {:?}", happened.entry, happened.frame.map(|f| f.bytes().to_vec())));
                });
            }
        }
        entries
    };
    let has_gap = pieces(data).any(|(_, piece)| matches!(piece, Piece::Gap(_)));
    // Behind a gap the end of a segment is a sign of where frames end, so only without one are they the same.
    if has_gap {
        entries(usize::MAX);
        entries(1);
    } else {
        assert_eq!(entries(usize::MAX), entries(3));
    }
}

fn recorded() -> Recorded {
    let mut recorded = Recorded::new(1);
    recorded.event(&opened(), &mut |_| {});
    recorded
}

fn opened() -> Event<'static> {
    let addr = |port| SocketAddr::from(([127, 0, 0, 1], port));
    Event { at: Timestamp(0), conn: 1, what: What::Opened { dialler: addr(40_000), upstream: addr(11_210) } }
}

enum Piece<'a> {
    Bytes(&'a [u8]),
    Gap(Option<u64>),
    Close(How),
}

/// `control, length (two bytes), bytes`: bit 0 is the sender, the upper bits say what.
fn pieces(data: &[u8]) -> impl Iterator<Item = (Side, Piece<'_>)> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let (&[control, hi, lo], behind) = rest.split_first_chunk()?;
        let from = if control & 1 == 0 { Side::Dialler } else { Side::Upstream };
        let len = usize::from(u16::from_be_bytes([hi, lo]));
        let (piece, behind) = match control >> 4 {
            13 => (Piece::Gap(None), behind),
            14 => (Piece::Gap(Some(len as u64 + 1)), behind),
            15 => (Piece::Close(if control & 2 == 0 { How::Fin } else { How::Reset }), behind),
            _ => {
                let (bytes, behind) = behind.split_at(len.min(behind.len()));
                (Piece::Bytes(bytes), behind)
            }
        };
        rest = behind;
        Some((from, piece))
    })
    .filter(|(_, piece)| !matches!(piece, Piece::Bytes([])))
}

/// One frame, of any message; the first byte says what was negotiated. What is wrong is told as expected and found.
pub(crate) fn message(data: &[u8]) {
    let Some((&bits, bytes)) = data.split_first() else { return };
    let has = |bit: u8| bits >> bit & 1 == 1;
    let negotiated = Negotiated {
        collections: has(0),
        snappy: has(1),
        xattr: has(2),
        stream_id: has(3),
        flatbuffers: has(4),
        include_delete_times: has(5),
    };
    let Ok(frame) = Frame::new(bytes) else { return };
    let head = dcp::head(&frame, &negotiated, 1);
    let _ = (head.expects_answer(), dcp::charge(frame.header()));
    if let Some(repaired) = dcp::felen0_repaired(&frame, &negotiated) {
        let _ = dcp::decode(&Frame::new(&repaired).expect("as long as it was"), &negotiated);
    }
    match dcp::decode(&frame, &negotiated) {
        Ok(message) => drop(message.by_seqno()),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("expected") && text.contains("found"), "{text}");
        }
    }
}

/// A conversation in pieces, judged: whatever peers say, there is a judgement, the same each time it is asked for.
pub(crate) fn judge(data: &[u8]) {
    let terms = Terms {
        expected: Vec::new(),
        era: None,
        messages: MESSAGES.iter().copied().collect(),
        settle: std::time::Duration::from_secs(2),
        judge: verdict::Judge::Both,
        source: Source::Recording,
    };
    let mut judge = Judge::new(terms, 1, "dialler", "upstream");
    let mut recorded = recorded();
    let mut at = Timestamp(1_000_000_000);
    for (from, piece) in pieces(data) {
        at = Timestamp(at.0 + 40_000_000);
        let what = match piece {
            Piece::Bytes(bytes) => What::Data { from, bytes },
            Piece::Gap(bytes) => What::Gap { from, offset: 0, bytes },
            Piece::Close(how) => What::Closed { from, how },
        };
        recorded.event(&Event { at, conn: 1, what }, &mut |happened| {
            judge.observe(happened.entry, happened.context, happened.session);
        });
    }
    let session = recorded.session(1).expect("it has not ended");
    let (first, second) = (judge.judgement(session), judge.judgement(session));
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
}

/// The text of a filter, then a newline and a frame: what does not parse is told with its column, what parses is the same
/// when it is printed and parsed again, and can be asked.
pub(crate) fn filter(data: &[u8]) {
    let (text, frame) = data.split_at(data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len()));
    let Ok(text) = std::str::from_utf8(text) else { return };
    let filter: Filter = match text.parse() {
        Ok(filter) => filter,
        Err(error) => {
            let text = dcproxy::filter::FilterError::to_string(&error);
            assert!(text.contains("column") && text.contains("expected") && text.contains("found"), "{text}");
            return;
        }
    };
    let again: Filter = filter.to_string().parse().expect("it was one");
    let negotiated = Negotiated { collections: true, ..Negotiated::default() };
    let Ok(frame) = Frame::new(frame.get(1..).unwrap_or_default()) else { return };
    let head = dcp::head(&frame, &negotiated, 1);
    let subject = Subject { frame: Some(&frame), negotiated, ..Subject::of_head(&head, Timestamp(1)) };
    assert_eq!(filter.matches(&subject), again.matches(&subject));
}
