//! Faults of a direction, of acknowledgements and of the connection, each alone: what the ends get and when, and the books.

use dcproxy::journal::{Act, Direction, How, Origin, What};
use dcproxy::scenario::Scenario;
use dcproxy::verdict::Verdict;
use dcproxy::wire::{FrameBuilder, Opcode};

use super::single::*;
use super::stage::*;

#[test]
fn delay_keeps_the_order_and_its_jitter_is_the_seeds() {
    let times = |seed| {
        let fault = "delay = { by = '10ms', jitter = '50ms', for = '1s' }";
        let mut stage = stage_of_steps(&[("filter = 'dcp.seqno == 1'", fault)], seed);
        say_all(&mut stage, 1..=5);
        assert_eq!(stage.bytes_at(CONSUMER), [0; 0]);
        let (mut times, mut got) = (Vec::new(), Vec::new());
        while stage.ms() < 1000 {
            stage.wait_ms(1);
            let new = stage.bytes_at(CONSUMER);
            times.extend(new.chunks(m(1).build().len()).map(|_| stage.ms()));
            got.extend(new);
        }
        assert_eq!(got, bytes_of(1..=5));
        assert!(times.iter().all(|ms| (10..=60).contains(ms)), "{times:?}");
        stage.wait_ms(1000);
        stage.p(m(6));
        assert_eq!(stage.bytes_at(CONSUMER), bytes_of([6]), "it is over");
        times
    };
    assert_eq!(times(1), times(1));
    assert!((2..9).any(|seed| times(seed) != times(1)));
}

#[test]
fn hold_waits_for_its_time_or_a_release() {
    let mut stage = third("hold = { for = '300ms' }");
    say_all(&mut stage, 1..=4);
    stage.wait_ms(299);
    assert_eq!(stage.bytes_at(CONSUMER), bytes_of([1, 2]));
    stage.wait_ms(1);
    assert_eq!(stage.bytes_at(CONSUMER), bytes_of([3, 4]));
    let hold = ("filter = 'dcp.seqno == 2'", "hold = {}");
    let release = ("filter = 'dcp.seqno == 4'", "release = { from = 'producer' }");
    let mut stage = stage_of_steps(&[hold, release], 1);
    say_all(&mut stage, 1..=3);
    stage.wait_ms(5_000);
    assert_eq!(stage.bytes_at(CONSUMER), bytes_of([1]));
    say_all(&mut stage, 4..=5);
    stage.wait_ms(0);
    assert_eq!(stage.bytes_at(CONSUMER), bytes_of([2, 3, 4, 5]));
    // The other direction is never held by it, and the close waits.
    let mut stage = third("hold = { for = '300ms' }");
    say_all(&mut stage, 1..=3);
    stage.c(buffer_ack(10));
    stage.closed(PRODUCER, How::Fin);
    assert_eq!((acked(&mut stage), stage.closes()), (10, vec![]));
    stage.wait_ms(300);
    assert_eq!((stage.bytes_at(CONSUMER), stage.closes()), (bytes_of([1, 2, 3]), vec![(CONSUMER, How::Fin)]));
}

#[test]
fn throttle_keeps_a_rate() {
    let mut stage = third("throttle = { rate = '1000' }");
    say_all(&mut stage, 1..=2);
    stage.forget();
    say_all(&mut stage, 3..=40);
    let (mut got, mut most) = (Vec::new(), 0);
    for _ in 0..1000 {
        stage.wait_ms(1);
        let new = stage.bytes_at(CONSUMER);
        most = most.max(new.len());
        got.extend(new);
    }
    assert!((990..=1010).contains(&got.len()), "{}", got.len());
    assert_eq!((most, &got[..]), (10, &bytes_of(3..=40)[..got.len()]));
}

#[test]
fn slice_sends_pieces_of_a_size_each_at_its_time() {
    let mut stage = third("slice = { size = 10, delay = '5ms', for = '20ms' }");
    say_all(&mut stage, 1..=2);
    stage.forget();
    stage.p(m(3));
    let (all, mut got) = (bytes_of([3]), Vec::new());
    let mut sizes = Vec::new();
    for _ in 0..19 {
        stage.wait_ms(1);
        let new = stage.bytes_at(CONSUMER);
        sizes.push(new.len());
        got.extend(new);
    }
    let pieces: Vec<_> = sizes.iter().filter(|len| **len > 0).collect();
    assert!(pieces.iter().all(|len| **len == 10) && (3..=5).contains(&pieces.len()), "{sizes:?}");
    stage.wait_ms(10);
    got.extend(stage.bytes_at(CONSUMER));
    assert_eq!(got, all, "then all that waits");
}

#[test]
fn limit_data_ends_both_after_so_many_bytes() {
    for (then, how) in [("fin", How::Fin), ("rst", How::Reset)] {
        let mut stage = third(&format!("limit_data = {{ bytes = 100, then = '{then}' }}"));
        say_all(&mut stage, 1..=2);
        stage.forget();
        say_all(&mut stage, 3..=9);
        assert_eq!(stage.bytes_at(CONSUMER), bytes_of(3..=9)[..100]);
        assert_eq!(stage.closes(), [(CONSUMER, how), (PRODUCER, how)]);
    }
    // At the end of a frame: that frame was delivered, and nothing was cut.
    let len = m(3).build().len();
    let mut stage = third(&format!("limit_data = {{ bytes = {len} }}"));
    say_all(&mut stage, 1..=4);
    assert_eq!((stage.bytes_at(CONSUMER), fates(&mut stage).len()), (bytes_of([1, 2, 3]), 1));
    assert_eq!(fates(&mut stage), [(PRODUCER, Act::Swallowed)], "the fourth");
}

#[test]
fn disconnect_closes_the_ends_that_it_names() {
    let closed = |fault: &str| {
        let mut stage = third(fault);
        say_all(&mut stage, 1..=4);
        (stage.bytes_at(CONSUMER), stage.closes())
    };
    let both = |how| vec![(PRODUCER, how), (CONSUMER, how)];
    let three = bytes_of([1, 2, 3]);
    assert_eq!(closed("disconnect = {}"), (three.clone(), both(How::Fin)));
    assert_eq!(closed("disconnect = { how = 'rst' }"), (three.clone(), both(How::Reset)));
    for (end, side) in [("producer", PRODUCER), ("consumer", CONSUMER)] {
        for (how, expected) in [("fin", How::Fin), ("rst", How::Reset), ("half-close", How::Fin)] {
            // What an end that was closed still says is heard after half a close alone.
            let heard = if how == "half-close" && side == PRODUCER { bytes_of(1..=4) } else { three.clone() };
            let got = closed(&format!("disconnect = {{ end = '{end}', how = '{how}' }}"));
            assert_eq!(got, (heard, vec![(side, expected)]), "{end} {how}");
        }
    }
}

/// The driver says that it has reset an end as it was told: the tool has ended what that end says, and the other end hears of it.
#[test]
fn disconnect_by_rst_at_one_end_is_the_tools_doing_at_both() {
    let expected = "name = 's'\nabout = ''\n[[steps]]\nname = 'a'\nwhen = { filter = 'dcp.seqno == 3' }\n";
    for side in [PRODUCER, CONSUMER] {
        let end = if side == PRODUCER { "producer" } else { "consumer" };
        let text = format!(
            "{expected}do = {{ disconnect = {{ how = 'rst', end = '{end}' }} }}\n\
             expect = {{ disconnect = {{ of = '{end}', within = '1s' }} }}\n"
        );
        let mut stage = stage_of_file(&text, 1);
        say_all(&mut stage, 1..=3);
        assert_eq!(stage.closes(), [(side, How::Reset)]);
        let skip = stage.journal().len();
        stage.closed(side, How::Reset);
        let told: Vec<_> = stage.journal()[skip..]
            .iter()
            .filter(|entry| matches!(entry.what, What::Closed { how: How::Reset, .. }))
            .map(|entry| (entry.edge, entry.direction, entry.origin))
            .collect();
        let other = side.other();
        assert_eq!(told, [(side, Direction::From, Origin::Tool), (other, Direction::To, Origin::Tool)]);
        assert_eq!(stage.closes(), [(other, How::Reset)]);
        stage.closed(other, How::Reset);
        stage.wait_ms(20_000);
        let report = stage.report();
        let found = |id: &str| {
            let findings = report.connections[0].findings.iter().chain(&report.connections[0].notes);
            findings.filter(|finding| finding.id == id).map(|finding| finding.verdict).collect::<Vec<_>>()
        };
        assert_eq!(found("s/a/disconnect"), [Verdict::Inconclusive], "it has not closed by itself");
        assert!(!found("connection-kept").contains(&Verdict::Fail), "nobody is blamed");
    }
}

#[test]
fn withhold_ack_keeps_what_it_is_told_to_and_passes_the_rest() {
    let withheld = |fault: &str| {
        let mut stage = third(fault);
        say_all(&mut stage, 1..=3);
        stage.c(buffer_ack(100));
        stage.c(buffer_ack(60));
        let now = acked(&mut stage);
        stage.wait_ms(500);
        let later = acked(&mut stage);
        stage.c(buffer_ack(7));
        (now, later, acked(&mut stage))
    };
    assert_eq!(withheld("withhold_ack = { for = '500ms' }"), (0, 160, 7));
    assert_eq!(withheld("withhold_ack = { bytes = 120 }"), (40, 0, 7), "an acknowledgement is split");
    assert_eq!(withheld("withhold_ack = { bytes = 120, for = '500ms' }"), (40, 120, 7));
    assert_eq!(withheld("withhold_ack = { for = '500ms', lost = true }"), (0, 0, 7));
}

#[test]
fn withhold_ack_keeps_nothing_that_pays_for_forged_frames() {
    let forge =
        ("filter = 'dcp.seqno == 2'", "send = { message = 'stream_end', to = 'consumer', extras = '00000002' }");
    for (fault, now, later) in
        [("withhold_ack = { for = '500ms' }", 0, 100), ("withhold_ack = { bytes = 60, for = '500ms' }", 40, 60)]
    {
        let mut stage = stage_of_steps(&[forge, ("filter = 'dcp.seqno == 3'", fault)], 1);
        say_all(&mut stage, 1..=3);
        stage.c(buffer_ack(128));
        assert_eq!(acked(&mut stage), now, "{fault}");
        stage.wait_ms(500);
        assert_eq!(acked(&mut stage), later, "28 bytes are for the tool's STREAM_END: {fault}");
        stage.c(buffer_ack(9));
        assert_eq!(acked(&mut stage), 9);
    }
}

#[test]
fn withhold_ack_and_drop_are_not_acknowledged_again_for_a_consumer_that_has_left() {
    let orphan = ("filter = 'dcp.seqno == 2'", "orphan_response = { message = 'mutation', status = 'KeyEnoent' }");
    for fault in ["withhold_ack = { for = '500ms' }", "drop = {}"] {
        let acks = "from = 'consumer', filter = 'dcp.opcode == buffer_ack', after = 'start'";
        let mut stage = stage_of_steps(&[orphan, (acks, fault)], 1);
        say_all(&mut stage, 1..=2);
        stage.wait_ms(60);
        stage.forget();
        let before = stage.engine.observed().1.at(PRODUCER).flow().outstanding();
        // One that withholds begins at the first.
        stage.c(buffer_ack(40));
        stage.closed(CONSUMER, How::Fin);
        stage.wait_ms(1_500);
        assert_eq!(u64::from(acked(&mut stage)), before, "{fault}: all of it, once");
    }
}

#[test]
fn swallow_noop_keeps_the_requests_or_the_answers() {
    let noop = || FrameBuilder::request(Opcode::DCP_NOOP).opaque(op(0x55));
    let play = |fault: &str| {
        let mut stage = third(fault);
        say_all(&mut stage, 1..=3);
        stage.forget();
        let mut got = Vec::new();
        for _ in 0..2 {
            stage.p(noop());
            stage.c(ok(Opcode::DCP_NOOP, 0x55));
            let answers = stage.at_producer().iter().filter(|line| line.starts_with("DCP_NOOP")).count();
            got.push((stage.at_consumer().len(), answers));
            stage.wait_ms(200);
        }
        got
    };
    assert_eq!(play("swallow_noop = {}"), [(0, 1), (0, 1)]);
    assert_eq!(play("swallow_noop = { answers = true }"), [(1, 0), (1, 0)]);
    assert_eq!(play("swallow_noop = { answers = true, for = '100ms' }"), [(1, 0), (1, 1)]);
}

#[test]
fn the_end_of_a_connection_in_the_middle_of_a_fault_is_told_to_the_other_end() {
    for fault in [
        "drop = {}",
        "delay = { by = '1s' }",
        "hold = { for = '20s' }",
        "duplicate = {}",
        "reorder = { behind = 5 }",
        "throttle = { rate = '100' }",
        "slice = { size = 10 }",
        "withhold_ack = {}",
        "swallow_noop = {}",
        "stream_end = {}",
        "limit_data = { bytes = 1000000 }",
        "truncate = { then = 'go-on' }",
        "corrupt = { field = 'body_len' }",
    ] {
        for first in [PRODUCER, CONSUMER] {
            for how in [How::Fin, How::Reset] {
                let mut stage = third(fault);
                say_all(&mut stage, 1..=4);
                stage.closed(first, how);
                // Behind a step that blocks, the producer is watched for a while without its consumer.
                stage.wait_ms(60_000);
                let told = stage.closes().iter().filter(|(side, _)| *side == first.other()).count();
                assert_eq!(told, 1, "{fault}: {first:?} has closed by {how:?}");
            }
        }
    }
}

#[test]
fn settings_are_written_back_as_they_were_read() {
    for fault in [
        "corrupt = { field = 'cas' }",
        "rewrite = { with_features = [8], without_features = [1, 2] }",
        "send = { message = 'DCP_NOOP', to = 'consumer', extras = 'SEQNO' }",
        "fake_response = { status = '0x1234', body = 'x' }",
        "stream_end = { reason = 127 }",
        "truncate = { bytes = 200000, then = 'go-on' }",
        "throttle = { rate = '64KB', from = 'consumer', for = '1s' }",
        "disconnect = { how = 'half-close', end = 'producer' }",
        "withhold_ack = { bytes = 5, lost = true }",
        "drop = { books = false }",
    ] {
        let text = format!("name = 's'\nabout = ''\n[[steps]]\nname = 'a'\ndo = {{ {fault} }}\n");
        let scenario = Scenario::parse(&text).unwrap();
        let written = scenario.to_toml();
        assert_eq!(Scenario::parse(&written).unwrap(), scenario, "{written}");
    }
}
