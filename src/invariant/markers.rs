//! Section D, second part: snapshot markers and OSO snapshots.

use super::Invariant;
use super::negotiation;
use super::rule::Rule;
use super::rule::Ruling;
use super::rule::Seen;
use super::rule::held;
use super::seqnos::of_marker;
use crate::dcp::Feature;
use crate::dcp::Message;
use crate::dcp::OsoSnapshot;
use crate::dcp::SnapshotMarker;
use crate::dcp::StreamReq;
use crate::journal::Role;
use crate::session::Before;
use crate::session::State;
use crate::verdict::Severity;
use crate::wire::Opcode;
use crate::wire::Status;

pub(super) fn add(all: &mut Vec<Box<dyn Invariant>>) {
    all.extend([
        held::<MarkerBounds>(),
        held::<FirstMarker>(),
        held::<MarkersAscend>(),
        held::<MarkerEnd>(),
        held::<MemoryOrDisk>(),
        held::<DiskIsCheckpoint>(),
        held::<AckInTakeover>(),
        held::<AckAnswered>(),
        held::<SnapshotCompletes>(),
        held::<MarkerSeqnos>(),
        held::<DiskHasHcs>(),
        held::<HcsBelowHps>(),
        held::<MvsGrows>(),
        held::<OsoPaired>(),
    ]);
}

fn begun<'a>(seen: &Seen<'a>) -> Option<(&'a SnapshotMarker, &'a Before)> {
    match (seen.message()?, seen.produced_live()?) {
        (Message::SnapshotMarker(marker), before) => Some((marker, before)),
        _ => None,
    }
}

/// D4.
#[derive(Debug, Default)]
pub(super) struct MarkerBounds;

impl Rule for MarkerBounds {
    const ID: &'static str = "d4-marker-bounds";
    const REQUIREMENT: &'static str = "a marker's start is not above its end";

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((marker, _)) = begun(seen) else { return Ruling::Silent };
        Ruling::of(marker.start_seqno <= marker.end_seqno, || {
            (format!("a start of at most {}", marker.end_seqno), marker.start_seqno.to_string())
        })
    }
}

/// D5.
#[derive(Debug, Default)]
pub(super) struct FirstMarker;

impl Rule for FirstMarker {
    const ID: &'static str = "d5-first-marker";
    const REQUIREMENT: &'static str = "a stream's first snapshot does not start above the seqno requested";

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((marker, before)) = begun(seen).filter(|(_, before)| before.snapshots == 0) else {
            return Ruling::Silent;
        };
        Ruling::of(marker.start_seqno <= before.request.start_seqno, || {
            (format!("a start of at most {}", before.request.start_seqno), marker.start_seqno.to_string())
        })
    }
}

/// D6. Snapshots of a vbucket that is not active may overlap, so it is judged only where the stream is of an active one:
/// asked for as such, taken over, or replicated with acknowledgements.
#[derive(Debug, Default)]
pub(super) struct MarkersAscend;

impl Rule for MarkersAscend {
    const ID: &'static str = "d6-markers-ascend";
    const REQUIREMENT: &'static str = "each snapshot of an active vbucket starts above the end of the one before";

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((marker, before)) = begun(seen) else { return Ruling::Silent };
        let Some(last) = of_marker(before.snapshot) else { return Ruling::Silent };
        let asked = before.request.flags & (StreamReq::ACTIVE_VB_ONLY | StreamReq::TAKEOVER) != 0;
        if !asked && !negotiation::sync_replication(seen.session) {
            return Ruling::Silent;
        }
        let same = last.start == marker.start_seqno && last.end == marker.end_seqno;
        let history = (last.flags ^ marker.flags) & SnapshotMarker::HISTORY != 0;
        if same && history {
            return Ruling::Silent;
        }
        Ruling::of(marker.start_seqno > last.end, || {
            (format!("a start above {}", last.end), format!("{} to {}", marker.start_seqno, marker.end_seqno))
        })
    }
}

/// D7.
#[derive(Debug, Default)]
pub(super) struct MarkerEnd;

impl Rule for MarkerEnd {
    const ID: &'static str = "d7-marker-end";
    const REQUIREMENT: &'static str = "a snapshot does not end below the last seqno";

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((marker, before)) = begun(seen) else { return Ruling::Silent };
        Ruling::of(marker.end_seqno >= before.last_seqno, || {
            (format!("an end of at least {}", before.last_seqno), marker.end_seqno.to_string())
        })
    }
}

/// D8.
#[derive(Debug, Default)]
pub(super) struct MemoryOrDisk;

impl Rule for MemoryOrDisk {
    const ID: &'static str = "d8-memory-or-disk";
    const REQUIREMENT: &'static str = "a marker has exactly one of the flags Memory and Disk";
    const SEVERITY: Severity = Severity::Warning;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((marker, _)) = begun(seen) else { return Ruling::Silent };
        let either = marker.flags & (SnapshotMarker::MEMORY | SnapshotMarker::DISK);
        Ruling::of(either.count_ones() == 1, || ("one of 0x01 and 0x02".to_owned(), format!("0x{:02x}", marker.flags)))
    }
}

/// D9. Producers before 6.5 do not do it (MB-42780).
#[derive(Debug, Default)]
pub(super) struct DiskIsCheckpoint;

impl Rule for DiskIsCheckpoint {
    const ID: &'static str = "d9-disk-is-checkpoint";
    const REQUIREMENT: &'static str = "a marker with the flag Disk has the flag Checkpoint";
    const SEVERITY: Severity = Severity::Warning;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        match begun(seen) {
            Some((marker, _)) if marker.flags & SnapshotMarker::DISK != 0 => {
                Ruling::of(marker.flags & SnapshotMarker::CHECKPOINT != 0, || {
                    ("flag 0x04 too".to_owned(), format!("0x{:02x}", marker.flags))
                })
            }
            _ => Ruling::Silent,
        }
    }
}

/// D10.
#[derive(Debug, Default)]
pub(super) struct AckInTakeover;

impl Rule for AckInTakeover {
    const ID: &'static str = "d10-ack-in-takeover";
    const REQUIREMENT: &'static str = "a marker has the flag Ack only on a stream requested with TakeOver";

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        match begun(seen) {
            Some((marker, before)) if marker.flags & SnapshotMarker::ACK != 0 => {
                Ruling::of(before.request.has(StreamReq::TAKEOVER), || {
                    ("no Ack: the stream is no takeover".to_owned(), format!("flags 0x{:02x}", marker.flags))
                })
            }
            _ => Ruling::Silent,
        }
    }
}

/// D11. A marker without the flag that is answered with Success is C13's.
#[derive(Debug, Default)]
pub(super) struct AckAnswered;

impl Rule for AckAnswered {
    const ID: &'static str = "d11-ack-answered";
    const REQUIREMENT: &'static str =
        "a marker with the flag Ack is answered once, and not before the last seqno of its snapshot was sent";

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let header = seen.header();
        let success = header.is_response() && header.status() == Some(Status::SUCCESS);
        if seen.sender != Role::Consumer || !success || header.opcode != Opcode::DCP_SNAPSHOT_MARKER {
            return Ruling::Silent;
        }
        let Some(before) = seen.context.stream.and_then(|stream| stream.before) else { return Ruling::Silent };
        let Some(snapshot) = of_marker(before.snapshot).filter(|snapshot| snapshot.has(SnapshotMarker::ACK)) else {
            return Ruling::Silent;
        };
        if seen.context.unasked {
            return Ruling::Broken("one answer".to_owned(), "another".to_owned());
        }
        // With several markers unanswered it is the older one's answer.
        let waiting = seen.session.outstanding().of(seen.context.answers.map_or_else(|| seen.session.edge(), |a| a.by));
        let more = waiting.filter(|asked| asked.opcode == header.opcode && asked.opaque == header.opaque).count() > 0;
        Ruling::of(more || snapshot.is_complete(before.last_seqno), || {
            (format!("no answer before seqno {}", snapshot.end), format!("one after {}", before.last_seqno))
        })
    }
}

/// D12. Only where every seqno of the stream is visible: collections, no filter. Real producers have broken it on filtered
/// streams (MB-73354, MB-47009).
#[derive(Debug, Default)]
pub(super) struct SnapshotCompletes;

impl Rule for SnapshotCompletes {
    const ID: &'static str = "d12-snapshot-completes";
    const REQUIREMENT: &'static str =
        "some message has the seqno of the snapshot's end before the next snapshot begins";
    const SEVERITY: Severity = Severity::Warning;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((_, before)) = begun(seen).filter(|(_, before)| before.state == State::Open) else {
            return Ruling::Silent;
        };
        let Some(last) = of_marker(before.snapshot) else { return Ruling::Silent };
        let all = seen.session.features().has(Feature::COLLECTIONS) && !before.request.filtered;
        if last.undecoded > 0 || (!all && !negotiation::sync_replication(seen.session)) {
            return Ruling::Silent;
        }
        Ruling::of(last.is_complete(before.last_seqno), || {
            (format!("seqno {} first", last.end), format!("a marker after seqno {}", before.last_seqno))
        })
    }
}

/// D13. 0 is absent in v2.2.
#[derive(Debug, Default)]
pub(super) struct MarkerSeqnos;

impl Rule for MarkerSeqnos {
    const ID: &'static str = "d13-marker-seqnos";
    const REQUIREMENT: &'static str =
        "a marker's max visible seqno, purge seqno and (on disk) high prepared seqno are not above its end";

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((marker, _)) = begun(seen) else { return Ruling::Silent };
        let disk = marker.flags & SnapshotMarker::DISK != 0;
        let seqnos = [
            ("max visible", marker.max_visible_seqno),
            ("purge", marker.purge_seqno),
            ("high prepared", marker.high_prepared_seqno.filter(|_| disk)),
        ];
        if seqnos.iter().all(|(_, seqno)| seqno.is_none()) {
            return Ruling::Silent;
        }
        let above = seqnos.iter().find_map(|(name, seqno)| Some((name, seqno.filter(|&s| s > marker.end_seqno)?)));
        Ruling::of(above.is_none(), || {
            let (name, seqno) = above.unwrap_or((&"", 0));
            (format!("a {name} seqno of at most {}", marker.end_seqno), seqno.to_string())
        })
    }
}

/// D14.
#[derive(Debug, Default)]
pub(super) struct DiskHasHcs;

impl Rule for DiskHasHcs {
    const ID: &'static str = "d14-disk-has-hcs";
    const REQUIREMENT: &'static str = "a disk marker of a sync-replication stream has a high completed seqno";

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        match begun(seen) {
            Some((marker, _))
                if marker.flags & SnapshotMarker::DISK != 0 && negotiation::sync_replication(seen.session) =>
            {
                Ruling::of(marker.high_completed_seqno.is_some(), || {
                    ("a marker of v2.x".to_owned(), format!("v{} without it", marker.version))
                })
            }
            _ => Ruling::Silent,
        }
    }
}

/// D14, the part that is only customary. Mixed releases send an HPS of 0 or below the start (MB-66831).
#[derive(Debug, Default)]
pub(super) struct HcsBelowHps;

impl Rule for HcsBelowHps {
    const ID: &'static str = "d14-hcs-below-hps";
    const REQUIREMENT: &'static str = "a disk marker's high completed seqno is not above its high prepared seqno";
    const SEVERITY: Severity = Severity::Warning;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((marker, _)) = begun(seen).filter(|(marker, _)| marker.flags & SnapshotMarker::DISK != 0) else {
            return Ruling::Silent;
        };
        match (marker.high_completed_seqno, marker.high_prepared_seqno) {
            (Some(hcs), Some(hps)) if hps != 0 && hps >= marker.start_seqno => {
                Ruling::of(hcs <= hps, || (format!("at most {hps}"), hcs.to_string()))
            }
            _ => Ruling::Silent,
        }
    }
}

/// D15.
#[derive(Debug, Default)]
pub(super) struct MvsGrows;

impl Rule for MvsGrows {
    const ID: &'static str = "d15-mvs-grows";
    const REQUIREMENT: &'static str = "max visible and purge seqno do not decrease from marker to marker";
    const SEVERITY: Severity = Severity::Warning;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((marker, before)) = begun(seen) else { return Ruling::Silent };
        let Some(last) = of_marker(before.snapshot) else { return Ruling::Silent };
        // 0 is absent in v2.2.
        let pairs = [
            ("max visible", last.max_visible_seqno, marker.max_visible_seqno.filter(|&seqno| seqno != 0)),
            ("purge", last.purge_seqno, marker.purge_seqno),
        ];
        let both = pairs.iter().filter_map(|&(name, last, next)| Some((name, last?, next?)));
        let Some((name, last, next)) = both.max_by_key(|&(_, last, next)| last > next) else { return Ruling::Silent };
        Ruling::of(next >= last, || (format!("a {name} seqno of at least {last}"), next.to_string()))
    }
}

/// D18.
#[derive(Debug, Default)]
pub(super) struct OsoPaired;

impl Rule for OsoPaired {
    const ID: &'static str = "d18-oso-paired";
    const REQUIREMENT: &'static str =
        "OSO start and end are paired, hold no marker, and come only on a filtered stream requested from seqno 0";

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some(before) = seen.produced_live() else { return Ruling::Silent };
        let open = before.snapshot.is_some_and(|snapshot| snapshot.is_open_oso());
        let fresh = before.request.start_seqno == 0 && before.request.filtered;
        let broken = match seen.message() {
            Some(Message::SnapshotMarker(_)) if open => ("OSO end first", "a marker"),
            Some(Message::OsoSnapshot(oso)) => match (oso.flags, open) {
                (OsoSnapshot::START, true) => ("OSO end first", "another start"),
                (OsoSnapshot::START, false) if !fresh => {
                    ("a marker: the stream is not fresh and filtered", "OSO start")
                }
                (OsoSnapshot::END, false) => ("OSO start first", "OSO end"),
                _ => return Ruling::Kept,
            },
            _ => return Ruling::Silent,
        };
        Ruling::Broken(broken.0.to_owned(), broken.1.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::verdicts;
    use super::*;
    use crate::dcp;
    use crate::dcp::FrameHead;
    use crate::dcp::MarkerVersion;
    use crate::session::script::*;
    use crate::verdict::Verdict;

    const PASS: Option<Verdict> = Some(Verdict::Pass);
    const FAIL: Option<Verdict> = Some(Verdict::Fail);
    const MEMORY: u32 = SnapshotMarker::MEMORY;
    const DISK: u32 = SnapshotMarker::DISK;
    const SYNC: &[(&str, &str)] = &[("enable_sync_writes", "true"), ("consumer_name", "replica")];

    fn s(start: u64, end: u64) -> FrameHead {
        marker_with(1, 10, start, end, MEMORY)
    }

    fn m(seqno: u64) -> FrameHead {
        mutation(1, 10, seqno)
    }

    fn said(marker: SnapshotMarker) -> FrameHead {
        request(Opcode::DCP_SNAPSHOT_MARKER, 1, 10, Message::SnapshotMarker(marker))
    }

    fn asked(start: u64, flags: u32, filtered: bool, controls: &[(&str, &str)]) -> Script {
        let mut script = Script::with(&[Feature::COLLECTIONS], dcp::Open::PRODUCER, controls);
        let mut head = stream_req(1, 10, start);
        if let Ok(Message::StreamReq(request)) = &mut head.message {
            request.flags = flags;
            let value = dcp::StreamReqValue { collections: Some(vec![8]), ..Default::default() };
            request.value = filtered.then(|| Box::new(value));
        }
        script.c(head);
        script.p(stream_ok(10));
        script
    }

    fn told<R: Rule>(mut script: Script, heads: &[FrameHead]) -> Option<Verdict> {
        for head in heads {
            script.p(head.clone());
        }
        verdicts::<R>(&script).0
    }

    fn of<R: Rule>(start: u64, heads: &[FrameHead]) -> Option<Verdict> {
        told::<R>(asked(start, StreamReq::ACTIVE_VB_ONLY, false, &[]), heads)
    }

    #[test]
    fn bounds() {
        assert_eq!(of::<MarkerBounds>(0, &[s(3, 3)]), PASS);
        assert_eq!(of::<MarkerBounds>(0, &[s(4, 3)]), FAIL);
        assert_eq!(of::<FirstMarker>(5, &[s(5, 9), m(9), s(10, 12)]), PASS);
        assert_eq!(of::<FirstMarker>(5, &[s(6, 9)]), FAIL);
        assert_eq!(of::<MarkerEnd>(5, &[s(0, 5)]), PASS);
        assert_eq!(of::<MarkerEnd>(5, &[s(0, 4)]), FAIL);
    }

    #[test]
    fn markers_of_an_active_vbucket_ascend() {
        type R = MarkersAscend;
        assert_eq!(of::<R>(0, &[s(0, 4), s(5, 9)]), PASS);
        assert_eq!(of::<R>(0, &[s(0, 4), s(4, 9)]), FAIL);
        let replica = asked(0, 0, false, &[]);
        assert_eq!(told::<R>(replica, &[s(0, 4), s(4, 9)]), None, "it may be of a replica");
        let pair = [marker_with(1, 10, 0, 4, DISK), marker_with(1, 10, 0, 4, DISK | SnapshotMarker::HISTORY)];
        assert_eq!(of::<R>(0, &pair), None, "the history of the same snapshot");
        let sync = asked(0, 0, false, SYNC);
        assert_eq!(told::<R>(sync, &[s(0, 4), s(4, 9)]), FAIL);
    }

    #[test]
    fn flags() {
        let with = |flags| marker_with(1, 10, 0, 4, flags);
        for (flags, one, checkpoint) in [
            (MEMORY, PASS, None),
            (0, FAIL, None),
            (MEMORY | DISK, FAIL, FAIL),
            (DISK, PASS, FAIL),
            (DISK | SnapshotMarker::CHECKPOINT, PASS, PASS),
        ] {
            assert_eq!(of::<MemoryOrDisk>(0, &[with(flags)]), one, "{flags}");
            assert_eq!(of::<DiskIsCheckpoint>(0, &[with(flags)]), checkpoint, "{flags}");
        }
        let ack = with(MEMORY | SnapshotMarker::ACK);
        assert_eq!(of::<AckInTakeover>(0, std::slice::from_ref(&ack)), FAIL);
        assert_eq!(told::<AckInTakeover>(asked(0, StreamReq::TAKEOVER, false, &[]), &[ack]), PASS);
    }

    #[test]
    fn an_ack_comes_once_and_after_the_end() {
        let answer = || plain(Opcode::DCP_SNAPSHOT_MARKER, Status::SUCCESS, 10);
        let mut early = asked(0, StreamReq::TAKEOVER, false, &[]);
        early.p(marker_with(1, 10, 0, 2, MEMORY | SnapshotMarker::ACK));
        early.p(m(1));
        early.c(answer());
        assert_eq!(verdicts::<AckAnswered>(&early).1, FAIL);
        let mut right = asked(0, StreamReq::TAKEOVER, false, &[]);
        right.p(marker_with(1, 10, 0, 2, MEMORY | SnapshotMarker::ACK));
        right.p(m(1));
        right.p(m(2));
        right.c(answer());
        assert_eq!(verdicts::<AckAnswered>(&right).1, PASS);
        right.c(answer());
        assert_eq!(verdicts::<AckAnswered>(&right).1, FAIL);
    }

    #[test]
    fn two_acks_under_way_are_answered_in_order() {
        let answer = || plain(Opcode::DCP_SNAPSHOT_MARKER, Status::SUCCESS, 10);
        let mut script = asked(0, StreamReq::TAKEOVER, false, &[]);
        script.p(marker_with(1, 10, 0, 1, MEMORY | SnapshotMarker::ACK));
        script.p(m(1));
        script.p(marker_with(1, 10, 2, 3, MEMORY | SnapshotMarker::ACK));
        script.c(answer());
        assert_eq!(verdicts::<AckAnswered>(&script).1, PASS);
    }

    #[test]
    fn snapshots_complete() {
        type R = SnapshotCompletes;
        assert_eq!(of::<R>(0, &[s(0, 2), m(1), m(2), s(3, 4)]), PASS);
        assert_eq!(of::<R>(0, &[s(0, 2), m(1), s(3, 4)]), FAIL);
        assert_eq!(told::<R>(asked(0, 0, true, &[]), &[s(0, 2), m(1), s(3, 4)]), None, "filtered");
        let undecoded = FrameHead { message: Err(dcp::Malformed("of 6.5.0".to_owned())), ..m(2) };
        assert_eq!(of::<R>(0, &[s(0, 2), m(1), undecoded, s(3, 4)]), None);
        let mut script = Script::opened();
        script.stream(1, 10, 0);
        assert_eq!(told::<R>(script, &[s(0, 2), m(1), s(3, 4)]), None, "no collections");
    }

    #[test]
    fn seqnos_in_markers() {
        let v2 = SnapshotMarker {
            version: MarkerVersion::V2_2,
            start_seqno: 1,
            end_seqno: 9,
            flags: DISK,
            max_visible_seqno: Some(9),
            high_completed_seqno: Some(4),
            purge_seqno: Some(2),
            high_prepared_seqno: Some(5),
            ..SnapshotMarker::default()
        };
        assert_eq!(of::<MarkerSeqnos>(0, &[said(v2)]), PASS);
        assert_eq!(of::<MarkerSeqnos>(0, &[s(0, 9)]), None);
        for broken in [
            SnapshotMarker { max_visible_seqno: Some(10), ..v2 },
            SnapshotMarker { purge_seqno: Some(10), ..v2 },
            SnapshotMarker { high_prepared_seqno: Some(10), ..v2 },
        ] {
            assert_eq!(of::<MarkerSeqnos>(0, &[said(broken)]), FAIL);
        }
        let memory = SnapshotMarker { high_prepared_seqno: Some(10), flags: MEMORY, ..v2 };
        assert_eq!(of::<MarkerSeqnos>(0, &[said(memory)]), PASS, "only disk markers have an HPS");
        assert_eq!(of::<HcsBelowHps>(0, &[said(v2)]), PASS);
        assert_eq!(of::<HcsBelowHps>(0, &[said(SnapshotMarker { high_completed_seqno: Some(6), ..v2 })]), FAIL);
        assert_eq!(of::<HcsBelowHps>(0, &[said(SnapshotMarker { high_prepared_seqno: Some(0), ..v2 })]), None);
        let next = SnapshotMarker { start_seqno: 10, end_seqno: 20, ..v2 };
        assert_eq!(of::<MvsGrows>(0, &[said(v2), said(next)]), PASS);
        let lower = SnapshotMarker { max_visible_seqno: Some(8), ..next };
        assert_eq!(of::<MvsGrows>(0, &[said(v2), said(lower)]), FAIL);
        let purged = SnapshotMarker { purge_seqno: Some(1), ..next };
        assert_eq!(of::<MvsGrows>(0, &[said(v2), said(purged)]), FAIL);
        let absent = SnapshotMarker { max_visible_seqno: Some(0), ..next };
        assert_eq!(of::<MvsGrows>(0, &[said(v2), said(absent)]), PASS);
    }

    #[test]
    fn disk_markers_for_replicas_have_an_hcs() {
        type R = DiskHasHcs;
        let v1 = marker_with(1, 10, 0, 4, DISK);
        assert_eq!(told::<R>(asked(0, 0, false, SYNC), std::slice::from_ref(&v1)), FAIL);
        assert_eq!(told::<R>(asked(0, 0, false, &SYNC[..1]), &[v1]), None);
        let v2 = SnapshotMarker {
            version: MarkerVersion::V2_0,
            start_seqno: 1,
            end_seqno: 9,
            flags: DISK,
            high_completed_seqno: Some(0),
            ..SnapshotMarker::default()
        };
        assert_eq!(told::<R>(asked(0, 0, false, SYNC), &[said(v2)]), PASS);
    }

    #[test]
    fn oso_snapshots_are_paired() {
        type R = OsoPaired;
        let oso = |flags| request(Opcode::DCP_OSO_SNAPSHOT, 1, 10, Message::OsoSnapshot(OsoSnapshot { flags }));
        let filtered = |heads: &[FrameHead]| told::<R>(asked(0, 0, true, &[]), heads);
        assert_eq!(filtered(&[oso(1), m(3), oso(2), s(4, 5)]), PASS);
        assert_eq!(filtered(&[oso(1), oso(1)]), FAIL);
        assert_eq!(filtered(&[oso(2)]), FAIL);
        assert_eq!(filtered(&[oso(1), marker(1, 10, 0, 4)]), FAIL);
        assert_eq!(told::<R>(asked(0, 0, false, &[]), &[oso(1)]), FAIL);
        assert_eq!(told::<R>(asked(3, 0, true, &[]), &[oso(1)]), FAIL);
    }
}
