//! A flood of mutations and what is done with each on its way: by itself, and all of it together.
//!
//! `benches/relay.rs` takes the time of it, `tests/interop/instructions.py` counts the processor's instructions.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dcproxy::Timestamp;
use dcproxy::dcp;
use dcproxy::dcp::FrameHead;
use dcproxy::dcp::Negotiated;
use dcproxy::engine::Engine;
use dcproxy::engine::Output;
use dcproxy::era::Era;
use dcproxy::filter::Filter;
use dcproxy::filter::Subject;
use dcproxy::journal::Direction;
use dcproxy::journal::Entry;
use dcproxy::journal::Origin;
use dcproxy::journal::Side;
use dcproxy::journal::What;
use dcproxy::net::Core;
use dcproxy::net::Tapped;
use dcproxy::net::meter::Moved;
use dcproxy::net::meter::Totals;
use dcproxy::scenario::MESSAGES;
use dcproxy::scenario::Plan;
use dcproxy::scenario::Runner;
use dcproxy::scenario::Scenario;
use dcproxy::session::Session;
use dcproxy::verdict::Judge;
use dcproxy::verdict::Verdict;
use dcproxy::wire::Deframer;
use dcproxy::wire::Frame;
use dcproxy::wire::Opaque;
use dcproxy::wire::Opcode;
use dcproxy::wire::Piece;
use dcproxy::wire::Status;

/// A read of the link, where there is much to read (`net/blocks.rs`: up to 1 MiB).
pub(crate) const CHUNK: usize = 256 * 1024;
const SNAPSHOT: u64 = 1_000;
const VBUCKET: u16 = 3;
/// Looks at every frame, and means none of them.
const NEVER: &str = r#"
name = "never"
about = "No frame is of that vbucket."
[[steps]]
name = "never"
when = { filter = "dcp.vbucket == 1023", within = "1h" }
do = { drop = {} }
"#;

/// What is done with the frames: cutting them out of the bytes, decoding one into a journal's entry, taking that into a session, a filter
/// asked of it; and a connection's whole work: relayed and nothing more, judged, judged and counted for `/metrics`, with a scenario whose
/// step never fires; and judged, and armed too, where every other frame is a deletion, so that none is alike to the one before it.
pub(crate) const WAYS: [&str; 10] =
    ["deframe", "entry", "session", "filter", "engine", "judged", "metered", "armed", "unlike", "unlike-armed"];

/// What each side says, and how many frames the flood is.
pub(crate) struct Said {
    opening: Vec<(Side, Bytes)>,
    flood: Bytes,
    /// As many, every other a deletion.
    unlike: Bytes,
    pub(crate) frames: usize,
}

impl Said {
    pub(crate) fn new(mutations: u64) -> Self {
        let opaque = Opaque([0, 0, 0, 7]);
        let open = dcp::Open { name: "n".to_owned(), seqno: 0, flags: dcp::Open::PRODUCER, consumer_name: None };
        let request = dcp::StreamReq { end_seqno: u64::MAX, vb_uuid: 1, ..dcp::StreamReq::default() };
        let log = vec![dcp::FailoverEntry { vb_uuid: 1, seqno: 0 }];
        let opening = [
            (Side::Dialler, open.request(opaque).build()),
            (Side::Upstream, dcp::response(Opcode::DCP_OPEN, Status::SUCCESS, opaque).build()),
            (Side::Dialler, request.request(VBUCKET, opaque).build()),
            (Side::Upstream, dcp::StreamReqResponse::FailoverLog(log).response(opaque).build()),
        ];
        let (mut flood, mut unlike, mut frames) = (Vec::new(), Vec::new(), 0);
        for by_seqno in 1..=mutations {
            if by_seqno % SNAPSHOT == 1 {
                let marker = dcp::SnapshotMarker {
                    start_seqno: if by_seqno == 1 { 0 } else { by_seqno },
                    end_seqno: by_seqno + SNAPSHOT - 1,
                    flags: dcp::SnapshotMarker::MEMORY,
                    ..dcp::SnapshotMarker::default()
                };
                let marker = marker.request(VBUCKET, opaque).build();
                [&mut flood, &mut unlike].into_iter().for_each(|to| to.extend_from_slice(&marker));
                frames += 1;
            }
            let mutation = dcp::Mutation { by_seqno, rev_seqno: by_seqno % 7 + 1, ..dcp::Mutation::default() };
            let key = format!("doc-{by_seqno:08}").into_bytes();
            let cas = 0x17_0000_0000_0000 + (by_seqno << 16);
            let mutation = mutation.request(VBUCKET, opaque).key(key.clone()).value([b'v'; 64]).cas(cas).build();
            let rev_seqno = by_seqno % 7 + 1;
            let deletion =
                dcp::Deletion { version: 1, by_seqno, rev_seqno, delete_time: None, nmeta: Some(0), unused: None };
            let deletion = deletion.request(VBUCKET, opaque).key(key).cas(cas).build();
            flood.extend_from_slice(&mutation);
            unlike.extend_from_slice(if by_seqno % 2 == 0 { &mutation } else { &deletion });
            frames += 1;
        }
        Self { opening: opening.to_vec(), flood: flood.into(), unlike: unlike.into(), frames }
    }

    fn heads(bytes: &[u8]) -> Vec<FrameHead> {
        let (mut deframer, mut input, mut heads) = (Deframer::new(CHUNK), bytes, Vec::new());
        while let Some(piece) = deframer.next(&mut input) {
            let Piece::Frame(frame) = piece else { panic!("the frames are whole: {piece:?}") };
            heads.push(dcp::head(&frame, &Negotiated::default(), 7));
        }
        heads
    }
}

/// Does it, to all of the flood; it ends with a panic where not every frame has passed.
pub(crate) fn run(way: &str, said: &Said) {
    match way {
        "deframe" => assert_eq!(counted_deframe(said), said.frames),
        "entry" => entry(said),
        "session" => session(said),
        "filter" => filter(said),
        "engine" => relay(&mut Engine::new(None, (), 7), said, &said.flood),
        "judged" => watched(tapped(&plan(None)), said, &said.flood),
        "metered" => {
            let totals = Arc::new(Totals::default());
            watched(tapped(&plan(None)).metered(totals.meter()), said, &said.flood);
        }
        "armed" => watched(tapped(&plan(Some(never()))), said, &said.flood),
        "unlike" => watched(tapped(&plan(None)), said, &said.unlike),
        "unlike-armed" => watched(tapped(&plan(Some(never()))), said, &said.unlike),
        other => panic!("expected one of {WAYS:?}, found {other}"),
    }
}

fn entry(said: &Said) {
    let (mut deframer, mut input, mut frames) = (Deframer::new(CHUNK), &said.flood[..], Vec::new());
    while let Some(Piece::Frame(frame)) = deframer.next(&mut input) {
        frames.push(frame.bytes().to_vec());
    }
    let frames: Vec<Frame<'_>> = frames.iter().map(|bytes| Frame::whole(bytes).expect("it is one")).collect();
    assert_eq!(counted_entry(&frames), said.frames);
}

fn session(said: &Said) {
    let entry_of = |from: Side, head| {
        let direction = if from == Side::Upstream { Direction::From } else { Direction::To };
        Entry { at: Timestamp(1), edge: Side::Upstream, direction, origin: Origin::Peer, what: What::Frame(head) }
    };
    let mut session = Session::new(Side::Upstream);
    for (from, bytes) in &said.opening {
        for head in Said::heads(bytes) {
            session.observe(&entry_of(*from, head));
        }
    }
    let entries: Vec<_> = Said::heads(&said.flood).into_iter().map(|head| entry_of(Side::Upstream, head)).collect();
    counted_session(&mut session, &entries);
    let stream = session.streams().live().next().expect("it was asked for");
    assert!(format!("{stream:?}").contains(&(said.frames as u64 - said.frames as u64 / SNAPSHOT).to_string()));
}

fn filter(said: &Said) {
    let filter: Filter = "dcp.opcode == mutation && dcp.vbucket == 1023".parse().expect("it is one");
    let other: Filter = "dcp.opcode == mutation && dcp.vbucket == 3".parse().expect("it is one");
    let heads = Said::heads(&said.flood);
    assert_eq!(counted_filter(&filter, &heads), 0);
    assert!(heads.iter().any(|head| other.matches(&Subject::of_head(head, Timestamp(1)))));
}

fn never() -> Scenario {
    Scenario::parse(NEVER).expect("it is one")
}

fn plan(scenario: Option<Scenario>) -> Plan {
    Plan {
        scenarios: scenario.into_iter().collect(),
        messages: MESSAGES.into(),
        // Where it is not known the runner asks for it first, and nobody here would answer.
        era: Some(Era::V7_0),
        settle: Duration::from_secs(1),
        fatal_too: false,
        seed: 7,
    }
}

fn tapped(plan: &Plan) -> Tapped {
    let judge = dcproxy::scenario::judge::Judge::new(plan.terms(Judge::Producer), 1, "dialler", "upstream");
    let runner = plan.is_armed().then(|| Box::new(Runner::new(plan.clone(), 1)) as Box<_>);
    Tapped::new(runner, judge, None, 7, 1)
}

fn watched(mut core: Tapped, said: &Said, flood: &Bytes) {
    relay(&mut core, said, flood);
    let findings = core.verdict_now().connection.findings;
    assert!(
        findings.iter().all(|finding| finding.verdict == Verdict::Pass || finding.id == "evidence"),
        "{findings:?}"
    );
}

/// Feeds a core as a link does, and tells it what a link tells.
fn relay(core: &mut impl Core, said: &Said, flood: &Bytes) {
    for (from, bytes) in &said.opening {
        core.feed(*from, bytes.clone(), Timestamp(1));
        while core.poll().is_some() {}
    }
    assert_eq!(counted_relay(core, flood), flood.len(), "all of it goes on");
}

// What follows is what is counted: callgrind collects in functions of this name, and nowhere else.

#[inline(never)]
fn counted_deframe(said: &Said) -> usize {
    let (mut deframer, mut frames) = (Deframer::new(CHUNK), 0);
    for mut chunk in said.flood.chunks(CHUNK) {
        while let Some(piece) = black_box(deframer.next(&mut chunk)) {
            frames += usize::from(matches!(piece, Piece::Frame(_)));
        }
    }
    frames
}

#[inline(never)]
fn counted_entry(frames: &[Frame<'_>]) -> usize {
    let negotiated = Negotiated::default();
    let mut decoded = 0;
    for frame in frames {
        let head = dcp::head(frame, black_box(&negotiated), 7);
        decoded += usize::from(head.message.is_ok());
        black_box(Entry {
            at: Timestamp(1),
            edge: Side::Upstream,
            direction: Direction::From,
            origin: Origin::Peer,
            what: What::Frame(head),
        });
    }
    decoded
}

#[inline(never)]
fn counted_session(session: &mut Session, entries: &[Entry]) {
    for entry in entries {
        black_box(session.observe(entry));
    }
}

#[inline(never)]
fn counted_filter(filter: &Filter, heads: &[FrameHead]) -> usize {
    heads.iter().filter(|head| filter.matches(&Subject::of_head(head, Timestamp(1)))).count()
}

#[inline(never)]
fn counted_relay(core: &mut impl Core, flood: &Bytes) -> usize {
    let (mut moved, mut at, mut written) = (Moved::default(), 0, 0);
    while at < flood.len() {
        let end = flood.len().min(at + CHUNK);
        core.feed(Side::Upstream, flood.slice(at..end), Timestamp(1));
        while let Some(output) = black_box(core.poll()) {
            if let Output::Write { bytes, .. } = output {
                written += bytes.len();
            }
        }
        moved.read[1] = end as u64;
        core.relayed(Side::Dialler, Duration::from_micros(30));
        core.moved(&moved);
        at = end;
    }
    written
}
