use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;
use crate::Timestamp;
use crate::dcp::Open;
use crate::journal::{Act, Direction, Entry, How, Origin, Side, What};
use crate::net::meter::{FrameKey, Frames, Kind, Message, Moved, OrphanKey};
use crate::session::script::*;
use crate::session::{Context, Session};
use crate::toxic::Stream;
use crate::wire::{FramingError, Opcode, Status};

/// A connection with a stream of three mutations, two of which are answered with errors: one by the tool.
fn orphans() -> Script {
    let mut script = Script::opened();
    script.stream(1, 7, 0);
    script.p(marker(1, 7, 1, 3));
    for seqno in 1..=3 {
        script.p(mutation(1, 7, seqno));
    }
    script.c(plain(Opcode::DCP_MUTATION, Status::KEY_ENOENT, 7));
    script.origin = Origin::Tool;
    script.c(plain(Opcode::DCP_MUTATION, Status::KEY_ENOENT, 7));
    script.c(plain(Opcode::DCP_MUTATION, Status(0x7e7e), 7));
    script
}

/// Shows a meter what was said, as the engine does: the session first.
fn show(meter: &mut Meter, log: &[Entry]) {
    let mut session = Session::new(Side::Upstream);
    for entry in log {
        let context = *session.observe(entry);
        meter.observe(entry, &context, &session);
    }
}

fn entry(direction: Direction, what: What) -> Entry {
    Entry { at: Timestamp(0), edge: Side::Upstream, direction, origin: Origin::Peer, what }
}

fn said(way: Direction, message: Message, origin: Origin) -> FrameKey {
    let direction = if way == Direction::From { Stream::Downstream } else { Stream::Upstream };
    FrameKey { way, direction, message, origin }
}

#[test]
fn frames_are_counted_by_message_direction_and_origin_with_their_bytes() {
    let totals = Arc::new(Totals::default());
    let mut meter = totals.meter();
    show(&mut meter, orphans().log());
    let read = totals.read();
    let mutation = Message::new(Kind::Request, Opcode::DCP_MUTATION);
    let answer = Message::new(Kind::Response, Opcode::DCP_MUTATION);
    let count = |key| read.frames.get(&key).copied();
    assert_eq!(count(said(Direction::From, mutation, Origin::Peer)), Some(Frames { frames: 3, bytes: 3 * (24 + 50) }));
    assert_eq!(count(said(Direction::To, answer, Origin::Peer)), Some(Frames { frames: 1, bytes: 24 }));
    assert_eq!(count(said(Direction::To, answer, Origin::Tool)), Some(Frames { frames: 2, bytes: 48 }));
    assert_eq!(count(said(Direction::From, answer, Origin::Peer)), None);
    let total: u64 = read.frames.values().map(|frames| frames.frames).sum();
    assert_eq!(total, orphans().log().len() as u64);
}

#[test]
fn orphaned_responses_are_counted_by_message_status_and_origin() {
    let totals = Arc::new(Totals::default());
    show(&mut totals.meter(), orphans().log());
    let answer = Message::new(Kind::Response, Opcode::DCP_MUTATION);
    let key = |status, origin| OrphanKey::new(answer, status, origin);
    let expected = [
        (key(Status::KEY_ENOENT, Origin::Peer), 1),
        (key(Status::KEY_ENOENT, Origin::Tool), 1),
        (key(Status(0xffff), Origin::Tool), 1),
    ];
    assert_eq!(totals.read().orphans, expected.into());
    assert_eq!(key(Status(0xffff), Origin::Tool).status(), "other");
}

#[test]
fn an_orphaned_response_that_crosses_both_edges_is_one() {
    let totals = Arc::new(Totals::default());
    let mut meter = totals.meter();
    let delivered = orphans().log().to_vec();
    // What the producer's edge is told of, the consumer's was told of before, from across.
    let said = delivered.iter().cloned().map(|entry| {
        let direction = if entry.direction == Direction::To { Direction::From } else { Direction::To };
        Entry { edge: Side::Dialler, direction, origin: Origin::Peer, ..entry }
    });
    let said: Vec<_> = said.collect();
    let mut sessions = [Session::new(Side::Dialler), Session::new(Side::Upstream)];
    for entry in said.iter().zip(&delivered).flat_map(|(said, delivered)| [said, delivered]) {
        let session = &mut sessions[usize::from(entry.edge == Side::Upstream)];
        let context = *session.observe(entry);
        assert!(context.orphan.is_none() || session.producer() == Some(Side::Upstream));
        meter.observe(entry, &context, session);
    }
    assert_eq!(totals.read().orphans.values().sum::<u64>(), 3);
}

#[test]
fn what_is_wrong_with_a_direction_is_counted_where_it_is_said() {
    let totals = Arc::new(Totals::default());
    let mut meter = totals.meter();
    let (context, session) = (Context::default(), Session::new(Side::Upstream));
    let lost = What::FramingLost(FramingError::TooLong(1));
    let fin = What::Closed { how: How::Fin, partial: 0 };
    for (direction, what) in [
        (Direction::From, lost.clone()),
        (Direction::To, lost),
        (Direction::From, fin.clone()),
        (Direction::To, fin),
        (Direction::From, What::Closed { how: How::Reset, partial: 0 }),
    ] {
        meter.observe(&entry(direction, what), &context, &session);
    }
    let [upstream, downstream] = totals.read().ways;
    assert_eq!((downstream.framing_lost, downstream.fins, downstream.resets), (1, 1, 1));
    assert_eq!((upstream.framing_lost, upstream.fins, upstream.resets), (0, 0, 0));
}

#[test]
fn what_a_connection_has_now_goes_with_it_and_what_it_did_stays() {
    let totals = Arc::new(Totals::default());
    let meter = totals.meter();
    let moved = Moved { read: [10, 20], written: [15, 8], queued: [5, 2] };
    meter.moved(&moved, [&Session::new(Side::Dialler), &Session::new(Side::Upstream)], [3, 0]);
    meter.relayed(Side::Dialler, Duration::from_millis(1));
    meter.paused(Side::Upstream, true);
    let read = totals.read();
    let [upstream, downstream] = &read.ways;
    assert_eq!((upstream.read, upstream.written, upstream.queued, upstream.held), (10, 8, 2, 0));
    assert_eq!((downstream.read, downstream.written, downstream.queued, downstream.held), (20, 15, 5, 3));
    assert_eq!((downstream.pauses, downstream.paused_now, downstream.latency.count()), (1, 1, 1));
    assert_eq!((upstream.pauses, upstream.paused_now, upstream.latency.count()), (0, 0, 0));
    assert_eq!((read.opened, read.open.connections), (1, 1));
    drop(meter);
    let after = totals.read();
    assert_eq!((after.opened, after.open), (1, Default::default()));
    let [upstream, downstream] = &after.ways;
    assert_eq!((upstream.read, downstream.read, downstream.written), (10, 20, 15));
    assert_eq!((downstream.queued, downstream.held, downstream.paused_now, downstream.pauses), (0, 0, 0, 1));
    assert!(downstream.paused >= read.ways[1].paused && downstream.paused == totals.read().ways[1].paused);
}

#[test]
fn no_count_is_ever_less_than_it_was_while_connections_come_go_and_are_read() {
    let totals = Arc::new(Totals::default());
    let (log, over) = (orphans().log().to_vec(), AtomicBool::new(false));
    let rounds: u64 = 200;
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for _ in 0..rounds {
                let mut meter = totals.meter();
                meter.paused(Side::Upstream, true);
                show(&mut meter, &log);
                meter.paused(Side::Upstream, false);
            }
            over.store(true, Ordering::SeqCst);
        });
        let (mut before, mut reads) = (totals.read(), 0);
        while !over.load(Ordering::SeqCst) || reads < 2 {
            let now = totals.read();
            assert!(now.opened >= before.opened && now.ways[1].paused >= before.ways[1].paused);
            for (key, count) in &before.frames {
                assert!(now.frames[key].frames >= count.frames && now.frames[key].bytes >= count.bytes, "{key:?}");
            }
            for (key, count) in &before.orphans {
                assert!(now.orphans[key] >= *count, "{key:?}");
            }
            (before, reads) = (now, reads + 1);
        }
        writing.join().expect("it writes");
    });
    let read = totals.read();
    assert_eq!(read.opened, rounds);
    assert_eq!(read.orphans.values().sum::<u64>(), 3 * rounds);
    assert_eq!(read.frames.values().map(|frames| frames.frames).sum::<u64>(), rounds * log.len() as u64);
}

#[test]
fn whatever_ends_say_there_is_a_bound_to_what_is_told_apart() {
    let totals = Arc::new(Totals::default());
    let mut meter = totals.meter();
    let mut script = Script::with(&[], Open::PRODUCER, &[]);
    for opcode in 0..=u8::MAX {
        script.p(request(Opcode(opcode), 0, 1, crate::dcp::Message::Response));
        script.c(plain(Opcode(opcode), Status(0x7000 + u16::from(opcode)), 1));
    }
    show(&mut meter, script.log());
    let read = totals.read();
    // Those of a connection, and what is not told apart; a few went both ways.
    assert!(read.frames.len() <= 250 + 8, "{}", read.frames.len());
    assert!(read.orphans.len() <= Opcode::ALL.len() + 1, "{}", read.orphans.len());
    assert_eq!(read.frames.values().map(|frames| frames.frames).sum::<u64>(), script.log().len() as u64);
    for number in 0..1_000 {
        let step = Act::Triggered { step: format!("step {number}"), stream: None };
        let context = Context::default();
        meter.observe(&entry(Direction::To, What::Acted(step)), &context, &Session::new(Side::Upstream));
        totals.judged(&Ending::Closed, Verdict::Fail, [(&*format!("finding {number}"), Verdict::Fail)]);
    }
    let (steps, findings) = (totals.steps(), totals.events().findings);
    assert_eq!((steps.len(), findings.len()), (MOST_NAMES + 1, MOST_NAMES + 1));
    assert_eq!((steps.values().sum::<u64>(), findings.values().sum::<u64>()), (1_000, 1_000));
}

#[test]
fn thousands_of_connections_are_as_many_numbers_as_one() {
    let totals = Arc::new(Totals::default());
    let log = orphans().log().to_vec();
    let mut meters = Vec::new();
    let mut lens = Vec::new();
    for count in [1, 5_000] {
        while meters.len() < count {
            let mut meter = totals.meter();
            show(&mut meter, &log);
            meters.push(meter);
        }
        let read = totals.read();
        assert_eq!(read.open.connections, count as u64);
        lens.push((read.frames.len(), read.orphans.len()));
    }
    assert_eq!(lens[0], lens[1]);
    assert_eq!(totals.read().orphans.values().sum::<u64>(), 15_000);
}

#[test]
fn streams_and_the_window_are_told_as_they_stand_at_the_producers_edge() {
    let totals = Arc::new(Totals::default());
    let meter = totals.meter();
    let mut script = Script::with(&[], Open::PRODUCER, &[("connection_buffer_size", "1000")]);
    script.stream(1, 7, 0);
    script.stream(2, 8, 0);
    script.p(marker(1, 7, 1, 3));
    script.p(mutation(1, 7, 1));
    script.c(close_stream(2, 8));
    script.c(stream_req(3, 9, 0));
    meter.moved(&Moved::default(), [&Session::new(Side::Dialler), &script.session], [0; 2]);
    let open = totals.read().open;
    assert_eq!((open.streams, open.connections), ([[0; 4], [1, 1, 1, 0]], 1));
    let charged = script.session.flow().outstanding();
    assert!(charged > 0);
    assert_eq!((open.with_flow_control, open.window, open.outstanding, open.full), (1, 1000, charged, 0));
}
