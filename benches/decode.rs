//! `decode -T jsonl`, with and without a filter, of real captures in memory, to a sink. `cargo bench --bench decode`.
#![allow(missing_docs, clippy::unwrap_used)] // what criterion's macros make, and the set-up

use std::hint::black_box;
use std::io::Read;
use std::path::Path;

use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;
use dcproxy::cli::decode_jsonl;
use dcproxy::filter::Filter;

const CAPTURES: [&str; 2] = ["truth-table.7.0.5.pcap.gz", "everything.7.0.5.pcap.gz"];
/// A filter that the header answers, and one that has to look at what the message says.
const FILTERS: [(&str, &str); 2] =
    [("header", "dcp.opcode == prepare && dcp.vbucket in {1000..1023}"), ("members", r#"dcp.key contains "zz""#)];

fn captured(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(name);
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

fn decode(criterion: &mut Criterion) {
    for name in CAPTURES {
        let bytes = captured(name);
        let frames = decode_jsonl(&*bytes, None, std::io::sink()).unwrap();
        let mut group = criterion.benchmark_group(format!("decode {name}, {frames} frames"));
        group.throughput(Throughput::Elements(frames)).sample_size(20);
        group.bench_function("jsonl", |run| {
            run.iter(|| decode_jsonl(black_box(&*bytes), None, std::io::sink()).unwrap());
        });
        for (what, text) in FILTERS {
            let filter: Filter = text.parse().unwrap();
            group.bench_function(format!("jsonl, filter on {what}"), |run| {
                run.iter(|| decode_jsonl(black_box(&*bytes), Some(filter.clone()), std::io::sink()).unwrap());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, decode);
criterion_main!(benches);
