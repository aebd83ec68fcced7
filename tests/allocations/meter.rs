//! Counting what is relayed allocates nothing, once a connection has met its messages.

use std::sync::Arc;

use bytes::Bytes;
use dcproxy::Timestamp;
use dcproxy::dcp;
use dcproxy::engine::{Engine, Observer};
use dcproxy::journal::Side;
use dcproxy::net::meter::Totals;
use dcproxy::wire::{Opaque, Opcode, Status};

use super::allocations;

/// What a producer and a consumer say, over and over.
fn said(answers: bool) -> Bytes {
    let mut bytes = Vec::new();
    for by_seqno in 1..200 {
        let mutation = dcp::Mutation { by_seqno, ..dcp::Mutation::default() };
        let answer = dcp::response(Opcode::DCP_MUTATION, Status::KEY_ENOENT, Opaque::default());
        let frame = if answers { answer } else { mutation.request(7, Opaque::default()).key(*b"key").cas(1) };
        bytes.extend(frame.build());
        bytes.extend(dcp::BufferAck { bytes_to_ack: 9 }.request(Opaque::default()).build());
    }
    bytes.into()
}

/// How often the second of two equal floods allocates, of which the first half goes one way.
fn of_the_second(observer: impl Observer) -> usize {
    let mut engine = Engine::new(None, observer, 0);
    let (messages, answers) = (said(false), said(true));
    let mut flood = || {
        for (from, bytes) in [(Side::Upstream, &messages), (Side::Dialler, &answers)] {
            engine.feed(from, bytes.clone(), Timestamp(1));
            while engine.poll().is_some() {}
        }
    };
    flood();
    allocations(flood)
}

#[test]
fn a_meter_allocates_nothing_for_what_it_has_met() {
    let totals = Arc::new(Totals::default());
    let with_meter = of_the_second(totals.meter());
    assert_eq!(with_meter, of_the_second(()));
    assert_eq!(totals.read().frames.values().map(|frames| frames.frames).sum::<u64>(), 4 * 4 * 199);
}
