//! Section H.

use super::*;
use crate::wire::Opcode;
use crate::wire::Status;

fn noop(opaque: u32) -> FrameHead {
    request(Opcode::DCP_NOOP, 0, opaque, Message::DcpNoop(dcp::DcpNoop))
}

/// A connection with no-ops every 10 s and a stream.
fn alive() -> Script {
    plain_noops(&[("enable_noop", "true"), ("set_noop_interval", "10")])
}

fn plain_noops(controls: &[(&str, &str)]) -> Script {
    on(with(controls), &[marker(1, 10, 0, 1_000)])
}

/// No-ops with these opaques, each answered, so many ms apart.
fn answered(apart_ms: u64, opaques: &[u32]) -> Script {
    let mut script = alive();
    for &opaque in opaques {
        script.wait_ms(apart_ms);
        script.p(noop(opaque));
        script.c(plain(Opcode::DCP_NOOP, Status::SUCCESS, opaque));
    }
    script
}

fn unanswered() -> Script {
    let mut script = alive();
    script.p(noop(1));
    script.wait_ms(10_000);
    script.p(noop(2));
    script
}

fn data_without_noops() -> Script {
    let mut script = alive();
    for seqno in 1..10 {
        script.wait_ms(5_000);
        script.p(mutation(1, 10, seqno));
    }
    script
}

fn answer(head: FrameHead) -> Script {
    let mut script = alive();
    script.p(noop(1));
    script.c(head);
    script
}

fn silent_for(ms: u64, closes: bool) -> Script {
    let mut script = alive();
    script.p(mutation(1, 10, 1));
    script.wait_ms(ms);
    if closes {
        let fin = crate::journal::What::Closed { how: crate::journal::How::Fin, partial: 0 };
        script.say(crate::journal::Direction::From, fin);
    } else {
        script.p(mutation(1, 10, 2));
    }
    script
}

pub(super) fn pairs() -> Vec<Pair> {
    let success = |opaque| plain(Opcode::DCP_NOOP, Status::SUCCESS, opaque);
    vec![
        pair("h1-one-noop", answered(10_000, &[1, 2]), unanswered()),
        pair("h1-noop-interval", answered(10_000, &[1, 2, 3]), answered(8_000, &[1, 2, 3])),
        pair("h2-noop-comes", answered(10_000, &[1, 2]), data_without_noops()),
        pair("h3-noop-answer", answer(success(1)), answer(success(2))),
        pair("h3-noop-status", answer(success(1)), answer(plain(Opcode::DCP_NOOP, Status::EINVAL, 1))),
        pair("h4-noop-opaques", answered(10_000, &[10_000_001, 10_000_002]), answered(10_000, &[10_000_001, 5])),
        pair("h5-idle-is-closed", silent_for(365_000, true), silent_for(400_000, false)),
    ]
}
