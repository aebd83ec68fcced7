//! How fast captures are read: packets put back in order alone, then with framing, then with the meaning of every frame.
//!
//! The capture is made in a temporary file from a seed, 64 MB or `DCPROXY_BENCH_BYTES`; every run asserts that all of its frames were seen.
#![allow(missing_docs, reason = "criterion's macros make functions without")]

#[path = "../tests/support/traffic.rs"]
mod traffic;

use std::collections::BTreeMap;
use std::fs::File;
use std::hint::black_box;
use std::io::BufWriter;
use std::ops::ControlFlow;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dcproxy::capture::{Event, Files, Recorded, Summary, What};
use dcproxy::journal::Side;
use dcproxy::wire::{Deframer, MAX_FRAME_LEN, Piece};

fn read(path: &Path, mut out: impl FnMut(&Event<'_>)) -> Summary {
    let read = Files::new().path(path).read(&mut |_, event| {
        out(&event);
        ControlFlow::Continue(())
    });
    assert!(read.errors.is_empty(), "{:?}", read.errors);
    read.summary
}

fn reading(c: &mut Criterion) {
    let bytes = std::env::var("DCPROXY_BENCH_BYTES").map_or(64_000_000, |text| text.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("a folder");
    // Segments as they are, and small ones: what a packet costs.
    for (name, segment) in [("mixed segments", None), ("segments of 200 bytes", Some(200))] {
        let path = folder.path().join("made.pcap");
        let options = traffic::Options { bytes, segment, ..traffic::Options::default() };
        let file = File::create(&path).expect("a file");
        let made = traffic::write(&options, &mut BufWriter::new(file)).expect("it is written");
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(made.bytes)).sample_size(10);
        group.bench_function("reading", |b| {
            b.iter(|| {
                let mut payload = 0;
                let summary = read(&path, |event| {
                    if let What::Data { bytes, .. } = event.what {
                        payload += black_box(bytes).len() as u64;
                    }
                });
                assert_eq!((payload, summary.packets, summary.gaps), (made.payload, made.packets, 0));
            });
        });
        group.bench_function("reading and framing", |b| {
            b.iter(|| {
                let mut ends: BTreeMap<u32, [Deframer; 2]> = BTreeMap::new();
                let mut frames = 0;
                read(&path, |event| {
                    let What::Data { from, bytes } = event.what else { return };
                    let deframers =
                        ends.entry(event.conn).or_insert_with(|| [(); 2].map(|()| Deframer::new(MAX_FRAME_LEN)));
                    let [dialler, upstream] = deframers;
                    let deframer = if from == Side::Dialler { dialler } else { upstream };
                    let mut input = bytes;
                    while let Some(piece) = deframer.next(&mut input) {
                        frames += u64::from(matches!(piece, Piece::Frame(_)));
                    }
                });
                assert_eq!(frames, made.frames);
            });
        });
        group.bench_function("journals", |b| {
            b.iter(|| {
                let mut recorded = Recorded::new(0);
                let mut frames = 0;
                read(&path, |event| {
                    recorded.event(event, &mut |happened| frames += u64::from(happened.frame.is_some()));
                });
                assert_eq!(frames, made.frames);
            });
        });
        group.finish();
    }
}

criterion_group!(benches, reading);
criterion_main!(benches);
