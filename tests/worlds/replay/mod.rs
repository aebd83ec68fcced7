//! Every real capture, replayed: its producer's end to an embedded consumer, its consumer's end to an embedded producer.
//! Time is simulated, so nothing waits; `DCPROXY_TEST_REPLAY=all` plays every connection of the
//! truth tables too, and the captures with thousands of frames.
#![allow(unreachable_pub, reason = "shared by the modules of one test binary")]

mod captures;
mod rules;
mod world;
