//! Every real capture, replayed: its producer's end to an embedded consumer, its consumer's end to an embedded producer.
//! Time is simulated, so nothing waits; `DCPROXY_TEST_REPLAY=all` plays every connection in place of a few of each capture.
#![allow(unreachable_pub, reason = "shared by the modules of one test binary")]

mod captures;
mod rules;
mod world;
