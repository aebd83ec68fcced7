//! `fuzz` in simulated time: the search between the tool's own consumer and the embedded node. The seed of a failure is in
//! its message, and repeats it. `DCPROXY_SEEDS=10` runs ten times as many schedules without a quirk, `DCPROXY_WRITE_DOCS=1` writes docs/SEARCH.md.

mod finds;
mod live;
mod quiet;
mod world;
