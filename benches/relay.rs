//! What a relayed frame costs: each thing that is done with it by itself, and all of it: see `WAYS`. `cargo bench --bench relay`; or, to count
//! instructions, which do not depend on what else the machine does, in the code that users get:
//!
//! ```text
//! cargo bench --bench relay --no-run
//! python3 tests/interop/instructions.py --program BENCH
//! ```
//! where `BENCH` is the program that the first line names.
#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::expect_used,
    reason = "what criterion's macros make; what is counted is told"
)]

#[path = "../tests/allocations/relayed.rs"]
mod relayed;

use criterion::Criterion;
use criterion::Throughput;

use relayed::Said;
use relayed::WAYS;
use relayed::run;

fn main() {
    if let Ok(way) = std::env::var("DCPROXY_RELAY") {
        let said = Said::new(40_000);
        run(&way, &said);
        println!("{} frames", said.frames);
        return;
    }
    let said = Said::new(40_000);
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group(format!("relay of {} frames", said.frames));
    group.throughput(Throughput::Elements(said.frames as u64)).sample_size(20);
    for way in WAYS {
        group.bench_function(way, |bencher| bencher.iter(|| run(way, &said)));
    }
    group.finish();
    criterion.final_summary();
}
