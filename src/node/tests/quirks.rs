use super::super::Config;
use super::super::How;
use super::super::Quirk;
use super::peer::Peer;
use super::peer::Seen;
use super::peer::still;
use crate::dcp::CloseStream;
use crate::dcp::Message;
use crate::era::Cell;
use crate::era::Era;
use crate::era::producer_cell;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

fn with(quirk: Quirk, era: Era) -> Peer {
    let quirks = [quirk].into();
    Peer::with_everything(&still(Config { era, quirks, items: 3000, ..Config::default() }))
}

/// Whether the node survives an orphaned response to `opcode`, and whether its era says that it must.
fn survives(quirk: Quirk, era: Era, opcode: Opcode, status: Status) -> (bool, bool) {
    let mut peer = with(quirk, era);
    peer.stream(0);
    peer.reads(10);
    peer.responds(opcode, status, Opaque([0x66; 4]));
    let must = producer_cell(era, era >= Era::V7_0, opcode, status, true) == Cell::Keep;
    (peer.is_alive(), must)
}

#[test]
fn mb_35287_closes_on_durability_and_system_events_only() {
    for era in [Era::V2019_07, Era::V6_5, Era::V6_6, Era::V7_0, Era::Master] {
        for opcode in [Opcode::DCP_SYSTEM_EVENT, Opcode::DCP_PREPARE, Opcode::DCP_COMMIT, Opcode::DCP_ABORT] {
            assert_eq!(survives(Quirk::Mb35287, era, opcode, Status::NOT_MY_VBUCKET), (false, true), "{era} {opcode}");
        }
        for opcode in [Opcode::DCP_MUTATION, Opcode::DCP_DELETION, Opcode::DCP_STREAM_END] {
            assert_eq!(survives(Quirk::Mb35287, era, opcode, Status::NOT_MY_VBUCKET), (true, true), "{era} {opcode}");
        }
    }
}

#[test]
fn mb_32724_closes_on_markers_of_streams_that_are_gone() {
    for era in Era::ALL {
        let (alive, must) = survives(Quirk::Mb32724, era, Opcode::DCP_SNAPSHOT_MARKER, Status::KEY_ENOENT);
        assert_eq!((alive, must), (false, true), "{era}");
        let mut peer = with(Quirk::Mb32724, era);
        let opaque = peer.stream(0);
        peer.reads(10);
        peer.responds(Opcode::DCP_SNAPSHOT_MARKER, Status::KEY_ENOENT, opaque);
        assert!(peer.is_alive(), "{era}: a live stream's");
    }
}

#[test]
fn mb_37009_closes_on_any_status_but_success() {
    for era in [Era::V2019_07, Era::V6_5, Era::V6_6, Era::V7_0, Era::Master] {
        for opcode in [Opcode::DCP_MUTATION, Opcode::DCP_STREAM_END, Opcode::DCP_COMMIT] {
            assert_eq!(survives(Quirk::Mb37009, era, opcode, Status::NOT_MY_VBUCKET), (false, true), "{era} {opcode}");
            assert!(survives(Quirk::Mb37009, era, opcode, Status::SUCCESS).0, "{era} {opcode}");
        }
    }
}

#[test]
fn mb_40934_breaks_keep_cells_with_v7_codes() {
    for era in [Era::V7_0, Era::Master] {
        for opcode in [Opcode::DCP_COMMIT, Opcode::DCP_ABORT] {
            for status in [Status::DCP_STREAM_NOT_FOUND, Status::OPAQUE_NO_MATCH] {
                assert_eq!(survives(Quirk::Mb40934, era, opcode, status), (false, true), "{era} {opcode} {status}");
            }
        }
        assert!(survives(Quirk::Mb40934, era, Opcode::DCP_PREPARE, Status::DCP_STREAM_NOT_FOUND).0);
    }
}

#[test]
fn mb_18625_goes_on_after_the_end() {
    for window in ["0", "200"] {
        let mut peer = with(Quirk::Mb18625, Era::V7_0);
        peer.acks = true;
        peer.control("connection_buffer_size", window);
        let opaque = peer.stream(0);
        peer.reads(30);
        peer.says(CloseStream.request(0, Opaque([5; 4])));
        let seen: Vec<Seen> =
            peer.reads(usize::MAX).into_iter().filter(|frame| frame.header.opaque == opaque).collect();
        let end = seen.iter().position(|frame| frame.opcode() == Opcode::DCP_STREAM_END).unwrap();
        assert_eq!(seen.len() - end - 1, 8, "window {window}");
        assert!(seen[end + 1..].iter().any(|frame| frame.message.by_seqno().is_some()));
        peer.acks = false;
        peer.asks(CloseStream.request(0, Opaque([5; 4])), Status::KEY_ENOENT);
    }
}

/// Two streams, the first answered with `answers` orphaned responses; what the second sent afterwards.
fn second_stream_after_orphans(quirk: Quirk, window: &str, answers: usize) -> (Peer, Vec<Seen>, Vec<Seen>) {
    let mut peer = with(quirk, Era::V7_0);
    peer.acks = true;
    peer.control("connection_buffer_size", window);
    let first = peer.stream(0);
    let second = peer.stream(1);
    let before: Vec<Seen> = peer.reads(300);
    for _ in 0..answers {
        peer.responds(Opcode::DCP_MUTATION, Status::NOT_MY_VBUCKET, first);
    }
    let after = peer.reads(usize::MAX);
    let of_second = |seen: Vec<Seen>| seen.into_iter().filter(|frame| frame.header.opaque == second).collect();
    let (before, after) = (of_second(before), of_second(after));
    (peer, before, after)
}

fn last_seqno(seen: &[Seen]) -> Option<u64> {
    seen.iter().filter_map(|frame| frame.message.by_seqno()).max()
}

#[test]
fn stall_after_orphan_stops_another_stream_inside_a_snapshot() {
    for window in ["0", "300", "100000"] {
        let (mut peer, before, after) = second_stream_after_orphans(Quirk::StallAfterOrphan, window, 1);
        let seen = [before, after].concat();
        let end = seen
            .iter()
            .filter_map(|frame| match frame.message {
                Message::SnapshotMarker(marker) => Some(marker.end_seqno),
                _ => None,
            })
            .max()
            .unwrap();
        assert!(last_seqno(&seen).unwrap() < end, "window {window}");
        peer.waits(5000);
        assert!(peer.is_alive());
        peer.acks = false;
        peer.asks(CloseStream.request(1, Opaque([5; 4])), Status::SUCCESS);
        peer.acks = true;
        assert!(peer.reads(usize::MAX).iter().any(|frame| frame.opcode() == Opcode::DCP_STREAM_END));
    }
}

#[test]
fn repeat_after_orphan_sends_seqnos_twice() {
    for window in ["0", "300", "100000"] {
        let (mut peer, before, after) = second_stream_after_orphans(Quirk::RepeatAfterOrphan, window, 1);
        let seqnos: Vec<u64> = before.iter().chain(&after).filter_map(|frame| frame.message.by_seqno()).collect();
        assert!(!seqnos.is_sorted(), "window {window}");
        assert_eq!(seqnos.last(), Some(&3000), "and goes on");
        assert!(peer.is_alive());
    }
}

#[test]
fn leak_window_stops_streams_while_the_window_has_room() {
    for window in ["300", "4000", "100000", "20000000"] {
        let (mut peer, before, after) = second_stream_after_orphans(Quirk::LeakWindow, window, 4);
        let last = last_seqno(&[before, after].concat()).unwrap();
        assert!(last < 3000, "window {window}: stopped at {last}");
        assert_eq!(peer.charged, peer.acked, "everything was given back");
        assert!(peer.is_alive());
    }
    let (_, before, after) = second_stream_after_orphans(Quirk::LeakWindow, "0", 4);
    assert_eq!(last_seqno(&[before, after].concat()), Some(3000), "without flow control there is nothing to leak");
}

#[test]
fn late_disconnect_answers_until_shortly_before() {
    let mut peer = with(Quirk::LateDisconnect, Era::V7_0);
    peer.stream(0);
    peer.reads(10);
    peer.responds(Opcode::DCP_MUTATION, Status::NOT_MY_VBUCKET, Opaque([0x66; 4]));
    assert!(peer.is_alive());
    peer.waits(850);
    assert!(peer.is_alive());
    peer.waits(60);
    assert!(!peer.is_alive());
    assert_eq!(peer.connection.closing(), None);
    peer.waits(90);
    assert_eq!(peer.connection.closing(), Some(How::Fin));
}

#[test]
fn no_quirk_shows_without_an_orphan() {
    for quirk in Quirk::ALL.into_iter().filter(|quirk| quirk.about().scenario == "orphaned-responses") {
        let mut peer = with(quirk, Era::V7_0);
        peer.acks = true;
        peer.control("connection_buffer_size", "5000");
        peer.stream(0);
        peer.stream(1);
        let seen = peer.reads(usize::MAX);
        for vbucket in [0, 1] {
            let of_it = |frame: &&Seen| frame.header.vbucket() == Some(vbucket);
            let seqnos: Vec<u64> = seen.iter().filter(of_it).filter_map(|frame| frame.message.by_seqno()).collect();
            assert!(seqnos.is_sorted() && seqnos.last() == Some(&3000), "{quirk}");
        }
        peer.says(FrameBuilder::request(Opcode::NOOP));
        assert!(peer.is_alive(), "{quirk}");
    }
}
