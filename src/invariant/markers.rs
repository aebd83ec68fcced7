//! Section D, second part: snapshot markers and OSO snapshots.

use super::Concerns;
use super::Invariant;
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
    const CONCERNS: Concerns = Concerns::MARKERS;

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
    const CONCERNS: Concerns = Concerns::MARKERS;

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
    const EXCEPTIONS: &'static str =
        "vbuckets that may be no active ones; the second marker of a history pair; after an OSO snapshot";
    const CONCERNS: Concerns = Concerns::MARKERS;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((marker, before)) = begun(seen) else { return Ruling::Silent };
        let Some(last) = of_marker(before.snapshot) else { return Ruling::Silent };
        let asked = before.request.flags & (StreamReq::ACTIVE_VB_ONLY | StreamReq::TAKEOVER) != 0;
        if !asked && !seen.session.sync_replication() {
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
    const CONCERNS: Concerns = Concerns::MARKERS;

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
    const CONCERNS: Concerns = Concerns::MARKERS;

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
    const EXCEPTIONS: &'static str = "producers before 6.5 (MB-42780)";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::MARKERS;

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
    const CONCERNS: Concerns = Concerns::MARKERS;

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
    const EXCEPTIONS: &'static str = "streams that are closed";
    const CONCERNS: Concerns = Concerns::responses(&[Opcode::DCP_SNAPSHOT_MARKER]);

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
            return Ruling::broken("one answer".to_owned(), "another".to_owned());
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
    const EXCEPTIONS: &'static str =
        "filtered streams, and those that cannot see collections; real producers have broken it (MB-73354, MB-47009)";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::MARKERS;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((_, before)) = begun(seen).filter(|(_, before)| before.state == State::Open) else {
            return Ruling::Silent;
        };
        let Some(last) = of_marker(before.snapshot) else { return Ruling::Silent };
        let all = seen.session.features().has(Feature::COLLECTIONS) && !before.request.filtered;
        if last.undecoded > 0 || (!all && !seen.session.sync_replication()) {
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
    const EXCEPTIONS: &'static str = "the high prepared seqno of memory snapshots; 0 is absent in v2.2";
    const CONCERNS: Concerns = Concerns::MARKERS;

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
    const CONCERNS: Concerns = Concerns::MARKERS;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        match begun(seen) {
            Some((marker, _)) if marker.flags & SnapshotMarker::DISK != 0 && seen.session.sync_replication() => {
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
    const EXCEPTIONS: &'static str =
        "a high prepared seqno of 0 or below the start, which mixed releases send (MB-66831)";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::MARKERS;

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
    const EXCEPTIONS: &'static str = "0 is absent in v2.2";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::MARKERS;

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
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_SNAPSHOT_MARKER, Opcode::DCP_OSO_SNAPSHOT]);

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
        Ruling::broken(broken.0.to_owned(), broken.1.to_owned())
    }
}

#[cfg(test)]
mod tests;
