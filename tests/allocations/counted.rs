//! Every way to look at a flood sees all of it. `tests/interop/instructions.py` runs this too, for one of the ways, and counts.

use super::relayed::Said;
use super::relayed::WAYS;
use super::relayed::run;

#[test]
#[allow(clippy::print_stdout, reason = "whoever counts asks how many")]
fn every_way_sees_every_frame() {
    let said = Said::new(3_000);
    match std::env::var("DCPROXY_RELAY") {
        Ok(way) => {
            run(&way, &said);
            println!("{} frames", said.frames);
        }
        Err(_) => WAYS.iter().for_each(|way| run(way, &said)),
    }
}
