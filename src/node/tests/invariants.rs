//! What the producer sends keeps to protocol/invariants.md, sections A, D, E and F: judged here by a plain re-reading of
//! the rules, frame by frame.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::super::Config;
use super::super::Node;
use super::peer::EVERYTHING;
use super::peer::Peer;
use super::peer::Seen;
use super::peer::counts;
use super::peer::still;
use crate::dcp::Message;
use crate::dcp::Open;
use crate::dcp::SnapshotMarker;
use crate::dcp::StreamReq;
use crate::dcp::SystemEventBody;
use crate::era::Era;
use crate::verdict::Verdict;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// Nothing that the tool's own rules find fault with, whatever was agreed.
fn passes_the_suite(peer: &Peer) {
    let findings = peer.findings();
    let passed = findings.iter().filter(|finding| finding.verdict == Verdict::Pass).count();
    let failed: Vec<_> = findings.iter().filter(|finding| finding.verdict != Verdict::Pass).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(passed > 15, "{passed}");
}

#[test]
fn the_tools_own_rules_find_nothing() {
    for era in Era::ALL {
        let node = Node::new(Config { era, items: 1500, ..Config::default() });
        let mut peers = vec![Peer::with_everything(&node), Peer::opened(&node, EVERYTHING, Open::INCLUDE_DELETE_TIMES)];
        peers.push(Peer::opened(&node, EVERYTHING, 0));
        peers.push(Peer::opened(&node, &[], 0));
        let mut newest = Peer::with_everything(&node);
        newest.negotiated.flatbuffers = newest.control("flatbuffers_system_events", "true") == Status::SUCCESS;
        newest.control("max_marker_version", "2.2");
        peers.push(newest);
        for peer in &mut peers {
            peer.acks = true;
            peer.controls(&[
                ("enable_noop", "true"),
                ("set_noop_interval", "1"),
                ("send_stream_end_on_client_close_stream", "true"),
                ("connection_buffer_size", "20000"),
            ]);
            peer.stream(0);
            peer.stream_to(1, 700);
            peer.reads(500);
            peer.stream(2);
            peer.reads(usize::MAX);
            peer.waits(1100);
            peer.says(crate::dcp::CloseStream.request(0, Opaque([5; 4])));
            peer.reads(usize::MAX);
            passes_the_suite(peer);
        }
    }
}

#[derive(Default)]
struct Judge {
    marker: Option<SnapshotMarker>,
    last: u64,
    /// Keys of this snapshot: true for those of prepares.
    keys: BTreeSet<(bool, Vec<u8>)>,
    prepares: BTreeMap<Vec<u8>, u64>,
    collections: BTreeSet<u32>,
    uid: u64,
    max_visible: u64,
    complete: bool,
}

impl Judge {
    fn look(&mut self, frame: &Seen, collections: bool) {
        let key = frame.frame().key().to_vec();
        if let Message::SnapshotMarker(marker) = frame.message {
            assert!(marker.start_seqno <= marker.end_seqno, "D4");
            if let Some(before) = self.marker {
                assert!(self.complete, "D12: {before:?} is not complete before {marker:?}");
                assert!(marker.start_seqno > before.end_seqno, "D6: {before:?} {marker:?}");
            } else {
                assert_eq!(marker.start_seqno, 0, "D5");
            }
            assert!(marker.end_seqno >= self.last, "D7");
            assert_eq!((marker.flags & 3).count_ones(), 1, "D8");
            assert!(marker.flags & 4 != 0, "D9");
            if let Some(visible) = marker.max_visible_seqno {
                assert!(visible <= marker.end_seqno && visible >= self.max_visible, "D13, D15");
                self.max_visible = visible;
            }
            if let (Some(completed), Some(prepared)) = (marker.high_completed_seqno, marker.high_prepared_seqno) {
                assert!(completed <= prepared && prepared <= marker.end_seqno, "D14");
            }
            self.marker = Some(marker);
            self.keys.clear();
            self.complete = false;
            return;
        }
        let Some(seqno) = frame.message.by_seqno() else { return };
        let marker = self.marker.expect("D1: a marker comes first");
        let disk = marker.flags & SnapshotMarker::DISK != 0;
        assert!(seqno > self.last, "D2: {seqno} after {}", self.last);
        assert!((marker.start_seqno..=marker.end_seqno).contains(&seqno), "D3: {seqno} in {marker:?}");
        self.last = seqno;
        self.complete = seqno == marker.end_seqno;
        let is_prepare = matches!(frame.message, Message::Prepare(_) | Message::Abort(_));
        if matches!(frame.message, Message::SeqnoAdvanced(_)) {
            return;
        }
        if !matches!(frame.message, Message::SystemEvent(_)) {
            let may_repeat = !disk && is_prepare;
            assert!(self.keys.insert((is_prepare, key.clone())) || may_repeat, "D16: {seqno} {key:?}");
        }
        match &frame.message {
            Message::Prepare(prepare) => {
                assert!((1..=3).contains(&prepare.durability_level) && frame.header.cas != 0, "E9");
                assert!(self.prepares.insert(key.clone(), seqno).is_none(), "E5");
            }
            Message::Commit(commit) => {
                assert!(!disk, "E1: no COMMIT from disk");
                assert_eq!(self.prepares.remove(&key), Some(commit.prepared_seqno), "E1, E3: {seqno}");
                assert!(commit.prepared_seqno < seqno, "E4");
            }
            Message::Abort(abort) => {
                let pending = self.prepares.remove(&key);
                assert!(pending == Some(abort.prepared_seqno) || (disk && pending.is_none()), "E2, E3: {seqno}");
                assert!(abort.prepared_seqno < seqno, "E4");
            }
            Message::Mutation(_) | Message::Deletion(_) | Message::Expiration(_) => {
                assert!(self.prepares.remove(&key).is_none() || disk, "E6: {seqno}");
            }
            Message::SystemEvent(event) => {
                assert!(event.body.manifest_uid() >= self.uid, "F5");
                self.uid = event.body.manifest_uid();
                match event.body {
                    SystemEventBody::Collection(collection) => {
                        self.collections.insert(collection.collection_id);
                    }
                    SystemEventBody::DroppedCollection { collection_id, .. } => {
                        assert!(self.collections.remove(&collection_id) || disk, "F2");
                    }
                    SystemEventBody::Scope { .. } | SystemEventBody::DroppedScope { .. } => {}
                }
                return;
            }
            other => panic!("not of a stream: {other:?}"),
        }
        if collections {
            let id = crate::wire::leb128::split(&key).unwrap().0;
            assert!(id == 0 || self.collections.contains(&id), "F1, F2: {seqno} of collection {id}");
        }
    }
}

fn judge(seen: &[Seen], collections: bool) {
    let mut judge = Judge::default();
    for frame in seen.iter().filter(|frame| frame.header.is_request()) {
        judge.look(frame, collections);
    }
    assert!(judge.last > 0 && judge.complete);
}

#[test]
fn full_replication_keeps_every_rule_in_every_era() {
    for era in Era::ALL {
        for (items, disk_items) in [(10_000, 96), (5000, 4990), (3000, 0), (10, 4), (2500, 2400)] {
            let node = Node::new(Config { era, items, disk_items, seed: items, ..Config::default() });
            let mut peer = Peer::with_everything(&node);
            peer.stream(1);
            let mut seen = peer.reads(usize::MAX);
            peer.waits(700);
            seen.extend(peer.reads(usize::MAX));
            judge(&seen, true);
        }
    }
}

#[test]
fn without_sync_writes_and_with_filters_too() {
    for era in Era::ALL {
        for (features, narrow) in [(EVERYTHING, false), (EVERYTHING, true), (&[][..], false)] {
            for disk_items in [96, 6000] {
                let node = still(Config { era, items: 7000, disk_items, ..Config::default() });
                let mut peer = Peer::opened(&node, features, Open::INCLUDE_DELETE_TIMES);
                peer.control("enable_noop", "true");
                let collections = !features.is_empty();
                let mut request = StreamReq { end_seqno: u64::MAX, ..StreamReq::default() };
                if narrow {
                    let value = crate::dcp::StreamReqValue { collections: Some(vec![0, 200]), ..Default::default() };
                    request.value = Some(Box::new(value));
                }
                peer.says(request.request(0, Opaque([1; 4])));
                let seen = peer.reads(usize::MAX);
                judge(&seen, collections);
                let counts = counts(&seen);
                assert!(!counts.contains_key(&Opcode::DCP_PREPARE) && !counts.contains_key(&Opcode::DCP_COMMIT));
            }
        }
    }
}

#[test]
fn every_type_is_within_reach_wherever_a_snapshot_is_entered() {
    let mut peer = Peer::with_everything(&still(Config::default()));
    peer.stream(0);
    let seen = peer.reads(usize::MAX);
    let mut snapshots = Vec::new();
    for frame in seen.iter().filter(|frame| frame.header.is_request()) {
        if frame.opcode() == Opcode::DCP_SNAPSHOT_MARKER {
            snapshots.push(BTreeSet::new());
        } else if let Some(snapshot) = snapshots.last_mut() {
            snapshot.insert(frame.opcode());
        }
    }
    assert!(snapshots.len() > 40);
    let whole = snapshots.iter().skip(1).filter(|types| types.len() == 7).count();
    assert!(whole + 2 >= snapshots.len(), "{whole} of {}", snapshots.len());
}

#[test]
fn two_nodes_of_a_seed_send_the_same() {
    let bytes = |seed| {
        let mut peer = Peer::with_everything(&still(Config { seed, items: 1000, ..Config::default() }));
        peer.stream(0);
        peer.reads(usize::MAX).into_iter().flat_map(|frame| frame.bytes).collect::<Vec<u8>>()
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}
