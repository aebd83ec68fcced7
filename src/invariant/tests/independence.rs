//! Section J: what holds of those who look on.

use super::super::Suite;
use crate::dcp;
use crate::dcp::Feature;
use crate::dcp::Message;
use crate::journal::Direction;
use crate::journal::Side;
use crate::journal::What;
use crate::session::Session;
use crate::session::State;
use crate::session::script::*;
use crate::verdict::Verdict;
use crate::wire::Opcode;
use crate::wire::Status;

fn failed(script: &Script) -> Vec<String> {
    let (mut suite, mut session) = (Suite::new(), Session::new(Side::Upstream));
    for entry in script.log() {
        session.observe(entry);
        suite.observe(entry, &session);
    }
    let fails = suite.finish().into_iter().filter(|finding| finding.verdict == Verdict::Fail);
    fails.map(|finding| finding.id.into_owned()).collect()
}

/// J1.
#[test]
fn the_opaques_of_the_two_directions_are_independent() {
    let mut script = Script::with(&[], dcp::Open::PRODUCER, &[("enable_noop", "true")]);
    script.stream(1, 5, 0);
    script.p(marker(1, 5, 0, 9));
    script.c(close_stream(1, 5));
    script.p(request(Opcode::DCP_NOOP, 0, 5, Message::DcpNoop(dcp::DcpNoop)));
    let close = script.p(plain(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS, 5));
    assert_eq!(close.answers.map(|asked| (asked.by, asked.opcode)), Some((Side::Dialler, Opcode::DCP_CLOSE_STREAM)));
    let noop = script.c(plain(Opcode::DCP_NOOP, Status::SUCCESS, 5));
    assert_eq!(noop.answers.map(|asked| (asked.by, asked.opcode)), Some((Side::Upstream, Opcode::DCP_NOOP)));
    assert!(!close.unasked && !noop.unasked && script.session.outstanding().is_empty());
    assert_eq!(failed(&script), [""; 0]);
    // The same opcode both ways.
    let mut script = Script::opened();
    script.c(request(Opcode::NOOP, 0, 5, Message::Noop(dcp::Noop)));
    script.p(request(Opcode::NOOP, 0, 5, Message::Noop(dcp::Noop)));
    let first = script.c(plain(Opcode::NOOP, Status::SUCCESS, 5));
    assert_eq!(first.answers.map(|asked| asked.by), Some(Side::Upstream));
    assert_eq!(script.session.outstanding().of(Side::Dialler).count(), 1, "the consumer's own still waits");
}

/// J2. The connection to a consumer node: the manager dialled it, and is its producer.
#[test]
fn a_managers_requests_come_in_between() {
    let mut script = Script::blank();
    script.c(open(1, 0, None));
    script.p(plain(Opcode::DCP_OPEN, Status::SUCCESS, 1));
    script.c(request(Opcode::DCP_ADD_STREAM, 1, 7, Message::AddStream(dcp::AddStream { flags: 0 })));
    script.p(request(Opcode::GET_ERROR_MAP, 0, 8, Message::GetErrorMap(dcp::GetErrorMap { version: 2 })));
    script.p(stream_req(1, 10, 0));
    script.c(stream_ok(10));
    script.c(plain(Opcode::GET_ERROR_MAP, Status::SUCCESS, 8));
    let added = script.p(plain(Opcode::DCP_ADD_STREAM, Status::SUCCESS, 7));
    assert_eq!(added.answers.map(|asked| asked.opcode), Some(Opcode::DCP_ADD_STREAM));
    script.c(marker(1, 10, 0, 9));
    let close = script.c(close_stream(1, 9));
    script.p(plain(Opcode::DCP_CLOSE_STREAM, Status::SUCCESS, 9));
    assert!(close.stream.is_some_and(|stream| stream.key == vb(1)));
    assert_eq!(script.session.stream(vb(1)).map(|stream| stream.state), Some(State::Closed));
    assert!(script.session.outstanding().is_empty());
    assert_eq!(failed(&script), [""; 0]);
}

/// J4. What was agreed on before is not known, so nothing is held against anyone.
#[test]
fn who_joins_late_says_nothing() {
    let told = |script: &mut Script| {
        script.c(open(2, dcp::Open::PRODUCER, None));
        script.p(plain(Opcode::DCP_OPEN, Status::SUCCESS, 2));
        script.stream(1, 10, 0);
        let body = dcp::SystemEventBody::Scope { manifest_uid: 1, scope_id: 8 };
        script.p(marker(1, 10, 0, 9));
        script.p(system_event(1, 10, 1, dcp::SystemEvent::CREATE_SCOPE, body));
    };
    let mut late = Script::blank();
    late.say(Direction::From, What::Gap(None));
    told(&mut late);
    assert_eq!(failed(&late), [""; 0]);
    let mut whole = Script::blank();
    told(&mut whole);
    assert_eq!(failed(&whole), ["a11-collections-agreed"], "HELLO was seen not to have collections");
    let mut later = Script::blank();
    later.p(system_event(1, 10, 1, 3, dcp::SystemEventBody::Scope { manifest_uid: 1, scope_id: 8 }));
    later.p(mutation(1, 10, 1));
    assert_eq!(failed(&later), [""; 0], "DCP_OPEN was missed");
    assert!(!Session::new(Side::Upstream).features().has(Feature::COLLECTIONS));
}
