//! What a relayed frame costs: the engine alone, with the judge, and with the meter too. `cargo bench --bench relay`; or, to count
//! instructions, which do not depend on what else the machine does:
//!
//! ```text
//! for who in engine judged metered; do
//!   DCPROXY_RELAY=$who valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect='relay::relay*' BENCH
//! done
//! ```
//! where `BENCH` is the program that `cargo bench --bench relay --no-run` names. The difference, divided by the frames that it tells, is what a frame costs.
#![allow(missing_docs, clippy::print_stdout, reason = "what criterion's macros make; what is counted is told")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::Criterion;
use criterion::Throughput;
use dcproxy::Timestamp;
use dcproxy::dcp;
use dcproxy::engine::Engine;
use dcproxy::journal::Side;
use dcproxy::net::Core;
use dcproxy::net::Tapped;
use dcproxy::net::meter::Moved;
use dcproxy::net::meter::Totals;
use dcproxy::scenario::MESSAGES;
use dcproxy::scenario::Plan;
use dcproxy::verdict::Judge;
use dcproxy::wire::Opaque;
use dcproxy::wire::Opcode;
use dcproxy::wire::Status;

/// A read of the link.
const CHUNK: usize = 64 * 1024;
const MUTATIONS: u64 = 40_000;
const SNAPSHOT: u64 = 100;

/// What each side says, and how many frames that is.
struct Said {
    opening: Vec<(Side, Bytes)>,
    flood: Bytes,
    frames: u64,
}

fn said() -> Said {
    let opaque = Opaque([0, 0, 0, 7]);
    let open = dcp::Open { name: "n".to_owned(), seqno: 0, flags: dcp::Open::PRODUCER, consumer_name: None };
    let request = dcp::StreamReq {
        flags: 0,
        reserved: 0,
        start_seqno: 0,
        end_seqno: u64::MAX,
        vb_uuid: 1,
        snap_start_seqno: 0,
        snap_end_seqno: 0,
        value: None,
    };
    let log = vec![dcp::FailoverEntry { vb_uuid: 1, seqno: 0 }];
    let opening = [
        (Side::Dialler, open.request(opaque).build()),
        (Side::Upstream, dcp::response(Opcode::DCP_OPEN, Status::SUCCESS, opaque).build()),
        (Side::Dialler, request.request(3, opaque).build()),
        (Side::Upstream, dcp::StreamReqResponse::FailoverLog(log).response(opaque).build()),
    ];
    let (mut flood, mut frames) = (Vec::new(), 0);
    for by_seqno in 1..=MUTATIONS {
        if by_seqno % SNAPSHOT == 1 {
            let marker = dcp::SnapshotMarker {
                start_seqno: by_seqno,
                end_seqno: by_seqno + SNAPSHOT - 1,
                flags: dcp::SnapshotMarker::MEMORY,
                ..dcp::SnapshotMarker::default()
            };
            flood.extend(marker.request(3, opaque).build());
            frames += 1;
        }
        let mutation = dcp::Mutation { by_seqno, rev_seqno: 1, ..dcp::Mutation::default() };
        let key = format!("key-{}", by_seqno % 1_000);
        flood.extend(mutation.request(3, opaque).key(key.into_bytes()).value([b'v'; 64]).cas(1).build());
        frames += 1;
    }
    Said { opening: opening.to_vec(), flood: flood.into(), frames }
}

/// Feeds a core as a link does, and tells it what a link tells.
#[inline(never)]
fn relay(mut core: impl Core, said: &Said) {
    for (from, bytes) in &said.opening {
        core.feed(*from, bytes.clone(), Timestamp(1));
        while core.poll().is_some() {}
    }
    let mut moved = Moved::default();
    let mut at = 0;
    while at < said.flood.len() {
        let end = said.flood.len().min(at + CHUNK);
        core.feed(Side::Upstream, said.flood.slice(at..end), Timestamp(1));
        while black_box(core.poll()).is_some() {}
        moved.read[1] = end as u64;
        core.relayed(Side::Dialler, Duration::from_micros(30));
        core.moved(&moved);
        at = end;
    }
}

fn judged() -> Tapped {
    let plan = Plan {
        scenarios: Vec::new(),
        messages: MESSAGES.into(),
        era: None,
        settle: Duration::from_secs(1),
        fatal_too: false,
        seed: 7,
    };
    let judge = dcproxy::scenario::judge::Judge::new(plan.terms(Judge::Producer), 1, "dialler", "upstream");
    Tapped::new(None, judge, None, 7, 1)
}

fn main() {
    let said = said();
    let totals = Arc::new(Totals::default());
    let run = |who: &str| match who {
        "engine" => relay(Engine::new(None, (), 7), &said),
        "judged" => relay(judged(), &said),
        _ => relay(judged().metered(totals.meter()), &said),
    };
    if let Ok(who) = std::env::var("DCPROXY_RELAY") {
        println!("{} frames in reads of {CHUNK} bytes, {who}", said.frames);
        return run(&who);
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group(format!("relay of {} frames", said.frames));
    group.throughput(Throughput::Elements(said.frames)).sample_size(20);
    for who in ["engine", "judged", "metered"] {
        group.bench_function(who, |bencher| bencher.iter(|| run(who)));
    }
    group.finish();
    criterion.final_summary();
}
