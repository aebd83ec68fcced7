//! Each quirk of the producer beside the same node without it, and the rule that finds it, where one does.

use std::collections::BTreeSet;

use super::super::Config;
use super::super::Quirk;
use super::peer::EVERYTHING;
use super::peer::Peer;
use super::peer::Seen;
use super::peer::still;
use crate::dcp;
use crate::dcp::BufferAck;
use crate::dcp::CloseStream;
use crate::dcp::Message;
use crate::dcp::Open;
use crate::dcp::SeqnoAck;
use crate::dcp::StreamEnd;
use crate::dcp::StreamReq;
use crate::dcp::StreamReqValue;
use crate::era::Era;
use crate::verdict::Verdict;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

fn node(quirks: &[Quirk], era: Era) -> super::super::Node {
    still(Config { era, quirks: quirks.iter().copied().collect(), items: 3000, ..Config::default() })
}

/// What comes of it without the quirk, and with it; the consumer has everything on.
fn both<T>(quirk: Quirk, era: Era, play: impl Fn(&mut Peer) -> T) -> (T, T) {
    let run = |quirks: &[Quirk]| play(&mut Peer::with_everything(&node(quirks, era)));
    (run(&[]), run(&[quirk]))
}

/// As [`both`], for a consumer with collections, but without sync writes.
fn both_without_sync_writes<T>(quirk: Quirk, era: Era, play: impl Fn(&mut Peer) -> T) -> (T, T) {
    let run = |quirks: &[Quirk]| {
        let mut peer = Peer::opened(&node(quirks, era), EVERYTHING, Open::INCLUDE_DELETE_TIMES);
        peer.controls(&[("enable_noop", "true"), ("send_stream_end_on_client_close_stream", "true")]);
        play(&mut peer)
    };
    (run(&[]), run(&[quirk]))
}

/// The rules that do not hold for what crossed.
fn broken(peer: &Peer) -> BTreeSet<String> {
    let broken = peer.findings().into_iter().filter(|finding| finding.verdict != Verdict::Pass);
    broken.map(|finding| finding.id.to_string()).collect()
}

fn rules(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

fn close(vbucket: u16) -> FrameBuilder {
    CloseStream.request(vbucket, Opaque([5; 4]))
}

fn request(opaque: u8, start: u64, end_seqno: u64, flags: u32) -> FrameBuilder {
    let request = StreamReq {
        flags,
        start_seqno: start,
        end_seqno,
        snap_start_seqno: start,
        snap_end_seqno: start,
        ..StreamReq::default()
    };
    request.request(0, Opaque([opaque; 4]))
}

fn ends(seen: &[Seen]) -> Vec<u32> {
    let reason = |frame: &Seen| match frame.message {
        Message::StreamEnd(StreamEnd { end_reason }) => Some(end_reason),
        _ => None,
    };
    seen.iter().filter_map(reason).collect()
}

fn statuses(seen: &[Seen]) -> Vec<Status> {
    seen.iter().filter_map(|frame| frame.header.status()).collect()
}

fn seqnos(seen: &[Seen]) -> Vec<u64> {
    seen.iter().filter_map(|frame| frame.message.by_seqno()).collect()
}

#[test]
fn skip_after_orphan_leaves_out_one_item_and_breaks_no_rule() {
    for window in ["0", "300", "100000"] {
        let (whole, skipped) = both(Quirk::SkipAfterOrphan, Era::V7_0, |peer| {
            peer.acks = true;
            peer.control("connection_buffer_size", window);
            let first = peer.stream(0);
            let second = peer.stream(1);
            let mut seen = peer.reads(300);
            peer.responds(Opcode::DCP_MUTATION, Status::NOT_MY_VBUCKET, first);
            seen.extend(peer.reads(usize::MAX));
            assert!(peer.is_alive());
            assert_eq!(broken(peer), rules(&[]));
            seen.retain(|frame| frame.header.opaque == second);
            seqnos(&seen).into_iter().collect::<BTreeSet<u64>>()
        });
        assert_eq!(whole.difference(&skipped).count(), 1, "window {window}");
        assert!(skipped.is_subset(&whole));
    }
}

/// The answer to `opcode` on a live stream: whether the node lives on, and whether the stream does.
fn after_answer(peer: &mut Peer, opcode: Opcode, status: Status) -> (bool, bool) {
    let opaque = peer.stream(0);
    peer.reads(100);
    peer.responds(opcode, status, opaque);
    let goes_on = seqnos(&peer.reads(10_000)).contains(&3000);
    (peer.is_alive(), goes_on)
}

#[test]
fn mb_36794_and_mb_36971_swallow_what_their_eras_must_close_for() {
    use Opcode as O;
    for era in [Era::V6_5, Era::V6_6, Era::V7_0, Era::Master] {
        for opcode in [O::DCP_PREPARE, O::DCP_COMMIT, O::DCP_ABORT] {
            let found = both(Quirk::Mb36794, era, |peer| after_answer(peer, opcode, Status::EINVAL));
            assert_eq!(found, ((false, false), (true, false)), "{era} {opcode}");
        }
        for opcode in [O::DCP_COMMIT, O::DCP_ABORT] {
            let found = both(Quirk::Mb36971, era, |peer| after_answer(peer, opcode, Status::KEY_ENOENT));
            assert_eq!(found, ((false, false), (true, false)), "{era} {opcode}");
        }
        let found = both(Quirk::Mb36971, era, |peer| after_answer(peer, O::DCP_COMMIT, Status::EINVAL));
        assert_eq!(found, ((false, false), (false, false)), "{era}: another status");
    }
    let found = both(Quirk::Mb36971, Era::V2019_07, |peer| after_answer(peer, O::DCP_COMMIT, Status::KEY_ENOENT));
    assert_eq!(found, ((true, true), (true, true)), "here nothing must close");
}

#[test]
fn orphan_after_end_and_large_orphan_close() {
    let (clean, quirky) = both(Quirk::OrphanAfterEnd, Era::V7_0, |peer| {
        let opaque = peer.stream_to(0, 50);
        assert_eq!(ends(&peer.reads(usize::MAX)), [0]);
        peer.responds(Opcode::DCP_MUTATION, Status::NOT_MY_VBUCKET, opaque);
        peer.is_alive()
    });
    assert_eq!((clean, quirky), (true, false));
    for (len, expected) in [(100 * 1024, (true, false)), (10 * 1024, (true, true))] {
        let found = both(Quirk::LargeOrphan, Era::V7_0, |peer| {
            let opaque = peer.stream(0);
            peer.reads(10);
            peer.says(dcp::response(Opcode::DCP_MUTATION, Status::NOT_MY_VBUCKET, opaque).value(vec![b'x'; len]));
            peer.is_alive()
        });
        assert_eq!(found, expected, "{len}");
    }
}

#[test]
fn refuse_readd_wants_the_end_first() {
    let (clean, quirky) = both(Quirk::RefuseReadd, Era::V7_0, |peer| {
        peer.control("connection_buffer_size", "2000");
        peer.stream(0);
        peer.reads(usize::MAX);
        peer.asks(close(0), Status::SUCCESS);
        peer.ask(request(0xac, 0, u64::MAX, 0)).header.status()
    });
    assert_eq!((clean, quirky), (Some(Status::SUCCESS), Some(Status::KEY_EEXISTS)));
}

#[test]
fn skip_after_close_goes_on_behind_the_snapshot_that_was_cut() {
    let (whole, skipped) = both(Quirk::SkipAfterClose, Era::V7_0, |peer| {
        peer.stream(0);
        let seen = peer.reads(200);
        let span = seen.iter().rev().find_map(|frame| match frame.message {
            Message::SnapshotMarker(marker) => Some((marker.start_seqno, marker.end_seqno)),
            _ => None,
        });
        let ((start, end), at) = (span.unwrap(), *seqnos(&seen).last().unwrap());
        assert!(start < at && at < end);
        peer.says(close(0));
        peer.reads(usize::MAX);
        let log = peer.asks(dcp::GetFailoverLog.request(0, Opaque([3; 4])), Status::SUCCESS).message;
        let Message::FailoverLog(log) = log else { panic!() };
        let again = StreamReq {
            start_seqno: at,
            end_seqno: u64::MAX,
            vb_uuid: log.failover_log[0].vb_uuid,
            snap_start_seqno: start,
            snap_end_seqno: end,
            ..StreamReq::default()
        };
        peer.says(again.request(0, Opaque([9; 4])));
        let first = *seqnos(&peer.reads(usize::MAX)).first().unwrap();
        (first > end, broken(peer))
    });
    assert_eq!((whole, skipped), ((false, rules(&[])), (true, rules(&[]))));
}

#[test]
fn rollback_storm_refuses_the_seqno_that_it_named() {
    let found = both(Quirk::RollbackStorm, Era::V7_0, |peer| {
        let log = peer.asks(dcp::GetFailoverLog.request(0, Opaque([3; 4])), Status::SUCCESS).message;
        let Message::FailoverLog(log) = log else { panic!() };
        let from = |seqno| StreamReq {
            start_seqno: seqno,
            end_seqno: u64::MAX,
            vb_uuid: log.failover_log[0].vb_uuid,
            snap_start_seqno: seqno,
            snap_end_seqno: seqno,
            ..StreamReq::default()
        };
        let mut next = 5;
        let mut answers = 0;
        while let Message::StreamReqResponse(dcp::StreamReqResponse::Rollback { rollback_seqno }) =
            peer.stream_req(&from(next), 0).message
        {
            next = rollback_seqno;
            answers += 1;
        }
        (next, answers)
    });
    assert_eq!(found, ((5, 0), (0, 5)));
}

/// Walks a takeover of vbucket 0: answers each marker, one of them `extra` times more, and each state.
fn take_over(peer: &mut Peer, extra: usize) -> Vec<Seen> {
    let (opaque, mut all, mut extra) = (Opaque([0xab, 0, 0, 0]), Vec::new(), extra);
    peer.says(request(0, 0, u64::MAX, StreamReq::TAKEOVER).opaque(opaque));
    loop {
        let seen = peer.reads(usize::MAX);
        if seen.is_empty() {
            return all;
        }
        for frame in &seen {
            match frame.message {
                Message::SnapshotMarker(marker) if marker.flags & 8 != 0 => {
                    peer.responds(Opcode::DCP_SNAPSHOT_MARKER, Status::SUCCESS, opaque);
                }
                Message::SetVbucketState(_) => {
                    peer.responds(Opcode::DCP_SET_VBUCKET_STATE, Status::SUCCESS, opaque);
                    for _ in 0..std::mem::take(&mut extra) {
                        peer.responds(Opcode::DCP_SNAPSHOT_MARKER, Status::SUCCESS, opaque);
                    }
                }
                _ => {}
            }
        }
        all.extend(seen);
    }
}

#[test]
fn stray_marker_ack_leaves_no_active_copy() {
    for (extra, expected) in [(0, (vec![0], vec![0])), (1, (vec![0], vec![]))] {
        let found = both(Quirk::StrayMarkerAck, Era::V7_0, |peer| ends(&take_over(peer, extra)));
        assert_eq!(found, expected, "{extra} stray answers");
    }
}

#[test]
fn mb_35378_closes_on_an_acknowledgement_after_the_end() {
    let found = both(Quirk::Mb35378, Era::V7_0, |peer| {
        let opaque = peer.stream_to(0, 200);
        peer.reads(50);
        peer.says(SeqnoAck { prepared_seqno: 20 }.request(0, opaque));
        assert!(peer.is_alive(), "while the stream is open");
        let (mut seen, opaque) = (Vec::new(), opaque);
        while ends(&seen).is_empty() {
            peer.responds(Opcode::NOOP, Status::SUCCESS, opaque);
            seen = peer.reads(1);
            if seen.is_empty() {
                break;
            }
        }
        peer.says(SeqnoAck { prepared_seqno: 30 }.request(0, opaque));
        (peer.is_alive(), broken(peer))
    });
    assert_eq!(found, ((true, rules(&[])), (false, rules(&[]))));
}

#[test]
fn mb_35226_trips_over_an_acknowledgement_of_a_dead_stream() {
    for dead in [true, false] {
        let found = both(Quirk::Mb35226, Era::V7_0, |peer| {
            peer.control("connection_buffer_size", "8000");
            let first = peer.stream(0);
            let sent = seqnos(&peer.reads(usize::MAX)).into_iter().max().unwrap();
            if !dead {
                peer.says(SeqnoAck { prepared_seqno: sent }.request(0, first));
            }
            peer.asks(close(0), Status::SUCCESS);
            if dead {
                peer.says(SeqnoAck { prepared_seqno: sent }.request(0, first));
            }
            peer.control("connection_buffer_size", "0");
            assert_eq!(ends(&peer.reads(usize::MAX)), [1]);
            let second = Opaque([0xac; 4]);
            peer.says(request(0xac, 0, u64::MAX, 0));
            assert!(seqnos(&peer.reads(usize::MAX)).contains(&3000));
            peer.says(SeqnoAck { prepared_seqno: sent - 1 }.request(0, second));
            (peer.is_alive(), broken(peer))
        });
        assert_eq!(found, ((true, rules(&[])), (!dead, rules(&[]))), "dead: {dead}");
    }
}

#[test]
fn mb_35314_sends_v2_markers_to_nobody_in_particular() {
    let run = |quirks: &[Quirk]| {
        let mut peer = Peer::opened(&node(quirks, Era::V7_0), EVERYTHING, Open::INCLUDE_DELETE_TIMES);
        peer.controls(&[("enable_noop", "true"), ("enable_sync_writes", "true")]);
        peer.stream(0);
        peer.reads(100);
        broken(&peer)
    };
    assert_eq!(run(&[]), rules(&[]));
    assert!(run(&[Quirk::Mb35314]).contains("a10-marker-version-agreed"));
}

#[test]
fn mb_26363_sends_no_end_after_a_close() {
    let found = both(Quirk::Mb26363, Era::V7_0, |peer| {
        peer.stream(0);
        peer.reads(30);
        peer.says(close(0));
        ends(&peer.reads(usize::MAX))
    });
    assert_eq!(found, (vec![1], vec![]));
}

#[test]
fn mb_25820_answers_twice_and_mb_17230_once_too_kindly() {
    let refused = |quirk, absent: bool| {
        both(quirk, Era::V7_0, |peer| {
            let vbucket = if absent { 900 } else { 1 };
            if !absent {
                peer.asks(FrameBuilder::request(Opcode::SET_VBUCKET).vbucket(1).extras([4]), Status::SUCCESS);
            }
            let request = StreamReq { end_seqno: u64::MAX, ..StreamReq::default() };
            peer.says(request.request(vbucket, Opaque([7; 4])));
            let found = peer.reads(usize::MAX);
            assert!(peer.is_alive());
            (statuses(&found), found.len(), broken(peer))
        })
    };
    let refusal = (vec![Status::NOT_MY_VBUCKET], 1, rules(&[]));
    for absent in [true, false] {
        let twice = (vec![Status::SUCCESS, Status::NOT_MY_VBUCKET], 2, rules(&["c2-one-answer"]));
        assert_eq!(refused(Quirk::Mb25820, absent), (refusal.clone(), twice));
        assert_eq!(refused(Quirk::Mb17230, absent), (refusal.clone(), (vec![Status::SUCCESS], 1, rules(&[]))));
    }
}

#[test]
fn mb_38356_stops_the_stream_that_was_open_first() {
    let found = both(Quirk::Mb38356, Era::V7_0, |peer| {
        let first = peer.stream(0);
        let other = peer.stream(1);
        peer.reads(20);
        peer.says(request(0xac, 0, u64::MAX, 0));
        let mut seen = peer.reads(usize::MAX);
        assert_eq!(statuses(&seen), [Status::KEY_EEXISTS]);
        assert!(seqnos(&seen).contains(&3000), "the other goes on");
        seen.retain(|frame| frame.header.opaque == first && frame.header.opaque != other);
        (seqnos(&seen).contains(&3000), peer.is_alive(), broken(peer))
    });
    assert_eq!(found, ((true, true, rules(&[])), (false, true, rules(&[]))));
}

/// A stream that is bounded at 60, which is on disk.
fn bounded_on_disk(peer: &mut Peer, window: &str) -> (Vec<u32>, BTreeSet<String>) {
    peer.control("connection_buffer_size", window);
    peer.acks = true;
    peer.stream_to(0, 60);
    let seen = peer.reads(usize::MAX);
    assert!(seqnos(&seen).contains(&96), "the snapshot goes to its end");
    peer.waits(20_000);
    peer.is_alive();
    (ends(&seen), broken(peer))
}

#[test]
fn mb_31481_forgets_the_end_of_a_stream_that_was_held_up() {
    let (clean, quirky) = both(Quirk::Mb31481, Era::V7_0, |peer| bounded_on_disk(peer, "1000"));
    assert_eq!((clean, quirky), ((vec![0], rules(&[])), (vec![], rules(&[]))));
    let (clean, quirky) = both(Quirk::Mb31481, Era::V7_0, |peer| bounded_on_disk(peer, "0"));
    assert_eq!((clean.0, quirky.0), (vec![0], vec![0]), "without flow control it ends");
}

#[test]
fn mb_27489_is_silent_after_a_backfill_that_failed() {
    let found = both(Quirk::Mb27489, Era::V7_0, |peer| {
        peer.stream(1);
        peer.reads(20);
        peer.says(FrameBuilder::request(Opcode::DEL_VBUCKET).vbucket(1));
        let seen = peer.reads(usize::MAX);
        assert!(peer.is_alive());
        ends(&seen)
    });
    assert_eq!(found, (vec![2], vec![]));
}

#[test]
fn mb_45523_loses_a_vbucket_state_in_a_full_window() {
    let play = |peer: &mut Peer| {
        peer.control("connection_buffer_size", "10000000");
        let opaque = Opaque([0xab, 0, 0, 0]);
        peer.says(request(0, 0, u64::MAX, StreamReq::TAKEOVER).opaque(opaque));
        let seen = peer.reads(usize::MAX);
        peer.control("connection_buffer_size", "1000");
        for frame in &seen {
            if matches!(frame.message, Message::SnapshotMarker(marker) if marker.flags & 8 != 0) {
                peer.responds(Opcode::DCP_SNAPSHOT_MARKER, Status::SUCCESS, opaque);
            }
        }
        assert!(peer.reads(usize::MAX).is_empty(), "the window is full");
        peer.gives_back(u32::MAX);
        peer.reads(usize::MAX).iter().any(|frame| frame.opcode() == Opcode::DCP_SET_VBUCKET_STATE)
    };
    assert_eq!(both(Quirk::Mb45523, Era::V7_0, play), (true, false));
    let found = both(Quirk::Mb45523, Era::V7_0, |peer| ends(&take_over(peer, 0)));
    assert_eq!(found, (vec![0], vec![0]), "with room in the window it goes on");
}

#[test]
fn mb_72330_refuses_wide_windows() {
    let found = both(Quirk::Mb72330, Era::Master, |peer| peer.control("connection_buffer_size", "4294967296"));
    assert_eq!(found, (Status::SUCCESS, Status::EINVAL));
}

#[test]
fn mb_50543_and_mb_51105_go_back_where_disk_turns_to_memory() {
    let run = |peer: &mut Peer| {
        peer.stream(0);
        peer.reads(usize::MAX);
        broken(peer)
    };
    let (clean, quirky) = both(Quirk::Mb50543, Era::V7_0, run);
    assert_eq!((clean, quirky), (rules(&[]), rules(&["d6-markers-ascend"])));
    let (clean, quirky) = both(Quirk::Mb51105, Era::V7_0, run);
    assert_eq!(clean, rules(&[]));
    assert!(quirky.contains("d2-seqno-increases"), "{quirky:?}");
}

/// An end seqno at which the stream is sent nothing but SEQNO_ADVANCED: the last of a snapshot, a prepare or an abort.
fn invisible_end(peer: &mut Peer) -> u64 {
    peer.stream(1);
    let seen = peer.reads(usize::MAX);
    peer.says(close(1));
    peer.reads(usize::MAX);
    let advanced = |frame: &Seen| match frame.message {
        Message::SeqnoAdvanced(advanced) => Some(advanced.by_seqno),
        _ => None,
    };
    seen.iter().find_map(advanced).unwrap_or(0)
}

#[test]
fn mb_62847_and_mb_66612_advance_too_late_and_too_early() {
    for era in [Era::V7_0, Era::Master] {
        let mut clean = Peer::opened(&node(&[], era), EVERYTHING, Open::INCLUDE_DELETE_TIMES);
        clean.controls(&[("enable_noop", "true")]);
        let end = invisible_end(&mut clean);
        assert!(end > 0);
        let bounded = |peer: &mut Peer| {
            let request = StreamReq { end_seqno: end, ..StreamReq::default() };
            peer.says(request.request(1, Opaque([9; 4])));
            let seen = peer.reads(usize::MAX);
            let advanced = seen.iter().any(|frame| frame.opcode() == Opcode::DCP_SEQNO_ADVANCED);
            (ends(&seen), advanced, broken(peer))
        };
        let found = both_without_sync_writes(Quirk::Mb62847, era, bounded);
        assert_eq!(found, ((vec![0], true, rules(&[])), (vec![], false, rules(&[]))), "{era}");
        let (clean, quirky) = both_without_sync_writes(Quirk::Mb66612, era, bounded);
        assert_eq!(clean.2, rules(&[]));
        assert!(quirky.2.contains("d2-seqno-increases"), "{era}: {quirky:?}");
    }
}

#[test]
fn mb_46634_lets_the_window_be_overrun() {
    let (clean, quirky) = both(Quirk::Mb46634, Era::V7_0, |peer| {
        peer.control("connection_buffer_size", "5000");
        peer.stream(0);
        peer.stream(1);
        loop {
            let seen = peer.reads(usize::MAX);
            let charges: u32 = seen.iter().map(|frame| dcp::charge(&frame.header)).sum();
            if charges == 0 {
                return broken(peer);
            }
            peer.says(BufferAck { bytes_to_ack: charges }.request(Opaque([0; 4])));
        }
    });
    assert_eq!((clean, quirky), (rules(&[]), rules(&["g1-window-respected"])));
}

/// Opens so many streams at once, each with a stream id and an end, and gives back no more than what fills the window.
fn fill_with_stream_ids(quirks: &[Quirk], streams: u16, end_seqno: u64) -> BTreeSet<String> {
    let mut peer = Peer::opened(&node(quirks, Era::V7_0), EVERYTHING, Open::INCLUDE_DELETE_TIMES);
    peer.controls(&[
        ("enable_noop", "true"),
        ("enable_stream_id", "true"),
        ("v7_dcp_status_codes", "true"),
        ("connection_buffer_size", "5000"),
    ]);
    for sid in 1..=streams {
        let value = StreamReqValue { sid: Some(sid), ..StreamReqValue::default() };
        let request = StreamReq { end_seqno, value: Some(Box::new(value)), ..StreamReq::default() };
        let [hi, lo] = sid.to_be_bytes();
        peer.says(request.request(0, Opaque([0xaa, 0, hi, lo])));
    }
    let mut given = 0;
    loop {
        let seen = peer.reads(usize::MAX);
        let charges: u32 = seen.iter().map(|frame| dcp::charge(&frame.header)).sum();
        if charges == 0 {
            return broken(&peer);
        }
        // Never all of it: a count that is at 0 forgets what it counted wrongly.
        given = if given == 0 { charges - 2000 } else { charges };
        peer.says(BufferAck { bytes_to_ack: given }.request(Opaque([0; 4])));
    }
}

#[test]
fn mb_40277_and_mb_42506_forget_the_stream_id() {
    assert_eq!(fill_with_stream_ids(&[], 3, u64::MAX), rules(&[]));
    assert_eq!(fill_with_stream_ids(&[Quirk::Mb40277], 3, u64::MAX), rules(&["g1-window-respected"]));
    assert_eq!(fill_with_stream_ids(&[], 600, 0), rules(&[]));
    assert_eq!(fill_with_stream_ids(&[Quirk::Mb42506], 600, 0), rules(&["g1-window-respected"]));
}
